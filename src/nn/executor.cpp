#include "tessera/nn/executor.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <optional>

#include "linear_call.hpp"
#include "plan.hpp"

namespace tessera::nn {

namespace {

/// Memory of one running evaluation; kept for the next one.
struct Workspace {
  std::vector<AlignedVector<std::byte>> buffers;

  void fit(const Plan& plan) {
    if (buffers.size() < plan.buffer_bytes.size()) buffers.resize(plan.buffer_bytes.size());
    for (std::size_t i = 0; i < plan.buffer_bytes.size(); ++i)
      if (buffers[i].size() < static_cast<std::size_t>(plan.buffer_bytes[i]))
        buffers[i].resize(static_cast<std::size_t>(plan.buffer_bytes[i]));
  }
};

/// Samples that are worked on together when nothing else asks for whole batches: activations of about this size stay in
/// the second-level cache.
constexpr std::int64_t cache_budget = std::int64_t{768} << 10;
constexpr std::size_t kept_plans = 32;

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

/// One input of a run: the caller's floats, or their integer copies.
struct BoundInput {
  Shape shape;
  const float* floats = nullptr;
  std::vector<std::int64_t> integers;
  bool batched = true;
  std::int64_t sample_size = 0;  ///< elements per sample, for batched inputs
};

}  // namespace

class Executor::Implementation {
 public:
  Implementation(Graph graph, ExecutorOptions options) : graph_(std::move(graph)), options_(std::move(options)) {
    validate(graph_);
    require<InputError>(options_.sample_shapes.empty() || options_.sample_shapes.size() == graph_.inputs.size(),
                        "{} sample shapes given for {} inputs", options_.sample_shapes.size(), graph_.inputs.size());
    for (const Node& node : graph_.nodes)
      require<InputError>(find_operator(node.op) != nullptr, "node '{}': operator '{}' is not supported", node.name,
                          node.op);
    layers_ = linear_layers(graph_);
    layer_of_node_.assign(graph_.nodes.size(), -1);
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      layer_of_node_[static_cast<std::size_t>(layers_[l].node)] = static_cast<int>(l);
      check_weights(layers_[l]);
      compiled_.push_back(compile_layer(graph_, layers_[l]));
    }
    find_transforms();
    check_constants();
  }

  const Graph& graph() const { return graph_; }
  const ExecutorOptions& options() const { return options_; }
  const std::vector<LinearLayer>& layers() const { return layers_; }

  std::vector<ValueInfo> infos(std::int64_t batch) const {
    return infer_shapes(graph_, input_shapes(graph_, batch, options_.sample_shapes));
  }

  const Node& node_of(std::size_t layer) const {
    return graph_.nodes[static_cast<std::size_t>(layers_.at(layer).node)];
  }

  std::vector<Tensor> run(std::span<const Tensor> inputs, const RunOptions& options) const try {
    std::int64_t batch = 0;
    const std::vector<BoundInput> bound = bind(inputs, batch);
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

  std::vector<Activation> apply_branches(std::size_t layer, std::span<const LayerBranch> branches,
                                         const Activation& input, std::uint64_t first_sample, Parallel parallel) const {
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

  void run_branched(const Tensor& batch, const BranchedRun& run) const try {
    const std::size_t count = run.networks.size();
    require<InputError>(run.same_layer.size() == count && run.same_product.size() == count,
                        "{} networks, {} lists of layers, {} of products", count, run.same_layer.size(),
                        run.same_product.size());
    for (std::size_t n = 0; n < count; ++n)
      require<InputError>(run.networks[n]->size() == layers_.size() && run.same_layer[n].size() == layers_.size() &&
                              run.same_product[n].size() == layers_.size(),
                          "network {} of {} is not given for all {} layers", n, count, layers_.size());
    std::int64_t samples = 0;
    const std::vector<BoundInput> bound = bind({&batch, 1}, samples);
    if (graph_.batch == BatchMode::per_sample || samples == 0) return run_apart(batch, run);
    Walk walk{.run = run, .bound = bound, .samples = samples};
    walk.plan = plan_for(shapes_of(bound, samples, graph_.batch == BatchMode::any), static_cast<bool>(run.observer));
    walk.shown.assign(count, 0);
    walk.waiting.emplace_back();
    for (std::size_t n = 0; n < count; ++n) walk.waiting.back().push_back(n);
    while (!walk.waiting.empty()) {
      std::vector<std::size_t> networks = std::move(walk.waiting.back());
      walk.waiting.pop_back();
      std::unique_ptr<Workspace> workspace = take_workspace();
      workspace->fit(*walk.plan);
      if (!networks.empty()) follow(walk, 0, std::move(workspace), std::move(networks));
    }
  } catch (const std::bad_alloc&) {
    throw RunError("out of memory while evaluating the network; use a smaller batch");
  }

  Shape layer_shape(std::size_t layer, std::int64_t batch, bool input) const {
    const Node& node = node_of(layer);
    return infos(batch)[static_cast<std::size_t>(input ? node.inputs[0] : node.outputs[0])].shape;
  }

  std::int64_t vectors_per_sample(std::size_t layer) const {
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
    }
    return 0;
  }

  std::vector<Shape> output_shapes(std::int64_t batch) const {
    const bool one_by_one = graph_.batch == BatchMode::per_sample;
    const std::vector<ValueInfo> known = infos(one_by_one ? 1 : batch);
    std::vector<Shape> shapes;
    for (const ValueId id : graph_.outputs) {
      const Shape& shape = known[static_cast<std::size_t>(id)].shape;
      shapes.push_back(one_by_one ? stacked_shape(shape, batch) : shape);
    }
    return shapes;
  }

 private:
  using PlanKey = std::pair<std::vector<Shape>, bool>;

  void check_weights(const LinearLayer& layer) const {
    for (std::size_t p = 0; p < layer.parts.size(); ++p) {
      const LinearPart& part = layer.parts[p];
      const auto finite = [](float x) { return std::isfinite(x); };
      require<InputError>(
          std::ranges::all_of(part.weight.values(), finite) && std::ranges::all_of(part.bias, finite),
          "layer '{}': a weight or bias is not finite; the model file is damaged or its training diverged",
          layer.part_name(p));
    }
  }

  void find_transforms() {
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

  void check_constants() const {
    for (const Value& value : graph_.values)
      if (value.constant)
        if (const auto* tensor = std::get_if<Tensor>(&*value.constant))
          require<InputError>(!has_nan(tensor->data(), tensor->size()),
                              "constant '{}' holds a value that is not a number", value.name);
  }

  /// Checks the caller's tensors and brings them into the graph's shapes.
  std::vector<BoundInput> bind(std::span<const Tensor> inputs, std::int64_t& batch) const {
    require<InputError>(inputs.size() == graph_.inputs.size(), "{} tensors given for {} inputs", inputs.size(),
                        graph_.inputs.size());
    batch = -1;
    std::vector<BoundInput> bound(inputs.size());
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const GraphInput& input = graph_.inputs[i];
      const std::string& name = graph_.values[static_cast<std::size_t>(input.value)].name;
      BoundInput& b = bound[i];
      b.batched = graph_.batch != BatchMode::none && input.batched;
      b.shape = bound_shape(i, inputs[i].shape(), b.batched, name);
      b.floats = inputs[i].data();
      if (b.batched) {
        const std::int64_t count = inputs[i].dim(0);
        require<InputError>(batch < 0 || batch == count, "input '{}' holds {} samples, another input {}", name, count,
                            batch);
        batch = count;
        b.sample_size = count > 0 ? inputs[i].size() / count : 0;
      }
      if (input.type == ElementType::int64)
        for (const float x : inputs[i].values()) {
          require<InputError>(std::fabs(x) < 9.2e18F && x == std::trunc(x), "input '{}' takes integers, got {}", name,
                              x);
          b.integers.push_back(static_cast<std::int64_t>(x));
        }
    }
    if (batch < 0) batch = 1;
    return bound;
  }

  /// Complete shape of input i for a batch of one sample (per_sample), the given batch, or as given (no batch).
  Shape bound_shape(std::size_t i, const Shape& given, bool batched, const std::string& name) const {
    const Shape& wanted = graph_.inputs[i].shape;
    const auto text = [&] {
      std::vector<std::string> extents;
      for (const std::int64_t extent : wanted) extents.push_back(extent < 0 ? "N" : std::to_string(extent));
      return fmt::format("{}", fmt::join(extents, "x"));
    };
    const auto fits = [](const Shape& have, std::size_t from, const Shape& want, std::size_t want_from) {
      if (have.size() - from != want.size() - want_from) return false;
      for (std::size_t d = 0; from + d < have.size(); ++d)
        if (want[want_from + d] >= 0 && want[want_from + d] != have[from + d]) return false;
      return true;
    };
    if (!batched) {
      require<InputError>(fits(given, 0, wanted, 0), "input '{}' takes {}, got {}", name, text(), to_string(given));
      return given;
    }
    require<InputError>(!given.empty(), "input '{}' takes {}, got a scalar", name, text());
    // A fixed first extent other than 1 belongs to the sample.
    const bool leading = wanted.empty() || (wanted[0] > 1 && graph_.batch == BatchMode::per_sample);
    const std::size_t skip = leading ? 0 : 1;
    Shape result(wanted.begin() + static_cast<std::ptrdiff_t>(skip), wanted.end());
    if (fits(given, 1, wanted, skip)) {
      result.assign(given.begin() + 1, given.end());
    } else {
      // Samples of another shape with as many elements: an image for a network that takes flat vectors, say.
      const Shape sample(given.begin() + 1, given.end());
      const bool known = std::ranges::all_of(result, [](std::int64_t extent) { return extent >= 0; });
      require<InputError>(known && element_count(result) == element_count(sample), "input '{}' takes {}, got {}", name,
                          text(), to_string(given));
    }
    if (!leading) result.insert(result.begin(), graph_.batch == BatchMode::per_sample ? 1 : given[0]);
    return result;
  }

  std::shared_ptr<const Plan> plan_for(const std::vector<Shape>& shapes, bool observed) const {
    const std::lock_guard lock(mutex_);
    PlanKey key(shapes, observed);
    const auto found = plans_.find(key);
    if (found != plans_.end()) return found->second;
    if (plans_.size() >= kept_plans) plans_.clear();
    auto plan = std::make_shared<const Plan>(make_plan(graph_, shapes, layer_of_node_, observed));
    plans_.emplace(std::move(key), plan);
    return plan;
  }

  std::unique_ptr<Workspace> take_workspace() const {
    const std::lock_guard lock(mutex_);
    if (workspaces_.empty()) return std::make_unique<Workspace>();
    std::unique_ptr<Workspace> workspace = std::move(workspaces_.back());
    workspaces_.pop_back();
    return workspace;
  }

  void give_back(std::unique_ptr<Workspace> workspace) const {
    const std::lock_guard lock(mutex_);
    workspaces_.push_back(std::move(workspace));
  }

  static std::vector<Shape> shapes_of(const std::vector<BoundInput>& bound, std::int64_t batch, bool replace) {
    std::vector<Shape> shapes;
    for (const BoundInput& input : bound) {
      shapes.push_back(input.shape);
      if (replace && input.batched) shapes.back()[0] = batch;
    }
    return shapes;
  }

  /// Output shapes of the graph for `batch` samples at a time.
  std::vector<Shape> output_shapes_for(const std::vector<BoundInput>& bound, std::int64_t batch) const {
    const std::vector<ValueInfo> known = infer_shapes(graph_, shapes_of(bound, batch, true));
    std::vector<Shape> shapes;
    for (const ValueId id : graph_.outputs) shapes.push_back(known[static_cast<std::size_t>(id)].shape);
    return shapes;
  }

  /// Samples [first, first + count) of the bound inputs in one pass over the plan.
  std::vector<Tensor> evaluate(const std::vector<BoundInput>& bound, std::int64_t first, std::int64_t count,
                               const RunOptions& options, const LinearObserver& observer) const {
    std::vector<Tensor> outputs;
    pass(bound, first, count, options, observer,
         [&](const Array& output, std::size_t) { outputs.push_back(tensor_of(output)); });
    return outputs;
  }

  /// The memory of every slot, for samples from `first` on.
  static std::vector<Array> arrays_of(const Plan& plan, Workspace& workspace, const std::vector<BoundInput>& bound,
                                      std::int64_t first) {
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

  /// Several networks on their way through the plan, as far as they go together; then one after the other, from copies
  /// of what was computed in common.
  struct Walk {
    const BranchedRun& run;
    const std::vector<BoundInput>& bound;
    std::int64_t samples = 0;
    std::shared_ptr<const Plan> plan = {};
    std::vector<std::vector<std::size_t>> waiting = {};  ///< to be taken from the beginning
    std::int64_t held_bytes = 0;
    std::vector<std::size_t> shown = {};  ///< by network: layers that the observer has seen
  };

  /// To the networks that have not been shown this layer on a way that was given up for lack of memory.
  static void show(Walk& walk, const std::vector<std::size_t>& networks, const LinearRecord& record) {
    std::vector<std::size_t> fresh;
    for (const std::size_t n : networks)
      if (walk.shown[n] <= record.layer) fresh.push_back(n);
    for (const std::size_t n : fresh) walk.shown[n] = record.layer + 1;
    if (!fresh.empty()) walk.run.observer(fresh, record);
  }

  /// `input`: of a layer before first_step that is shown by its transform.
  void follow(Walk& walk, std::size_t first_step, std::unique_ptr<Workspace> workspace,
              std::vector<std::size_t> networks, std::optional<Activation> input = std::nullopt) const {
    const Plan& plan = *walk.plan;
    const std::vector<Array> arrays = arrays_of(plan, *workspace, walk.bound, 0);
    RunOptions options{.first_sample = walk.run.first_sample,
                       .parallel = walk.run.parallel,
                       .overrides = walk.run.networks[networks.front()]};
    if (walk.run.transform_observer)
      options.transform_observer = [&](const std::string& node, const TransformCall& call) {
        walk.run.transform_observer(networks, node, call);
      };
    LinearObserver observer;
    if (walk.run.observer) observer = [&](const LinearRecord& record) { show(walk, networks, record); };
    PassState state{.first_sample = walk.run.first_sample,
                    .samples = graph_.batch == BatchMode::any ? walk.samples : 1,
                    .observer = observer,
                    .input = std::move(input)};
    for (std::size_t i = first_step; i < plan.steps.size(); ++i) {
      const Step& step = plan.steps[i];
      const std::vector<Array> in = arrays_at(arrays, step.in), out = arrays_at(arrays, step.out);
      if (step.layer >= 0) {
        const std::vector<std::vector<std::size_t>> parting =
            apart(networks, walk.run.same_layer, static_cast<std::size_t>(step.layer));
        if (parting.size() > 1) return part(walk, i, std::move(workspace), parting, in, out);
      }
      run_step(step, in, out, options, state);
    }
    TESSERA_EXPECT(!plan.outputs.empty());
    const Tensor output = tensor_of(arrays[static_cast<std::size_t>(plan.outputs[0])]);
    give_back(std::move(workspace));
    if (has_nan(output.data(), output.size())) name_the_culprit(walk.bound, walk.samples, options);
    if (walk.run.output) walk.run.output(networks, output);
  }

  /// Layer of step i, in which the lists of `parting` differ; then each of them on its own.
  void part(Walk& walk, std::size_t i, std::unique_ptr<Workspace> workspace,
            const std::vector<std::vector<std::size_t>>& parting, const std::vector<Array>& in,
            const std::vector<Array>& out) const {
    const Plan& plan = *walk.plan;
    const Step& step = plan.steps[i];
    const auto layer = static_cast<std::size_t>(step.layer);
    std::int64_t output_bytes = 0, workspace_bytes = 0;
    for (const Array& array : out) output_bytes += array.data != nullptr ? bytes_of(array) : 0;
    for (const std::int64_t bytes : plan.buffer_bytes) workspace_bytes += bytes;
    std::size_t now = parting.size();
    const std::int64_t free = walk.run.memory_bytes - walk.held_bytes - workspace_bytes;
    if (std::ssize(parting) * output_bytes > free) {
      now = static_cast<std::size_t>(
          std::clamp<std::int64_t>(free / std::max<std::int64_t>(1, output_bytes), 1, std::ssize(parting)));
      std::vector<std::size_t> later;
      for (std::size_t p = now; p < parting.size(); ++p)
        later.insert(later.end(), parting[p].begin(), parting[p].end());
      std::sort(later.begin(), later.end());
      walk.waiting.push_back(std::move(later));
    }
    const std::int64_t held = static_cast<std::int64_t>(now) * output_bytes + workspace_bytes;
    walk.held_bytes += held;

    std::vector<std::vector<AlignedVector<std::byte>>> memory(now);
    std::vector<std::vector<Array>> outs(now, out);
    std::vector<LinearBranch> branches(now);
    for (std::size_t b = 0; b < now; ++b) {
      for (Array& array : outs[b]) {
        if (array.data == nullptr) continue;
        memory[b].emplace_back();
        memory[b].back().resize(static_cast<std::size_t>(bytes_of(array)));
        array.data = memory[b].back().data();
      }
      const std::size_t leader = parting[b].front();
      branches[b] = {(*walk.run.networks[leader])[layer], outs[b], walk.run.same_product[leader][layer]};
      check_operators(layer, branches[b].operators);
    }
    evaluate_branches({.compiled = compiled_[layer],
                       .node = graph_.nodes[static_cast<std::size_t>(step.node)],
                       .in = in,
                       .out = out,
                       .operators = {},
                       .relu = step.relu,
                       .first_sample = walk.run.first_sample,
                       .order = vector_order(layer, in[0]),
                       .parallel = walk.run.parallel},
                      branches);
    std::optional<Activation> input;
    if (walk.run.observer) {
      input = activation_of(in[0]);
      for (std::size_t b = 0; b < now && !shown_by_transform_[layer]; ++b) {
        const Array& seen = *std::ranges::find_if(outs[b], [](const Array& a) { return a.data != nullptr; });
        show(walk, parting[b], {.layer = layer, .input = *input, .output = activation_of(seen)});
      }
      if (!shown_by_transform_[layer]) input.reset();
    }
    const std::vector<bool> live = live_buffers(plan, i);
    for (std::size_t b = 0; b < now; ++b) {
      std::unique_ptr<Workspace> copy;
      if (b + 1 == now) {
        copy = std::move(workspace);
      } else {
        copy = take_workspace();
        copy->fit(plan);
        for (std::size_t buffer = 0; buffer < live.size(); ++buffer)
          if (live[buffer])
            std::memcpy(copy->buffers[buffer].data(), workspace->buffers[buffer].data(),
                        static_cast<std::size_t>(plan.buffer_bytes[buffer]));
      }
      const std::vector<Array> targets = arrays_at(arrays_of(plan, *copy, walk.bound, 0), step.out);
      for (std::size_t o = 0, m = 0; o < targets.size(); ++o)
        if (targets[o].data != nullptr) {
          std::memcpy(targets[o].data, memory[b][m].data(), memory[b][m].size());
          memory[b][m++] = {};
        }
      follow(walk, i + 1, std::move(copy), parting[b], input);
    }
    walk.held_bytes -= held;
  }

  /// Every network alone: graphs that are evaluated sample by sample.
  void run_apart(const Tensor& batch, const BranchedRun& run) const {
    for (std::size_t n = 0; n < run.networks.size(); ++n) {
      RunOptions options{.first_sample = run.first_sample, .parallel = run.parallel, .overrides = run.networks[n]};
      const std::span<const std::size_t> alone(&n, 1);
      if (run.observer) options.observer = [&](const LinearRecord& record) { run.observer(alone, record); };
      if (run.transform_observer)
        options.transform_observer = [&](const std::string& node, const TransformCall& call) {
          run.transform_observer(alone, node, call);
        };
      const std::vector<Tensor> outputs = this->run({&batch, 1}, options);
      if (run.output) run.output(alone, outputs.front());
    }
  }

  /// Networks by their number for a layer, in order.
  static std::vector<std::vector<std::size_t>> apart(const std::vector<std::size_t>& networks,
                                                     const std::vector<std::vector<std::uint32_t>>& numbers,
                                                     std::size_t layer) {
    std::vector<std::vector<std::size_t>> lists;
    for (const std::size_t n : networks) {
      const auto found = std::ranges::find_if(
          lists, [&](const auto& list) { return numbers[list.front()][layer] == numbers[n][layer]; });
      if (found != lists.end())
        found->push_back(n);
      else
        lists.push_back({n});
    }
    return lists;
  }

  static std::vector<Array> arrays_at(const std::vector<Array>& arrays, const std::vector<int>& slots) {
    std::vector<Array> chosen;
    for (const int slot : slots) chosen.push_back(slot < 0 ? Array{} : arrays[static_cast<std::size_t>(slot)]);
    return chosen;
  }

  static std::int64_t bytes_of(const Array& array) { return array.size() * (array.is_float() ? 4 : 8); }

  /// Buffers that hold something at step i that a later step, or the caller, reads.
  static std::vector<bool> live_buffers(const Plan& plan, std::size_t i) {
    std::vector<bool> made(plan.slots.size()), live(plan.buffer_bytes.size());
    const auto mark = [&](int slot) {
      if (slot < 0 || !made[static_cast<std::size_t>(slot)]) return;
      const int buffer = plan.slots[static_cast<std::size_t>(slot)].buffer;
      if (buffer >= 0) live[static_cast<std::size_t>(buffer)] = true;
    };
    for (std::size_t before = 0; before < i; ++before)
      for (const int slot : plan.steps[before].out)
        if (slot >= 0) made[static_cast<std::size_t>(slot)] = true;
    for (std::size_t after = i + 1; after < plan.steps.size(); ++after)
      for (const int slot : plan.steps[after].in) mark(slot);
    for (const int slot : plan.outputs) mark(slot);
    return live;
  }

  void check_operators(std::size_t layer, std::span<const LinearOperator* const> given) const {
    require<InputError>(given.empty() || given.size() == layers_[layer].parts.size(),
                        "layer '{}': {} operators for {} parts", layers_[layer].name, given.size(),
                        layers_[layer].parts.size());
  }

  template <class Sink>
  void pass(const std::vector<BoundInput>& bound, std::int64_t first, std::int64_t count, const RunOptions& options,
            const LinearObserver& observer, Sink sink, bool diagnose = false) const {
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

  struct PassState {
    std::uint64_t first_sample = 0;
    std::int64_t samples = 1;
    const LinearObserver& observer;
    std::optional<Activation> input;  ///< of a layer whose output is shown after its transform
  };

  void run_transform(std::size_t n, const Array& in, const Array& out, const RunOptions& options,
                     PassState& state) const {
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
    state.observer({.layer = static_cast<std::size_t>(layer_of_transform_[n]),
                    .input = *state.input,
                    .output = activation_of(out)});
  }

  void run_step(const Step& step, const std::vector<Array>& in, const std::vector<Array>& out,
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
    if (options.before) options.before(layer, activation_of(in[0]), state.first_sample);
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
      state.input = activation_of(in[0]);
    } else if (state.observer) {
      const Array& seen = *std::ranges::find_if(out, [](const Array& a) { return a.data != nullptr; });
      state.observer({.layer = layer, .input = activation_of(in[0]), .output = activation_of(seen)});
    }
  }

  /// Which rows (images) of a layer's input belong to which sample.
  VectorOrder vector_order(std::size_t layer, const Array& in) const {
    VectorOrder order;
    const LinearKind kind = layers_[layer].kind;
    if (kind == LinearKind::recurrent) return order;
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

  /// The axis of a layer's input that grows with the batch, and the rows (images) that one more sample adds.
  struct SampleRows {
    std::int64_t axis = 0, rows = 1;
  };

  /// Found once, by comparing shapes for two and three samples. With free extents the first axis is taken for the
  /// batch.
  const SampleRows& sample_rows(std::size_t layer) const {
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

  /// Blocks of samples that stay in cache, each through the whole network on one thread.
  std::vector<Tensor> run_blocks(const std::vector<BoundInput>& bound, std::int64_t batch,
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

  std::int64_t bytes_per_sample(const std::vector<BoundInput>& bound) const {
    constexpr std::int64_t few = 4;
    return plan_for(shapes_of(bound, few, true), false)->peak_bytes() / few;
  }

  static Shape stacked_shape(Shape shape, std::int64_t samples) {
    if (!shape.empty() && shape[0] == 1)
      shape[0] = samples;
    else
      shape.insert(shape.begin(), samples);
    return shape;
  }

  std::vector<Tensor> run_samples(const std::vector<BoundInput>& bound, std::int64_t batch,
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

  static Activation rows_of(const Activation& all, std::int64_t first, std::int64_t count) {
    Shape shape = all.values.shape();
    shape[0] = count;
    Activation part{Tensor::uninitialized(shape), all.layout};
    const std::int64_t row = part.values.size() / std::max<std::int64_t>(1, count);
    std::copy_n(all.values.data() + first * row, part.values.size(), part.values.data());
    return part;
  }

  static Activation stacked(const std::vector<Activation>& parts) {
    TESSERA_EXPECT(!parts.empty());
    Shape shape = parts[0].values.shape();
    shape[0] *= static_cast<std::int64_t>(parts.size());
    Activation all{Tensor::uninitialized(shape), parts[0].layout};
    float* to = all.values.data();
    for (const Activation& part : parts) to = std::copy_n(part.values.data(), part.values.size(), to);
    return all;
  }

  std::vector<Activation> apply_once(std::size_t layer, std::span<const LayerBranch> branches, const Activation& input,
                                     std::uint64_t first_sample, Parallel parallel) const {
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
      results[b] = {Tensor::uninitialized(out_infos[0].shape), input.layout};
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

  /// An output has a NaN: finds out where the first one comes from, and throws.
  [[noreturn]] void name_the_culprit(const std::vector<BoundInput>& bound, std::int64_t batch,
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

  void diagnose_step(const Step& step, const std::vector<Array>& out) const {
    if (step.node < 0) return;
    const Node& node = graph_.nodes[static_cast<std::size_t>(step.node)];
    for (const Array& array : out)
      if (array.data != nullptr && array.is_float() && has_nan(array.floats(), array.size()))
        throw RunError(
            fmt::format("layer '{}' ({}) produced a value that is not a number from numbers", node.name, node.op));
  }

  Graph graph_;
  ExecutorOptions options_;
  std::vector<LinearLayer> layers_;
  std::vector<CompiledLayer> compiled_;
  std::vector<int> layer_of_node_;
  std::vector<std::shared_ptr<const ValueTransform>> transform_of_node_;
  std::vector<int> layer_of_transform_;   ///< by node: the layer whose output it transforms, or -1
  std::vector<bool> shown_by_transform_;  ///< by layer
  mutable std::once_flag sample_rows_once_;
  mutable std::vector<SampleRows> sample_rows_;
  mutable std::mutex mutex_;
  mutable std::map<PlanKey, std::shared_ptr<const Plan>> plans_;
  mutable std::vector<std::unique_ptr<Workspace>> workspaces_;
};

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
