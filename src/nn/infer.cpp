#include <algorithm>

#include "operator.hpp"
#include "tessera/nn/passes.hpp"

namespace tessera::nn {

ValueInfo info_of(const Constant& constant) {
  return {.type = std::holds_alternative<Tensor>(constant) ? ElementType::float32 : ElementType::int64,
          .shape = shape_of(constant),
          .known = std::shared_ptr<const Constant>(std::shared_ptr<void>(), &constant)};  // not owned
}

std::vector<Shape> input_shapes(const Graph& graph, std::int64_t batch, const std::vector<Shape>& sample_shapes) {
  require<InputError>(sample_shapes.empty() || sample_shapes.size() == graph.inputs.size(),
                      "{} sample shapes given for {} inputs", sample_shapes.size(), graph.inputs.size());
  std::vector<Shape> shapes;
  for (std::size_t i = 0; i < graph.inputs.size(); ++i) {
    const GraphInput& input = graph.inputs[i];
    const std::string& name = graph.name_of(input.value);
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

namespace {

/// Infers node by node; `failed` is told of a node that does not fit, and its outputs (and what follows) stay unknown.
template <class Failed>
std::vector<ValueInfo> infer_all(const Graph& graph, const std::vector<Shape>& input_shapes, Failed failed) {
  require<InputError>(input_shapes.size() == graph.inputs.size(), "{} input shapes given for {} inputs",
                      input_shapes.size(), graph.inputs.size());
  std::vector<ValueInfo> infos(graph.values.size());
  std::vector<bool> available(graph.values.size());
  for (std::size_t v = 0; v < graph.values.size(); ++v)
    if (const auto& constant = graph.values[v].constant) {
      infos[v] = info_of(*constant);
      available[v] = true;
    }
  for (std::size_t i = 0; i < graph.inputs.size(); ++i) {
    const auto v = static_cast<std::size_t>(graph.inputs[i].value);
    infos[v] = {.type = graph.inputs[i].type, .shape = input_shapes[i], .known = nullptr};
    available[v] = true;
  }
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    std::vector<const ValueInfo*> in;
    bool ready = true;
    for (const ValueId id : node.inputs) {
      in.push_back(id == no_value ? nullptr : &infos[static_cast<std::size_t>(id)]);
      ready = ready && (id == no_value || available[static_cast<std::size_t>(id)]);
    }
    if (!ready) continue;
    try {
      std::vector<ValueInfo> out = infer_node(node, in);
      for (std::size_t i = 0; i < out.size(); ++i) {
        if (node.outputs[i] == no_value) continue;
        infos[static_cast<std::size_t>(node.outputs[i])] = std::move(out[i]);
        available[static_cast<std::size_t>(node.outputs[i])] = true;
      }
    } catch (const InputError& error) {
      failed(n, error);
    }
  }
  return infos;
}

}  // namespace

std::vector<ValueInfo> infer_shapes(const Graph& graph, const std::vector<Shape>& input_shapes) {
  return infer_all(graph, input_shapes, [](std::size_t, const InputError& error) { throw error; });
}

std::vector<std::optional<std::size_t>> ranks_of(const Graph& graph) {
  constexpr std::int64_t assumed = 8;
  std::vector<Shape> shapes;
  for (const GraphInput& input : graph.inputs) {
    Shape shape = input.shape;
    for (std::size_t d = 0; d < shape.size(); ++d)
      if (shape[d] < 0) shape[d] = d == 0 && input.batched ? 1 : assumed;
    shapes.push_back(std::move(shape));
  }
  std::vector<std::optional<std::size_t>> ranks(graph.values.size());
  std::vector<bool> failed(graph.nodes.size());
  const std::vector<ValueInfo> infos =
      infer_all(graph, shapes, [&](std::size_t n, const InputError&) { failed[n] = true; });
  // What follows from a node that does not fit is not known.
  std::vector<bool> unknown(graph.values.size());
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    const bool lost = failed[n] || std::ranges::any_of(node.inputs, [&](ValueId id) {
                        return id != no_value && unknown[static_cast<std::size_t>(id)];
                      });
    for (const ValueId id : node.outputs)
      if (id != no_value && lost) unknown[static_cast<std::size_t>(id)] = true;
  }
  for (std::size_t v = 0; v < ranks.size(); ++v)
    if (!unknown[v]) ranks[v] = infos[v].shape.size();
  return ranks;
}

std::vector<NodeProblem> shape_problems(const Graph& graph, const std::vector<Shape>& input_shapes) {
  std::vector<NodeProblem> problems;
  infer_all(graph, input_shapes, [&](std::size_t n, const InputError& error) {
    problems.push_back({.node = static_cast<int>(n), .reason = error.what()});
  });
  return problems;
}

}  // namespace tessera::nn
