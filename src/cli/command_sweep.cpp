#include <chrono>
#include <deque>
#include <exception>
#include <filesystem>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "cli/commands.hpp"
#include "cli/console_environment.hpp"
#include "cli/format.hpp"
#include "cli/interrupt.hpp"
#include "cli/load.hpp"
#include "cli/mpi_team.hpp"
#include "cli/provenance.hpp"
#include "cli/sweep_summary.hpp"
#include "tessera/core/hash.hpp"
#include "tessera/results/assemble.hpp"
#include "tessera/sim/sweep.hpp"
#include "tessera/spec/layers.hpp"
#include "tessera/spec/sweep.hpp"

namespace tessera::cli {

namespace {

struct SweepArguments {
  std::string config;
  std::string output;
  std::string shard;
  bool dry_run = false;
  bool no_share = false;
  CommonOptions common;
};

/// "2/8" -> (1, 8): this shard, counted from 0, and how many there are.
std::pair<std::int64_t, std::int64_t> parse_shard(const std::string& text) {
  if (text.empty()) return {0, 1};
  std::int64_t shard = 0;
  std::int64_t shards = 0;
  char rest = 0;
  const int fields = std::sscanf(text.c_str(), "%ld/%ld%c", &shard, &shards, &rest);
  if (fields != 2 || shard < 1 || shards < shard)
    throw UsageError(fmt::format("--shard {}: takes i/n with 1 <= i <= n, e.g. 2/8", text));
  return {shard - 1, shards};
}

/// Networks with their calibrations and data sets of a sweep, each loaded once.
class Loaded {
 public:
  explicit Loaded(const Environment& environment) : environment_(environment) {}

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
  const nn::Executor& executor(const sim::ModelParameters& model, const Shape& sample_shape) {
    for (const auto& [known, executor] : executors_)
      if (known.first == model && known.second == sample_shape) return executor;
    return executors_
        .emplace_back(std::make_pair(model, sample_shape), load_executor(model, sample_shape, environment_, configs_))
        .second;
  }
  const ModelRanges& calibration(const sim::ModelParameters& model, const nn::Executor& executor) {
    const auto known = calibrations_.find({&executor, model.use_calibration});
    if (known != calibrations_.end()) return known->second;
    return calibrations_.emplace(std::pair(&executor, model.use_calibration), load_ranges(model, executor))
        .first->second;
  }

 private:
  const Environment& environment_;
  std::vector<const spec::RunConfig*> configs_;
  std::map<std::pair<const nn::Executor*, bool>, ModelRanges> calibrations_;
  std::deque<std::pair<io::DataParameters, io::DataSet>> data_;
  std::deque<std::pair<std::pair<sim::ModelParameters, Shape>, nn::Executor>> executors_;
};

std::vector<sim::SweepJob> make_jobs(const spec::SweepPlan& plan, Loaded& loaded) {
  std::vector<sim::SweepJob> jobs;
  FileContents contents;
  loaded.prepare_for(plan.points);
  for (const spec::SweepPoint& point : plan.points) {
    const io::DataSet& data = loaded.data(point.config.data);
    const nn::Executor& executor = loaded.executor(point.config.model, data.sample_shape());
    spec::resolve_layers(point.config, layer_names(executor));
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

std::string duration_text(double seconds) {
  if (seconds < 90.0) return fmt::format("{:.0f} s", std::max(1.0, seconds));
  if (seconds < 5400.0) return fmt::format("{:.0f} min", seconds / 60.0);
  return fmt::format("{:.1f} h", seconds / 3600.0);
}

void announce(const spec::SweepPlan& plan, const std::vector<sim::SweepJob>& jobs, std::ostream& out) {
  for (const results::Axis& axis : plan.axes)
    out << "  " << axis.name << ": " << axis.size() << " values of " << axis.long_name << "\n";
  out << "  " << format_count(std::ssize(plan.points)) << " points, " << format_count(sim::count_images(jobs))
      << (plan.isolated ? " images through single analog layers" : " images through analog networks");
  if (plan.stop)
    out << " at first; further chips until ± " << plan.stop->half_width << " percentage points, at most "
        << plan.stop->max_repeats;
  out << std::endl;
}

void announce_time(const std::vector<sim::SweepJob>& jobs, bool share, Parallel parallel, int ranks,
                   std::ostream& out) {
  const double seconds = sim::estimate_seconds(jobs, share, parallel) / ranks;
  out << "  about " << duration_text(seconds) << " on " << parallel.threads
      << (parallel.threads == 1 ? " thread" : " threads");
  if (ranks > 1) out << " in each of " << ranks << " ranks";
  out << ", if nothing is there yet" << std::endl;
}

/// What all processes of a sweep know before the first point.
struct Prepared {
  spec::SweepPlan plan;
  std::vector<sim::SweepJob> jobs;
  results::Header header;
};

Prepared prepare(const SweepArguments& arguments, Loaded& loaded, const Environment& environment) {
  config::Report report;
  Prepared prepared{spec::read_sweep(arguments.config, arguments.common.overrides(), &report), {}, {}};
  const spec::SweepPlan& plan = prepared.plan;
  if (const std::string note = spec::unused_note(report); !note.empty()) environment.note(note);
  prepared.jobs = make_jobs(plan, loaded);
  if (arguments.output.empty() && !arguments.dry_run) throw UsageError("where should the results go? Give -o sweep.h5");
  results::Header& header = prepared.header;
  header.command = neutral_command("sweep", arguments.config, arguments.common);
  header.config_text = read_text_file(arguments.config);
  header.task_id = task_of(plan, prepared.jobs);
  header.swept = plan.axes;
  header.resolved_text = neutral_resolved_text(plan.points.front().config);
  sim::describe_sweep(header, prepared.jobs, plan.stop);
  return prepared;
}

void sweep(const SweepArguments& arguments, const Invocation& invocation) {
  const auto start = std::chrono::steady_clock::now();
  MpiTeam team;
  const bool leads = team.rank() == 0;
  CommonOptions common = arguments.common;
  common.quiet |= !leads;
  ConsoleEnvironment console(invocation.console, common);
  const InterruptGuard interrupt;
  const Environment environment = console.environment(interrupt.flag());

  sim::SweepOptions options;
  std::optional<Prepared> prepared;
  Loaded loaded(environment);
  std::exception_ptr trouble;
  try {
    std::tie(options.shard, options.shards) = parse_shard(arguments.shard);
    prepared.emplace(prepare(arguments, loaded, environment));
  } catch (...) {
    trouble = std::current_exception();
  }
  const MpiTeam::Agreement agreement = team.agree(!trouble);
  if (trouble && (leads || agreement == MpiTeam::Agreement::other_failed)) std::rethrow_exception(trouble);
  if (agreement == MpiTeam::Agreement::other_failed && leads) throw RunError("another rank could not start");
  if (agreement != MpiTeam::Agreement::all_ready) return;

  const auto& [plan, jobs, header] = *prepared;
  const Parallel parallel = common.parallel();
  if (leads && (!common.quiet || arguments.dry_run)) {
    std::ostream& out = arguments.dry_run ? invocation.console.out : invocation.console.err;
    announce(plan, jobs, out);
    announce_time(jobs, !arguments.no_share, parallel, team.ranks(), out);
  }
  if (arguments.dry_run) return;

  options.folder = sim::points_folder(arguments.output);
  options.share = !arguments.no_share;
  options.stop = plan.stop;
  options.provenance.command = header.command;
  options.provenance.config_text = header.config_text;
  options.team = team.team();
  sim::SweepSummary summary;
  try {
    summary = sim::run_sweep(jobs, options, parallel, environment);
  } catch (const std::exception& error) {
    if (team.ranks() > 1) invocation.console.err << "rank " << team.rank() << ": " << error.what() << std::endl;
    team.abort_if_many(static_cast<int>(ExitCode::run_failed));
    throw;
  }
  console.finish_progress();
  if (!leads) return;

  results::Writer writer(arguments.output, header);
  sim::collect_points(writer, jobs, options);
  writer.write_runtime(make_runtime(invocation, parallel, plan.points.front().config.data.batch_size, start));
  writer.commit();
  if (summary.missing == 0 && !summary.cancelled) std::filesystem::remove_all(options.folder);
  print_sweep_summary(invocation.console.out, arguments.output);
  invocation.console.out << "\n  " << summary.computed << " points computed, " << summary.reused << " found or shared, "
                         << summary.missing << " missing\n  results: " << arguments.output << "\n";
  if (summary.cancelled)
    throw RunError(fmt::format("interrupted; the same command continues with the chips kept in {}", options.folder));
}

struct MergeOptions {
  std::vector<std::string> files;
  std::string output;
};

}  // namespace

void add_sweep_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand(
      "sweep", "Run every point of the sweep: section; continues where it was killed; under mpirun all ranks work");
  auto options = std::make_shared<SweepArguments>();
  command->add_option("CONFIG", options->config, "Configuration file with a sweep: section (YAML)")->required();
  command->add_option("-o,--output", options->output, "Result file (HDF5): a labelled hypercube");
  command->add_option("--shard", options->shard, "Compute only part I of N; put the files together with tessera merge")
      ->type_name("I/N");
  command->add_flag("--dry-run", options->dry_run,
                    "Check every point, say how many there are and about how long they take; compute nothing");
  command->add_flag("--no-share", options->no_share,
                    "Compute every point on its own, also what it shares with others; never changes a result");
  add_common_flags(*command, options->common);
  command->footer("Example: tessera sweep configs/sweeps/periphery.yaml -o sweep.h5; docs/guide/sweeps.md");
  command->callback(
      [&invocation, options] { invocation.action = [&invocation, options] { sweep(*options, invocation); }; });
}

void add_merge_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("merge", "Put the result files of a sweep's shards together");
  auto options = std::make_shared<MergeOptions>();
  command->add_option("FILES", options->files, "Result files written with --shard")->required();
  command->add_option("-o,--output", options->output, "Result file of the whole sweep")->required();
  command->callback([&invocation, options] {
    invocation.action = [&invocation, options] {
      const std::int64_t missing = results::merge_files(options->files, options->output);
      invocation.console.out << options->output << ": "
                             << (missing == 0 ? std::string("complete") : fmt::format("{} points missing", missing))
                             << "\n";
    };
  });
}

}  // namespace tessera::cli
