#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "bound_input.hpp"
#include "linear_call.hpp"
#include "plan.hpp"
#include "tessera/nn/executor.hpp"

/// What is behind nn::Executor: executor.cpp builds it and cuts a batch, executor_pass.cpp walks through a plan,
/// executor_branches.cpp does so for several networks, executor_layer.cpp evaluates one layer alone.
namespace tessera::nn {

/// Samples that are worked on together when nothing else asks for whole batches: activations of about this size (bytes)
/// stay in the second-level cache.
inline constexpr std::int64_t cache_budget = std::int64_t{768} << 10;

/// Memory of one running evaluation; kept for the next one.
struct Workspace {
  std::vector<AlignedVector<std::byte>> buffers;
  void fit(const Plan& plan);
};

using SampleAxes = std::vector<SampleAxis>;  ///< by ValueId

struct PassState {
  std::uint64_t first_sample = 0;
  std::int64_t samples = 1;  ///< that count: fewer than the plan's where they were filled up
  bool filled_up = false;
  const SampleAxes& axes;
  const LinearObserver& observer;
  std::optional<Activation> input;  ///< of a layer whose output is shown after its transform
};

/// Several networks on their way through the plan, as far as they go together; then one after the other, from copies
/// of what was computed in common.
struct BranchWalk {
  const BranchedRun& run;
  const std::vector<BoundInput>& bound;
  std::int64_t samples = 0;
  std::shared_ptr<const Plan> plan = {};
  std::shared_ptr<const SampleAxes> axes = {};
  std::vector<std::vector<std::size_t>> waiting = {};  ///< to be taken from the beginning
  std::int64_t held_bytes = 0;
  std::vector<std::size_t> shown = {};  ///< by network: nodes up to the last layer that the observer has seen
};

Tensor tensor_of(const Array& array);
bool has_nan(const float* values, std::int64_t count);
Activation activation_of(const Array& array, const SampleAxis& samples);

using OutputSink = std::function<void(const Array& output, std::size_t index)>;

class Executor::Implementation {
 public:
  Implementation(Graph graph, ExecutorOptions options);

  const Graph& graph() const { return graph_; }
  const ExecutorOptions& options() const { return options_; }
  const std::vector<LinearLayer>& layers() const { return layers_; }

  std::vector<ValueInfo> infos(std::int64_t batch) const;
  const Node& node_of(std::size_t layer) const;
  std::vector<Tensor> run(std::span<const Tensor> inputs, const RunOptions& options) const;
  std::vector<Activation> apply_branches(std::size_t layer, std::span<const LayerBranch> branches,
                                         const Activation& input, std::uint64_t first_sample, Parallel parallel) const;
  void run_branched(const Tensor& batch, const BranchedRun& run) const;
  Shape layer_shape(std::size_t layer, std::int64_t batch, bool input) const;
  Shape layer_sample(std::size_t layer, bool input) const;
  SampleAxis samples_of(ValueId value) const;
  std::int64_t vectors_per_sample(std::size_t layer) const;
  void forget_weights() const;
  std::int64_t forgettable_bytes() const;
  std::vector<Shape> output_shapes(std::int64_t batch) const;

 private:
  using PlanKey = std::pair<std::vector<Shape>, bool>;

  /// One evaluation of a weighted layer.
  struct LayerRun {
    std::size_t layer = 0;
    std::vector<SampleAxis> in = {}, out = {};  ///< of the inputs and outputs of the node
    std::uint64_t first_sample = 0;
    std::int64_t samples = 1;  ///< that count
    bool filled_up = false;    ///< the arrays hold more
    kernels::Limits limits = {};
    Parallel parallel = {};
  };

  /// Whether no extent of the inputs but the batch is free.
  bool has_known_samples() const;
  /// The caller's inputs, and the states.
  std::vector<Tensor> with_states(std::span<const Tensor> inputs) const;
  /// Where sequences begin among the groups of a batch; every group without states.
  std::vector<std::int64_t> chains(std::int64_t groups, std::uint64_t first_sample) const;
  void add_products();
  void check_weights(const LinearLayer& layer) const;
  void find_transforms();
  void check_constants() const;
  std::shared_ptr<const Plan> plan_for(const std::vector<Shape>& shapes, bool observed) const;
  std::unique_ptr<Workspace> take_workspace() const;
  void give_back(std::unique_ptr<Workspace> workspace) const;
  /// At least that large; what it holds is of no meaning.
  AlignedVector<std::byte> take_buffer(std::int64_t bytes) const;
  void give_back(AlignedVector<std::byte> buffer) const;
  /// Output shapes of run() for `batch` samples.
  std::vector<Shape> output_shapes_for(const std::vector<BoundInput>& bound, std::int64_t batch) const;
  Shape output_shape(const SampleAxis& axis, const Shape& shape, std::int64_t batch) const;
  /// Samples in one evaluation of the graph, for a batch of so many.
  std::int64_t together(std::int64_t batch) const {
    return graph_.batch == BatchMode::fixed ? graph_.samples_at_a_time : batch;
  }
  /// The sample axes for inputs of these samples; proven once.
  std::shared_ptr<const SampleAxes> axes_for(const std::vector<BoundInput>& bound) const;
  std::shared_ptr<const SampleAxes> axes_for(const std::vector<Shape>& samples) const;
  /// Samples [first, first + count) of the bound inputs in one pass over the plan.
  std::vector<Tensor> evaluate(const std::vector<BoundInput>& bound, std::int64_t first, std::int64_t count,
                               const RunOptions& options, const LinearObserver& observer) const;
  /// The memory of every slot, for samples from `first` on.
  static std::vector<Array> arrays_of(const Plan& plan, Workspace& workspace, const std::vector<BoundInput>& bound,
                                      std::int64_t first);
  /// `input`: of a layer before first_step that is shown by its transform.
  void follow(BranchWalk& walk, std::size_t first_step, std::unique_ptr<Workspace> workspace,
              std::vector<std::size_t> networks, std::optional<Activation> input = std::nullopt) const;
  /// Layer of step i, in which the lists of `parting` differ; then each of them on its own.
  void part(BranchWalk& walk, std::size_t i, std::unique_ptr<Workspace> workspace,
            const std::vector<std::vector<std::size_t>>& parting, const std::vector<Array>& in,
            const std::vector<Array>& out) const;
  /// Blocks of samples that stay in cache, each through all networks on one thread.
  void run_branched_blocks(const Tensor& batch, const BranchedRun& run, std::int64_t block) const;
  /// Every network alone: graphs of BatchMode::fixed.
  void run_apart(const Tensor& batch, const BranchedRun& run) const;
  static std::vector<Array> arrays_at(const std::vector<Array>& arrays, const std::vector<int>& slots);
  void check_operators(std::size_t layer, std::span<const LinearOperator* const> given) const;
  /// The steps of a plan; `sink` is shown the outputs.
  /// `counting`: samples of `count` that are no copies.
  void pass(const std::vector<BoundInput>& bound, std::int64_t first, std::int64_t count, std::int64_t counting,
            const RunOptions& options, const LinearObserver& observer, const OutputSink& sink,
            bool diagnose = false) const;
  /// What an observer is shown of a layer's input.
  Activation input_of(std::size_t layer, std::span<const Array> in, const SampleAxes& axes) const;
  Activation output_of(std::size_t layer, std::span<const Array> out, const SampleAxes& axes) const;
  void run_transform(std::size_t n, const Array& in, const Array& out, const RunOptions& options,
                     PassState& state) const;
  void run_step(const Step& step, const std::vector<Array>& in, const std::vector<Array>& out,
                const RunOptions& options, PassState& state) const;
  /// The layer for every branch, on the samples that count: brought into the order that its kernel wants, and back.
  void run_layer(const LayerRun& run, std::span<const Array> in, std::span<const LinearBranch> branches) const;
  LayerRun layer_run(std::size_t layer, const SampleAxes& axes) const;
  /// False for a layer that does not depend on the samples, but in the first batch: it does the same in all others.
  bool seen_again(const LayerRun& run, std::uint64_t first_sample) const;
  VectorOrder vector_order(const LayerRun& run, const Array& in, const Array& out) const;
  /// Blocks of samples that stay in cache, each through the whole network on one thread.
  std::vector<Tensor> run_blocks(const std::vector<BoundInput>& bound, std::int64_t batch,
                                 const RunOptions& options) const;
  std::int64_t bytes_per_sample(const std::vector<BoundInput>& bound) const;
  /// BatchMode::fixed: Graph::samples_at_a_time of them in each pass.
  std::vector<Tensor> run_groups(const std::vector<BoundInput>& bound, std::int64_t batch,
                                 const RunOptions& options) const;
  std::vector<Tensor> run_group(const std::vector<BoundInput>& bound, std::int64_t first, std::int64_t count,
                                const RunOptions& options, const LinearObserver& observer, bool diagnose = false) const;
  std::vector<Activation> apply_once(std::size_t layer, std::span<const LayerBranch> branches, const Activation& input,
                                     std::uint64_t first_sample, Parallel parallel) const;
  /// An output has a NaN: finds out where the first one comes from, and throws.
  [[noreturn]] void name_the_culprit(const std::vector<BoundInput>& bound, std::int64_t batch,
                                     const RunOptions& options) const;
  void diagnose_step(const Step& step, const std::vector<Array>& out) const;

  Graph graph_;
  ExecutorOptions options_;
  std::vector<LinearLayer> layers_;
  std::vector<CompiledLayer> compiled_;
  std::vector<int> layer_of_node_;
  std::vector<std::shared_ptr<const ValueTransform>> transform_of_node_;
  std::vector<int> layer_of_transform_;   ///< by node: the layer whose output it transforms, or -1
  std::vector<bool> shown_by_transform_;  ///< by layer
  mutable std::mutex mutex_;
  mutable std::map<std::vector<Shape>, std::shared_ptr<const SampleAxes>> axes_;
  mutable std::map<PlanKey, std::shared_ptr<const Plan>> plans_;
  mutable std::vector<std::unique_ptr<Workspace>> workspaces_;
  mutable std::vector<AlignedVector<std::byte>> buffers_;
};

}  // namespace tessera::nn
