#include "tessera/quant/leaky.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "golden.hpp"

// Do the neuron and its surrogates keep their contract beyond the golden numbers: per-unit
// parameters, inhibition, gradients by finite differences, extreme states, errors?
namespace tessera::quant {
namespace {

Matrix row(const std::vector<float>& values) {
  return {1, static_cast<std::int64_t>(values.size()), values};
}

LeakyParameters with_beta(float beta) {
  LeakyParameters p;
  p.beta = {beta};
  return p;
}

TEST(Leaky, SubtractResetsByTheThresholdOneStepLater) {
  const Leaky neuron(with_beta(1.0f));
  Matrix mem(1, 1), spikes(1, 1);
  const std::vector<float> expected_mem{0.75f, 1.5f, 1.25f, 1.0f, 1.75f};
  const std::vector<float> expected_spikes{0, 1, 1, 0, 1};  // strictly above the threshold
  for (std::size_t t = 0; t < expected_mem.size(); ++t) {
    neuron.step(row({0.75f}).view(), mem.view(), spikes.view());
    EXPECT_EQ(mem(0, 0), expected_mem[t]) << t;
    EXPECT_EQ(spikes(0, 0), expected_spikes[t]) << t;
  }
}

TEST(Leaky, ZeroResetKeepsTheNewInput) {
  LeakyParameters p = with_beta(0.5f);
  p.reset_mechanism = ResetMechanism::zero;
  Matrix mem = row({1.5f}), spikes(1, 1);
  Leaky(p).step(row({0.25f}).view(), mem.view(), spikes.view());
  EXPECT_EQ(mem(0, 0), 0.25f);
}

TEST(Leaky, BetaIsClampedAndParametersMayDifferPerUnit) {
  LeakyParameters p;
  p.beta = {-1.0f, 0.5f, 3.0f};
  p.threshold = {1.0f, 2.0f, 0.25f};
  p.graded_spikes_factor = 2.5f;
  Matrix mem = row({0.125f, 0.5f, 0.125f}), spikes(1, 3);
  Leaky(p).step(row({0.25f, 0.25f, 0.25f}).view(), mem.view(), spikes.view());
  EXPECT_EQ(mem(0, 0), 0.25f);
  EXPECT_EQ(mem(0, 1), 0.5f);
  EXPECT_EQ(mem(0, 2), 0.375f);
  EXPECT_EQ(spikes(0, 0), 0.0f);
  EXPECT_EQ(spikes(0, 1), 0.0f);
  EXPECT_EQ(spikes(0, 2), 2.5f);
}

TEST(Leaky, InhibitionLetsOneUnitPerSampleFire) {
  LeakyParameters p = with_beta(0.9f);
  p.inhibition = true;
  p.graded_spikes_factor = 2.0f;  // not applied to the winner
  Matrix mem(2, 3), spikes(2, 3);
  const std::vector<float> input{1.5f, 2.5f, 2.0f, 0.5f, 0.25f, 0.75f};
  Leaky(p).step(Matrix(2, 3, input).view(), mem.view(), spikes.view());
  EXPECT_EQ(std::vector<float>(spikes.values().begin(), spikes.values().end()), (std::vector<float>{0, 1, 0, 0, 0, 0}));
}

TEST(Leaky, StateStaysOnTheLevels) {
  LeakyParameters p = with_beta(0.9f);
  p.state_quant = StateQuantParameters{.num_bits = 3, .uniform = false};
  const Leaky neuron(p);
  Matrix mem(4, 8), spikes(4, 8), input(4, 8);
  random::fill_normal(random::Stream({.seed = 2}, random::Purpose::test), 0, 0, input.values());
  const std::vector<float> levels(neuron.levels().begin(), neuron.levels().end());
  for (int t = 0; t < 10; ++t) {
    neuron.step(input.view(), mem.view(), spikes.view());
    for (const float v : mem.values()) EXPECT_NE(std::find(levels.begin(), levels.end(), v), levels.end());
  }
}

TEST(Leaky, BatchesAreIndependent) {
  LeakyParameters p = with_beta(0.8f);
  p.state_quant = StateQuantParameters{.num_bits = 5};
  p.reset_delay = false;
  const Leaky neuron(p);
  Matrix input(6, 5), mem(6, 5), spikes(6, 5), mem_one(1, 5), spikes_one(1, 5);
  random::fill_normal(random::Stream({.seed = 3}, random::Purpose::test), 0, 0, input.values());
  neuron.step(input.view(), mem.view(), spikes.view());
  for (std::int64_t r = 0; r < 6; ++r) {
    std::fill(mem_one.values().begin(), mem_one.values().end(), 0.0f);
    neuron.step(ConstMatrixView(input.view()).rows_from(r, 1), mem_one.view(), spikes_one.view());
    EXPECT_EQ(testing::bit_mismatches(mem_one.values(), mem.view().row_span(r)), 0u);
    EXPECT_EQ(testing::bit_mismatches(spikes_one.values(), spikes.view().row_span(r)), 0u);
  }
}

// One step of one unit in double, with what the gradient treats as constant frozen at (input0, previous0, ...): the
// reset R, and the spike replaced by its tangent of surrogate slope.
struct TangentStep {
  LeakyParameters p;
  double reset;
  double fired;
  double slope;
  double shifted;  // U - T where the tangent touches
  // Returns g_spike * S + g_mem * U.
  double operator()(double input, double previous, double beta, double threshold, double g_spike, double g_mem) const {
    const bool zero = p.reset_mechanism == ResetMechanism::zero,
               subtract = p.reset_mechanism == ResetMechanism::subtract;
    const double kept = zero ? 1.0 - reset : 1.0;
    double state = beta * kept * previous + input - (subtract ? reset * threshold : 0.0);
    const double spike_now = fired + slope * (state - threshold - shifted);
    if (!p.reset_delay) {
      const double change = spike_now - reset;
      if (subtract) state -= change * threshold;
      if (zero) state -= change * state;
    }
    return g_spike * spike_now * static_cast<double>(p.graded_spikes_factor) + g_mem * state;
  }
};

TEST(Leaky, GradientsAreTheDerivativesOfTheTangentStep) {
  std::mt19937 engine(12);
  const auto uniform = [&](double low, double high) {
    return static_cast<float>(low + (high - low) * static_cast<double>(engine()) / 4294967295.0);
  };
  for (const ResetMechanism mechanism : {ResetMechanism::subtract, ResetMechanism::zero, ResetMechanism::none}) {
    for (const bool delay : {true, false}) {
      for (int trial = 0; trial < 60; ++trial) {
        LeakyParameters p;
        p.beta = {uniform(0.1, 0.95)};
        p.threshold = {uniform(0.4, 1.2)};
        p.reset_mechanism = mechanism;
        p.reset_delay = delay;
        p.graded_spikes_factor = uniform(0.5, 2.0);
        p.spike_grad.spike_grad = trial % 2 == 0 ? SpikeGradient::atan : SpikeGradient::fast_sigmoid;
        const float input = uniform(-1, 2), previous = uniform(-1, 2), g_spike = uniform(-1, 1), g_mem = uniform(-1, 1);
        const Leaky neuron(p);
        Matrix grad_input(1, 1), grad_previous(1, 1);
        std::vector<double> grad_beta(1), grad_threshold(1);
        neuron.backward(row({input}).view(), row({previous}).view(), row({g_spike}).view(), row({g_mem}).view(),
                        {grad_input.view(), grad_previous.view(), grad_beta, grad_threshold});

        const double beta = p.beta[0], threshold = p.threshold[0];
        const double reset = previous > p.threshold[0] ? 1.0 : 0.0;
        const double state =
            mechanism == ResetMechanism::zero
                ? beta * (1 - reset) * previous + input
                : beta * previous + input - (mechanism == ResetMechanism::subtract ? reset * threshold : 0.0);
        const double shifted = state - threshold;
        const TangentStep f{p, reset, shifted > 0 ? 1.0 : 0.0,
                            surrogate_derivative(p.spike_grad, static_cast<float>(shifted)), shifted};
        const double h = 1e-6;
        const auto slope = [&](const auto& g) { return (g(h) - g(-h)) / (2 * h); };
        EXPECT_NEAR(grad_input(0, 0),
                    slope([&](double d) { return f(input + d, previous, beta, threshold, g_spike, g_mem); }), 1e-5);
        EXPECT_NEAR(grad_previous(0, 0),
                    slope([&](double d) { return f(input, previous + d, beta, threshold, g_spike, g_mem); }), 1e-5);
        EXPECT_NEAR(grad_beta[0],
                    slope([&](double d) { return f(input, previous, beta + d, threshold, g_spike, g_mem); }), 1e-5);
        EXPECT_NEAR(grad_threshold[0],
                    slope([&](double d) { return f(input, previous, beta, threshold + d, g_spike, g_mem); }), 1e-5);
      }
    }
  }
}

TEST(Leaky, NonsenseIsRefused) {
  EXPECT_THROW(Leaky({}), ConfigError) << "no beta";
  EXPECT_THROW(Leaky(with_beta(NAN)), ConfigError);
  LeakyParameters p = with_beta(0.5f);
  p.threshold = {};
  EXPECT_THROW(Leaky{p}, ConfigError);
  p.threshold = {1.0f, 2.0f};
  p.beta = {0.5f, 0.5f, 0.5f};
  EXPECT_THROW(Leaky{p}, ConfigError);
  p = with_beta(0.5f);
  p.graded_spikes_factor = 0.0f;
  EXPECT_THROW(Leaky{p}, ConfigError);
  p = with_beta(0.5f);
  p.state_quant = StateQuantParameters{.num_bits = 0};
  p.spike_grad.alpha = -1.0;
  try {
    Leaky{p};
    ADD_FAILURE();
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.problems().size(), 2u);
  }
  p = with_beta(0.5f);
  p.threshold = {1.0f, 2.0f};
  Matrix three(1, 3), two(1, 2);
  EXPECT_THROW(Leaky(p).step(three.view(), three.view(), three.view()), InputError) << "2 thresholds, 3 units";
  EXPECT_THROW(Leaky(with_beta(0.5f)).step(three.view(), two.view(), three.view()), InputError);
  Matrix none(0, 0);
  EXPECT_NO_THROW(Leaky(with_beta(0.5f)).step(none.view(), none.view(), none.view()));
}

TEST(Surrogate, RandomOperatorAndLeakyOperator) {
  Surrogate s;
  s.spike_grad = SpikeGradient::SSO;
  s.mean = 0.1;
  const random::Stream stream({.seed = 8}, random::Purpose::test);
  const std::vector<float> x{-1.0f, 0.0f, 2.0f};
  std::vector<float> derivative(3), again(3);
  surrogate_derivative(s, x, derivative, {stream, 1, 7});
  EXPECT_FLOAT_EQ(derivative[0], (random::uniform(stream, 1, 7) - 0.5f + 0.1f) * 0.2f);
  EXPECT_FLOAT_EQ(derivative[1], (random::uniform(stream, 1, 8) - 0.5f + 0.1f) * 0.2f);
  EXPECT_EQ(derivative[2], 1.0f);
  surrogate_derivative(s, x, again, {stream, 1, 7});
  EXPECT_EQ(derivative, again);
  s = {.spike_grad = SpikeGradient::LSO, .slope = 0.1};
  EXPECT_EQ(surrogate_derivative(s, -3.0f), 0.1f);
  EXPECT_EQ(surrogate_derivative(s, 3.0f), 1.0f);
  s = {.spike_grad = SpikeGradient::sigmoid};
  EXPECT_EQ(surrogate_derivative(s, -1000.0f), 0.0f) << "no overflow to NaN";
  EXPECT_THROW(validate(Surrogate{.alpha = 0.0}), ConfigError);
  EXPECT_THROW(validate(Surrogate{.variance = NAN}), ConfigError);
}

}  // namespace
}  // namespace tessera::quant
