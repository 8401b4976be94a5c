#include "cli/commands.hpp"
#include "cli/console_environment.hpp"
#include "cli/cost_summary.hpp"
#include "tessera/app/simulation.hpp"
#include "tessera/core/error.hpp"
#include "tessera/cost/table_text.hpp"

namespace tessera::cli {

namespace {

struct CostArguments {
  std::string config;
  std::string output;
  bool table = false;
  CommonOptions common;
};

void print_table(const CostArguments& arguments, const Invocation& invocation) {
  cost::CostParameters parameters;
  if (!arguments.config.empty()) {
    const spec::RunConfig config = app::Simulation::load(arguments.config, arguments.common.overrides()).config();
    if (config.cost) parameters = *config.cost;
  }
  invocation.console.out << cost::table_markdown(cost::component_table(parameters));
}

void cost(const CostArguments& arguments, const Invocation& invocation) {
  if (arguments.table) return print_table(arguments, invocation);
  if (arguments.config.empty()) throw UsageError("which configuration? Give CONFIG.yaml, or --table");
  ConsoleEnvironment console(invocation.console, arguments.common);
  const app::CostEstimate estimate =
      app::Simulation::load(arguments.config, arguments.common.overrides())
          .estimate_cost({.file = arguments.output}, console.execution(invocation, arguments.common, nullptr));
  print_cost_summary(invocation.console.out, estimate);
  if (!arguments.output.empty()) invocation.console.out << "\nresults: " << arguments.output << "\n";
}

}  // namespace

void add_cost_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("cost", "Energy, latency and area of an inference, by layer and component");
  auto options = std::make_shared<CostArguments>();
  command->add_option("CONFIG", options->config, "Configuration file (YAML); its cost: section describes the hardware");
  command->add_option("-o,--output", options->output, "Also write the numbers (HDF5)")->type_name("FILE.h5");
  command->add_flag("--table", options->table,
                    "Print the component table in force with its sources (without CONFIG: the built-in one)");
  add_override_flags(*command, options->common);
  command->footer(
      "Needs no data: activity is assumed. tessera run and sweep add what was measured.\n"
      "Example: tessera cost configs/cost.yaml --set cost.adc.columns=16; docs/guide/cost.md");
  command->callback(
      [&invocation, options] { invocation.action = [&invocation, options] { cost(*options, invocation); }; });
}

}  // namespace tessera::cli
