#include "tessera/core/statistics.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>

#include "tessera/core/error.hpp"

namespace tessera {

namespace {

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

template <class T>
std::vector<T> sorted(std::span<const T> values) {
  require<InputError>(!values.empty(), "quantile of no values");
  require<InputError>(std::none_of(values.begin(), values.end(), [](T v) { return std::isnan(v); }),
                      "quantile of values that contain NaN");
  std::vector<T> result(values.begin(), values.end());
  std::sort(result.begin(), result.end());
  return result;
}

template <class T>
double sorted_quantile(const std::vector<T>& values, double p) {
  require<InputError>(p >= 0.0 && p <= 1.0, "quantile {} is outside [0, 1]", p);
  const double position = p * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const double low = static_cast<double>(values[below]);
  const double fraction = position - static_cast<double>(below);
  if (fraction == 0.0) return low;
  return low + fraction * (static_cast<double>(values[below + 1]) - low);
}

/// Continued fraction of the regularised incomplete beta function (DLMF 8.17.22) by Lentz's method.
double beta_continued_fraction(double a, double b, double x) {
  constexpr double tiny = 1e-300;
  const auto nonzero = [](double v) { return std::abs(v) < tiny ? tiny : v; };
  double c = 1.0;
  double d = 1.0 / nonzero(1.0 - (a + b) * x / (a + 1.0));
  double fraction = d;
  for (int m = 1; m <= 500; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1.0 / nonzero(1.0 + even * d);
    c = nonzero(1.0 + even / c);
    fraction *= d * c;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1.0 / nonzero(1.0 + odd * d);
    c = nonzero(1.0 + odd / c);
    fraction *= d * c;
    if (std::abs(d * c - 1.0) < 1e-15) break;
  }
  return fraction;
}

/// std::lgamma writes a global; for positive arguments this is the same value.
double log_gamma(double x) {
  int sign = 0;
  return ::lgamma_r(x, &sign);
}

double regularised_incomplete_beta(double a, double b, double x) {
  if (x <= 0.0) return 0.0;
  if (x >= 1.0) return 1.0;
  const double front = std::exp(log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * std::log(x) + b * std::log1p(-x));
  if (x < (a + 1.0) / (a + b + 2.0)) return front * beta_continued_fraction(a, b, x) / a;
  return 1.0 - front * beta_continued_fraction(b, a, 1.0 - x) / b;
}

}  // namespace

void Moments::add(double value) {
  ++count_;
  const double deviation = value - mean_;
  mean_ += deviation / static_cast<double>(count_);
  sum_squared_deviations_ += deviation * (value - mean_);
}

void Moments::add(std::span<const float> values) {
  // Two passes over pieces that stay in cache: no division per value, and deviations from a nearby mean.
  constexpr std::size_t piece = 4096;
  for (; !values.empty(); values = values.subspan(std::min(piece, values.size()))) {
    const std::span<const float> part = values.first(std::min(piece, values.size()));
    double sum = 0.0;
    for (const float v : part) sum += static_cast<double>(v);
    Moments moments;
    moments.count_ = static_cast<std::int64_t>(part.size());
    moments.mean_ = sum / static_cast<double>(part.size());
    for (const float v : part) {
      const double deviation = static_cast<double>(v) - moments.mean_;
      moments.sum_squared_deviations_ += deviation * deviation;
    }
    merge(moments);
  }
}

void Moments::merge(const Moments& other) {
  if (other.count_ == 0) return;
  const auto own = static_cast<double>(count_);
  const auto others = static_cast<double>(other.count_);
  const double difference = other.mean_ - mean_;
  mean_ += difference * (others / (own + others));
  sum_squared_deviations_ += other.sum_squared_deviations_ + difference * difference * (own * others / (own + others));
  count_ += other.count_;
}

double Moments::mean() const {
  return count_ > 0 ? mean_ : nan_value;
}

double Moments::variance() const {
  return count_ > 1 ? sum_squared_deviations_ / static_cast<double>(count_ - 1) : nan_value;
}

double Moments::standard_deviation() const {
  return std::sqrt(variance());
}

double Moments::standard_error() const {
  return standard_deviation() / std::sqrt(static_cast<double>(count_));
}

double Moments::confidence_95() const {
  if (count_ < 2) return nan_value;
  return student_t_quantile(0.975, static_cast<double>(count_ - 1)) * standard_error();
}

double quantile(std::span<const float> values, double p) {
  return sorted_quantile(sorted(values), p);
}
double quantile(std::span<const double> values, double p) {
  return sorted_quantile(sorted(values), p);
}

std::vector<double> quantiles(std::span<const float> values, std::span<const double> p) {
  const std::vector<float> ordered = sorted(values);
  std::vector<double> result;
  for (const double each : p) result.push_back(sorted_quantile(ordered, each));
  return result;
}

double normal_cdf(double x) {
  return 0.5 * std::erfc(-x / std::numbers::sqrt2);
}

double normal_quantile(double p) {
  if (!(p >= 0.0 && p <= 1.0)) return nan_value;
  if (p == 0.0) return -infinity;
  if (p == 1.0) return infinity;
  if (p > 0.5) return -normal_quantile(1.0 - p);
  // Start: Abramowitz and Stegun 26.2.23 (4.5e-4 absolute); Halley's iteration triples the digits each time.
  const double t = std::sqrt(-2.0 * std::log(p));
  double x = -(t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308))));
  for (int i = 0; i < 3; ++i) {
    const double density = std::exp(-0.5 * x * x) / std::sqrt(2.0 * std::numbers::pi);
    if (density == 0.0) break;
    const double step = (normal_cdf(x) - p) / density;
    x -= step / (1.0 + 0.5 * x * step);
  }
  return x;
}

double student_t_cdf(double t, double degrees) {
  const double tail = 0.5 * regularised_incomplete_beta(0.5 * degrees, 0.5, degrees / (degrees + t * t));
  return t > 0.0 ? 1.0 - tail : tail;
}

double student_t_quantile(double p, double degrees) {
  require<InputError>(p > 0.0 && p < 1.0 && degrees > 0.0,
                      "Student quantile needs 0 < p < 1 and degrees > 0, not {}, {}", p, degrees);
  if (p < 0.5) return -student_t_quantile(1.0 - p, degrees);
  double low = 0.0;
  double high = 1.0;
  while (student_t_cdf(high, degrees) < p && high < 1e300) high *= 2.0;
  for (int i = 0; i < 200 && high - low > 1e-15 * high; ++i) {
    const double middle = 0.5 * (low + high);
    (student_t_cdf(middle, degrees) < p ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

void ErrorMeasures::add(std::span<const float> reference, std::span<const float> output) {
  require<InputError>(reference.size() == output.size(), "{} reference values for {} outputs", reference.size(),
                      output.size());
  // Eight partial sums that the compiler keeps in vector registers; combined in index order.
  constexpr std::size_t lanes = 8;
  std::array<double, lanes> reference2{}, output2{}, product{}, error2{};
  const auto add_to_lane = [&](std::size_t lane, std::size_t i) {
    const double r = static_cast<double>(reference[i]);
    const double o = static_cast<double>(output[i]);
    reference2[lane] += r * r;
    output2[lane] += o * o;
    product[lane] += r * o;
    error2[lane] += (o - r) * (o - r);
  };
  std::size_t i = 0;
  for (; i + lanes <= reference.size(); i += lanes)
    for (std::size_t lane = 0; lane < lanes; ++lane) add_to_lane(lane, i + lane);
  for (std::size_t lane = 0; i < reference.size(); ++i, ++lane) add_to_lane(lane, i);
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    sum_reference_squared += reference2[lane];
    sum_output_squared += output2[lane];
    sum_product += product[lane];
    sum_error_squared += error2[lane];
  }
  count += static_cast<std::int64_t>(reference.size());
}

void ErrorMeasures::merge(const ErrorMeasures& other) {
  count += other.count;
  sum_reference_squared += other.sum_reference_squared;
  sum_output_squared += other.sum_output_squared;
  sum_product += other.sum_product;
  sum_error_squared += other.sum_error_squared;
}

double ErrorMeasures::mse() const {
  return count > 0 ? sum_error_squared / static_cast<double>(count) : nan_value;
}

double ErrorMeasures::sqnr_db() const {
  if (sum_error_squared == 0.0) return infinity;
  return 10.0 * std::log10(sum_reference_squared / sum_error_squared);
}

double ErrorMeasures::cosine() const {
  if (sum_reference_squared == 0.0 && sum_output_squared == 0.0) return 1.0;
  if (sum_reference_squared == 0.0 || sum_output_squared == 0.0) return 0.0;
  return sum_product / (std::sqrt(sum_reference_squared) * std::sqrt(sum_output_squared));
}

}  // namespace tessera
