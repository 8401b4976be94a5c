// Does a network learn with spiking neurons: is the gradient through encoding, time steps and decoding right, does what
// was learned reach an evaluation, and to the same bits for any thread count and across an interruption?
#include "sim/spiking_training.hpp"

#include <gmock/gmock.h>

#include <atomic>
#include <cmath>

#include "sim/training_setup.hpp"
#include "tessera/nn/loss.hpp"
#include "tessera/sim/evaluate.hpp"

namespace tessera::sim {
namespace {

using testing::HasSubstr;

SpikingParameters neurons(SpikeDecoding decoding = SpikeDecoding::spike_count) {
  SpikingParameters parameters;
  parameters.steps = 6;
  parameters.decoding = decoding;
  parameters.neurons.leaky.beta = {0.8F};
  parameters.neurons.leaky.spike_grad = {.spike_grad = quant::SpikeGradient::fast_sigmoid, .slope = 3.0};
  parameters.neurons.learn_beta = true;
  return parameters;
}

class SpikingTrainingTest : public TrainingTest {
 protected:
  TrainingRequest spiking_request(std::int64_t digital, std::int64_t analog) const {
    TrainingRequest r = request(digital, analog);
    r.parameters.validation.times = {1.0};
    r.spiking = neurons();
    return r;
  }
};

// Where no neuron fires the network is a linear recursion, so differences know its gradient.
TEST_F(SpikingTrainingTest, TheGradientThroughTimeIsThatOfDifferences) {
  for (const SpikeDecoding decoding : {SpikeDecoding::membrane_mean, SpikeDecoding::current_mean}) {
    SpikingParameters parameters = neurons(decoding);
    parameters.instances["relu"] = parameters.neurons;  // fires, with fixed spikes under small changes of fc2
    parameters.neurons.leaky.threshold = {1e6F};
    const nn::ExecutorOptions options{.sample_shapes = {{inputs}}};
    const SpikingTraining spiking(two_layers(), options, parameters, 7);
    nn::TrainingNetwork network(spiking.unrolled().graph(), spiking.unrolled().options(), 7);
    spiking.give_neurons(network);
    const Tensor batch = data_.read(0, 8);
    const std::vector<std::int32_t> labels(data_.labels().begin(), data_.labels().begin() + 8);
    const auto loss = [&] {
      const Tensor outputs = network.forward(spiking.encode(batch, 3, {}), 3, {});
      return nn::softmax_cross_entropy(spiking.decode(outputs), labels, nn::LossInput::logits);
    };
    network.zero_gradients();
    const nn::Loss first = loss();
    ASSERT_EQ(first.d_output.shape(), (Shape{8, classes}));
    network.backward(spiking.decode_gradient(first.d_output), {});
    double worst = 0.0, largest = 0.0;
    int checked = 0;
    for (nn::TrainedParameter& p : network.parameters()) {
      if (!p.name.starts_with("fc2") && p.name != std::string(output_population) + ".beta") continue;
      for (std::size_t i = 0; i < p.value.size(); ++i) {
        const float kept = p.value[i];
        const float step = 2e-3F;
        const auto at = [&](float value) {
          p.value[i] = value;
          network.updated();
          return loss().value;
        };
        const double difference = (at(kept + step) - at(kept - step)) / (2.0 * static_cast<double>(step));
        p.value[i] = kept;
        network.updated();
        worst = std::max(worst, std::fabs(difference - static_cast<double>(p.gradient[i])));
        largest = std::max(largest, std::fabs(difference));
        ++checked;
      }
    }
    EXPECT_GE(checked, 27);
    EXPECT_GT(largest, 0.01);
    EXPECT_LT(worst, 2e-3 * largest);
  }
}

TEST_F(SpikingTrainingTest, LearnsAndItsDecayReachesAnEvaluation) {
  TrainingRequest r = spiking_request(12, 0);
  const TrainingResult result = train(r, {}, {}, {});
  EXPECT_LT(result.epochs.back().loss, 0.7 * result.epochs.front().loss);
  EXPECT_GT(result.epochs.back().reference_accuracy, 0.85) << "a third by guessing";
  ASSERT_EQ(result.model.graph.nodes.size(), 3U);
  EXPECT_EQ(result.model.graph.nodes[1].op, "Relu") << "the model is the network without neurons";

  ASSERT_TRUE(result.model.calibration.contains("relu"));
  const double beta = result.model.calibration.at("relu").at("neurons.beta").at(0);
  EXPECT_NE(static_cast<float>(beta), 0.8F);
  const SpikingParameters learned = with_learned_neurons(*r.spiking, result.model.calibration);
  EXPECT_EQ(learned.instances.at("relu").leaky.beta, (std::vector<float>{static_cast<float>(beta)}));
  EXPECT_NE(learned.instances.at(output_population).leaky.beta.at(0), 0.8F);

  const nn::Executor executor(result.model.graph, {.sample_shapes = {{inputs}}});
  EvaluationRequest evaluation{
      .executor = executor, .data = validation_, .evaluation = {}, .resolve = {}, .record_output = {}};
  evaluation.resolve = [](const std::string&, const std::string&) {
    LayerParameters digital;
    digital.analog = false;
    return digital;
  };
  evaluation.spiking = learned;
  const EvaluationResult seen = evaluate(evaluation, {}, {}, {});
  EXPECT_EQ(seen.reference.accuracy(),
            result.epochs.back().best ? result.epochs.back().reference_accuracy : seen.reference.accuracy());
  EXPECT_GT(seen.reference.accuracy(), 0.85);
}

TEST_F(SpikingTrainingTest, LearnsOnTiles) {
  const TrainingResult result = train(spiking_request(0, 8), {}, {}, {});
  EXPECT_LT(result.epochs.back().loss, 0.8 * result.epochs.front().loss);
  EXPECT_GT(result.epochs.back().validation_accuracy.at(0), 0.7);
  EXPECT_TRUE(result.model.calibration.at("fc2").contains("input_range"));
  EXPECT_TRUE(result.model.calibration.at("fc2").contains(std::string(output_population) + ".beta"));
}

TEST_F(SpikingTrainingTest, ThreadsChangeNoBitAndAResumedTrainingIsUninterrupted) {
  TrainingRequest whole = spiking_request(2, 2);
  whole.spiking->encoding = SpikeEncoding::rate;
  whole.spiking->neurons.leaky.spike_grad.spike_grad = quant::SpikeGradient::SSO;
  const std::vector<double> expected = expect_threads_change_nothing_then_interrupt(whole, checkpoint_);
  const TrainingResult second = train(whole, {}, {}, {});
  EXPECT_EQ(second.resumed_epochs, 2);
  EXPECT_EQ(numbers_of(second), expected);
}

TEST_F(SpikingTrainingTest, RefusesWhatCannotBeLearned) {
  const auto message = [&](const TrainingRequest& r) -> std::string {
    try {
      train(r, {}, {}, {});
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "";
  };
  const auto message_with = [&](const SpikingParameters& spiking) {
    TrainingRequest r = spiking_request(1, 0);
    r.spiking = spiking;
    return message(r);
  };
  SpikingParameters p = neurons();
  p.balance = BalanceParameters{};
  EXPECT_THAT(message_with(p), HasSubstr("spiking.balance"));
  p = neurons();
  p.neurons.learn_threshold = true;
  EXPECT_EQ(message_with(p), "");
  p.neurons.state_quant = NeuronStateQuant{};
  EXPECT_THAT(message_with(p), HasSubstr("state_quant.threshold"));
  p.neurons.state_quant->threshold = 1.0;
  EXPECT_EQ(message_with(p), "");

  SpikingParameters balanced = neurons();
  balanced.balance = BalanceParameters{};
  EXPECT_THROW(with_learned_neurons(balanced, {{"relu", {{"neurons.threshold", {1.5}}}}}), ConfigError);
  EXPECT_EQ(with_learned_neurons(balanced, {{"relu", {{"neurons.beta", {0.5}}}}}).instances.size(), 1U);
}

/// What was learned stands in for what the learning began with, and for nothing else.
TEST_F(SpikingTrainingTest, LearnedNeuronsAreForTheConfigurationTheyBeganWith) {
  const TrainingRequest r = spiking_request(1, 0);
  const std::map<std::string, io::LayerNumbers> known = train(r, {}, {}, {}).model.calibration;
  EXPECT_EQ(known.at("relu").at("neurons.beta.start").at(0), static_cast<double>(r.spiking->neurons.leaky.beta.at(0)));
  EXPECT_NO_THROW(with_learned_neurons(*r.spiking, known));
  SpikingParameters other = *r.spiking;
  other.neurons.learn_beta = false;
  EXPECT_NO_THROW(with_learned_neurons(other, known)) << "whether they learn on is no law";
  other.neurons.leaky.beta = {0.25F};
  try {
    with_learned_neurons(other, known);
    FAIL() << "expected a ConfigError";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("spiking.neurons.beta"), testing::HasSubstr("'relu'"),
                                             testing::HasSubstr("0.25"), testing::HasSubstr("use_calibration: false")));
  }
  std::map<std::string, io::LayerNumbers> older = known;
  for (auto& [node, numbers] : older)
    std::erase_if(numbers, [](const auto& entry) { return entry.first.ends_with(".start"); });
  EXPECT_NO_THROW(with_learned_neurons(other, older)) << "files of version 1.1 do not say";
}

}  // namespace
}  // namespace tessera::sim
