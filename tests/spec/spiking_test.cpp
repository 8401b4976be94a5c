// Does `spiking:` become the parameters it says, and is nonsense refused at its place?
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/spec/run_config.hpp"

namespace tessera::spec {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

RunConfig config_with(const std::string& section, config::Report* report = nullptr) {
  return read_run_config_text("model: {file: m.onnx}\ndata: {format: glyphs}\nspiking:\n" + section, "run.yaml", "/d",
                              {}, report);
}

std::string error_of(const std::string& section) {
  try {
    config_with(section);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

constexpr const char* everything = R"(
  steps: 40
  encoding: rate
  decoding: membrane_mean
  replace: [Relu, act2]
  neurons:
    beta: 0.9
    threshold: 0.5
    reset_mechanism: zero
    reset_delay: false
    graded_spikes_factor: 2
    state_quant: {num_bits: 4, uniform: false, thr_centered: false, threshold: 5, lower_limit: 0.1, upper_limit: 0.3, multiplier: 0.6}
  instances:
    relu1: {beta: [0.1, 0.2]}
    output_neurons: {reset_mechanism: none, state_quant: null}
  balance: {percentile: 99, samples: 10}
)";

TEST(Spiking, ReadsEveryKey) {
  const sim::SpikingParameters p = *config_with(everything).spiking;
  EXPECT_EQ(p.steps, 40);
  EXPECT_EQ(p.encoding, sim::SpikeEncoding::rate);
  EXPECT_EQ(p.decoding, sim::SpikeDecoding::membrane_mean);
  EXPECT_THAT(p.replace, ElementsAre("Relu", "act2"));
  EXPECT_THAT(p.neurons.leaky.beta, ElementsAre(0.9F));
  EXPECT_THAT(p.neurons.leaky.threshold, ElementsAre(0.5F));
  EXPECT_EQ(p.neurons.leaky.reset_mechanism, quant::ResetMechanism::zero);
  EXPECT_FALSE(p.neurons.leaky.reset_delay);
  EXPECT_EQ(p.neurons.leaky.graded_spikes_factor, 2.0F);
  const sim::NeuronStateQuant& state = *p.neurons.state_quant;
  EXPECT_EQ(state.levels.num_bits, 4);
  EXPECT_FALSE(state.levels.uniform);
  EXPECT_FALSE(state.levels.thr_centered);
  EXPECT_EQ(state.threshold, 5.0);
  EXPECT_EQ(state.levels.lower_limit, 0.1);
  EXPECT_EQ(state.levels.upper_limit, 0.3);
  EXPECT_EQ(state.levels.multiplier, 0.6);
  EXPECT_EQ(p.balance, (sim::BalanceParameters{99.0, 10}));
  // An instance is read over the common neurons.
  EXPECT_THAT(p.instances.at("relu1").leaky.beta, ElementsAre(0.1F, 0.2F));
  EXPECT_EQ(p.instances.at("relu1").leaky.graded_spikes_factor, 2.0F);
  EXPECT_FALSE(p.instances.at("output_neurons").state_quant);
}

TEST(Spiking, TheResolvedTextReadsBackEqual) {
  for (const char* section : {everything, "  steps: 3\n", "  neurons: {state_quant: {num_bits: 6}}\n"}) {
    const RunConfig config = config_with(section);
    EXPECT_EQ(read_run_config_text(resolved_text(config), "again.yaml", "/d").spiking, config.spiking)
        << resolved_text(config);
  }
}

TEST(Spiking, ListsWhatMattersInTrainingOnly) {
  config::Report report;
  const RunConfig config = config_with(
      "  neurons: {spike_grad: {type: fast_sigmoid, slope: 5}, learn_beta: true, surrogate_disable: true}\n", &report);
  EXPECT_THAT(unused_note(report), HasSubstr("spiking.neurons.surrogate_disable"));
  EXPECT_EQ(config.spiking->neurons.leaky.spike_grad.spike_grad, quant::SpikeGradient::fast_sigmoid);
  EXPECT_EQ(config.spiking->neurons.leaky.spike_grad.slope, 5.0);
  EXPECT_TRUE(config.spiking->neurons.learn_beta);
  EXPECT_FALSE(config.spiking->neurons.learn_threshold);
}

TEST(Spiking, RefusesNonsenseAtItsPlace) {
  EXPECT_THAT(error_of("  steps: 0\n"), HasSubstr("run.yaml:4"));
  EXPECT_THAT(error_of("  step: 5\n"), HasSubstr("did you mean 'steps'"));
  EXPECT_THAT(error_of("  encoding: rat\n"), HasSubstr("rate"));
  EXPECT_THAT(error_of("  replace: []\n"), HasSubstr("replace"));
  EXPECT_THAT(error_of("  neurons: {beta: []}\n"), HasSubstr("beta"));
  EXPECT_THAT(error_of("  neurons: {beta: .nan}\n"), HasSubstr("beta"));
  EXPECT_THAT(error_of("  neurons: {graded_spikes_factor: 0}\n"), HasSubstr("graded_spikes_factor"));
  EXPECT_THAT(error_of("  neurons: {state_quant: {num_bits: 0}}\n"), HasSubstr("num_bits"));
  EXPECT_THAT(error_of("  neurons: {state_quant: {num_bits: 40}}\n"), HasSubstr("num_bits"));
  EXPECT_THAT(error_of("  neurons: {threshold: 0, state_quant: {uniform: false}}\n"), HasSubstr("state_quant"));
  EXPECT_THAT(error_of("  neurons: {threshold: [1, 2], state_quant: {num_bits: 3}}\n"),
              HasSubstr("state_quant.threshold"));
  EXPECT_THAT(error_of("  balance: {percentile: 0}\n"), HasSubstr("percentile"));
  EXPECT_THAT(error_of("  instances: {relu1: {reset: zero}}\n"), HasSubstr("reset"));
}

}  // namespace
}  // namespace tessera::spec
