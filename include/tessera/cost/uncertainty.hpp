#pragma once
#include <functional>
#include <vector>

#include "tessera/cost/components.hpp"

/// How the intervals of the coefficients reach a result (docs/models/cost.md, "Uncertainty").
namespace tessera::cost {

/// low <= nominal <= high.
struct Interval {
  double low = 0.0;
  double nominal = 0.0;
  double high = 0.0;

  bool operator==(const Interval&) const = default;
};

/// Any number of quantities, always as many and in the same order.
using Quantities = std::function<std::vector<double>(const ComponentValues&)>;

/// Each coefficient at its ends while all others are nominal. With independent errors decreases and increases add up in
/// squares, each side for itself:
///     low = max(nominal - sqrt(sum of squared decreases), value with all coefficients at low),
///     high = nominal + sqrt(sum of squared increases).
/// The bound on `low` holds for quantities that grow with every coefficient; it is left out with `monotone` false
/// (ratios).
std::vector<Interval> intervals(const ComponentTable& table, const Quantities& quantities, bool monotone = true);

/// Quantities with all coefficients nominal, and with one coefficient at an end: what intervals, and those of ratios, are
/// made of. A file that keeps them lets any two configurations be compared with common coefficients.
struct Ends {
  std::vector<double> nominal;            ///< [quantity]
  std::vector<std::vector<double>> low;   ///< [coefficient][quantity]
  std::vector<std::vector<double>> high;  ///< [coefficient][quantity]
};
Ends at_ends(const ComponentTable& table, const Quantities& quantities);

/// As above, from the ends; `least`: values with all coefficients at low, which bound `low` (empty: no bound).
std::vector<Interval> intervals(const Ends& ends, const std::vector<double>& least = {});

/// One quantity of Ends.
struct EndValues {
  double nominal = 0.0;
  std::vector<double> low, high;  ///< by coefficient
};
/// The interval of ours / theirs, both at the same end of the same coefficient; 1 where theirs is 0.
Interval ratio(const EndValues& ours, const EndValues& theirs);

/// factor / interval: a large energy is a small efficiency. 0 where the interval is 0.
Interval reversed(double factor, const Interval& interval);

}  // namespace tessera::cost
