#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "golden.hpp"
#include "tessera/quant/straight_through.hpp"
#include "tessera/quant/uniform_quantizer.hpp"

// Are the gradients of quantization reference A.5 the derivatives of the forward pass, with rounding frozen at its
// residual? By central differences away from the kinks, by exact values at them.
namespace tessera::quant {
namespace {

// forward() in double as a function of input, scale and zero point, where rounding adds the residual it has at the
// point of the derivative: what "straight through" means.
struct FrozenRounding {
  double quotient_residual;
  double zero_residual;
  double int_min;
  double int_max;
  double operator()(double x, double scale, double zero_float) const {
    const double zero = std::clamp(zero_float + zero_residual, int_min, int_max);
    const double code = std::clamp(x / scale + quotient_residual + zero, int_min, int_max);
    return scale * (code - zero);
  }
};

double central(const auto& f, double at, double step) {
  return (f(at + step) - f(at - step)) / (2 * step);
}

TEST(UniformGradient, FiniteDifferencesAwayFromKinks) {
  std::mt19937 engine(4);
  const auto uniform = [&](double low, double high) {
    return low + (high - low) * static_cast<double>(engine()) / 4294967295.0;
  };
  int inside = 0, clipped = 0;
  for (const QMethod method : {QMethod::symmetric_uniform, QMethod::asymmetric_uniform}) {
    for (const ScaleDomain domain : {ScaleDomain::linear, ScaleDomain::log}) {
      for (int trial = 0; trial < 400; ++trial) {
        UniformQuantizer q({.n_bits = 2 + trial % 7, .method = method, .scale_domain = domain});
        q.set_quant_range(static_cast<float>(uniform(-2, -0.1)), static_cast<float>(uniform(0.1, 2)));
        const double scale = q.scale()[0], zero_float = q.zero_float()[0], zero = q.zero_point()[0];
        const auto x = static_cast<float>(uniform(-3, 3));
        const double quotient = static_cast<double>(x) / scale, code = std::nearbyint(quotient) + zero;
        const bool is_inside = code >= q.int_min() && code <= q.int_max();
        const double to_edge = std::min(std::abs(code - q.int_min()), std::abs(code - q.int_max()));
        if (std::abs(quotient - std::nearbyint(quotient)) > 0.49 || (to_edge < 0.5)) continue;  // a kink of the model
        ++(is_inside ? inside : clipped);
        const FrozenRounding f{std::nearbyint(quotient) - quotient, std::nearbyint(zero_float) - zero_float,
                               static_cast<double>(q.int_min()), static_cast<double>(q.int_max())};
        const Tensor input({1}, std::vector<float>{x}), grad_y({1}, std::vector<float>{1.7f});
        const double g = 1.7f, step = 1e-5;
        const double by_x = g * central([&](double v) { return f(v, scale, zero_float); }, x, step * scale);
        EXPECT_NEAR(q.backward(input, grad_y).values()[0], by_x, 1e-5);
        const RangeGradient range = q.range_gradient(input, grad_y);
        const double by_scale = g * central([&](double v) { return f(x, v, zero_float); }, scale, step * scale);
        const double chain = domain == ScaleDomain::log ? scale : 1.0;
        EXPECT_NEAR(range.delta[0], by_scale * chain, 1e-4 * (1.0 + std::abs(by_scale)) * std::max(1.0, chain));
        if (method == QMethod::asymmetric_uniform && zero > 0 && zero < q.int_max()) {  // not at its own clip
          const double by_zero = g * central([&](double v) { return f(x, scale, v); }, zero_float, step);
          EXPECT_NEAR(range.zero_float[0], by_zero, 1e-5 * (1.0 + std::abs(by_zero)));
        }
      }
    }
  }
  EXPECT_GT(inside, 300);
  EXPECT_GT(clipped, 100);
}

TEST(UniformGradient, ExactValuesAtTheKinks) {
  UniformQuantizer q({.n_bits = 4});
  q.set_quant_range(-7.0f, 7.0f);  // step 1, codes -8..7
  const std::vector<float> x{7.0f, 7.49f, 7.5f, -8.0f, -8.5f, -8.51f, 0.5f, 1e9f, INFINITY, NAN};
  const std::vector<float> expected{3, 3, 0, 3, 3, 0, 3, 0, 0, 0};  // ends inclusive, 7.5 rounds to 8, -8.5 to -8
  std::vector<float> grad_x(x.size());
  q.backward({1, 1, 10}, x, std::vector<float>(x.size(), 3.0f), grad_x);
  EXPECT_EQ(testing::bit_mismatches(grad_x, expected), 0u);
}

TEST(UniformGradient, FlooredScaleAndZeroPointOutsideGetNone) {
  UniformQuantizer tiny({.n_bits = 8, .method = QMethod::asymmetric_uniform});
  tiny.set_quant_range(0.0f, 0.0f);  // the step lies below eps
  const Tensor x({1}, std::vector<float>{1.0f}), g({1}, std::vector<float>{1.0f});
  EXPECT_EQ(tiny.range_gradient(x, g).delta[0], 0.0);
  UniformQuantizer shifted({.n_bits = 4, .method = QMethod::asymmetric_uniform});
  shifted.set_quant_range(-1.0f, 1.0f);
  UniformQuantizerState state = shifted.state();
  state.zero_float[0] = 20.0f;  // learned to a place where no code is
  shifted.set_state(state);
  EXPECT_EQ(shifted.zero_point()[0], 15.0f);
  EXPECT_EQ(shifted.range_gradient(x, g).zero_float[0], 0.0);
}

TEST(UniformGradient, ChannelsAreSummedApart) {
  UniformQuantizer q({.n_bits = 3, .method = QMethod::asymmetric_uniform, .axis = 1});
  q.set_quant_range(std::vector<float>{-1, -2, -3}, std::vector<float>{1, 2, 4});
  std::mt19937 engine(1);
  Tensor x({4, 3, 5}), g({4, 3, 5});
  for (float& v : x.values()) v = static_cast<float>(engine() % 1000) / 100.0f - 5.0f;
  for (float& v : g.values()) v = static_cast<float>(engine() % 1000) / 500.0f - 1.0f;
  const RangeGradient all = q.range_gradient(x, g);
  const Tensor grad_x = q.backward(x, g);
  for (std::int64_t c = 0; c < 3; ++c) {
    UniformQuantizer one({.n_bits = 3, .method = QMethod::asymmetric_uniform});
    one.set_state({.delta = {q.state().delta[static_cast<std::size_t>(c)]},
                   .zero_float = {q.state().zero_float[static_cast<std::size_t>(c)]}});
    std::vector<float> xs, gs, expected;
    for (std::int64_t i = 0; i < x.size(); ++i) {
      if (i / 5 % 3 != c) continue;
      xs.push_back(x.data()[i]);
      gs.push_back(g.data()[i]);
      expected.push_back(grad_x.data()[i]);
    }
    std::vector<float> mine(xs.size());
    one.backward({1, 1, 20}, xs, gs, mine);
    EXPECT_EQ(testing::bit_mismatches(mine, expected), 0u);
    const RangeGradient part = one.range_gradient({1, 1, 20}, xs, gs);
    EXPECT_NEAR(part.delta[0], all.delta[static_cast<std::size_t>(c)], 1e-12);
    EXPECT_NEAR(part.zero_float[0], all.zero_float[static_cast<std::size_t>(c)], 1e-12);
  }
}

TEST(StraightThrough, RoundAndFloor) {
  const std::vector<float> x{0.5f, 1.5f, -0.5f, -1.2f, 2.0f, NAN, INFINITY};
  std::vector<float> rounded(x.size()), floored(x.size()), gradient(x.size());
  round_straight_through(x, rounded);
  floor_straight_through(x, floored);
  EXPECT_EQ(testing::bit_mismatches(rounded, std::vector<float>{0, 2, -0.0f, -1, 2, NAN, INFINITY}), 0u);
  EXPECT_EQ(testing::bit_mismatches(floored, std::vector<float>{0, 1, -1, -2, 2, NAN, INFINITY}), 0u);
  const std::vector<float> g{1, -2, 3, -4, 5, -6, 7};
  straight_through_backward(g, gradient);
  EXPECT_EQ(gradient, g);
}

}  // namespace
}  // namespace tessera::quant
