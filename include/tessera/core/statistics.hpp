#pragma once
#include <cstdint>
#include <span>
#include <vector>

/// Statistics in double precision. Accumulators are values that merge, so that threads fill one each and the caller
/// combines them in index order: the result does not depend on the thread count.
namespace tessera {

/// Count, mean and variance (Welford; merged as in Chan, Golub, LeVeque 1983). No sum of squares, so no cancellation.
class Moments {
 public:
  void add(double value);
  void add(std::span<const float> values);
  void merge(const Moments& other);

  std::int64_t count() const { return count_; }
  /// NaN without values.
  double mean() const;
  /// Unbiased (divided by count - 1); NaN with fewer than two values.
  double variance() const;
  double standard_deviation() const;
  /// standard_deviation / sqrt(count).
  double standard_error() const;
  /// Half of the width of the 95 % Student-t interval of the mean; NaN with fewer than two values.
  double confidence_95() const;

 private:
  std::int64_t count_ = 0;
  double mean_ = 0.0;
  double sum_squared_deviations_ = 0.0;
};

/// The p-quantile by linear interpolation between order statistics at position p (n - 1) (numpy's and torch's default).
/// Throws InputError if there are no values, one is NaN, or p is outside [0, 1].
double quantile(std::span<const float> values, double p);
double quantile(std::span<const double> values, double p);
/// Several quantiles for one sort.
std::vector<double> quantiles(std::span<const float> values, std::span<const double> p);

/// Standard normal distribution function, accurate in both tails.
double normal_cdf(double x);
/// Its inverse; -inf and inf at 0 and 1; NaN outside [0, 1].
double normal_quantile(double p);
/// Student's t distribution function with `degrees` > 0 degrees of freedom, and its inverse for 0 < p < 1.
double student_t_cdf(double t, double degrees);
double student_t_quantile(double p, double degrees);

/// Agreement of an output with its reference, from sums over all elements.
struct ErrorMeasures {
  std::int64_t count = 0;
  double sum_reference_squared = 0.0;
  double sum_output_squared = 0.0;
  double sum_product = 0.0;
  double sum_error_squared = 0.0;

  /// Adds pairs; throws InputError if the spans differ in length. The summation order is fixed.
  void add(std::span<const float> reference, std::span<const float> output);
  void merge(const ErrorMeasures& other);

  /// Mean squared error; NaN without elements.
  double mse() const;
  /// 10 log10(sum reference^2 / sum error^2) in dB; inf without error, -inf for a zero reference with error.
  double sqnr_db() const;
  /// sum reference output / (|reference| |output|); 1 if both are zero vectors, 0 if one is.
  double cosine() const;
};

}  // namespace tessera
