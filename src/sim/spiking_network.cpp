#include "tessera/sim/spiking_network.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "leaky_parameters.hpp"
#include "leaky_transform.hpp"
#include "spike_coding.hpp"
#include "tessera/sim/evaluate.hpp"

namespace tessera::sim {

namespace {

const std::vector<std::string>& activation_operators() {
  static const std::vector<std::string> names{
      "Relu", "LeakyRelu", "ThresholdedRelu", "PRelu",       "Clip",      "Elu",  "Celu",     "Selu",
      "Gelu", "Mish",      "Sigmoid",         "HardSigmoid", "HardSwish", "Tanh", "Softplus", "Softsign"};
  return names;
}

bool contains(const std::vector<std::string>& list, const std::string& word) {
  return std::ranges::find(list, word) != list.end();
}

std::string suggestion(const std::string& word, const std::vector<std::string>& legal) {
  const std::string near = nearest_word(word, legal);
  if (!near.empty()) return "; did you mean '" + near + "'?";
  return legal.empty() ? std::string() : fmt::format("; there are {}", fmt::join(legal, ", "));
}

/// Index of the final Softmax or LogSoftmax, or -1.
int final_softmax(const nn::Graph& graph) {
  const int last = nn::producers(graph)[static_cast<std::size_t>(graph.outputs.front())];
  if (last < 0) return -1;
  const std::string& op = graph.nodes[static_cast<std::size_t>(last)].op;
  return op == "Softmax" || op == "LogSoftmax" ? last : -1;
}

/// The value that the decoding reads: the output of the network without a final Softmax.
nn::ValueId decoded_value(const nn::Graph& graph) {
  const int softmax = final_softmax(graph);
  return softmax < 0 ? graph.outputs.front() : graph.nodes[static_cast<std::size_t>(softmax)].inputs.front();
}

/// Nodes in whose place neurons are put, by index.
std::vector<std::size_t> replaced_nodes(const nn::Graph& graph, const std::vector<std::string>& replace) {
  std::vector<std::size_t> nodes;
  std::vector<std::string> legal;
  std::vector<bool> used(replace.size(), false);
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    const nn::Node& node = graph.nodes[n];
    if (!contains(activation_operators(), node.op)) continue;
    for (const std::string& word : {node.op, node.name})
      if (!contains(legal, word)) legal.push_back(word);
    bool chosen = false;
    for (std::size_t i = 0; i < replace.size(); ++i)
      if (replace[i] == node.op || replace[i] == node.name) used[i] = chosen = true;
    if (chosen) nodes.push_back(n);
  }
  std::vector<Problem> problems;
  for (std::size_t i = 0; i < replace.size(); ++i)
    if (!used[i])
      problems.push_back({.file = {},
                          .key = "spiking.replace",
                          .message = fmt::format("the network has no activation function '{}'{}", replace[i],
                                                 suggestion(replace[i], legal))});
  if (!problems.empty()) throw ConfigError(std::move(problems));
  return nodes;
}

/// A network that can be unrolled: the samples of everything that counts lie along the first axis.
void check_unrollable(const nn::Executor& network, const std::vector<nn::ValueId>& values) {
  const nn::Graph& graph = network.graph();
  require<InputError>(graph.batch == nn::BatchMode::any,
                      "network '{}' cannot be unrolled over time, since it does not take batches of any size",
                      graph.name);
  require<InputError>(network.options().products.empty(),
                      "'{}': a product of two activations cannot be on tiles in a spiking network; leave it digital",
                      network.options().products.empty() ? "" : network.options().products.front());
  for (const nn::LinearLayer& layer : network.layers())
    require<InputError>(layer.kind != nn::LinearKind::recurrent,
                        "layer '{}': a recurrent layer cannot be part of a spiking network", layer.name);
  const auto check = [&](nn::ValueId id, const std::string& name) {
    require<InputError>(network.samples_of(id) == nn::SampleAxis{},
                        "'{}': its samples do not lie along the first axis alone, so it cannot be unrolled over time",
                        name);
  };
  for (const nn::LinearLayer& layer : network.layers()) {
    const nn::Node& node = graph.nodes[static_cast<std::size_t>(layer.node)];
    check(node.inputs[0], layer.name);
    check(node.outputs[0], layer.name);
  }
  for (const nn::ValueId id : values) check(id, graph.name_of(id));
}

/// The k largest of a stream of values.
class Largest {
 public:
  explicit Largest(std::size_t k) : k_(k) {}
  void add(std::span<const float> values) {
    for (const float x : values)
      if (kept_.size() < k_ || x > floor_) {
        kept_.push_back(x);
        if (kept_.size() >= 2 * k_ + 1024) shrink();
      }
  }
  /// The k-th largest.
  float smallest() {
    shrink();
    return floor_;
  }

 private:
  void shrink() {
    const auto last = kept_.begin() + static_cast<std::ptrdiff_t>(std::min(k_, kept_.size())) - 1;
    std::nth_element(kept_.begin(), last, kept_.end(), std::greater<>());
    floor_ = *last;
    kept_.resize(std::min(k_, kept_.size()));
  }
  std::size_t k_;
  std::vector<float> kept_;
  float floor_ = -std::numeric_limits<float>::infinity();
};

class Identity final : public nn::ValueTransform {
 public:
  void apply(const nn::TransformCall& call) const override {
    if (call.y.data() != call.x.data()) std::ranges::copy(call.x, call.y.begin());
  }
};

}  // namespace

std::vector<Population> spiking_populations(const nn::Executor& network, const SpikingParameters& parameters) {
  validate(parameters);
  const nn::Graph& graph = network.graph();
  const std::vector<std::size_t> nodes = replaced_nodes(graph, parameters.replace);
  const nn::ValueId decoded = decoded_value(graph);
  std::vector<nn::ValueId> values;
  std::vector<Population> populations;
  for (const std::size_t n : nodes) {
    const bool last = graph.nodes[n].outputs.front() == decoded;
    values.push_back(graph.nodes[n].outputs.front());
    populations.push_back({.name = graph.nodes[n].name,
                           .emits_spikes = !(last && parameters.decoding == SpikeDecoding::membrane_mean),
                           .neurons = parameters.neurons});
  }
  if (parameters.decoding != SpikeDecoding::current_mean && (values.empty() || values.back() != decoded)) {
    values.push_back(decoded);
    populations.push_back({.name = output_population,
                           .emits_spikes = parameters.decoding == SpikeDecoding::spike_count,
                           .neurons = parameters.neurons});
  }
  check_unrollable(network, values);
  const auto infos = nn::infer_shapes(graph, nn::input_shapes(graph, 1, network.options().sample_shapes));
  std::vector<std::string> names;
  for (std::size_t p = 0; p < populations.size(); ++p) {
    populations[p].units = element_count(infos[static_cast<std::size_t>(values[p])].shape);
    names.push_back(populations[p].name);
    const auto found = parameters.instances.find(populations[p].name);
    if (found != parameters.instances.end()) populations[p].neurons = found->second;
    const quant::LeakyParameters& leaky = populations[p].neurons.leaky;
    for (const std::size_t count : {leaky.beta.size(), leaky.threshold.size()})
      if (count != 1 && static_cast<std::int64_t>(count) != populations[p].units)
        throw ConfigError("spiking", fmt::format("population '{}' of {} units has {} values of beta or threshold; give "
                                                 "one, or one per unit",
                                                 populations[p].name, populations[p].units, count));
  }
  std::vector<Problem> problems;
  for (const auto& entry : parameters.instances)
    if (!contains(names, entry.first))
      problems.push_back(
          {.file = {},
           .key = "spiking.instances." + entry.first,
           .message = fmt::format("no population is called '{}'{}", entry.first, suggestion(entry.first, names))});
  if (!problems.empty()) throw ConfigError(std::move(problems));
  return populations;
}

std::vector<Population> balanced_populations(const nn::Executor& network, const SpikingParameters& parameters,
                                             const io::DataSet& data, Parallel parallel) {
  std::vector<Population> populations = spiking_populations(network, parameters);
  if (!parameters.balance) return populations;
  const std::int64_t samples = std::min(data.size(), parameters.balance->samples);
  require<InputError>(samples > 0, "the data set '{}' has no samples to balance thresholds on", data.name());

  nn::Graph graph = network.graph();
  const std::vector<int> producer = nn::producers(graph);
  const nn::ValueId decoded = decoded_value(graph);
  std::vector<nn::TransformPlace> places;
  std::map<std::string, std::size_t> population_of_probe;
  for (std::size_t p = 0; p < populations.size(); ++p) {
    const auto named = [&](const nn::Node& node) { return node.name == populations[p].name; };
    const auto found = std::ranges::find_if(graph.nodes, named);
    const int node = found != graph.nodes.end() ? static_cast<int>(found - graph.nodes.begin())
                                                : producer[static_cast<std::size_t>(decoded)];
    require<InputError>(node >= 0, "network '{}' returns what it is given", graph.name);
    places.push_back({node, nn::TransformSide::output, std::make_shared<Identity>()});
    population_of_probe[graph.nodes[static_cast<std::size_t>(node)].name + ".output_transform"] = p;
  }
  nn::ExecutorOptions options = network.options();
  options.transforms = nn::insert_transforms(graph, places);
  const Shape sample = fitted_sample_shape(graph, data);
  const nn::Executor probed(std::move(graph), std::move(options));

  std::vector<Largest> largest;
  for (const Population& population : populations) {
    const double all = static_cast<double>(samples) * static_cast<double>(population.units);
    const double rank = std::max(1.0, std::ceil(parameters.balance->percentile / 100.0 * all));
    largest.emplace_back(static_cast<std::size_t>(all - rank) + 1);
  }
  nn::RunOptions run{.parallel = parallel};
  run.transform_observer = [&](const std::string& node, const nn::TransformCall& call) {
    largest[population_of_probe.at(node)].add(call.y);
  };
  constexpr std::int64_t batch = 64;
  for (std::int64_t first = 0; first < samples; first += batch) {
    const std::int64_t count = std::min(batch, samples - first);
    static_cast<void>(probed.run(read_samples(data, first, count, sample, parallel), run));
  }
  for (std::size_t p = 0; p < populations.size(); ++p) {
    const float lambda = largest[p].smallest();
    require<InputError>(lambda > 0.0F && std::isfinite(lambda),
                        "population '{}': the activations it stands for have percentile {} = {}, so no threshold "
                        "follows from it; raise spiking.balance.percentile",
                        populations[p].name, parameters.balance->percentile, lambda);
    for (float& threshold : populations[p].neurons.leaky.threshold) threshold *= lambda;
    populations[p].neurons.leaky.graded_spikes_factor *= lambda;
  }
  return populations;
}

void SpikeCounts::operator+=(const SpikeCounts& other) {
  samples += other.samples;
  spikes += other.spikes;
  silent += other.silent;
}

SpikingNetwork::SpikingNetwork(const nn::Executor& network, const SpikingParameters& parameters,
                               const std::vector<Population>& populations, bool quantize_state, std::uint64_t seed)
    : parameters_(parameters), seed_(seed) {
  nn::Graph graph = network.graph();
  nn::ExecutorOptions options = network.options();
  if (const int softmax = final_softmax(graph); softmax >= 0) {
    final_operator_ = graph.nodes[static_cast<std::size_t>(softmax)].op;
    graph.outputs.front() = graph.nodes[static_cast<std::size_t>(softmax)].inputs.front();
    graph.nodes.erase(graph.nodes.begin() + softmax);
  }
  for (const Population& population : populations) {
    NeuronParameters neurons = population.neurons;
    if (!quantize_state) neurons.state_quant.reset();
    const auto emit = population.emits_spikes ? LeakyTransform::Emit::spikes : LeakyTransform::Emit::state;
    const auto transform = std::make_shared<LeakyTransform>(
        population.name, leaky_parameters(neurons, "spiking." + population.name), parameters_.steps, emit);
    const auto named = [&](const nn::Node& node) { return node.name == population.name; };
    const auto found = std::ranges::find_if(graph.nodes, named);
    if (found != graph.nodes.end()) {
      *found = nn::transform_node(population.name, found->inputs.front(), found->outputs.front(), *transform);
    } else {
      const nn::ValueId spikes = graph.add_value(population.name);
      graph.nodes.push_back(nn::transform_node(population.name, graph.outputs.front(), spikes, *transform));
      graph.outputs.front() = spikes;
    }
    options.transforms[population.name] = transform;
    if (population.emits_spikes) spiking_.push_back(population.name);
  }
  executor_ = std::make_unique<nn::Executor>(std::move(graph), std::move(options));
}

Tensor SpikingNetwork::encode(const Tensor& images, std::uint64_t first_image, Parallel parallel) const {
  return encode_steps(parameters_.encoding, images, parameters_.steps, first_image, seed_, parallel);
}

Tensor SpikingNetwork::decode(const Tensor& outputs) const {
  Tensor scores = parameters_.decoding == SpikeDecoding::spike_count ? count_of_steps(outputs, parameters_.steps)
                                                                     : mean_of_steps(outputs, parameters_.steps);
  if (final_operator_.empty() || scores.size() == 0) return scores;
  const std::int64_t classes = scores.shape().back();
  for (std::int64_t row = 0; row < scores.size(); row += classes) {
    const std::span<float> values =
        scores.values().subspan(static_cast<std::size_t>(row), static_cast<std::size_t>(classes));
    const double highest = static_cast<double>(*std::ranges::max_element(values));
    double sum = 0.0;
    for (const float x : values) sum += std::exp(static_cast<double>(x) - highest);
    for (float& x : values) {
      const double log_probability = static_cast<double>(x) - highest - std::log(sum);
      x = static_cast<float>(final_operator_ == "Softmax" ? std::exp(log_probability) : log_probability);
    }
  }
  return scores;
}

SpikeCounts count_spikes(const nn::TransformCall& call, std::int64_t steps) {
  SpikeCounts sum;
  sum.samples = call.samples / steps;
  if (sum.samples == 0) return sum;
  const std::int64_t units = static_cast<std::int64_t>(call.y.size()) / call.samples;
  std::vector<std::int64_t> fired(static_cast<std::size_t>(units));
  for (std::int64_t n = 0; n < sum.samples; ++n) {
    std::ranges::fill(fired, 0);
    for (std::int64_t t = 0; t < steps; ++t) {
      const float* step = call.y.data() + (n * steps + t) * units;
      for (std::int64_t u = 0; u < units; ++u) fired[static_cast<std::size_t>(u)] += step[u] != 0.0F ? 1 : 0;
    }
    for (const std::int64_t count : fired) {
      sum.spikes += count;
      sum.silent += count == 0 ? 1 : 0;
    }
  }
  return sum;
}

nn::Activation mean_over_steps(const nn::Activation& values, std::int64_t steps) {
  return {mean_of_steps(values.values, steps), values.layout};
}

}  // namespace tessera::sim
