#pragma once
#include <cstdint>

#include "tessera/core/tensor.hpp"
#include "tessera/kernels/dense_factor.hpp"
#include "tessera/kernels/ladder.hpp"

/// Gated output lines of interleaved pairs as ladders of three wires (supply +, supply -, output), vectorised over the
/// lines. From the sense end to the drivers the symmetric 3x3 admittance Y of the part below, and the sensed current per
/// port voltage h, are carried along in double precision, since what is sensed is a difference:
///
///     start:                Y_bb = h_b = 1/last_column
///     pair G+, G-:          Y_++ += G+;  Y_-- += G-;  Y_bb += G+ + G-;  Y_+b -= G+;  Y_-b -= G-
///     segment R at port q:  s = 1/(1 + R Y_qq);  Y_qr *= s, h_q *= s;  Y_rt -= R Y_qr' Y_qt, h_r -= R Y_qr' h_q
///                           (Y' before, the others after; r, t != q)
///     end, b open:          I = supply ((h_+ - h_- ) - h_b/Y_bb (Y_+b - Y_-b))
///
/// Resistances and conductances are in units of each other.
namespace tessera::kernels {

/// Cells [outputs, inputs] in panels of 16 lines: panel[(i * 2 + set) * 16 + j].
class PackedPairLadder {
 public:
  static constexpr std::int64_t width = 16;

  PackedPairLadder() = default;
  /// InputError unless both sets have one shape and wires.last_column > 0 (else lines are two ladders of two wires).
  PackedPairLadder(ConstDoubleView positive, ConstDoubleView negative, const LadderWires& wires);

  std::int64_t inputs() const { return inputs_; }
  std::int64_t outputs() const { return outputs_; }
  std::int64_t bytes() const { return static_cast<std::int64_t>(panels_.size() * sizeof(double)); }

  /// out += sign * sensed currents [vectors, outputs] of gates [vectors, inputs]: 0 is closed, anything else open. Each
  /// vector's result is a function of its gates alone. InputError for shapes that do not fit.
  void add_currents(ConstMatrixView gates, float sign, MatrixView out) const;

 private:
  std::int64_t inputs_ = 0;
  std::int64_t outputs_ = 0;
  LadderWires wires_;
  AlignedVector<double> panels_;
};

}  // namespace tessera::kernels
