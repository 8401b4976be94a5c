#include "tessera/kernels/pair_ladder.hpp"

#include <algorithm>

#include "kernels/ladder_simd.hpp"
#include "tessera/core/error.hpp"

namespace tessera::kernels {

PackedPairLadder::PackedPairLadder(ConstDoubleView positive, ConstDoubleView negative, const LadderWires& wires)
    : inputs_(positive.cols), outputs_(positive.rows), wires_(wires) {
  require<InputError>(negative.rows == outputs_ && negative.cols == inputs_, "{}x{} and {}x{} cells are no pairs",
                      outputs_, inputs_, negative.rows, negative.cols);
  require<InputError>(wires.last_column > 0.0, "an output line without resistance at its end is no third wire");
  const std::int64_t panels = (outputs_ + width - 1) / width;
  panels_.assign(static_cast<std::size_t>(panels * inputs_ * 2 * width), 1.0);  // lines beyond the last conduct, too
  for (std::int64_t j = 0; j < outputs_; ++j) {
    double* const panel = panels_.data() + j / width * inputs_ * 2 * width + j % width;
    for (std::int64_t i = 0; i < inputs_; ++i) {
      panel[2 * i * width] = positive(j, i);
      panel[(2 * i + 1) * width] = negative(j, i);
    }
  }
}

void PackedPairLadder::add_currents(ConstMatrixView gates, float sign, MatrixView out) const {
  const detail::OpenInputs open = detail::open_inputs(gates, inputs_, out, outputs_);
  const detail::PairLadderFunction run = detail::pair_ladder_function();
  for (std::int64_t first = 0; first < outputs_; first += width)
    run({.cells = panels_.data() + first * inputs_ * 2,
         .inputs = inputs_,
         .active = open.active.data(),
         .begin = open.begin.data(),
         .vectors = gates.rows,
         .wires = wires_,
         .sign = sign,
         .out = out.data + first,
         .stride = out.stride,
         .outputs = std::min(width, outputs_ - first)});
}

}  // namespace tessera::kernels
