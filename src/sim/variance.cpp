#include "tessera/sim/variance.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tessera/core/error.hpp"
#include "tessera/core/statistics.hpp"

namespace tessera::sim {

VarianceComponents variance_components(std::span<const double> values, std::int64_t reads) {
  require<InputError>(reads > 0 && std::ssize(values) % reads == 0, "{} values are not of chips with {} reads each",
                      values.size(), reads);
  constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
  Moments all, chip_means, within;
  for (std::size_t first = 0; first < values.size(); first += static_cast<std::size_t>(reads)) {
    Moments chip;
    for (const double value : values.subspan(first, static_cast<std::size_t>(reads))) chip.add(value);
    all.merge(chip);
    chip_means.add(chip.mean());
    if (reads > 1) within.add(chip.variance());
  }
  VarianceComponents result;
  result.chips = chip_means.count();
  result.reads = reads;
  result.mean = all.mean();
  result.read_variance = reads > 1 && result.chips > 0 ? within.mean() : unknown;
  result.chip_variance = unknown;
  if (result.chips > 1) {
    const double noise = reads > 1 ? result.read_variance / static_cast<double>(reads) : 0.0;
    result.chip_variance = std::max(0.0, chip_means.variance() - noise);
  }
  result.confidence_95 = result.chips > 1 ? chip_means.confidence_95() : all.confidence_95();
  const double known = (std::isnan(result.chip_variance) ? 0.0 : result.chip_variance) +
                       (std::isnan(result.read_variance) ? 0.0 : result.read_variance);
  result.standard_deviation = all.count() > 1 ? std::sqrt(known) : unknown;
  return result;
}

}  // namespace tessera::sim
