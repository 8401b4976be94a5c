#include <algorithm>

#include "executor_implementation.hpp"

/// One weighted layer alone.
namespace tessera::nn {

namespace {

Activation rows_of(const Activation& all, std::int64_t first, std::int64_t count) {
  Shape shape = all.values.shape();
  shape[0] = count;
  Activation part{Tensor::uninitialized(shape), all.layout, nullptr};
  const std::int64_t row = part.values.size() / std::max<std::int64_t>(1, count);
  std::copy_n(all.values.data() + first * row, part.values.size(), part.values.data());
  if (all.second) {
    Shape second = all.second->shape();
    const std::int64_t parts = all.values.dim(0) / std::max<std::int64_t>(1, count);
    second[0] /= parts;
    const std::int64_t size = element_count(second);
    const float* from = all.second->data() + first / count * size;
    part.second = std::make_shared<const Tensor>(second, std::span<const float>(from, static_cast<std::size_t>(size)));
  }
  return part;
}

}  // namespace

Activation stacked(const std::vector<Activation>& parts) {
  TESSERA_EXPECT(!parts.empty());
  Shape shape = parts[0].values.shape();
  shape[0] *= static_cast<std::int64_t>(parts.size());
  Activation all{Tensor::uninitialized(shape), parts[0].layout, nullptr};
  float* to = all.values.data();
  for (const Activation& part : parts) to = std::copy_n(part.values.data(), part.values.size(), to);
  if (parts[0].second) {
    Shape second = parts[0].second->shape();
    second[0] *= static_cast<std::int64_t>(parts.size());
    Tensor seconds = Tensor::uninitialized(second);
    to = seconds.data();
    for (const Activation& part : parts) to = std::copy_n(part.second->data(), part.second->size(), to);
    all.second = std::make_shared<const Tensor>(std::move(seconds));
  }
  return all;
}

std::vector<ValueInfo> Executor::Implementation::infos(std::int64_t batch) const {
  return infer_shapes(graph_, input_shapes(graph_, batch, options_.sample_shapes));
}

const Node& Executor::Implementation::node_of(std::size_t layer) const {
  return graph_.nodes[static_cast<std::size_t>(layers_.at(layer).node)];
}

Shape Executor::Implementation::layer_shape(std::size_t layer, std::int64_t batch, bool input) const {
  const Node& node = node_of(layer);
  return infos(batch)[static_cast<std::size_t>(input ? node.inputs[0] : node.outputs[0])].shape;
}

std::int64_t Executor::Implementation::vectors_per_sample(std::size_t layer) const {
  const Shape in = layer_shape(layer, 1, true), out = layer_shape(layer, 1, false);
  switch (layers_[layer].kind) {
    case LinearKind::dense:
      return element_count(in) / std::max<std::int64_t>(1, in.back());
    case LinearKind::convolution:
      return element_count(out) / std::max<std::int64_t>(1, out[0] * out[1]);
    case LinearKind::transposed_convolution:
      return element_count(in) / std::max<std::int64_t>(1, in[0] * in[1]);
    case LinearKind::recurrent:
      return in[0];
    case LinearKind::product:
      return in[in.size() - 2];
  }
  return 0;
}

std::vector<Activation> Executor::Implementation::apply_branches(std::size_t layer,
                                                                 std::span<const LayerBranch> branches,
                                                                 const Activation& input, std::uint64_t first_sample,
                                                                 Parallel parallel) const {
  require<InputError>(layer < layers_.size(), "layer {} of {}", layer, layers_.size());
  for (const LayerBranch& branch : branches)
    require<InputError>(branch.operators.empty() || branch.operators.size() == layers_[layer].parts.size(),
                        "layer '{}': {} operators for {} parts", layers_[layer].name, branch.operators.size(),
                        layers_[layer].parts.size());
  if (graph_.batch != BatchMode::per_sample) return apply_once(layer, branches, input, first_sample, parallel);
  // One evaluation per sample, as in run(): a sample is as much of the first axis as the layer sees for one.
  const std::int64_t rows = layer_shape(layer, 1, true).at(0), samples = input.values.dim(0) / rows;
  std::vector<std::vector<Activation>> parts(branches.size());
  for (std::int64_t s = 0; s < samples; ++s) {
    std::vector<Activation> one = apply_once(layer, branches, rows_of(input, s * rows, rows),
                                             first_sample + static_cast<std::uint64_t>(s), parallel);
    for (std::size_t b = 0; b < branches.size(); ++b) parts[b].push_back(std::move(one[b]));
  }
  std::vector<Activation> results;
  for (const std::vector<Activation>& of_branch : parts) results.push_back(stacked(of_branch));
  return results;
}

std::vector<Activation> Executor::Implementation::apply_once(std::size_t layer, std::span<const LayerBranch> branches,
                                                             const Activation& input, std::uint64_t first_sample,
                                                             Parallel parallel) const {
  const Node& node = node_of(layer);
  std::vector<ValueInfo> known(node.inputs.size());
  std::vector<const ValueInfo*> in_infos(node.inputs.size(), nullptr);
  known[0].shape = input.values.shape();
  in_infos[0] = &known[0];
  std::vector<Array> in(node.inputs.size());
  in[0] = {.layout = input.layout, .shape = input.values.shape(), .data = const_cast<float*>(input.values.data())};
  for (std::size_t i = 1; i < node.inputs.size(); ++i) {
    const ValueId id = node.inputs[i];
    if (id == no_value) continue;
    if (i == 1 && layers_[layer].kind == LinearKind::product) {
      require<InputError>(input.second != nullptr, "layer '{}': its second operand is missing", node.name);
      known[1].shape = input.second->shape();
      in_infos[1] = &known[1];
      in[1] = {.shape = input.second->shape(), .data = const_cast<float*>(input.second->data())};
      continue;
    }
    if (graph_.is_constant(id)) {
      known[i].known = std::shared_ptr<const Constant>(std::shared_ptr<void>(),
                                                       &*graph_.values[static_cast<std::size_t>(id)].constant);
    } else {
      // An initial state of zeros may depend on the shape of the batch.
      const std::int64_t batch = graph_.batch == BatchMode::any ? input.values.shape().at(1) : 1;
      known[i].known = infos(batch)[static_cast<std::size_t>(id)].known;
    }
    require<InputError>(known[i].known != nullptr,
                        "layer '{}': input {} depends on the data, so the layer cannot be run alone", node.name, i);
    known[i].shape = shape_of(*known[i].known);
    in_infos[i] = &known[i];
    in[i] = array_of(*known[i].known);
  }
  const std::vector<ValueInfo> out_infos = infer_node(node, in_infos);
  std::vector<Activation> results(branches.size());
  std::vector<Array> out(branches.size());
  std::vector<LinearBranch> calls;
  for (std::size_t b = 0; b < branches.size(); ++b) {
    results[b] = {Tensor::uninitialized(out_infos[0].shape), input.layout, nullptr};
    out[b] = {.layout = input.layout, .shape = out_infos[0].shape, .data = results[b].values.data()};
    calls.push_back({branches[b].operators, {&out[b], 1}, branches[b].product});
  }
  evaluate_branches({.compiled = compiled_[layer],
                     .node = node,
                     .in = in,
                     .out = {},
                     .operators = {},
                     .first_sample = first_sample,
                     .order = vector_order(layer, in[0]),
                     .parallel = parallel},
                    calls);
  return results;
}

}  // namespace tessera::nn
