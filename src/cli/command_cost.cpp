#include "cli/commands.hpp"
#include "cli/console_environment.hpp"
#include "cli/cost_estimate.hpp"
#include "cli/cost_summary.hpp"
#include "cli/load.hpp"
#include "cli/provenance.hpp"
#include "tessera/core/hash.hpp"
#include "tessera/cost/table_text.hpp"
#include "tessera/results/writer.hpp"
#include "tessera/spec/located.hpp"

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
    const spec::RunConfig config = spec::read_run_config(arguments.config, arguments.common.overrides());
    if (config.cost) parameters = *config.cost;
  }
  invocation.console.out << cost::table_markdown(cost::component_table(parameters));
}

void write_cost(const CostArguments& arguments, const spec::RunConfig& config, const CostEstimate& estimate) {
  results::Header header = cost_header(config, estimate);
  header.command = neutral_command("cost", arguments.config, arguments.common);
  header.config_text = read_text_file(arguments.config);
  header.resolved_text = neutral_resolved_text(config);
  header.task_id = sha256_hex(header.resolved_text);
  results::Writer writer(arguments.output, std::move(header));
  results::Point point;
  point.cost = estimate.record;
  writer.write_point({}, point);
  writer.commit();
}

void cost(const CostArguments& arguments, const Invocation& invocation) {
  if (arguments.table) return print_table(arguments, invocation);
  if (arguments.config.empty()) throw UsageError("which configuration? Give CONFIG.yaml, or --table");
  ConsoleEnvironment console(invocation.console, arguments.common);
  const Environment environment = console.environment(nullptr);
  config::Report report;
  const spec::RunConfig config = spec::read_run_config(arguments.config, arguments.common.overrides(), &report);
  if (const std::string note = spec::unused_note(report); !note.empty()) environment.note(note);
  const CostEstimate estimate = estimate_cost(config, environment);
  if (!config.cost) environment.note("no cost: section: the default hardware is counted");
  print_cost_summary(invocation.console.out, estimate, config.name);
  if (arguments.output.empty()) return;
  write_cost(arguments, config, estimate);
  invocation.console.out << "\nresults: " << arguments.output << "\n";
}

void cost_with_positions(const CostArguments& arguments, const Invocation& invocation) {
  try {
    cost(arguments, invocation);
  } catch (const ConfigError& error) {
    if (arguments.config.empty()) throw;
    throw spec::located(error, spec::load_run_document(arguments.config, arguments.common.overrides()));
  }
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
  command->callback([&invocation, options] {
    invocation.action = [&invocation, options] { cost_with_positions(*options, invocation); };
  });
}

}  // namespace tessera::cli
