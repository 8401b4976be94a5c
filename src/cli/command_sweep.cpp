#include <cstdio>
#include <exception>
#include <optional>
#include <tuple>
#include <utility>

#include "cli/commands.hpp"
#include "cli/console_environment.hpp"
#include "cli/interrupt.hpp"
#include "cli/mpi_team.hpp"
#include "cli/sweep_summary.hpp"
#include "tessera/app/simulation.hpp"
#include "tessera/core/format.hpp"
#include "tessera/results/assemble.hpp"

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

std::string duration_text(double seconds) {
  if (seconds < 90.0) return fmt::format("{:.0f} s", std::max(1.0, seconds));
  if (seconds < 5400.0) return fmt::format("{:.0f} min", seconds / 60.0);
  return fmt::format("{:.1f} h", seconds / 3600.0);
}

void announce(const spec::SweepPlan& plan, const std::vector<sim::SweepJob>& jobs, std::ostream& out) {
  for (const results::Axis& axis : plan.axes)
    out << "  " << axis.name << ": " << axis.size() << " values of " << axis.long_name << "\n";
  out << "  " << format_count(std::ssize(plan.points)) << " points, " << format_count(sim::count_images(jobs))
      << (plan.isolated ? " samples through single analog layers" : " samples through analog networks");
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

void sweep(const SweepArguments& arguments, const Invocation& invocation) {
  MpiTeam team;
  const bool leads = team.rank() == 0;
  CommonOptions common = arguments.common;
  common.quiet |= !leads;
  ConsoleEnvironment console(invocation.console, common);
  const InterruptGuard interrupt;
  const app::Execution execution = console.execution(invocation, common, interrupt.flag());

  app::SweepOptions options;
  std::optional<app::Sweep> sweep;
  std::exception_ptr trouble;
  try {
    std::tie(options.shard, options.shards) = parse_shard(arguments.shard);
    sweep.emplace(app::Simulation::load(arguments.config, common.overrides()), execution.environment);
    if (arguments.output.empty() && !arguments.dry_run)
      throw UsageError("where should the results go? Give -o sweep.h5");
  } catch (...) {
    trouble = std::current_exception();
  }
  const MpiTeam::Agreement agreement = team.agree(!trouble);
  if (trouble && (leads || agreement == MpiTeam::Agreement::other_failed)) std::rethrow_exception(trouble);
  if (agreement == MpiTeam::Agreement::other_failed && leads) throw RunError("another rank could not start");
  if (agreement != MpiTeam::Agreement::all_ready) return;

  if (leads && (!common.quiet || arguments.dry_run)) {
    std::ostream& out = arguments.dry_run ? invocation.console.out : invocation.console.err;
    announce(sweep->plan(), sweep->jobs(), out);
    announce_time(sweep->jobs(), !arguments.no_share, execution.parallel, team.ranks(), out);
  }
  if (arguments.dry_run) return;

  options.file = arguments.output;
  options.share = !arguments.no_share;
  options.team = team.team();
  app::SweepResult result;
  try {
    result = sweep->run(options, execution);
  } catch (const std::exception& error) {
    if (team.ranks() > 1) invocation.console.err << "rank " << team.rank() << ": " << error.what() << std::endl;
    team.abort_if_many(static_cast<int>(ExitCode::run_failed));
    throw;
  }
  console.finish_progress();
  if (!leads) return;
  const sim::SweepSummary& summary = result.summary;
  std::ostream& out = invocation.summary(common);
  if (!common.quiet) print_sweep_summary(out, arguments.output);
  out << "\n  " << summary.computed << " points computed, " << summary.reused << " found or shared, " << summary.missing
      << " missing\n  results: " << arguments.output << "\n";
  if (summary.cancelled)
    throw RunError(fmt::format("interrupted; the same command continues with the chips kept in {}",
                               sim::points_folder(arguments.output)));
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
      const std::int64_t missing = app::merge(options->files, options->output);
      invocation.console.out << options->output << ": "
                             << (missing == 0 ? std::string("complete") : fmt::format("{} points missing", missing))
                             << "\n";
    };
  });
}

}  // namespace tessera::cli
