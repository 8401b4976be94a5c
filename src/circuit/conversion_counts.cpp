#include <algorithm>
#include <cmath>

#include "tessera/circuit/converters.hpp"

namespace tessera::circuit {
namespace {

template <class T>
void observe_currents(BasicMatrixView<const T> currents, ConversionCounts& counts) {
  for (std::int64_t r = 0; r < currents.rows; ++r)
    for (const T current : currents.row_span(r)) {
      counts.lowest = std::min(counts.lowest, static_cast<double>(current));
      counts.highest = std::max(counts.highest, static_cast<double>(current));
    }
  if (!counts.histogram) return;
  CurrentHistogram& h = *counts.histogram;
  const double last = static_cast<double>(h.bins.size()) - 1.0;
  const double per_unit = h.high > h.low ? static_cast<double>(h.bins.size()) / (h.high - h.low) : 0.0;
  for (std::int64_t r = 0; r < currents.rows; ++r)
    for (const T current : currents.row_span(r)) {
      const double bin = std::floor((static_cast<double>(current) - h.low) * per_unit);
      ++h.bins[static_cast<std::size_t>(std::clamp(bin, 0.0, last))];
    }
}

void add_counts(std::vector<std::int64_t>& sum, const std::vector<std::int64_t>& part) {
  if (sum.size() < part.size()) sum.resize(part.size(), 0);
  for (std::size_t i = 0; i < part.size(); ++i) sum[i] += part[i];
}

}  // namespace

ConversionCounts ConversionCounts::blank() const {
  ConversionCounts counts;
  if (histogram) {
    counts.histogram = CurrentHistogram{histogram->low, histogram->high, {}};
    counts.histogram->bins.assign(histogram->bins.size(), 0);
  }
  return counts;
}

void ConversionCounts::add(const ConversionCounts& other) {
  conversions += other.conversions;
  below += other.below;
  above += other.above;
  lowest = std::min(lowest, other.lowest);
  highest = std::max(highest, other.highest);
  add_counts(codes, other.codes);
  if (!other.histogram) return;
  if (!histogram) histogram = CurrentHistogram{other.histogram->low, other.histogram->high, {}};
  add_counts(histogram->bins, other.histogram->bins);
}

void ConversionCounts::observe(ConstMatrixView currents) {
  observe_currents(currents, *this);
}
void ConversionCounts::observe(ConstRealView currents) {
  observe_currents(currents, *this);
}

double ConversionCounts::codes_used() const {
  if (conversions == 0 || codes.empty()) return std::numeric_limits<double>::quiet_NaN();
  const auto used = std::count_if(codes.begin(), codes.end(), [](std::int64_t n) { return n > 0; });
  return static_cast<double>(used) / static_cast<double>(codes.size());
}

}  // namespace tessera::circuit
