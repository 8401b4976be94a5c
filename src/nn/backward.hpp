#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "operator.hpp"
#include "tessera/nn/linear.hpp"
#include "tessera/nn/training.hpp"
#include "tessera/nn/transform.hpp"

/// Derivatives of operators.
namespace tessera::nn {

/// What a backward function sees. Values and gradients of one tensor lie in memory alike.
struct BackwardContext {
  const Node& node;
  std::span<const Array> in;     ///< values the node read; absent inputs have data == nullptr
  std::span<const Array> out;    ///< values the node wrote
  std::span<const Array> d_out;  ///< gradients of `out`; no data: zero
  std::span<const Array> d_in;   ///< gradients of `in`, overwritten; no data: not wanted
  Parallel parallel;

  std::string where() const { return fmt::format("node '{}' ({})", node.name, node.op); }
  bool has(std::size_t i) const { return i < in.size() && in[i].data != nullptr; }
  bool wants(std::size_t i) const { return i < d_in.size() && d_in[i].data != nullptr; }
};
using Backward = void (*)(const BackwardContext&);

/// Derivative of an operator without parameters of its own, or null.
Backward find_backward(const std::string& op);

/// What the forward pass of a node with parameters or state sees.
struct ForwardContext {
  const Node& node;
  std::span<const Array> in;  ///< weights of layers are absent
  std::span<const Array> out;
  bool relu = false;  ///< to be applied to out[0]
  std::uint64_t step = 0;
  Parallel parallel;

  bool has(std::size_t i) const { return i < in.size() && in[i].data != nullptr; }
};

/// A node that behaves differently in training: it has parameters, or draws, or keeps statistics.
class TrainedNode {
 public:
  virtual ~TrainedNode() = default;
  virtual void forward(const ForwardContext& c) = 0;
  /// As a Backward function; adds to the gradients of the parameters. `relu` as in the forward pass.
  virtual void backward(const BackwardContext& c, bool relu) = 0;
  virtual std::vector<TrainedParameter> parameters() { return {}; }
  virtual void updated() {}
  /// Writes the parameters into a graph equal to the one the node was made from.
  virtual void store(Graph& graph, Node& node) const {
    static_cast<void>(graph);
    static_cast<void>(node);
  }
};

/// A transform node, once what stands for it in training was given.
class TrainedTransform final : public TrainedNode {
 public:
  explicit TrainedTransform(std::string name) : name_(std::move(name)) {}
  bool given() const { return transform_ != nullptr; }
  void give(std::shared_ptr<TrainableTransform> transform) { transform_ = std::move(transform); }
  void forward(const ForwardContext& c) override;
  void backward(const BackwardContext& c, bool relu) override;
  std::vector<TrainedParameter> parameters() override;
  void updated() override {
    if (transform_ != nullptr) transform_->updated();
  }

 private:
  TransformCall call(const Array& in, const Array& out, Parallel parallel) const;
  std::string name_;
  std::shared_ptr<TrainableTransform> transform_;
};

/// A weighted layer whose parts may be replaced.
class TrainedLayer : public TrainedNode {
 public:
  explicit TrainedLayer(LinearLayer layer);
  const LinearLayer& layer() const { return layer_; }
  virtual void replace(std::size_t part, std::shared_ptr<TrainableLinear> linear);
  std::vector<TrainedParameter> parameters() override;
  void updated() override;
  void store(Graph& graph, Node& node) const override;

 protected:
  void begin_step(std::uint64_t step);
  TrainableLinear& part(std::size_t i) { return *parts_[i]; }
  const std::vector<std::shared_ptr<TrainableLinear>>& parts() const { return parts_; }

 private:
  LinearLayer layer_;
  std::vector<std::shared_ptr<TrainableLinear>> parts_;
};

std::unique_ptr<TrainedLayer> make_trained_layer(const Graph& graph, const LinearLayer& layer);
// One function per kind.
std::unique_ptr<TrainedLayer> make_trained_dense(const LinearLayer& layer);
std::unique_ptr<TrainedLayer> make_trained_convolution(const LinearLayer& layer);
std::unique_ptr<TrainedLayer> make_trained_transposed_convolution(const Graph& graph, const LinearLayer& layer);
std::unique_ptr<TrainedLayer> make_trained_recurrent(const LinearLayer& layer);

/// For nodes with parameters or state but without a weight matrix; null for all others. `seed` and `index` (of the
/// node) address what the node draws.
std::unique_ptr<TrainedNode> make_trained_node(const Graph& graph, const Node& node, std::uint64_t seed,
                                               std::uint32_t index);
std::unique_ptr<TrainedNode> make_trained_batch_normalization(const Graph& graph, const Node& node);
std::unique_ptr<TrainedNode> make_trained_normalization(const Graph& graph, const Node& node);

/// Puts a constant in place of input i: into the value itself where only this node reads it, else into a new one.
void store_constant(Graph& graph, Node& node, std::size_t i, Tensor values);

/// A learned vector with its gradient.
struct Learned {
  std::vector<float> value, gradient;
  Learned() = default;
  explicit Learned(std::span<const float> initial)
      : value(initial.begin(), initial.end()), gradient(initial.size(), 0.0F) {}
  TrainedParameter as(std::string name, ParameterKind kind) { return {std::move(name), kind, value, gradient}; }
};

/// Where dy is passed on only where y > 0, in place: the gradient of a rectified layer.
void rectify_gradient(float* dy, const float* y, std::int64_t count);

}  // namespace tessera::nn
