#include "tessera/nn/executor.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <new>

#include "activation_product.hpp"
#include "executor_implementation.hpp"
#include "tessera/nn/states.hpp"

namespace tessera::nn {

Executor::Implementation::Implementation(Graph graph, ExecutorOptions options)
    : graph_(std::move(graph)), options_(std::move(options)) {
  validate(graph_);
  if (!options_.sample_shapes.empty() && options_.sample_shapes.size() + graph_.states.size() == graph_.inputs.size())
    options_.sample_shapes.resize(graph_.inputs.size());
  require<InputError>(options_.sample_shapes.empty() || options_.sample_shapes.size() == graph_.inputs.size(),
                      "{} sample shapes given for {} inputs", options_.sample_shapes.size(), graph_.inputs.size());
  for (const Node& node : graph_.nodes)
    require<InputError>(find_operator(node.op) != nullptr, "node '{}': operator '{}' is not supported", node.name,
                        node.op);
  layers_ = linear_layers(graph_);
  add_products();
  layer_of_node_.assign(graph_.nodes.size(), -1);
  check_constants();
  const std::vector<std::vector<int>> readers = consumers(graph_);
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    layer_of_node_[static_cast<std::size_t>(layers_[l].node)] = static_cast<int>(l);
    check_weights(layers_[l]);
    compiled_.push_back(compile_layer(graph_, layers_[l]));
    if (compiled_.back().weights != nullptr) keep_packed_only(graph_, layers_[l], compiled_.back().weights, readers);
  }
  find_transforms();
  if (has_known_samples()) {
    axes_for(options_.sample_shapes);
    if (!graph_.states.empty()) check_states(graph_, infos(1));
  }
}

std::vector<Tensor> Executor::Implementation::with_states(std::span<const Tensor> inputs) const {
  std::vector<Tensor> all(inputs.begin(), inputs.end());
  for (std::size_t i = inputs.size(); i < graph_.inputs.size(); ++i)
    for (const GraphState& state : graph_.states)
      if (state.input == i) all.push_back(state.initial);
  return all;
}

bool Executor::Implementation::has_known_samples() const {
  for (std::size_t i = 0; i < graph_.inputs.size(); ++i) {
    const GraphInput& input = graph_.inputs[i];
    if (i < options_.sample_shapes.size() && !options_.sample_shapes[i].empty()) continue;
    for (std::size_t d = input.batched ? 1 : 0; d < input.shape.size(); ++d)
      if (input.shape[d] < 0) return false;
  }
  return true;
}

void Executor::Implementation::add_products() {
  if (options_.products.empty()) return;
  const std::vector<ValueInfo> known = infos(together(1));
  const std::shared_ptr<const SampleAxes> axes = axes_for(options_.sample_shapes);
  for (const std::string& name : options_.products) layers_.push_back(product_layer(graph_, name, known, *axes));
}

std::shared_ptr<const SampleAxes> Executor::Implementation::axes_for(const std::vector<Shape>& samples) const {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<const SampleAxes>& axes = axes_[samples];
  if (axes == nullptr) axes = std::make_shared<const SampleAxes>(prove_samples(graph_, samples));
  return axes;
}

std::shared_ptr<const SampleAxes> Executor::Implementation::axes_for(const std::vector<BoundInput>& bound) const {
  std::vector<Shape> samples;
  for (std::size_t i = 0; i < bound.size(); ++i) {
    Shape shape = bound[i].shape;
    if (graph_.inputs[i].batched && !shape.empty()) shape.erase(shape.begin());
    samples.push_back(std::move(shape));
  }
  return axes_for(samples);
}

SampleAxis Executor::Implementation::samples_of(ValueId value) const {
  return (*axes_for(options_.sample_shapes))[static_cast<std::size_t>(value)];
}

void Executor::Implementation::find_transforms() {
  transform_of_node_.resize(graph_.nodes.size());
  shown_by_transform_.assign(layers_.size(), false);
  layer_of_transform_.assign(graph_.nodes.size(), -1);
  for (std::size_t n = 0; n < graph_.nodes.size(); ++n) {
    const Node& node = graph_.nodes[n];
    if (!is_transform(node)) continue;
    const auto found = options_.transforms.find(node.name);
    require<InputError>(found != options_.transforms.end() && found->second,
                        "node '{}': no transform of this name was given", node.name);
    transform_of_node_[n] = found->second;
    const std::string of = transformed_node(node);
    for (std::size_t l = 0; l < layers_.size(); ++l)
      if (!of.empty() && layers_[l].name == of) {
        layer_of_transform_[n] = static_cast<int>(l);
        shown_by_transform_[l] = true;
      }
  }
}

Shape Executor::Implementation::output_shape(const SampleAxis& axis, const Shape& shape, std::int64_t batch) const {
  if (!axis.any()) return shape;
  Shape result = shape_of_sample(axis, shape);
  result.insert(result.begin(), batch);
  return result;
}

std::vector<Shape> Executor::Implementation::output_shapes(std::int64_t batch) const {
  const std::vector<ValueInfo> known = infos(together(batch));
  const std::shared_ptr<const SampleAxes> axes = axes_for(options_.sample_shapes);
  std::vector<Shape> shapes;
  for (const ValueId id : graph_.outputs) {
    const auto v = static_cast<std::size_t>(id);
    shapes.push_back(output_shape((*axes)[v], known[v].shape, batch));
  }
  return shapes;
}

std::vector<Shape> Executor::Implementation::output_shapes_for(const std::vector<BoundInput>& bound,
                                                               std::int64_t batch) const {
  const std::vector<ValueInfo> known =
      infer_shapes(graph_, shapes_of(bound, together(std::max<std::int64_t>(1, batch))));
  const std::shared_ptr<const SampleAxes> axes = axes_for(bound);
  std::vector<Shape> shapes;
  for (const ValueId id : graph_.outputs) {
    const auto v = static_cast<std::size_t>(id);
    shapes.push_back(output_shape((*axes)[v], known[v].shape, batch));
  }
  return shapes;
}

std::vector<Tensor> Executor::Implementation::run(std::span<const Tensor> inputs, const RunOptions& options) const try {
  if (!graph_.states.empty() && inputs.size() + graph_.states.size() == graph_.inputs.size())
    return run(with_states(inputs), options);
  std::int64_t batch = 0;
  const std::vector<BoundInput> bound = bind_inputs(graph_, inputs, batch);
  if (options.overrides != nullptr)
    require<InputError>(options.overrides->size() == layers_.size(), "overrides for {} layers, the network has {}",
                        options.overrides->size(), layers_.size());
  std::vector<Tensor> outputs;
  if (batch == 0 && graph_.batch != BatchMode::none) {
    for (Shape& shape : output_shapes_for(bound, 0)) outputs.emplace_back(std::move(shape));
    return outputs;
  }
  const bool whole = options.observer || options.transform_observer || options.before || options.overrides != nullptr;
  if (graph_.batch == BatchMode::fixed)
    outputs = run_groups(bound, batch, options);
  else if (graph_.batch == BatchMode::any && !whole)
    outputs = run_blocks(bound, batch, options);
  else
    outputs = evaluate(bound, 0, batch, options, options.observer);
  if (std::ranges::any_of(outputs, [](const Tensor& t) { return has_nan(t.data(), t.size()); }))
    name_the_culprit(bound, batch, options);
  return outputs;
} catch (const std::bad_alloc&) {
  throw RunError("out of memory while evaluating the network; use a smaller batch");
}

std::vector<Tensor> Executor::Implementation::run_blocks(const std::vector<BoundInput>& bound, std::int64_t batch,
                                                         const RunOptions& options) const {
  const std::int64_t per_sample = std::max<std::int64_t>(1, bytes_per_sample(bound));
  const std::int64_t threads = std::max(1, options.parallel.threads);
  const std::int64_t most = std::max<std::int64_t>(1, cache_budget / per_sample);
  std::int64_t blocks = (batch + most - 1) / most;
  if (batch >= 2 * threads) blocks = (blocks + threads - 1) / threads * threads;
  if (batch < threads || blocks == 1) return evaluate(bound, 0, batch, options, {});
  blocks = std::min(blocks, batch);
  std::vector<Tensor> outputs;
  for (Shape& shape : output_shapes_for(bound, batch)) outputs.push_back(Tensor::uninitialized(std::move(shape)));
  const std::shared_ptr<const SampleAxes> axes = axes_for(bound);
  RunOptions serial = options;
  serial.parallel = {1};
  parallel_for(options.parallel, blocks, [&](std::int64_t block) {
    const std::int64_t begin = block * batch / blocks, count = (block + 1) * batch / blocks - begin;
    pass(bound, begin, count, count, serial, {}, [&](const Array& output, std::size_t o) {
      const SampleAxis& axis = (*axes)[static_cast<std::size_t>(graph_.outputs[o])];
      if (!axis.any() && block > 0) return;
      const Tensor part = samples_first(axis, tensor_of(output));
      std::copy_n(part.data(), part.size(), outputs[o].data() + (axis.any() ? begin * (part.size() / count) : 0));
    });
  });
  return outputs;
}

std::int64_t Executor::Implementation::bytes_per_sample(const std::vector<BoundInput>& bound) const {
  constexpr std::int64_t few = 4;
  return plan_for(shapes_of(bound, few), false)->peak_bytes() / few;
}

std::vector<Tensor> Executor::Implementation::run_group(const std::vector<BoundInput>& bound, std::int64_t first,
                                                        std::int64_t count, const RunOptions& options,
                                                        const LinearObserver& observer, bool diagnose) const {
  const std::int64_t group = together(count);
  std::vector<BoundInput> filled;
  std::vector<std::vector<float>> floats(bound.size());
  for (std::size_t i = 0; i < bound.size(); ++i) {
    BoundInput input = bound[i];
    if (input.batched) {
      const std::int64_t begin = first * input.sample_size, size = group * input.sample_size;
      const auto source = [&](std::int64_t e) {
        return begin + std::min(e / input.sample_size, count - 1) * input.sample_size + e % input.sample_size;
      };
      if (!input.integers.empty()) {
        std::vector<std::int64_t> integers;
        for (std::int64_t e = 0; e < size; ++e)
          integers.push_back(bound[i].integers[static_cast<std::size_t>(source(e))]);
        input.integers = std::move(integers);
      }
      if (count == group) {
        input.floats += begin;
      } else {
        for (std::int64_t e = 0; e < size; ++e) floats[i].push_back(bound[i].floats[source(e)]);
        input.floats = floats[i].data();
      }
      input.shape[0] = group;
    }
    filled.push_back(std::move(input));
  }
  RunOptions own = options;
  own.first_sample += static_cast<std::uint64_t>(first);
  const std::shared_ptr<const SampleAxes> axes = axes_for(filled);
  const LinearObserver counted = [&](const LinearRecord& record) {
    observer({.layer = record.layer,
              .input = part_of_samples(record.input, 0, count),
              .output = part_of_samples(record.output, 0, count)});
  };
  std::vector<Tensor> outputs;
  pass(
      filled, 0, group, count, own, count < group && observer ? counted : observer,
      [&](const Array& output, std::size_t o) {
        const SampleAxis& axis = (*axes)[static_cast<std::size_t>(graph_.outputs[o])];
        Tensor all = samples_first(axis, tensor_of(output));
        if (axis.any() && count < group) {
          Shape shape = all.shape();
          shape[0] = count;
          const auto size = static_cast<std::size_t>(element_count(shape));
          all = Tensor(std::move(shape), all.values().first(size));
        }
        outputs.push_back(std::move(all));
      },
      diagnose);
  return outputs;
}

std::vector<std::int64_t> Executor::Implementation::chains(std::int64_t groups, std::uint64_t first_sample) const {
  std::vector<std::int64_t> begins;
  if (graph_.states.empty()) {
    for (std::int64_t g = 0; g < groups; ++g) begins.push_back(g);
  } else if (options_.sequence_starts == nullptr) {
    begins.push_back(0);
  } else {
    const auto first = static_cast<std::int64_t>(first_sample);
    for (const std::int64_t start : *options_.sequence_starts)
      if (start >= first && start < first + groups) begins.push_back(start - first);
    require<InputError>(!begins.empty() && begins.front() == 0,
                        "a batch begins with sample {}, in the middle of a sequence whose state is not known", first);
  }
  begins.push_back(groups);
  return begins;
}

std::vector<Tensor> Executor::Implementation::run_groups(const std::vector<BoundInput>& bound, std::int64_t batch,
                                                         const RunOptions& options) const {
  const std::int64_t each = graph_.samples_at_a_time, groups = (batch + each - 1) / each;
  std::vector<std::vector<Tensor>> results(static_cast<std::size_t>(groups));
  const std::vector<std::int64_t> begins = chains(groups, options.first_sample);
  // What the observer is to see, by chain and layer.
  using Seen = std::vector<std::vector<Activation>>;
  const std::size_t count = begins.size() - 1, watched = options.observer ? layers_.size() : 0;
  std::vector<Seen> in(count, Seen(watched)), out(count, Seen(watched));
  const auto run_chain = [&](std::size_t chain, const RunOptions& with) {
    LinearObserver collect;
    if (options.observer)
      collect = [&](const LinearRecord& record) {
        in[chain][record.layer].push_back(record.input);
        out[chain][record.layer].push_back(record.output);
      };
    std::vector<BoundInput> own = bound;
    for (std::int64_t g = begins[chain]; g < begins[chain + 1]; ++g) {
      std::vector<Tensor>& made = results[static_cast<std::size_t>(g)];
      made = run_group(own, g * each, std::min(each, batch - g * each), with, collect);
      for (const GraphState& state : graph_.states) {
        const Tensor& fed = made[state.output];
        require<InputError>(fed.size() == state.initial.size(),
                            "model.state: the output fed back has the shape {}, the input {}", to_string(fed.shape()),
                            to_string(state.initial.shape()));
        own[state.input].refer_to(fed);
      }
    }
  };
  // What is told in order is told on this thread.
  const bool few = options.observer && static_cast<std::int64_t>(count) < options.parallel.threads;
  if (options.before || options.transform_observer || few || count == 1) {
    for (std::size_t chain = 0; chain < count; ++chain) run_chain(chain, options);
  } else {
    RunOptions serial = options;
    serial.parallel = {1};
    parallel_for(options.parallel, static_cast<std::int64_t>(count),
                 [&](std::int64_t chain) { run_chain(static_cast<std::size_t>(chain), serial); });
  }
  const auto joined = [&](std::vector<Seen>& seen, std::size_t layer) {
    std::vector<Activation> all;
    for (Seen& chain : seen) std::move(chain[layer].begin(), chain[layer].end(), std::back_inserter(all));
    return joined_samples(all);
  };
  for (std::size_t l = 0; l < watched; ++l)
    if (std::ranges::any_of(in, [&](const Seen& chain) { return !chain[l].empty(); }))
      options.observer({.layer = l, .input = joined(in, l), .output = joined(out, l)});
  std::vector<Tensor> outputs;
  const std::vector<Shape> shapes = output_shapes_for(bound, batch);
  const std::shared_ptr<const SampleAxes> axes = axes_for(bound);
  for (std::size_t o = 0; o < graph_.outputs.size(); ++o) {
    Tensor all = Tensor::uninitialized(shapes[o]);
    float* to = all.data();
    for (const std::vector<Tensor>& group : results) {
      to = std::copy_n(group[o].data(), group[o].size(), to);
      if (!(*axes)[static_cast<std::size_t>(graph_.outputs[o])].any()) break;
    }
    TESSERA_EXPECT(to == all.data() + all.size());
    outputs.push_back(std::move(all));
  }
  return outputs;
}

Executor::Executor(Graph graph, ExecutorOptions options)
    : implementation_(std::make_unique<Implementation>(std::move(graph), std::move(options))) {}
Executor::~Executor() = default;
Executor::Executor(Executor&&) noexcept = default;
Executor& Executor::operator=(Executor&&) noexcept = default;

const ExecutorOptions& Executor::options() const {
  return implementation_->options();
}
const Graph& Executor::graph() const {
  return implementation_->graph();
}
const std::vector<LinearLayer>& Executor::layers() const {
  return implementation_->layers();
}
std::vector<Shape> Executor::output_shapes(std::int64_t batch) const {
  return implementation_->output_shapes(batch);
}
Shape Executor::layer_input_shape(std::size_t layer, std::int64_t batch) const {
  return implementation_->layer_shape(layer, batch, true);
}
Shape Executor::layer_output_shape(std::size_t layer, std::int64_t batch) const {
  return implementation_->layer_shape(layer, batch, false);
}
Shape Executor::layer_input_sample(std::size_t layer) const {
  return implementation_->layer_sample(layer, true);
}
Shape Executor::layer_output_sample(std::size_t layer) const {
  return implementation_->layer_sample(layer, false);
}
SampleAxis Executor::samples_of(ValueId value) const {
  return implementation_->samples_of(value);
}
std::int64_t Executor::vectors_per_sample(std::size_t layer) const {
  return implementation_->vectors_per_sample(layer);
}

std::vector<Tensor> Executor::run(std::span<const Tensor> inputs, const RunOptions& options) const {
  return implementation_->run(inputs, options);
}

Tensor Executor::run(const Tensor& batch, const RunOptions& options) const {
  return std::move(implementation_->run({&batch, 1}, options).front());
}

void Executor::run_branched(const Tensor& batch, const BranchedRun& run) const {
  implementation_->run_branched(batch, run);
}

void Executor::forget_weights() const {
  implementation_->forget_weights();
}
std::int64_t Executor::forgettable_bytes() const {
  return implementation_->forgettable_bytes();
}
Activation Executor::apply_linear(std::size_t layer, std::span<const LinearOperator* const> operators,
                                  const Activation& input, std::uint64_t first_sample, Parallel parallel) const {
  const LayerBranch branch{operators, 0};
  return std::move(implementation_->apply_branches(layer, {&branch, 1}, input, first_sample, parallel).front());
}

std::vector<Activation> Executor::apply_branches(std::size_t layer, std::span<const LayerBranch> branches,
                                                 const Activation& input, std::uint64_t first_sample,
                                                 Parallel parallel) const {
  return implementation_->apply_branches(layer, branches, input, first_sample, parallel);
}

}  // namespace tessera::nn
