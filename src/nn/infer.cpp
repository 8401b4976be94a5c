#include "operator.hpp"
#include "tessera/nn/passes.hpp"

namespace tessera::nn {

std::vector<Shape> input_shapes(const Graph& graph, std::int64_t batch, const std::vector<Shape>& sample_shapes) {
  require<InputError>(sample_shapes.empty() || sample_shapes.size() == graph.inputs.size(),
                      "{} sample shapes given for {} inputs", sample_shapes.size(), graph.inputs.size());
  std::vector<Shape> shapes;
  for (std::size_t i = 0; i < graph.inputs.size(); ++i) {
    const GraphInput& input = graph.inputs[i];
    const std::string& name = graph.values[static_cast<std::size_t>(input.value)].name;
    Shape shape = input.shape;
    const std::size_t first = input.batched && !shape.empty() ? 1 : 0;
    if (!sample_shapes.empty() && !sample_shapes[i].empty()) {
      const Shape& given = sample_shapes[i];
      bool fits = given.size() + first == shape.size();
      for (std::size_t d = first; fits && d < shape.size(); ++d) {
        fits = shape[d] < 0 || shape[d] == given[d - first];
        shape[d] = given[d - first];
      }
      require<InputError>(fits, "input '{}' takes samples of another shape than {}", name, to_string(given));
    }
    if (first == 1 && shape[0] < 0) shape[0] = batch;
    for (std::size_t d = 0; d < shape.size(); ++d)
      require<InputError>(shape[d] >= 0, "axis {} of input '{}' has no fixed extent; give the shape of a sample", d,
                          name);
    shapes.push_back(std::move(shape));
  }
  return shapes;
}

std::vector<ValueInfo> infer_shapes(const Graph& graph, const std::vector<Shape>& input_shapes) {
  require<InputError>(input_shapes.size() == graph.inputs.size(), "{} input shapes given for {} inputs",
                      input_shapes.size(), graph.inputs.size());
  std::vector<ValueInfo> infos(graph.values.size());
  for (std::size_t v = 0; v < graph.values.size(); ++v)
    if (const auto& constant = graph.values[v].constant) {
      infos[v].type = std::holds_alternative<Tensor>(*constant) ? ElementType::float32 : ElementType::int64;
      infos[v].shape = shape_of(*constant);
      infos[v].known = std::shared_ptr<const Constant>(std::shared_ptr<void>(), &*constant);  // not owned
    }
  for (std::size_t i = 0; i < graph.inputs.size(); ++i) {
    const auto v = static_cast<std::size_t>(graph.inputs[i].value);
    infos[v] = {.type = graph.inputs[i].type, .shape = input_shapes[i], .known = nullptr};
  }
  for (const Node& node : graph.nodes) {
    std::vector<const ValueInfo*> in;
    for (const ValueId id : node.inputs) in.push_back(id == no_value ? nullptr : &infos[static_cast<std::size_t>(id)]);
    std::vector<ValueInfo> out = infer_node(node, in);
    for (std::size_t i = 0; i < out.size(); ++i)
      if (node.outputs[i] != no_value) infos[static_cast<std::size_t>(node.outputs[i])] = std::move(out[i]);
  }
  return infos;
}

}  // namespace tessera::nn
