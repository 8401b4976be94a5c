#include <algorithm>
#include <cmath>

#include "executor_implementation.hpp"
#include "replaced_sum.hpp"
#include "sample_part.hpp"

/// One pass over the steps of a plan.
namespace tessera::nn {

namespace {

constexpr std::size_t kept_plans = 32;

}  // namespace

void Workspace::fit(const Plan& plan) {
  if (buffers.size() < plan.buffer_bytes.size()) buffers.resize(plan.buffer_bytes.size());
  for (std::size_t i = 0; i < plan.buffer_bytes.size(); ++i)
    if (buffers[i].size() < static_cast<std::size_t>(plan.buffer_bytes[i]))
      buffers[i].resize(static_cast<std::size_t>(plan.buffer_bytes[i]));
}

Tensor tensor_of(const Array& array) {
  Tensor result = Tensor::uninitialized(array.shape);
  if (array.is_float())
    std::copy_n(array.floats(), array.size(), result.data());
  else
    std::transform(array.integers(), array.integers() + array.size(), result.data(),
                   [](std::int64_t x) { return static_cast<float>(x); });
  return result;
}

bool has_nan(const float* values, std::int64_t count) {
  bool found = false;
  for (std::int64_t i = 0; i < count; ++i) found |= values[i] != values[i];
  return found;
}

Activation activation_of(const Array& array, const SampleAxis& samples) {
  return {.values = tensor_of(array), .layout = array.layout, .samples = samples};
}

std::shared_ptr<const Plan> Executor::Implementation::plan_for(const std::vector<Shape>& shapes, bool observed) const {
  const std::lock_guard lock(mutex_);
  PlanKey key(shapes, observed);
  const auto found = plans_.find(key);
  if (found != plans_.end()) return found->second;
  if (plans_.size() >= kept_plans) plans_.clear();
  auto plan = std::make_shared<const Plan>(make_plan(graph_, shapes, layer_of_node_, observed));
  plans_.emplace(std::move(key), plan);
  return plan;
}

std::unique_ptr<Workspace> Executor::Implementation::take_workspace() const {
  const std::lock_guard lock(mutex_);
  if (workspaces_.empty()) return std::make_unique<Workspace>();
  std::unique_ptr<Workspace> workspace = std::move(workspaces_.back());
  workspaces_.pop_back();
  return workspace;
}

void Executor::Implementation::give_back(std::unique_ptr<Workspace> workspace) const {
  const std::lock_guard lock(mutex_);
  workspaces_.push_back(std::move(workspace));
}

AlignedVector<std::byte> Executor::Implementation::take_buffer(std::int64_t bytes) const {
  AlignedVector<std::byte> buffer;
  {
    const std::lock_guard lock(mutex_);
    if (!buffers_.empty()) {
      buffer = std::move(buffers_.back());
      buffers_.pop_back();
    }
  }
  if (buffer.size() < static_cast<std::size_t>(bytes)) {
    buffer.clear();  // nothing worth copying
    buffer.resize(static_cast<std::size_t>(bytes));
  }
  return buffer;
}

void Executor::Implementation::give_back(AlignedVector<std::byte> buffer) const {
  const std::lock_guard lock(mutex_);
  buffers_.push_back(std::move(buffer));
}

std::vector<Array> Executor::Implementation::arrays_of(const Plan& plan, Workspace& workspace,
                                                       const std::vector<BoundInput>& bound, std::int64_t first) {
  std::vector<Array> arrays;
  arrays.reserve(plan.slots.size());
  for (const Slot& slot : plan.slots) {
    Array array{.type = slot.type, .layout = slot.layout, .shape = slot.shape};
    if (slot.input >= 0) {
      const BoundInput& input = bound[static_cast<std::size_t>(slot.input)];
      const std::int64_t offset = input.batched ? first * input.sample_size : 0;
      array.data = slot.type == ElementType::float32
                       ? static_cast<void*>(const_cast<float*>(input.floats + offset))
                       : static_cast<void*>(const_cast<std::int64_t*>(input.integers.data() + offset));
    } else if (slot.constant != nullptr) {
      array.data = const_cast<void*>(slot.constant);
    } else if (slot.buffer >= 0) {
      array.data = workspace.buffers[static_cast<std::size_t>(slot.buffer)].data();
    }
    arrays.push_back(std::move(array));
  }
  return arrays;
}

std::vector<Array> Executor::Implementation::arrays_at(const std::vector<Array>& arrays,
                                                       const std::vector<int>& slots) {
  std::vector<Array> chosen;
  for (const int slot : slots) chosen.push_back(slot < 0 ? Array{} : arrays[static_cast<std::size_t>(slot)]);
  return chosen;
}

void Executor::Implementation::check_operators(std::size_t layer, std::span<const LinearOperator* const> given) const {
  require<InputError>(given.empty() || given.size() == layers_[layer].parts.size(),
                      "layer '{}': {} operators for {} parts", layers_[layer].name, given.size(),
                      layers_[layer].parts.size());
}

std::vector<Tensor> Executor::Implementation::evaluate(const std::vector<BoundInput>& bound, std::int64_t first,
                                                       std::int64_t count, const RunOptions& options,
                                                       const LinearObserver& observer) const {
  std::vector<Tensor> outputs;
  const std::shared_ptr<const SampleAxes> axes = axes_for(bound);
  pass(bound, first, count, count, options, observer, [&](const Array& output, std::size_t o) {
    outputs.push_back(samples_first((*axes)[static_cast<std::size_t>(graph_.outputs[o])], tensor_of(output)));
  });
  return outputs;
}

void Executor::Implementation::pass(const std::vector<BoundInput>& bound, std::int64_t first, std::int64_t count,
                                    std::int64_t counting, const RunOptions& options, const LinearObserver& observer,
                                    const OutputSink& sink, bool diagnose) const {
  const std::shared_ptr<const SampleAxes> axes = axes_for(bound);
  const std::shared_ptr<const Plan> plan = plan_for(shapes_of(bound, together(count)), static_cast<bool>(observer));
  std::unique_ptr<Workspace> workspace = take_workspace();
  workspace->fit(*plan);
  const std::vector<Array> arrays = arrays_of(*plan, *workspace, bound, first);
  std::vector<Array> in, out;
  PassState state{.first_sample = options.first_sample + static_cast<std::uint64_t>(first),
                  .samples = graph_.batch == BatchMode::none ? 1 : counting,
                  .filled_up = counting < count,
                  .axes = *axes,
                  .observer = observer,
                  .input = std::nullopt};
  for (const Step& step : plan->steps) {
    in.clear();
    out.clear();
    for (const int slot : step.in) in.push_back(slot < 0 ? Array{} : arrays[static_cast<std::size_t>(slot)]);
    for (const int slot : step.out) out.push_back(slot < 0 ? Array{} : arrays[static_cast<std::size_t>(slot)]);
    run_step(step, in, out, options, state);
    if (diagnose) diagnose_step(step, out);
  }
  for (std::size_t o = 0; o < plan->outputs.size(); ++o) sink(arrays[static_cast<std::size_t>(plan->outputs[o])], o);
  give_back(std::move(workspace));
}

Activation Executor::Implementation::input_of(std::size_t layer, std::span<const Array> in,
                                              const SampleAxes& axes) const {
  const LayerRun run = layer_run(layer, axes);
  Activation input = activation_of(in[0], run.in[0]);
  const auto add = [&](std::size_t i) {
    if (i < in.size() && in[i].data != nullptr)
      input.operands.push_back({i, std::make_shared<const Tensor>(tensor_of(in[i])), run.in[i]});
  };
  if (layers_[layer].kind == LinearKind::product) add(1);
  if (layers_[layer].kind == LinearKind::recurrent)
    for (const std::size_t i : {4, 5, 6}) add(i);
  return input;
}

Activation Executor::Implementation::output_of(std::size_t layer, std::span<const Array> out,
                                               const SampleAxes& axes) const {
  const auto seen = std::ranges::find_if(out, [](const Array& a) { return a.data != nullptr; });
  const ValueId id = node_of(layer).outputs[static_cast<std::size_t>(seen - out.begin())];
  return activation_of(*seen, axes[static_cast<std::size_t>(id)]);
}

void Executor::Implementation::run_transform(std::size_t n, const Array& in, const Array& out,
                                             const RunOptions& options, PassState& state) const {
  const Node& node = graph_.nodes[n];
  const SampleAxis& axis = state.axes[static_cast<std::size_t>(node.inputs[0])];
  const bool ordered = transform_of_node_[n]->needs_order() && axis.any() && !axis.leads();
  const bool sampled = axis.any() || graph_.batch == BatchMode::none;
  const auto apply = [&](const Shape& shape, std::span<const float> x, std::span<float> y) {
    const TransformCall call{.shape = shape,
                             .x = x,
                             .y = y,
                             .first_sample = sampled ? state.first_sample : 0,
                             .samples = sampled ? state.samples : 1,
                             .parallel = options.parallel};
    transform_of_node_[n]->apply(call);
    if (options.transform_observer && (sampled || state.first_sample == 0)) options.transform_observer(node.name, call);
  };
  const auto span_of = [](const Array& array) {
    return std::span<float>(array.floats(), static_cast<std::size_t>(array.size()));
  };
  if (!ordered && !(state.filled_up && axis.any())) {
    apply(in.shape, span_of(in), span_of(out));
  } else {
    PartMemory x(in, {axis, state.samples}), y(out, {axis, state.samples});
    x.take();
    if (ordered) {
      const SampleBlocks blocks = sample_blocks(axis, x.array().shape);
      Shape shape = shape_of_sample(axis, in.shape);
      shape.insert(shape.begin(), state.samples);
      Tensor first = Tensor::uninitialized(shape);
      gather_samples(blocks, x.array().floats(), first.data());
      apply(shape, first.values(), first.values());
      scatter_samples(blocks, first.data(), y.array().floats());
    } else {
      apply(x.array().shape, span_of(x.array()), span_of(y.array()));
    }
    y.put();
  }
  if (!state.observer || layer_of_transform_[n] < 0 || !state.input) return;
  state.observer({.layer = static_cast<std::size_t>(layer_of_transform_[n]),
                  .input = *state.input,
                  .output = activation_of(out, axis)});
}

void Executor::Implementation::run_step(const Step& step, const std::vector<Array>& in, const std::vector<Array>& out,
                                        const RunOptions& options, PassState& state) const {
  if (step.node < 0) return convert_layout(in[0], out[0], options.parallel);
  const auto n = static_cast<std::size_t>(step.node);
  const Node& node = graph_.nodes[n];
  if (transform_of_node_[n]) return run_transform(n, in[0], out[0], options, state);
  if (step.layer < 0) {
    const SumOperator* const sum =
        options.overrides == nullptr || n >= options.overrides->sums.size() ? nullptr : options.overrides->sums[n];
    const ComputeContext context{.node = node, .in = in, .out = out, .parallel = options.parallel};
    if (sum == nullptr) return step.op->compute(context);
    const SampleBlocks blocks = sample_blocks(state.axes[static_cast<std::size_t>(node.output(0))], out[0].shape);
    return add_with(*sum, context, blocks, state.filled_up ? state.samples : blocks.samples);
  }
  const auto layer = static_cast<std::size_t>(step.layer);
  std::span<const LinearOperator* const> operators;
  if (options.overrides != nullptr) {
    operators = (*options.overrides)[layer];
    check_operators(layer, operators);
  }
  LayerRun run = layer_run(layer, state.axes);
  run.first_sample = state.first_sample;
  run.samples = state.samples;
  run.filled_up = state.filled_up;
  run.limits = step.limits;
  run.parallel = options.parallel;
  const auto seen_input = [&] {
    Activation input = input_of(layer, in, state.axes);
    return state.filled_up ? part_of_samples(input, 0, state.samples) : input;
  };
  if (options.before) options.before(layer, seen_input(), state.first_sample);
  const LinearBranch branch{operators, out, 0};
  run_layer(run, in, {&branch, 1});
  if (!state.observer || !seen_again(run, state.first_sample)) return;
  if (shown_by_transform_[layer]) {
    state.input = input_of(layer, in, state.axes);
    return;
  }
  state.observer(
      {.layer = layer, .input = input_of(layer, in, state.axes), .output = output_of(layer, out, state.axes)});
}

bool Executor::Implementation::seen_again(const LayerRun& run, std::uint64_t first_sample) const {
  return graph_.batch == BatchMode::none || first_sample == 0 ||
         std::ranges::any_of(run.out, [](const SampleAxis& axis) { return axis.any(); });
}

Executor::Implementation::LayerRun Executor::Implementation::layer_run(std::size_t layer,
                                                                       const SampleAxes& axes) const {
  LayerRun run{.layer = layer};
  const auto of = [&](ValueId id) { return id == no_value ? no_samples : axes[static_cast<std::size_t>(id)]; };
  for (const ValueId id : node_of(layer).inputs) run.in.push_back(of(id));
  for (const ValueId id : node_of(layer).outputs) run.out.push_back(of(id));
  if (layers_[layer].kind != LinearKind::recurrent) return run;
  // The data may be constant where the initial state is not. A state that is the same for each sample has the samples
  // like any other value.
  for (const SampleAxis& axis : run.out)
    if (axis.axis > 0 && !run.in[0].any()) run.in[0] = {1, axis.before, axis.after};
  for (std::size_t i = 4; i < std::min<std::size_t>(run.in.size(), 7); ++i)
    if (run.in[0].axis == 1 && node_of(layer).inputs[i] != no_value)
      run.in[i] = {i == 4 ? 0 : 1, run.in[0].before, run.in[0].after};
  return run;
}

void Executor::Implementation::run_layer(const LayerRun& run, std::span<const Array> in,
                                         std::span<const LinearBranch> branches) const {
  const LinearKind kind = layers_[run.layer].kind;
  const bool rows = kind == LinearKind::dense || kind == LinearKind::product;
  const bool grouped = !rows && run.in[0].any() && run.in[0].before > 1;
  const auto evaluate = [&](std::span<const Array> inputs, std::span<const LinearBranch> of) {
    LayerRun seen = run;
    if (grouped) seen.in[0] = {run.in[0].axis, 1, run.in[0].entries()};
    LinearCall call{.compiled = compiled_[run.layer],
                    .node = node_of(run.layer),
                    .in = inputs,
                    .out = of.front().out,
                    .operators = of.front().operators,
                    .limits = run.limits,
                    .first_sample = seen_again(run, run.first_sample) ? run.first_sample : 0,
                    .order = vector_order(seen, inputs[0], of.front().out[0]),
                    .parallel = run.parallel};
    of.size() == 1 ? evaluate_linear(call) : evaluate_branches(call, of);
  };
  if (!grouped && !run.filled_up) return evaluate(in, branches);

  std::vector<PartMemory> inputs;
  for (std::size_t i = 0; i < in.size(); ++i) {
    const bool copied = in[i].data != nullptr && run.in[i].any();
    inputs.emplace_back(copied ? in[i] : Array{}, SamplePart{run.in[i], run.samples, grouped});
    if (copied) inputs.back().take();
  }
  std::vector<Array> in_parts;
  for (std::size_t i = 0; i < in.size(); ++i)
    in_parts.push_back(inputs[i].array().shape.empty() ? in[i] : inputs[i].array());
  std::vector<std::vector<PartMemory>> outputs(branches.size());
  std::vector<std::vector<Array>> out_parts(branches.size());
  std::vector<LinearBranch> parts(branches.begin(), branches.end());
  for (std::size_t b = 0; b < branches.size(); ++b) {
    outputs[b].reserve(branches[b].out.size());
    for (std::size_t o = 0; o < branches[b].out.size(); ++o) {
      const Array& whole = branches[b].out[o];
      outputs[b].emplace_back(whole.data != nullptr ? whole : Array{}, SamplePart{run.out[o], run.samples, grouped});
      out_parts[b].push_back(whole.data != nullptr ? outputs[b].back().array() : whole);
    }
    parts[b].out = out_parts[b];
  }
  evaluate(in_parts, parts);
  for (std::size_t b = 0; b < branches.size(); ++b)
    for (std::size_t o = 0; o < branches[b].out.size(); ++o)
      if (branches[b].out[o].data != nullptr) outputs[b][o].put();
}

VectorOrder Executor::Implementation::vector_order(const LayerRun& run, const Array& in, const Array& out) const {
  const LinearKind kind = layers_[run.layer].kind;
  const bool dense = kind == LinearKind::dense, product = kind == LinearKind::product;
  const Array& rows = product ? out : in;
  const SampleAxis& axis = product ? run.out[0] : run.in[0];
  if (kind == LinearKind::recurrent) return {1, 1, axis.axis == 1 ? axis.entries() : 1};
  // The axes that count rows, images or matrices.
  Shape counted = rows.shape;
  counted.resize(counted.size() - std::min<std::size_t>(counted.size(), dense ? 1 : product ? 2 : counted.size() - 1));
  if (!axis.any() || axis.axis >= std::ssize(counted)) return {1, 1, element_count(counted)};
  const SampleBlocks blocks = sample_blocks(axis, counted);
  return {blocks.outer, blocks.samples, blocks.inner};
}

void Executor::Implementation::name_the_culprit(const std::vector<BoundInput>& bound, std::int64_t batch,
                                                const RunOptions& options) const {
  for (std::size_t i = 0; i < bound.size(); ++i) {
    const std::int64_t count = bound[i].batched ? bound[i].sample_size * batch : element_count(bound[i].shape);
    for (std::int64_t e = 0; e < count; ++e)
      require<InputError>(
          !std::isnan(bound[i].floats[e]), "input '{}', sample {}, holds a value that is not a number",
          graph_.name_of(graph_.inputs[i].value),
          options.first_sample +
              static_cast<std::uint64_t>(bound[i].batched ? e / std::max<std::int64_t>(1, bound[i].sample_size) : 0));
  }
  const std::int64_t each = graph_.batch == BatchMode::none ? batch : together(batch);
  for (std::int64_t first = 0; first < batch; first += each)
    run_group(bound, first, std::min(each, batch - first), options, {}, true);
  throw RunError("an output of the network is not a number");
}

void Executor::Implementation::diagnose_step(const Step& step, const std::vector<Array>& out) const {
  if (step.node < 0) return;
  const Node& node = graph_.nodes[static_cast<std::size_t>(step.node)];
  for (const Array& array : out)
    if (array.data != nullptr && array.is_float() && has_nan(array.floats(), array.size()))
      throw RunError(
          fmt::format("layer '{}' ({}) produced a value that is not a number from numbers", node.name, node.op));
}

}  // namespace tessera::nn
