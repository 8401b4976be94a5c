#include "tessera/app/training.hpp"

#include <filesystem>

#include "app/load.hpp"
#include "app/positions.hpp"
#include "app/provenance.hpp"
#include "app/reading.hpp"
#include "app/training_text.hpp"
#include "tessera/app/simulation.hpp"
#include "tessera/core/hash.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/io/onnx_weights.hpp"
#include "tessera/random/stream.hpp"
#include "tessera/spec/layers.hpp"

namespace tessera::app {

namespace {

spec::RunConfig training_config(const Source& source, std::int64_t limit, const Environment& environment) {
  spec::RunConfig config = read_config(source, environment);
  if (!config.training)
    throw ConfigError(
        {Problem{source.name, 0, 0, "training",
                 "the configuration has no training: section; see docs/guide/hardware_aware_training.md"}});
  if (limit > 0) config.training->data.limit = limit;
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

TrainingResult train(const Source& source, const TrainingOptions& options, const Execution& execution) {
  const Environment& environment = execution.environment;
  TrainingResult outcome;
  outcome.config = training_config(source, options.limit, environment);
  const spec::RunConfig& config = outcome.config;
  if (!options.onnx.empty() && h5::is_hdf5(config.model.file))
    throw UsageError("--onnx writes weights into a copy of model.file, which is no ONNX file here");

  if (!config.model.state.empty())
    throw ConfigError("model.state",
                      "training does not follow a state from sample to sample; train on whole sequences");
  if (!config.training->data.named_inputs.empty())
    throw ConfigError("training.data.inputs",
                      "networks of several inputs can be evaluated and calibrated, not trained");
  const io::DataSet data(config.training->data);
  const io::DataSet validation(config.training->validation.data ? *config.training->validation.data : config.data);
  sim::TrainingRequest request{.model = load_prepared_model(config.model, data.constants(), environment),
                               .data = data,
                               .validation = validation,
                               .validation_batch_size = config.data.batch_size,
                               .parameters = *config.training,
                               .seed = config.seed,
                               .resolve = spec::layer_resolver(config),
                               .spiking = config.spiking,
                               .quantization = config.quantization,
                               .task_id = {},
                               .checkpoint = options.file.empty() ? "" : options.file + ".checkpoint"};
  if (!config.model.use_calibration) request.model.calibration.clear();
  spec::resolve_layers(config, layer_names(make_executor(request.model.graph, data)));
  if (options.fresh) std::filesystem::remove(request.checkpoint);

  results::TrainingCurves& curves = outcome.curves;
  curves.seed = config.seed;
  curves.rng_layout = random::rng_layout;
  curves.command = neutral_command("train", source);
  curves.config_text = source.text;
  curves.resolved_text = training_text(config);
  curves.task_id = sha256_hex(curves.resolved_text);
  if (!config.training->validation.times.empty()) curves.times = config.training->validation.times;
  curves.chips = config.training->validation.repeats;
  request.task_id = curves.task_id;

  const auto keep = [&](const std::vector<results::TrainingEpoch>& epochs) {
    curves.epochs = epochs;
    if (!options.curves.empty()) results::write_training_curves(curves, options.curves);
  };
  const sim::EpochSink sink = [&](const std::vector<results::TrainingEpoch>& epochs) {
    environment.note(epoch_line(epochs, *config.training));
    keep(epochs);
  };
  sim::TrainingResult& result = outcome.training;
  result = sim::train(request, sink, execution.parallel, environment);
  keep(result.epochs);
  if (!result.complete) return outcome;
  result.model.notes["trained_by"] = curves.command;
  result.model.notes["training"] = training_note(result.epochs, *config.training);
  result.model.notes["config"] = curves.resolved_text;
  if (!options.onnx.empty())
    io::write_onnx_weights(config.model.file, result.model.graph,
                           {{"trained_by", curves.command}, {"training", result.model.notes["training"]}},
                           options.onnx);
  if (options.file.empty()) return outcome;
  io::write_model(result.model, options.file);
  std::filesystem::remove(request.checkpoint);
  return outcome;
}

}  // namespace

TrainingResult Simulation::train(const TrainingOptions& options, const Execution& execution) const {
  return with_positions(document(), [&] { return app::train(source_, options, execution); });
}

}  // namespace tessera::app
