#include "tessera/sim/evaluate.hpp"

#include <algorithm>
#include <chrono>
#include <optional>

#include "layer_classes.hpp"
#include "tessera/sim/chip_file.hpp"

namespace tessera::sim {

namespace {

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
};

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

/// Whether the same inputs can be shown to both.
bool go_together(const EvaluationRequest& a, const EvaluationRequest& b) {
  return a.spiking == b.spiking && (!a.spiking || a.seed == b.seed) && a.evaluation.task == b.evaluation.task &&
         a.evaluation.normal_labels == b.evaluation.normal_labels;
}

class Evaluation {
 public:
  Evaluation(std::span<const EvaluationTask> tasks, Parallel parallel, const Environment& environment)
      : common_(tasks.front().request),
        parallel_(parallel),
        environment_(environment),
        layer_count_(common_.executor.layers().size()),
        kind_(output_kind(common_.executor.graph())),
        input_shape_(fitted_sample_shape(common_.executor.graph(), common_.data.sample_shape())),
        points_(all_points(tasks)),
        classes_(requests_of(tasks)) {
    compared_with_ = task_of(common_);
    if (common_.spiking) make_spiking_reference();
    for (const EvaluationTask& task : tasks) {
      require<InputError>(go_together(task.request, common_) && &task.request.executor == &common_.executor &&
                              &task.request.data == &common_.data && task.request.batch_size == common_.batch_size,
                          "requests that are evaluated together need the same network, data and batch size");
      statistics_ |= task.request.statistics || task.request.isolated;
      tasks_.push_back({task.request, task.sink, read_fault_maps(task.request.executor, task.request.resolve),
                        StoredChips(task.request.evaluation.chips)});
      tasks_.back().simulated = simulated_network(tasks_.size() - 1);
    }
  }

  std::vector<EvaluationResult> run() {
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

 private:
  /// The quantized network of a task, shared with those before that have the same.
  std::size_t simulated_network(std::size_t t) {
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

  void make_spiking_reference() {
    populations_ = balanced_populations(common_.executor, *common_.spiking, common_.data, parallel_);
    reference_network_.emplace(common_.executor, *common_.spiking, populations_, false, common_.seed);
    steps_ = common_.spiking->steps;
  }

  /// As many of the points from `next` on as fit into the memory, at least one.
  PointGroup open_group(std::size_t next) {
    PointGroup group;
    std::int64_t bytes = 0;
    for (; next < points_.size(); ++next) {
      const Point& point = points_[next];
      number_layers(group, point);
      AnalogNetwork network = network_at(group, point);
      network.count_statistics(statistics_);
      const std::int64_t more = network.bytes();
      if (tasks_[point.task].sink.begin) tasks_[point.task].sink.begin(point.index, network);
      PointResult result;
      result.index = point.index;
      result.layers.resize(layer_count_);
      for (std::size_t l = 0; l < layer_count_; ++l) result.layers[l].analog = network.is_analog(l);
      group.overrides.push_back(overrides_of(point.task, network));
      group.networks.push_back(std::move(network));
      group.results.push_back(std::move(result));
      group.points.push_back(point);
      bytes += more;
      if (bytes + more > common_.memory_bytes) break;
    }
    return group;
  }

  std::int64_t program_of(const Point& point) const {
    const EvaluationRequest& request = tasks_[point.task].request;
    return request.first_program + point.index.repeat / request.evaluation.read_repeats;
  }
  std::optional<double> time_of(const Point& point) const {
    const std::vector<double>& times = tasks_[point.task].request.evaluation.times;
    return times.empty() ? std::nullopt : std::optional(times[static_cast<std::size_t>(point.index.time)]);
  }
  std::int64_t read_of(const Point& point) const {
    return point.index.repeat % tasks_[point.task].request.evaluation.read_repeats;
  }

  void number_layers(PointGroup& group, const Point& point) {
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

  /// From the first samples, in batches of a fixed size: the same ranges whatever the batch size of the run.
  void estimate_activation_ranges(Job& task) {
    constexpr std::int64_t most_samples = 512;
    constexpr std::int64_t batch = 64;
    const std::int64_t samples = std::min(most_samples, common_.data.size());
    std::vector<Tensor> batches;
    for (std::int64_t first = 0; first < samples; first += batch)
      batches.push_back(read_batch(first, std::min(batch, samples - first)));
    task.chip->estimate_activation_ranges(simulated(task), batches);
    if (task.program == task.request.first_program)
      environment_.note(
          fmt::format("ranges of the activation quantizers estimated from the first {} samples", samples));
  }

  /// Images, each over its time steps in a spiking network.
  Tensor read_batch(std::int64_t first, std::int64_t count) const {
    Shape shape = input_shape_;
    shape.insert(shape.begin(), count);
    Tensor batch = common_.data.read(first, count, parallel_).reshaped(std::move(shape));
    if (!reference_network_) return batch;
    return reference_network_->encode(batch, static_cast<std::uint64_t>(first), parallel_);
  }

  /// Number of a batch's first sample for the executor, where each time step of an image is a sample.
  std::uint64_t first_sample(std::int64_t first_image) const {
    return static_cast<std::uint64_t>(first_image * steps_);
  }
  Tensor decoded(Tensor output) const {
    return reference_network_ ? reference_network_->decode(output) : std::move(output);
  }

  /// The network that chips are put into.
  const nn::Executor& simulated(const Job& task) const {
    if (spiking_[task.simulated]) return spiking_[task.simulated]->executor();
    const std::optional<QuantizedNetwork>& quantized = quantized_[task.simulated];
    return quantized ? quantized->executor() : common_.executor;
  }

  /// The analog layers of a chip with the digital layers that sum up in their own way.
  nn::LinearOverrides overrides_of(std::size_t t, const AnalogNetwork& network) const {
    nn::LinearOverrides overrides = network.overrides();
    const std::optional<QuantizedNetwork>& quantized = quantized_[tasks_[t].simulated];
    for (std::size_t l = 0; quantized && l < layer_count_; ++l)
      if (overrides[l].empty()) overrides[l] = quantized->accumulators()[l];
    return overrides;
  }

  /// The two networks may store a value in different order.
  void add_error(ErrorMeasures& error, const nn::Activation& reference, const nn::Activation& seen) const {
    if (reference.layout == seen.layout) return add_batch(error, reference, seen, parallel_);
    add_batch(error, {nn::to_natural(reference)}, {nn::to_natural(seen)}, parallel_);
  }

  void add_cumulative_error(ErrorMeasures& error, const nn::Activation& reference, const nn::Activation& seen) const {
    if (!reference_network_) return add_error(error, reference, seen);
    add_error(error, mean_over_steps(reference, steps_), mean_over_steps(seen, steps_));
  }

  AnalogNetwork network_at(const PointGroup& group, const Point& point) {
    Job& task = tasks_[point.task];
    if (program_of(point) != task.program) program_chip(point);
    std::vector<const AnalogNetwork*> like(layer_count_, nullptr);
    for (std::size_t l = 0; l < layer_count_; ++l)
      for (std::size_t other = 0; other < group.points.size() && like[l] == nullptr; ++other)
        if (group.same_product[other][l] == group.same_product.back()[l] && group.networks[other].is_analog(l))
          like[l] = &group.networks[other];
    return task.chip->at(time_of(point), static_cast<std::uint32_t>(read_of(point)), parallel_, like);
  }

  void program_chip(const Point& point) {
    Job& task = tasks_[point.task];
    task.program = program_of(point);
    std::vector<const ProgrammedChip*> like(layer_count_, nullptr);
    for (std::size_t l = 0; l < layer_count_; ++l)
      for (std::size_t other = 0; other < point.task && like[l] == nullptr; ++other)
        if (tasks_[other].program == task.program && !tasks_[other].chip->needs_activation_ranges() &&
            classes_.product(other, l) == classes_.product(point.task, l))
          like[l] = &*tasks_[other].chip;
    task.chip.emplace(simulated(task), task.request.resolve, task.request.seed,
                      static_cast<std::uint32_t>(task.program), parallel_, task.faults, like, task.stored);
    if (task.chip->needs_activation_ranges()) estimate_activation_ranges(task);
    if (task.sink.programmed) task.sink.programmed(task.program - task.request.first_program, *task.chip);
  }

  bool run_group(PointGroup& group, bool first_group) {
    const std::int64_t samples = common_.data.size();
    const std::int64_t batch_size = std::max<std::int64_t>(1, common_.batch_size / steps_);
    for (std::int64_t first = 0; first < samples; first += batch_size) {
      if (environment_.cancelled()) return false;
      const std::int64_t count = std::min(batch_size, samples - first);
      const Tensor batch = read_batch(first, count);
      run_reference(group, batch, first, first_group);
      const auto alone = std::count_if(group.points.begin(), group.points.end(),
                                       [this](const Point& point) { return tasks_[point.task].request.isolated; });
      done_ += count * alone;
      if (alone > 0 && environment_.progress) environment_.progress(done_, total_, "images");
      try {
        for (std::size_t s = 0; s < quantized_.size(); ++s) run_networks(group, s, batch, first);
      } catch (const Cancelled&) {
        return false;
      }
    }
    collect_counts(group);
    return true;
  }

  /// Networks that share a product, and all before it, have their counts from the first of them, which did the work.
  void collect_counts(PointGroup& group) const {
    for (std::size_t n = 0; n < group.points.size(); ++n) {
      for (std::size_t l = 0; l < layer_count_; ++l) {
        std::size_t first = 0;
        const auto shares = [&](std::size_t m) {
          return simulated_of(group, m) == simulated_of(group, n) && !request_of(group, m).isolated &&
                 std::equal(group.same_layer[m].begin(), group.same_layer[m].begin() + static_cast<std::ptrdiff_t>(l),
                            group.same_layer[n].begin()) &&
                 group.same_product[m][l] == group.same_product[n][l];
        };
        while (first < n && !shares(first)) ++first;
        group.results[n].layers[l].counts = group.networks[first].statistics(l);
      }
    }
  }

  const EvaluationRequest& request_of(const PointGroup& group, std::size_t n) const {
    return tasks_[group.points[n].task].request;
  }
  std::size_t simulated_of(const PointGroup& group, std::size_t n) const {
    return tasks_[group.points[n].task].simulated;
  }

  void run_reference(PointGroup& group, const Tensor& batch, std::int64_t first, bool count_score) {
    double observed_seconds = 0.0;
    nn::RunOptions options{.first_sample = first_sample(first), .parallel = parallel_};
    const bool known = std::all_of(tasks_.begin(), tasks_.end(),
                                   [](const Job& task) { return task.request.known_reference.has_value(); });
    if (statistics_) {
      reference_outputs_.resize(layer_count_);
      options.observer = [&](const nn::LinearRecord& record) {
        const Stopwatch watch;
        reference_outputs_[record.layer] = record.output;
        measure_isolated(group, record, first);
        observed_seconds += watch.seconds();
      };
    } else if (!count_score || known) {
      return;
    }
    const Stopwatch watch;
    const nn::Executor& reference = reference_network_ ? reference_network_->executor() : common_.executor;
    const Tensor output = decoded(reference.run(batch, options));
    reference_seconds_ += watch.seconds() - observed_seconds;
    reference_samples_ += batch.dim(0) / steps_;
    if (!count_score) return;
    add_score(reference_, output, batch, first);
    for (const Job& task : tasks_)
      if (task.sink.reference_predictions) task.sink.reference_predictions(first, predicted_classes(rows_of(output)));
  }

  /// Each analog layer alone, fed with what the float32 network feeds it.
  void measure_isolated(PointGroup& group, const nn::LinearRecord& record, std::int64_t first) {
    const std::size_t layer = record.layer;
    std::vector<bool> done(group.points.size());
    for (std::size_t n = 0; n < group.points.size(); ++n) {
      const EvaluationRequest& request = request_of(group, n);
      if (done[n] || !group.networks[n].is_analog(layer) || !(request.statistics || request.isolated)) continue;
      // All that share the product, a few at a time: their outputs are in memory together.
      constexpr std::size_t most = 16;
      std::vector<std::size_t> leaders;
      std::vector<nn::LayerBranch> branches;
      for (std::size_t m = n; m < group.points.size() && branches.size() < most; ++m) {
        if (done[m] || group.same_product[m][layer] != group.same_product[n][layer] ||
            simulated_of(group, m) != simulated_of(group, n))
          continue;
        const bool known = std::any_of(leaders.begin(), leaders.end(), [&](std::size_t leader) {
          return group.same_layer[leader][layer] == group.same_layer[m][layer];
        });
        if (known) continue;
        leaders.push_back(m);
        branches.push_back({group.networks[m].operators(layer), 0});
      }
      for (const std::size_t leader : leaders) group.networks[leader].count_statistics(false);
      const std::vector<nn::Activation> alone =
          simulated(tasks_[group.points[n].task])
              .apply_branches(layer, branches, record.input, first_sample(first), parallel_);
      for (std::size_t b = 0; b < leaders.size(); ++b) {
        const std::size_t leader = leaders[b];
        group.networks[leader].count_statistics(statistics_);
        ErrorMeasures& error = group.results[leader].layers[layer].isolated;
        add_error(error, record.output, alone[b]);
        for (std::size_t m = leader; m < group.points.size(); ++m) {
          if (group.same_layer[m][layer] != group.same_layer[leader][layer] ||
              simulated_of(group, m) != simulated_of(group, leader))
            continue;
          group.results[m].layers[layer].isolated = error;
          done[m] = true;
        }
      }
    }
  }

  /// A batch through all networks of the group that stand in the same simulated network.
  void run_networks(PointGroup& group, std::size_t simulated_index, const Tensor& batch, std::int64_t first) {
    double observed_seconds = 0.0;
    nn::BranchedRun run{
        .first_sample = first_sample(first), .parallel = parallel_, .memory_bytes = common_.memory_bytes / 2};
    std::vector<std::size_t> members;
    bool observed = false;
    for (std::size_t n = 0; n < group.points.size(); ++n) {
      const EvaluationRequest& request = request_of(group, n);
      if (simulated_of(group, n) != simulated_index || request.isolated) continue;
      members.push_back(n);
      run.networks.push_back(&group.overrides[n]);
      run.same_layer.push_back(group.same_layer[n]);
      run.same_product.push_back(group.same_product[n]);
      const std::vector<bool>& record = request.record_output;
      observed |= request.statistics ||
                  (tasks_[group.points[n].task].sink.output && std::ranges::find(record, true) != record.end());
    }
    if (members.empty()) return;
    if (observed)
      run.observer = [&](std::span<const std::size_t> networks, const nn::LinearRecord& seen) {
        const Stopwatch watch;
        observe(group, members, networks, seen, first);
        observed_seconds += watch.seconds();
      };
    std::vector<std::vector<SpikeCounts>> spikes(members.size());
    if (spiking_[simulated_index])
      run.transform_observer = [&](std::span<const std::size_t> networks, const std::string& node,
                                   const nn::TransformCall& call) {
        count(*spiking_[simulated_index], networks, node, call, spikes);
      };
    run.output = [&](std::span<const std::size_t> networks, const Tensor& raw) {
      const Tensor output = decoded(raw);
      for (const std::size_t i : networks) {
        const std::size_t n = members[i];
        group.results[n].spikes.resize(spikes[i].size());
        for (std::size_t p = 0; p < spikes[i].size(); ++p) group.results[n].spikes[p] += spikes[i][p];
        const Job& task = tasks_[group.points[n].task];
        add_score(group.results[n].score, output, batch, first);
        if (task.sink.predictions)
          task.sink.predictions(group.points[n].index, first, predicted_classes(rows_of(output)));
      }
      done_ += output.dim(0) * std::ssize(networks);
      if (environment_.progress) environment_.progress(done_, total_, "images");
      if (environment_.cancelled()) throw Cancelled{};
    };
    const Stopwatch watch;
    simulated(tasks_[group.points[members.front()].task]).run_branched(batch, run);
    analog_seconds_ += watch.seconds() - observed_seconds;
    for (const std::size_t n : members) tasks_[group.points[n].task].result.analog_samples += batch.dim(0) / steps_;
  }

  /// The spikes of a batch, by network and population.
  static void count(const SpikingNetwork& network, std::span<const std::size_t> networks, const std::string& node,
                    const nn::TransformCall& call, std::vector<std::vector<SpikeCounts>>& spikes) {
    const auto found = std::ranges::find(network.spiking(), node);
    if (found == network.spiking().end()) return;
    const SpikeCounts counts = count_spikes(call, network.steps());
    for (const std::size_t i : networks) {
      spikes[i].resize(network.spiking().size());
      spikes[i][static_cast<std::size_t>(found - network.spiking().begin())] = counts;
    }
  }

  void observe(PointGroup& group, const std::vector<std::size_t>& members, std::span<const std::size_t> networks,
               const nn::LinearRecord& seen, std::int64_t first) {
    const std::size_t leader = members[networks.front()];
    ErrorMeasures error = group.results[leader].layers[seen.layer].cumulative;
    if (statistics_) add_cumulative_error(error, reference_outputs_[seen.layer], seen.output);
    for (const std::size_t i : networks) {
      const std::size_t n = members[i];
      const Job& task = tasks_[group.points[n].task];
      group.results[n].layers[seen.layer].cumulative = error;
      const std::vector<bool>& record = task.request.record_output;
      if (task.sink.output && !record.empty() && record[seen.layer])
        task.sink.output(group.points[n].index, seen.layer, first,
                         nn::to_natural(reference_network_ ? mean_over_steps(seen.output, steps_) : seen.output));
    }
  }

  void close_group(PointGroup& group, bool first_group) {
    for (Job& task : tasks_) {
      if (!first_group) break;
      const bool left_out = task.request.known_reference && !statistics_;
      task.result.reference = left_out ? *task.request.known_reference : reference_;
      if (task.sink.reference) task.sink.reference(task.result.reference);
    }
    for (std::size_t n = 0; n < group.points.size(); ++n) {
      Job& task = tasks_[group.points[n].task];
      if (task.sink.point) task.sink.point(group.results[n]);
      task.result.points.push_back(std::move(group.results[n]));
    }
  }

  static ConstMatrixView rows_of(const Tensor& output) {
    const std::int64_t rows = output.dim(0);
    return {output.data(), rows, rows > 0 ? output.size() / rows : 0};
  }

  void add_score(TaskScore& score, const Tensor& output, const Tensor& input, std::int64_t first) const {
    const std::int64_t count = output.dim(0);
    const io::DataSet& data = common_.data;
    const auto labels = data.has_labels()
                            ? data.labels().subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count))
                            : std::span<const std::int32_t>();
    switch (compared_with_) {
      case sim::Task::automatic:
        return;
      case sim::Task::classification:
        return score.add(rows_of(output), labels, kind_);
      case sim::Task::regression: {
        const Tensor targets =
            data.has_targets() ? data.read_targets(first, count) : Tensor(Shape{count, 1}, as_floats(labels));
        return score.add_targets(rows_of(output), rows_of(targets));
      }
      case sim::Task::anomaly:
        return score.add_reconstructions(rows_of(output), rows_of(input), labels, common_.evaluation.normal_labels);
    }
  }

  static std::vector<float> as_floats(std::span<const std::int32_t> labels) {
    std::vector<float> values;
    for (const std::int32_t label : labels) values.push_back(static_cast<float>(label));
    return values;
  }

  const EvaluationRequest& common_;  ///< for what all requests have in common
  Parallel parallel_;
  const Environment& environment_;
  std::size_t layer_count_;
  OutputKind kind_;
  sim::Task compared_with_ = sim::Task::automatic;
  Shape input_shape_;
  std::vector<Point> points_;
  LayerClasses classes_;
  bool statistics_ = false;  ///< some request wants them
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

}  // namespace

Task task_of(const EvaluationRequest& request) {
  const io::DataSet& data = request.data;
  Task task = request.evaluation.task;
  if (task == Task::automatic) {
    if (data.has_labels()) task = Task::classification;
    if (data.has_targets()) task = Task::regression;
  }
  const std::int64_t outputs = element_count(request.executor.output_shapes(1).at(0));
  if (task == Task::classification) {
    require<InputError>(data.has_labels(), "evaluation.task classification needs integer labels; '{}' has {}",
                        data.name(), data.has_targets() ? "real ones: set evaluation.task: regression" : "none");
    data.require_labels_below(outputs);
  } else if (task == Task::regression) {
    require<InputError>(data.has_targets() || data.has_labels(),
                        "evaluation.task regression needs labels; '{}' has none", data.name());
    const std::int64_t targets = data.has_targets() ? element_count(data.target_shape()) : 1;
    require<InputError>(targets == outputs, "the network has {} outputs, the labels of '{}' have {} values per sample",
                        outputs, data.name(), targets);
  } else if (task == Task::anomaly) {
    require<InputError>(!request.spiking, "evaluation.task anomaly does not go with spiking neurons");
    const std::int64_t inputs = element_count(data.sample_shape());
    require<InputError>(inputs == outputs,
                        "evaluation.task anomaly compares outputs with inputs: the network has {} outputs, a sample {} "
                        "values",
                        outputs, inputs);
  }
  return task;
}

OutputKind output_kind(const nn::Graph& graph) {
  const std::vector<int> producer = nn::producers(graph);
  nn::ValueId value = graph.outputs.empty() ? nn::no_value : graph.outputs.front();
  while (value != nn::no_value && producer[static_cast<std::size_t>(value)] >= 0) {
    const nn::Node& node = graph.nodes[static_cast<std::size_t>(producer[static_cast<std::size_t>(value)])];
    if (node.op == "Softmax") return OutputKind::probabilities;
    if (node.op == "LogSoftmax") return OutputKind::log_probabilities;
    if (node.op != "Identity" && node.op != "Reshape" && node.op != "Flatten") break;
    value = node.input(0);
  }
  return OutputKind::logits;
}

Shape fitted_sample_shape(const nn::Graph& graph, const Shape& sample_shape) {
  require<InputError>(graph.inputs.size() == 1,
                      "the network has {} inputs; only networks with one input can be evaluated", graph.inputs.size());
  const Shape& wanted = graph.inputs.front().shape;
  Shape fixed(wanted.begin() + (wanted.empty() ? 0 : 1), wanted.end());
  if (fixed.size() == sample_shape.size())
    for (std::size_t axis = 0; axis < fixed.size(); ++axis)
      if (fixed[axis] < 0) fixed[axis] = sample_shape[axis];
  const bool all_known = std::all_of(fixed.begin(), fixed.end(), [](std::int64_t extent) { return extent >= 0; });
  if (!all_known) {
    require<InputError>(false,
                        "the network's input has free extents and {} axes after the batch, the data's samples are {};"
                        " give data.sample_shape",
                        fixed.size(), to_string(sample_shape));
  }
  require<InputError>(
      element_count(fixed) == element_count(sample_shape),
      "the network wants samples of shape {} ({} values), the data has {} ({} values); check model.file and"
      " data.inputs, or give data.sample_shape",
      to_string(fixed), element_count(fixed), to_string(sample_shape), element_count(sample_shape));
  return fixed;
}

EvaluationResult evaluate(const EvaluationRequest& request, const EvaluationSink& sink, Parallel parallel,
                          const Environment& environment) {
  const EvaluationTask task{request, sink};
  return std::move(evaluate_together({&task, 1}, parallel, environment).front());
}

std::vector<EvaluationResult> evaluate_together(std::span<const EvaluationTask> tasks, Parallel parallel,
                                                const Environment& environment) {
  if (tasks.empty()) return {};
  const io::DataSet& data = tasks.front().request.data;
  require<InputError>(data.size() > 0, "the data set '{}' has no samples", data.name());
  std::vector<EvaluationResult> results(tasks.size());
  std::vector<bool> done(tasks.size());
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    if (done[t]) continue;
    std::vector<EvaluationTask> alike;
    std::vector<std::size_t> places;
    for (std::size_t other = t; other < tasks.size(); ++other) {
      if (!go_together(tasks[t].request, tasks[other].request)) continue;
      alike.push_back(tasks[other]);
      places.push_back(other);
      done[other] = true;
    }
    std::vector<EvaluationResult> part = Evaluation(alike, parallel, environment).run();
    for (std::size_t i = 0; i < part.size(); ++i) results[places[i]] = std::move(part[i]);
  }
  return results;
}

}  // namespace tessera::sim
