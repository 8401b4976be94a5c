#include "tessera/nn/transform.hpp"

#include <algorithm>

#include "operator_list.hpp"
#include "tessera/core/error.hpp"

namespace tessera::nn {

namespace {

constexpr const char* output_of = "output_of";

const TransformPlace* find_place(const std::vector<TransformPlace>& places, std::size_t node, TransformSide side) {
  const auto matches = [&](const TransformPlace& p) { return p.node == static_cast<int>(node) && p.side == side; };
  const auto found = std::ranges::find_if(places, matches);
  return found == places.end() ? nullptr : &*found;
}

}  // namespace

bool is_transform(const Node& node) {
  return node.op == "Transform" || node.op == "OrderedTransform";
}

std::string transformed_node(const Node& node) {
  return is_transform(node) ? node.text(output_of, "") : "";
}

Node transform_node(std::string name, ValueId input, ValueId output, const ValueTransform& transform) {
  return {.name = std::move(name),
          .op = transform.needs_order() ? "OrderedTransform" : "Transform",
          .inputs = {input},
          .outputs = {output},
          .attributes = {}};
}

Transforms insert_transforms(Graph& graph, const std::vector<TransformPlace>& places) {
  for (const TransformPlace& place : places) {
    require<InputError>(place.node >= 0 && place.node < static_cast<int>(graph.nodes.size()) && place.transform,
                        "a transform at node {} of {}", place.node, graph.nodes.size());
    const Node& node = graph.nodes[static_cast<std::size_t>(place.node)];
    const bool input = place.side == TransformSide::input;
    require<InputError>((input ? node.input(0) : node.output(0)) != no_value, "node '{}' ({}) has no {}", node.name,
                        node.op, input ? "input" : "output");
    require<InputError>(find_place(places, static_cast<std::size_t>(place.node), place.side) == &place,
                        "node '{}': two transforms of its {}", node.name, input ? "input" : "output");
  }
  Transforms transforms;
  const auto made = [&](const TransformPlace& place, const std::string& name, ValueId from, ValueId to) {
    transforms.emplace(name, place.transform);
    return transform_node(name, from, to, *place.transform);
  };
  std::vector<Node> nodes;
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    Node node = graph.nodes[n];
    if (const TransformPlace* place = find_place(places, n, TransformSide::input)) {
      const std::string name = node.name + ".input_transform";
      const ValueId changed = graph.add_value(name);
      nodes.push_back(made(*place, name, node.inputs[0], changed));
      node.inputs[0] = changed;
    }
    const TransformPlace* place = find_place(places, n, TransformSide::output);
    if (place == nullptr) {
      nodes.push_back(std::move(node));
      continue;
    }
    const std::string name = node.name + ".output_transform";
    const ValueId raw = graph.add_value(name);
    Node transform = made(*place, name, raw, node.outputs[0]);
    transform.attributes[output_of] = node.name;
    node.outputs[0] = raw;
    nodes.push_back(std::move(node));
    nodes.push_back(std::move(transform));
  }
  graph.nodes = std::move(nodes);
  return transforms;
}

void compute_transform(const ComputeContext& c) {
  throw RunError(fmt::format("{}: a transform is applied by the executor only", c.where()));
}

}  // namespace tessera::nn
