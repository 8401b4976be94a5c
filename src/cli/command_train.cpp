#include <chrono>
#include <filesystem>

#include "cli/commands.hpp"
#include "cli/console_environment.hpp"
#include "cli/interrupt.hpp"
#include "cli/load.hpp"
#include "cli/progress_bar.hpp"
#include "cli/provenance.hpp"
#include "cli/training_text.hpp"
#include "tessera/core/hash.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/io/onnx_weights.hpp"
#include "tessera/random/stream.hpp"
#include "tessera/sim/train.hpp"
#include "tessera/spec/layers.hpp"

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

spec::RunConfig read_config(const TrainOptions& options, const Environment& environment) {
  config::Report report;
  spec::RunConfig config = spec::read_run_config(options.config, options.common.overrides(), &report);
  if (const std::string note = spec::unused_note(report); !note.empty()) environment.note(note);
  if (!config.training)
    throw ConfigError(
        {Problem{options.config, 0, 0, "training",
                 "the configuration has no training: section; see docs/guide/hardware_aware_training.md"}});
  if (options.common.limit) config.training->data.limit = *options.common.limit;
  return config;
}

/// What determines a training: everything but batch size, outputs and sections of other commands.
std::string training_text(spec::RunConfig config) {
  config.data.batch_size = io::DataParameters{}.batch_size;
  config.training->data.batch_size = io::DataParameters{}.batch_size;
  config.training->checkpoint_every = sim::TrainingParameters{}.checkpoint_every;
  config.output = {};
  config.evaluation = {};
  config.sweep.reset();
  config.search.reset();
  config.calibration.reset();
  return spec::resolved_text(config);
}

void train(const TrainOptions& options, const Invocation& invocation) {
  ConsoleEnvironment console(invocation.console, options.common);
  const InterruptGuard interrupt;
  const Environment environment = console.environment(interrupt.flag());
  const Parallel parallel = options.common.parallel();
  const spec::RunConfig config = read_config(options, environment);
  if (options.output.empty()) throw UsageError("where should the model go? Give -o model.h5");
  if (!options.onnx.empty() && h5::is_hdf5(config.model.file))
    throw UsageError("--onnx writes weights into a copy of model.file, which is no ONNX file here");
  const std::string curves_path = curves_file(options);

  const io::DataSet data(config.training->data);
  const io::DataSet validation(config.training->validation.data ? *config.training->validation.data : config.data);
  sim::TrainingRequest request{.model = load_prepared_model(config.model, environment),
                               .data = data,
                               .validation = validation,
                               .validation_batch_size = config.data.batch_size,
                               .parameters = *config.training,
                               .seed = config.seed,
                               .resolve = spec::layer_resolver(config),
                               .spiking = config.spiking,
                               .quantization = config.quantization,
                               .task_id = {},
                               .checkpoint = options.output + ".checkpoint"};
  if (!config.model.use_calibration) request.model.calibration.clear();
  spec::resolve_layers(config, layer_names(make_executor(request.model.graph, data.sample_shape())));
  if (options.fresh) std::filesystem::remove(request.checkpoint);

  results::TrainingCurves curves;
  curves.seed = config.seed;
  curves.rng_layout = random::rng_layout;
  curves.command = neutral_command("train", options.config, options.common);
  curves.config_text = read_text_file(options.config);
  curves.resolved_text = training_text(config);
  curves.task_id = sha256_hex(curves.resolved_text);
  if (!config.training->validation.times.empty()) curves.times = config.training->validation.times;
  curves.chips = config.training->validation.repeats;
  request.task_id = curves.task_id;

  const sim::EpochSink sink = [&](const std::vector<results::TrainingEpoch>& epochs) {
    environment.note(epoch_line(epochs, *config.training));
    curves.epochs = epochs;
    results::write_training_curves(curves, curves_path);
  };
  sim::TrainingResult result = sim::train(request, sink, parallel, environment);
  console.finish_progress();
  curves.epochs = result.epochs;
  results::write_training_curves(curves, curves_path);
  if (!result.complete)
    throw RunError(fmt::format("interrupted behind epoch {}; the same command continues from {}", result.epochs.size(),
                               request.checkpoint));
  result.model.notes["trained_by"] = curves.command;
  result.model.notes["training"] = training_note(result.epochs, *config.training);
  result.model.notes["config"] = curves.resolved_text;
  if (!options.onnx.empty())
    io::write_onnx_weights(config.model.file, result.model.graph,
                           {{"trained_by", curves.command}, {"training", result.model.notes["training"]}},
                           options.onnx);
  io::write_model(result.model, options.output);
  std::filesystem::remove(request.checkpoint);
  print_training_summary(invocation.console.out, result.epochs, *config.training, config.name);
  invocation.console.out << "\nmodel:  " << options.output << "\ncurves: " << curves_path << "\n";
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
