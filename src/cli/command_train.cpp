#include <filesystem>

#include "cli/commands.hpp"
#include "cli/console_environment.hpp"
#include "cli/interrupt.hpp"
#include "cli/training_text.hpp"
#include "tessera/app/simulation.hpp"
#include "tessera/core/error.hpp"

namespace tessera::cli {

namespace {

struct TrainOptions {
  std::string config;
  std::string output;
  std::string curves;
  std::string onnx;
  bool fresh = false;
  CommonOptions common;
};

/// "model.h5" -> "model.curves.h5".
std::string curves_file(const TrainOptions& options) {
  if (!options.curves.empty()) return options.curves;
  std::filesystem::path path(options.output);
  return path.replace_extension(".curves.h5").string();
}

void train(const TrainOptions& options, const Invocation& invocation) {
  ConsoleEnvironment console(invocation.console, options.common);
  const InterruptGuard interrupt;
  const auto simulation = app::Simulation::load(options.config, options.common.overrides());
  if (options.output.empty()) throw UsageError("where should the model go? Give -o model.h5");
  app::TrainingOptions wanted{options.output, curves_file(options), options.onnx, options.fresh};
  wanted.limit = options.common.limit.value_or(0);
  const app::TrainingResult result =
      simulation.train(wanted, console.execution(invocation, options.common, interrupt.flag()));
  console.finish_progress();
  if (!result.training.complete)
    throw RunError(fmt::format("interrupted behind epoch {}; the same command continues from {}",
                               result.training.epochs.size(), options.output + ".checkpoint"));
  std::ostream& out = invocation.summary(options.common);
  print_training_summary(out, result.training.epochs, *result.config.training, result.config.name);
  out << "\nmodel:  " << options.output << "\ncurves: " << wanted.curves << "\n";
}

}  // namespace

void add_train_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("train", "Train a network, in float32 and on the configured hardware");
  auto options = std::make_shared<TrainOptions>();
  command->add_option("CONFIG", options->config, "Configuration file (YAML) with a training: section")->required();
  command->add_option("-o,--output", options->output, "Model file (.h5), which `tessera run` takes as model.file");
  command->add_option("--curves", options->curves, "File of the curves (HDF5); default: beside the model, .curves.h5");
  command->add_option(
      "--onnx", options->onnx,
      "Writes the trained weights into a copy of model.file too, an ONNX file; what was learned of tiles, "
      "quantizers and neurons is in the model file only");
  command->add_flag("--fresh", options->fresh, "Start anew, even if a checkpoint of an interrupted training is there");
  add_common_flags(*command, options->common);
  command->footer(
      "Example: tessera train configs/train_hwa.yaml -o model.h5; then\n"
      "         tessera run configs/pcm_year.yaml --set model.file=model.h5 -o results.h5\n"
      "Ctrl-C leaves a checkpoint (model.h5.checkpoint); the same command continues from it, to the same bits.\n"
      "--limit holds for training and validation data; --batch-size is that of the validation, training.batch_size is\n"
      "part of the result. All keys: docs/formats/config.md; the story: docs/guide/hardware_aware_training.md");
  command->callback(
      [&invocation, options] { invocation.action = [&invocation, options] { train(*options, invocation); }; });
}

}  // namespace tessera::cli
