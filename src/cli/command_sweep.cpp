#include <chrono>
#include <deque>
#include <filesystem>
#include <utility>

#include "cli/commands.hpp"
#include "cli/console_environment.hpp"
#include "cli/format.hpp"
#include "cli/interrupt.hpp"
#include "cli/load.hpp"
#include "cli/provenance.hpp"
#include "cli/text_table.hpp"
#include "tessera/core/hash.hpp"
#include "tessera/core/statistics.hpp"
#include "tessera/results/assemble.hpp"
#include "tessera/results/reader.hpp"
#include "tessera/sim/sweep.hpp"
#include "tessera/spec/layers.hpp"
#include "tessera/spec/sweep.hpp"

namespace tessera::cli {

namespace {

struct SweepOptions {
  std::string config;
  std::string output;
  std::string shard;
  bool dry_run = false;
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

/// Networks and data sets of a sweep, each loaded once.
class Loaded {
 public:
  explicit Loaded(const Environment& environment) : environment_(environment) {}

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
        .emplace_back(std::make_pair(model, sample_shape), load_executor(model, sample_shape, environment_))
        .second;
  }

 private:
  const Environment& environment_;
  std::deque<std::pair<io::DataParameters, io::DataSet>> data_;
  std::deque<std::pair<std::pair<sim::ModelParameters, Shape>, nn::Executor>> executors_;
};

std::vector<sim::SweepJob> make_jobs(const spec::SweepPlan& plan, Loaded& loaded) {
  std::vector<sim::SweepJob> jobs;
  for (const spec::SweepPoint& point : plan.points) {
    const io::DataSet& data = loaded.data(point.config.data);
    const nn::Executor& executor = loaded.executor(point.config.model, data.sample_shape());
    spec::resolve_layers(point.config, layer_names(executor));
    if (!point.config.output.chips.empty())
      throw UsageError("output.chips is for tessera run: a sweep programs chips for every point");
    sim::SweepJob job;
    job.index = point.index;
    job.resolved_text = neutral_resolved_text(point.config);
    job.id = sha256_hex(job.resolved_text);
    job.label = fmt::format("{}", fmt::join(point.settings, ", "));
    job.record = point.config.output.record;
    job.request = [&config = point.config, &executor, &data] { return make_request(config, executor, data); };
    jobs.push_back(std::move(job));
  }
  return jobs;
}

std::string task_of(const std::vector<sim::SweepJob>& jobs) {
  std::string all;
  for (const sim::SweepJob& job : jobs) all += job.id + "\n";
  return sha256_hex(all);
}

void announce(const spec::SweepPlan& plan, const std::vector<sim::SweepJob>& jobs, std::ostream& out) {
  std::int64_t images = 0;
  for (const sim::SweepJob& job : jobs) {
    const sim::EvaluationRequest request = job.request();
    images += request.data.size() * request.evaluation.repeats * request.evaluation.read_repeats *
              std::max<std::int64_t>(1, std::ssize(request.evaluation.times));
  }
  for (const results::Axis& axis : plan.axes)
    out << "  " << axis.name << ": " << axis.size() << " values of " << axis.long_name << "\n";
  out << "  " << format_count(std::ssize(plan.points)) << " points, " << format_count(images)
      << " images through analog networks\n";
}

void print_sweep_summary(const std::string& file, std::ostream& out) {
  const results::Reader reader(file);
  if (!reader.has("/accuracy")) return;
  const results::NamedArray accuracy = reader.read("/accuracy");
  const std::vector<results::Axis> axes = reader.axes();
  TextTable table;
  for (std::size_t a = 0; a < reader.swept_axes(); ++a) table.add_column(axes[a].name);
  for (const char* heading : {"accuracy", "± 95 %"}) table.add_column(heading);
  std::int64_t each = 1;
  for (std::size_t a = reader.swept_axes(); a < accuracy.shape.size(); ++a) each *= accuracy.shape[a];
  const std::int64_t points = each > 0 ? std::ssize(accuracy.values) / each : 0;
  constexpr std::int64_t most_rows = 200;
  for (std::int64_t i = 0; i < std::min(points, most_rows); ++i) {
    std::vector<std::string> cells(reader.swept_axes());
    std::int64_t rest = i;
    for (std::size_t a = reader.swept_axes(); a-- > 0;) {
      const auto at = static_cast<std::size_t>(rest % axes[a].size());
      cells[a] = std::visit([at](const auto& values) { return fmt::format("{}", values[at]); }, axes[a].values);
      rest /= axes[a].size();
    }
    Moments moments;
    for (std::int64_t r = 0; r < each; ++r) moments.add(accuracy.values[static_cast<std::size_t>(i * each + r)]);
    cells.push_back(format_percent(moments.mean()));
    cells.push_back(format_percent(moments.confidence_95()));
    table.add_row(std::move(cells));
  }
  out << table.text();
  if (points > most_rows) out << "  ... and " << format_count(points - most_rows) << " more\n";
}

void sweep(const SweepOptions& options, const Invocation& invocation) {
  const auto start = std::chrono::steady_clock::now();
  ConsoleEnvironment console(invocation.console, options.common);
  const InterruptGuard interrupt;
  const Environment environment = console.environment(interrupt.flag());
  const auto [shard, shards] = parse_shard(options.shard);

  config::Report report;
  const spec::SweepPlan plan = spec::read_sweep(options.config, options.common.overrides(), &report);
  if (const std::string note = spec::unused_note(report); !note.empty()) environment.note(note);
  Loaded loaded(environment);
  const std::vector<sim::SweepJob> jobs = make_jobs(plan, loaded);
  if (!options.common.quiet || options.dry_run)
    announce(plan, jobs, options.dry_run ? invocation.console.out : invocation.console.err);
  if (options.dry_run) return;
  if (options.output.empty()) throw UsageError("where should the results go? Give -o sweep.h5");

  results::Header header;
  header.command = neutral_command("sweep", options.config, options.common);
  header.config_text = read_text_file(options.config);
  header.task_id = task_of(jobs);
  results::Header whole = header;
  whole.swept = plan.axes;
  spec::RunConfig first = plan.points.front().config;
  whole.resolved_text = neutral_resolved_text(first);
  sim::describe_sweep(whole, jobs);

  const std::string folder = sim::points_folder(options.output);
  const Parallel parallel = options.common.parallel();
  const sim::SweepSummary summary = sim::run_sweep(jobs, folder, shard, shards, header, parallel, environment);
  console.finish_progress();

  results::Writer writer(options.output, std::move(whole));
  sim::collect_points(writer, jobs, folder);
  writer.write_runtime(make_runtime(invocation, parallel, plan.points.front().config.data.batch_size, start));
  writer.commit();
  if (summary.missing == 0 && !summary.cancelled) std::filesystem::remove_all(folder);
  print_sweep_summary(options.output, invocation.console.out);
  invocation.console.out << "\n  " << summary.computed << " points computed, " << summary.reused << " found or shared, "
                         << summary.missing << " missing\n  results: " << options.output << "\n";
  if (summary.cancelled)
    throw RunError(fmt::format("interrupted; the same command continues with the points kept in {}", folder));
}

struct MergeOptions {
  std::vector<std::string> files;
  std::string output;
};

}  // namespace

void add_sweep_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command =
      app.add_subcommand("sweep", "Run every point of the sweep: section; continues where it was killed");
  auto options = std::make_shared<SweepOptions>();
  command->add_option("CONFIG", options->config, "Configuration file with a sweep: section (YAML)")->required();
  command->add_option("-o,--output", options->output, "Result file (HDF5): a labelled hypercube");
  command->add_option("--shard", options->shard, "Compute only part I of N; put the files together with tessera merge")
      ->type_name("I/N");
  command->add_flag("--dry-run", options->dry_run, "Check every point and say how many there are; compute nothing");
  add_common_flags(*command, options->common);
  command->footer("Example: tessera sweep configs/sweep_periphery.yaml -o sweep.h5; docs/guide/sweeps.md");
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
