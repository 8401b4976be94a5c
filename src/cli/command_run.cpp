#include "cli/commands.hpp"
#include "cli/console_environment.hpp"
#include "cli/interrupt.hpp"
#include "cli/run_summary.hpp"
#include "tessera/app/simulation.hpp"
#include "tessera/core/error.hpp"

namespace tessera::cli {

namespace {

struct RunOptions {
  std::string config;
  std::string output;
  CommonOptions common;
};

void run(const RunOptions& options, const Invocation& invocation) {
  ConsoleEnvironment console(invocation.console, options.common);
  const InterruptGuard interrupt;
  const auto simulation = app::Simulation::load(options.config, options.common.overrides());
  const std::string output = !options.output.empty() ? options.output : simulation.config().output.file;
  if (output.empty()) throw UsageError("where should the results go? Give -o results.h5 or output.file");
  const app::RunResult result =
      simulation.run({output}, console.execution(invocation, options.common, interrupt.flag()));
  console.finish_progress();
  std::ostream& out = invocation.summary(options.common);
  print_run_summary(out, result.setup->request, result.evaluation, result.setup->config.name);
  out << "\nresults: " << output << "\n";
  if (!result.chips.empty()) out << "chips: " << result.chips << "\n";
  if (!result.evaluation.complete)
    throw RunError(
        fmt::format("interrupted; {} holds the {} points that were finished", output, result.evaluation.points.size()));
}

}  // namespace

void add_run_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("run", "Simulate a network on analog tiles, layer by layer");
  auto options = std::make_shared<RunOptions>();
  command->add_option("CONFIG", options->config, "Configuration file (YAML)")->required();
  command->add_option("-o,--output", options->output, "Result file (HDF5); default: output.file of the configuration");
  add_common_flags(*command, options->common);
  command->footer(
      "Example: tessera run configs/quickstart.yaml -o results.h5 --set rpu_config.forward.out_noise=0.02\n"
      "All keys: docs/formats/config.md; starting points for rpu_config: tessera help presets");
  command->callback(
      [&invocation, options] { invocation.action = [&invocation, options] { run(*options, invocation); }; });
}

}  // namespace tessera::cli
