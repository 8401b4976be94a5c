// Do networks of spiking neurons over time compute what the equations of their neurons say, the same however the work
// is cut, and approach the network they were converted from?
#include "tessera/sim/spiking_network.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <numeric>

#include "tessera/io/onnx_import.hpp"
#include "tessera/sim/evaluate.hpp"

namespace tessera::sim {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// x -> fc1 -> relu -> fc2, one value each: x itself, then 2 h + 0.25.
nn::Executor chain(const std::string& activation = "Relu", bool softmax = false) {
  nn::Graph graph;
  graph.name = "chain";
  const nn::ValueId x = graph.add_value("x");
  graph.inputs.push_back({.value = x, .type = nn::ElementType::float32, .shape = {-1, 1}, .batched = true});
  const std::vector<float> one{1.0F}, two{2.0F}, quarter{0.25F};
  const nn::ValueId w1 = graph.add_value("w1", Tensor({1, 1}, one)), w2 = graph.add_value("w2", Tensor({1, 1}, two)),
                    b2 = graph.add_value("b2", Tensor({1}, quarter)), h = graph.add_value("h"),
                    r = graph.add_value("r"), y = graph.add_value("y");
  graph.nodes.push_back({"fc1", "MatMul", {x, w1}, {h}, {}});
  graph.nodes.push_back({"act", activation, {h}, {r}, {}});
  graph.nodes.push_back({"fc2", "Gemm", {r, w2, b2}, {y}, {}});
  graph.outputs = {y};
  if (softmax) {
    graph.outputs = {graph.add_value("p")};
    graph.nodes.push_back({"softmax", "Softmax", {y}, graph.outputs, {{"axis", std::int64_t{-1}}}});
  }
  nn::validate(graph);
  return nn::Executor(std::move(graph));
}

/// Half of the state is kept; six steps of the same current.
SpikingParameters six_steps(SpikeDecoding decoding = SpikeDecoding::current_mean) {
  SpikingParameters parameters;
  parameters.steps = 6;
  parameters.decoding = decoding;
  parameters.neurons.leaky.beta = {0.5F};
  return parameters;
}

struct Answer {
  float score = 0.0F;
  std::vector<SpikeCounts> counts;
};

Answer answer(const nn::Executor& network, const SpikingParameters& parameters, float x, bool quantize_state = true) {
  const SpikingNetwork spiking(network, parameters, spiking_populations(network, parameters), quantize_state, 1);
  Answer result;
  const std::vector<float> values{x};
  const Tensor encoded = spiking.encode(Tensor({1, 1}, values), 0, {1});
  nn::RunOptions options;
  options.transform_observer = [&](const std::string& node, const nn::TransformCall& call) {
    if (std::ranges::find(spiking.spiking(), node) != spiking.spiking().end())
      result.counts.push_back(count_spikes(call, spiking.steps()));
  };
  result.score = spiking.decode(spiking.executor().run(encoded, options)).data()[0];
  return result;
}

// With I = 0.75 at every step, beta = 0.5, T = 1, by hand:
//   subtract, delayed: U = 0.75 1.125* 0.3125 0.90625 1.203125* 0.3515625         (* fires)
//   zero, delayed:     U = 0.75 1.125* 0.75 1.125* 0.75 1.125*
//   none:              U = 0.75 1.125* 1.3125* 1.40625* 1.453125* 1.4765625*
//   subtract at once:  U = 0.75 1.125* 0.8125 1.15625* 0.828125 1.1640625*
TEST(SpikingNetwork, FiresAsComputedByHand) {
  const nn::Executor network = chain();
  SpikingParameters parameters = six_steps();
  const auto spikes = [&] { return answer(network, parameters, 0.75F).counts.at(0).spikes; };
  EXPECT_EQ(spikes(), 2);
  parameters.neurons.leaky.reset_mechanism = quant::ResetMechanism::zero;
  EXPECT_EQ(spikes(), 3);
  parameters.neurons.leaky.reset_mechanism = quant::ResetMechanism::none;
  EXPECT_EQ(spikes(), 5);
  parameters.neurons.leaky.reset_mechanism = quant::ResetMechanism::subtract;
  parameters.neurons.leaky.reset_delay = false;
  EXPECT_EQ(spikes(), 3);
}

TEST(SpikingNetwork, DecodesAsComputedByHand) {
  const nn::Executor network = chain();
  // fc2 gives 0.25 and, at the two spikes, 2.25.
  const Answer current = answer(network, six_steps(SpikeDecoding::current_mean), 0.75F);
  EXPECT_EQ(current.score, 5.5F / 6.0F);
  ASSERT_EQ(current.counts.size(), 1U);
  EXPECT_EQ(current.counts[0], (SpikeCounts{.samples = 1, .spikes = 2, .silent = 0}));
  // Neurons behind it: U = 0.25 2.375* 0.4375 0.46875 2.484375* 0.4921875
  const Answer count = answer(network, six_steps(SpikeDecoding::spike_count), 0.75F);
  EXPECT_EQ(count.score, 2.0F);
  ASSERT_EQ(count.counts.size(), 2U);
  EXPECT_EQ(count.counts[1].spikes, 2);
  EXPECT_EQ(answer(network, six_steps(SpikeDecoding::membrane_mean), 0.75F).score, static_cast<float>(6.5078125 / 6.0));
  EXPECT_EQ(answer(network, six_steps(SpikeDecoding::membrane_mean), 0.75F).counts.size(), 1U);
  EXPECT_EQ(answer(network, six_steps(), 0.1F).counts[0], (SpikeCounts{.samples = 1, .spikes = 0, .silent = 1}));
}

TEST(SpikingNetwork, GradedSpikesScaleWhatTheNextLayerGets) {
  SpikingParameters parameters = six_steps();
  parameters.neurons.leaky.graded_spikes_factor = 0.5F;
  EXPECT_EQ(answer(chain(), parameters, 0.75F).score, static_cast<float>((2 * 1.25 + 4 * 0.25) / 6.0));
}

// Levels -1, -0.2667, 0.4667, 1.2: the state is 0.4667 and 1.2 in turn, so it fires three times instead of twice.
TEST(SpikingNetwork, StateQuantizationChangesWhenItFires) {
  SpikingParameters parameters = six_steps();
  parameters.neurons.state_quant.emplace();
  parameters.neurons.state_quant->levels.num_bits = 2;
  EXPECT_EQ(answer(chain(), parameters, 0.75F).counts[0].spikes, 3);
  EXPECT_EQ(answer(chain(), parameters, 0.75F, false).counts[0].spikes, 2);
  parameters.neurons.state_quant->levels.num_bits = 12;
  EXPECT_EQ(answer(chain(), parameters, 0.75F).counts[0].spikes, 2);
  // The levels follow the threshold of the neuron unless they have their own.
  parameters.neurons.state_quant->levels.num_bits = 2;
  parameters.neurons.leaky.threshold = {2.0F};
  EXPECT_EQ(answer(chain(), parameters, 1.5F).counts[0].spikes, 3);
  parameters.neurons.state_quant->threshold = 1.0;
  EXPECT_EQ(answer(chain(), parameters, 1.5F).counts[0].spikes, 0);
}

TEST(SpikingNetwork, InstancesStandInPlaceOfTheCommonNeurons) {
  SpikingParameters parameters = six_steps(SpikeDecoding::spike_count);
  parameters.instances["act"] = parameters.neurons;
  parameters.instances["act"].leaky.reset_mechanism = quant::ResetMechanism::none;
  EXPECT_EQ(answer(chain(), parameters, 0.75F).counts[0].spikes, 5);
}

TEST(SpikingNetwork, AFinalSoftmaxIsAppliedToTheScores) {
  const Answer result = answer(chain("Relu", true), six_steps(SpikeDecoding::spike_count), 0.75F);
  EXPECT_EQ(result.score, 1.0F);  // of one class
  EXPECT_EQ(result.counts[1].spikes, 2);
}

TEST(SpikingNetwork, LatencyIsEarlierForLargerValues) {
  const nn::Executor network = chain();
  SpikingParameters parameters = six_steps();
  parameters.encoding = SpikeEncoding::latency;
  const SpikingNetwork spiking(network, parameters, spiking_populations(network, parameters), true, 1);
  const std::vector<float> values{1.0F, 0.6F, 0.01F, 0.0F, -1.0F, 7.0F};
  const Tensor encoded = spiking.encode(Tensor({6, 1}, values), 0, {1});
  std::vector<std::int64_t> when;
  for (std::int64_t n = 0; n < 6; ++n) {
    const std::span<const float> sequence = encoded.values().subspan(static_cast<std::size_t>(n) * 6, 6);
    const auto fired = std::ranges::find(sequence, 1.0F);
    when.push_back(fired == sequence.end() ? -1 : fired - sequence.begin());
    EXPECT_LE(std::accumulate(sequence.begin(), sequence.end(), 0.0F), 1.0F);
  }
  EXPECT_THAT(when, ElementsAre(0, 2, 5, -1, -1, 0));
}

// 4000 values of 25 steps each: the standard deviation of a frequency is sqrt(p (1 - p) / 1e5) <= 0.0016; 5 of them, so
// that one of a million seeds fails.
TEST(SpikingNetwork, RatesAreTheValuesAndBelongToTheSample) {
  const nn::Executor network = chain();
  SpikingParameters parameters;
  parameters.encoding = SpikeEncoding::rate;
  const SpikingNetwork spiking(network, parameters, spiking_populations(network, parameters), true, 1);
  for (const double p : {-0.5, 0.0, 0.1, 0.5, 0.9, 1.0, 1.5}) {
    const Tensor encoded = spiking.encode(Tensor({4000, 1}, std::vector<float>(4000, static_cast<float>(p))), 0, {2});
    const double sum = std::accumulate(encoded.values().begin(), encoded.values().end(), 0.0);
    const double expected = std::clamp(p, 0.0, 1.0);
    EXPECT_NEAR(sum / 1e5, expected, 5.0 * std::sqrt(expected * (1.0 - expected) / 1e5)) << p;
  }
  const std::vector<float> half(100, 0.5F);
  const Tensor all = spiking.encode(Tensor({100, 1}, half), 0, {1});
  const Tensor part = spiking.encode(Tensor({40, 1}, std::span(half).first(40)), 60, {3});
  EXPECT_TRUE(std::ranges::equal(part.values(), all.values().subspan(60 * 25)));
  EXPECT_FALSE(std::ranges::equal(part.values(), all.values().first(40 * 25)));
}

/// The shipped networks.
struct Shipped {
  explicit Shipped(const std::string& name, std::int64_t limit)
      : executor(io::import_onnx(TESSERA_SOURCE_DIR + "/configs/models/" + name + ".onnx", {})), data(glyphs(limit)) {}
  static io::DataParameters glyphs(std::int64_t limit) {
    io::DataParameters parameters;
    parameters.format = io::DataFormat::glyphs;
    parameters.scale = 1.0 / 255.0;
    parameters.limit = limit;
    return parameters;
  }
  EvaluationRequest request(const LayerResolver& resolve) const {
    return {.executor = executor, .data = data, .evaluation = {}, .resolve = resolve, .record_output = {}};
  }
  nn::Executor executor;
  io::DataSet data;
};

LayerParameters digital(const std::string&, const std::string&) {
  LayerParameters layer;
  layer.analog = false;
  return layer;
}

LayerParameters noisy(const std::string&, const std::string&) {
  LayerParameters layer;
  layer.rpu.forward.out_noise = 0.05;
  return layer;
}

SpikingParameters balanced(std::int64_t steps) {
  SpikingParameters parameters;
  parameters.steps = steps;
  parameters.decoding = SpikeDecoding::current_mean;
  parameters.balance.emplace();
  return parameters;
}

TEST(SpikingNetwork, BalancedItApproachesTheNetworkItCameFrom) {
  const Shipped mlp("glyphs_mlp", 200);
  const double float32 = evaluate(mlp.request(digital), {}, {2}, {}).reference.accuracy();
  std::vector<double> accuracy;
  for (const std::int64_t steps : {2, 32}) {
    EvaluationRequest request = mlp.request(digital);
    request.statistics = false;
    request.spiking = balanced(steps);
    accuracy.push_back(evaluate(request, {}, {2}, {}).reference.accuracy());
  }
  EXPECT_GT(float32, 0.9);
  // Chance of two equally good networks, as on samples of their own; four standard deviations: 1 in 15,000.
  const double chance = 4.0 * std::sqrt(2.0 * float32 * (1.0 - float32) / 200.0);
  EXPECT_NEAR(accuracy[1], float32, chance);
  EXPECT_LT(accuracy[0], accuracy[1] - chance);  // the control: two steps are not enough
}

TEST(SpikingNetwork, WithFloat32SynapsesItIsItsOwnReference) {
  for (const char* name : {"glyphs_mlp", "glyphs_cnn"}) {
    const Shipped shipped(name, 16);
    EvaluationRequest request = shipped.request(digital);
    request.spiking = balanced(5);
    request.spiking->balance->samples = 64;
    const EvaluationResult result = evaluate(request, {}, {2}, {});
    ASSERT_EQ(result.points.size(), 1U);
    EXPECT_EQ(result.points[0].score.correct, result.reference.correct);
    EXPECT_EQ(result.points[0].score.loss(), result.reference.loss());
    for (const LayerResult& layer : result.points[0].layers) EXPECT_EQ(layer.cumulative.mse(), 0.0) << name;
    for (const SpikeCounts& counts : result.points[0].spikes) {
      EXPECT_EQ(counts.samples, 16);
      EXPECT_GT(counts.spikes, 0);
    }
    request.spiking->neurons.state_quant.emplace();
    request.spiking->neurons.state_quant->levels.num_bits = 3;
    EXPECT_GT(evaluate(request, {}, {2}, {}).points[0].layers.back().cumulative.mse(), 0.0) << name;
  }
}

TEST(SpikingNetwork, SameNumbersForAnyThreadsAndBatches) {
  const Shipped mlp("glyphs_mlp", 20);
  EvaluationRequest request = mlp.request(noisy);
  request.spiking = balanced(7);
  request.spiking->encoding = SpikeEncoding::rate;
  request.spiking->decoding = SpikeDecoding::spike_count;
  request.spiking->neurons.leaky.beta = {0.9F};
  const auto numbers = [&](std::int64_t batch, int threads) {
    request.batch_size = batch;
    const PointResult point = evaluate(request, {}, {threads}, {}).points.at(0);
    std::vector<double> all{point.score.loss_sum, static_cast<double>(point.score.correct)};
    for (const LayerResult& layer : point.layers) {
      all.push_back(layer.cumulative.mse());
      all.push_back(layer.isolated.mse());
    }
    for (const SpikeCounts& counts : point.spikes) {
      all.push_back(static_cast<double>(counts.spikes));
      all.push_back(static_cast<double>(counts.silent));
    }
    return all;
  };
  const std::vector<double> once = numbers(128, 1);
  EXPECT_EQ(numbers(1, 2), once);
  EXPECT_EQ(numbers(40, 3), once);
  EXPECT_EQ(numbers(1000, 2), once);
  request.seed = 9;
  EXPECT_NE(numbers(128, 1), once);
}

TEST(SpikingNetwork, EvaluatedTogetherTheyGiveTheSameNumbers) {
  const Shipped mlp("glyphs_mlp", 12);
  EvaluationRequest plain = mlp.request(noisy), few = mlp.request(noisy), other = mlp.request(noisy);
  few.spiking = other.spiking = balanced(4);
  other.resolve = digital;
  EvaluationRequest many = mlp.request(noisy);
  many.spiking = balanced(6);
  const std::vector<const EvaluationRequest*> requests{&plain, &few, &many, &other};
  const EvaluationSink sink;
  std::vector<EvaluationTask> tasks;
  for (const EvaluationRequest* request : requests) tasks.push_back({*request, sink});
  const std::vector<EvaluationResult> together = evaluate_together(tasks, {2}, {});
  ASSERT_EQ(together.size(), 4U);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const EvaluationResult alone = evaluate(*requests[i], {}, {1}, {});
    EXPECT_EQ(together[i].reference.loss_sum, alone.reference.loss_sum) << i;
    EXPECT_EQ(together[i].points.at(0).score.loss_sum, alone.points.at(0).score.loss_sum) << i;
    EXPECT_EQ(together[i].points.at(0).spikes, alone.points.at(0).spikes) << i;
  }
  EXPECT_FALSE(together[1].points[0].spikes == together[3].points[0].spikes);
}

TEST(SpikingNetwork, WeightsMayBeQuantizedAndActivationRangesMayNot) {
  const Shipped mlp("glyphs_mlp", 16);
  EvaluationRequest request = mlp.request(digital);
  request.spiking = balanced(4);
  request.quantization.emplace();
  request.quantization->append_default_conversions = true;
  request.quantization->map.default_qconfig.weight_quant.n_bits = 3;
  const EvaluationResult result = evaluate(request, {}, {1}, {});
  EXPECT_GT(result.points[0].layers[0].cumulative.mse(), 0.0);
  request.quantization->map.default_qconfig.activation_quant.n_bits = 8;
  EXPECT_THROW(evaluate(request, {}, {1}, {}), ConfigError);
}

template <class F>
std::string error_of(F&& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(SpikingNetwork, RefusesWhatIsNotThereOrHasNoMeaning) {
  const nn::Executor network = chain();
  const auto error = [&](const std::function<void(SpikingParameters&)>& change) {
    SpikingParameters parameters = six_steps();
    change(parameters);
    return error_of([&] { spiking_populations(network, parameters); });
  };
  EXPECT_THAT(error([](auto& p) { p.replace = {"Rleu"}; }), HasSubstr("did you mean 'Relu'"));
  EXPECT_THAT(error([](auto& p) { p.replace = {"fc1"}; }), HasSubstr("no activation function 'fc1'"));
  EXPECT_THAT(error([](auto& p) { p.replace = {}; }), HasSubstr("spiking.replace"));
  EXPECT_THAT(error([](auto& p) { p.instances["acd"] = p.neurons; }), HasSubstr("did you mean 'act'"));
  EXPECT_THAT(error([](auto& p) { p.instances[output_population] = p.neurons; }), HasSubstr("output_neurons"));
  EXPECT_THAT(error([](auto& p) { p.steps = 0; }), HasSubstr("spiking.steps"));
  EXPECT_THAT(error([](auto& p) { p.neurons.leaky.beta = {}; }), HasSubstr("spiking.neurons.beta"));
  EXPECT_THAT(error([](auto& p) { p.neurons.leaky.threshold = {1.0F, 2.0F}; }), HasSubstr("of 1 units has 2 values"));
  EXPECT_THAT(error([](auto& p) { p.neurons.leaky.graded_spikes_factor = 0.0F; }), HasSubstr("graded_spikes_factor"));
  EXPECT_THAT(error([](auto& p) {
                p.neurons.state_quant.emplace();
                p.neurons.state_quant->levels.num_bits = 0;
              }),
              HasSubstr("num_bits"));
  EXPECT_THAT(error([](auto& p) { p.balance = {.percentile = 0.0}; }), HasSubstr("percentile"));
  EXPECT_EQ(error([](auto&) {}), "no error");
}

TEST(SpikingNetwork, ThresholdsNeedAPositiveActivation) {
  const nn::Executor network = chain();
  SpikingParameters parameters = six_steps();
  parameters.balance.emplace();
  const io::DataSet negative(Tensor({2, 1}, std::vector<float>{-1.0F, -2.0F}), {0, 0});
  EXPECT_THAT(error_of([&] { balanced_populations(network, parameters, negative, {1}); }), HasSubstr("'act'"));
  const io::DataSet data(Tensor({4, 1}, std::vector<float>{3.0F, 1.0F, 2.0F, 4.0F}), {0, 0, 0, 0});
  parameters.balance->percentile = 75.0;  // nearest rank: the third of four
  const std::vector<Population> populations = balanced_populations(network, parameters, data, {1});
  EXPECT_THAT(populations.at(0).neurons.leaky.threshold, ElementsAre(3.0F));
  EXPECT_EQ(populations.at(0).neurons.leaky.graded_spikes_factor, 3.0F);
}

TEST(SpikingNetwork, NamesNeuronsWhoseCurrentIsNotFinite) {
  const nn::Executor network = chain();
  EXPECT_THAT(error_of([&] { answer(network, six_steps(), std::numeric_limits<float>::infinity()); }),
              HasSubstr("'act'"));
}

}  // namespace
}  // namespace tessera::sim
