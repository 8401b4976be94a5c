#pragma once
#include <optional>
#include <vector>

#include "tessera/circuit/wires.hpp"
#include "tessera/kernels/ladder.hpp"
#include "tessera/kernels/pair_ladder.hpp"

/// Gated arrays (separate source). Gates carry no current, so output lines do not interact and each is a ladder of two
/// wires (three, with interleaved pairs) in which only the cells of active inputs are present. Everything above an
/// input is a resistor network with three terminals, kept as a star with the arms rd (driver), rs (supply), rb
/// (output):
///
///     first active i:   rd = Rst + (i+1) Rs,  rs = 0,  rb = 1/G
///     next, d further:  rs += d Rs;  rb += d Ro;  t = 1/(1 + G (rs + rb));  q = rs t;  rd += G rb q;  rs = q;  rb *= t
///     end:              I = supply / (rd + rb + (n-1-last) Ro + Ro + Rot);     no active conducting cell: I = 0
///
/// Nothing is subtracted, so the result is exact to rounding at any ratio of wires and cells. Of interleaved pairs the
/// symmetric 3x3 admittance of the part towards the sense node is carried along instead (docs/models).
namespace tessera::circuit {

class GatedArray {
 public:
  /// Throws InputError or ConfigError as check_array does, and ConfigError unless the source is separate.
  /// Without `definition` only add_currents() works: for cells that are used for one vector.
  GatedArray(const Cells& cells, const Wires& wires, bool definition = true);

  /// Sensed currents [vectors, outputs] of gates [vectors, inputs]: 0 is closed, anything else open. Throws InputError
  /// if the number of inputs differs.
  RealMatrix currents(ConstRealView gates, Parallel parallel = {}) const;
  /// out += sign * currents rounded to float32, vectorised over the lines: ladders of two wires within 2e-6 of the exact
  /// currents (kernels/ladder.hpp), interleaved pairs over output wires in double precision (kernels/pair_ladder.hpp).
  void add_currents(ConstMatrixView gates, float sign, MatrixView out) const;

  std::int64_t outputs() const { return outputs_; }
  std::int64_t inputs() const { return inputs_; }
  std::int64_t bytes() const;

 private:
  void two_wires(const RealMatrix& cells, const std::vector<std::int64_t>& active, double sign,
                 std::span<double> out) const;
  void three_wires(const std::vector<std::int64_t>& active, std::span<double> out) const;

  Wires wires_;
  std::int64_t outputs_ = 0, inputs_ = 0;
  bool three_wired_ = false;
  std::vector<kernels::PackedLadder> packed_;  ///< of the positive and the negative cells; none with three wires
  std::optional<kernels::PackedPairLadder> pairs_;
  RealMatrix positive_;  ///< [input, output]
  RealMatrix negative_;
};

}  // namespace tessera::circuit
