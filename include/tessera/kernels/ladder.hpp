#pragma once
#include <cstdint>

#include "tessera/core/tensor.hpp"
#include "tessera/kernels/dense_factor.hpp"

/// Gated output lines of a crossbar as ladders of two wires, in float32, vectorised over the lines: the star of
/// circuit/ladder.hpp in homogeneous coordinates, (rd, rs, rb) = (N, U, W)/D and T = (N U + N W + U W)/D, in which wires
/// and cells act linearly, without division or subtraction:
///
///     segments a, c:   U += a D;  T += (a + c) N + a W + c U;  W += c D
///     cell G:          D += G (U + W);  N += G T
///     end:             I = supply D / (N + W + rest D);          start: D = U = N = 0, W = 1, T = Rst + i Rs
///
/// Resistances are in units of the resistance of a cell of value 1.
namespace tessera::kernels {

struct LadderWires {
  double row_step = 0.0;     ///< per segment of the supply line
  double column_step = 0.0;  ///< per segment of the output line
  double first_row = 0.0;    ///< between driver and first cell
  double last_column = 0.0;  ///< between last cell and sense node
  double supply = 1.0;
};

/// Cells [outputs, inputs] in panels of 64 lines: panel[i * 64 + j].
class PackedLadder {
 public:
  static constexpr std::int64_t width = 64;

  PackedLadder() = default;
  /// Cells in [0, unit]. InputError for wires whose resistance is beyond what float32 can follow (representable()).
  PackedLadder(ConstDoubleView cells, double unit, const LadderWires& wires);

  /// Whether the resistance of all wires of a line is below 1e12 lowest cells.
  static bool representable(std::int64_t inputs, const LadderWires& wires);

  std::int64_t inputs() const { return inputs_; }
  std::int64_t outputs() const { return outputs_; }
  std::int64_t bytes() const { return static_cast<std::int64_t>(panels_.size() * sizeof(float)); }

  /// out += sign * sensed currents [vectors, outputs] of gates [vectors, inputs]: 0 is closed, anything else open. Each
  /// vector's result is a function of its gates alone. Within about 2e-6 of the exact current, relative; instruction
  /// sets without fused multiply-add differ in the last places. InputError for shapes that do not fit.
  void add_currents(ConstMatrixView gates, float sign, MatrixView out) const;

 private:
  std::int64_t inputs_ = 0;
  std::int64_t outputs_ = 0;
  LadderWires wires_;
  std::int64_t cells_per_scale_ = 1;
  AlignedVector<float> panels_;
};

}  // namespace tessera::kernels
