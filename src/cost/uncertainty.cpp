#include "tessera/cost/uncertainty.hpp"

#include <algorithm>
#include <cmath>

#include "tessera/core/error.hpp"

namespace tessera::cost {

Ends at_ends(const ComponentTable& table, const Quantities& quantities) {
  const ComponentValues nominal = table.nominal();
  Ends ends;
  ends.nominal = quantities(nominal);
  const auto moved = [&](std::size_t c, double end) {
    if (end == table.row[c].nominal) return ends.nominal;
    ComponentValues values = nominal;
    values.value[c] = end;
    return quantities(values);
  };
  for (std::size_t c = 0; c < component_count; ++c) {
    ends.low.push_back(moved(c, table.row[c].low));
    ends.high.push_back(moved(c, table.row[c].high));
  }
  return ends;
}

std::vector<Interval> intervals(const Ends& ends, const std::vector<double>& least) {
  std::vector<Interval> result;
  for (std::size_t q = 0; q < ends.nominal.size(); ++q) {
    const double middle = ends.nominal[q];
    double decrease = 0.0, increase = 0.0;
    for (std::size_t c = 0; c < ends.low.size(); ++c)
      for (const double moved : {ends.low[c][q], ends.high[c][q]}) {
        const double change = moved - middle;
        (change < 0.0 ? decrease : increase) += change * change;
      }
    const double bound = least.empty() ? -INFINITY : std::min(least[q], middle);
    result.push_back({std::max(middle - std::sqrt(decrease), bound), middle, middle + std::sqrt(increase)});
  }
  return result;
}

std::vector<Interval> intervals(const ComponentTable& table, const Quantities& quantities, bool monotone) {
  return intervals(at_ends(table, quantities), monotone ? quantities(table.low()) : std::vector<double>{});
}

Interval ratio(const EndValues& ours, const EndValues& theirs) {
  require<InputError>(ours.low.size() == theirs.low.size() && ours.high.size() == theirs.high.size() &&
                          ours.low.size() == ours.high.size(),
                      "a ratio of costs needs the same coefficients: {} and {}", ours.low.size(), theirs.low.size());
  const auto over = [](double a, double b) { return b > 0.0 ? a / b : 1.0; };
  Ends ends{{over(ours.nominal, theirs.nominal)}, {}, {}};
  for (std::size_t c = 0; c < ours.low.size(); ++c) {
    ends.low.push_back({over(ours.low[c], theirs.low[c])});
    ends.high.push_back({over(ours.high[c], theirs.high[c])});
  }
  return intervals(ends).front();
}

Interval reversed(double factor, const Interval& interval) {
  const auto over = [factor](double value) { return value > 0.0 ? factor / value : 0.0; };
  return {over(interval.high), over(interval.nominal), over(interval.low)};
}

}  // namespace tessera::cost
