#include "tessera/nn/leaky_neurons.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "network.hpp"
#include "tessera/nn/loss.hpp"

// Question: do gradients pass back through the time steps of spiking neurons as the surrogate says, and does a network
// of them learn?
namespace tessera::nn {
namespace {

using test::Network;
using test::random_tensor;

TrainableLeakyParameters parameters(quant::ResetMechanism reset, LeakyOutput output) {
  TrainableLeakyParameters p;
  p.neurons.beta = {0.9F, 0.5F, 0.75F};
  p.neurons.threshold = {0.5F, 1.0F, 0.8F};
  p.neurons.reset_mechanism = reset;
  p.steps = 4;
  p.output = output;
  p.learn_beta = p.learn_threshold = true;
  return p;
}

struct Case {
  quant::ResetMechanism reset;
  LeakyOutput output;
  std::vector<float> x, dy, y, dx, d_beta, d_threshold;
};

// Two samples, four steps, three units; atan surrogate, alpha 2. Numbers of PyTorch's automatic differentiation of the
// same recursion in double, with the reset detached.
std::vector<Case> cases() {
  return {{quant::ResetMechanism::subtract,
           LeakyOutput::spikes,
           {0.97F, 0.71F, 0.46F, 0.92F, 0.65F, 0.79F, 0.18F, 0.35F, 0.58F, 0.29F, 0.45F, 0.18F,
            0.36F, 0.62F, 0.48F, 0.44F, 0.41F, 0.21F, 0.67F, 0.78F, 0.21F, 0.68F, 0.11F, 0.52F},
           {0.24F,  0.73F, -1.32F, 1.31F, -1.49F, -0.71F, 0.52F, -0.95F, -3.15F, -0.11F, 1.7F,  -0.67F,
            -0.59F, 2.83F, 0.9F,   0.95F, -1.38F, -2.05F, 0.05F, -0.39F, -0.28F, 0.89F,  1.49F, -0.01F},
           {1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 1, 0, 1, 0, 1},
           {0.35523F,   -0.31898F, -2.48556F, 0.310847F,  -1.43576F,  -2.49201F, 0.143408F,  0.107746F,
            -2.87352F,  -0.10742F, 0.351246F, -0.552803F, 0.245287F,  0.706467F, -0.690479F, 0.821839F,
            -0.920923F, -1.51746F, 0.287777F, -0.285844F, -0.227519F, 0.295193F, 0.0818825F, -0.00720764F},
           {1.1652F, -1.64635F, -5.61939F},
           {-1.70549F, 0.473711F, 7.96719F}},
          {quant::ResetMechanism::zero,
           LeakyOutput::spikes,
           {0.6F,  0.15F, 0.39F, 0.86F, 0.11F, 0.81F, 0.79F, 0.8F,  0.41F, 0.72F, 0.01F, 0.26F,
            0.19F, 0.16F, 0.5F,  0.15F, 0.23F, 0.41F, 0.37F, 0.18F, 0.4F,  0.52F, 0.61F, 0.39F},
           {0.54F, 0.28F, -0.51F, -1.47F, 1.11F, 0.28F,  -0.69F, -0.58F, -0.53F, -0.13F, 1.36F, 0.23F,
            1.11F, 0.85F, -0.63F, -0.6F,  1.11F, -0.56F, 0.53F,  -0.19F, 0.4F,   -0.68F, 1.66F, -0.6F},
           {1, 0, 0, 1, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1, 0, 0},
           {0.491492F,   0.0211255F,  -0.0814511F, -0.644991F, -0.026623F, 0.147126F,  -0.377042F, -0.347066F,
            -0.0994143F, -0.0879752F, 0.347108F,   0.149982F,  0.503076F,  0.334655F,  -0.586242F, -0.0740022F,
            0.455849F,   -0.336803F,  0.424272F,   0.522151F,  0.295941F,  -0.677326F, 1.11514F,   -0.225642F},
           {0.122131F, 0.849967F, 0.182784F},
           {0.75774F, -1.38906F, 0.928688F}},
          {quant::ResetMechanism::subtract,
           LeakyOutput::state,
           {0.04F, 0.08F, 0.7F,  0.12F, 0.45F, 0.88F, 0.29F, 0.11F, 0.22F, 0.76F, 0.51F, 0.54F,
            0.13F, 0.77F, 0.65F, 0.66F, 0.09F, 0.56F, 0.26F, 0.1F,  0.77F, 0.64F, 0.07F, 0.92F},
           {-0.88F, 0.91F, 0.16F,  -0.95F, 0.67F, -0.48F, 2.2F,   0.14F, -0.1F, -1.29F, 1.41F,  0.45F,
            -0.21F, 1.15F, -0.56F, 0.04F,  0.8F,  0.91F,  -0.22F, 0.51F, 0.81F, -1.33F, -0.21F, -0.68F},
           {0.04F, 0.08F, 0.7F,  0.156F, 0.49F,  1.405F,  0.4304F, 0.355F,  0.47375F,  1.14736F, 0.6875F,  0.895312F,
            0.13F, 0.77F, 0.65F, 0.777F, 0.475F, 1.0475F, 0.4593F, 0.3375F, 0.755625F, 1.05337F, 0.23875F, 1.48672F},
           {-0.89341F, 1.45625F, -0.0664062F, -0.0149F, 1.0925F,   -0.301875F, 1.039F,   0.845F,
            0.2375F,   -1.29F,   1.41F,       0.45F,    -1.32177F, 1.65125F,   0.29125F, -1.2353F,
            1.0025F,   1.135F,   -1.417F,     0.405F,   0.3F,      -1.33F,     -0.21F,   -0.68F},
           {-2.2662F, 1.89542F, 0.873738F},
           {1.417F, 0.0F, -0.5375F}}};
}

void expect_near(std::span<const float> values, std::span<const float> expected, const char* what) {
  ASSERT_EQ(values.size(), expected.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    EXPECT_NEAR(values[i], expected[i], 2e-5F * (1.0F + std::fabs(expected[i]))) << what << " " << i;
}

TEST(LeakyNeurons, GradientsThroughTimeAreThoseOfAutomaticDifferentiation) {
  for (const Case& c : cases()) {
    const auto neurons = trainable_leaky(parameters(c.reset, c.output));
    const Shape shape{8, 3};
    std::vector<float> y(24), dx(24);
    const TransformCall call{.shape = shape, .x = c.x, .y = y, .samples = 8};
    neurons->forward(call);
    neurons->backward(call, c.dy, dx);
    expect_near(y, c.y, "output");
    expect_near(dx, c.dx, "dx");
    const std::vector<TrainedParameter> learned = neurons->parameters();
    ASSERT_EQ(learned.size(), 2U);
    expect_near(learned[0].gradient, c.d_beta, "beta");
    expect_near(learned[1].gradient, c.d_threshold, "threshold");
  }
}

/// Gemm, neurons, Gemm, mean over the steps; the input is 8 numbers per step.
Graph spiking_graph() {
  Network net;
  const ValueId x = net.input({-1, 8});
  const ValueId h = net.node("Gemm",
                             {x, net.constant(random_tensor({16, 8}, 1, 0.5F), "fc1.weight"),
                              net.constant(random_tensor({16}, 2, 0.1F), "fc1.bias")},
                             {{"transB", std::int64_t{1}}}, "fc1");
  const ValueId s = net.node("OrderedTransform", {h}, {}, "neurons");
  net.output(net.node(
      "Gemm", {s, net.constant(random_tensor({3, 16}, 3, 0.3F), "fc2.weight"), net.constant(Tensor({3}), "fc2.bias")},
      {{"transB", std::int64_t{1}}}, "fc2"));
  return net.graph;
}

struct Trained {
  std::vector<double> losses;
  std::vector<float> values;
};

/// 40 samples of three classes, the same input at each of five steps; the mean output over the steps is classified.
Trained train(Parallel parallel) {
  constexpr std::int64_t samples = 40, steps = 5;
  TrainingNetwork network(spiking_graph());
  TrainableLeakyParameters p;
  p.neurons.beta = {0.8F};
  p.steps = steps;
  p.learn_beta = p.learn_threshold = true;
  network.replace("neurons", trainable_leaky(p));
  const Tensor centers = random_tensor({3, 8}, 4), noise = random_tensor({samples, 8}, 5, 0.3F);
  std::vector<std::int32_t> labels;
  Tensor x({samples * steps, 8});
  for (std::int64_t n = 0; n < samples; ++n) {
    labels.push_back(static_cast<std::int32_t>(n % 3));
    for (std::int64_t t = 0; t < steps; ++t)
      for (std::int64_t i = 0; i < 8; ++i)
        x.data()[(n * steps + t) * 8 + i] = centers.data()[n % 3 * 8 + i] + noise.data()[n * 8 + i];
  }
  Trained result;
  for (std::uint64_t step = 0; step < 60; ++step) {
    network.zero_gradients();
    const Tensor y = network.forward(x, step, parallel);
    Tensor mean({samples, 3}), dy({samples * steps, 3});
    for (std::int64_t i = 0; i < y.size(); ++i) mean.data()[i / 15 * 3 + i % 3] += y.data()[i] / 5.0F;
    const Loss loss = softmax_cross_entropy(mean, labels, LossInput::logits);
    for (std::int64_t i = 0; i < y.size(); ++i) dy.data()[i] = loss.d_output.data()[i / 15 * 3 + i % 3] / 5.0F;
    network.backward(dy, parallel);
    for (const TrainedParameter& q : network.parameters())
      for (std::size_t i = 0; i < q.value.size(); ++i) q.value[i] -= 0.5F * q.gradient[i];
    network.updated();
    result.losses.push_back(loss.value);
  }
  for (const TrainedParameter& q : network.parameters())
    result.values.insert(result.values.end(), q.value.begin(), q.value.end());
  return result;
}

TEST(LeakyNeurons, ANetworkOfThemLearnsWithTheSameBitsForAnyThreadCount) {
  const Trained serial = train({1}), parallel = train({3});
  EXPECT_GT(serial.losses.front(), 0.5);
  EXPECT_LT(serial.losses.back(), 0.1);
  ASSERT_EQ(serial.values.size(), parallel.values.size());
  EXPECT_EQ(std::memcmp(serial.values.data(), parallel.values.data(), serial.values.size() * sizeof(float)), 0);
}

TEST(LeakyNeurons, ATransformWithoutADerivativeIsNamed) {
  TrainingNetwork network(spiking_graph());
  try {
    network.forward(Tensor({5, 8}), 0, {});
    FAIL() << "ran without neurons";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("neurons"));
    EXPECT_THAT(error.what(), testing::HasSubstr("straight_through"));
  }
  EXPECT_THROW(network.replace("nobody", trainable_leaky({.neurons = {.beta = {1.0F}, .spike_grad = {}}})), InputError);
  TrainableLeakyParameters p;
  p.neurons.beta = {0.5F};
  p.steps = 3;
  network.replace("neurons", trainable_leaky(p));
  EXPECT_THROW(network.forward(Tensor({5, 8}), 0, {}), InputError);  // 3 does not divide 5
}

/// round(x)
class Rounding : public ValueTransform {
 public:
  void apply(const TransformCall& call) const override {
    for (std::size_t i = 0; i < call.x.size(); ++i) call.y[i] = std::nearbyint(call.x[i]);
  }
};

TEST(LeakyNeurons, AStraightThroughEstimatorPassesTheGradientOfTheIdentity) {
  Network net;
  const ValueId x = net.input({-1, 4});
  net.output(net.node("Transform", {net.node("Mul", {x, x})}, {}, "round"));
  TrainingNetwork network(net.graph);
  network.replace("round", straight_through(std::make_shared<Rounding>()));
  const Tensor in = random_tensor({2, 4}, 7, 2.0F), dy = random_tensor({2, 4}, 8);
  const Tensor y = network.forward(in, 0, {});
  Tensor dx;
  network.backward(dy, {}, &dx);
  for (std::int64_t i = 0; i < 8; ++i) {
    EXPECT_EQ(y.data()[i], std::nearbyint(in.data()[i] * in.data()[i]));
    EXPECT_FLOAT_EQ(dx.data()[i], 2.0F * in.data()[i] * dy.data()[i]);
  }
}

}  // namespace
}  // namespace tessera::nn
