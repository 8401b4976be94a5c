#include "tessera/circuit/cell_law.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tessera::circuit {

double voltage_limit(const CellLaw& law) {
  if (std::holds_alternative<CubicCell>(law)) return 2.0;
  if (std::holds_alternative<RramMiloCell>(law)) return 0.5;
  return std::numeric_limits<double>::infinity();
}

std::pair<double, double> CellCurve::rising_range() const {
  constexpr double infinite = std::numeric_limits<double>::infinity();
  if (!(c1 > 0.0)) return {-infinite, infinite};
  // Roots of 3 c3 v^2 + 2 c2 v + c1; without cancellation.
  if (c3 == 0.0) {
    if (c2 == 0.0) return {-infinite, infinite};
    const double root = -c1 / (2.0 * c2);
    return root < 0.0 ? std::pair(root, infinite) : std::pair(-infinite, root);
  }
  const double discriminant = c2 * c2 - 3.0 * c3 * c1;
  if (discriminant < 0.0) return {-infinite, infinite};
  const double q = -(c2 + std::copysign(std::sqrt(discriminant), c2));
  const double a = q / (3.0 * c3), b = c1 / q;
  const auto [low, high] = std::minmax(a, b);
  if (high < 0.0) return {high, infinite};
  if (low > 0.0) return {-infinite, low};
  return {low, high};
}

CellCurve cell_curve(const CellLaw& law, double conductance_S) {
  const double g = conductance_S;
  if (const auto* cubic = std::get_if<CubicCell>(&law)) return {g, 0.0, -cubic->k * g};
  if (std::holds_alternative<RramMiloCell>(law) && g >= 1e-9) {
    const double l = std::log10(g);
    return {g, ((1.388e-4 * l + 1.541e-3) * l + 5.711e-3) * l + 7.063e-3, (8.871e-5 * l + 6.7919e-4) * l + 1.2968e-3};
  }
  return {g, 0.0, 0.0};
}

}  // namespace tessera::circuit
