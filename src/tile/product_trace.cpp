#include <algorithm>
#include <utility>

#include "tile/analog_product.hpp"
#include "tile/blocks.hpp"
#include "tile/effects/read_noise.hpp"

// Forward passes that record their derivatives for the backward pass, and where these are kept.
namespace tessera::tile {
namespace {

void resize(Matrix& m, std::int64_t rows, std::int64_t cols) {
  if (m.rows() != rows || m.cols() != cols) m = Matrix::uninitialized(rows, cols);
}

// rows of `from` to the rows `first + row[i]` of `to`
void scatter(ConstMatrixView from, Matrix& to, std::int64_t first, std::span<const std::int64_t> rows) {
  for (std::int64_t i = 0; i < from.rows; ++i)
    std::copy_n(from.row(i), from.cols, to.view().row(first + rows[static_cast<std::size_t>(i)]));
}

void multiply_rows(MatrixView m, std::span<const float> factor) {
  for (std::int64_t r = 0; r < m.rows; ++r)
    for (float& v : m.row_span(r)) v *= factor[static_cast<std::size_t>(r)];
}

}  // namespace

std::size_t AnalogProduct::pass_count() const {
  switch (io_->mv_type) {
    case AnalogMVType::POS_NEG_SEPARATE:
    case AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM:
      return perfect_ ? 1 : 2;
    default:
      return perfect_ ? 1 : static_cast<std::size_t>(conversions_);
  }
}

void AnalogProduct::prepare_trace(ProductTrace& trace, std::int64_t vectors) const {
  resize(trace.o, vectors, outputs());
  trace.scale.resize(static_cast<std::size_t>(vectors));
  trace.clipped.assign(static_cast<std::size_t>(vectors), 0);
  const std::size_t passes = pass_count();
  trace.phases.resize(passes);
  trace.z_share.assign(passes, 1.0F);
  if (io_->mv_type == AnalogMVType::SPLIT_MODE || io_->mv_type == AnalogMVType::BIT_WISE) {
    const std::vector<float> weights = digit_weights();
    for (std::size_t p = 0; p < passes && !perfect_; ++p)
      trace.z_share[p] = 1.0F / (static_cast<float>(passes) * weights[p]);
  }
  for (PhaseTrace& phase : trace.phases) {
    resize(phase.z, vectors, inputs());
    if (perfect_) continue;
    resize(phase.slope, vectors, outputs());
    if (has_read_noise(*io_)) resize(phase.variance, vectors, outputs());
    phase.engine.resize(engine_->recorded());
    for (Matrix& m : phase.engine) resize(m, vectors, outputs());
    if (changes_columns_) resize(phase.slope_sum, vectors, outputs());
    if (changes_lines_) resize(phase.line_slope, vectors, inputs());
  }
}

void AnalogProduct::run_traced(const ProductCall& call, ProductScratch& s, ProductTrace& trace,
                               std::int64_t first_row) const {
  const std::int64_t rows = call.x.rows;
  if (rows == 0) return;
  ProductCall plain = call;
  plain.y = trace.o.view().rows_from(first_row, rows);
  plain.scale = nullptr;
  plain.bias = nullptr;
  plain.statistics = nullptr;
  std::fill_n(trace.scale.begin() + first_row, rows, 1.0F);
  if (perfect_) {
    const bool as_is = call.input_range <= 0.0F && call.bias_line <= 0.0F;
    const ConstMatrixView z = as_is ? call.x : explicit_input(plain, s);
    for (std::int64_t r = 0; r < rows; ++r) std::copy_n(z.row(r), z.cols, trace.phases[0].z.view().row(first_row + r));
    run_perfect(plain, s);
    return;
  }
  if (!managed_bounds()) {
    trace_round(begin(plain, s), 0, s, trace, first_row);
    return;
  }
  run(plain, s);  // which round gives the result of a vector is known only afterwards
  const std::vector<std::uint32_t> round(s.last_round.begin(), s.last_round.begin() + rows);
  const std::vector<float> a(s.a.begin(), s.a.begin() + rows);
  const std::vector<float> g(s.g.begin(), s.g.begin() + rows);
  Block block = begin(plain, s);
  std::copy(a.begin(), a.end(), s.a.begin());
  std::copy(g.begin(), g.end(), s.g.begin());
  const std::uint32_t rounds = *std::max_element(round.begin(), round.end()) + 1;
  for (std::uint32_t k = 0; k < rounds; ++k) {
    s.pending.clear();
    for (std::int64_t r = 0; r < rows; ++r)
      if (round[static_cast<std::size_t>(r)] == k) s.pending.push_back(r);
    if (s.pending.empty()) continue;
    block.contiguous = static_cast<std::int64_t>(s.pending.size()) == rows;
    trace_round(block, k, s, trace, first_row);
  }
}

void AnalogProduct::trace_round(Block block, std::uint32_t round, ProductScratch& s, ProductTrace& trace,
                                std::int64_t first_row) const {
  const auto n = static_cast<std::int64_t>(s.pending.size());
  RoundRecord record;
  record.phases.resize(trace.phases.size());
  record.clipped.assign(s.pending.size(), 0);
  if (trace.phases.size() > 1)
    for (PhaseTrace& phase : record.phases) phase.z = Matrix::uninitialized(n, inputs());
  block.record = &record;
  run_round(block, round, s);

  scale_pending(block, s);
  const std::span<const float> unscale(s.unscale.data(), static_cast<std::size_t>(n));
  for (std::size_t p = 0; p < record.phases.size(); ++p) {
    PhaseTrace& from = record.phases[p];
    PhaseTrace& to = trace.phases[p];
    for (Matrix* m : {&from.slope, &from.variance, &from.slope_sum})
      if (block.unscaled) multiply_rows(m->view(), unscale);
    // The lines of a single pass are the converted inputs.
    const ConstMatrixView z =
        record.phases.size() > 1 ? std::as_const(from.z).view() : ConstMatrixView(s.converted.data(), n, inputs());
    scatter(z, to.z, first_row, s.pending);
    for (const auto& [m, target] : {std::pair{&from.slope, &to.slope},
                                    {&from.variance, &to.variance},
                                    {&from.slope_sum, &to.slope_sum},
                                    {&from.line_slope, &to.line_slope}})
      scatter(std::as_const(*m).view(), *target, first_row, s.pending);
    for (std::size_t i = 0; i < from.engine.size(); ++i)
      scatter(std::as_const(from.engine[i]).view(), to.engine[i], first_row, s.pending);
  }
  for (std::int64_t i = 0; i < n; ++i) {
    const auto row = static_cast<std::size_t>(first_row + s.pending[static_cast<std::size_t>(i)]);
    trace.clipped[row] = record.clipped[static_cast<std::size_t>(i)];
    if (block.scaled) trace.scale[row] = s.scale[static_cast<std::size_t>(i)];
  }
}

}  // namespace tessera::tile
