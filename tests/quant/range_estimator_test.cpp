#include "tessera/quant/range_estimator.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "quant/bounded_minimizer.hpp"

// Do the estimators keep their contract where no golden number reaches: options, resets, repaired behaviour, errors?
namespace tessera::quant {
namespace {

using ::testing::ElementsAre;

constexpr float nan = std::numeric_limits<float>::quiet_NaN();

Tensor normal(Shape shape, unsigned seed, float spread = 1.0f, float shift = 0.0f) {
  std::mt19937 engine(seed);
  Tensor x(std::move(shape));
  for (float& v : x.values()) {
    float sum = -6.0f;
    for (int i = 0; i < 12; ++i) sum += static_cast<float>(engine() >> 8) / 16777216.0f;
    v = spread * sum + shift;
  }
  return x;
}

RangeEstimatorParameters with(RangeEstimators estimator) {
  return {.estimator = estimator, .params = default_params(estimator)};
}

TEST(RangeEstimator, NamesAndNumbersOfTheInterface) {
  EXPECT_EQ(static_cast<int>(RangeEstimators::cross_entropy), 4);
  EXPECT_STREQ(to_string(RangeEstimators::allminmax), "allminmax");
  EXPECT_EQ(static_cast<int>(OptMethod::golden_section), 2);
  EXPECT_STREQ(to_string(OptMethod::grid), "grid");
  EXPECT_TRUE(params_fit(RangeEstimators::MSE, CrossEntropyEstimatorParams{}));
  EXPECT_FALSE(params_fit(RangeEstimators::cross_entropy, MSEEstimatorParams{}));
}

TEST(RangeEstimator, PercentileSides) {
  RangeEstimatorParameters p = with(RangeEstimators::current_minmax);
  std::vector<float> values(101);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>((i * 37) % 101);  // 0..100 shuffled
  const Tensor x({101}, values);
  p.params = CurrentMinMaxEstimatorParams{.percentile = 10.0};
  EXPECT_EQ(RangeEstimator(p).estimate(x), (Range{{10.0f}, {100.0f}})) << "per tensor: low side only, as the peer";
  p.params = CurrentMinMaxEstimatorParams{.percentile = 10.0, .two_sided = true};
  EXPECT_EQ(RangeEstimator(p).estimate(x), (Range{{10.0f}, {90.0f}}));
  p.params = CurrentMinMaxEstimatorParams{.percentile = 0.0};
  EXPECT_EQ(RangeEstimator(p).estimate(x), (Range{{0.0f}, {100.0f}})) << "0 is off";
}

TEST(RangeEstimator, AllMinMaxHonoursAxis) {
  RangeEstimatorParameters p = with(RangeEstimators::allminmax);
  p.axis = 1;
  RangeEstimator estimator(p);
  estimator.estimate(Tensor({2, 2}, std::vector<float>{1, 2, 3, 4}));
  const Range range = estimator.estimate(Tensor({2, 2}, std::vector<float>{-1, 9, 0, 0}));
  EXPECT_THAT(range.min, ElementsAre(-1, 0));
  EXPECT_THAT(range.max, ElementsAre(3, 9));
}

TEST(RangeEstimator, RunningGroupsUseOldAndNewValues) {
  RangeEstimatorParameters p = with(RangeEstimators::running_minmax);
  p.params = RunningMinMaxEstimatorParams{.momentum = 0.5};
  p.axis = 0;
  p.n_groups = 2;
  RangeEstimator estimator(p);
  EXPECT_THAT(estimator.estimate(Tensor({4}, std::vector<float>{1, 2, 3, 4})).max, ElementsAre(2, 2, 4, 4));
  EXPECT_THAT(estimator.estimate(Tensor({4}, std::vector<float>{4, 0, 0, 8})).max, ElementsAre(3, 3, 6, 6));
  EXPECT_THROW(estimator.estimate(Tensor({5})), InputError);
}

TEST(RangeEstimator, ResetForgetsEverythingAlsoOneSidedness) {
  RangeEstimator estimator(with(RangeEstimators::MSE), UniformQuantizerParameters{.n_bits = 4});
  EXPECT_THROW(estimator.step_size(), NoDataPassedError);
  EXPECT_THROW(estimator.one_sided(), NoDataPassedError);
  Tensor x = normal({200}, 5);
  for (float& v : x.values()) v = std::abs(v);
  EXPECT_EQ(estimator.estimate(x).min[0], 0.0f);
  EXPECT_TRUE(estimator.one_sided());
  EXPECT_NEAR(estimator.step_size(), (*std::max_element(x.values().begin(), x.values().end()) + 0.5) / 100, 1e-6);
  estimator.reset();
  EXPECT_FALSE(estimator.current().has_value());
  EXPECT_LT(estimator.estimate(normal({200}, 6)).min[0], 0.0f);
  EXPECT_FALSE(estimator.one_sided());
}

TEST(RangeEstimator, SearchBeatsTheExtremesOnHeavyTails) {
  Tensor x = normal({2000}, 9);
  x.values()[0] = 20.0f;
  for (const QMethod method : {QMethod::symmetric_uniform, QMethod::asymmetric_uniform}) {
    for (const OptMethod search : {OptMethod::grid, OptMethod::golden_section}) {
      const UniformQuantizerParameters quantizer{.n_bits = 4, .method = method};
      const auto error = [&](const Range& range) {
        UniformQuantizer q(quantizer);
        q.set_quant_range(range.min, range.max);
        const Tensor y = q.forward(x);
        double sum = 0.0;
        for (std::int64_t i = 0; i < x.size(); ++i) sum += std::pow(x.data()[i] - y.data()[i], 2);
        return sum;
      };
      RangeEstimatorParameters p = with(RangeEstimators::MSE);
      p.params = MSEEstimatorParams{.range_opt_method = search};
      EXPECT_LT(error(RangeEstimator(p, quantizer).estimate(x)),
                0.8 * error(RangeEstimator(with(RangeEstimators::current_minmax)).estimate(x)));
    }
  }
}

TEST(RangeEstimator, CrossEntropyWorksPerChannel) {
  RangeEstimatorParameters p = with(RangeEstimators::cross_entropy);
  p.params = CrossEntropyEstimatorParams{{.range_opt_method = OptMethod::grid, .num_candidates = 40}};
  const UniformQuantizerParameters quantizer{.n_bits = 3};
  const Tensor both = [] {
    Tensor t({2, 30});
    const Tensor narrow = normal({30}, 1, 0.3f), wide = normal({30}, 2, 3.0f);
    std::copy(narrow.values().begin(), narrow.values().end(), t.values().begin());
    std::copy(wide.values().begin(), wide.values().end(), t.values().begin() + 30);
    return t;
  }();
  p.per_channel = true;
  const Range range = RangeEstimator(p, quantizer).estimate(both);
  ASSERT_EQ(range.max.size(), 2u);
  EXPECT_LT(range.max[0], range.max[1]) << "each channel has its own loss";
  EXPECT_THROW(RangeEstimator(p, quantizer).estimate(normal({30}, 1)), InputError) << "no dimension 1";
}

TEST(RangeEstimator, ContinuesFromAStoredRange) {
  RangeEstimatorParameters p = with(RangeEstimators::running_minmax);
  RangeEstimator whole(p), resumed(p);
  whole.estimate(normal({50}, 1));
  resumed.set_current(*whole.current());
  EXPECT_EQ(whole.estimate(normal({50}, 2)), resumed.estimate(normal({50}, 2)));
  EXPECT_THROW(resumed.set_current({{1.0f}, {}}), InputError);
}

TEST(RangeEstimator, NonsenseIsRefused) {
  const auto refuse = [](const RangeEstimatorParameters& p) { EXPECT_THROW(RangeEstimator{p}, ConfigError); };
  RangeEstimatorParameters p = with(RangeEstimators::current_minmax);
  p.params = RunningMinMaxEstimatorParams{};
  refuse(p);
  for (const double bad : {-1.0, 50.0, static_cast<double>(nan)}) {
    p.params = CurrentMinMaxEstimatorParams{.percentile = bad};
    refuse(p);
  }
  p = with(RangeEstimators::running_minmax);
  for (const double bad : {-0.1, 1.1, static_cast<double>(nan)}) {
    p.params = RunningMinMaxEstimatorParams{.momentum = bad};
    refuse(p);
  }
  p = with(RangeEstimators::MSE);
  refuse(p);  // no quantizer
  for (const MSEEstimatorParams& bad :
       {MSEEstimatorParams{.num_candidates = 0}, MSEEstimatorParams{.range_margin = -1.0},
        MSEEstimatorParams{.range_margin = static_cast<double>(nan)},
        MSEEstimatorParams{.range_opt_method = static_cast<OptMethod>(9)}}) {
    p.params = bad;
    EXPECT_THROW(RangeEstimator(p, UniformQuantizerParameters{}), ConfigError);
  }
  p = with(RangeEstimators::current_minmax);
  p.per_channel = true;
  p.axis = 1;
  refuse(p);
  p = with(RangeEstimators::current_minmax);
  p.n_groups = 2;
  refuse(p);  // groups without channels
  p.axis = 0;
  p.n_groups = 0;
  refuse(p);

  RangeEstimator estimator(with(RangeEstimators::current_minmax));
  EXPECT_THROW(estimator.estimate(Tensor({0})), InputError);
  EXPECT_THROW(estimator.estimate(Tensor({2}, std::vector<float>{1.0f, nan})), InputError);
  EXPECT_THROW(estimator.estimate(Tensor({1}, std::vector<float>{std::numeric_limits<float>::infinity()})), InputError);
  EXPECT_THROW(estimator.estimate({3}, std::vector<float>{1, 2}), InputError);
  EXPECT_FALSE(estimator.current().has_value()) << "refused data leaves no trace";
}

TEST(BoundedMinimizer, FindsMinimaInsideAndAtTheEnds) {
  const auto parabola = [](double x) { return (x - 0.3) * (x - 0.3); };
  EXPECT_NEAR(bounded_minimum(parabola, -1.0, 2.0).x, 0.3, 1e-5);
  EXPECT_NEAR(bounded_minimum(parabola, 1.0, 2.0).x, 1.0, 1e-4);
  EXPECT_NEAR(bounded_minimum([](double x) { return std::abs(x); }, -3.0, 7.0).x, 0.0, 1e-4);
  int evaluations = 0;
  bounded_minimum([&](double) { return static_cast<double>(++evaluations % 7); }, 0.0, 1e9);
  EXPECT_LE(evaluations, 500);
}

}  // namespace
}  // namespace tessera::quant
