#include <algorithm>

#include "backward.hpp"
#include "backward_list.hpp"
#include "broadcast.hpp"
#include "tessera/random/stream.hpp"

/// Nodes with a parameter or a draw of their own: PRelu, Dropout.
namespace tessera::nn {

namespace {

class Prelu final : public TrainedNode {
 public:
  Prelu(const Graph& graph, const Node& node)
      : name_(node.name), shape_(graph.tensor(node.input(1))->shape()), slope_(graph.tensor(node.input(1))->values()) {}

  void forward(const ForwardContext& c) override {
    const Array slope = placed_slope(c.in[1]);
    apply_binary<float, float>(c.out[0], c.in[0], slope, c.parallel,
                               [](float x, float s) { return x < 0.0F ? s * x : x; });
  }

  void backward(const BackwardContext& c, bool) override {
    const Array slope = placed_slope(c.in[1]);
    AlignedVector<float> d_placed(placed_.size());
    Array d_slope = slope;
    d_slope.data = d_placed.data();
    std::vector<Array> in(c.in.begin(), c.in.end()), d_in(c.d_in.begin(), c.d_in.end());
    in[1] = slope;
    d_in[1] = d_slope;
    find_backward("PRelu")(
        {.node = c.node, .in = in, .out = c.out, .d_out = c.d_out, .d_in = d_in, .parallel = c.parallel});
    Tensor natural(slope.shape);
    convert_layout(d_slope, {.shape = slope.shape, .data = natural.data()}, {});
    for (std::size_t i = 0; i < slope_.gradient.size(); ++i) slope_.gradient[i] += natural.data()[i];
  }

  std::vector<TrainedParameter> parameters() override {
    return {slope_.as(name_ + ".slope", ParameterKind::normalization)};
  }
  void store(Graph& graph, Node& node) const override { store_constant(graph, node, 1, Tensor(shape_, slope_.value)); }

 private:
  /// The slope in the shape and layout that the plan chose for the constant.
  Array placed_slope(const Array& like) {
    placed_.resize(slope_.value.size());
    Array to = like;
    to.data = placed_.data();
    convert_layout({.shape = like.shape, .data = slope_.value.data()}, to, {});
    return to;
  }

  std::string name_;
  Shape shape_;
  Learned slope_;
  AlignedVector<float> placed_;
};

/// y = x / (1 - ratio) where a uniform draw of the address (node, step, element) is at least `ratio`, else 0.
class Dropout final : public TrainedNode {
 public:
  Dropout(std::uint64_t seed, std::uint32_t node, float ratio)
      : stream_({.seed = seed, .layer = node}, random::Purpose::dropout), ratio_(ratio) {}

  void forward(const ForwardContext& c) override {
    step_ = static_cast<std::uint32_t>(c.step);
    masked(c.in[0].floats(), c.out[0].floats(), c.in[0].size(), c.parallel);
  }
  /// The mask is drawn again from the same addresses.
  void backward(const BackwardContext& c, bool) override {
    if (c.wants(0)) masked(c.d_out[0].floats(), c.d_in[0].floats(), c.in[0].size(), c.parallel);
  }

 private:
  void masked(const float* x, float* y, std::int64_t count, Parallel parallel) const {
    const float scale = 1.0F / (1.0F - ratio_);
    parallel_for_blocks(parallel, count, 4096, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
      std::array<float, 4096> draws;
      const auto size = static_cast<std::size_t>(end - begin);
      random::fill_uniform(stream_, step_, static_cast<std::uint64_t>(begin), {draws.data(), size});
      for (std::size_t i = 0; i < size; ++i) {
        const std::int64_t at = begin + static_cast<std::int64_t>(i);
        y[at] = draws[i] >= ratio_ ? x[at] * scale : 0.0F;
      }
    });
  }

  random::Stream stream_;
  float ratio_;
  std::uint32_t step_ = 0;
};

std::unique_ptr<TrainedNode> make_dropout(const Graph& graph, const Node& node, std::uint64_t seed,
                                          std::uint32_t index) {
  float ratio = 0.5F;
  if (node.input(1) != no_value) {
    const Tensor* given = graph.tensor(node.input(1));
    if (given == nullptr || given->size() != 1) return nullptr;
    ratio = given->data()[0];
  }
  require<InputError>(ratio >= 0.0F && ratio < 1.0F, "node '{}' (Dropout): a ratio of {} (must be in [0, 1))",
                      node.name, ratio);
  return std::make_unique<Dropout>(seed, index, ratio);
}

class StraightThrough final : public TrainableTransform {
 public:
  explicit StraightThrough(std::shared_ptr<const ValueTransform> transform) : transform_(std::move(transform)) {
    require<InputError>(transform_ != nullptr, "a straight-through estimator of nothing");
  }
  void forward(const TransformCall& call) override { transform_->apply(call); }
  void backward(const TransformCall&, std::span<const float> dy, std::span<float> dx) override {
    std::ranges::copy(dy, dx.begin());
  }

 private:
  std::shared_ptr<const ValueTransform> transform_;
};

}  // namespace

std::shared_ptr<TrainableTransform> straight_through(std::shared_ptr<const ValueTransform> transform) {
  return std::make_shared<StraightThrough>(std::move(transform));
}

TransformCall TrainedTransform::call(const Array& in, const Array& out, Parallel parallel) const {
  const auto size = static_cast<std::size_t>(in.size());
  return {.shape = in.shape,
          .x = {in.floats(), size},
          .y = {out.floats(), size},
          .samples = in.shape.empty() ? 1 : in.dim(0),
          .parallel = parallel};
}

void TrainedTransform::forward(const ForwardContext& c) {
  transform_->begin_step(c.step);
  transform_->forward(call(c.in[0], c.out[0], c.parallel));
}

void TrainedTransform::backward(const BackwardContext& c, bool) {
  const auto size = static_cast<std::size_t>(c.in[0].size());
  AlignedVector<float> unused;
  if (!c.wants(0)) unused.resize(size);
  float* dx = c.wants(0) ? c.d_in[0].floats() : unused.data();
  transform_->backward(call(c.in[0], c.out[0], c.parallel), {c.d_out[0].floats(), size}, {dx, size});
}

std::vector<TrainedParameter> TrainedTransform::parameters() {
  std::vector<TrainedParameter> result;
  if (transform_ != nullptr) result = transform_->parameters();
  for (TrainedParameter& parameter : result) parameter.name = name_ + "." + parameter.name;
  return result;
}

std::unique_ptr<TrainedNode> make_trained_node(const Graph& graph, const Node& node, std::uint64_t seed,
                                               std::uint32_t index) {
  if (node.op == "BatchNormalization") return make_trained_batch_normalization(graph, node);
  if (node.op == "LayerNormalization" || node.op == "InstanceNormalization" || node.op == "GroupNormalization")
    return make_trained_normalization(graph, node);
  if (node.op == "PRelu" && graph.tensor(node.input(1)) != nullptr) return std::make_unique<Prelu>(graph, node);
  if (node.op == "Dropout") return make_dropout(graph, node, seed, index);
  if (is_transform(node)) return std::make_unique<TrainedTransform>(node.name);
  return nullptr;
}

}  // namespace tessera::nn
