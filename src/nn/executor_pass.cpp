#include <algorithm>
#include <cmath>

#include "executor_implementation.hpp"

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

Activation activation_of(const Array& array) {
  if (array.is_float()) {
    Activation result{Tensor::uninitialized(array.shape), array.layout};
    std::copy_n(array.floats(), array.size(), result.values.data());
    return result;
  }
  return {tensor_of(array), array.layout};
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
  pass(bound, first, count, options, observer,
       [&](const Array& output, std::size_t) { outputs.push_back(tensor_of(output)); });
  return outputs;
}

void Executor::Implementation::pass(const std::vector<BoundInput>& bound, std::int64_t first, std::int64_t count,
                                    const RunOptions& options, const LinearObserver& observer, const OutputSink& sink,
                                    bool diagnose) const {
  const std::shared_ptr<const Plan> plan =
      plan_for(shapes_of(bound, count, graph_.batch == BatchMode::any), static_cast<bool>(observer));
  std::unique_ptr<Workspace> workspace = take_workspace();
  workspace->fit(*plan);
  const std::vector<Array> arrays = arrays_of(*plan, *workspace, bound, first);
  std::vector<Array> in, out;
  PassState state{.first_sample = options.first_sample + static_cast<std::uint64_t>(first),
                  .samples = graph_.batch == BatchMode::any ? count : 1,
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

Activation Executor::Implementation::input_of(std::size_t layer, std::span<const Array> in) const {
  Activation input = activation_of(in[0]);
  if (layers_[layer].kind == LinearKind::product) input.second = std::make_shared<const Tensor>(tensor_of(in[1]));
  return input;
}

void Executor::Implementation::run_transform(std::size_t n, const Array& in, const Array& out,
                                             const RunOptions& options, PassState& state) const {
  const auto size = static_cast<std::size_t>(in.size());
  const TransformCall call{.shape = in.shape,
                           .x = {in.floats(), size},
                           .y = {out.floats(), size},
                           .first_sample = state.first_sample,
                           .samples = state.samples,
                           .parallel = options.parallel};
  transform_of_node_[n]->apply(call);
  if (options.transform_observer) options.transform_observer(graph_.nodes[n].name, call);
  if (!state.observer || layer_of_transform_[n] < 0) return;
  TESSERA_EXPECT(state.input.has_value());
  state.observer(
      {.layer = static_cast<std::size_t>(layer_of_transform_[n]), .input = *state.input, .output = activation_of(out)});
}

void Executor::Implementation::run_step(const Step& step, const std::vector<Array>& in, const std::vector<Array>& out,
                                        const RunOptions& options, PassState& state) const {
  if (step.node < 0) return convert_layout(in[0], out[0], options.parallel);
  const auto n = static_cast<std::size_t>(step.node);
  const Node& node = graph_.nodes[n];
  if (transform_of_node_[n]) return run_transform(n, in[0], out[0], options, state);
  if (step.layer < 0) return step.op->compute({.node = node, .in = in, .out = out, .parallel = options.parallel});
  const auto layer = static_cast<std::size_t>(step.layer);
  std::span<const LinearOperator* const> operators;
  if (options.overrides != nullptr) {
    operators = (*options.overrides)[layer];
    check_operators(layer, operators);
  }
  if (options.before) options.before(layer, input_of(layer, in), state.first_sample);
  evaluate_linear({.compiled = compiled_[layer],
                   .node = node,
                   .in = in,
                   .out = out,
                   .operators = operators,
                   .relu = step.relu,
                   .first_sample = state.first_sample,
                   .order = vector_order(layer, in[0]),
                   .parallel = options.parallel});
  if (state.observer && shown_by_transform_[layer]) {
    state.input = input_of(layer, in);
  } else if (state.observer) {
    const Array& seen = *std::ranges::find_if(out, [](const Array& a) { return a.data != nullptr; });
    state.observer({.layer = layer, .input = input_of(layer, in), .output = activation_of(seen)});
  }
}

VectorOrder Executor::Implementation::vector_order(std::size_t layer, const Array& in) const {
  VectorOrder order;
  const LinearKind kind = layers_[layer].kind;
  if (kind == LinearKind::recurrent || kind == LinearKind::product) return order;
  const bool dense = kind == LinearKind::dense;
  const std::int64_t rows = dense ? in.size() / std::max<std::int64_t>(1, in.shape.back()) : in.dim(0);
  const SampleRows& sample = sample_rows(layer);
  if (graph_.batch != BatchMode::any) {
    order.inner = rows;
  } else if (!dense || sample.axis <= 0) {
    order.inner = sample.rows;
    order.samples = rows / order.inner;
  } else {
    for (std::int64_t d = 0; d + 1 < in.rank(); ++d)
      (d < sample.axis ? order.outer : d == sample.axis ? order.samples : order.inner) *= in.dim(d);
  }
  return order;
}

const SampleRows& Executor::Implementation::sample_rows(std::size_t layer) const {
  std::call_once(sample_rows_once_, [this] {
    sample_rows_.resize(layers_.size());
    if (graph_.batch != BatchMode::any) return;
    try {
      const std::vector<ValueInfo> two = infos(2), three = infos(3);
      for (std::size_t l = 0; l < layers_.size(); ++l) {
        const auto id = static_cast<std::size_t>(node_of(l).inputs[0]);
        const Shape &a = two[id].shape, &b = three[id].shape;
        SampleRows& rows = sample_rows_[l];
        while (rows.axis + 1 < static_cast<std::int64_t>(a.size()) &&
               a[static_cast<std::size_t>(rows.axis)] == b[static_cast<std::size_t>(rows.axis)])
          ++rows.axis;
        const std::int64_t added = layers_[l].kind == LinearKind::dense
                                       ? (element_count(b) - element_count(a)) / std::max<std::int64_t>(1, a.back())
                                       : b[0] - a[0];
        rows.rows = std::max<std::int64_t>(1, added);
      }
    } catch (const InputError&) {
      sample_rows_.assign(layers_.size(), {});
    }
  });
  return sample_rows_[layer];
}

void Executor::Implementation::name_the_culprit(const std::vector<BoundInput>& bound, std::int64_t batch,
                                                const RunOptions& options) const {
  for (std::size_t i = 0; i < bound.size(); ++i) {
    const std::int64_t count = bound[i].batched ? bound[i].sample_size * batch : element_count(bound[i].shape);
    for (std::int64_t e = 0; e < count; ++e)
      require<InputError>(
          !std::isnan(bound[i].floats[e]), "input '{}', sample {}, holds a value that is not a number",
          graph_.values[static_cast<std::size_t>(graph_.inputs[i].value)].name,
          options.first_sample +
              static_cast<std::uint64_t>(bound[i].batched ? e / std::max<std::int64_t>(1, bound[i].sample_size) : 0));
  }
  const std::int64_t passes = graph_.batch == BatchMode::per_sample ? batch : 1;
  for (std::int64_t p = 0; p < passes; ++p)
    pass(
        bound, p, passes == 1 ? batch : 1, options, {}, [](const Array&, std::size_t) {}, true);
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
