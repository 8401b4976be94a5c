#include "tessera/nn/sample_axis.hpp"

#include <algorithm>
#include <utility>

#include "sample_rules.hpp"
#include "tessera/nn/passes.hpp"

namespace tessera::nn {

SampleBlocks sample_blocks(const SampleAxis& samples, const Shape& batch) {
  SampleBlocks blocks;
  if (!samples.any() || batch.empty()) return {element_count(batch), 1, 1};
  const auto axis = static_cast<std::size_t>(samples.axis);
  for (std::size_t d = 0; d < batch.size(); ++d)
    if (d != axis) (d < axis ? blocks.outer : blocks.inner) *= batch[d];
  blocks.outer *= samples.before;
  blocks.inner *= samples.after;
  blocks.samples = sample_count(samples, batch);
  return blocks;
}

std::int64_t sample_count(const SampleAxis& samples, const Shape& batch) {
  if (!samples.any() || batch.empty()) return 1;
  return batch[static_cast<std::size_t>(samples.axis)] / std::max<std::int64_t>(1, samples.entries());
}

Shape shape_of_sample(const SampleAxis& samples, const Shape& batch) {
  Shape shape = batch;
  if (!samples.any() || batch.empty()) return shape;
  if (samples.entries() == 1)
    shape.erase(shape.begin() + samples.axis);
  else
    shape[static_cast<std::size_t>(samples.axis)] = samples.entries();
  return shape;
}

void gather_samples(const SampleBlocks& blocks, const float* from, float* to) {
  for (std::int64_t n = 0; n < blocks.samples; ++n)
    for (std::int64_t o = 0; o < blocks.outer; ++o)
      to = std::copy_n(from + (o * blocks.samples + n) * blocks.inner, blocks.inner, to);
}

void scatter_samples(const SampleBlocks& blocks, const float* from, float* to) {
  for (std::int64_t n = 0; n < blocks.samples; ++n)
    for (std::int64_t o = 0; o < blocks.outer; ++o, from += blocks.inner)
      std::copy_n(from, blocks.inner, to + (o * blocks.samples + n) * blocks.inner);
}

Tensor samples_first(const SampleAxis& samples, Tensor batch) {
  if (!samples.any()) return batch;
  Shape shape = shape_of_sample(samples, batch.shape());
  shape.insert(shape.begin(), sample_count(samples, batch.shape()));
  if (samples.leads()) return std::move(batch).reshaped(std::move(shape));
  Tensor result = Tensor::uninitialized(std::move(shape));
  gather_samples(sample_blocks(samples, batch.shape()), batch.data(), result.data());
  return result;
}

bool has_sample_rule(const std::string& op) {
  return find_sample_rule(op) != nullptr;
}

namespace {

/// Nodes in order, for one batch (a fixed one) or two that differ, so that an extent which happens to be the number of
/// samples is not taken for it.
class Proof {
 public:
  Proof(const Graph& graph, std::vector<std::int64_t> batches, const std::vector<Shape>& sample_shapes)
      : graph_(graph),
        batches_(std::move(batches)),
        sample_shapes_(sample_shapes),
        axes_(graph.values.size(), no_samples) {
    for (const std::int64_t batch : batches_) {
      try {
        infos_.push_back(infer_shapes(graph, input_shapes(graph, batch, sample_shapes)));
      } catch (const InputError& error) {
        // What is wrong for one sample as well is not a matter of batches.
        if (graph.batch == BatchMode::any) infer_shapes(graph, input_shapes(graph, 1, sample_shapes));
        throw MixedSamples(
            fmt::format("the network takes no batch of {} samples, since a constant in it holds a fixed number of "
                        "them: {}",
                        batch, error.what()));
      }
    }
  }

  std::vector<SampleAxis> run() {
    for (const GraphInput& input : graph_.inputs)
      if (input.batched) axes_[static_cast<std::size_t>(input.value)] = {};
    for (const Node& node : graph_.nodes) prove(node);
    if (graph_.batch == BatchMode::any) check_single_sample();
    return std::move(axes_);
  }

 private:
  const ValueInfo& info(ValueId id, std::size_t b) const { return infos_[b][static_cast<std::size_t>(id)]; }

  bool all_known(const Node& node) const {
    const auto known = [&](ValueId id) {
      return std::ranges::all_of(infos_, [&](const std::vector<ValueInfo>& infos) {
        return infos[static_cast<std::size_t>(id)].known != nullptr;
      });
    };
    return std::ranges::all_of(node.outputs, [&](ValueId id) { return id == no_value || known(id); });
  }

  SampleContext context_of(const Node& node) const {
    std::vector<SampleContext::Input> inputs;
    for (const ValueId id : node.inputs) {
      SampleContext::Input& input = inputs.emplace_back();
      if (id == no_value) continue;
      input.samples = axes_[static_cast<std::size_t>(id)];
      input.name = graph_.name_of(id);
      for (std::size_t b = 0; b < batches_.size(); ++b) input.info[b] = &info(id, b);
    }
    std::vector<const Shape*> outputs;
    for (const ValueId id : node.outputs) outputs.push_back(id == no_value ? nullptr : &info(id, 0).shape);
    return {node, std::move(inputs), batches_, std::move(outputs)};
  }

  void prove(const Node& node) {
    if (all_known(node)) return;
    const auto sampled = [&](ValueId id) { return id != no_value && axes_[static_cast<std::size_t>(id)].any(); };
    if (std::ranges::none_of(node.inputs, sampled)) promote(node, context_of(node));
    const SampleContext context = context_of(node);
    std::vector<SampleAxis> out(node.outputs.size(), no_samples);
    if (std::ranges::any_of(node.inputs, sampled)) {
      const SampleRule rule = find_sample_rule(node.op);
      if (rule == nullptr) context.unproven("no rule says what this operator does to them");
      out = rule(context);
    }
    for (std::size_t o = 0; o < node.outputs.size(); ++o) {
      if (node.outputs[o] == no_value) continue;
      check_output(context, node.outputs[o], out[o]);
      axes_[static_cast<std::size_t>(node.outputs[o])] = out[o];
    }
  }

  /// A constant that grows with the batch, and is the same for each sample, holds samples like any other value.
  void promote(const Node& node, const SampleContext& context) {
    for (std::size_t i = 0; i < context.inputs(); ++i) {
      if (!context.has(i) || context.steady(i)) continue;
      const Shape &a = info(node.inputs[i], 0).shape, &b = info(node.inputs[i], 1).shape;
      bool found = false;
      for (std::size_t d = 0; d < a.size() && a.size() == b.size() && !found; ++d) {
        const std::int64_t each = a[d] / batches_[0];
        if (a[d] == b[d] || each == 0) continue;
        for (const SampleAxis& axis :
             {SampleAxis{static_cast<std::int64_t>(d), 1, each}, SampleAxis{static_cast<std::int64_t>(d), each, 1}}) {
          if (!context.uniform(i, axis)) continue;
          axes_[static_cast<std::size_t>(node.inputs[i])] = axis;
          found = true;
          break;
        }
      }
      if (!found && find_operator(node.op)->compute != nullptr) context.require_steady(i);
      if (!found) context.unproven("an input depends on the number of samples");
    }
  }

  void check_output(const SampleContext& context, ValueId id, const SampleAxis& axis) const {
    for (std::size_t b = 0; b < batches_.size(); ++b) {
      Shape first = info(id, 0).shape;
      const Shape& other = info(id, b).shape;
      bool fits = first.size() == other.size();
      if (fits && axis.any()) {
        const auto at = static_cast<std::size_t>(axis.axis);
        fits = at < other.size() && other[at] == axis.entries() * batches_[b];
        if (fits) first[at] = other[at];
      }
      if (!fits || first != other)
        context.mixed(fmt::format("an output of shape {} for {} samples, and of {} for {}, does not hold them apart",
                                  to_string(info(id, 0).shape), batches_[0], to_string(other), batches_[b]));
    }
  }

  /// An axis of one sample may be taken for one that is to be dropped.
  void check_single_sample() const {
    const std::vector<ValueInfo> single = infer_shapes(graph_, input_shapes(graph_, 1, sample_shapes_));
    for (const Node& node : graph_.nodes)
      for (const ValueId id : node.outputs) {
        if (id == no_value || info(id, 0).known != nullptr) continue;
        const SampleAxis& axis = axes_[static_cast<std::size_t>(id)];
        Shape expected = info(id, 0).shape;
        if (axis.any()) expected[static_cast<std::size_t>(axis.axis)] = axis.entries();
        if (single[static_cast<std::size_t>(id)].shape != expected)
          context_of(node).unproven("a single sample gets another shape");
      }
  }

  const Graph& graph_;
  std::vector<std::int64_t> batches_;
  const std::vector<Shape>& sample_shapes_;
  std::vector<std::vector<ValueInfo>> infos_;
  std::vector<SampleAxis> axes_;
};

}  // namespace

std::vector<SampleAxis> prove_samples(const Graph& graph, const std::vector<Shape>& sample_shapes) {
  switch (graph.batch) {
    case BatchMode::any:
      return Proof(graph, {2, 3}, sample_shapes).run();
    case BatchMode::fixed:
      if (graph.samples_at_a_time > 1) return Proof(graph, {graph.samples_at_a_time}, sample_shapes).run();
      break;
    case BatchMode::none:
      return std::vector<SampleAxis>(graph.values.size(), no_samples);
  }
  // Whatever is computed from a single sample is that sample's.
  std::vector<SampleAxis> axes(graph.values.size(), no_samples);
  const std::vector<ValueInfo> infos = infer_shapes(graph, input_shapes(graph, 1, sample_shapes));
  for (std::size_t v = 0; v < axes.size(); ++v)
    if (infos[v].known == nullptr) axes[v] = {0, 1, infos[v].shape.empty() ? 1 : infos[v].shape[0]};
  return axes;
}

}  // namespace tessera::nn
