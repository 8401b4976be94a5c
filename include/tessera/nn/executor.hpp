#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/nn/graph.hpp"
#include "tessera/nn/linear.hpp"
#include "tessera/nn/passes.hpp"
#include "tessera/nn/transform.hpp"

/// Evaluation of a graph in float32, with any of its weighted layers replaced.
namespace tessera::nn {

/// How the elements of an activation are stored. Convolutions work on channels-last data: N H W C for a tensor of
/// logical shape N C H W. All runs of one executor store a value alike, so two activations of the same layer may be
/// compared element by element.
enum class Layout { natural, channels_last };

struct Activation {
  Tensor values;  ///< shape() is the logical (ONNX) shape, whatever the layout
  Layout layout = Layout::natural;
};

/// The values in row-major order of the logical shape, as ONNX defines them.
Tensor to_natural(const Activation& activation);

/// What an observer is told of each weighted layer: its input, and its output after the layer's own bias and periphery,
/// before any activation function; where a transform of the output was inserted, after that. References hold during the
/// call only.
struct LinearRecord {
  std::size_t layer;  ///< index into Executor::layers()
  const Activation& input;
  const Activation& output;
};
using LinearObserver = std::function<void(const LinearRecord&)>;

/// Per layer the operators of its parts, or an empty list for float32. Not owned.
using LinearOverrides = std::vector<std::vector<const LinearOperator*>>;

struct RunOptions {
  std::uint64_t first_sample = 0;  ///< number of the first sample of the batch in the data set
  Parallel parallel = {};
  const LinearOverrides* overrides = nullptr;  ///< layers().size() entries
  LinearObserver observer = {};                ///< called in layer order on the calling thread
};

struct ExecutorOptions {
  /// Extents of the inputs without the batch where the graph leaves them free; one per input.
  std::vector<Shape> sample_shapes;
  Transforms transforms = {};  ///< one per node that insert_transforms() added
};

/// A compiled network: weights packed once, shapes planned per batch size, memory planned by liveness. Const and safe
/// to use from several threads. Results are bit-identical for any thread count and any way of cutting the samples into
/// batches: every output of a sample is summed in an order that depends on the graph alone.
///
/// A graph with BatchMode::per_sample is evaluated sample by sample; callers see batches as always: outputs (and what
/// an observer is shown) are stacked along the first axis, or along a new one where the first is not 1.
class Executor {
 public:
  explicit Executor(Graph graph, ExecutorOptions options = {});
  ~Executor();
  Executor(Executor&&) noexcept;
  Executor& operator=(Executor&&) noexcept;

  const Graph& graph() const;
  const std::vector<LinearLayer>& layers() const;

  /// Shapes of all graph outputs, or of one layer's input and output, for a batch of `batch` samples.
  std::vector<Shape> output_shapes(std::int64_t batch) const;
  Shape layer_input_shape(std::size_t layer, std::int64_t batch) const;
  Shape layer_output_shape(std::size_t layer, std::int64_t batch) const;
  /// Vectors that one sample sends through each part of a layer.
  std::int64_t vectors_per_sample(std::size_t layer) const;

  /// One tensor per graph input, batch first (integer inputs are given as whole floats), one per output back.
  /// InputError where a shape does not fit the graph; RunError that names the first node with a NaN where an output has
  /// one.
  std::vector<Tensor> run(std::span<const Tensor> inputs, const RunOptions& options = {}) const;
  /// For networks of one input: the first output.
  Tensor run(const Tensor& batch, const RunOptions& options = {}) const;

  /// One layer alone, e.g. an analog layer fed with the float32 input that an observer recorded. `operators`: one per
  /// part, or empty for float32.
  Activation apply_linear(std::size_t layer, std::span<const LinearOperator* const> operators, const Activation& input,
                          std::uint64_t first_sample, Parallel parallel) const;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace tessera::nn
