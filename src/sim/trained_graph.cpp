#include "sim/trained_graph.hpp"

#include <algorithm>

#include "tessera/nn/transform.hpp"

namespace tessera::sim {

nn::Graph with_weights_of(const nn::Graph& graph, const nn::Graph& trained) {
  nn::Graph result = graph;
  for (nn::Node& node : result.nodes) {
    const auto found = std::ranges::find(trained.nodes, node.name, &nn::Node::name);
    if (found == trained.nodes.end() || nn::is_transform(*found)) continue;
    node.attributes = found->attributes;
    for (std::size_t i = 0; i < found->inputs.size(); ++i) {
      const nn::ValueId id = found->inputs[i];
      const Tensor* const weight = id == nn::no_value ? nullptr : trained.tensor(id);
      if (weight == nullptr) continue;
      if (node.inputs.size() <= i) node.inputs.resize(i + 1, nn::no_value);
      if (node.inputs[i] == id)
        result.values[static_cast<std::size_t>(id)].constant = *weight;
      else
        node.inputs[i] = result.add_value(trained.name_of(id), *weight);
    }
  }
  return result;
}

}  // namespace tessera::sim
