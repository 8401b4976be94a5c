#include <algorithm>
#include <cmath>
#include <limits>

#include "tile/analog_product.hpp"
#include "tile/blocks.hpp"

// The forward pass once more, from the same random addresses, with the derivatives that the backward pass needs.
// Rounding is taken as the identity; a clipped value has no derivative; scales of the managements are constants.
namespace tessera::tile {
namespace {

constexpr float nearly_clipped = 0.999F;  // of out_bound: what counts as a clipped output (quantization reference D.4)

bool split_signs(AnalogMVType type) {
  return type == AnalogMVType::POS_NEG_SEPARATE || type == AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM;
}

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

// a *= b, element by element.
void multiply_elements(Matrix& a, const Matrix& b) {
  for (std::size_t i = 0; i < a.values().size(); ++i) a.values()[i] *= b.values()[i];
}

}  // namespace

void AnalogProduct::prepare_trace(ProductTrace& trace, std::int64_t vectors) const {
  resize(trace.o, vectors, outputs());
  trace.scale.resize(static_cast<std::size_t>(vectors));
  trace.clipped.assign(static_cast<std::size_t>(vectors), 0);
  std::size_t passes = 1;
  if (split_signs(io_.mv_type)) passes = 2;
  if (io_.mv_type == AnalogMVType::SPLIT_MODE || io_.mv_type == AnalogMVType::BIT_WISE)
    passes = static_cast<std::size_t>(conversions_);
  trace.phases.resize(perfect_ ? 1 : passes);
  trace.z_share.assign(trace.phases.size(), 1.0F);
  if (!perfect_ && passes > 1 && !split_signs(io_.mv_type)) {
    const std::vector<float> weights = digit_weights();
    for (std::size_t p = 0; p < passes; ++p) trace.z_share[p] = 1.0F / (static_cast<float>(passes) * weights[p]);
  }
  for (PhaseTrace& phase : trace.phases) {
    resize(phase.z, vectors, inputs());
    if (perfect_) continue;
    resize(phase.slope, vectors, outputs());
    if (has_read_noise()) resize(phase.variance, vectors, outputs());
    phase.engine.resize(engine_->recorded());
    for (Matrix& record : phase.engine) resize(record, vectors, outputs());
    if (!frozen_.v_offset.empty()) resize(phase.slope_sum, vectors, outputs());
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
  scale_pending(block, s);
  const std::int64_t n = block.pending;
  const ConstMatrixView x = pending_inputs(block, s);
  const std::uint32_t event = (block.call.event << 16U) + (round << 8U);
  convert_inputs(block, x, event, s);

  std::vector<PhaseTrace> phases(trace.phases.size());
  for (PhaseTrace& phase : phases) {
    if (phases.size() > 1) phase.z = Matrix::uninitialized(n, inputs());
    phase.slope = Matrix::uninitialized(n, outputs());
  }
  Matrix o;
  std::vector<std::int64_t> clipped(static_cast<std::size_t>(n), 0);
  trace_passes(block, event, s, phases, o, clipped);

  const std::span<const float> unscale(s.unscale.data(), static_cast<std::size_t>(n));
  if (block.unscaled) multiply_rows(o.view(), unscale);
  scatter(std::as_const(o).view(), trace.o, first_row, s.pending);
  for (std::size_t p = 0; p < phases.size(); ++p) {
    PhaseTrace& from = phases[p];
    PhaseTrace& to = trace.phases[p];
    for (Matrix* m : {&from.slope, &from.variance, &from.slope_sum})
      if (block.unscaled) multiply_rows(m->view(), unscale);
    // The lines of a single pass are the converted inputs.
    const ConstMatrixView z =
        phases.size() > 1 ? std::as_const(from.z).view() : ConstMatrixView(s.converted.data(), n, inputs());
    scatter(z, to.z, first_row, s.pending);
    for (const auto& [m, target] :
         {std::pair{&from.slope, &to.slope}, {&from.variance, &to.variance}, {&from.slope_sum, &to.slope_sum}})
      scatter(std::as_const(*m).view(), *target, first_row, s.pending);
    for (std::size_t i = 0; i < from.engine.size(); ++i)
      scatter(std::as_const(from.engine[i]).view(), to.engine[i], first_row, s.pending);
  }
  for (std::int64_t i = 0; i < n; ++i) {
    const auto row = static_cast<std::size_t>(first_row + s.pending[static_cast<std::size_t>(i)]);
    trace.clipped[row] = clipped[static_cast<std::size_t>(i)];
    if (block.scaled) trace.scale[row] = s.scale[static_cast<std::size_t>(i)];
  }
}

void AnalogProduct::trace_passes(const Block& block, std::uint32_t event, ProductScratch& s,
                                 std::vector<PhaseTrace>& phases, Matrix& o, std::span<std::int64_t> clipped) const {
  const MatrixView z(s.converted.data(), block.pending, inputs());
  const auto convert = [&](MatrixView v, std::span<PhaseTrace> of, std::uint32_t at, bool read_noise) {
    trace_output(block, v, of, at, read_noise, clipped, s);
  };
  if (split_signs(io_.mv_type)) {
    const bool digital = io_.mv_type == AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM;
    for (std::size_t p = 0; p < 2; ++p) {
      transform(z, phases[p].z.view(), [&](float t) { return p == 0 ? std::min(t, 0.0F) : std::max(t, 0.0F); });
      const bool own = p == 0 && negative_engine_ != nullptr;
      Matrix v = trace_chain(own ? *negative_engine_ : *engine_, phases[p].z.view(), phases[p], s);
      const std::uint32_t at = event + static_cast<std::uint32_t>(p);
      if (digital)
        convert(v.view(), std::span(&phases[p], 1), at, has_read_noise());
      else if (has_read_noise())
        trace_read_noise(block, v.view(), phases[p], at, s);
      if (p == 0)
        o = std::move(v);
      else
        for (std::size_t i = 0; i < v.values().size(); ++i) o.values()[i] += v.values()[i];
    }
    if (!digital) convert(o.view(), phases, event, false);
    return;
  }
  if (phases.size() == 1) {
    o = trace_chain(*engine_, z, phases[0], s);
    convert(o.view(), phases, event, has_read_noise());
    return;
  }
  const MatrixView codes = input_codes(block, s);
  const std::vector<float> weights = digit_weights();
  for (std::size_t p = 0; p < phases.size(); ++p) {
    next_digit(codes, phases[p].z.view(), p + 1 == phases.size());
    Matrix v = trace_chain(*engine_, phases[p].z.view(), phases[p], s);
    convert(v.view(), std::span(&phases[p], 1), event + static_cast<std::uint32_t>(p), has_read_noise());
    for (Matrix* m : {&phases[p].slope, &phases[p].variance, &phases[p].slope_sum, &v})
      for (float& value : m->values()) value *= weights[p];
    if (p == 0)
      o = std::move(v);
    else
      for (std::size_t i = 0; i < v.values().size(); ++i) o.values()[i] += v.values()[i];
  }
}

// The current in front of read noise, with what IR drop, voltage offsets and series resistance make of it.
Matrix AnalogProduct::trace_chain(const Engine& engine, ConstMatrixView z, PhaseTrace& phase, ProductScratch& s) const {
  const std::int64_t n = z.rows;
  Matrix v = Matrix::uninitialized(n, outputs());
  phase.engine.resize(engine.recorded());
  for (Matrix& record : phase.engine) resize(record, n, outputs());
  columns(engine, z, v.view(), phase.engine, s);
  std::fill(phase.slope.values().begin(), phase.slope.values().end(), 1.0F);
  if (!frozen_.v_offset.empty()) {
    const auto r_series = static_cast<float>(io_.r_series);
    const auto w_min = static_cast<float>(io_.v_offset_w_min);
    const auto slope_at = [&](float t) {  // of t / (1 + R |t|)
      const float d = 1.0F + r_series * std::fabs(t);
      return 1.0F / (d * d);
    };
    phase.slope_sum = Matrix::uninitialized(n, outputs());
    for (std::int64_t r = 0; r < n; ++r) {
      double sum = 0.0;
      for (const float t : z.row_span(r)) sum += static_cast<double>(t);
      const float reference = -w_min * static_cast<float>(sum);
      for (std::int64_t i = 0; i < outputs(); ++i) {
        const float offset = frozen_.v_offset[static_cast<std::size_t>(i)];
        float& slope = phase.slope(r, i);
        float& slope_sum = phase.slope_sum(r, i);
        if (w_min == 0.0F) {
          slope = (1.0F - offset) * slope_at(v(r, i));
          slope_sum = 0.0F;
        } else if (r_series > 0.0F) {
          slope = (1.0F - offset) * slope_at(v(r, i) + reference);
          slope_sum = -w_min * (slope - (1.0F + offset) * slope_at(reference));
        } else {
          slope = 1.0F - offset;
          slope_sum = -w_min * (-2.0F * offset);
        }
      }
    }
    offsets_and_series(z, v.view());
  }
  if (has_read_noise() && io_.w_noise_type != WeightNoiseType::PCM_READ) {
    const MatrixView variance = view(s.variance, v.rows(), v.cols());
    for (std::int64_t r = 0; r < n; ++r) {
      double sum = 0.0;
      for (const float t : z.row_span(r)) sum += static_cast<double>(t) * static_cast<double>(t);
      std::fill_n(variance.row(r), variance.cols, static_cast<float>(sum));
    }
  }
  return v;
}

void AnalogProduct::trace_read_noise(const Block& block, MatrixView v, PhaseTrace& phase, std::uint32_t event,
                                     ProductScratch& s) const {
  add_read_noise(block, v, event, s);
  phase.variance = Matrix::uninitialized(v.rows, v.cols);
  const auto scale = static_cast<float>(io_.w_noise);
  for (std::size_t i = 0; i < phase.variance.values().size(); ++i)
    phase.variance.values()[i] = s.variance[i] > 0.0F ? 0.5F * scale * s.draws[i] / std::sqrt(s.variance[i]) : 0.0F;
}

// v becomes the converted output, and the derivatives of the phases that led to it those of the output.
void AnalogProduct::trace_output(const Block& block, MatrixView v, std::span<PhaseTrace> phases, std::uint32_t event,
                                 bool read_noise, std::span<std::int64_t> clipped, ProductScratch& s) const {
  const bool together = read_noise && !frozen_.saturates() && io_.out_asymmetry == 0.0;
  if (read_noise && !together) trace_read_noise(block, v, phases[0], event, s);
  Matrix slope = Matrix::uninitialized(v.rows, v.cols);
  std::fill(slope.values().begin(), slope.values().end(), 1.0F);
  if (frozen_.saturates()) {
    for (std::int64_t r = 0; r < v.rows; ++r)
      for (std::int64_t i = 0; i < v.cols; ++i) {
        const float d = 1.0F + std::fabs(frozen_.out_nonlinearity[static_cast<std::size_t>(i)] * v(r, i));
        slope(r, i) = frozen_.out_nonlinearity_factor / (d * d);
      }
    saturate(v);
  }
  if (io_.out_asymmetry != 0.0) {
    const float factor = 1.0F - static_cast<float>(io_.out_asymmetry);
    for (std::int64_t r = 0; r < v.rows; ++r)
      for (std::int64_t i = 0; i < v.cols; ++i)
        if (v(r, i) < 0.0F) slope(r, i) *= factor;
    transform(v, v, [&](float t) { return t < 0.0F ? t * factor : t; });
  }
  kernels::AdcBlock adc;  // without its bound: what lies exactly on it is not clipped
  adc.v = v;
  adc.y = v;
  adc.converter.step = adc_.step;
  if (together || !frozen_.out_noise_values.empty() || io_.out_noise > 0.0) {
    fill_draws(block, output_noise_, event, v.cols, s, s.draws, false);
    adc.noise = s.draws.data();
    adc.noise_std = static_cast<float>(io_.out_noise);
    adc.noise_stds = frozen_.out_noise_values.empty() ? nullptr : frozen_.out_noise_values.data();
    if (together) {
      adc.variance = s.variance.data();
      adc.variance_factor = static_cast<float>(io_.w_noise * io_.w_noise);
      phases[0].variance = Matrix::uninitialized(v.rows, v.cols);
      for (std::int64_t r = 0; r < v.rows; ++r)
        for (std::int64_t i = 0; i < v.cols; ++i) {
          const auto at = static_cast<std::size_t>(r * v.cols + i);
          const float std = adc.noise_stds != nullptr ? adc.noise_stds[i] : adc.noise_std;
          const float total = std * std + adc.variance_factor * s.variance[at];
          phases[0].variance(r, i) = total > 0.0F ? 0.5F * adc.variance_factor * s.draws[at] / std::sqrt(total) : 0.0F;
        }
    }
  }
  if (io_.out_sto_round && adc_.step > 0.0F) {
    fill_draws(block, adc_rounding_, event, v.cols, s, s.dither, true);
    adc.dither = s.dither.data();
  }
  kernels::convert_outputs(adc);
  const float bound = adc_.bound;
  for (std::int64_t r = 0; r < v.rows; ++r) {
    float* out = v.row(r);
    float* derivative = slope.view().row(r);
    std::int32_t count = 0;
    const float near = nearly_clipped * bound;
    for (std::int64_t i = 0; i < v.cols; ++i) {
      const float value = out[i];
      const float size = std::fabs(value);
      count += size >= near ? 1 : 0;
      derivative[i] = size > bound ? 0.0F : derivative[i];
      const float above = value > -bound ? value : -bound;
      out[i] = above < bound ? above : bound;
    }
    clipped[static_cast<std::size_t>(r)] += count;
  }
  for (PhaseTrace& phase : phases) {
    multiply_elements(phase.slope, slope);
    if (phase.variance.rows() > 0) multiply_elements(phase.variance, slope);
    if (phase.slope_sum.rows() > 0) multiply_elements(phase.slope_sum, slope);
  }
}

void AnalogProduct::dac_backward(ConstMatrixView x, float range, ConstMatrixView z, const float* scale,
                                 MatrixView dz) const {
  if (perfect_) return;
  const float factor = 1.0F - static_cast<float>(io_.inp_asymmetry);
  // What rounds to a level beyond the bound is clipped.
  const float limit = dac_.step > 0.0F ? (std::floor(dac_.bound / dac_.step + 1e-3F) + 0.5F) * dac_.step : dac_.bound;
  const float largest = range > 0.0F ? range : std::numeric_limits<float>::infinity();
  for (std::int64_t r = 0; r < dz.rows; ++r) {
    const float c = scale[r];
    const float below = factor * c;
    const float unit = range > 0.0F ? c / range : c;
    float* d = dz.row(r);
    const float* in = x.row(r);
    const float* out = z.row(r);
    for (std::int64_t k = 0; k < x.cols; ++k) {
      const float size = std::fabs(in[k]);
      const float slope = out[k] < 0.0F ? below : c;
      const float t = (size < largest ? size : largest) * unit;
      d[k] = t > limit ? 0.0F : d[k] * slope;
    }
  }
}

}  // namespace tessera::tile
