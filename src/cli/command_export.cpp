#include "cli/commands.hpp"
#include "cli/console_environment.hpp"
#include "tessera/app/simulation.hpp"
#include "tessera/core/error.hpp"

namespace tessera::cli {

namespace {

struct ExportArguments {
  std::string config;
  app::CodeExportOptions codes;
  CommonOptions common;
};

void export_codes(const ExportArguments& arguments, const Invocation& invocation) {
  ConsoleEnvironment console(invocation.console, arguments.common);
  const app::CodeExport written =
      app::Simulation::load(arguments.config, arguments.common.overrides())
          .export_codes(arguments.codes, console.execution(invocation, arguments.common, nullptr));
  std::ostream& out = invocation.summary(arguments.common);
  for (const std::string& reason : written.skipped) out << "not written: " << reason << "\n";
  out << fmt::format("{} layers, {} files in {} (codes.json describes them)\n", written.layers.size(), written.files,
                     arguments.codes.directory);
}

}  // namespace

void add_export_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("export", "Codes, formats and golden vectors for the hardware's test bench");
  auto options = std::make_shared<ExportArguments>();
  command->add_option("CONFIG", options->config, "Configuration file (YAML) with a fixed-point periphery")->required();
  command->add_option("--codes", options->codes.directory, "Directory to write to: codes.json and .npy arrays")
      ->type_name("DIR")
      ->required();
  command
      ->add_option("--samples", options->codes.samples,
                   "First samples of the data that go through the network (default 1)")
      ->type_name("N");
  command->add_option("--vectors", options->codes.vectors, "Golden vectors of each layer, the first ones (default 64)")
      ->type_name("N");
  add_common_flags(*command, options->common);
  command->footer("Example: tessera export configs/fixed_point.yaml --codes codes; docs/formats/codes.md");
  command->callback(
      [&invocation, options] { invocation.action = [&invocation, options] { export_codes(*options, invocation); }; });
}

}  // namespace tessera::cli
