// Question: are the statistics the textbook ones, stable, mergeable, and defined at their edges?
#include "tessera/core/statistics.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "tessera/core/error.hpp"

namespace tessera {
namespace {

std::vector<float> wavy(std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = std::sin(static_cast<float>(i) * 0.37F) + 0.5F;
  return values;
}

TEST(Moments, OfAFewNumbers) {
  Moments m;
  for (const double v : {2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0}) m.add(v);
  EXPECT_EQ(m.count(), 8);
  EXPECT_DOUBLE_EQ(m.mean(), 5.0);
  EXPECT_DOUBLE_EQ(m.variance(), 32.0 / 7.0);
  EXPECT_DOUBLE_EQ(m.standard_error(), std::sqrt(32.0 / 7.0 / 8.0));
}

TEST(Moments, UndefinedIsNaN) {
  Moments m;
  EXPECT_TRUE(std::isnan(m.mean()));
  m.add(3.0);
  EXPECT_EQ(m.mean(), 3.0);
  EXPECT_TRUE(std::isnan(m.variance()));
  EXPECT_TRUE(std::isnan(m.confidence_95()));
}

TEST(Moments, SurviveALargeOffset) {
  Moments m;
  for (int i = 0; i < 1000; ++i) m.add(1e9 + (i % 2));
  EXPECT_NEAR(m.variance(), 0.25 * 1000.0 / 999.0, 1e-9);
}

TEST(Moments, BulkAndMergedAgreeWithOneByOne) {
  const std::vector<float> values = wavy(10001);
  Moments single, bulk, merged;
  for (const float v : values) single.add(static_cast<double>(v));
  bulk.add(values);
  for (std::size_t i = 0; i < values.size(); i += 777) {
    Moments part;
    part.add(std::span(values).subspan(i, std::min<std::size_t>(777, values.size() - i)));
    merged.merge(part);
  }
  for (const Moments& m : {bulk, merged}) {
    EXPECT_EQ(m.count(), single.count());
    EXPECT_NEAR(m.mean(), single.mean(), 1e-12);
    EXPECT_NEAR(m.variance(), single.variance(), 1e-12);
  }
  Moments copy = single;
  copy.merge(Moments());
  EXPECT_EQ(copy.mean(), single.mean());
  Moments empty;
  empty.merge(single);
  EXPECT_EQ(empty.variance(), single.variance());
}

TEST(Moments, ConfidenceIntervalUsesStudentsT) {
  Moments m;
  for (const double v : {1.0, 2.0, 3.0, 4.0, 5.0}) m.add(v);
  EXPECT_NEAR(m.confidence_95(), 2.776445105 * std::sqrt(2.5 / 5.0), 1e-8);
}

TEST(Quantile, InterpolatesLinearly) {
  const std::array<double, 5> values = {3.0, 1.0, 2.0, 5.0, 4.0};
  EXPECT_EQ(quantile(values, 0.0), 1.0);
  EXPECT_EQ(quantile(values, 1.0), 5.0);
  EXPECT_EQ(quantile(values, 0.5), 3.0);
  EXPECT_DOUBLE_EQ(quantile(values, 0.1), 1.4);
  const std::array<float, 1> one = {7.0F};
  EXPECT_EQ(quantile(one, 0.3), 7.0);
  const std::array<float, 2> two = {0.0F, 1.0F};
  EXPECT_EQ(quantiles(two, std::array<double, 3>{0.25, 0.5, 1.0}), (std::vector<double>{0.25, 0.5, 1.0}));
}

TEST(Quantile, RefusesNonsense) {
  const std::array<float, 2> values = {1.0F, 2.0F};
  EXPECT_THROW(quantile(std::span<const float>(), 0.5), InputError);
  EXPECT_THROW(quantile(values, -0.1), InputError);
  EXPECT_THROW(quantile(values, 1.1), InputError);
  EXPECT_THROW(quantile(values, std::nan("")), InputError);
  const std::array<float, 2> with_nan = {1.0F, std::numeric_limits<float>::quiet_NaN()};
  EXPECT_THROW(quantile(with_nan, 0.5), InputError);
}

TEST(Normal, DistributionFunctionAndInverse) {
  EXPECT_DOUBLE_EQ(normal_cdf(0.0), 0.5);
  EXPECT_NEAR(normal_cdf(1.959963984540054), 0.975, 1e-15);
  EXPECT_NEAR(normal_cdf(-6.0) / 9.865876450376981e-10, 1.0, 1e-13);
  EXPECT_NEAR(normal_quantile(0.975), 1.959963984540054, 1e-13);
  EXPECT_NEAR(normal_quantile(1e-12), -7.034483825301132, 1e-11);
  EXPECT_NEAR(normal_quantile(0.5), 0.0, 1e-16);
  EXPECT_EQ(normal_quantile(0.0), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(normal_quantile(1.0), std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(normal_quantile(1.5)));
  for (double x = -8.0; x <= 5.0; x += 0.25) EXPECT_NEAR(normal_quantile(normal_cdf(x)), x, 1e-9);
}

// Table values: two-sided 95 % points.
TEST(StudentT, AgreesWithTables) {
  EXPECT_NEAR(student_t_quantile(0.975, 1), 12.70620473617471, 1e-9);
  EXPECT_NEAR(student_t_quantile(0.975, 2), 4.302652729749462, 1e-10);
  EXPECT_NEAR(student_t_quantile(0.975, 9), 2.262157162798205, 1e-10);
  EXPECT_NEAR(student_t_quantile(0.975, 1e6), 1.959966356814107, 1e-9);
  EXPECT_NEAR(student_t_quantile(0.025, 9), -2.262157162798205, 1e-10);
  EXPECT_NEAR(student_t_cdf(1.0, 1), 0.75, 1e-14);
  EXPECT_NEAR(student_t_cdf(-1.0, 1), 0.25, 1e-14);
  EXPECT_NEAR(student_t_cdf(0.0, 3), 0.5, 1e-15);
  EXPECT_THROW(student_t_quantile(1.0, 3), InputError);
  EXPECT_THROW(student_t_quantile(0.9, 0), InputError);
}

TEST(ErrorMeasures, OfAFewNumbers) {
  ErrorMeasures e;
  e.add(std::array<float, 2>{3.0F, 4.0F}, std::array<float, 2>{3.0F, 4.5F});
  EXPECT_DOUBLE_EQ(e.mse(), 0.125);
  EXPECT_DOUBLE_EQ(e.sqnr_db(), 20.0);
  EXPECT_NEAR(e.cosine(), (9.0 + 18.0) / (5.0 * std::hypot(3.0, 4.5)), 1e-15);
}

TEST(ErrorMeasures, MergeIsTheWhole) {
  const std::vector<float> reference = wavy(1003);
  std::vector<float> output = reference;
  for (std::size_t i = 0; i < output.size(); i += 3) output[i] += 0.01F;
  ErrorMeasures whole, merged;
  whole.add(reference, output);
  for (std::size_t i = 0; i < reference.size(); i += 100) {
    const std::size_t n = std::min<std::size_t>(100, reference.size() - i);
    ErrorMeasures part;
    part.add(std::span(reference).subspan(i, n), std::span(output).subspan(i, n));
    merged.merge(part);
  }
  EXPECT_EQ(merged.count, whole.count);
  EXPECT_NEAR(merged.mse() / whole.mse(), 1.0, 1e-13);
  EXPECT_NEAR(merged.sqnr_db(), whole.sqnr_db(), 1e-11);
  EXPECT_NEAR(merged.cosine(), whole.cosine(), 1e-14);
}

TEST(ErrorMeasures, EdgesAreDefined) {
  const std::array<float, 1> zero = {0.0F}, one = {1.0F};
  EXPECT_TRUE(std::isnan(ErrorMeasures().mse()));
  ErrorMeasures equal, from_zero, to_zero, nothing;
  equal.add(one, one);
  from_zero.add(zero, one);
  to_zero.add(one, zero);
  nothing.add(zero, zero);
  EXPECT_EQ(equal.sqnr_db(), std::numeric_limits<double>::infinity());
  EXPECT_EQ(from_zero.sqnr_db(), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(to_zero.sqnr_db(), 0.0);
  EXPECT_EQ(from_zero.cosine(), 0.0);
  EXPECT_EQ(nothing.cosine(), 1.0);
  EXPECT_THROW(equal.add(one, std::span<const float>()), InputError);
}

}  // namespace
}  // namespace tessera
