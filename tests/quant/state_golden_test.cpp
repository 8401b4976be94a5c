#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "golden.hpp"
#include "tessera/quant/leaky.hpp"

// Do state quantization, the leaky neuron and the surrogates agree with snntorch.json, every case? Exponential levels,
// the level taken by each value and all neuron steps bit for bit; uniform levels 2 ulp of the largest limit; surrogates
// 2e-6.
namespace tessera::quant {
namespace {

using testing::bit_mismatches;
using testing::floats;
using testing::same_bits;

const YAML::Node& golden() {
  static const YAML::Node file = testing::load_golden("snntorch.json");
  return file;
}

StateQuantParameters parameters_of(const YAML::Node& node) {
  StateQuantParameters p;
  if (node["num_bits"]) p.num_bits = node["num_bits"].as<int>();
  if (node["uniform"]) p.uniform = node["uniform"].as<bool>();
  if (node["thr_centered"]) p.thr_centered = node["thr_centered"].as<bool>();
  if (node["threshold"]) p.threshold = node["threshold"].as<double>();
  if (node["lower_limit"]) p.lower_limit = node["lower_limit"].as<double>();
  if (node["upper_limit"]) p.upper_limit = node["upper_limit"].as<double>();
  if (node["multiplier"] && !node["multiplier"].IsNull()) p.multiplier = node["multiplier"].as<double>();
  return p;
}

TEST(StateGolden, LevelsAndMapping) {
  const YAML::Node cases = golden()["state_quant"];
  ASSERT_GE(cases.size(), 83u);
  int refused = 0, outside = 0, dead = 0;
  for (const YAML::Node& c : cases) {
    SCOPED_TRACE(YAML::Dump(c["params"]));
    const StateQuantParameters p = parameters_of(c["params"]);
    if (c["error"]) {
      EXPECT_THROW(state_levels(p), ConfigError);
      ++refused;
      continue;
    }
    if (const std::vector<float> all = floats(c["levels"]); std::set(all.begin(), all.end()).size() == 1) {
      EXPECT_THROW(state_levels(p), ConfigError) << "a table of one value";
      ++dead;
      continue;
    }
    const std::vector<float> levels = state_levels(p), stored = floats(c["levels"]);
    ASSERT_EQ(levels.size(), stored.size());
    if (p.uniform) {
      const float largest = std::max(std::abs(stored.front()), std::abs(stored.back()));
      const float ulp = std::nextafter(largest, INFINITY) - largest;
      for (std::size_t i = 0; i < levels.size(); ++i) EXPECT_NEAR(levels[i], stored[i], 2 * ulp) << i;
    } else {
      EXPECT_EQ(bit_mismatches(levels, stored), 0u);
    }
    const std::vector<float> x = floats(c["x"]), expected = floats(c["y"]);
    std::vector<float> y(x.size());
    StateQuant(stored, LevelRule::peer_distance).forward(x, y);
    EXPECT_EQ(bit_mismatches(y, expected), 0u);
    // The default differs only where the peer's distances lose all meaning.
    StateQuant(stored).forward(x, y);
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (same_bits(y[i], expected[i])) continue;
      ++outside;
      if (std::isnan(x[i])) {
        EXPECT_TRUE(std::isnan(y[i]));
      } else {
        const auto [low, high] = std::minmax_element(stored.begin(), stored.end());
        EXPECT_GE(std::abs(x[i]), 1e7f) << "only for huge values";
        EXPECT_EQ(y[i], x[i] > 0.0f ? *high : *low);
      }
    }
  }
  EXPECT_EQ(refused, 6);
  EXPECT_LE(dead, 6);
  EXPECT_GT(outside, 100);
}

TEST(StateGolden, StraightThroughGradient) {
  const YAML::Node c = golden()["state_quant_gradient"];
  const std::vector<float> grad_y = floats(c["grad_out"]);
  std::vector<float> grad_x(grad_y.size());
  StateQuant::backward(grad_y, grad_x);
  EXPECT_EQ(bit_mismatches(grad_x, floats(c["grad_x"])), 0u);
}

TEST(StateGolden, LeakyNeuronEveryStep) {
  const YAML::Node group = golden()["leaky"];
  const Tensor input = testing::tensor(group["input"]);
  const std::int64_t steps = input.dim(0), batch = input.dim(1), units = input.dim(2);
  ASSERT_GE(group["cases"].size(), 102u);
  for (const YAML::Node& c : group["cases"]) {
    LeakyParameters p;
    p.beta = {static_cast<float>(c["beta"].as<double>())};
    p.threshold = {static_cast<float>(c["threshold"].as<double>())};
    const std::string mechanism = c["reset_mechanism"].as<std::string>();
    p.reset_mechanism = mechanism == "subtract" ? ResetMechanism::subtract
                        : mechanism == "zero"   ? ResetMechanism::zero
                                                : ResetMechanism::none;
    p.reset_delay = c["reset_delay"].as<bool>();
    p.graded_spikes_factor = static_cast<float>(c["graded_spikes_factor"].as<double>());
    if (!c["state_quant"].IsNull()) p.state_quant = parameters_of(c["state_quant"]);
    SCOPED_TRACE(fmt::format("{} beta {} delay {} factor {} {}", mechanism, p.beta[0], p.reset_delay,
                             p.graded_spikes_factor, p.state_quant ? YAML::Dump(c["state_quant"]) : ""));
    const Leaky neuron = p.state_quant ? Leaky(p, StateQuant(floats(c["levels"]))) : Leaky(p);
    Matrix mem(batch, units);
    std::fill(mem.values().begin(), mem.values().end(), static_cast<float>(group["initial_mem"].as<double>()));
    Matrix spikes(batch, units);
    const std::vector<float> expected_spikes = floats(c["spk"]), expected_mem = floats(c["mem"]);
    for (std::int64_t t = 0; t < steps; ++t) {
      neuron.step({input.data() + t * batch * units, batch, units}, mem.view(), spikes.view());
      for (std::int64_t i = 0; i < batch * units; ++i) {
        const auto k = static_cast<std::size_t>(t * batch * units + i);
        EXPECT_EQ(spikes.data()[i], expected_spikes[k]) << "step " << t;
        EXPECT_EQ(testing::ulp_distance(mem.data()[i], expected_mem[k]), 0) << "step " << t;
      }
    }
  }
}

TEST(StateGolden, Surrogates) {
  for (const YAML::Node& c : golden()["surrogate"]) {
    const std::string name = c["name"].as<std::string>();
    SCOPED_TRACE(name);
    Surrogate s;
    const auto found = std::find(spike_gradient_names.begin(), spike_gradient_names.end(), name);
    ASSERT_NE(found, spike_gradient_names.end());
    s.spike_grad = static_cast<SpikeGradient>(found - spike_gradient_names.begin());
    const YAML::Node p = c["params"];
    if (p["alpha"]) s.alpha = p["alpha"].as<double>();
    if (p["slope"]) s.slope = p["slope"].as<double>();
    if (p["threshold"]) s.threshold = p["threshold"].as<double>();
    if (p["B"]) s.B = p["B"].as<double>();
    if (p["beta"]) s.beta = p["beta"].as<double>();
    const std::vector<float> x = floats(c["x"]), y = floats(c["y"]), expected = floats(c["grad_x"]);
    std::vector<float> derivative(x.size());
    surrogate_derivative(s, x, derivative);
    for (std::size_t i = 0; i < x.size(); ++i) {
      EXPECT_EQ(spike(x[i]), y[i]);
      EXPECT_NEAR(derivative[i], expected[i], 2e-6 * std::abs(expected[i]) + 1e-12) << x[i];
    }
  }
}

}  // namespace
}  // namespace tessera::quant
