#include "evaluation.hpp"
#include "conductance_activity.hpp"

#include <algorithm>
#include <set>

#include "tessera/sim/layer_notes.hpp"

/// Tasks, their chips, and the points that are evaluated together.
namespace tessera::sim {

bool go_together(const EvaluationRequest& a, const EvaluationRequest& b) {
  return a.spiking == b.spiking && (!a.spiking || a.seed == b.seed) && a.evaluation.task == b.evaluation.task &&
         a.evaluation.normal_labels == b.evaluation.normal_labels &&
         a.evaluation.ignore_index == b.evaluation.ignore_index && a.evaluation.class_axis == b.evaluation.class_axis;
}

Evaluation::Evaluation(std::span<const EvaluationTask> tasks, Parallel parallel, const Environment& environment)
    : common_(tasks.front().request),
      parallel_(parallel),
      environment_(environment),
      layer_count_(common_.executor.layers().size()),
      input_shape_(fitted_sample_shape(common_.executor.graph(), common_.data)),
      scoring_(common_),
      schedule_(tasks),
      networks_(common_, parallel) {
  for (const EvaluationTask& task : tasks) {
    require<InputError>(go_together(task.request, common_) && &task.request.executor == &common_.executor &&
                            &task.request.data == &common_.data && task.request.batch_size == common_.batch_size,
                        "requests that are evaluated together need the same network, data and batch size");
    statistics_ |= task.request.statistics || task.request.isolated;
    activity_ |= task.request.counts_activity();
    tasks_.push_back({task.request, task.sink, read_fault_maps(task.request.executor, task.request.resolve),
                      StoredChips(task.request.evaluation.chips)});
    tasks_.back().simulated = networks_.add(task.request, schedule_.classes(), tasks_.size() - 1, environment_);
  }
  std::set<std::string> said;
  for (const EvaluationTask& task : tasks)
    for (const std::string& note : layer_notes(task.request.executor, task.request.resolve))
      if (said.insert(note).second) environment_.note(note);
}

std::vector<EvaluationResult> Evaluation::run() {
  total_ = common_.data.size() * std::ssize(schedule_.points());
  reference_first_ = reference_goes_first();
  bool complete = !reference_first_ || run_references();
  for (std::size_t next = 0; next < schedule_.points().size() && complete;) {
    const bool first_group = next == 0;
    forget_weights();
    PointGroup group = open_group(next);
    forget_weights();
    next += group.points.size();
    complete = run_group(group, first_group);
    if (complete) close_group(group, first_group);
  }
  std::vector<EvaluationResult> results;
  const auto share = static_cast<double>(tasks_.size());
  for (Job& task : tasks_) {
    task.result.complete = complete;
    task.result.reference_seconds = reference_seconds_ / share;
    task.result.analog_seconds = analog_seconds_ / share;
    task.result.reference_samples = reference_samples_ / std::ssize(tasks_);
    results.push_back(std::move(task.result));
  }
  return results;
}

PointGroup Evaluation::open_group(std::size_t next) {
  PointGroup group;
  group.watched = next == 0 && !statistics_;
  std::int64_t bytes = 0;
  for (; next < schedule_.points().size(); ++next) {
    const Point& point = schedule_.points()[next];
    EvaluationSchedule::Numbers numbers = schedule_.numbers(point);
    group.same_layer.push_back(std::move(numbers.layers));
    group.same_product.push_back(std::move(numbers.products));
    AnalogNetwork network = network_at(group, point);
    network.count_statistics(statistics_ || group.watched);
    network.count_activity(activity_);
    const std::int64_t more = network.bytes();
    if (tasks_[point.task].sink.begin) tasks_[point.task].sink.begin(point.index, network);
    PointResult result;
    result.index = point.index;
    result.layers.resize(layer_count_);
    for (std::size_t l = 0; l < layer_count_; ++l) {
      result.layers[l].analog = network.is_analog(l);
      if (tasks_[point.task].request.counts_activity() && network.is_analog(l))
        result.layers[l].conductance_mean =
            conductance_mean(*tasks_[point.task].chip, network, l, schedule_.time(point),
                             static_cast<std::uint32_t>(schedule_.read(point)), parallel_);
    }
    group.overrides.push_back(networks_.overrides(tasks_[point.task].simulated, network));
    group.networks.push_back(std::move(network));
    group.results.push_back(std::move(result));
    group.points.push_back(point);
    bytes += more;
    // Chips of one configuration share no work: large ones are in memory one at a time.
    if (bytes + more > common_.memory_bytes || (reference_first_ && tasks_.size() == 1)) break;
  }
  return group;
}

void Evaluation::estimate_activation_ranges(Job& task) {
  const RangeSamples samples =
      range_samples(common_.data, [&](std::int64_t first, std::int64_t count) { return read_batch(first, count); });
  task.chip->estimate_activation_ranges(networks_.executor(task.simulated), samples.batches);
  if (task.program == task.request.first_program)
    environment_.note(fmt::format("ranges of the activation quantizers{} estimated from the first {} samples",
                                  task.chip->has_output_codes() ? " and output codes" : "", samples.count));
}

AnalogNetwork Evaluation::network_at(const PointGroup& group, const Point& point) {
  Job& task = tasks_[point.task];
  if (schedule_.program(point) != task.program) program_chip(point);
  std::vector<const AnalogNetwork*> like(layer_count_, nullptr);
  for (std::size_t l = 0; l < layer_count_; ++l)
    for (std::size_t other = 0; other < group.points.size() && like[l] == nullptr; ++other)
      if (group.same_product[other][l] == group.same_product.back()[l] && group.networks[other].is_analog(l))
        like[l] = &group.networks[other];
  return task.chip->at(schedule_.time(point), static_cast<std::uint32_t>(schedule_.read(point)), parallel_, like);
}

void Evaluation::program_chip(const Point& point) {
  Job& task = tasks_[point.task];
  task.program = schedule_.program(point);
  std::vector<const ProgrammedChip*> like(layer_count_, nullptr);
  for (std::size_t l = 0; l < layer_count_; ++l)
    for (std::size_t other = 0; other < point.task && like[l] == nullptr; ++other)
      if (tasks_[other].program == task.program && !tasks_[other].chip->needs_activation_ranges() &&
          schedule_.classes().product(other, l) == schedule_.classes().product(point.task, l))
        like[l] = &*tasks_[other].chip;
  task.chip.emplace(networks_.executor(task.simulated), task.request.resolve,
                    ChipRequest{.seed = task.request.seed,
                                .repeat = static_cast<std::uint32_t>(task.program),
                                .parallel = parallel_,
                                .faults = &task.faults,
                                .like = like,
                                .stored = &task.stored});
  if (task.chip->needs_activation_ranges()) estimate_activation_ranges(task);
  if (task.program == task.request.first_program && task.chip->has_output_codes())
    for (LayerWarning& warning : scale_warnings(common_.executor.layers(), *task.chip))
      task.result.warnings.push_back(std::move(warning));
  if (task.sink.programmed) task.sink.programmed(task.program - task.request.first_program, *task.chip);
}

void Evaluation::warn(const PointGroup& group, std::size_t n) {
  const Point& point = group.points[n];
  if (point.index != PointIndex{}) return;
  const std::vector<LayerResult>& layers = group.results[n].layers;
  for (std::size_t l = 0; l < layer_count_; ++l)
    for (LayerWarning& warning : layer_warnings(common_.executor.layers()[l].name,
                                                schedule_.classes().parameters(point.task, l), layers[l].counts))
      tasks_[point.task].result.warnings.push_back(std::move(warning));
}

void Evaluation::close_group(PointGroup& group, bool first_group) {
  for (Job& task : tasks_) {
    if (!first_group) break;
    const bool left_out = task.request.known_reference && !statistics_;
    task.result.reference = left_out ? *task.request.known_reference : reference_;
    if (task.sink.reference) task.sink.reference(task.result.reference);
  }
  for (std::size_t n = 0; n < group.points.size(); ++n) {
    Job& task = tasks_[group.points[n].task];
    if (task.result.points.empty() && statistics_) warn(group, n);
    if (task.sink.point) task.sink.point(group.results[n]);
    task.result.points.push_back(std::move(group.results[n]));
  }
}

}  // namespace tessera::sim
