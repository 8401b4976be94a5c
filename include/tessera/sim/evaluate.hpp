#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "tessera/core/messages.hpp"
#include "tessera/io/dataset.hpp"
#include "tessera/nn/executor.hpp"
#include "tessera/sim/analog_network.hpp"
#include "tessera/sim/cost_model.hpp"
#include "tessera/sim/layer_error.hpp"
#include "tessera/sim/layer_warnings.hpp"
#include "tessera/sim/network_input.hpp"
#include "tessera/sim/quantized_network.hpp"
#include "tessera/sim/run_parameters.hpp"
#include "tessera/sim/scores.hpp"
#include "tessera/sim/spiking_network.hpp"

/// The main job: a network evaluated on programmed chips beside the float32 network, layer by layer.
namespace tessera::sim {

/// What happened in one layer of one chip. Digital layers have no counts and no isolated error.
struct LayerResult {
  bool analog = false;
  ErrorMeasures cumulative;      ///< output of the whole analog network against the float32 network
  ErrorMeasures isolated;        ///< this layer alone analog, fed with the float32 network's input
  tile::LayerStatistics counts;  ///< of the cumulative pass; without statistics, empty
  /// With EvaluationRequest::cost: mean of g+ + g- over g_max of the devices as this read finds them; of |w| without
  /// devices; none for products of two activations.
  std::optional<double> conductance_mean = {};
};

/// Which chip, when. `repeat` = program * read_repeats + read.
struct PointIndex {
  std::int64_t time = 0;  ///< index into EvaluationParameters::times
  std::int64_t repeat = 0;
  bool operator==(const PointIndex&) const = default;
};

/// One programmed chip at one time.
struct PointResult {
  PointIndex index;
  TaskScore score;                  ///< empty without labels
  ErrorMeasures output;             ///< of the network against float32; empty where no statistics are recorded
  std::vector<LayerResult> layers;  ///< by Executor::layers(); error and counts empty unless statistics are recorded
  std::vector<SpikeCounts> spikes;  ///< by SpikingNetwork::spiking(); empty without spiking neurons
};

/// Receives what is recorded, in order of samples for each chip. Any member may be empty.
struct EvaluationSink {
  std::function<void(const PointIndex& point, std::int64_t first_sample, std::span<const std::int32_t> classes)>
      predictions;
  /// Natural (ONNX) order, batch first.
  std::function<void(const PointIndex& point, std::size_t layer, std::int64_t first_sample, const Tensor& output)>
      output;
  /// The outputs of the network named in EvaluationRequest::record_network_outputs, and those of the float32 network.
  std::function<void(const PointIndex& point, std::int64_t first_sample, std::span<const Tensor> outputs)>
      network_outputs;
  std::function<void(std::int64_t first_sample, std::span<const Tensor> outputs)> reference_outputs;
  /// Of each sample the fraction of its positions that are right: that have their label, or with Task::agreement the
  /// class of the float32 network. For tasks that compare classes.
  std::function<void(const PointIndex& point, std::int64_t first_sample, std::span<const float> right)> right;
  /// Of each sample the sum of -ln p (nat) over its positions that count. For classification and language models.
  std::function<void(const PointIndex& point, std::int64_t first_sample, std::span<const double> losses)> losses;
  /// The classes and the score of the float32 network.
  std::function<void(std::int64_t first_sample, std::span<const std::int32_t> classes)> reference_predictions;
  std::function<void(const TaskScore&)> reference;
  /// Called when a chip has seen every sample.
  std::function<void(const PointResult&)> point;
  /// Called for every point before its first sample: the tiles as they are then.
  std::function<void(const PointIndex& point, const AnalogNetwork& network)> begin;
  /// Called once for every programmed chip.
  std::function<void(std::int64_t program, const ProgrammedChip& chip)> programmed;
};

/// What to evaluate. References must outlive the call.
struct EvaluationRequest {
  const nn::Executor& executor;
  const io::DataSet& data;
  std::int64_t batch_size = 128;
  std::uint64_t seed = 0;
  EvaluationParameters evaluation;
  LayerResolver resolve;
  bool statistics = true;
  std::vector<bool> record_output;  ///< by layer; may be empty
  std::vector<std::size_t> record_network_outputs =
      {};  ///< indices of nn::Graph::outputs; none without spiking neurons
  /// The float32 score, if it is known already: without statistics the float32 pass is then left out.
  std::optional<TaskScore> known_reference = std::nullopt;
  std::int64_t memory_bytes = std::int64_t{2} << 30;  ///< for chips held at the same time; at least one is
  /// Digital low precision of the simulated network (quantized_network.hpp); errors stay against float32. Its ranges
  /// are estimated on `data` before anything else.
  std::optional<QuantizationParameters> quantization = std::nullopt;
  /// The network with spiking neurons over time (spiking_network.hpp). "Float32" then is the same spiking network with
  /// float32 synapses and states; what is recorded of a layer, and its cumulative error, is the mean over the steps.
  std::optional<SpikingParameters> spiking = std::nullopt;
  /// Chips are evaluation.repeats programmings from this number on; PointIndex::repeat counts from the first of them.
  std::int64_t first_program = 0;
  /// Each layer alone, fed with the float32 network's input, and nothing else: no pass through the analog network, no
  /// score, no counts.
  bool isolated = false;
  /// What an inference costs: with it, activity is counted (unless it is assumed). Changes no other result.
  std::shared_ptr<const CostModel> cost = {};

  bool counts_activity() const { return cost && cost->parameters.activity != cost::Activity::assumed && !isolated; }
};

struct EvaluationResult {
  TaskScore reference;              ///< float32; empty without labels
  std::vector<PointResult> points;  ///< finished chips in order
  bool complete = false;            ///< false: cancelled
  double reference_seconds = 0.0;   ///< wall time of float32 passes, without statistics
  double analog_seconds = 0.0;      ///< wall time of analog passes, without statistics
  std::int64_t reference_samples = 0;
  std::int64_t analog_samples = 0;
  /// Of the first chip at the first time, by all samples, or without statistics by the first (watched_samples).
  std::vector<LayerWarning> warnings;
};

/// Runs every sample through the float32 network and through each chip. Throws InputError where data and network do not
/// fit, RunError (naming the layer) where a value stops being finite. Every number in the result and everything given
/// to the sink is independent of batch size, memory and threads. The warnings of the result go to the environment, too.
EvaluationResult evaluate(const EvaluationRequest& request, const EvaluationSink& sink, Parallel parallel,
                          const Environment& environment);

/// One of several evaluations that go together. References must outlive the call.
struct EvaluationTask {
  const EvaluationRequest& request;
  const EvaluationSink& sink;
};

/// Several requests on the same executor and data (and batch size) as one: every number is the same bit for bit as from
/// evaluate(). What they share is computed once: the float32 pass, programmed and drifted weights of layers that differ
/// in periph_quant at most, for each chip all layers up to the first that differs, and the products of layers that
/// differ in periph_quant only. Requests whose spiking neurons differ go one after the other. Wall times are divided
/// evenly.
std::vector<EvaluationResult> evaluate_together(std::span<const EvaluationTask> tasks, Parallel parallel,
                                                const Environment& environment);

/// What the request's outputs are compared with; never automatic. InputError where data and network do not fit the
/// task: labels or targets missing, too many classes, shapes that differ.
Task task_of(const EvaluationRequest& request);

/// How the evaluated output of a sample holds classes, for tasks that compare classes: labels of a sample, of shape L,
/// belong to outputs of shape [L..., classes] or [classes, L...], extents of 1 aside. With EvaluationParameters::
/// class_axis as that says; without labels classes lie along the last axis. InputError where nothing or both fit.
ClassLayout class_layout(const EvaluationRequest& request, Task task);
/// Extents of the positions of a sample that have a class each; empty for one.
Shape class_positions(const EvaluationRequest& request, Task task);

/// How the outputs of a network are to be read: probabilities after a final Softmax, else logits.
OutputKind output_kind(const nn::Graph& graph);

}  // namespace tessera::sim
