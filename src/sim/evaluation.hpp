#pragma once
#include <algorithm>
#include <chrono>
#include <optional>
#include <span>
#include <vector>

#include "evaluation_schedule.hpp"
#include "evaluation_scoring.hpp"
#include "simulated_networks.hpp"
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
  // Points and their chips: evaluation.cpp.

  /// As many of the points from `next` on as fit into the memory, at least one.
  PointGroup open_group(std::size_t next);
  /// From the first samples, in batches of a fixed size: the same ranges whatever the batch size of the run.
  void estimate_activation_ranges(Job& task);
  AnalogNetwork network_at(const PointGroup& group, const Point& point);
  void program_chip(const Point& point);
  /// What the counts of a task's first point say.
  void warn(const PointGroup& group, std::size_t n);
  void close_group(PointGroup& group, bool first_group);
  const EvaluationRequest& request_of(const PointGroup& group, std::size_t n) const {
    return tasks_[group.points[n].task].request;
  }
  std::size_t simulated_of(const PointGroup& group, std::size_t n) const {
    return tasks_[group.points[n].task].simulated;
  }

  // Batches through a group: evaluation_passes.cpp.

  Tensor read_batch(std::int64_t first, std::int64_t count) const;
  /// Images of a batch.
  std::int64_t batch_size() const { return std::max<std::int64_t>(1, common_.batch_size / networks_.steps()); }
  /// Number of a batch's first sample for the executor, where each time step of an image is a sample.
  std::uint64_t first_sample(std::int64_t first_image) const {
    return static_cast<std::uint64_t>(first_image * networks_.steps());
  }
  /// Whether every batch goes through the float32 network before anything is programmed: large weights are then in
  /// memory packed for it, or on tiles, and not both. Only where nothing of the two is compared.
  bool reference_goes_first() const;
  bool run_references();
  /// Of all executors, where the reference went first.
  void forget_weights() const;
  bool run_group(PointGroup& group, bool first_group);
  /// Networks that share a product, and all before it, have their counts from the first of them, which did the work.
  void collect_counts(PointGroup& group) const;
  void end_watch(PointGroup& group);
  void run_reference(PointGroup& group, const Tensor& batch, std::int64_t first, bool count_score);
  /// Each analog layer alone, fed with what the float32 network feeds it.
  void measure_isolated(PointGroup& group, const nn::LinearRecord& record, std::int64_t first);
  /// A batch through all networks of the group that stand in the same simulated network.
  void run_networks(PointGroup& group, std::size_t simulated_index, const Tensor& batch, std::int64_t first);
  void observe(PointGroup& group, const std::vector<std::size_t>& members, std::span<const std::size_t> networks,
               const nn::LinearRecord& seen, std::int64_t first);
  void add_cumulative_error(ErrorMeasures& error, const nn::Activation& reference, const nn::Activation& seen) const;

  const EvaluationRequest& common_;  ///< for what all requests have in common
  Parallel parallel_;
  const Environment& environment_;
  std::size_t layer_count_;
  Shape input_shape_;
  EvaluationScoring scoring_;
  EvaluationSchedule schedule_;
  SimulatedNetworks networks_;
  bool statistics_ = false;  ///< some request wants them
  bool activity_ = false;    ///< likewise
  bool reference_first_ = false;
  std::vector<Job> tasks_;
  std::vector<nn::Activation> reference_outputs_;
  Tensor reference_output_;  ///< of the batch
  TaskScore reference_;
  double reference_seconds_ = 0.0, analog_seconds_ = 0.0;
  std::int64_t reference_samples_ = 0;
  std::int64_t done_ = 0;
  std::int64_t total_ = 0;
};

}  // namespace tessera::sim
