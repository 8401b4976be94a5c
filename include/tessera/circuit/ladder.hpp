#pragma once
#include <vector>

#include "tessera/circuit/wires.hpp"
#include "tessera/kernels/ladder.hpp"

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
  GatedArray(const Cells& cells, const Wires& wires);

  /// Sensed currents [vectors, outputs] of gates [vectors, inputs]: 0 is closed, anything else open. Throws InputError
  /// if the number of inputs differs.
  RealMatrix currents(ConstRealView gates, Parallel parallel = {}) const;
  /// out += sign * currents in float32, within 1e-6 of the exact ones: ladders of two wires vectorised over the lines
  /// (kernels/ladder.hpp). Interleaved pairs over output wires have three and take the definition above.
  void add_currents(ConstMatrixView gates, float sign, MatrixView out) const;

  std::int64_t outputs() const { return positive_.cols(); }
  std::int64_t inputs() const { return positive_.rows(); }

 private:
  void two_wires(const RealMatrix& cells, const std::vector<std::int64_t>& active, double sign,
                 std::span<double> out) const;
  void three_wires(const std::vector<std::int64_t>& active, std::span<double> out) const;

  bool three_wired() const { return negative_.rows() > 0 && wires_.last_column_ohm() > 0.0; }

  Wires wires_;
  std::vector<kernels::PackedLadder> packed_;  ///< of the positive and the negative cells; none with three wires
  RealMatrix positive_;                        ///< [input, output]
  RealMatrix negative_;
};

}  // namespace tessera::circuit
