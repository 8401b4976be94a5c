#include "tessera/kernels/ladder.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/ladder_simd.hpp"
#include "tessera/core/error.hpp"

namespace tessera::kernels {
namespace {

/// More than any number of a star grows by from one cell to the next.
double growth(std::int64_t inputs, const LadderWires& w) {
  const double line = 1.0 + w.first_row + static_cast<double>(inputs) * (w.row_step + w.column_step);
  return 2.0 * line * line;
}

}  // namespace

bool PackedLadder::representable(std::int64_t inputs, const LadderWires& wires) {
  return growth(inputs, wires) < 2e24;
}

PackedLadder::PackedLadder(ConstDoubleView cells, double unit, const LadderWires& wires)
    : inputs_(cells.cols), outputs_(cells.rows), wires_(wires) {
  require<InputError>(representable(inputs_, wires), "wires of {:.3g} and {:.3g} cells per segment are beyond float32",
                      wires.row_step, wires.column_step);
  constexpr double room = 30.0;  // powers of ten within float32, on either side of 1
  cells_per_scale_ =
      std::clamp<std::int64_t>(static_cast<std::int64_t>(room / std::log10(growth(inputs_, wires))), 1, 96);
  const std::int64_t panels = (outputs_ + width - 1) / width;
  panels_.assign(static_cast<std::size_t>(panels * inputs_ * width), 1.0F);  // lines beyond the last conduct, too
  for (std::int64_t j = 0; j < outputs_; ++j) {
    float* const panel = panels_.data() + j / width * inputs_ * width + j % width;
    for (std::int64_t i = 0; i < inputs_; ++i) panel[i * width] = static_cast<float>(cells(j, i) / unit);
  }
}

detail::OpenInputs detail::open_inputs(ConstMatrixView gates, std::int64_t inputs, MatrixView out,
                                       std::int64_t outputs) {
  require<InputError>(gates.cols == inputs && out.cols == outputs && gates.rows == out.rows,
                      "{}x{} gates and {}x{} currents do not fit {} lines of {} cells", gates.rows, gates.cols,
                      out.rows, out.cols, outputs, inputs);
  OpenInputs open{std::vector<std::int32_t>(static_cast<std::size_t>(gates.rows * gates.cols + 1)), {0}};
  std::int32_t* next = open.active.data();  // without a branch: gates are as good as random
  for (std::int64_t r = 0; r < gates.rows; ++r) {
    const float* row = gates.row(r);
    for (std::int64_t i = 0; i < gates.cols; ++i) {
      *next = static_cast<std::int32_t>(i);
      next += row[i] != 0.0F ? 1 : 0;
    }
    open.begin.push_back(next - open.active.data());
  }
  return open;
}

void PackedLadder::add_currents(ConstMatrixView gates, float sign, MatrixView out) const {
  const detail::OpenInputs open = detail::open_inputs(gates, inputs_, out, outputs_);
  const detail::LadderFunction run = detail::ladder_function();
  for (std::int64_t first = 0; first < outputs_; first += width)
    run({.cells = panels_.data() + first * inputs_,
         .inputs = inputs_,
         .active = open.active.data(),
         .begin = open.begin.data(),
         .vectors = gates.rows,
         .wires = wires_,
         .cells_per_scale = cells_per_scale_,
         .sign = sign,
         .out = out.data + first,
         .stride = out.stride,
         .outputs = std::min(width, outputs_ - first)});
}

}  // namespace tessera::kernels
