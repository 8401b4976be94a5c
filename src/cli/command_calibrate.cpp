#include "cli/calibration_text.hpp"
#include "cli/commands.hpp"
#include "cli/console_environment.hpp"
#include "cli/interrupt.hpp"
#include "tessera/app/simulation.hpp"
#include "tessera/core/format.hpp"
#include "tessera/io/model_file.hpp"

namespace tessera::cli {

namespace {

struct CalibrateOptions {
  std::string config;
  std::string output;
  CommonOptions common;
};

void calibrate(const CalibrateOptions& options, const Invocation& invocation) {
  ConsoleEnvironment console(invocation.console, options.common);
  const InterruptGuard interrupt;
  const auto simulation = app::Simulation::load(options.config, options.common.overrides());
  const app::CalibrationResult result =
      simulation.calibrate(console.execution(invocation, options.common, interrupt.flag()));
  console.finish_progress();
  io::write_model(result.model, options.output);
  std::string tables;
  if (!result.layers.empty())
    tables = calibration_table(result.executor->layers(), result.layers) +
             "\n  output peak: largest tile output in front of the ADC (out_bound is its limit)\n";
  if (!result.quantizers.empty()) tables += (tables.empty() ? "" : "\n") + quantizer_table(result.quantizers);
  invocation.summary(options.common) << simulation.config().name << ": " << result.source << "\n\n"
                                     << tables << "\nmodel: " << options.output << "\nuse it: tessera run "
                                     << shell_quoted(options.config)
                                     << " --set model.file=" << shell_quoted(options.output) << " -o results.h5\n";
}

}  // namespace

void add_calibrate_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command =
      app.add_subcommand("calibrate", "Find input ranges and activation ranges from data, without training");
  auto options = std::make_shared<CalibrateOptions>();
  command->add_option("CONFIG", options->config, "Configuration file (YAML); its `calibration:` section says how")
      ->required();
  command->add_option("-o,--output", options->output, "Model file (HDF5) with the ranges found")->required();
  add_common_flags(*command, options->common);
  command->footer(
      "Example: tessera calibrate configs/calibrate.yaml -o calibrated.h5 --set calibration.type=MAX\n"
      "Then:    tessera run configs/calibrate.yaml --set model.file=calibrated.h5 -o results.h5\n"
      "Guide: docs/guide/calibration.md");
  command->callback(
      [&invocation, options] { invocation.action = [&invocation, options] { calibrate(*options, invocation); }; });
}

}  // namespace tessera::cli
