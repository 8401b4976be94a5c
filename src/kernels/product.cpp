#include "tessera/kernels/limited_product.hpp"

#include <algorithm>

#include "kernels/product_simd.hpp"

namespace tessera::kernels {
namespace {

std::int64_t round_up(std::int64_t n, std::int64_t unit) {
  return (n + unit - 1) / unit * unit;
}

// Rows of a block: enough to reuse a panel from the second-level cache, few enough that the vectors of the block stay
// there.
constexpr std::int64_t block_rows = 96;

void check_shapes(const PackedMatrix& weight, ConstMatrixView x, MatrixView y, std::span<const float> bias) {
  require<InputError>(x.cols == weight.inputs() && y.cols == weight.outputs() && x.rows == y.rows,
                      "product of {}x{} vectors with {}x{} weights into {}x{} does not fit", x.rows, x.cols,
                      weight.outputs(), weight.inputs(), y.rows, y.cols);
  require<InputError>(bias.empty() || static_cast<std::int64_t>(bias.size()) == weight.outputs(),
                      "bias of {} values does not fit {} outputs", bias.size(), weight.outputs());
}

detail::PanelProduct panel_of(const PackedMatrix& weight, std::int64_t p, ConstMatrixView x, MatrixView y) {
  const std::int64_t first = p * PackedMatrix::panel_outputs;
  detail::PanelProduct product;
  product.panel = weight.panel(p);
  product.width = weight.panel_width(p);
  product.outputs = std::min(PackedMatrix::panel_outputs, weight.outputs() - first);
  product.inputs = weight.inputs();
  product.x = x.data;
  product.x_stride = x.stride;
  product.y = y.data + first;
  product.y_stride = y.stride;
  product.rows = x.rows;
  return product;
}

void multiply_block(const PackedMatrix& weight, ConstMatrixView x, MatrixView y, std::span<const float> bias,
                    bool magnitudes, const Limits* limits, std::int64_t first_panel, std::int64_t last_panel,
                    detail::PanelFunction run) {
  for (std::int64_t p = first_panel; p < last_panel; ++p) {
    detail::PanelProduct product = panel_of(weight, p, x, y);
    product.bias = bias.empty() ? nullptr : bias.data() + p * PackedMatrix::panel_outputs;
    product.magnitudes = magnitudes;
    product.limits = limits;
    run(product);
  }
}

void multiply_all(const PackedMatrix& weight, ConstMatrixView x, MatrixView y, Parallel parallel,
                  std::span<const float> bias, bool magnitudes, const Limits* limits = nullptr) {
  check_shapes(weight, x, y, bias);
  if (x.rows == 0 || weight.outputs() == 0) return;
  const auto run = detail::panel_function();
  const std::int64_t blocks = (x.rows + block_rows - 1) / block_rows;
  const std::int64_t panels = weight.panel_count();
  // Small products are not worth waking threads for; few vectors are shared out by panels instead of by blocks.
  const bool small = x.rows * weight.inputs() * weight.outputs() < 64 * 1024;
  const std::int64_t panel_parts =
      blocks >= 2 * parallel.threads ? 1
                                     : std::min<std::int64_t>(panels, 2 * static_cast<std::int64_t>(parallel.threads));
  parallel_for(small ? Parallel{1} : parallel, blocks * panel_parts, [&](std::int64_t task) {
    const std::int64_t block = task / panel_parts;
    const std::int64_t part = task % panel_parts;
    const std::int64_t row = block * block_rows;
    const std::int64_t rows = std::min(block_rows, x.rows - row);
    multiply_block(weight, x.rows_from(row, rows), y.rows_from(row, rows), bias, magnitudes, limits,
                   part * panels / panel_parts, (part + 1) * panels / panel_parts, run);
  });
}

}  // namespace

PackedMatrix::PackedMatrix(ConstMatrixView weight) : outputs_(weight.rows), inputs_(weight.cols) {
  std::int64_t padded = 0;
  for (std::int64_t p = 0; p < panel_count(); ++p) padded += panel_width(p);
  data_.resize(static_cast<std::size_t>(padded * inputs_));
  std::fill(data_.begin(), data_.end(), 0.0F);
  for (std::int64_t i = 0; i < outputs_; ++i) {
    const std::int64_t p = i / panel_outputs;
    const std::int64_t width = panel_width(p);
    float* column = data_.data() + p * panel_outputs * inputs_ + i % panel_outputs;
    const float* row = weight.row(i);
    for (std::int64_t k = 0; k < inputs_; ++k) column[k * width] = row[k];
  }
}

std::int64_t PackedMatrix::panel_width(std::int64_t p) const {
  return std::min(panel_outputs, round_up(outputs_ - p * panel_outputs, 8));
}

float PackedMatrix::operator()(std::int64_t output, std::int64_t input) const {
  const std::int64_t p = output / panel_outputs;
  return panel(p)[input * panel_width(p) + output % panel_outputs];
}

Matrix PackedMatrix::unpacked() const {
  Matrix weight = Matrix::uninitialized(outputs_, inputs_);
  for (std::int64_t i = 0; i < outputs_; ++i)
    for (std::int64_t k = 0; k < inputs_; ++k) weight(i, k) = (*this)(i, k);
  return weight;
}

void multiply(const PackedMatrix& weight, ConstMatrixView x, MatrixView y, Parallel parallel,
              std::span<const float> bias) {
  multiply_all(weight, x, y, parallel, bias, false);
}

void multiply(const PackedMatrix& weight, ConstMatrixView x, MatrixView y, Parallel parallel,
              std::span<const float> bias, const Limits& limits) {
  multiply_all(weight, x, y, parallel, bias, false, limits.any() ? &limits : nullptr);
}

void multiply_magnitudes(const PackedMatrix& weight, ConstMatrixView x, MatrixView y, Parallel parallel) {
  multiply_all(weight, x, y, parallel, {}, true);
}

void multiply_with(const Companions& companions, const PackedMatrix& weight, ConstMatrixView x, MatrixView y) {
  check_shapes(weight, x, y, {});
  const bool variance = companions.variance.rows > 0;
  if (!variance && !companions.ir_drop) return multiply(weight, x, y);
  TESSERA_EXPECT(!companions.ir_drop ||
                 (companions.magnitude.rows == x.rows && companions.magnitude.stride == x.stride));
  TESSERA_EXPECT(!variance || (companions.square.rows == x.rows && companions.square.stride == x.stride));
  TESSERA_EXPECT(!variance || (companions.variance.rows == y.rows && companions.variance.stride == y.stride));
  if (x.rows == 0 || weight.outputs() == 0) return;
  const auto run = detail::companion_function();
  for (std::int64_t p = 0; p < weight.panel_count(); ++p) {
    const std::int64_t first = p * PackedMatrix::panel_outputs;
    detail::CompanionProduct c;
    c.product = panel_of(weight, p, x, y);
    c.magnitude = companions.ir_drop ? companions.magnitude.data : nullptr;
    c.square = variance ? companions.square.data : nullptr;
    c.variance = variance ? companions.variance.data + first : nullptr;
    c.ir_drop = companions.ir_drop;
    c.n_over_g = companions.n_over_g;
    c.ir_drop_scale = companions.ir_drop_scale;
    run(c);
  }
}

}  // namespace tessera::kernels
