#include <algorithm>
#include <cmath>

#include "executor_implementation.hpp"
#include "tessera/core/memory.hpp"

/// One weighted layer alone.
namespace tessera::nn {

namespace {

/// Copies whole samples of [outer, samples, inner] from sample `from_first` to `to_first`.
void copy_samples(const SampleBlocks& from, const float* source, std::int64_t from_first, const SampleBlocks& to,
                  float* target, std::int64_t to_first, std::int64_t count) {
  for (std::int64_t o = 0; o < from.outer; ++o)
    std::copy_n(source + (o * from.samples + from_first) * from.inner, count * from.inner,
                target + (o * to.samples + to_first) * to.inner);
}

SampleBlocks physical_blocks(const SampleAxis& samples, const Shape& shape, Layout layout) {
  SampleAxis axis = samples;
  if (axis.any() && !shape.empty()) axis.axis = physical_axis(axis.axis, std::ssize(shape), layout);
  return sample_blocks(axis, physical_shape(shape, layout));
}

Shape with_samples(const SampleAxis& samples, Shape shape, std::int64_t count) {
  if (samples.any() && !shape.empty()) shape[static_cast<std::size_t>(samples.axis)] = samples.entries() * count;
  return shape;
}

/// A tensor of `count` samples, to be filled from others of the same value.
struct Collector {
  SampleAxis samples;
  Layout layout;
  Tensor all;
  SampleBlocks blocks;
  std::int64_t next = 0;

  Collector(const SampleAxis& axis, Layout in, const Shape& like, std::int64_t count)
      : samples(axis),
        layout(in),
        all(Tensor::uninitialized(with_samples(axis, like, count))),
        blocks(physical_blocks(axis, all.shape(), in)) {}
  void add(const Tensor& part, std::int64_t first, std::int64_t count) {
    copy_samples(physical_blocks(samples, part.shape(), layout), part.data(), first, blocks, all.data(), next, count);
    next += count;
  }
};

Activation collected(std::span<const Activation> parts, std::int64_t count, std::int64_t first, std::int64_t each) {
  const Activation& like = parts.front();
  const auto taken = [&](const Activation& part) {
    return each >= 0 ? each : sample_count(part.samples, part.values.shape());
  };
  Collector values(like.samples, like.layout, like.values.shape(), count);
  for (const Activation& part : parts) values.add(part.values, first, taken(part));
  Activation all{.values = std::move(values.all), .layout = like.layout, .samples = like.samples};
  for (std::size_t i = 0; i < like.operands.size(); ++i) {
    all.operands.push_back(like.operands[i]);
    if (!like.operands[i].samples.any()) continue;
    Collector operand(like.operands[i].samples, Layout::natural, like.operands[i].values->shape(), count);
    for (const Activation& part : parts) operand.add(*part.operands[i].values, first, taken(part));
    all.operands.back().values = std::make_shared<const Tensor>(std::move(operand.all));
  }
  return all;
}

/// Whether `wrong(piece)` holds for any piece of the values, which may lie in a file.
template <class Wrong>
bool any_piece(const Tensor& tensor, const Wrong& wrong) {
  constexpr std::int64_t piece = 16384;
  std::vector<float> values(static_cast<std::size_t>(std::min(piece, tensor.size())));
  for (std::int64_t first = 0; first < tensor.size(); first += piece) {
    const std::span<float> part(values.data(), static_cast<std::size_t>(std::min(piece, tensor.size() - first)));
    tensor.copy(first, part);
    if (wrong(std::span<const float>(part))) return true;
  }
  return false;
}

bool all_finite(std::span<const float> values) {
  return std::ranges::all_of(values, [](float x) { return std::isfinite(x); });
}

}  // namespace

void Executor::Implementation::check_weights(const LinearLayer& layer) const {
  const auto wrong = [](std::span<const float> part) { return !all_finite(part); };
  const Node& node = graph_.nodes[static_cast<std::size_t>(layer.node)];
  bool finite = true;
  for (const ValueId id : node.inputs)
    if (const Tensor* constant = graph_.tensor(id)) {
      finite = finite && !any_piece(*constant, wrong);
      constant->forget();
    }
  for (std::size_t p = 0; p < layer.parts.size(); ++p) {
    const LinearPart& part = layer.parts[p];
    require<InputError>(
        (finite || all_finite(part.weight.matrix().values())) && all_finite(part.bias),
        "layer '{}': a weight or bias is not finite; the model file is damaged or its training diverged",
        layer.part_name(p));
  }
}

void Executor::Implementation::check_constants() const {
  for (const Value& value : graph_.values)
    if (value.constant)
      if (const auto* tensor = std::get_if<Tensor>(&*value.constant)) {
        const auto holds_nan = [](std::span<const float> part) { return has_nan(part.data(), std::ssize(part)); };
        require<InputError>(!any_piece(*tensor, holds_nan), "constant '{}' holds a value that is not a number",
                            value.name);
        tensor->forget();
      }
}

Tensor samples_first(const Activation& activation) {
  return samples_first(activation.samples, to_natural(activation));
}

SampleBlocks sample_blocks(const Activation& activation) {
  return physical_blocks(activation.samples, activation.values.shape(), activation.layout);
}

Activation part_of_samples(const Activation& all, std::int64_t first, std::int64_t count) {
  if (!all.samples.any()) return all;
  return collected({&all, 1}, count, first, count);
}

Activation joined_samples(const std::vector<Activation>& parts) {
  TESSERA_EXPECT(!parts.empty());
  if (parts.size() == 1 || !parts.front().samples.any()) return parts.front();
  std::int64_t count = 0;
  for (const Activation& part : parts) count += sample_count(part.samples, part.values.shape());
  return collected(parts, count, 0, -1);
}

void Executor::Implementation::forget_weights() const {
  for (const CompiledLayer& layer : compiled_)
    if (layer.weights != nullptr) layer.weights->forget();
  give_back_freed();
}

std::int64_t Executor::Implementation::forgettable_bytes() const {
  std::int64_t bytes = 0;
  for (const CompiledLayer& layer : compiled_)
    if (layer.weights != nullptr) bytes += layer.weights->forgettable_bytes();
  return bytes;
}

std::vector<ValueInfo> Executor::Implementation::infos(std::int64_t batch) const {
  return infer_shapes(graph_, input_shapes(graph_, batch, options_.sample_shapes));
}

const Node& Executor::Implementation::node_of(std::size_t layer) const {
  return graph_.nodes[static_cast<std::size_t>(layers_.at(layer).node)];
}

Shape Executor::Implementation::layer_shape(std::size_t layer, std::int64_t batch, bool input) const {
  const Node& node = node_of(layer);
  const ValueId id = input ? node.inputs[0] : node.outputs[0];
  Shape shape = infos(together(batch))[static_cast<std::size_t>(id)].shape;
  return graph_.batch == BatchMode::fixed ? with_samples(samples_of(id), shape, batch) : shape;
}

Shape Executor::Implementation::layer_sample(std::size_t layer, bool input) const {
  if (graph_.batch == BatchMode::none) return {};
  const Node& node = node_of(layer);
  // A recurrent layer may give its last state only.
  const auto given = std::ranges::find_if(node.outputs, [](ValueId id) { return id != no_value; });
  const ValueId id = input ? node.inputs[0] : *given;
  return shape_of_sample(samples_of(id), infos(together(1))[static_cast<std::size_t>(id)].shape);
}

std::int64_t Executor::Implementation::vectors_per_sample(std::size_t layer) const {
  const Node& node = node_of(layer);
  const std::vector<ValueInfo> known = infos(together(1));
  const auto shape_at = [&](ValueId id) { return known[static_cast<std::size_t>(id)].shape; };
  const Shape in = shape_at(node.inputs[0]);
  const SampleAxis axis = graph_.batch == BatchMode::none ? no_samples : samples_of(node.inputs[0]);
  const std::int64_t samples = sample_count(axis, in);
  switch (layers_[layer].kind) {
    case LinearKind::dense:
      return element_count(in) / std::max<std::int64_t>(1, in.back() * samples);
    case LinearKind::convolution: {
      const Shape out = shape_at(node.outputs[0]);
      return element_count(out) / std::max<std::int64_t>(1, out[1] * samples * (axis.any() ? 1 : out[0]));
    }
    case LinearKind::transposed_convolution:
      return element_count(in) / std::max<std::int64_t>(1, in[1] * samples * (axis.any() ? 1 : in[0]));
    case LinearKind::recurrent:
      return in[0] * (axis.axis == 1 ? axis.entries() : 1);
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
  if (graph_.batch != BatchMode::fixed || !input.samples.any())
    return apply_once(layer, branches, input, first_sample, parallel);
  // One evaluation for as many samples as in run().
  const std::int64_t each = graph_.samples_at_a_time, samples = sample_count(input.samples, input.values.shape());
  std::vector<std::vector<Activation>> parts(branches.size());
  for (std::int64_t s = 0; s < samples; s += each) {
    std::vector<Activation> some = apply_once(layer, branches, part_of_samples(input, s, std::min(each, samples - s)),
                                              first_sample + static_cast<std::uint64_t>(s), parallel);
    for (std::size_t b = 0; b < branches.size(); ++b) parts[b].push_back(std::move(some[b]));
  }
  std::vector<Activation> results;
  for (const std::vector<Activation>& of_branch : parts) results.push_back(joined_samples(of_branch));
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
  LayerRun run{.layer = layer, .first_sample = first_sample, .parallel = parallel};
  run.samples = sample_count(input.samples, input.values.shape());
  run.in.assign(node.inputs.size(), no_samples);
  run.in[0] = input.samples;
  std::vector<Constant> integers;
  integers.reserve(input.operands.size());
  for (const Activation::Operand& operand : input.operands) {
    const std::size_t i = operand.input;
    require<InputError>(i < in.size(), "layer '{}': it has no input {}", node.name, i);
    known[i].shape = operand.values->shape();
    in[i] = {.shape = operand.values->shape(), .data = const_cast<float*>(operand.values->data())};
    if (layers_[layer].kind == LinearKind::recurrent && i == 4) {
      const auto values = operand.values->values();
      integers.emplace_back(IntTensor{operand.values->shape(), {values.begin(), values.end()}});
      known[i].type = ElementType::int64;
      in[i] = array_of(integers.back());
    }
    in_infos[i] = &known[i];
    run.in[i] = operand.samples;
  }
  const std::size_t last_weight = layers_[layer].kind == LinearKind::recurrent ? 3 : 2;
  for (std::size_t i = 1; i < node.inputs.size(); ++i) {
    const ValueId id = node.inputs[i];
    if (id == no_value || in_infos[i] != nullptr) continue;
    if (graph_.is_constant(id))
      known[i].known = std::shared_ptr<const Constant>(std::shared_ptr<void>(),
                                                       &*graph_.values[static_cast<std::size_t>(id)].constant);
    else
      known[i].known = infos(together(run.samples))[static_cast<std::size_t>(id)].known;
    require<InputError>(known[i].known != nullptr,
                        "layer '{}': input {} depends on the data and was not given, so the layer cannot be run alone",
                        node.name, i);
    known[i].shape = shape_of(*known[i].known);
    in_infos[i] = &known[i];
    // Weights are packed; read where they lie in a file, they might be copied for good.
    if (i > last_weight || !graph_.is_constant(id)) in[i] = array_of(*known[i].known);
  }
  const std::vector<ValueInfo> out_infos = infer_node(node, in_infos);
  // An output that is not there has no shape of its own; the first that is there is what an observer is shown.
  const auto seen = static_cast<std::size_t>(
      std::ranges::find_if(node.outputs, [](ValueId id) { return id != no_value; }) - node.outputs.begin());
  const SampleAxis samples = input.samples.any() ? samples_of(node.outputs[seen]) : no_samples;
  run.out.assign(seen + 1, no_samples);
  run.out[seen] = samples;
  std::vector<Activation> results(branches.size());
  std::vector<std::vector<Array>> out(branches.size());
  std::vector<LinearBranch> calls;
  for (std::size_t b = 0; b < branches.size(); ++b) {
    results[b] = {.values = Tensor::uninitialized(out_infos[seen].shape), .layout = input.layout, .samples = samples};
    out[b].resize(seen + 1);
    out[b][seen] = {.layout = input.layout, .shape = out_infos[seen].shape, .data = results[b].values.data()};
    calls.push_back({branches[b].operators, out[b], branches[b].product});
  }
  run_layer(run, in, calls);
  return results;
}

}  // namespace tessera::nn
