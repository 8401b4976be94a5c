#include "tessera/nn/batching.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "tessera/nn/executor.hpp"
#include "tessera/nn/passes.hpp"
#include "tessera/random/stream.hpp"

namespace tessera::nn {

namespace {

std::string name_of(const Graph& graph, ValueId id) {
  return graph.values[static_cast<std::size_t>(id)].name;
}

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

/// Step 2: target shapes that name the file's batch of one copy the batch of their input instead.
void free_reshapes(Graph& graph) {
  const std::vector<bool> fed = fed_values(graph);
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    const Node& node = graph.nodes[n];
    if (node.op != "Reshape" || node.integer("allowzero", 0) != 0 || !fed[static_cast<std::size_t>(node.input(0))])
      continue;
    const IntTensor* target = graph.integers(node.input(1));
    if (target == nullptr || target->values.size() < 2 || target->values[0] != 1) continue;
    IntTensor changed = *target;
    changed.values[0] = 0;
    const ValueId id = graph.add_value(name_of(graph, node.input(1)), std::move(changed));
    graph.nodes[n].inputs[1] = id;
  }
}

/// Step 3, shapes: empty if they are those of a batch, else the reason.
std::string check_shapes(const Graph& graph) {
  const std::vector<bool> fed = fed_values(graph);
  std::array<std::vector<ValueInfo>, 3> infos;
  for (std::size_t b = 0; b < 3; ++b) {
    try {
      infos[b] = infer_shapes(graph, input_shapes(graph, static_cast<std::int64_t>(b) + 1));
    } catch (const InputError& error) {
      return error.what();
    }
  }
  const auto grows = [&](std::size_t v, std::size_t d) {
    const std::int64_t one = infos[0][v].shape[d];
    return one > 0 && infos[1][v].shape[d] == 2 * one && infos[2][v].shape[d] == 3 * one;
  };
  for (std::size_t v = 0; v < graph.values.size(); ++v) {
    if (!fed[v] || infos[0][v].known != nullptr) continue;
    const std::size_t rank = infos[0][v].shape.size();
    int growing = 0;
    bool same = infos[1][v].shape.size() == rank && infos[2][v].shape.size() == rank;
    for (std::size_t d = 0; same && d < rank; ++d) {
      if (infos[0][v].shape[d] == infos[1][v].shape[d] && infos[1][v].shape[d] == infos[2][v].shape[d]) continue;
      growing += 1;
      same = grows(v, d);
    }
    if (!same || growing != 1)
      return fmt::format("'{}' of shape {} does not grow with the batch along one axis", graph.values[v].name,
                         to_string(infos[0][v].shape));
  }
  for (const ValueId id : graph.outputs) {
    const auto v = static_cast<std::size_t>(id);
    if (!fed[v]) continue;
    if (infos[0][v].shape.empty() || infos[0][v].shape[0] != 1 || !grows(v, 0))
      return fmt::format("output '{}' of shape {} does not have the batch in front", graph.values[v].name,
                         to_string(infos[0][v].shape));
  }
  return {};
}

/// Step 3, values: three samples together and one by one.
std::string check_values(const Graph& graph) {
  for (const GraphInput& input : graph.inputs)
    if (input.type != ElementType::float32) return {};
  // Not worth gigabytes: very large networks are judged by their shapes.
  constexpr std::int64_t most_elements = std::int64_t{1} << 26;
  for (const ValueInfo& info : infer_shapes(graph, input_shapes(graph, 3)))
    if (element_count(info.shape) > most_elements) return {};
  Graph single = graph;
  single.batch = BatchMode::per_sample;
  const Executor together(graph), one_by_one(std::move(single));
  std::vector<Tensor> samples;
  for (std::size_t i = 0; i < graph.inputs.size(); ++i) {
    Tensor sample(input_shapes(graph, 3)[i]);
    random::fill_normal(random::Stream({.layer = static_cast<std::uint32_t>(i)}, random::Purpose::test), 0, 0,
                        sample.values());
    samples.push_back(std::move(sample));
  }
  std::vector<Tensor> a, b;
  try {
    a = together.run(samples);
    b = one_by_one.run(samples);
  } catch (const RunError&) {
    return {};  // Random numbers may leave the domain of an operator; shapes alone decide then.
  }
  for (std::size_t o = 0; o < a.size(); ++o) {
    double largest = 0.0, difference = 0.0;
    if (a[o].size() != b[o].size())
      return fmt::format("output '{}' changes its shape", name_of(graph, graph.outputs[o]));
    for (std::int64_t i = 0; i < a[o].size(); ++i) {
      const auto x = static_cast<double>(a[o].data()[i]), y = static_cast<double>(b[o].data()[i]);
      if (x == y) continue;
      largest = std::max(largest, std::fabs(y));
      difference = std::max(difference, std::fabs(x - y));
    }
    if (difference > 1e-4 * largest)
      return fmt::format("output '{}' of a sample depends on the other samples of its batch",
                         name_of(graph, graph.outputs[o]));
  }
  return {};
}

}  // namespace

void make_batchable(Graph& graph, const Environment& environment) {
  std::string reason;
  for (GraphInput& input : graph.inputs) {
    if (!input.batched) continue;
    if (input.shape.empty())
      input.batched = false;
    else if (input.shape[0] > 1)
      reason = fmt::format("input '{}' has a fixed first extent of {}", name_of(graph, input.value), input.shape[0]);
    else
      input.shape[0] = -1;
  }
  if (reason.empty()) {
    Graph freed = graph;
    free_reshapes(freed);
    if (has_fixed_samples(graph)) {
      reason = check_shapes(freed);
      if (reason.empty()) reason = check_values(freed);
    }
    if (reason.empty()) {
      graph = std::move(freed);
      remove_dead_nodes(graph);
      return;
    }
  }
  graph.batch = BatchMode::per_sample;
  for (GraphInput& input : graph.inputs)
    if (input.batched && input.shape[0] < 0) input.shape[0] = 1;
  // What is wrong for one sample as well is an error, not a matter of batches.
  if (has_fixed_samples(graph)) infer_shapes(graph, input_shapes(graph, 1));
  environment.note(
      fmt::format("the network cannot be evaluated in batches ({}); it runs sample by sample, which gives the same "
                  "results more slowly",
                  reason));
}

}  // namespace tessera::nn
