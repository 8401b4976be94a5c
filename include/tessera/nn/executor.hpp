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
#include "tessera/nn/sample_axis.hpp"
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
  SampleAxis samples = {};  ///< where the samples of the batch lie, by the logical axes

  /// What the layer reads beside `values`, natural order: the second operand (input 1) of a product of two activations,
  /// lengths and initial states (inputs 4 to 6) of recurrent layers.
  struct Operand {
    std::size_t input = 0;
    std::shared_ptr<const Tensor> values;  ///< not null
    SampleAxis samples = {};
  };
  std::vector<Operand> operands = {};
};

/// The values in row-major order of the logical shape, as ONNX defines them.
Tensor to_natural(const Activation& activation);
/// [N, sample...] in natural order, sample by sample (sample_axis.hpp).
Tensor samples_first(const Activation& activation);
/// How the samples lie in memory, whatever the layout.
SampleBlocks sample_blocks(const Activation& activation);
/// Samples [first, first + count) alone, or the samples of several activations of one value in a row.
Activation part_of_samples(const Activation& all, std::int64_t first, std::int64_t count);
Activation joined_samples(const std::vector<Activation>& parts);

/// What an observer is told of each weighted layer: its input, and its output after the layer's own bias and periphery,
/// before any activation function; where a transform of the output was inserted, after that. References hold during the
/// call only.
struct LinearRecord {
  std::size_t layer;  ///< index into Executor::layers()
  const Activation& input;
  const Activation& output;
};
using LinearObserver = std::function<void(const LinearRecord&)>;

/// Called before a weighted layer with what it is about to see. In a graph with BatchMode::fixed once for every
/// Graph::samples_at_a_time samples.
using InputObserver = std::function<void(std::size_t layer, const Activation& input, std::uint64_t first_sample)>;

/// Per layer the operators of its parts, or an empty list for float32. Not owned.
struct LinearOverrides : std::vector<std::vector<const LinearOperator*>> {
  using vector::vector;
  /// By node: what adds instead of an Add of two float32 tensors; null or no list at all: the node itself. In a run of
  /// several networks, those with the same layers in front of an Add add alike.
  std::vector<const SumOperator*> sums = {};
};

struct RunOptions {
  std::uint64_t first_sample = 0;  ///< number of the first sample of the batch in the data set
  Parallel parallel = {};
  const LinearOverrides* overrides = nullptr;  ///< layers().size() entries
  LinearObserver observer = {};                ///< called in node order on the calling thread
  TransformObserver transform_observer = {};   ///< called in node order on the calling thread
  InputObserver before = {};                   ///< in node order; the operators of `overrides` may be changed in it
};

/// Several networks that differ in their weighted layers only, on one batch.
struct BranchedRun {
  std::uint64_t first_sample = 0;  ///< as in RunOptions
  Parallel parallel = {};
  /// The networks: per layer the operators of its parts. Not owned.
  std::vector<const LinearOverrides*> networks = {};
  /// [network][layer]: two networks do the same in a layer where the numbers are equal, ...
  std::vector<std::vector<std::uint32_t>> same_layer = {};
  /// ... and the same up to its periphery (LinearOperator::product) where these are.
  std::vector<std::vector<std::uint32_t>> same_product = {};
  /// For what is kept where networks part; beyond it the common way is computed again.
  std::int64_t memory_bytes = std::int64_t{1} << 30;
  /// Called in node order for each network, with all networks that did the same so far (ascending).
  std::function<void(std::span<const std::size_t> networks, const LinearRecord& record)> observer = {};
  std::function<void(std::span<const std::size_t> networks, std::span<const Tensor> outputs)> output = {};
  /// Called in node order for each network; again with the same values where a common way is computed again.
  std::function<void(std::span<const std::size_t> networks, const std::string& node, const TransformCall& call)>
      transform_observer = {};
};

/// One of several operators for a layer that see the same input.
struct LayerBranch {
  std::span<const LinearOperator* const> operators;  ///< one per part, or empty for float32
  std::uint32_t product = 0;                         ///< equal for branches that agree up to their periphery
};

struct ExecutorOptions {
  /// Extents of the inputs without the batch where the graph leaves them free; one per input.
  std::vector<Shape> sample_shapes;
  Transforms transforms = {};  ///< one per node that insert_transforms() added
  /// Products of two activations (activation_products()) that operators may stand in for. They follow the weighted
  /// layers in layers(), in this order. InputError unless the extents of their operands are known, and the samples of a
  /// batch lie along one of their leading extents.
  std::vector<std::string> products = {};
  /// For graphs with states: the first samples of sequences, ascending. A batch begins with one of them; there, states
  /// have their initial values. Null: every batch is one sequence.
  std::shared_ptr<const std::vector<std::int64_t>> sequence_starts = {};
};

/// A compiled network: weights packed once, shapes planned per batch size, memory planned by liveness. Const and safe
/// to use from several threads. Results are bit-identical for any thread count and any way of cutting the samples into
/// batches: every output of a sample is summed in an order that depends on the graph alone.
///
/// Where the samples of a batch lie in each value is proven (sample_axis.hpp) before anything runs: by the constructor
/// where the shapes of the samples are known, else by the first run. Outputs hold the samples along their first axis,
/// [N, sample...], whatever the graph does; an output that does not depend on the samples is returned as it is.
/// A graph with BatchMode::fixed is evaluated so many samples at a time; callers see batches of any size as always. The
/// last samples are filled up with copies of the last one, which no layer's operators, observer or transform sees.
/// A graph with states is evaluated sample by sample, each of a sequence after the one before, sequences in parallel;
/// its states are no inputs of run().
class Executor {
 public:
  explicit Executor(Graph graph, ExecutorOptions options = {});
  ~Executor();
  Executor(Executor&&) noexcept;
  Executor& operator=(Executor&&) noexcept;

  const Graph& graph() const;
  /// As given, to build a changed network like this one.
  const ExecutorOptions& options() const;
  const std::vector<LinearLayer>& layers() const;

  /// Shapes of all outputs of run(), or of one layer's input and output as they lie in the graph, for a batch of
  /// `batch` samples.
  std::vector<Shape> output_shapes(std::int64_t batch) const;
  Shape layer_input_shape(std::size_t layer, std::int64_t batch) const;
  Shape layer_output_shape(std::size_t layer, std::int64_t batch) const;
  /// Shape of one sample (shape_of_sample()) of a layer's input or output. Empty with BatchMode::none.
  Shape layer_input_sample(std::size_t layer) const;
  Shape layer_output_sample(std::size_t layer) const;
  /// Where the samples lie in the value; extents of the inputs must be known.
  SampleAxis samples_of(ValueId value) const;
  /// Vectors that one sample sends through each part of a layer.
  std::int64_t vectors_per_sample(std::size_t layer) const;

  /// One tensor per graph input but those of states, batch first (integer inputs are given as whole floats), one per
  /// output back.
  /// InputError where a shape does not fit the graph; RunError that names the first node with a NaN where an output has
  /// one.
  std::vector<Tensor> run(std::span<const Tensor> inputs, const RunOptions& options = {}) const;
  /// For networks of one input: the first output.
  Tensor run(const Tensor& batch, const RunOptions& options = {}) const;

  /// For networks of one input: every network of `run` as run() would evaluate it with its operators, bit for bit. What
  /// networks share is computed once: all steps up to the first layer in which they differ, and where they differ in
  /// the periphery only, its product. Operators of the first network of those that share do the work.
  void run_branched(const Tensor& batch, const BranchedRun& run) const;

  /// Gives back the memory of weights packed for the float32 product, where they can be packed again from a file when
  /// they are next used; forgettable_bytes(): how much that may be. Not while anything runs.
  void forget_weights() const;
  std::int64_t forgettable_bytes() const;

  /// One layer alone, e.g. an analog layer fed with the float32 input that an observer recorded. `operators`: one per
  /// part, or empty for float32.
  Activation apply_linear(std::size_t layer, std::span<const LinearOperator* const> operators, const Activation& input,
                          std::uint64_t first_sample, Parallel parallel) const;
  /// The same for several branches, which share what they can.
  std::vector<Activation> apply_branches(std::size_t layer, std::span<const LayerBranch> branches,
                                         const Activation& input, std::uint64_t first_sample, Parallel parallel) const;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace tessera::nn
