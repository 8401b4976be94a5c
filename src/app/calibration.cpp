#include "tessera/app/calibration.hpp"

#include <algorithm>

#include "app/load.hpp"
#include "app/positions.hpp"
#include "app/reading.hpp"
#include "tessera/app/simulation.hpp"
#include "tessera/core/format.hpp"
#include "tessera/sim/calibrate.hpp"
#include "tessera/sim/quantized_network.hpp"
#include "tessera/spec/layers.hpp"

namespace tessera::app {

namespace {

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

CalibrationResult calibrate(const Source& source, const Execution& execution) {
  const Environment& environment = execution.environment;
  const spec::RunConfig config = read_config(source, environment);
  const sim::InputCalibration parameters = config.calibration.value_or(sim::InputCalibration{});
  const io::DataSet data(parameters.data.value_or(config.data));
  CalibrationResult result;
  io::Model& model = result.model;
  model = load_prepared_model(config.model, data.constants(), environment);
  const spec::RunConfig* const only = &config;
  result.executor = std::make_shared<const nn::Executor>(make_executor(model.graph, data, {&only, 1}));
  const nn::Executor& executor = *result.executor;
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
  std::vector<std::string> sources;
  if (analog || !config.quantization) {
    sim::CalibrationResult found = sim::calibrate(request, execution.parallel, environment);
    result.layers = std::move(found.layers);
    for (const nn::LinearLayer& layer : executor.layers())
      if (const auto ranges = result.layers.find(layer.name); ranges != result.layers.end())
        model.calibration[layer.name] = sim::to_numbers(layer, *ranges->second);
    sources.push_back(fmt::format("{}; {} samples of {}", how(parameters), format_count(found.samples), data.name()));
  }
  if (config.quantization) {
    sim::QuantizationParameters quantization = *config.quantization;
    quantization.ranges = learned_weights(load_ranges(config.model, executor).quantizers);
    const sim::QuantizedNetwork quantized(executor, quantization, request.resolve, data, config.seed,
                                          execution.parallel);
    result.quantizers = quantized.ranges();
    for (auto& [node, numbers] : model.calibration)
      std::erase_if(numbers, [](const auto& entry) { return sim::is_quantizer_range(entry.first); });
    sim::add_numbers(quantization.ranges, model.calibration);
    sim::add_numbers(result.quantizers, model.calibration);
    const sim::CalibrationParameters& c = config.quantization->calibration;
    if (!result.quantizers.empty())
      sources.push_back(fmt::format("digital quantizers: {} samples of {}",
                                    format_count(std::min(data.size(), c.batches * c.batch_size)), data.name()));
  }
  if (sources.empty())
    throw InputError(
        "there is nothing to calibrate: no layer is analog, and quantization: gives no activation a range");
  result.source = fmt::format("{}", fmt::join(sources, "; "));
  model.notes["calibration"] = result.source;
  return result;
}

}  // namespace

CalibrationResult Simulation::calibrate(const Execution& execution) const {
  return with_positions(document(), [&] { return app::calibrate(source_, execution); });
}

}  // namespace tessera::app
