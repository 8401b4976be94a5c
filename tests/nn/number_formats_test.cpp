#include "tessera/nn/number_formats.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "network.hpp"

// Question: are values and gradients rounded where the formats say, and nowhere else?
namespace tessera::nn {
namespace {

using test::random_tensor;

LinearPart part() {
  const Tensor w = random_tensor({3, 5}, 1, 0.5F), b = random_tensor({3}, 2);
  return {.name = "", .weight = Matrix(3, 5, w.values()), .bias = {b.values().begin(), b.values().end()}};
}

struct Pass {
  Matrix y, dx;
  std::vector<float> d_weight, d_bias;
};

Pass pass(TrainableLinear& linear, const Matrix& x, const Matrix& dy, std::uint64_t step = 0) {
  Pass p{Matrix(x.rows(), 3), Matrix(x.rows(), 5), {}, {}};
  for (const TrainedParameter& q : linear.parameters()) std::ranges::fill(q.gradient, 0.0F);
  linear.begin_step(step);
  linear.forward(x.view(), p.y.view(), 0, {});
  linear.backward(x.view(), dy.view(), p.dx.view(), 0, {});
  const auto parameters = linear.parameters();
  p.d_weight.assign(parameters[0].gradient.begin(), parameters[0].gradient.end());
  p.d_bias.assign(parameters[1].gradient.begin(), parameters[1].gradient.end());
  return p;
}

Matrix matrix(std::int64_t rows, std::int64_t cols, std::uint32_t seed) {
  return {rows, cols, random_tensor({rows, cols}, seed).values()};
}

/// Nearest multiple of 2^-fl within wl bits.
float fixed(float x, int wl, int fl) {
  const float scale = std::ldexp(1.0F, fl), top = std::ldexp(1.0F, wl - fl - 1);
  return std::clamp(std::nearbyint(x * scale) / scale, -top, top - 1.0F / scale);
}

quant::QuantizerParameters nearest(quant::Number forward, quant::Number backward) {
  quant::QuantizerParameters q;
  q.forward_number = forward;
  q.backward_number = backward;
  q.forward_rounding = q.backward_rounding = quant::Rounding::nearest;
  return q;
}

TEST(NumberFormats, ValuesAndGradientsAreRoundedOnTheirOwnWays) {
  const quant::FixedPoint coarse{.wl = 6, .fl = 3}, fine{.wl = 8, .fl = 5};
  LinearFormats formats;
  formats.input = nearest(coarse, fine);
  formats.weight = nearest(fine, coarse);
  formats.output = nearest(coarse, fine);
  const LinearPart p = part();
  const Matrix weight = p.weight.matrix();
  const Matrix x = matrix(4, 5, 3), dy = matrix(4, 3, 4);
  const auto linear = format_linear(p, formats, {});
  const Pass got = pass(*linear, x, dy);
  for (std::int64_t v = 0; v < 4; ++v)
    for (std::int64_t o = 0; o < 3; ++o) {
      float sum = 0.0F;
      for (std::int64_t k = 0; k < 5; ++k) sum = std::fma(fixed(x(v, k), 6, 3), fixed(weight(o, k), 8, 5), sum);
      EXPECT_EQ(got.y(v, o), fixed(sum + p.bias[static_cast<std::size_t>(o)], 6, 3));
    }
  const auto g = [&](std::int64_t v, std::int64_t o) { return fixed(dy(v, o), 8, 5); };
  for (std::int64_t k = 0; k < 5; ++k) {
    for (std::int64_t v = 0; v < 4; ++v) {
      float sum = 0.0F;
      for (std::int64_t o = 0; o < 3; ++o) sum += g(v, o) * fixed(weight(o, k), 8, 5);
      EXPECT_EQ(got.dx(v, k), fixed(sum, 8, 5));
    }
    for (std::int64_t o = 0; o < 3; ++o) {
      float sum = 0.0F;
      for (std::int64_t v = 0; v < 4; ++v) sum += g(v, o) * fixed(x(v, k), 6, 3);
      EXPECT_EQ(got.d_weight[static_cast<std::size_t>(o * 5 + k)], fixed(sum, 6, 3));
    }
  }
  for (std::int64_t o = 0; o < 3; ++o)
    EXPECT_EQ(got.d_bias[static_cast<std::size_t>(o)], g(0, o) + g(1, o) + g(2, o) + g(3, o));
}

TEST(NumberFormats, WhereTheForwardNumberClampsNoGradientPasses) {
  LinearFormats formats;
  formats.input = nearest(quant::FixedPoint{.wl = 4, .fl = 2}, {});  // -2 .. 1.75
  formats.input.clamping_grad_zero = true;
  const auto linear = format_linear(part(), formats, {});
  Matrix x = matrix(4, 5, 5);
  x(1, 2) = 9.0F;
  x(3, 0) = -9.0F;
  const Pass got = pass(*linear, x, matrix(4, 3, 6));
  for (std::int64_t v = 0; v < 4; ++v)
    for (std::int64_t k = 0; k < 5; ++k) {
      const bool outside = fixed(x(v, k), 20, 2) > 1.75F || fixed(x(v, k), 20, 2) < -2.0F;
      EXPECT_EQ(got.dx(v, k) == 0.0F, outside) << v << " " << k;
    }
}

TEST(NumberFormats, StochasticRoundingDrawsByStep) {
  quant::QuantizerParameters q;
  q.forward_number = quant::FixedPoint{.wl = 8, .fl = 2};
  LinearFormats formats;
  formats.input = q;
  const auto linear = format_linear(part(), formats, {.seed = 5});
  const Matrix x = matrix(4, 5, 7), dy = matrix(4, 3, 8);
  const Pass a = pass(*linear, x, dy, 1), again = pass(*linear, x, dy, 1), later = pass(*linear, x, dy, 2);
  EXPECT_TRUE(std::ranges::equal(a.y.values(), again.y.values()));
  EXPECT_EQ(a.d_weight, again.d_weight);  // backward saw the draws of forward
  EXPECT_FALSE(std::ranges::equal(a.y.values(), later.y.values()));
}

TEST(NumberFormats, WithoutFormatsALayerIsTheFloatOne) {
  for (const bool convolution : {false, true}) {
    test::Network net;
    const ValueId x = net.input(convolution ? Shape{-1, 2, 5, 5} : Shape{-1, 6});
    net.output(convolution ? net.node("Conv", {x, net.constant(random_tensor({3, 2, 3, 3}, 9), "w"),
                                               net.constant(random_tensor({3}, 10), "b")})
                           : net.node("Gemm", {x, net.constant(random_tensor({6, 3}, 9), "w"),
                                               net.constant(random_tensor({3}, 10), "b")}));
    TrainingNetwork plain(net.graph), wrapped(net.graph);
    wrapped.replace(0, 0, format_linear(wrapped.layers()[0].parts[0], {}, {}));
    const Tensor in = random_tensor(convolution ? Shape{4, 2, 5, 5} : Shape{4, 6}, 11);
    const Tensor y = plain.forward(in, 0, {}), z = wrapped.forward(in, 0, {});
    const Tensor dy = random_tensor(y.shape(), 12);
    Tensor dx, dz;
    plain.backward(dy, {}, &dx);
    wrapped.backward(dy, {}, &dz);
    for (std::int64_t i = 0; i < y.size(); ++i) EXPECT_NEAR(y.data()[i], z.data()[i], 1e-4F);
    for (std::int64_t i = 0; i < dx.size(); ++i) EXPECT_NEAR(dx.data()[i], dz.data()[i], 1e-4F);
    for (std::size_t p = 0; p < 2; ++p)
      for (std::size_t i = 0; i < plain.parameters()[p].gradient.size(); ++i)
        EXPECT_NEAR(plain.parameters()[p].gradient[i], wrapped.parameters()[p].gradient[i], 2e-4F);
  }
}

TEST(NumberFormats, ATransformRoundsBothWays) {
  test::Network net;
  const ValueId x = net.input({-1, 4});
  net.output(net.node("Transform", {x}, {}, "q"));
  TrainingNetwork network(net.graph);
  network.replace(
      "q", format_transform(nearest(quant::FixedPoint{.wl = 6, .fl = 3}, quant::FixedPoint{.wl = 5, .fl = 2}), {}));
  const Tensor in = random_tensor({3, 4}, 13), dy = random_tensor({3, 4}, 14);
  const Tensor y = network.forward(in, 0, {});
  Tensor dx;
  network.backward(dy, {}, &dx);
  for (std::int64_t i = 0; i < 12; ++i) {
    EXPECT_EQ(y.data()[i], fixed(in.data()[i], 6, 3));
    EXPECT_EQ(dx.data()[i], fixed(dy.data()[i], 5, 2));
  }
}

}  // namespace
}  // namespace tessera::nn
