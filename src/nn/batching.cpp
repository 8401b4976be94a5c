#include "tessera/nn/batching.hpp"

#include <algorithm>
#include <numeric>
#include <optional>

#include "batch_axes.hpp"
#include "tessera/core/shapes_agree.hpp"
#include "tessera/nn/passes.hpp"
#include "tessera/nn/sample_axis.hpp"

namespace tessera::nn {

namespace {

/// Values that depend on a batched input.
std::vector<bool> fed_values(const Graph& graph) {
  std::vector<bool> fed(graph.values.size());
  for (const GraphInput& input : graph.inputs)
    if (input.batched) fed[static_cast<std::size_t>(input.value)] = true;
  for (const Node& node : graph.nodes) {
    const bool any = std::ranges::any_of(
        node.inputs, [&](ValueId id) { return id != no_value && fed[static_cast<std::size_t>(id)]; });
    if (!any || node.op == "Shape" || node.op == "Size") continue;
    for (const ValueId id : node.outputs)
      if (id != no_value) fed[static_cast<std::size_t>(id)] = true;
  }
  return fed;
}

bool has_fixed_samples(const Graph& graph) {
  for (const GraphInput& input : graph.inputs)
    for (std::size_t d = input.batched ? 1 : 0; d < input.shape.size(); ++d)
      if (input.shape[d] < 0) return false;
  return true;
}

/// Stand-ins for free extents, since kernels and strides may want some size.
std::vector<std::int64_t> stand_ins(const Graph& graph) {
  if (has_fixed_samples(graph)) return {1};
  return {16, 32, 64, 128, 224};
}

std::vector<Shape> sample_shapes_with(const Graph& graph, std::int64_t extent) {
  std::vector<Shape> samples;
  for (const GraphInput& input : graph.inputs) {
    samples.emplace_back(input.shape.begin() + (input.batched && !input.shape.empty() ? 1 : 0), input.shape.end());
    for (std::int64_t& d : samples.back()) d = d < 0 ? extent : d;
  }
  return samples;
}

/// Shapes for one sample, whatever free extents are; empty where none is found.
std::vector<ValueInfo> shapes_of_one_sample(const Graph& graph) {
  for (const std::int64_t extent : stand_ins(graph)) {
    try {
      return infer_shapes(graph, input_shapes(graph, 1, sample_shapes_with(graph, extent)));
    } catch (const InputError&) {  // another stand-in may fit; what is wrong for all is said where it matters
    }
  }
  return {};
}

/// Target shapes that name the file's batch of one name any batch instead: they copy that of their input, or, where
/// their input does not begin with it (samples times heads, say), what is left over.
void free_reshapes(Graph& graph) {
  const std::vector<bool> fed = fed_values(graph);
  const std::vector<ValueInfo> one = shapes_of_one_sample(graph);
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    if (node.op != "Reshape" || !fed[static_cast<std::size_t>(node.input(0))]) continue;
    const IntTensor* target = graph.integers(node.input(1));
    if (target == nullptr || target->values.size() < 2 || target->values[0] != 1) continue;
    const Shape* const shape = one.empty() ? nullptr : &one[static_cast<std::size_t>(node.input(0))].shape;
    const bool begins_with_batch = shape == nullptr || (!shape->empty() && shape->front() == 1);
    const bool copies = begins_with_batch && node.integer("allowzero", 0) == 0;
    const auto is_special = [](std::int64_t extent) { return extent <= 0; };
    if (!copies && std::ranges::any_of(target->values, is_special)) continue;
    IntTensor changed = *target;
    changed.values[0] = copies ? 0 : -1;
    const ValueId id = graph.add_value(graph.name_of(node.input(1)), std::move(changed));
    graph.nodes[n].inputs[1] = id;
  }
}

/// Puts a node between an input, which gets another shape, and all that reads it.
void feed_through(Graph& graph, GraphInput& input, Shape shape, const std::string& suffix, Node node) {
  const ValueId read = input.value;
  const std::string name = graph.name_of(read);
  graph.values[static_cast<std::size_t>(read)].name = name + suffix;
  input.value = graph.add_value(name);
  input.shape = std::move(shape);
  node.name = name + suffix;
  for (int i = 1; std::ranges::any_of(graph.nodes, [&](const Node& other) { return other.name == node.name; }); ++i)
    node.name = name + suffix + "_" + std::to_string(i);
  node.inputs.insert(node.inputs.begin(), input.value);
  node.outputs = {read};
  graph.nodes.insert(graph.nodes.begin(), std::move(node));
}

/// The batch is axis `axis` of the input: it moves to the front.
void move_batch_to_front(Graph& graph, std::size_t i, std::int64_t axis) {
  Shape shape = graph.inputs[i].shape;
  std::vector<std::int64_t> order;
  for (std::int64_t d = 1; d <= axis; ++d) order.push_back(d);
  order.push_back(0);
  for (std::int64_t d = axis + 1; d < std::ssize(shape); ++d) order.push_back(d);
  const std::int64_t extent = shape[static_cast<std::size_t>(axis)];
  shape.erase(shape.begin() + axis);
  shape.insert(shape.begin(), extent);
  if (std::vector<std::string>& names = graph.inputs[i].axes; !names.empty())
    std::rotate(names.begin(), names.begin() + axis, names.begin() + axis + 1);
  feed_through(graph, graph.inputs[i], std::move(shape), ".batch_moved",
               {.name = "", .op = "Transpose", .inputs = {}, .outputs = {}, .attributes = {{"perm", order}}});
}

/// What a proof says, with stand-ins for free extents; where none fits the graph, nothing is said. A graph that is wrong
/// for fixed samples is not proven.
enum class Verdict { proven, mixed, unproven };
struct Finding {
  Verdict verdict = Verdict::proven;
  std::string reason;
};

Finding judge(const Graph& graph) {
  for (const std::int64_t extent : stand_ins(graph)) {
    try {
      prove_samples(graph, sample_shapes_with(graph, extent));
      return {};
    } catch (const MixedSamples& error) {
      return {Verdict::mixed, error.what()};
    } catch (const UnprovenSamples& error) {
      return {Verdict::unproven, error.what()};
    } catch (const InputError& error) {
      if (has_fixed_samples(graph)) return {Verdict::unproven, error.what()};
    }
  }
  return {};
}

/// The only free extent of an input that has a fixed extent above 1 in front, or -1.
std::int64_t only_free_axis(const GraphInput& input) {
  if (!input.batched || input.shape.empty() || input.shape[0] <= 1 || std::ranges::count(input.shape, -1) != 1)
    return -1;
  return std::ranges::find(input.shape, -1) - input.shape.begin();
}

/// The graph with its batch and the target shapes that name it set free.
Graph freed(Graph graph) {
  for (GraphInput& input : graph.inputs)
    if (input.batched) input.shape[0] = -1;
  free_reshapes(graph);
  return graph;
}

void note_axis(const Environment& environment, const std::string& name, std::int64_t axis) {
  environment.note(fmt::format("input '{}' holds the samples along its axis {}", name, axis));
}

/// A graph of one input whose samples can only lie along another free axis than the first.
std::optional<Graph> with_another_axis(const Graph& graph, const Environment& environment) {
  if (graph.inputs.size() != 1 || !graph.inputs[0].batched) return std::nullopt;
  for (std::int64_t axis = 1; axis < std::ssize(graph.inputs[0].shape); ++axis) {
    if (graph.inputs[0].shape[static_cast<std::size_t>(axis)] >= 0) continue;
    Graph moved = graph;
    move_batch_to_front(moved, 0, axis);
    moved = freed(std::move(moved));
    if (judge(moved).verdict != Verdict::proven) continue;
    note_axis(environment, graph.name_of(graph.inputs[0].value), axis);
    return moved;
  }
  return std::nullopt;
}

/// The fixed extent of the batch, 0 where it is free. InputError where inputs differ.
std::int64_t fixed_batch(const Graph& graph) {
  std::int64_t batch = 0;
  for (const GraphInput& input : graph.inputs) {
    if (!input.batched || input.shape[0] < 0) continue;
    require<InputError>(batch <= 1 || input.shape[0] <= 1 || batch == input.shape[0],
                        "input '{}' has a first extent of {}, another input {}; all must hold as many samples",
                        graph.name_of(input.value), input.shape[0], batch);
    batch = std::max(batch, input.shape[0]);
  }
  return batch;
}

void take_at_a_time(Graph& graph, std::int64_t samples) {
  graph.batch = BatchMode::fixed;
  graph.samples_at_a_time = samples;
  for (GraphInput& input : graph.inputs)
    if (input.batched) input.shape[0] = samples;
  // What is wrong for these samples is an error, not a matter of batches.
  if (has_fixed_samples(graph)) infer_shapes(graph, input_shapes(graph, samples));
}

}  // namespace

void add_batch_axis(Graph& graph, std::size_t i) {
  Shape shape = graph.inputs[i].shape;
  shape.insert(shape.begin(), 1);
  graph.inputs[i].axes.clear();
  const ValueId axes = graph.add_value(graph.name_of(graph.inputs[i].value) + ".axes", IntTensor{{1}, {0}});
  feed_through(graph, graph.inputs[i], std::move(shape), ".sample",
               {.name = "", .op = "Squeeze", .inputs = {axes}, .outputs = {}, .attributes = {}});
}

void make_batchable(Graph& graph, const Environment& environment) {
  for (GraphInput& input : graph.inputs)
    if (input.batched && input.shape.empty()) input.batched = false;
  for (std::size_t i = 0; i < graph.inputs.size(); ++i)
    if (const std::int64_t axis = only_free_axis(graph.inputs[i]); axis > 0) {
      note_axis(environment, graph.name_of(graph.inputs[i].value), axis);
      move_batch_to_front(graph, i, axis);
    }
  const std::int64_t fixed = fixed_batch(graph);
  if (fixed > 1) {
    take_at_a_time(graph, fixed);
    environment.note(
        fmt::format("the network has a fixed first extent of {}: so many samples are evaluated at a time, unless one "
                    "sample has the shape of the whole input",
                    fixed));
    return;
  }
  Graph any = freed(graph);
  const Finding found = judge(any);
  if (found.verdict == Verdict::proven) {
    graph = std::move(any);
    remove_dead_nodes(graph);
    return;
  }
  if (fixed == 0) {
    if (std::optional<Graph> moved = with_another_axis(graph, environment)) {
      graph = std::move(*moved);
      remove_dead_nodes(graph);
      return;
    }
    if (found.verdict == Verdict::mixed) throw MixedSamples(found.reason);
  }
  take_at_a_time(graph, 1);
  environment.note(fmt::format("the network is evaluated one sample at a time{}: {}",
                               fixed == 1 ? ", as it was exported" : "", found.reason));
}

void fit_batch(Graph& graph, const Shape& sample_shape) {
  if (graph.batch != BatchMode::fixed || graph.samples_at_a_time <= 1 || graph.inputs.size() != 1) return;
  const Shape shape = graph.inputs[0].shape;
  const auto without = [&](std::int64_t axis) {
    Shape rest = shape;
    rest.erase(rest.begin() + axis);
    return rest;
  };
  if (std::ranges::count(shape, -1) > 0 || shapes_agree(sample_shape, without(0))) return;
  if (shapes_agree(sample_shape, shape)) {
    add_batch_axis(graph, 0);
    graph.samples_at_a_time = 1;
    return;
  }
  for (std::int64_t axis = 1; axis < std::ssize(shape); ++axis) {
    if (!shapes_agree(sample_shape, without(axis))) continue;
    move_batch_to_front(graph, 0, axis);
    graph.samples_at_a_time = shape[static_cast<std::size_t>(axis)];
    return;
  }
}

}  // namespace tessera::nn
