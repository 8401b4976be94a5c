#pragma once
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "tessera/circuit/adc_circuit.hpp"
#include "tessera/random/stream.hpp"

/// The analog-to-digital converters of one array: currents (in units of one fully-on cell at full input) to the digital
/// values they stand for.
///
///     QuantizerADC      clip to [lo, hi], 2^b levels with both ends: lo + st rint((I - lo)/st), st = (hi - lo)/(2^b -
///     1);
///                       stochastic_rounding: floor plus Bernoulli(fraction)
///     SignMagnitudeADC  the same with 2^b - 1 levels on [-hi, hi]
///     levels given      the nearest of them;  inl given: the threshold below code c is moved by inl[c] steps
///     circuits          adc_circuit.hpp, over [lo, hi] (adc_range_rule CROSSSIM: over [-R, R], R = max(|lo|, |hi|),
///                       inputs clipped to [lo, hi])
namespace tessera::circuit {

/// Currents by value, in equal bins over [low, high]; what lies beyond an end counts in the end bin.
struct CurrentHistogram {
  double low = 0.0;
  double high = 0.0;
  std::vector<std::int64_t> bins;
  bool operator==(const CurrentHistogram&) const = default;
};

/// What conversions met. Sums and extremes: independent of order.
struct ConversionCounts {
  static constexpr int most_code_bits = 12;

  std::int64_t conversions = 0;
  std::int64_t below = 0;  ///< clipped at the lower end
  std::int64_t above = 0;
  double lowest = std::numeric_limits<double>::infinity();  ///< currents before conversion
  double highest = -std::numeric_limits<double>::infinity();
  std::vector<std::int64_t> codes;            ///< conversions by code (by 2^(b - 12) codes beyond 12 bits)
  std::optional<CurrentHistogram> histogram;  ///< of the currents before conversion, if asked for

  /// Nothing counted yet, with a histogram of the same bins.
  ConversionCounts blank() const;
  void add(const ConversionCounts& other);
  /// Extremes and histogram of currents; also where nothing converts them.
  void observe(ConstMatrixView currents);
  void observe(ConstRealView currents);
  /// Codes that occurred over all codes; NaN without conversions.
  double codes_used() const;
  bool operator==(const ConversionCounts&) const = default;
};

/// Where the draws of a block of conversions come from (stochastic rounding): vector r, output j of the block take the
/// element (first_vector + r) * outputs + j of the event.
struct ConversionDraws {
  random::Stream stream = {};
  std::uint32_t event = 0;
  std::uint64_t first_vector = 0;
};

class Converters {
 public:
  /// Converters of `outputs` lines; mismatch is drawn from `address`, converters `index` of the array (weight slice and
  /// polarity).
  Converters(const AdcParameters& adc, const CompatParameters& compat, const AdcRange& range, std::int64_t outputs,
             const random::Address& address, std::uint32_t index);

  /// In place, [vectors, outputs].
  void convert(MatrixView currents, const ConversionDraws& draws, ConversionCounts* counts) const;
  void convert(RealView currents, const ConversionDraws& draws, ConversionCounts* counts) const;

  const AdcRange& range() const { return range_; }
  /// The value nearest codes stand for: between two of them lies one step.
  double step() const { return step_; }
  /// What code 0 stands for.
  double lowest() const { return adc_.is_circuit() ? centre_ - half_ + 0.5 * step_ : range_.low; }

 private:
  /// Mismatch of one converter that some outputs share.
  struct Group {
    std::vector<double> levels;
    std::vector<Stage> stages;
    std::vector<double> offsets;  ///< SAR: one; pipeline and cyclic: 2 N - 1
  };
  template <class T>
  void convert_block(BasicMatrixView<T> currents, const ConversionDraws& draws, ConversionCounts* counts) const;
  template <class T>
  void uniform_row(std::span<T> row, std::span<const float> uniform) const;
  template <class T>
  void count_codes(std::span<const T> row, ConversionCounts& met) const;
  double table_value(double current) const;
  double circuit_value(double current, std::int64_t output) const;
  void draw_mismatch(const CompatParameters& compat, const random::Address& address, std::uint32_t index,
                     std::int64_t outputs);

  AdcParameters adc_;
  AdcRange range_;
  double step_ = 0.0;
  double centre_ = 0.0, half_ = 1.0;  ///< span of circuit converters
  double gain_ = 1.0;
  std::vector<double> thresholds_, values_;  ///< tables: values_[t] below thresholds_[t]
  std::shared_ptr<const RampTable> ramp_;
  std::vector<double> ramp_offsets_;  ///< per output
  std::vector<Group> groups_;
};

/// Values that minimise the mean squared error of `count` levels over the samples (Lloyd, IEEE Trans. Inf. Theory 28,
/// 129, 1982; Max, 1960): the iteration of "nearest level" and "mean of its cell" from the quantiles, to a fixed point.
/// Throws InputError for fewer than two levels or no samples.
std::vector<double> lloyd_max_levels(std::span<const double> samples, std::int64_t count);
/// The same for currents known by their histogram, every one at the middle of its bin.
std::vector<double> lloyd_max_levels(const CurrentHistogram& currents, std::int64_t count);

/// How the range of converters follows from the currents they see.
enum class ConverterRangeType {
  MAX,       ///< the extremes
  QUANTILE,  ///< the quantiles 1 - q and q (of magnitudes for SignMagnitudeADC)
  MSE        ///< the ends within the extremes for which the mean squared error of clipping and rounding is least
};
/// Range for currents known by their histogram: [low, high] of what is seen; symmetric for a SignMagnitudeADC, from 0
/// for a converter that is not signed. The error of MSE is step^2/12 inside and the distance outside, for the
/// converter's bits. Throws InputError for an empty histogram.
AdcRange found_range(const AdcParameters& adc, const CurrentHistogram& currents, ConverterRangeType type,
                     double quantile);

}  // namespace tessera::circuit
