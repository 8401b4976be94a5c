#include "evaluation.hpp"
#include "conductance_activity.hpp"

#include <algorithm>
#include <set>

#include "tessera/sim/layer_notes.hpp"

/// Tasks, their chips, and the points that are evaluated together.
namespace tessera::sim {

namespace {

/// All points, chip by chip, and for each chip time by time and read by read; all tasks at once.
std::vector<Point> all_points(std::span<const EvaluationTask> tasks) {
  EvaluationParameters most{.repeats = 0, .read_repeats = 0, .times = {}};
  std::int64_t times = 0;
  const auto times_of = [](const EvaluationTask& task) {
    return std::max<std::int64_t>(1, std::ssize(task.request.evaluation.times));
  };
  for (const EvaluationTask& task : tasks) {
    most.repeats = std::max(most.repeats, task.request.evaluation.repeats);
    most.read_repeats = std::max(most.read_repeats, task.request.evaluation.read_repeats);
    times = std::max(times, times_of(task));
  }
  std::vector<Point> points;
  for (std::int64_t program = 0; program < most.repeats; ++program)
    for (std::int64_t time = 0; time < times; ++time)
      for (std::int64_t read = 0; read < most.read_repeats; ++read)
        for (std::size_t t = 0; t < tasks.size(); ++t) {
          const EvaluationParameters& evaluation = tasks[t].request.evaluation;
          if (program < evaluation.repeats && time < times_of(tasks[t]) && read < evaluation.read_repeats)
            points.push_back({t, {time, program * evaluation.read_repeats + read}});
        }
  return points;
}

std::vector<const EvaluationRequest*> requests_of(std::span<const EvaluationTask> tasks) {
  std::vector<const EvaluationRequest*> requests;
  for (const EvaluationTask& task : tasks) requests.push_back(&task.request);
  return requests;
}

}  // namespace

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
      kind_(output_kind(common_.executor.graph())),
      input_shape_(fitted_sample_shape(common_.executor.graph(), common_.data)),
      points_(all_points(tasks)),
      classes_(requests_of(tasks)) {
  compared_with_ = task_of(common_);
  if (compares_classes()) layout_ = class_layout(common_, compared_with_);
  if (compared_with_ == sim::Task::language_model && !common_.data.has_labels())
    tokens_ = token_input(common_.data, layout_.positions);
  const nn::Graph& graph = common_.executor.graph();
  if (common_.spiking && !graph.states.empty())
    throw ConfigError("model.state", "a spiking network has its own states; leave model.state out");
  if (common_.spiking && !common_.record_network_outputs.empty())
    throw ConfigError("output.record.outputs",
                      "outputs of spiking networks are counts over time steps; record predictions or a tensor instead");
  if (common_.spiking) make_spiking_reference();
  for (const EvaluationTask& task : tasks) {
    require<InputError>(go_together(task.request, common_) && &task.request.executor == &common_.executor &&
                            &task.request.data == &common_.data && task.request.batch_size == common_.batch_size,
                        "requests that are evaluated together need the same network, data and batch size");
    statistics_ |= task.request.statistics || task.request.isolated;
    activity_ |= task.request.counts_activity();
    tasks_.push_back({task.request, task.sink, read_fault_maps(task.request.executor, task.request.resolve),
                      StoredChips(task.request.evaluation.chips)});
    tasks_.back().simulated = simulated_network(tasks_.size() - 1);
  }
  std::set<std::string> said;
  for (const EvaluationTask& task : tasks)
    for (const std::string& note : layer_notes(task.request.executor, task.request.resolve))
      if (said.insert(note).second) environment_.note(note);
}

std::vector<EvaluationResult> Evaluation::run() {
  total_ = common_.data.size() * std::ssize(points_);
  bool complete = true;
  for (std::size_t next = 0; next < points_.size() && complete;) {
    const bool first_group = next == 0;
    PointGroup group = open_group(next);
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

std::size_t Evaluation::simulated_network(std::size_t t) {
  const EvaluationRequest& request = tasks_[t].request;
  for (std::size_t before = 0; before < t; ++before) {
    const EvaluationRequest& other = tasks_[before].request;
    bool alike = other.quantization == request.quantization;
    if (request.quantization) alike = alike && other.seed == request.seed;
    for (std::size_t l = 0; l < layer_count_ && request.quantization; ++l)
      alike = alike && classes_.parameters(before, l).analog == classes_.parameters(t, l).analog;
    if (alike) return tasks_[before].simulated;
  }
  quantized_.emplace_back();
  if (request.quantization) {
    quantized_.back().emplace(request.executor, *request.quantization, request.resolve, request.data, request.seed,
                              parallel_);
    for (const std::string& note : quantized_.back()->notes()) environment_.note(note);
  }
  spiking_.emplace_back();
  if (request.spiking) {
    if (quantized_.back() && quantized_.back()->has_ranges())
      throw ConfigError("spiking",
                        "activations cannot have quantizers with ranges in a spiking network; give the neurons a "
                        "state_quant, and quantize weights only");
    const nn::Executor& network = quantized_.back() ? quantized_.back()->executor() : request.executor;
    spiking_.back().emplace(network, *request.spiking, populations_, true, request.seed);
  }
  return quantized_.size() - 1;
}

void Evaluation::make_spiking_reference() {
  populations_ = balanced_populations(common_.executor, *common_.spiking, common_.data, parallel_);
  reference_network_.emplace(common_.executor, *common_.spiking, populations_, false, common_.seed);
  steps_ = common_.spiking->steps;
}

PointGroup Evaluation::open_group(std::size_t next) {
  PointGroup group;
  group.watched = next == 0 && !statistics_;
  std::int64_t bytes = 0;
  for (; next < points_.size(); ++next) {
    const Point& point = points_[next];
    number_layers(group, point);
    AnalogNetwork network = network_at(group, point);
    network.count_statistics(statistics_ || activity_ || group.watched);
    network.count_activity(activity_);
    const std::int64_t more = network.bytes();
    if (tasks_[point.task].sink.begin) tasks_[point.task].sink.begin(point.index, network);
    PointResult result;
    result.index = point.index;
    result.layers.resize(layer_count_);
    for (std::size_t l = 0; l < layer_count_; ++l) {
      result.layers[l].analog = network.is_analog(l);
      if (tasks_[point.task].request.counts_activity() && network.is_analog(l))
        result.layers[l].conductance_mean = conductance_mean(*tasks_[point.task].chip, network, l, time_of(point),
                                                             static_cast<std::uint32_t>(read_of(point)), parallel_);
    }
    group.overrides.push_back(overrides_of(point.task, network));
    group.networks.push_back(std::move(network));
    group.results.push_back(std::move(result));
    group.points.push_back(point);
    bytes += more;
    if (bytes + more > common_.memory_bytes) break;
  }
  return group;
}

void Evaluation::number_layers(PointGroup& group, const Point& point) {
  std::vector<std::uint32_t> layers, products;
  for (std::size_t l = 0; l < layer_count_; ++l) {
    const auto number = [&](std::uint32_t of) {
      return classes_.at(point.task, l, of, program_of(point), time_of(point), read_of(point));
    };
    layers.push_back(number(classes_.whole(point.task, l)));
    products.push_back(number(classes_.product(point.task, l)));
  }
  group.same_layer.push_back(std::move(layers));
  group.same_product.push_back(std::move(products));
}

void Evaluation::estimate_activation_ranges(Job& task) {
  constexpr std::int64_t most_samples = 512;
  constexpr std::int64_t batch = 64;
  const std::int64_t samples = std::min(most_samples, common_.data.size());
  std::vector<Tensor> batches;
  for (std::int64_t first = 0, count = 0; first < samples; first += count) {
    count = std::min(common_.data.batch_end(first, batch), samples) - first;
    batches.push_back(read_batch(first, count));
  }
  task.chip->estimate_activation_ranges(simulated(task), batches);
  if (task.program == task.request.first_program)
    environment_.note(fmt::format("ranges of the activation quantizers{} estimated from the first {} samples",
                                  task.chip->has_output_codes() ? " and output codes" : "", samples));
}

nn::LinearOverrides Evaluation::overrides_of(std::size_t t, const AnalogNetwork& network) const {
  nn::LinearOverrides overrides = network.overrides();
  const std::optional<QuantizedNetwork>& quantized = quantized_[tasks_[t].simulated];
  for (std::size_t l = 0; quantized && l < layer_count_; ++l)
    if (overrides[l].empty()) overrides[l] = quantized->accumulators()[l];
  return overrides;
}

AnalogNetwork Evaluation::network_at(const PointGroup& group, const Point& point) {
  Job& task = tasks_[point.task];
  if (program_of(point) != task.program) program_chip(point);
  std::vector<const AnalogNetwork*> like(layer_count_, nullptr);
  for (std::size_t l = 0; l < layer_count_; ++l)
    for (std::size_t other = 0; other < group.points.size() && like[l] == nullptr; ++other)
      if (group.same_product[other][l] == group.same_product.back()[l] && group.networks[other].is_analog(l))
        like[l] = &group.networks[other];
  return task.chip->at(time_of(point), static_cast<std::uint32_t>(read_of(point)), parallel_, like);
}

void Evaluation::program_chip(const Point& point) {
  Job& task = tasks_[point.task];
  task.program = program_of(point);
  std::vector<const ProgrammedChip*> like(layer_count_, nullptr);
  for (std::size_t l = 0; l < layer_count_; ++l)
    for (std::size_t other = 0; other < point.task && like[l] == nullptr; ++other)
      if (tasks_[other].program == task.program && !tasks_[other].chip->needs_activation_ranges() &&
          classes_.product(other, l) == classes_.product(point.task, l))
        like[l] = &*tasks_[other].chip;
  task.chip.emplace(simulated(task), task.request.resolve, task.request.seed, static_cast<std::uint32_t>(task.program),
                    parallel_, task.faults, like, task.stored);
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
    for (LayerWarning& warning :
         layer_warnings(common_.executor.layers()[l].name, classes_.parameters(point.task, l), layers[l].counts))
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
