#include "tessera/nn/executor.hpp"

#include <algorithm>
#include <cmath>
#include <new>

#include "activation_product.hpp"
#include "executor_implementation.hpp"

namespace tessera::nn {

namespace {

Shape stacked_shape(Shape shape, std::int64_t samples) {
  if (!shape.empty() && shape[0] == 1)
    shape[0] = samples;
  else
    shape.insert(shape.begin(), samples);
  return shape;
}

}  // namespace

Executor::Implementation::Implementation(Graph graph, ExecutorOptions options)
    : graph_(std::move(graph)), options_(std::move(options)) {
  validate(graph_);
  require<InputError>(options_.sample_shapes.empty() || options_.sample_shapes.size() == graph_.inputs.size(),
                      "{} sample shapes given for {} inputs", options_.sample_shapes.size(), graph_.inputs.size());
  for (const Node& node : graph_.nodes)
    require<InputError>(find_operator(node.op) != nullptr, "node '{}': operator '{}' is not supported", node.name,
                        node.op);
  layers_ = linear_layers(graph_);
  add_products();
  layer_of_node_.assign(graph_.nodes.size(), -1);
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    layer_of_node_[static_cast<std::size_t>(layers_[l].node)] = static_cast<int>(l);
    check_weights(layers_[l]);
    compiled_.push_back(compile_layer(graph_, layers_[l]));
  }
  find_transforms();
  check_constants();
}

void Executor::Implementation::add_products() {
  if (options_.products.empty()) return;
  const std::vector<ValueInfo> one = infos(1), two = infos(graph_.batch == BatchMode::any ? 2 : 1);
  for (const std::string& name : options_.products) layers_.push_back(product_layer(graph_, name, one, two));
}

void Executor::Implementation::check_weights(const LinearLayer& layer) const {
  for (std::size_t p = 0; p < layer.parts.size(); ++p) {
    const LinearPart& part = layer.parts[p];
    const auto finite = [](float x) { return std::isfinite(x); };
    require<InputError>(
        std::ranges::all_of(part.weight.values(), finite) && std::ranges::all_of(part.bias, finite),
        "layer '{}': a weight or bias is not finite; the model file is damaged or its training diverged",
        layer.part_name(p));
  }
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

void Executor::Implementation::check_constants() const {
  for (const Value& value : graph_.values)
    if (value.constant)
      if (const auto* tensor = std::get_if<Tensor>(&*value.constant))
        require<InputError>(!has_nan(tensor->data(), tensor->size()),
                            "constant '{}' holds a value that is not a number", value.name);
}

std::vector<Shape> Executor::Implementation::output_shapes(std::int64_t batch) const {
  const bool one_by_one = graph_.batch == BatchMode::per_sample;
  const std::vector<ValueInfo> known = infos(one_by_one ? 1 : batch);
  std::vector<Shape> shapes;
  for (const ValueId id : graph_.outputs) {
    const Shape& shape = known[static_cast<std::size_t>(id)].shape;
    shapes.push_back(one_by_one ? stacked_shape(shape, batch) : shape);
  }
  return shapes;
}

std::vector<Shape> Executor::Implementation::output_shapes_for(const std::vector<BoundInput>& bound,
                                                               std::int64_t batch) const {
  const std::vector<ValueInfo> known = infer_shapes(graph_, shapes_of(bound, batch, true));
  std::vector<Shape> shapes;
  for (const ValueId id : graph_.outputs) shapes.push_back(known[static_cast<std::size_t>(id)].shape);
  return shapes;
}

std::vector<Tensor> Executor::Implementation::run(std::span<const Tensor> inputs, const RunOptions& options) const try {
  std::int64_t batch = 0;
  const std::vector<BoundInput> bound = bind_inputs(graph_, inputs, batch);
  if (options.overrides != nullptr)
    require<InputError>(options.overrides->size() == layers_.size(), "overrides for {} layers, the network has {}",
                        options.overrides->size(), layers_.size());
  std::vector<Tensor> outputs;
  if (batch == 0 && graph_.batch != BatchMode::none) {
    for (Shape shape : output_shapes_for(bound, 1)) {
      if (!shape.empty()) shape[0] = 0;
      outputs.emplace_back(std::move(shape));
    }
    return outputs;
  }
  const bool whole = options.observer || options.transform_observer || options.before || options.overrides != nullptr;
  if (graph_.batch == BatchMode::per_sample)
    outputs = run_samples(bound, batch, options);
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
  RunOptions serial = options;
  serial.parallel = {1};
  parallel_for(options.parallel, blocks, [&](std::int64_t block) {
    const std::int64_t begin = block * batch / blocks, end = (block + 1) * batch / blocks;
    pass(bound, begin, end - begin, serial, {}, [&](const Array& output, std::size_t o) {
      const Tensor part = tensor_of(output);
      std::copy_n(part.data(), part.size(), outputs[o].data() + begin * (outputs[o].size() / batch));
    });
  });
  return outputs;
}

std::int64_t Executor::Implementation::bytes_per_sample(const std::vector<BoundInput>& bound) const {
  constexpr std::int64_t few = 4;
  return plan_for(shapes_of(bound, few, true), false)->peak_bytes() / few;
}

std::vector<Tensor> Executor::Implementation::run_samples(const std::vector<BoundInput>& bound, std::int64_t batch,
                                                          const RunOptions& options) const {
  std::vector<std::vector<Tensor>> results(static_cast<std::size_t>(batch));
  if (options.observer || options.before) {
    std::vector<std::vector<Activation>> in(layers_.size()), out(layers_.size());
    for (std::int64_t s = 0; s < batch; ++s)
      results[static_cast<std::size_t>(s)] = evaluate(bound, s, 1, options, [&](const LinearRecord& record) {
        in[record.layer].push_back(record.input);
        out[record.layer].push_back(record.output);
      });
    for (std::size_t l = 0; options.observer && l < layers_.size(); ++l)
      if (!in[l].empty()) options.observer({.layer = l, .input = stacked(in[l]), .output = stacked(out[l])});
  } else {
    RunOptions serial = options;
    serial.parallel = {1};
    parallel_for(options.parallel, batch,
                 [&](std::int64_t s) { results[static_cast<std::size_t>(s)] = evaluate(bound, s, 1, serial, {}); });
  }
  std::vector<Tensor> outputs;
  for (std::size_t o = 0; o < graph_.outputs.size(); ++o) {
    Tensor all = Tensor::uninitialized(stacked_shape(results[0][o].shape(), batch));
    for (std::int64_t s = 0; s < batch; ++s) {
      const Tensor& one = results[static_cast<std::size_t>(s)][o];
      std::copy_n(one.data(), one.size(), all.data() + s * one.size());
    }
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
