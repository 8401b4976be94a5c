#include "cli/calibration_text.hpp"
#include "cli/commands.hpp"
#include "cli/console_environment.hpp"
#include "cli/format.hpp"
#include "cli/interrupt.hpp"
#include "cli/load.hpp"
#include "tessera/sim/calibrate.hpp"
#include "tessera/sim/quantized_network.hpp"
#include "tessera/spec/layers.hpp"
#include "tessera/spec/run_config.hpp"

namespace tessera::cli {

namespace {

struct CalibrateOptions {
  std::string config;
  std::string output;
  CommonOptions common;
};

std::string how(const sim::InputCalibration& parameters) {
  std::string text = sim::to_string(parameters.type);
  if (parameters.type == sim::CalibrationType::CACHE_QUANTILE ||
      parameters.type == sim::CalibrationType::MOVING_QUANTILE)
    text +=
        fmt::format(", quantile {} of {}", parameters.quantile, parameters.absolute_values ? "magnitudes" : "values");
  return text;
}

/// Ranges of weights are no matter of data; those that training learned stay.
sim::QuantizerRanges learned_weights(const sim::QuantizerRanges& ranges) {
  sim::QuantizerRanges weights;
  for (const auto& [node, tensors] : ranges)
    if (const auto weight = tensors.find("weight"); weight != tensors.end()) weights[node].insert(*weight);
  return weights;
}

void calibrate(const CalibrateOptions& options, const Invocation& invocation) {
  ConsoleEnvironment console(invocation.console, options.common);
  const InterruptGuard interrupt;
  const Environment environment = console.environment(interrupt.flag());

  config::Report report;
  const spec::RunConfig config = spec::read_run_config(options.config, options.common.overrides(), &report);
  if (const std::string note = spec::unused_note(report); !note.empty()) environment.note(note);
  const sim::InputCalibration parameters = config.calibration.value_or(sim::InputCalibration{});
  const io::DataSet data(parameters.data.value_or(config.data));
  io::Model model = load_prepared_model(config.model, environment);
  const spec::RunConfig* const only = &config;
  const nn::Executor executor = make_executor(model.graph, data.sample_shape(), {&only, 1});
  const std::vector<spec::LayerConfig> layers = spec::resolve_layers(config, layer_names(executor));
  const bool analog =
      std::any_of(layers.begin(), layers.end(), [](const spec::LayerConfig& layer) { return layer.analog; });

  const sim::CalibrationRequest request{
      .executor = executor,
      .data = data,
      .seed = config.seed,
      .parameters = parameters,
      .resolve = sim::with_calibration(spec::layer_resolver(config, executor.options().products),
                                       sim::without_activation_ranges(load_ranges(config.model, executor).layers))};
  std::ostream& out = invocation.console.out;
  std::vector<std::string> sources;
  std::string tables;
  if (analog || !config.quantization) {
    const sim::CalibrationResult result = sim::calibrate(request, options.common.parallel(), environment);
    console.finish_progress();
    for (const nn::LinearLayer& layer : executor.layers())
      if (const auto found = result.layers.find(layer.name); found != result.layers.end())
        model.calibration[layer.name] = sim::to_numbers(layer, *found->second);
    sources.push_back(fmt::format("{}; {} samples of {}", how(parameters), format_count(result.samples), data.name()));
    tables = calibration_table(executor.layers(), result.layers) +
             "\n  output peak: largest tile output in front of the ADC (out_bound is its limit)\n";
  }
  if (config.quantization) {
    sim::QuantizationParameters quantization = *config.quantization;
    quantization.ranges = learned_weights(load_ranges(config.model, executor).quantizers);
    const sim::QuantizedNetwork quantized(executor, quantization, request.resolve, data, config.seed,
                                          options.common.parallel());
    const sim::QuantizerRanges ranges = quantized.ranges();
    for (auto& [node, numbers] : model.calibration)
      std::erase_if(numbers, [](const auto& entry) { return sim::is_quantizer_range(entry.first); });
    sim::add_numbers(quantization.ranges, model.calibration);
    sim::add_numbers(ranges, model.calibration);
    const sim::CalibrationParameters& c = config.quantization->calibration;
    if (!ranges.empty()) {
      sources.push_back(fmt::format("digital quantizers: {} samples of {}",
                                    format_count(std::min(data.size(), c.batches * c.batch_size)), data.name()));
      tables += (tables.empty() ? "" : "\n") + quantizer_table(ranges);
    }
  }
  if (sources.empty())
    throw InputError(
        "there is nothing to calibrate: no layer is analog, and quantization: gives no activation a range");
  const std::string source = fmt::format("{}", fmt::join(sources, "; "));
  model.notes["calibration"] = source;
  io::write_model(model, options.output);
  out << config.name << ": " << source << "\n\n"
      << tables << "\nmodel: " << options.output << "\nuse it: tessera run " << shell_quoted(options.config)
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
