#pragma once
#include <memory>
#include <optional>

#include "tessera/circuit/cell_voltages.hpp"
#include "tessera/circuit/ladder.hpp"

/// A crossbar array by itself: conductances and wires to currents.
///
///     const Crossbar crossbar(g, {.row_ohm = 1.0, .column_ohm = 1.0});    // g in siemens, [outputs, inputs]
///     const RealMatrix amperes = crossbar.currents(volts);                // [vectors, inputs] to [vectors, outputs]
///
/// Linear cells with an input source are solved once, when the crossbar is built; every vector is then one product.
/// Gated arrays run through ladders, nonlinear cells through Newton's method, vector by vector.
namespace tessera::circuit {

class Crossbar {
 public:
  /// Throws InputError for cells that are no array, ConfigError for wires that are none.
  Crossbar(RealMatrix conductances_S, const Wires& wires, const CellLaw& law = LinearCell{}, Parallel parallel = {});
  /// Interleaved pairs: the negative cells share the output lines and are driven with the opposite voltage.
  Crossbar(RealMatrix positive_S, RealMatrix negative_S, const Wires& wires, const CellLaw& law = LinearCell{},
           Parallel parallel = {});

  std::int64_t outputs() const { return positive_.rows(); }
  std::int64_t inputs() const { return positive_.cols(); }
  const Wires& wires() const { return wires_; }

  /// Sensed currents (A) for driver voltages (V), or gates of a separate source (0: closed).
  RealMatrix currents(ConstRealView inputs, Parallel parallel = {}) const;
  /// Voltages at both ends of every cell for one vector.
  CellVoltages node_voltages(std::span<const double> input) const;
  /// M with I = M V; nothing for a separate source or nonlinear cells, whose currents are not linear.
  const std::optional<RealMatrix>& effective_matrix() const { return matrix_; }

 private:
  Cells cells() const;

  RealMatrix positive_, negative_;
  Wires wires_;
  CellLaw law_;
  std::optional<RealMatrix> matrix_;
  std::shared_ptr<const GatedArray> gated_;
};

}  // namespace tessera::circuit
