// Are the gradients of quantizers in training those of the function with its rounding errors held fixed, and are ranges
// estimated first and learned afterwards?
#include "tessera/nn/quantized_training.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "tessera/random/stream.hpp"

namespace tessera::nn {
namespace {

quant::QuantizationManagerParameters quantizer(bool symmetric, bool per_channel = false) {
  quant::QuantizationManagerParameters p;
  p.quantizer.n_bits = 3;
  p.quantizer.method = symmetric ? quant::QMethod::symmetric_uniform : quant::QMethod::asymmetric_uniform;
  p.quantizer.per_channel = per_channel;
  return p;
}

std::vector<float> drawn(std::size_t count, std::uint32_t event, float shift) {
  std::vector<float> values(count);
  random::fill_normal(random::Stream({.seed = 5}, random::Purpose::test), event, 0, values);
  for (float& v : values) v += shift;
  return values;
}

/// Q(x) in double for a step and a zero point, where what rounding added at (step0, zero0) is a constant.
double frozen(double x, double step, double zero, double step0, double zero0, double low, double high) {
  const double code_error = std::nearbyint(x / step0) - x / step0;
  const double zero_error = std::nearbyint(zero0) - zero0;
  const double z = zero + zero_error;
  // A code stays on the side of the ends on which it is at (step0, zero0); the ends are inside.
  const double there = std::nearbyint(x / step0) + std::nearbyint(zero0);
  const double code = there > high ? high : there < low ? low : x / step + code_error + z;
  return step * (code - z);
}

struct Sums {
  double step = 0.0, zero = 0.0;
};

/// Central differences of sum c Q(x).
Sums differences(std::span<const float> x, std::span<const float> c, double step, double zero, double low,
                 double high) {
  const auto value = [&](double s, double z) {
    double sum = 0.0;
    for (std::size_t i = 0; i < x.size(); ++i)
      sum += static_cast<double>(c[i]) * frozen(static_cast<double>(x[i]), s, z, step, zero, low, high);
    return sum;
  };
  const double h = 1e-6;
  return {(value(step + h, zero) - value(step - h, zero)) / (2 * h),
          (value(step, zero + h) - value(step, zero - h)) / (2 * h)};
}

TEST(QuantizedTraining, GradientsOfAValueAreThoseOfFrozenRounding) {
  for (const bool symmetric : {true, false}) {
    // A learned range smaller than the values: some are clipped on either side.
    const auto value = quantized_value({.quantizer = quantizer(symmetric),
                                        .learn_from = 0,
                                        .range = symmetric ? quant::UniformQuantizerState{{0.3F}, {}, true}
                                                           : quant::UniformQuantizerState{{0.3F}, {2.2F}, false}});
    const std::vector<float> x = drawn(40000, 1, 0.2F), c = drawn(40000, 2, 0.0F);
    std::vector<float> y(x.size()), dx(x.size());
    const Shape shape{400, 100};
    const TransformCall call{.shape = shape, .x = x, .y = y, .samples = 400};
    value->begin_step(0);
    value->forward(call);
    value->backward(call, c, dx);
    const double low = symmetric ? -4.0 : 0.0, high = symmetric ? 3.0 : 7.0, zero = symmetric ? 0.0 : 2.2F;
    const Sums expected = differences(x, c, static_cast<double>(0.3F), zero, low, high);
    const std::vector<TrainedParameter> parameters = value->parameters();
    ASSERT_EQ(parameters.size(), symmetric ? 1U : 2U);
    EXPECT_NEAR(static_cast<double>(parameters[0].gradient[0]), expected.step, 2e-4 * std::fabs(expected.step));
    if (!symmetric) {
      EXPECT_NEAR(static_cast<double>(parameters[1].gradient[0]), expected.zero, 2e-4 * std::fabs(expected.zero));
    }
    std::size_t clipped = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double code = std::nearbyint(static_cast<double>(x[i]) / static_cast<double>(0.3F)) + std::nearbyint(zero);
      const bool inside = code >= low && code <= high;
      clipped += inside ? 0U : 1U;
      EXPECT_NEAR(dx[i], inside ? c[i] : 0.0F, 1e-6F * std::fabs(c[i]));
      EXPECT_NEAR(static_cast<double>(y[i]),
                  frozen(static_cast<double>(x[i]), static_cast<double>(0.3F), zero, static_cast<double>(0.3F), zero,
                         low, high),
                  1e-6);
    }
    EXPECT_GT(clipped, 1000U);

    // To the same bits by any number of threads.
    const float before = parameters[0].gradient[0];
    parameters[0].gradient[0] = 0.0F;
    TransformCall threaded{.shape = shape, .x = x, .y = y, .samples = 400, .parallel = {3}};
    value->backward(threaded, c, dx);
    EXPECT_EQ(parameters[0].gradient[0], before);
  }
}

TEST(QuantizedTraining, GradientsOfAWeightAreThoseOfFrozenRounding) {
  constexpr std::int64_t outputs = 4, inputs = 50, vectors = 6;
  LinearPart part;
  const Matrix weight(outputs, inputs, drawn(outputs * inputs, 3, 0.1F));
  part.weight = weight;
  part.bias = drawn(outputs, 4, 0.0F);
  const std::vector<float> steps{0.2F, 0.35F, 0.5F, 0.27F};
  const auto linear =
      quantized_linear(part, {.quantizer = quantizer(true, true), .learn_from = 0, .range = {steps, {}, true}});
  Matrix x(vectors, inputs), y(vectors, outputs), dy(vectors, outputs), dx(vectors, inputs);
  std::ranges::copy(drawn(vectors * inputs, 5, 0.0F), x.values().begin());
  std::ranges::copy(drawn(vectors * outputs, 6, 0.0F), dy.values().begin());
  linear->begin_step(0);
  linear->forward(x.view(), y.view(), 0, {});
  linear->backward(x.view(), dy.view(), dx.view(), 0, {});
  const std::vector<TrainedParameter> p = linear->parameters();
  ASSERT_EQ(p.size(), 3U);
  EXPECT_EQ(p[2].name, "weight_range.delta");
  int clipped = 0;
  for (std::int64_t o = 0; o < outputs; ++o) {
    const auto s = static_cast<double>(steps[static_cast<std::size_t>(o)]);
    std::vector<float> c(inputs), row(inputs);
    double output = static_cast<double>(part.bias[static_cast<std::size_t>(o)]);
    for (std::int64_t k = 0; k < inputs; ++k) {
      double sum = 0.0;
      for (std::int64_t v = 0; v < vectors; ++v) sum += static_cast<double>(dy(v, o)) * static_cast<double>(x(v, k));
      const auto i = static_cast<std::size_t>(k);
      c[i] = static_cast<float>(sum);
      row[i] = weight(o, k);
      const double q = frozen(static_cast<double>(row[i]), s, 0.0, s, 0.0, -4.0, 3.0);
      output += q * static_cast<double>(x(0, k));
      const double code = std::nearbyint(static_cast<double>(row[i]) / s);
      const bool inside = code >= -4.0 && code <= 3.0;
      clipped += inside ? 0 : 1;
      EXPECT_NEAR(p[0].gradient[static_cast<std::size_t>(o * inputs + k)], inside ? c[i] : 0.0F, 1e-4F);
    }
    EXPECT_NEAR(static_cast<double>(y(0, o)), output, 1e-4);
    const Sums expected = differences(row, c, s, 0.0, -4.0, 3.0);
    EXPECT_NEAR(static_cast<double>(p[2].gradient[static_cast<std::size_t>(o)]), expected.step,
                1e-3 * std::max(1.0, std::fabs(expected.step)));
  }
  EXPECT_GT(clipped, 5);
}

TEST(QuantizedTraining, RangesAreEstimatedFirstAndLearnedAfterwards) {
  const auto value = quantized_value({.quantizer = quantizer(false), .learn_from = 2});
  const std::vector<float> x = drawn(64, 7, 0.0F), ones(64, 1.0F);
  std::vector<float> y(64), dx(64);
  const Shape shape{64};
  const TransformCall call{.shape = shape, .x = x, .y = y, .samples = 64};
  for (std::uint64_t step = 0; step < 4; ++step) {
    value->begin_step(step);
    value->forward(call);
    value->backward(call, ones, dx);
    const std::vector<TrainedParameter> p = value->parameters();
    const float estimated = value->range().delta.at(0);
    p[0].value[0] *= 1.5F;  // what an optimizer might do
    value->updated();
    EXPECT_EQ(value->range().delta.at(0), step < 2 ? estimated : 1.5F * estimated) << step;
  }
  EXPECT_THROW(quantized_value({.quantizer = quantizer(true, true)}), InputError);
  EXPECT_THROW(quantized_value({.quantizer = quantizer(true), .range = {{0.1F, 0.2F}, {}, true}}), InputError);
}

}  // namespace
}  // namespace tessera::nn
