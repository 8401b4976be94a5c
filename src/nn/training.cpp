#include "tessera/nn/training.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "backward.hpp"
#include "plan.hpp"
#include "tessera/core/shapes_agree.hpp"
#include "tessera/nn/sample_axis.hpp"
#include "training_check.hpp"
#include "training_memory.hpp"

namespace tessera::nn {

namespace {

/// A plan with what the backward pass needs to know of it.
struct TrainingPlan {
  Plan plan;
  std::vector<int> memory_of;        ///< per slot: buffer, or behind the buffers the input; -1 for constants
  std::vector<Shape> memory_shapes;  ///< of one slot that lies there
  std::vector<bool> learns;          ///< per memory: gradients are needed, not counting those of the input
  int input_memory = -1;
  SampleAxis output_samples;
};

}  // namespace

class TrainingNetwork::Implementation {
 public:
  Implementation(Graph graph, ExecutorOptions options, std::uint64_t seed)
      : graph_(std::move(graph)), options_(std::move(options)), seed_(seed) {
    validate(graph_);
    layers_ = linear_layers(graph_);
    layer_of_node_.assign(graph_.nodes.size(), -1);
    nodes_.resize(graph_.nodes.size());
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      const auto n = static_cast<std::size_t>(layers_[l].node);
      layer_of_node_[n] = static_cast<int>(l);
    }
    check_trainable(graph_, layer_of_node_);
    for (std::size_t n = 0; n < nodes_.size(); ++n)
      nodes_[n] = layer_of_node_[n] >= 0
                      ? make_trained_layer(graph_, layers_[static_cast<std::size_t>(layer_of_node_[n])])
                      : make_trained_node(graph_, graph_.nodes[n], seed_, static_cast<std::uint32_t>(n));
  }

  const std::vector<LinearLayer>& layers() const { return layers_; }

  void replace(std::size_t layer, std::size_t part, std::shared_ptr<TrainableLinear> linear) {
    require<InputError>(layer < layers_.size(), "layer {} of {}", layer, layers_.size());
    auto& node = nodes_[static_cast<std::size_t>(layers_[layer].node)];
    static_cast<TrainedLayer&>(*node).replace(part, std::move(linear));
  }

  void replace(const std::string& name, std::shared_ptr<TrainableTransform> transform) {
    require<InputError>(transform != nullptr, "nothing given for the transform '{}'", name);
    for (std::size_t n = 0; n < nodes_.size(); ++n)
      if (is_transform(graph_.nodes[n]) && graph_.nodes[n].name == name) {
        static_cast<TrainedTransform&>(*nodes_[n]).give(std::move(transform));
        plans_.clear();  // which gradients are needed depends on the parameters
        current_ = nullptr;
        return;
      }
    throw InputError(fmt::format("the network has no transform '{}'", name));
  }

  std::vector<TrainedParameter> parameters() {
    std::vector<TrainedParameter> result;
    for (const auto& node : nodes_)
      if (node != nullptr) std::ranges::move(node->parameters(), std::back_inserter(result));
    return result;
  }

  void updated() {
    for (const auto& node : nodes_)
      if (node != nullptr) node->updated();
  }

  Tensor forward(const Tensor& batch, std::uint64_t step, Parallel parallel) {
    require_transforms();
    current_ = &plan_for(bound_shape(batch.shape()));
    const Plan& plan = current_->plan;
    input_.assign(batch.data(), batch.data() + batch.size());
    place_arrays();
    for (const Step& s : plan.steps) {
      collect(s, arrays_);
      if (s.node < 0) {
        convert_layout(in_[0], out_[0], parallel);
        continue;
      }
      const Node& node = graph_.nodes[static_cast<std::size_t>(s.node)];
      if (TrainedNode* trained = nodes_[static_cast<std::size_t>(s.node)].get())
        trained->forward(
            {.node = node, .in = in_, .out = out_, .relu = s.limits.any(), .step = step, .parallel = parallel});
      else
        s.op->compute({.node = node, .in = in_, .out = out_, .parallel = parallel});
    }
    const Array& output = arrays_[static_cast<std::size_t>(plan.outputs[0])];
    if (!finite(output)) name_the_culprit();
    Tensor result = Tensor::uninitialized(output.shape);
    std::copy_n(output.floats(), output.size(), result.data());
    return samples_first(current_->output_samples, std::move(result));
  }

  void backward(const Tensor& d_output, Parallel parallel, Tensor* d_input) {
    require<RunError>(current_ != nullptr, "a backward pass without a forward pass");
    const TrainingPlan& training = *current_;
    const Plan& plan = training.plan;
    const auto output_slot = static_cast<std::size_t>(plan.outputs[0]);
    const Array& output = arrays_[output_slot];
    require<InputError>(d_output.size() == output.size(), "a gradient of shape {} for an output of shape {}",
                        to_string(d_output.shape()), to_string(output.shape));
    gradients_.assign(training.memory_shapes.size(), nullptr);
    const int target = training.memory_of[output_slot];
    if (target >= 0)
      scatter_samples(sample_blocks(training.output_samples, output.shape), d_output.data(), gradient_memory(target));
    for (std::size_t s = plan.steps.size(); s-- > 0;) step_back(plan.steps[s], parallel, d_input != nullptr);
    if (d_input != nullptr) {
      *d_input = Tensor(input_shape_);
      if (const float* from = gradients_[static_cast<std::size_t>(training.input_memory)])
        std::copy_n(from, d_input->size(), d_input->data());
    }
    pool_.release_all();
  }

  Graph graph() const {
    Graph result = graph_;
    for (std::size_t n = 0; n < nodes_.size(); ++n)
      if (nodes_[n] != nullptr) nodes_[n]->store(result, result.nodes[n]);
    return result;
  }

 private:
  void require_transforms() const {
    std::vector<std::string> missing;
    for (std::size_t n = 0; n < nodes_.size(); ++n)
      if (is_transform(graph_.nodes[n]) && !static_cast<const TrainedTransform&>(*nodes_[n]).given())
        missing.push_back(graph_.nodes[n].name);
    require<InputError>(missing.empty(),
                        "no derivative was given for the transforms {}; replace each, by straight_through() say",
                        fmt::join(missing, ", "));
  }

  Shape bound_shape(const Shape& given) const {
    require<InputError>(!given.empty() && given[0] > 0, "a batch of shape {}", to_string(given));
    Shape shape = input_shapes(graph_, given[0], options_.sample_shapes)[0];
    if (graph_.batch == BatchMode::any && graph_.inputs[0].batched) shape[0] = given[0];
    require<InputError>(
        shape[0] == given[0] && shapes_agree({given.begin() + 1, given.end()}, {shape.begin() + 1, shape.end()}),
        "the network takes {}, got a batch of {}", to_string(shape), to_string(given));
    return shape;
  }

  TrainingPlan& plan_for(const Shape& shape) {
    input_shape_ = shape;
    if (const auto found = plans_.find(shape); found != plans_.end()) return found->second;
    TrainingPlan training;
    training.plan = make_plan(graph_, {shape}, layer_of_node_, false, BufferUse::kept);
    const bool batched = graph_.inputs[0].batched && !shape.empty();
    training.output_samples = prove_samples(
        graph_, {Shape(shape.begin() + (batched ? 1 : 0), shape.end())})[static_cast<std::size_t>(graph_.outputs[0])];
    const Plan& plan = training.plan;
    const auto buffers = static_cast<int>(plan.buffer_bytes.size());
    training.input_memory = buffers;
    training.memory_shapes.resize(plan.buffer_bytes.size() + 1);
    training.learns.assign(plan.buffer_bytes.size() + 1, false);
    for (const Slot& slot : plan.slots) {
      const int memory = slot.constant != nullptr ? -1 : slot.input >= 0 ? buffers : slot.buffer;
      training.memory_of.push_back(memory);
      if (memory >= 0) training.memory_shapes[static_cast<std::size_t>(memory)] = slot.shape;
    }
    const auto memory = [&](int slot) { return slot < 0 ? -1 : training.memory_of[static_cast<std::size_t>(slot)]; };
    for (const Step& step : plan.steps) {
      bool learns = false;
      if (step.node >= 0)
        if (TrainedNode* trained = nodes_[static_cast<std::size_t>(step.node)].get())
          learns = !trained->parameters().empty();
      for (const int slot : step.in)
        learns = learns || (memory(slot) >= 0 && training.learns[static_cast<std::size_t>(memory(slot))]);
      if (step.node >= 0 && stops_gradients(graph_.nodes[static_cast<std::size_t>(step.node)].op)) learns = false;
      for (const int slot : step.out)
        if (memory(slot) >= 0) training.learns[static_cast<std::size_t>(memory(slot))] = learns;
    }
    return plans_.emplace(shape, std::move(training)).first->second;
  }

  /// Arrays of all slots over the buffers, which grow as needed.
  void place_arrays() {
    const Plan& plan = current_->plan;
    if (buffers_.size() < plan.buffer_bytes.size()) buffers_.resize(plan.buffer_bytes.size());
    for (std::size_t b = 0; b < plan.buffer_bytes.size(); ++b)
      if (buffers_[b].size() < static_cast<std::size_t>(plan.buffer_bytes[b]))
        buffers_[b].resize(static_cast<std::size_t>(plan.buffer_bytes[b]));
    arrays_.clear();
    for (const Slot& slot : plan.slots) {
      Array array{.type = slot.type, .layout = slot.layout, .shape = slot.shape};
      if (slot.input >= 0)
        array.data = input_.data();
      else if (slot.constant != nullptr)
        array.data = const_cast<void*>(slot.constant);
      else if (slot.buffer >= 0)
        array.data = buffers_[static_cast<std::size_t>(slot.buffer)].data();
      arrays_.push_back(std::move(array));
    }
  }

  void collect(const Step& step, const std::vector<Array>& arrays) {
    in_.clear();
    out_.clear();
    for (const int slot : step.in) in_.push_back(slot < 0 ? Array{} : arrays[static_cast<std::size_t>(slot)]);
    for (const int slot : step.out) out_.push_back(slot < 0 ? Array{} : arrays[static_cast<std::size_t>(slot)]);
  }

  float* gradient_memory(int memory) {
    float*& gradient = gradients_[static_cast<std::size_t>(memory)];
    if (gradient == nullptr)
      gradient = pool_.take(element_count(current_->memory_shapes[static_cast<std::size_t>(memory)]));
    return gradient;
  }

  void step_back(const Step& step, Parallel parallel, bool input_wanted) {
    const TrainingPlan& training = *current_;
    const auto memory = [&](int slot) { return slot < 0 ? -1 : training.memory_of[static_cast<std::size_t>(slot)]; };
    collect(step, arrays_);
    d_out_ = out_;
    bool arrived = false;
    for (std::size_t o = 0; o < step.out.size(); ++o) {
      const int m = memory(step.out[o]);
      d_out_[o].data = m >= 0 && d_out_[o].is_float() ? gradients_[static_cast<std::size_t>(m)] : nullptr;
      arrived = arrived || d_out_[o].data != nullptr;
    }
    if (arrived) {
      d_in_ = in_;
      std::vector<std::pair<float*, float*>> added;  // gradient of a value read before, and this node's share
      for (std::size_t i = 0; i < step.in.size(); ++i) {
        const int m = memory(step.in[i]);
        const bool wanted =
            m >= 0 && in_[i].is_float() && (input_wanted || training.learns[static_cast<std::size_t>(m)]);
        d_in_[i].data = nullptr;
        if (!wanted) continue;
        if (gradients_[static_cast<std::size_t>(m)] == nullptr) {
          d_in_[i].data = gradient_memory(m);
        } else {
          float* share = pool_.take(d_in_[i].size());
          added.emplace_back(gradients_[static_cast<std::size_t>(m)], share);
          d_in_[i].data = share;
        }
      }
      back_propagate(step, parallel);
      std::size_t next = 0;
      for (std::size_t i = 0; i < step.in.size(); ++i) {
        if (next >= added.size() || d_in_[i].data != added[next].second) continue;
        add(added[next].first, added[next].second, d_in_[i].size(), parallel);
        pool_.release(added[next].second);
        ++next;
      }
    }
    for (const int slot : step.out) {
      const int m = memory(slot);
      if (m < 0 || gradients_[static_cast<std::size_t>(m)] == nullptr) continue;
      pool_.release(gradients_[static_cast<std::size_t>(m)]);
      gradients_[static_cast<std::size_t>(m)] = nullptr;
    }
  }

  void back_propagate(const Step& step, Parallel parallel) {
    if (step.node < 0) {
      if (d_in_[0].data != nullptr) convert_layout(d_out_[0], d_in_[0], parallel);
      return;
    }
    const Node& node = graph_.nodes[static_cast<std::size_t>(step.node)];
    const BackwardContext context{
        .node = node, .in = in_, .out = out_, .d_out = d_out_, .d_in = d_in_, .parallel = parallel};
    TrainedNode* trained = nodes_[static_cast<std::size_t>(step.node)].get();
    if (trained == nullptr && std::ranges::all_of(d_in_, [](const Array& array) { return array.data == nullptr; }))
      return;
    if (trained != nullptr)
      trained->backward(context, step.limits.any());
    else if (const Backward function = find_backward(node.op))
      function(context);
    else
      throw InputError(fmt::format("{}: no gradient can pass through this operator", context.where()));
  }

  static void add(float* to, const float* from, std::int64_t count, Parallel parallel) {
    parallel_for_blocks(parallel, count, std::int64_t{1} << 14,
                        [&](std::int64_t, std::int64_t begin, std::int64_t end) {
                          for (std::int64_t i = begin; i < end; ++i) to[i] += from[i];
                        });
  }

  static bool finite(const Array& array) {
    if (!array.is_float() || array.data == nullptr) return true;
    return std::all_of(array.floats(), array.floats() + array.size(), [](float x) { return std::isfinite(x); });
  }

  [[noreturn]] void name_the_culprit() {
    require<InputError>(std::ranges::all_of(input_, [](float x) { return std::isfinite(x); }),
                        "the batch holds a value that is not finite");
    for (const Step& step : current_->plan.steps) {
      if (step.node < 0) continue;
      collect(step, arrays_);
      const Node& node = graph_.nodes[static_cast<std::size_t>(step.node)];
      for (const Array& array : out_)
        if (!finite(array))
          throw RunError(
              fmt::format("training diverged: node '{}' ({}) produced a value that is not finite; use a "
                          "smaller learning rate",
                          node.name, node.op));
    }
    throw RunError("training diverged: an output is not finite; use a smaller learning rate");
  }

  Graph graph_;
  ExecutorOptions options_;
  std::uint64_t seed_;
  std::vector<LinearLayer> layers_;
  std::vector<int> layer_of_node_;
  std::vector<std::unique_ptr<TrainedNode>> nodes_;
  std::map<Shape, TrainingPlan> plans_;
  TrainingPlan* current_ = nullptr;
  Shape input_shape_;
  AlignedVector<float> input_;
  std::vector<AlignedVector<std::byte>> buffers_;
  std::vector<Array> arrays_, in_, out_, d_in_, d_out_;
  std::vector<float*> gradients_;  ///< per memory, while its gradient is being collected
  MemoryPool pool_;
};

TrainingNetwork::TrainingNetwork(Graph graph, ExecutorOptions options, std::uint64_t seed)
    : implementation_(std::make_unique<Implementation>(std::move(graph), std::move(options), seed)) {}
TrainingNetwork::~TrainingNetwork() = default;
TrainingNetwork::TrainingNetwork(TrainingNetwork&&) noexcept = default;
TrainingNetwork& TrainingNetwork::operator=(TrainingNetwork&&) noexcept = default;

const std::vector<LinearLayer>& TrainingNetwork::layers() const {
  return implementation_->layers();
}
void TrainingNetwork::replace(std::size_t layer, std::size_t part, std::shared_ptr<TrainableLinear> linear) {
  implementation_->replace(layer, part, std::move(linear));
}
void TrainingNetwork::replace(const std::string& transform_node, std::shared_ptr<TrainableTransform> transform) {
  implementation_->replace(transform_node, std::move(transform));
}
std::vector<TrainedParameter> TrainingNetwork::parameters() {
  return implementation_->parameters();
}
void TrainingNetwork::zero_gradients() {
  for (const TrainedParameter& parameter : implementation_->parameters()) std::ranges::fill(parameter.gradient, 0.0F);
}
void TrainingNetwork::updated() {
  implementation_->updated();
}
Tensor TrainingNetwork::forward(const Tensor& batch, std::uint64_t step, Parallel parallel) {
  return implementation_->forward(batch, step, parallel);
}
void TrainingNetwork::backward(const Tensor& d_output, Parallel parallel, Tensor* d_input) {
  implementation_->backward(d_output, parallel, d_input);
}
Graph TrainingNetwork::graph() const {
  return implementation_->graph();
}

}  // namespace tessera::nn
