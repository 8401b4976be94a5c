#pragma once
#include <array>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "tessera/core/tensor.hpp"
#include "tessera/quant/uniform_quantizer.hpp"

/// Estimators of quantization ranges from data (quantization reference, section B).
namespace tessera::quant {

/// The rules; words and numbers are part of the documented interface.
enum class RangeEstimators { current_minmax = 0, allminmax = 1, running_minmax = 2, MSE = 3, cross_entropy = 4 };
inline constexpr std::array<const char*, 5> range_estimator_names{"current_minmax", "allminmax", "running_minmax",
                                                                  "MSE", "cross_entropy"};
const char* to_string(RangeEstimators estimator);

/// How the MSE and cross-entropy estimators search.
enum class OptMethod { grid = 1, golden_section = 2 };
inline constexpr std::array<const char*, 2> opt_method_names{"grid", "golden_section"};
const char* to_string(OptMethod method);

/// Minimum and maximum of the latest batch, or percentiles of it.
struct CurrentMinMaxEstimatorParams {
  /// p in (0, 50): per tensor (p-th percentile, maximum), per channel (p-th, (100-p)-th percentile); none or 0: off.
  std::optional<double> percentile = std::nullopt;
  bool two_sided = false;  ///< beyond the peer: both percentiles for a per-tensor range too
  bool operator==(const CurrentMinMaxEstimatorParams&) const = default;
};

/// The first batch gives its minimum and maximum, then  cur = (1 - momentum) * new + momentum * cur  in float32.
struct RunningMinMaxEstimatorParams {
  double momentum = 0.9;  ///< in [0, 1]
  bool operator==(const RunningMinMaxEstimatorParams&) const = default;
};

/// The range of least squared error  sum (x - Q(x))^2.
struct MSEEstimatorParams {
  OptMethod range_opt_method = OptMethod::golden_section;
  int num_candidates = 100;   ///< grid points, >= 1
  double range_margin = 0.5;  ///< how far beyond the data's extremes the search goes, >= 0
  bool operator==(const MSEEstimatorParams&) const = default;
};

/// The range of least cross-entropy  sum -softmax(x) log softmax(Q(x))  over dimension 1: for the logits of a
/// classifier.
struct CrossEntropyEstimatorParams : MSEEstimatorParams {
  bool operator==(const CrossEntropyEstimatorParams&) const = default;
};

/// Options of an estimator; none (monostate) for allminmax.
using RangeEstimatorParams = std::variant<std::monostate, CurrentMinMaxEstimatorParams, RunningMinMaxEstimatorParams,
                                          MSEEstimatorParams, CrossEntropyEstimatorParams>;
/// The options every configuration starts with.
RangeEstimatorParams default_params(RangeEstimators estimator);
/// Whether these options belong to the estimator; cross-entropy options also fit MSE, the reverse does not hold.
bool params_fit(RangeEstimators estimator, const RangeEstimatorParams& params);

struct RangeEstimatorParameters {
  RangeEstimators estimator = RangeEstimators::current_minmax;
  RangeEstimatorParams params = CurrentMinMaxEstimatorParams{};
  bool per_channel = false;                    ///< one range per index of dimension 0
  std::optional<int> axis = std::nullopt;      ///< one range per index of this dimension; not with per_channel
  std::optional<int> n_groups = std::nullopt;  ///< neighbouring channels share a range; divides the channel count

  bool operator==(const RangeEstimatorParameters&) const = default;
};

/// Throws ConfigError naming every value out of range and options of another estimator.
void validate(const RangeEstimatorParameters& parameters, const std::string& key = "range_estimator");

/// Bounds, one pair per channel (one for a per-tensor estimator).
struct Range {
  std::vector<float> min;
  std::vector<float> max;
  bool operator==(const Range&) const = default;
};

/// Thrown when a range or a search is asked for before any data was seen.
class NoDataPassedError : public Error {
 public:
  NoDataPassedError();
};

/// Watches batches and proposes a range.
///
/// | estimator      | rule                                                                                      |
/// |----------------|-------------------------------------------------------------------------------------------|
/// | current_minmax | minimum and maximum (or percentiles) of the latest batch                                    |
/// | allminmax      | extremes over all batches                                                                  |
/// | running_minmax | exponential average of the extremes                                                        |
/// | MSE, cross_entropy | search below                                                                           |
///
/// Percentile p of n sorted values: position h = p/100 (n-1), linear interpolation in double, rounded to float32.
///
/// Search (B.1, B.3). With n bits, the first batch fixes (until reset) one_sided = (min x >= 0) and
///     one-sided or symmetric:  R = max(|min x|, max x) + margin
///     else:                    P = max x + margin,  M = min x - margin,  R = max(|P|, |M|).
/// grid, step = R / num_candidates, losses summed over all batches, the first smallest wins:
///     one-sided or symmetric:  (lo, hi) = (0 or -step i, step i),  i = 1..num_candidates
///     else, for t = 0..2^n/4-1 and r = +1, -1:  D = 2 step i / (2^n - 1),
///                              (lo, hi) = (max(-step i + r t D, M), min(step i + r t D, P))
/// golden_section: a bounded minimiser (B.2) over r in [0.01 R, R], for the second case with an inner one over the
/// shift in +-(2^n/4) 2r/(2^n - 1). It sees the latest batch only. Per channel: the same R, losses per channel.
///
/// Chosen otherwise than the peer: reset() forgets one_sided too; cross_entropy works per channel; allminmax honours
/// axis; percentiles work with axis (as per channel); NaN or infinite data is refused instead of giving a NaN range.
class RangeEstimator {
 public:
  /// `quantizer` (bits, method, domain) is needed by MSE and cross_entropy and unused otherwise.
  /// ConfigError on bad parameters, or when those two get no quantizer.
  explicit RangeEstimator(const RangeEstimatorParameters& parameters,
                          const std::optional<UniformQuantizerParameters>& quantizer = std::nullopt);

  const RangeEstimatorParameters& parameters() const { return parameters_; }

  /// Takes a batch into account and returns the range now proposed. InputError: no elements, NaN or infinite values,
  /// a channel count that differs from the batches before, no such axis, groups that do not divide the channels,
  /// cross_entropy with fewer than 2 dimensions.
  const Range& estimate(const Shape& shape, std::span<const float> x);
  const Range& estimate(const Tensor& x);

  /// The range now proposed; empty before any data.
  const std::optional<Range>& current() const { return current_; }
  /// Continues from a stored range.
  void set_current(Range range);
  void reset();

  /// Of a search: the grid step R / num_candidates, and whether the data was one-sided. NoDataPassedError before any
  /// data.
  double step_size() const;
  bool one_sided() const;

 private:
  struct Search {
    bool one_sided = false;
    double largest = 0.0;                     // R
    double lower = 0.0;                       // M
    double upper = 0.0;                       // P
    std::vector<std::vector<double>> losses;  // [range][candidate], grid only
  };
  Range batch_extremes(const ChannelLayout& layout, std::span<const float> x) const;
  Range searched(const Shape& shape, const ChannelLayout& layout, std::span<const float> x);

  RangeEstimatorParameters parameters_;
  std::optional<UniformQuantizerParameters> quantizer_;
  std::optional<Range> current_;
  std::optional<Search> search_;
};

}  // namespace tessera::quant
