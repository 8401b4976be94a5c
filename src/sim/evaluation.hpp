#pragma once
#include <chrono>
#include <optional>
#include <span>
#include <vector>

#include "layer_classes.hpp"
#include "tessera/sim/chip_file.hpp"
#include "tessera/sim/evaluate.hpp"

/// Private: several evaluations as one. evaluation.cpp makes chips and groups of points, evaluation_passes.cpp sends
/// batches through a group.
namespace tessera::sim {

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

/// Thrown through the executor where the user stops a pass.
struct Cancelled {};

/// One request with what belongs to it while it is evaluated.
struct Job {
  const EvaluationRequest& request;
  const EvaluationSink& sink;
  FaultMaps faults;
  StoredChips stored;
  std::size_t simulated = 0;  ///< index of the network that chips are put into
  std::optional<ProgrammedChip> chip = std::nullopt;
  std::int64_t program = -1;  ///< number of chip
  EvaluationResult result = {};
};

/// One chip of a task at one time.
struct Point {
  std::size_t task = 0;
  PointIndex index;
};

/// Points evaluated together: they share the reading of data and the float32 pass.
struct PointGroup {
  std::vector<Point> points;
  std::vector<AnalogNetwork> networks;
  std::vector<nn::LinearOverrides> overrides;
  std::vector<std::vector<std::uint32_t>> same_layer, same_product;  ///< as in nn::BranchedRun
  std::vector<PointResult> results;
  bool watched = false;  ///< counts are taken of the first samples, for warnings only
};

/// Whether the same inputs can be shown to both.
bool go_together(const EvaluationRequest& a, const EvaluationRequest& b);

class Evaluation {
 public:
  Evaluation(std::span<const EvaluationTask> tasks, Parallel parallel, const Environment& environment);
  std::vector<EvaluationResult> run();

 private:
  /// The quantized network of a task, shared with those before that have the same.
  std::size_t simulated_network(std::size_t t);
  void make_spiking_reference();
  /// As many of the points from `next` on as fit into the memory, at least one.
  PointGroup open_group(std::size_t next);
  std::int64_t program_of(const Point& point) const;
  std::optional<double> time_of(const Point& point) const;
  std::int64_t read_of(const Point& point) const {
    return point.index.repeat % tasks_[point.task].request.evaluation.read_repeats;
  }
  void number_layers(PointGroup& group, const Point& point);
  /// From the first samples, in batches of a fixed size: the same ranges whatever the batch size of the run.
  void estimate_activation_ranges(Job& task);
  /// Images, each over its time steps in a spiking network.
  Tensor read_batch(std::int64_t first, std::int64_t count) const;
  /// Number of a batch's first sample for the executor, where each time step of an image is a sample.
  std::uint64_t first_sample(std::int64_t first_image) const {
    return static_cast<std::uint64_t>(first_image * steps_);
  }
  Tensor decoded(Tensor output) const {
    return reference_network_ ? reference_network_->decode(output) : std::move(output);
  }
  /// The network that chips are put into.
  const nn::Executor& simulated(const Job& task) const;
  /// The analog layers of a chip with the digital layers that sum up in their own way.
  nn::LinearOverrides overrides_of(std::size_t t, const AnalogNetwork& network) const;
  /// The two networks may store a value in different order.
  void add_error(ErrorMeasures& error, const nn::Activation& reference, const nn::Activation& seen) const;
  void add_cumulative_error(ErrorMeasures& error, const nn::Activation& reference, const nn::Activation& seen) const;
  AnalogNetwork network_at(const PointGroup& group, const Point& point);
  void program_chip(const Point& point);
  bool run_group(PointGroup& group, bool first_group);
  /// Networks that share a product, and all before it, have their counts from the first of them, which did the work.
  void collect_counts(PointGroup& group) const;
  const EvaluationRequest& request_of(const PointGroup& group, std::size_t n) const {
    return tasks_[group.points[n].task].request;
  }
  std::size_t simulated_of(const PointGroup& group, std::size_t n) const {
    return tasks_[group.points[n].task].simulated;
  }
  /// What the counts of a task's first point say.
  void warn(const PointGroup& group, std::size_t n);
  void end_watch(PointGroup& group);
  void run_reference(PointGroup& group, const Tensor& batch, std::int64_t first, bool count_score);
  /// Each analog layer alone, fed with what the float32 network feeds it.
  void measure_isolated(PointGroup& group, const nn::LinearRecord& record, std::int64_t first);
  /// A batch through all networks of the group that stand in the same simulated network.
  void run_networks(PointGroup& group, std::size_t simulated_index, const Tensor& batch, std::int64_t first);
  /// The spikes of a batch, by network and population.
  static void count(const SpikingNetwork& network, std::span<const std::size_t> networks, const std::string& node,
                    const nn::TransformCall& call, std::vector<std::vector<SpikeCounts>>& spikes);
  void observe(PointGroup& group, const std::vector<std::size_t>& members, std::span<const std::size_t> networks,
               const nn::LinearRecord& seen, std::int64_t first);
  void close_group(PointGroup& group, bool first_group);
  static ConstMatrixView rows_of(const Tensor& output) {
    const std::int64_t rows = output.dim(0);
    return {output.data(), rows, rows > 0 ? output.size() / rows : 0};
  }
  /// `reference`: the outputs of the float32 network. The fraction of each sample's positions that are right goes to
  /// `right`, if one is given.
  void add_score(TaskScore& score, const Tensor& output, const Tensor& reference, const Tensor& input,
                 std::int64_t first, std::vector<float>* right = nullptr) const;
  /// The class of every position of a batch: its label, the next token, or what the float32 network says.
  std::vector<std::int32_t> expected_classes(const Tensor& reference, const Tensor& input, std::int64_t first,
                                             std::int64_t count) const;
  std::vector<std::int32_t> predicted(const Tensor& output) const;
  bool compares_classes() const {
    return compared_with_ == sim::Task::classification || compared_with_ == sim::Task::language_model ||
           compared_with_ == sim::Task::agreement;
  }
  bool compares_with_float32() const {
    return compared_with_ == sim::Task::language_model || compared_with_ == sim::Task::agreement;
  }
  /// Those that a request records.
  static std::vector<Tensor> recorded(const EvaluationRequest& request, std::span<const Tensor> outputs);
  static std::vector<float> as_floats(std::span<const std::int32_t> labels);

  const EvaluationRequest& common_;  ///< for what all requests have in common
  Parallel parallel_;
  const Environment& environment_;
  std::size_t layer_count_;
  OutputKind kind_;
  sim::Task compared_with_ = sim::Task::automatic;
  ClassLayout layout_;
  TokenInput tokens_;
  Tensor reference_output_;  ///< of the batch
  Shape input_shape_;
  std::vector<Point> points_;
  LayerClasses classes_;
  bool statistics_ = false;  ///< some request wants them
  bool activity_ = false;    ///< likewise
  std::vector<Job> tasks_;
  std::vector<std::optional<QuantizedNetwork>> quantized_;  ///< by Job::simulated; none: float32
  std::vector<std::optional<SpikingNetwork>> spiking_;      ///< likewise
  std::optional<SpikingNetwork> reference_network_;         ///< where the float32 network is one of spiking neurons
  std::vector<Population> populations_;
  std::int64_t steps_ = 1;
  std::vector<nn::Activation> reference_outputs_;
  TaskScore reference_;
  double reference_seconds_ = 0.0, analog_seconds_ = 0.0;
  std::int64_t reference_samples_ = 0;
  std::int64_t done_ = 0;
  std::int64_t total_ = 0;
};

}  // namespace tessera::sim
