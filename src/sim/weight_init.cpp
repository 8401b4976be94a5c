#include "sim/weight_init.hpp"

#include <algorithm>
#include <cmath>

#include "sim/part_address.hpp"
#include "tessera/nn/training.hpp"
#include "tessera/random/stream.hpp"

namespace tessera::sim {

namespace {

void fill(nn::Graph& graph, nn::ValueId id, float value) {
  if (id == nn::no_value || graph.tensor(id) == nullptr) return;
  auto& tensor = std::get<Tensor>(*graph.values[static_cast<std::size_t>(id)].constant);
  std::fill(tensor.values().begin(), tensor.values().end(), value);
}

void reset_normalizations(nn::Graph& graph) {
  for (const nn::Node& node : graph.nodes) {
    const bool batch = node.op == "BatchNormalization";
    if (!batch && node.op != "LayerNormalization" && node.op != "InstanceNormalization" &&
        node.op != "GroupNormalization")
      continue;
    fill(graph, node.input(1), 1.0F);
    fill(graph, node.input(2), 0.0F);
    if (batch) fill(graph, node.input(3), 0.0F);
    if (batch) fill(graph, node.input(4), 1.0F);
  }
}

}  // namespace

nn::Graph with_fresh_weights(nn::Graph graph, const nn::ExecutorOptions& options, std::uint64_t seed) {
  reset_normalizations(graph);
  nn::TrainingNetwork network(std::move(graph), options);
  std::vector<nn::TrainedParameter> parameters = network.parameters();
  const auto values_of = [&](const std::string& name) -> std::span<float> {
    for (nn::TrainedParameter& parameter : parameters)
      if (parameter.name == name) return parameter.value;
    return {};
  };
  const std::vector<nn::LinearLayer>& layers = network.layers();
  for (std::size_t l = 0; l < layers.size(); ++l) {
    for (std::size_t p = 0; p < layers[l].parts.size(); ++p) {
      const std::span<float> weight = values_of(layers[l].part_name(p) + ".weight");
      const random::Stream stream(part_address(seed, l, p), random::Purpose::weight_init);
      random::fill_normal(stream, 0, 0, weight);
      const double gain = layers[l].kind == nn::LinearKind::recurrent ? 1.0 : 2.0;
      const auto scale = static_cast<float>(std::sqrt(gain / static_cast<double>(layers[l].parts[p].weight.cols())));
      for (float& w : weight) w *= scale;
      const std::span<float> bias = values_of(layers[l].part_name(p) + ".bias");
      std::fill(bias.begin(), bias.end(), 0.0F);
    }
  }
  network.updated();
  return network.graph();
}

}  // namespace tessera::sim
