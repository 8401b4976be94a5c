#include "tessera/app/sweep.hpp"

#include <chrono>
#include <deque>
#include <map>
#include <tuple>
#include <utility>

#include "app/load.hpp"
#include "app/positions.hpp"
#include "app/provenance.hpp"
#include "tessera/app/simulation.hpp"
#include "tessera/core/hash.hpp"
#include "tessera/results/assemble.hpp"
#include "tessera/spec/layers.hpp"

namespace tessera::app {

namespace {

/// Networks with their calibrations and data sets of a sweep, each loaded once.
class Loaded {
 public:
  /// Before executor(): what is put on tiles in any of the points can be put there in all.
  void prepare_for(const std::vector<spec::SweepPoint>& points) {
    for (const spec::SweepPoint& point : points) configs_.push_back(&point.config);
  }

  const io::DataSet& data(io::DataParameters parameters) {
    parameters.batch_size = 1;
    for (const auto& [known, data] : data_)
      if (known == parameters) return data;
    return data_.emplace_back(parameters, io::DataSet(parameters)).second;
  }
  const nn::Executor& executor(const sim::ModelParameters& model, const io::DataSet& data,
                               const Environment& environment) {
    const Samples samples{data.sample_shape(), data.layout(), data.inputs(), data.constants(),
                          data.sequence_starts() ? *data.sequence_starts() : std::vector<std::int64_t>{}};
    for (const auto& [known, executor] : executors_)
      if (known.first == model && known.second == samples) return executor;
    return executors_.emplace_back(std::make_pair(model, samples), load_executor(model, data, environment, configs_))
        .second;
  }
  const ModelRanges& calibration(const sim::ModelParameters& model, const nn::Executor& executor) {
    const auto known = calibrations_.find({&executor, model.use_calibration});
    if (known != calibrations_.end()) return known->second;
    return calibrations_.emplace(std::pair(&executor, model.use_calibration), load_ranges(model, executor))
        .first->second;
  }

 private:
  std::vector<const spec::RunConfig*> configs_;
  std::map<std::pair<const nn::Executor*, bool>, ModelRanges> calibrations_;
  std::deque<std::pair<io::DataParameters, io::DataSet>> data_;
  using Samples = std::tuple<Shape, std::optional<io::ImageLayout>, std::vector<io::DataInput>,
                             std::vector<io::ConstantInput>, std::vector<std::int64_t>>;
  std::deque<std::pair<std::pair<sim::ModelParameters, Samples>, nn::Executor>> executors_;
};

std::vector<sim::SweepJob> make_jobs(const spec::SweepPlan& plan, Loaded& loaded, const Environment& environment) {
  std::vector<sim::SweepJob> jobs;
  FileContents contents;
  loaded.prepare_for(plan.points);
  for (const spec::SweepPoint& point : plan.points) {
    const io::DataSet& data = loaded.data(point.config.data);
    const nn::Executor& executor = loaded.executor(point.config.model, data, environment);
    const std::vector<spec::LayerConfig> layers = spec::resolve_layers(point.config, layer_names(executor));
    if (jobs.empty()) note_without_tiles(layers, executor, environment);
    if (!point.config.output.chips.empty())
      throw UsageError("output.chips is for tessera run: a sweep programs chips for every point");
    sim::SweepJob job;
    job.index = point.index;
    job.resolved_text = neutral_resolved_text(point.config);
    job.id = chip_identity(point.config, plan.isolated, contents);
    job.label = fmt::format("{}", fmt::join(point.settings, ", "));
    job.record = point.config.output.record;
    job.request = [&config = point.config, &executor, &data, isolated = plan.isolated,
                   &calibration = loaded.calibration(point.config.model, executor)] {
      sim::EvaluationRequest request = make_request(config, executor, data, calibration);
      request.isolated = isolated;
      return request;
    };
    jobs.push_back(std::move(job));
  }
  return jobs;
}

std::string task_of(const spec::SweepPlan& plan, const std::vector<sim::SweepJob>& jobs) {
  std::string all = fmt::format("repeats {}", plan.points.front().config.evaluation.repeats);
  if (plan.stop) all += fmt::format(", stop {} {}", plan.stop->half_width, plan.stop->max_repeats);
  for (const sim::SweepJob& job : jobs) all += "\n" + job.id;
  return sha256_hex(all);
}

}  // namespace

/// What all processes of a sweep know before the first point.
struct Sweep::Impl {
  spec::SweepPlan plan;
  Loaded loaded;
  std::vector<sim::SweepJob> jobs;
  results::Header header;

  Impl(const Source& source, const Environment& environment) {
    config::Report report;
    plan = spec::read_sweep(source.document, &report);
    if (const std::string note = spec::unused_note(report); !note.empty()) environment.note(note);
    jobs = make_jobs(plan, loaded, environment);
    header.command = neutral_command("sweep", source);
    header.config_text = source.text;
    header.task_id = task_of(plan, jobs);
    header.swept = plan.axes;
    header.resolved_text = neutral_resolved_text(plan.points.front().config);
    sim::describe_sweep(header, jobs, plan.stop);
  }
};

Sweep::Sweep(const Simulation& simulation, const Environment& environment)
    : impl_(with_positions(simulation.document(),
                           [&] { return std::make_unique<const Impl>(simulation.source(), environment); })) {}
Sweep::~Sweep() = default;
Sweep::Sweep(Sweep&&) noexcept = default;
Sweep& Sweep::operator=(Sweep&&) noexcept = default;

const spec::SweepPlan& Sweep::plan() const {
  return impl_->plan;
}

const std::vector<sim::SweepJob>& Sweep::jobs() const {
  return impl_->jobs;
}

SweepResult Sweep::run(const SweepOptions& given, const Execution& execution) const {
  const auto start = std::chrono::steady_clock::now();
  sim::SweepOptions options;
  if (!given.file.empty()) options.store = sim::ChipStore(sim::points_folder(given.file));
  options.shard = given.shard;
  options.shards = given.shards;
  options.share = given.share;
  options.stop = impl_->plan.stop;
  options.provenance.command = impl_->header.command;
  options.provenance.config_text = impl_->header.config_text;
  options.team = given.team;
  SweepResult result;
  result.summary = sim::run_sweep(impl_->jobs, options, execution.parallel, execution.environment);
  if (!given.team.leads) return result;

  results::Writer writer =
      given.file.empty() ? results::Writer(impl_->header) : results::Writer(given.file, impl_->header);
  sim::collect_points(writer, impl_->jobs, options);
  writer.write_runtime(make_runtime(execution, impl_->plan.points.front().config.data.batch_size, start));
  result.file = {given.file, writer.commit()};
  if (result.summary.missing == 0 && !result.summary.cancelled) options.store.remove();
  return result;
}

std::int64_t merge(const std::vector<std::string>& shards, const std::string& output) {
  return results::merge_files(shards, output);
}

}  // namespace tessera::app
