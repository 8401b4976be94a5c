#include "tessera/sim/evaluate.hpp"

#include <algorithm>
#include <chrono>
#include <optional>

namespace tessera::sim {

namespace {

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

/// Points evaluated together: they share the reading of data and the float32 pass.
struct PointGroup {
  std::vector<AnalogNetwork> networks;
  std::vector<PointResult> points;
};

/// All points, chip by chip, and for each chip time by time and read by read.
std::vector<PointIndex> all_points(const EvaluationParameters& evaluation) {
  const std::int64_t times = std::max<std::int64_t>(1, std::ssize(evaluation.times));
  std::vector<PointIndex> points;
  for (std::int64_t program = 0; program < evaluation.repeats; ++program)
    for (std::int64_t time = 0; time < times; ++time)
      for (std::int64_t read = 0; read < evaluation.read_repeats; ++read)
        points.push_back({time, program * evaluation.read_repeats + read});
  return points;
}

class Evaluation {
 public:
  Evaluation(const EvaluationRequest& request, const EvaluationSink& sink, Parallel parallel,
             const Environment& environment)
      : request_(request),
        sink_(sink),
        parallel_(parallel),
        environment_(environment),
        layer_count_(request.executor.layers().size()),
        kind_(output_kind(request.executor.graph())),
        input_shape_(fitted_sample_shape(request.executor.graph(), request.data.sample_shape())),
        faults_(read_fault_maps(request.executor, request.resolve)) {
    const std::vector<Shape> outputs = request.executor.output_shapes(1);
    if (request.data.has_labels()) request.data.require_labels_below(element_count(outputs.at(0)));
    if (!request.quantization) return;
    quantized_.emplace(request.executor, *request.quantization, request.resolve, request.data, request.seed, parallel);
    for (const std::string& note : quantized_->notes()) environment.note(note);
  }

  EvaluationResult run() {
    const std::vector<PointIndex> points = all_points(request_.evaluation);
    total_ = request_.data.size() * std::ssize(points);
    for (std::size_t next = 0; next < points.size();) {
      const bool first_group = next == 0;
      PointGroup group = open_group(points, next);
      next += group.points.size();
      if (!run_group(group, first_group)) return std::move(result_);
      if (request_.known_reference && !request_.statistics) result_.reference = *request_.known_reference;
      if (first_group && sink_.reference) sink_.reference(result_.reference);
      for (PointResult& point : group.points) {
        if (sink_.point) sink_.point(point);
        result_.points.push_back(std::move(point));
      }
    }
    result_.complete = true;
    return std::move(result_);
  }

 private:
  /// As many of the points from `next` on as fit into the memory, at least one.
  PointGroup open_group(const std::vector<PointIndex>& points, std::size_t next) {
    PointGroup group;
    std::int64_t bytes = 0;
    for (; next < points.size(); ++next) {
      AnalogNetwork network = network_at(points[next]);
      const std::int64_t more = network.bytes();
      if (sink_.begin) sink_.begin(points[next], network);
      PointResult point;
      point.index = points[next];
      point.layers.resize(layer_count_);
      for (std::size_t l = 0; l < layer_count_; ++l) point.layers[l].analog = network.is_analog(l);
      group.networks.push_back(std::move(network));
      group.points.push_back(std::move(point));
      bytes += more;
      if (bytes + more > request_.memory_bytes) break;
    }
    return group;
  }

  /// From the first samples, in batches of a fixed size: the same ranges whatever the batch size of the run.
  void estimate_activation_ranges() {
    constexpr std::int64_t most_samples = 512;
    constexpr std::int64_t batch = 64;
    const std::int64_t samples = std::min(most_samples, request_.data.size());
    std::vector<Tensor> batches;
    for (std::int64_t first = 0; first < samples; first += batch) {
      const std::int64_t count = std::min(batch, samples - first);
      Shape shape = input_shape_;
      shape.insert(shape.begin(), count);
      batches.push_back(request_.data.read(first, count, parallel_).reshaped(std::move(shape)));
    }
    chip_->estimate_activation_ranges(simulated(), batches);
    if (programmed_ == 0)
      environment_.note(
          fmt::format("ranges of the activation quantizers estimated from the first {} samples", samples));
  }

  /// The network that chips are put into.
  const nn::Executor& simulated() const { return quantized_ ? quantized_->executor() : request_.executor; }

  /// The analog layers of a chip with the digital layers that sum up in their own way.
  nn::LinearOverrides overrides_of(const AnalogNetwork& network) const {
    nn::LinearOverrides overrides = network.overrides();
    for (std::size_t l = 0; quantized_ && l < layer_count_; ++l)
      if (overrides[l].empty()) overrides[l] = quantized_->accumulators()[l];
    return overrides;
  }

  /// The two networks may store a value in different order.
  void add_error(ErrorMeasures& error, const nn::Activation& reference, const nn::Activation& seen) const {
    if (reference.layout == seen.layout) return add_batch(error, reference, seen, parallel_);
    add_batch(error, {nn::to_natural(reference)}, {nn::to_natural(seen)}, parallel_);
  }

  AnalogNetwork network_at(const PointIndex& point) {
    const EvaluationParameters& evaluation = request_.evaluation;
    const std::int64_t program = point.repeat / evaluation.read_repeats;
    if (program != programmed_) {
      chip_.emplace(simulated(), request_.resolve, request_.seed, static_cast<std::uint32_t>(program), parallel_,
                    faults_);
      programmed_ = program;
      if (chip_->needs_activation_ranges()) estimate_activation_ranges();
      if (sink_.programmed) sink_.programmed(program, *chip_);
    }
    std::optional<double> time;
    if (!evaluation.times.empty()) time = evaluation.times[static_cast<std::size_t>(point.time)];
    return chip_->at(time, static_cast<std::uint32_t>(point.repeat % evaluation.read_repeats), parallel_);
  }

  bool run_group(PointGroup& group, bool first_group) {
    const std::int64_t samples = request_.data.size();
    for (std::int64_t first = 0; first < samples; first += request_.batch_size) {
      const std::int64_t count = std::min(request_.batch_size, samples - first);
      Tensor batch = request_.data.read(first, count, parallel_);
      Shape shape = input_shape_;
      shape.insert(shape.begin(), count);
      batch = std::move(batch).reshaped(std::move(shape));
      run_reference(group, batch, first, first_group);
      for (std::size_t chip = 0; chip < group.networks.size(); ++chip) {
        if (environment_.cancelled()) return false;
        run_chip(group.networks[chip], group.points[chip], batch, first);
        done_ += count;
        if (environment_.progress) environment_.progress(done_, total_, "images");
      }
    }
    for (std::size_t chip = 0; chip < group.networks.size(); ++chip)
      for (std::size_t l = 0; l < layer_count_; ++l)
        group.points[chip].layers[l].counts = group.networks[chip].statistics(l);
    return true;
  }

  void run_reference(PointGroup& group, const Tensor& batch, std::int64_t first, bool count_score) {
    double observed_seconds = 0.0;
    nn::RunOptions options{
        .first_sample = static_cast<std::uint64_t>(first), .parallel = parallel_, .overrides = nullptr, .observer = {}};
    if (request_.statistics) {
      reference_outputs_.resize(layer_count_);
      options.observer = [&](const nn::LinearRecord& record) {
        const Stopwatch watch;
        reference_outputs_[record.layer] = record.output;
        measure_isolated(group, record, first);
        observed_seconds += watch.seconds();
      };
    } else if (!count_score || request_.known_reference) {
      return;
    }
    const Stopwatch watch;
    const Tensor output = request_.executor.run(batch, options);
    result_.reference_seconds += watch.seconds() - observed_seconds;
    result_.reference_samples += batch.dim(0);
    if (!count_score) return;
    add_score(result_.reference, output, first);
    if (sink_.reference_predictions) sink_.reference_predictions(first, predicted_classes(rows_of(output)));
  }

  /// Each analog layer alone, fed with what the float32 network feeds it.
  void measure_isolated(PointGroup& group, const nn::LinearRecord& record, std::int64_t first) {
    for (std::size_t chip = 0; chip < group.networks.size(); ++chip) {
      AnalogNetwork& network = group.networks[chip];
      if (!network.is_analog(record.layer)) continue;
      network.count_statistics(false);
      const nn::Activation alone = simulated().apply_linear(record.layer, network.operators(record.layer), record.input,
                                                            static_cast<std::uint64_t>(first), parallel_);
      network.count_statistics(true);
      add_error(group.points[chip].layers[record.layer].isolated, record.output, alone);
    }
  }

  void run_chip(const AnalogNetwork& network, PointResult& point, const Tensor& batch, std::int64_t first) {
    double observed_seconds = 0.0;
    const nn::LinearOverrides overrides = overrides_of(network);
    nn::RunOptions options{.first_sample = static_cast<std::uint64_t>(first),
                           .parallel = parallel_,
                           .overrides = &overrides,
                           .observer = {}};
    const bool record = sink_.output && !request_.record_output.empty();
    if (request_.statistics || record) {
      options.observer = [&](const nn::LinearRecord& seen) {
        const Stopwatch watch;
        if (request_.statistics)
          add_error(point.layers[seen.layer].cumulative, reference_outputs_[seen.layer], seen.output);
        if (record && request_.record_output[seen.layer])
          sink_.output(point.index, seen.layer, first, nn::to_natural(seen.output));
        observed_seconds += watch.seconds();
      };
    }
    const Stopwatch watch;
    const Tensor output = simulated().run(batch, options);
    result_.analog_seconds += watch.seconds() - observed_seconds;
    result_.analog_samples += batch.dim(0);
    add_score(point.score, output, first);
    if (sink_.predictions) sink_.predictions(point.index, first, predicted_classes(rows_of(output)));
  }

  static ConstMatrixView rows_of(const Tensor& output) {
    const std::int64_t rows = output.dim(0);
    return {output.data(), rows, rows > 0 ? output.size() / rows : 0};
  }

  void add_score(ClassificationScore& score, const Tensor& output, std::int64_t first) const {
    if (!request_.data.has_labels()) return;
    score.add(rows_of(output),
              request_.data.labels().subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(output.dim(0))),
              kind_);
  }

  const EvaluationRequest& request_;
  const EvaluationSink& sink_;
  Parallel parallel_;
  const Environment& environment_;
  std::size_t layer_count_;
  OutputKind kind_;
  Shape input_shape_;
  FaultMaps faults_;
  std::vector<nn::Activation> reference_outputs_;
  std::optional<QuantizedNetwork> quantized_;
  EvaluationResult result_;
  std::optional<ProgrammedChip> chip_;
  std::int64_t programmed_ = -1;  ///< number of chip_
  std::int64_t done_ = 0;
  std::int64_t total_ = 0;
};

}  // namespace

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
  require<InputError>(request.data.size() > 0, "the data set '{}' has no samples", request.data.name());
  return Evaluation(request, sink, parallel, environment).run();
}

}  // namespace tessera::sim
