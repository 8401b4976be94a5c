#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/nn/executor.hpp"
#include "tessera/nn/graph.hpp"
#include "tessera/nn/linear.hpp"
#include "tessera/nn/transform.hpp"

/// A network that learns: forward passes that keep what the backward pass needs, and gradients of every parameter.
namespace tessera::nn {

/// What a parameter is, for optimizers that treat kinds differently (weight decay on weights only, say).
enum class ParameterKind {
  weight,
  bias,
  normalization,  ///< scale and shift of a normalization, slope of a PRelu
  input_range,
  output_scale,
  quantizer_range,
  neuron  ///< beta or threshold of spiking neurons
};

/// One array of numbers to be learned. The spans stay valid until the network is destroyed or the part is replaced;
/// gradients are sums over everything passed back since zero_gradients().
struct TrainedParameter {
  std::string name;
  ParameterKind kind = ParameterKind::weight;
  std::span<float> value;
  std::span<float> gradient;
};

/// Stands in for one part of a weighted layer in training, y_v = W x_v + b with whatever the hardware does to it.
/// forward() is called with all vectors of a batch at once (recurrent layers: of one time step), then backward() with
/// the same x and first_vector, in reverse order of the forward calls. `first_vector` numbers row 0 within the batch
/// (recurrent layers: time step * 2^32); which step of the training it is, begin_step() tells.
class TrainableLinear {
 public:
  virtual ~TrainableLinear() = default;
  /// Called once before the forward calls of a training step.
  virtual void begin_step(std::uint64_t step) { static_cast<void>(step); }
  /// Training mode: may draw noise and update its own state. x: vectors x in; y: vectors x out, overwritten.
  virtual void forward(ConstMatrixView x, MatrixView y, std::uint64_t first_vector, Parallel parallel) = 0;
  /// Adds to the gradients of the parameters; dx is overwritten with the gradient of x.
  virtual void backward(ConstMatrixView x, ConstMatrixView dy, MatrixView dx, std::uint64_t first_vector,
                        Parallel parallel) = 0;
  /// One of kind weight has the values [out, in], and one of kind bias (if any) the `out` biases of the part.
  virtual std::vector<TrainedParameter> parameters() = 0;
  /// The values changed.
  virtual void updated() = 0;
};

/// A function on a value between operators (transform.hpp) in training.
class TrainableTransform {
 public:
  virtual ~TrainableTransform() = default;
  virtual void begin_step(std::uint64_t step) { static_cast<void>(step); }
  virtual void forward(const TransformCall& call) = 0;
  /// `call` is that of the forward pass, with its x and y. dx is overwritten; gradients of parameters are added to.
  virtual void backward(const TransformCall& call, std::span<const float> dy, std::span<float> dx) = 0;
  virtual std::vector<TrainedParameter> parameters() { return {}; }
  virtual void updated() {}
};

/// The straight-through estimator of a function without a useful derivative (a quantizer): `transform` forwards, and
/// the gradient as it is, dx = dy (Bengio, Leonard, Courville 2013).
std::shared_ptr<TrainableTransform> straight_through(std::shared_ptr<const ValueTransform> transform);

/// A graph in training. Weights and biases of all weighted layers are trained, scale and shift of normalizations, and
/// slopes of PRelu; other constants stay as they are. BatchNormalization normalises by the statistics of the batch
/// (population variance, in double) and moves its running averages as ONNX defines it:
///     running = momentum running + (1 - momentum) batch.
///
/// Everything is bit-identical for any thread count: sums over samples are cut at places that depend on shapes only,
/// and combined in index order. Not thread-safe; one network per training run.
class TrainingNetwork {
 public:
  /// InputError that lists every node through which no gradient can pass (docs/models/learning_gradients.md has the
  /// table of operators that train), graphs without exactly one floating-point input, graphs that only run sample by
  /// sample, and weights that two layers share.
  /// `seed` is that of everything the network draws (masks of Dropout).
  explicit TrainingNetwork(Graph graph, ExecutorOptions options = {}, std::uint64_t seed = 0);
  ~TrainingNetwork();
  TrainingNetwork(TrainingNetwork&&) noexcept;
  TrainingNetwork& operator=(TrainingNetwork&&) noexcept;

  /// As in Executor::layers(), with the weights the network was made with.
  const std::vector<LinearLayer>& layers() const;
  /// Puts `linear` in place of the float32 product of a part. Convolutions give it rows in the order of linear.hpp.
  void replace(std::size_t layer, std::size_t part, std::shared_ptr<TrainableLinear> linear);

  /// What stands for a transform node of the graph in training. Transforms of ExecutorOptions without one are an error
  /// of the first forward pass, which lists them: whether a gradient may pass straight through is said, not assumed.
  void replace(const std::string& transform_node, std::shared_ptr<TrainableTransform> transform);

  /// Of all layers in node order, parts in their order: "<part_name>.weight", "<part_name>.bias"; replaced parts:
  /// "<part_name>." before the part's own names; normalizations: "<node>.scale", "<node>.shift"; "<node>.slope";
  /// transforms: "<node>." before their own names.
  std::vector<TrainedParameter> parameters();
  void zero_gradients();
  /// To be called after the values of parameters changed.
  void updated();

  /// The first output for a batch (first axis), in training mode. Keeps the activations for backward(). `step` numbers
  /// the step in the training run: it addresses the masks of Dropout and the noise of replaced parts. RunError that
  /// names the first node that produced a value that is not finite.
  Tensor forward(const Tensor& batch, std::uint64_t step, Parallel parallel);
  /// Passes the gradient of the last forward()'s output back and adds to the gradients of all parameters. `d_input`, if
  /// given, receives the gradient of the batch.
  void backward(const Tensor& d_output, Parallel parallel, Tensor* d_input = nullptr);

  /// The graph with the current weights and running averages (which makes it the whole state of the network).
  Graph graph() const;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace tessera::nn
