#pragma once
#include <vector>

#include "tessera/circuit/wires.hpp"

/// The peer's iteration on cell voltages, kept to compare with it: v <- v + gamma (V0 - Z (G v) - v) until the largest
/// V0 - Z (G v) - v is below a tolerance; after `iterations` steps without success gamma *= 0.98 and all starts anew,
/// below 0.01 it gives up. Converges only for gamma < 2/(1 + lambda), lambda about (4/pi^2) mean(G) (Rrow p^2 + Rcol
/// n^2).
namespace tessera::circuit {

struct FixedPoint {
  double tolerance = 1e-3;
  double gamma = 1.0;
  int iterations = 100;
};

/// Currents [outputs] for one input vector (input source). Throws RunError where it gives up.
std::vector<double> fixed_point_currents(const Cells& cells, const Wires& wires, std::span<const double> v,
                                         const FixedPoint& settings);

}  // namespace tessera::circuit
