#include "cli/commands.hpp"
#include "cli/console_environment.hpp"
#include "tessera/app/simulation.hpp"
#include "tessera/spec/run_config.hpp"

namespace tessera::cli {

namespace {

struct ConfigOptions {
  std::string file;
  bool resolved = false;
  bool check = false;
  CommonOptions common;
};

void show_config(const ConfigOptions& options, const Invocation& invocation) {
  ConsoleEnvironment console(invocation.console, options.common);
  const app::Execution execution = console.execution(invocation, options.common);
  if (options.check) {
    app::Simulation::load(options.file, options.common.overrides()).check(execution);
    invocation.console.out << options.file << ": ok\n";
    return;
  }
  config::Report report;
  const spec::RunConfig config = spec::read_run_config(options.file, options.common.overrides(), &report);
  if (const std::string note = spec::unused_note(report); !note.empty()) execution.environment.note(note);
  invocation.console.out << spec::resolved_text(config);
}

}  // namespace

void add_config_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("config", "Check a configuration, or print it with every key and default");
  auto options = std::make_shared<ConfigOptions>();
  command->add_option("CONFIG", options->file, "Configuration file (YAML)")->required();
  CLI::Option* resolved =
      command->add_flag("--resolved", options->resolved, "Print every key with its value (the default)");
  command
      ->add_flag("--check", options->check,
                 "Only check: open model and data, pass one sample through, list every problem or say ok")
      ->excludes(resolved);
  add_override_flags(*command, options->common);
  command->footer("Example: tessera config my.yaml --set rpu_config.forward.out_noise=0.02 --resolved");
  command->callback(
      [&invocation, options] { invocation.action = [&invocation, options] { show_config(*options, invocation); }; });
}

void add_schema_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("schema", "Print the JSON Schema of configuration files, for editors");
  auto page = std::make_shared<bool>(false);
  command->add_flag("--markdown", *page, "Print the reference page of all keys instead");
  command->callback([&invocation, page] {
    invocation.action = [&invocation, page] {
      invocation.console.out << (*page ? spec::configuration_page() : spec::configuration_schema());
    };
  });
}

}  // namespace tessera::cli
