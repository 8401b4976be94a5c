#include "training_check.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "backward.hpp"

namespace tessera::nn {

bool stops_gradients(const std::string& op) {
  static const std::set<std::string> stops = {"Shape", "Size",        "ArgMax",  "ArgMin",         "Equal",
                                              "Less",  "LessOrEqual", "Greater", "GreaterOrEqual", "Not",
                                              "And",   "Or",          "Xor",     "ConstantOfShape"};
  return stops.contains(op);
}

void check_trainable(const Graph& graph, const std::vector<int>& layer_of_node) {
  std::vector<std::string> problems;
  if (graph.inputs.size() != 1 || graph.inputs[0].type != ElementType::float32)
    problems.emplace_back("training takes networks of one floating-point input");
  if (graph.outputs.empty()) problems.emplace_back("the network has no output");
  if (graph.batch == BatchMode::fixed)
    problems.push_back(fmt::format("the network takes {} sample{} at a time, so there are no batches to train on",
                                   graph.samples_at_a_time, graph.samples_at_a_time == 1 ? "" : "s"));
  const auto own_node = [&](std::size_t n) {
    return make_trained_node(graph, graph.nodes[n], 0, static_cast<std::uint32_t>(n)) != nullptr;
  };
  std::map<ValueId, std::string> owner;
  std::vector<bool> learned(graph.values.size()), leads(graph.values.size());
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    bool learns = layer_of_node[n] >= 0;
    for (std::size_t i = 1; learns && i < std::min<std::size_t>(node.inputs.size(), 4); ++i) {
      if (graph.tensor(node.inputs[i]) == nullptr) continue;
      const auto [at, added] = owner.emplace(node.inputs[i], node.name);
      if (!added && at->second != node.name)
        problems.push_back(fmt::format("nodes '{}' and '{}' share the weight '{}'; give each its own", at->second,
                                       node.name, graph.name_of(node.inputs[i])));
    }
    for (const ValueId id : node.inputs) learns = learns || (id != no_value && learned[static_cast<std::size_t>(id)]);
    if (stops_gradients(node.op)) continue;
    learns = learns || own_node(n);
    for (const ValueId id : node.outputs)
      if (id != no_value) learned[static_cast<std::size_t>(id)] = learns;
  }
  if (!graph.outputs.empty()) leads[static_cast<std::size_t>(graph.outputs[0])] = true;
  for (std::size_t n = graph.nodes.size(); n-- > 0;) {
    const Node& node = graph.nodes[n];
    if (std::ranges::none_of(node.outputs,
                             [&](ValueId id) { return id != no_value && leads[static_cast<std::size_t>(id)]; }))
      continue;
    if (stops_gradients(node.op)) continue;
    bool passes = false;
    for (const ValueId id : node.inputs) {
      if (id == no_value) continue;
      leads[static_cast<std::size_t>(id)] = true;
      passes = passes || learned[static_cast<std::size_t>(id)];
    }
    if (passes && layer_of_node[n] < 0 && find_backward(node.op) == nullptr && !own_node(n))
      problems.push_back(fmt::format("node '{}' ({}): no gradient can pass through this operator", node.name, node.op));
  }
  if (problems.empty()) return;
  throw InputError(fmt::format("the network cannot be trained:\n  {}", fmt::join(problems, "\n  ")));
}

}  // namespace tessera::nn
