#pragma once
#include <utility>
#include <variant>

#include "tessera/circuit/real_matrix.hpp"

/// Current of one cell over its voltage. All laws are I = G V + c2 V^2 + c3 V^3 with G the conductance at V -> 0 (S),
/// V in volts, I in amperes.
namespace tessera::circuit {

/// Ohm's law.
struct LinearCell {
  bool operator==(const LinearCell&) const = default;
};

/// I = G (V - k V^3); CrossSim's CubicDevice is k = 1/4 per V^2 (an example, no device).
struct CubicCell {
  double k = 0.25;
  bool operator==(const CubicCell&) const = default;
};

/// Resistive memory of Milo et al., IRPS 2021, Fig. 1, up to 0.5 V, with l = log10(G / S):
///     c2 = 1.388e-4 l^3 + 1.541e-3 l^2 + 5.711e-3 l + 7.063e-3,   c3 = 8.871e-5 l^2 + 6.7919e-4 l + 1.2968e-3,
/// both 0 below 1 nS. Fitted at 62.5..110 uS and an assumed linear point at 225 uS.
struct RramMiloCell {
  bool operator==(const RramMiloCell&) const = default;
};

using CellLaw = std::variant<LinearCell, CubicCell, RramMiloCell>;

/// The largest voltage (magnitude, V) that a law is meant for.
double voltage_limit(const CellLaw& law);

/// The law of one cell.
struct CellCurve {
  double c1 = 0.0, c2 = 0.0, c3 = 0.0;
  double current(double v) const { return v * (c1 + v * (c2 + v * c3)); }
  double slope(double v) const { return c1 + v * (2.0 * c2 + v * 3.0 * c3); }
  /// The voltages around 0 between which the current rises; infinite where it always does.
  std::pair<double, double> rising_range() const;
};
CellCurve cell_curve(const CellLaw& law, double conductance_S);

}  // namespace tessera::circuit
