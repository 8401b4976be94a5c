#include <algorithm>
#include <cmath>

#include "tessera/circuit/converters.hpp"

// What converters are set to for the currents that they see.
namespace tessera::circuit {
namespace {

/// Values in ascending order with their numbers, as running sums: from which means of ranges follow.
struct Distribution {
  std::vector<double> values;
  std::vector<double> count{0.0}, first{0.0}, second{0.0};  ///< of the values before: number, sum, sum of squares

  void add(double value, double number) {
    values.push_back(value);
    count.push_back(count.back() + number);
    first.push_back(first.back() + number * value);
    second.push_back(second.back() + number * value * value);
  }
  /// Sum of (v - level)^2 over [begin, end).
  double squared_distance(std::size_t begin, std::size_t end, double level) const {
    return (second[end] - second[begin]) - 2.0 * level * (first[end] - first[begin]) +
           level * level * (count[end] - count[begin]);
  }
  std::size_t position(double value) const {
    return static_cast<std::size_t>(std::upper_bound(values.begin(), values.end(), value) - values.begin());
  }
  /// The value below which the fraction q of the numbers lies.
  double quantile(double q) const {
    const double wanted = q * count.back();
    const auto at = std::lower_bound(count.begin() + 1, count.end(), wanted) - count.begin() - 1;
    return values[std::min(static_cast<std::size_t>(at), values.size() - 1)];
  }
};

Distribution distribution_of(const CurrentHistogram& currents) {
  Distribution d;
  const double width =
      (currents.high - currents.low) / static_cast<double>(std::max<std::size_t>(1, currents.bins.size()));
  for (std::size_t b = 0; b < currents.bins.size(); ++b)
    if (currents.bins[b] > 0)
      d.add(currents.low + (static_cast<double>(b) + 0.5) * width, static_cast<double>(currents.bins[b]));
  return d;
}

std::vector<double> lloyd_max(const Distribution& d, std::int64_t count) {
  std::vector<double> levels;
  for (std::int64_t c = 0; c < count; ++c) {
    const double at = (static_cast<double>(c) + 0.5) / static_cast<double>(count) * d.count.back();
    const auto after = std::upper_bound(d.count.begin() + 1, d.count.end(), at) - d.count.begin() - 1;
    levels.push_back(d.values[std::min(static_cast<std::size_t>(after), d.values.size() - 1)]);
  }
  for (int iteration = 0; iteration < 10000; ++iteration) {
    std::vector<double> next = levels;
    std::size_t begin = 0;
    for (std::size_t c = 0; c < levels.size(); ++c) {
      const bool last = c + 1 == levels.size();
      const std::size_t end = last ? d.values.size() : d.position(0.5 * (levels[c] + levels[c + 1]));
      if (end > begin) next[c] = (d.first[end] - d.first[begin]) / (d.count[end] - d.count[begin]);
      begin = std::max(begin, end);
    }
    if (next == levels) break;
    levels = std::move(next);
  }
  levels.erase(std::unique(levels.begin(), levels.end()), levels.end());
  return levels;
}

/// Sum of squared errors of even levels over [low, high].
double rounding_error(const Distribution& d, double low, double high, double steps) {
  const double step = (high - low) / steps;
  const std::size_t begin = d.position(low), end = d.position(high);
  // Rounding errors are even within a step: a twelfth of its square.
  return d.squared_distance(0, begin, low) + d.squared_distance(end, d.values.size(), high) +
         (d.count[end] - d.count[begin]) * step * step / 12.0;
}

}  // namespace

std::vector<double> lloyd_max_levels(std::span<const double> samples, std::int64_t count) {
  require<InputError>(count >= 2 && !samples.empty(), "{} levels from {} samples; give at least two and one", count,
                      samples.size());
  std::vector<double> sorted(samples.begin(), samples.end());
  std::sort(sorted.begin(), sorted.end());
  Distribution d;
  for (const double value : sorted) d.add(value, 1.0);
  return lloyd_max(d, count);
}

std::vector<double> lloyd_max_levels(const CurrentHistogram& currents, std::int64_t count) {
  const Distribution d = distribution_of(currents);
  require<InputError>(count >= 2 && !d.values.empty(), "{} levels from {} currents; give at least two and one", count,
                      d.values.size());
  return lloyd_max(d, count);
}

AdcRange found_range(const AdcParameters& adc, const CurrentHistogram& currents, ConverterRangeType type,
                     double quantile) {
  const Distribution d = distribution_of(currents);
  require<InputError>(!d.values.empty(), "no current was seen from which a converter's range follows");
  const bool magnitude = adc.model == AdcModel::SignMagnitudeADC;
  const auto fitted = [&](double low, double high) {
    if (magnitude) return AdcRange{-std::max(-low, high), std::max(-low, high)};
    return AdcRange{adc.is_signed ? low : 0.0, high};
  };
  const AdcRange widest = fitted(currents.low, currents.high);
  // A line that never carries current still has a converter: any range serves.
  if (!(widest.high > widest.low)) return {widest.low - (magnitude ? 1.0 : 0.0), widest.low + 1.0};
  if (type == ConverterRangeType::MAX) return widest;
  if (type == ConverterRangeType::QUANTILE) {
    // Whole bins: a current that is seen often, as zero is, often lies at the outer edge of its bin.
    const auto bins = static_cast<double>(currents.bins.size());
    const double width = (currents.high - currents.low) / bins;
    const double first = std::floor((d.quantile(1.0 - quantile) - currents.low) / width);
    const double end = std::floor((d.quantile(quantile) - currents.low) / width) + 1.0;
    const AdcRange inner =
        fitted(currents.low + first * width, end < bins ? currents.low + end * width : currents.high);
    return inner.high > inner.low ? inner : widest;
  }
  const double codes = std::exp2(adc.bits), steps = std::max(1.0, magnitude ? codes - 2.0 : codes - 1.0);
  AdcRange best = widest;
  double least = std::numeric_limits<double>::infinity();
  const double centre = d.first.back() / d.count.back();
  constexpr int candidates = 64;
  for (int below = candidates; below >= 0; --below)
    for (int above = candidates; above >= 0; --above) {
      const double share_below = static_cast<double>(below) / candidates;
      const double share_above = static_cast<double>(above) / candidates;
      const AdcRange r =
          fitted(std::lerp(centre, currents.low, share_below), std::lerp(centre, currents.high, share_above));
      if (!(r.high > r.low)) continue;
      const double error = rounding_error(d, r.low, r.high, steps);
      if (error < least) {
        least = error;
        best = r;
      }
    }
  return best;
}

}  // namespace tessera::circuit
