#include "tessera/nn/states.hpp"

#include <algorithm>
#include <set>

#include "batch_axes.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/shapes_agree.hpp"
#include "tessera/nn/passes.hpp"

namespace tessera::nn {

namespace {

std::string open_shape(const Shape& shape) {
  std::vector<std::string> extents;
  for (const std::int64_t extent : shape) extents.push_back(extent < 0 ? "N" : std::to_string(extent));
  return extents.empty() ? "scalar" : fmt::format("{}", fmt::join(extents, "x"));
}

[[noreturn]] void refuse(const std::string& text) {
  throw ConfigError("model.state", text);
}

std::size_t find_output(const Graph& graph, const std::string& name) {
  std::vector<std::string> names;
  for (std::size_t o = 0; o < graph.outputs.size(); ++o) {
    names.push_back(graph.name_of(graph.outputs[o]));
    if (names.back() == name) return o;
  }
  const std::string near = nearest_word(name, names);
  refuse(fmt::format("the network has no output '{}'{}; it has {}", name,
                     near.empty() ? std::string() : fmt::format(", did you mean '{}'?", near), fmt::join(names, ", ")));
}

std::size_t find_input(const Graph& graph, const std::string& name) {
  std::vector<std::string> names, shapes;
  for (std::size_t i = 0; i < graph.inputs.size(); ++i) {
    names.push_back(graph.name_of(graph.inputs[i].value));
    if (names.back() == name) return i;
    shapes.push_back(fmt::format("{} ({})", names.back(), open_shape(graph.inputs[i].shape)));
  }
  const std::string near = nearest_word(name, names);
  refuse(fmt::format("the network has no input '{}'{}; it has {}", name,
                     near.empty() ? std::string() : fmt::format(", did you mean '{}'?", near),
                     fmt::join(shapes, ", ")));
}

/// The initial value in the input's shape, whose free extents become known.
Tensor initial_value(GraphInput& input, const StateLink& link) {
  const Shape wanted = input.shape;
  if (!link.initial) {
    for (std::int64_t& extent : input.shape) extent = extent < 0 ? 1 : extent;
    return Tensor(input.shape);
  }
  const Shape& given = link.initial->shape();
  bool fits = given.size() == wanted.size();
  for (std::size_t d = 0; fits && d < wanted.size(); ++d) fits = wanted[d] < 0 || wanted[d] == given[d];
  if (fits) {
    input.shape = given;
    return *link.initial;
  }
  for (std::int64_t& extent : input.shape) extent = extent < 0 ? 1 : extent;
  if (!shapes_agree(given, input.shape))
    refuse(fmt::format("the initial state of input '{}' has the shape {}, the input takes {}", link.input,
                       to_string(given), open_shape(wanted)));
  return link.initial->reshaped(input.shape);
}

}  // namespace

void carry_states(Graph& graph, const std::vector<StateLink>& links) {
  if (links.empty()) return;
  std::set<std::size_t> outputs, inputs;
  graph.states.clear();
  for (const StateLink& link : links) {
    GraphState state{.output = find_output(graph, link.output), .input = find_input(graph, link.input), .initial = {}};
    if (!outputs.insert(state.output).second) refuse(fmt::format("output '{}' is given twice", link.output));
    if (!inputs.insert(state.input).second) refuse(fmt::format("input '{}' is fed by two outputs", link.input));
    GraphInput& input = graph.inputs[state.input];
    if (input.batched && graph.batch == BatchMode::fixed && graph.samples_at_a_time > 1 && !input.shape.empty() &&
        input.shape[0] == graph.samples_at_a_time)
      refuse(
          fmt::format("the network takes {} samples at a time, so that a state cannot follow each; export it for a "
                      "batch of 1 or a free one",
                      graph.samples_at_a_time));
    input.batched = false;
    state.initial = initial_value(input, link);
    graph.states.push_back(std::move(state));
  }
  std::vector<GraphInput> ordered;
  for (std::size_t i = 0; i < graph.inputs.size(); ++i)
    if (!inputs.contains(i)) ordered.push_back(graph.inputs[i]);
  for (GraphState& state : graph.states) {
    ordered.push_back(graph.inputs[state.input]);
    state.input = ordered.size() - 1;
  }
  graph.inputs = std::move(ordered);
  graph.batch = BatchMode::fixed;
  graph.samples_at_a_time = 1;
  for (std::size_t i = 0; i < graph.inputs.size(); ++i) {
    if (!graph.inputs[i].batched || graph.inputs[i].shape.empty()) continue;
    if (graph.inputs[i].shape[0] > 1) add_batch_axis(graph, i);
    graph.inputs[i].shape[0] = 1;
  }
}

void check_states(const Graph& graph, const std::vector<ValueInfo>& infos) {
  for (const GraphState& state : graph.states) {
    const ValueId output = graph.outputs[state.output], input = graph.inputs[state.input].value;
    const Shape &from = infos[static_cast<std::size_t>(output)].shape, &to = graph.inputs[state.input].shape;
    require<InputError>(shapes_agree(from, to),
                        "model.state feeds output '{}' of shape {} back to input '{}', which takes {}",
                        graph.name_of(output), to_string(from), graph.name_of(input), to_string(to));
  }
}

}  // namespace tessera::nn
