#include "tessera/cost/uncertainty.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::cost {

std::vector<Interval> intervals(const ComponentTable& table, const Quantities& quantities, bool monotone) {
  const ComponentValues nominal = table.nominal();
  const std::vector<double> middle = quantities(nominal);
  std::vector<double> decrease(middle.size(), 0.0);
  std::vector<double> increase(middle.size(), 0.0);
  bool spread = false;
  for (std::size_t c = 0; c < component_count; ++c) {
    for (const double end : {table.row[c].low, table.row[c].high}) {
      if (end == table.row[c].nominal) continue;
      spread = true;
      ComponentValues values = nominal;
      values.value[c] = end;
      const std::vector<double> moved = quantities(values);
      for (std::size_t q = 0; q < middle.size(); ++q) {
        const double change = moved[q] - middle[q];
        (change < 0.0 ? decrease : increase)[q] += change * change;
      }
    }
  }
  std::vector<double> least(middle.size(), -INFINITY);
  if (spread && monotone) least = quantities(table.low());
  std::vector<Interval> result;
  for (std::size_t q = 0; q < middle.size(); ++q) {
    const double low = std::max(middle[q] - std::sqrt(decrease[q]), std::min(least[q], middle[q]));
    result.push_back({low, middle[q], middle[q] + std::sqrt(increase[q])});
  }
  return result;
}

Interval reversed(double factor, const Interval& interval) {
  const auto over = [factor](double value) { return value > 0.0 ? factor / value : 0.0; };
  return {over(interval.high), over(interval.nominal), over(interval.low)};
}

}  // namespace tessera::cost
