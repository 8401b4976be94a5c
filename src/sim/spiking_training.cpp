#include "sim/spiking_training.hpp"

#include <algorithm>

#include "leaky_parameters.hpp"
#include "spike_coding.hpp"
#include "tessera/nn/leaky_neurons.hpp"
#include "trained_graph.hpp"

namespace tessera::sim {

namespace {

constexpr const char* beta_key = ".beta";
constexpr const char* threshold_key = ".threshold";
constexpr const char* start_suffix = ".start";  // what the configuration of the training had

const NeuronParameters& neurons_of(const SpikingParameters& parameters, const std::string& population) {
  const auto own = parameters.instances.find(population);
  return own == parameters.instances.end() ? parameters.neurons : own->second;
}

const std::vector<float>& values_of(const quant::LeakyParameters& leaky, bool beta) {
  return beta ? leaky.beta : leaky.threshold;
}

void check_learnable(const SpikingParameters& parameters, const std::vector<Population>& populations) {
  if (parameters.balance)
    throw ConfigError("spiking.balance",
                      "sets thresholds for a network that was trained with activation functions; a network that is "
                      "trained with neurons takes them as given: balance: null");
  for (const Population& population : populations) {
    const NeuronParameters& neurons = population.neurons;
    if (neurons.learn_threshold && neurons.state_quant && !neurons.state_quant->threshold)
      throw ConfigError(
          "spiking.neurons.state_quant.threshold",
          fmt::format("must be given where the threshold of the neurons is learned ('{}')", population.name));
  }
}

}  // namespace

SpikingTraining::SpikingTraining(const nn::Graph& graph, const nn::ExecutorOptions& options,
                                 const SpikingParameters& parameters, std::uint64_t seed)
    : graph_(graph), parameters_(parameters), seed_(seed) {
  const nn::Executor executor(graph, options);
  populations_ = spiking_populations(executor, parameters_);
  check_learnable(parameters_, populations_);
  network_ = std::make_unique<SpikingNetwork>(executor, parameters_, populations_, true, seed);
}

void SpikingTraining::give_neurons(nn::TrainingNetwork& network) const {
  for (const Population& population : populations_) {
    nn::TrainableLeakyParameters neurons;
    neurons.neurons = leaky_parameters(population.neurons, "spiking." + population.name);
    neurons.steps = parameters_.steps;
    neurons.output = population.emits_spikes ? nn::LeakyOutput::spikes : nn::LeakyOutput::state;
    neurons.learn_beta = population.neurons.learn_beta;
    neurons.learn_threshold = population.neurons.learn_threshold;
    neurons.seed = seed_;
    network.replace(population.name, nn::trainable_leaky(std::move(neurons)));
  }
}

Tensor SpikingTraining::encode(const Tensor& batch, std::uint64_t step, Parallel parallel) const {
  // Far behind the numbers of the samples of any evaluation.
  const std::uint64_t first = (std::uint64_t{1} << 40) + step * static_cast<std::uint64_t>(batch.dim(0));
  return network_->encode(batch, first, parallel);
}

Tensor SpikingTraining::decode(const Tensor& outputs) const {
  return parameters_.decoding == SpikeDecoding::spike_count ? count_of_steps(outputs, parameters_.steps)
                                                            : mean_of_steps(outputs, parameters_.steps);
}

Tensor SpikingTraining::decode_gradient(const Tensor& d_scores) const {
  float share = 1.0F / static_cast<float>(parameters_.steps);
  if (parameters_.decoding == SpikeDecoding::spike_count) {
    const quant::LeakyParameters& last = populations_.back().neurons.leaky;
    share = last.inhibition ? 1.0F : 1.0F / last.graded_spikes_factor;
  }
  Shape shape = d_scores.shape();
  const std::int64_t images = shape.at(0), values = images > 0 ? d_scores.size() / images : 0;
  shape[0] *= parameters_.steps;
  Tensor gradient = Tensor::uninitialized(std::move(shape));
  for (std::int64_t row = 0; row < images * parameters_.steps; ++row)
    for (std::int64_t i = 0; i < values; ++i)
      gradient.data()[row * values + i] = share * d_scores.data()[row / parameters_.steps * values + i];
  return gradient;
}

nn::Graph SpikingTraining::rolled(const nn::Graph& trained) const {
  return with_weights_of(graph_, trained);
}

void SpikingTraining::store_neurons(const std::vector<nn::TrainedParameter>& parameters, const SpikingParameters& asked,
                                    std::map<std::string, io::LayerNumbers>& calibration) const {
  for (const Population& population : populations_) {
    const bool behind_last = population.name == output_population;
    const std::string& node = behind_last ? graph_.nodes.back().name : population.name;
    for (const nn::TrainedParameter& parameter : parameters)
      for (const char* key : {beta_key, threshold_key}) {
        if (parameter.kind != nn::ParameterKind::neuron || parameter.name != population.name + key) continue;
        const std::string name = (behind_last ? output_population : "neurons") + std::string(key);
        const std::vector<float>& from = values_of(neurons_of(asked, population.name).leaky, key == beta_key);
        calibration[node][name] = {parameter.value.begin(), parameter.value.end()};
        calibration[node][name + start_suffix] = {from.begin(), from.end()};
      }
  }
}

SpikingParameters with_learned_neurons(SpikingParameters parameters,
                                       const std::map<std::string, io::LayerNumbers>& calibration) {
  const SpikingParameters asked = parameters;
  std::vector<Problem> problems;
  for (const auto& [node, numbers] : calibration)
    for (const auto& [name, values] : numbers) {
      const bool behind_last = name.starts_with(output_population);
      if (!behind_last && !name.starts_with("neurons.")) continue;
      const bool is_beta = name.ends_with(beta_key);
      if (!is_beta && !name.ends_with(threshold_key)) continue;
      if (asked.balance && !is_beta)
        problems.push_back({.file = {},
                            .key = "spiking.balance",
                            .message = fmt::format("the model has learned thresholds ('{}'); use them: balance: null, "
                                                   "or not: model.use_calibration: false",
                                                   node)});
      const std::string population = behind_last ? output_population : node;
      // Older files do not say from what the learning started.
      const std::vector<float>& now = values_of(neurons_of(asked, population).leaky, is_beta);
      const auto start = numbers.find(name + start_suffix);
      if (start != numbers.end() &&
          !std::ranges::equal(start->second, now, [](double a, float b) { return static_cast<float>(a) == b; }))
        problems.push_back(
            {.file = {},
             .key = asked.instances.contains(population)
                        ? fmt::format("spiking.instances.{}{}", population, is_beta ? beta_key : threshold_key)
                        : std::string("spiking.neurons") + (is_beta ? beta_key : threshold_key),
             .message = fmt::format("'{}' has learned {}s, starting from {}, the configuration has {}; set "
                                    "model.use_calibration: false, or train again",
                                    node, is_beta ? "beta" : "threshold", fmt::join(start->second, ", "),
                                    fmt::join(now, ", "))});
      const auto [entry, added] = parameters.instances.try_emplace(population, parameters.neurons);
      std::vector<float>& learned = is_beta ? entry->second.leaky.beta : entry->second.leaky.threshold;
      learned.assign(values.begin(), values.end());
    }
  if (!problems.empty()) throw ConfigError(std::move(problems));
  return parameters;
}

}  // namespace tessera::sim
