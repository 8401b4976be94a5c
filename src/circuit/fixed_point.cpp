#include "tessera/circuit/fixed_point.hpp"

#include <algorithm>
#include <cmath>

#include "circuit/wire_drop.hpp"

namespace tessera::circuit {

std::vector<double> fixed_point_currents(const Cells& cells, const Wires& wires, std::span<const double> v,
                                         const FixedPoint& settings) {
  check_array(cells, wires);
  require<InputError>(static_cast<std::int64_t>(v.size()) == cells.inputs() && wires.current_from_input,
                      "{} voltages do not fit an array of {} inputs with an input source", v.size(), cells.inputs());
  const std::int64_t p = cells.outputs(), n = cells.inputs();
  std::vector<double> bias, g;
  for (std::int64_t k = 0; k < cells.sets(); ++k)
    for (std::int64_t j = 0; j < p; ++j)
      for (std::int64_t i = 0; i < n; ++i) {
        bias.push_back((k == 0 ? 1.0 : -1.0) * v[static_cast<std::size_t>(i)]);
        g.push_back(cells.set(k)(j, i));
      }
  const detail::WireDrop drop(cells.sets(), p, n, wires);
  std::vector<double> current(bias.size()), lost(bias.size());
  double gamma = settings.gamma;
  while (gamma >= 0.01) {
    std::vector<double> voltage = bias;
    for (int step = 0; step < settings.iterations; ++step) {
      for (std::size_t c = 0; c < g.size(); ++c) current[c] = g[c] * voltage[c];
      drop.total(current, lost);
      double error = 0.0;
      for (std::size_t c = 0; c < g.size(); ++c) {
        const double residual = bias[c] - lost[c] - voltage[c];
        error = std::max(error, std::abs(residual));
        voltage[c] += gamma * residual;
      }
      if (!std::isfinite(error)) break;
      if (error >= settings.tolerance) continue;
      std::vector<double> sums(static_cast<std::size_t>(p), 0.0);
      for (std::size_t c = 0; c < g.size(); ++c)
        sums[c % static_cast<std::size_t>(p * n) / static_cast<std::size_t>(n)] += g[c] * voltage[c];
      return sums;
    }
    gamma *= 0.98;
  }
  throw RunError(
      "the fixed-point iteration of the wires does not converge for this array; use simulation.solver: EXACT");
}

}  // namespace tessera::circuit
