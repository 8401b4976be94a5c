#include "tessera/sim/layer_calibration.hpp"

#include "tessera/core/error.hpp"
#include "tessera/tile/analog_layer.hpp"

namespace tessera::sim {

void set_laws(LayerCalibration& layer, const tile::RpuParameters& parameters) {
  const auto& activation = parameters.act_quant_config;
  layer.activation.reset();
  if (activation && activation->n_bits > 0) layer.activation = range_law(tile::manager_parameters(*activation));
  layer.periphery.reset();
  if (parameters.pre_post.periph_quant.n_bits > 0 && parameters.pre_post.periph_quant.learn_quant_params)
    layer.periphery = PeripheryLaw{parameters.pre_post.periph_quant, parameters.mapping.weight_scaling_omega,
                                   parameters.mapping.weight_scaling_columnwise};
  layer.mapping.reset();
  const auto keeps_scales = [](const PartCalibration& part) {
    return std::ranges::any_of(part.state.tiles, [](const auto& tile) { return !tile.mapping_scale.empty(); });
  };
  if (std::ranges::any_of(layer.parts, keeps_scales))
    layer.mapping = MappingLaw{parameters.mapping.weight_scaling_omega, parameters.mapping.weight_scaling_columnwise};
  // Settings that were passed on are taken to be for their own width.
  if (!layer.parts.front().state.converters.empty() && layer.converter_law.empty() && parameters.crossbar)
    for (const ConverterLawKey& key : converter_law(*parameters.crossbar, true))
      layer.converter_law.push_back(key.value);
  const tile::InputRangeParameter& range = parameters.pre_post.input_range;
  const auto updated = [](const PartCalibration& part) {
    return std::ranges::any_of(part.state.tiles, [](const auto& tile) { return tile.input_range_updates > 0; });
  };
  layer.input_range_found =
      layer.type || !range.enable || range.learn_input_range || std::ranges::any_of(layer.parts, updated);
}

std::vector<ConverterLawKey> converter_law(const circuit::CrossbarParameters& p, bool for_one_width) {
  const auto number = [](auto value) { return static_cast<double>(value); };
  const bool sliced = p.core.style == circuit::CoreStyle::BITSLICED, pairs = p.has_pairs();
  const circuit::BalancedParameters balanced = pairs ? p.core.balanced : circuit::BalancedParameters{};
  return {{"core.style", number(p.core.style)},
          {"core.weight_bits", sliced ? number(p.core.weight_bits) : 0.0},
          {"core.bit_sliced.style", sliced ? number(p.core.bit_sliced.style) : 0.0},
          {"core.bit_sliced.num_slices", number(p.slices())},
          {"core.balanced.style", number(balanced.style)},
          {"core.balanced.interleaved_posneg", number(balanced.interleaved_posneg)},
          {"core.balanced.subtract_current_in_xbar", number(balanced.subtract_current_in_xbar)},
          {"core.offset.style", pairs ? 0.0 : number(p.core.offset.style)},
          {"xbar.dac.mvm.signed", number(p.dac.is_signed)},
          {"xbar.dac.mvm.input_bitslicing", number(p.dac.input_bitslicing)},
          {"xbar.dac.mvm.slice_size", p.dac.input_bitslicing ? number(p.dac.slice_size) : 0.0},
          {"xbar.adc.mvm.adc_per_ibit", number(p.adc.adc_per_ibit)},
          {"xbar.adc.mvm.bits", for_one_width ? number(p.adc.bits) : 0.0}};
}

const char* to_string(CalibrationType type) {
  switch (type) {
    case CalibrationType::MAX:
      return "MAX";
    case CalibrationType::CACHE_QUANTILE:
      return "CACHE_QUANTILE";
    case CalibrationType::MOVING_QUANTILE:
      return "MOVING_QUANTILE";
    case CalibrationType::MOVING_STD:
      return "MOVING_STD";
    case CalibrationType::INIT_FROM_DATA:
      return "INIT_FROM_DATA";
  }
  return "";
}

NetworkCalibration without_activation_ranges(const NetworkCalibration& calibration) {
  NetworkCalibration result;
  for (const auto& [name, layer] : calibration) {
    LayerCalibration copy = *layer;
    copy.activation.reset();
    for (PartCalibration& part : copy.parts) {
      part.state.output_quantizer = {};
      for (tile::TileState& tile : part.state.tiles) tile.output_quantizer = {};
    }
    result.emplace(name, std::make_shared<const LayerCalibration>(std::move(copy)));
  }
  return result;
}

void forget_estimated_ranges(std::map<std::string, io::LayerNumbers>& numbers) {
  const std::string bounds = ".bounds", digital_bounds = "quantizer_bounds.";
  for (auto& [node, entries] : numbers) {
    std::vector<std::string> estimated;
    for (const auto& [name, values] : entries) {
      if (name.ends_with(bounds))
        estimated.insert(estimated.end(), {name, name.substr(0, name.size() - bounds.size())});
      if (name.starts_with(digital_bounds)) {
        const std::string tensor = name.substr(digital_bounds.size());
        estimated.insert(estimated.end(), {name, "quantization." + tensor, "quantizer_law." + tensor});
      }
    }
    for (const std::string& name : estimated) entries.erase(name);
  }
}

LayerResolver with_calibration(LayerResolver resolve, NetworkCalibration calibration) {
  if (calibration.empty()) return resolve;
  return [resolve = std::move(resolve), calibration = std::move(calibration)](const std::string& name,
                                                                              const std::string& op) {
    LayerParameters parameters = resolve(name, op);
    const auto found = calibration.find(name);
    if (found == calibration.end() || !parameters.analog) return parameters;
    if (found->second->forced) {
      const ReplacedParameters asked{parameters.rpu.pre_post.input_range.enable,
                                     parameters.rpu.forward.noise_management};
      if (asked != ReplacedParameters{}) parameters.replaced = asked;
      parameters.rpu.pre_post.input_range.enable = true;
      parameters.rpu.forward.noise_management = tile::NoiseManagementType::NONE;
    }
    parameters.calibration = fitted_calibration(found->second, parameters, name);
    return parameters;
  };
}

std::vector<LayerParameters> layer_parameters(const nn::Executor& executor, const LayerResolver& resolve) {
  std::vector<LayerParameters> parameters;
  std::vector<Problem> problems;
  for (const nn::LinearLayer& layer : executor.layers()) {
    try {
      parameters.push_back(resolve(layer.name, executor.graph().nodes[static_cast<std::size_t>(layer.node)].op));
    } catch (const ConfigError& error) {
      problems.insert(problems.end(), error.problems().begin(), error.problems().end());
    }
  }
  if (!problems.empty()) throw ConfigError(std::move(problems));
  return parameters;
}

void note_replaced(const nn::Executor& executor, const LayerResolver& resolve, const Environment& environment) {
  std::vector<std::string> names;
  for (const nn::LinearLayer& layer : executor.layers())
    if (resolve(layer.name, executor.graph().nodes[static_cast<std::size_t>(layer.node)].op).replaced)
      names.push_back(layer.name);
  if (names.empty()) return;
  environment.note(
      fmt::format("calibrated input ranges are used, and no noise management, whatever rpu_config says "
                  "(calibration.force_all_layers): {}; model.use_calibration: false keeps the configuration as it is",
                  fmt::join(names, ", ")));
}

void expect_same_tiles(const PartCalibration& calibration, const std::vector<tile::TilePlace>& places) {
  const auto text = [](const std::vector<tile::TilePlace>& tiles) {
    return fmt::format("{} {} (the first {}x{})", tiles.size(), tiles.size() == 1 ? "tile" : "tiles",
                       tiles.empty() ? 0 : tiles.front().inputs, tiles.empty() ? 0 : tiles.front().outputs);
  };
  require<InputError>(calibration.places == places,
                      "the model was calibrated for {}, the configuration maps the layer to {}; calibrate again with "
                      "this rpu_config.mapping, or set model.use_calibration: false",
                      text(calibration.places), text(places));
}

}  // namespace tessera::sim
