#include <cmath>

#include "tessera/core/error.hpp"
#include "tessera/sim/layer_calibration.hpp"
#include "tessera/tile/analog_layer.hpp"

/// Calibrations as numbers of a model file.
namespace tessera::sim {

namespace {

using Numbers = std::vector<double>;

template <class T>
Numbers as_numbers(const std::vector<T>& values) {
  return {values.begin(), values.end()};
}

std::vector<float> as_floats(const Numbers& values, std::size_t first, std::size_t count) {
  std::vector<float> result;
  for (std::size_t i = first; i < first + count; ++i) result.push_back(static_cast<float>(values[i]));
  return result;
}

/// signed, number of steps n, n steps, and n zero points of an asymmetric quantizer.
Numbers as_numbers(const quant::UniformQuantizerState& state) {
  Numbers numbers{state.is_signed ? 1.0 : 0.0, static_cast<double>(state.delta.size())};
  numbers.insert(numbers.end(), state.delta.begin(), state.delta.end());
  numbers.insert(numbers.end(), state.zero_float.begin(), state.zero_float.end());
  return numbers;
}

std::string tile_name(std::size_t t, const char* what) {
  return fmt::format("tile{}.{}", t, what);
}

class PartWriter {
 public:
  PartWriter(io::LayerNumbers& numbers, const nn::LinearPart& part)
      : numbers_(numbers), prefix_(part.name.empty() ? "" : part.name + ".") {}

  void write(const PartCalibration& part) {
    Numbers places, ranges, updates, averages;
    for (std::size_t t = 0; t < part.state.tiles.size(); ++t) {
      const tile::TilePlace& place = part.places[t];
      for (const std::int64_t extent : {place.first_output, place.outputs, place.first_input, place.inputs})
        places.push_back(static_cast<double>(extent));
      const tile::TileState& tile = part.state.tiles[t];
      ranges.push_back(static_cast<double>(tile.input_range));
      updates.push_back(static_cast<double>(tile.input_range_updates));
      averages.push_back(static_cast<double>(tile.noise_management_average));
      if (!tile.mapping_scale.empty()) put(tile_name(t, "mapping_scale"), as_numbers(tile.mapping_scale));
      if (!tile.output_scale.empty()) put(tile_name(t, "output_scale"), as_numbers(tile.output_scale));
      put_learned(tile_name(t, "scale_quantizer"), tile.scale_quantizer);
      put(tile_name(t, "output_quantizer"), tile.output_quantizer);
    }
    put("tiles", places);
    put("input_range", ranges);
    put("input_range_updates", updates);
    put("noise_management_average", averages);
    put_learned("bias_quantizer", part.state.bias_quantizer);
    put("output_quantizer", part.state.output_quantizer);
    Numbers ranges_of_converters;
    for (std::size_t s = 0; s < part.state.converters.size(); ++s) {
      const circuit::ConverterSetting& setting = part.state.converters[s];
      ranges_of_converters.insert(ranges_of_converters.end(), {setting.range.low, setting.range.high});
      if (!setting.levels.empty()) put(fmt::format("slice{}.levels", s), setting.levels);
    }
    if (!ranges_of_converters.empty()) put("calibrated_range", std::move(ranges_of_converters));
    if (part.state.output_range > 0.0F)
      put("output_range",
          Numbers{static_cast<double>(part.state.output_range), static_cast<double>(part.state.output_quantile)});
    put("periphery_updates", Numbers{static_cast<double>(part.state.periphery_updates)});
  }

 private:
  void put(const std::string& name, Numbers values) { numbers_[prefix_ + name] = std::move(values); }
  void put(const std::string& name, const quant::UniformQuantizerState& state) {
    if (state.delta.empty()) return;
    put(name, as_numbers(state));
    if (state.x_min.empty()) return;
    Numbers bounds(state.x_min.begin(), state.x_min.end());
    bounds.insert(bounds.end(), state.x_max.begin(), state.x_max.end());
    put(name + ".bounds", std::move(bounds));
  }
  /// Ranges that follow the values of the moment are no state.
  void put_learned(const std::string& name, const quant::UniformQuantizerState& state) {
    if (state.x_min.empty()) put(name, state);
  }

  io::LayerNumbers& numbers_;
  std::string prefix_;
};

class PartReader {
 public:
  PartReader(const io::LayerNumbers& numbers, const std::string& layer, const nn::LinearPart& part)
      : numbers_(numbers), layer_(layer), prefix_(part.name.empty() ? "" : part.name + ".") {}

  PartCalibration read() const {
    const Numbers& places = required("tiles");
    const std::size_t count = places.size() / 4;
    expect(!places.empty() && places.size() % 4 == 0, "tiles");
    PartCalibration part;
    const Numbers &ranges = per_tile("input_range", count), &updates = per_tile("input_range_updates", count),
                  &averages = per_tile("noise_management_average", count);
    for (std::size_t t = 0; t < count; ++t) {
      part.places.push_back({whole(places[4 * t], "tiles"), whole(places[4 * t + 1], "tiles"),
                             whole(places[4 * t + 2], "tiles"), whole(places[4 * t + 3], "tiles")});
      tile::TileState tile;
      tile.input_range = static_cast<float>(ranges[t]);
      tile.input_range_updates = whole(updates[t], "input_range_updates");
      tile.noise_management_average = static_cast<float>(averages[t]);
      if (const Numbers* scale = find(tile_name(t, "mapping_scale")))
        tile.mapping_scale = as_floats(*scale, 0, scale->size());
      if (const Numbers* scale = find(tile_name(t, "output_scale")))
        tile.output_scale = as_floats(*scale, 0, scale->size());
      tile.scale_quantizer = quantizer(tile_name(t, "scale_quantizer"));
      tile.output_quantizer = quantizer(tile_name(t, "output_quantizer"));
      part.state.tiles.push_back(std::move(tile));
    }
    part.state.bias_quantizer = quantizer("bias_quantizer");
    part.state.output_quantizer = quantizer("output_quantizer");
    part.state.converters = converters();
    if (const Numbers* const range = find("output_range")) {
      expect(range->size() == 2 && std::isfinite((*range)[0]) && (*range)[0] > 0.0, "output_range");
      part.state.output_range = static_cast<float>((*range)[0]);
      part.state.output_quantile = static_cast<float>((*range)[1]);
    }
    part.state.periphery_updates = whole(per_tile("periphery_updates", 1)[0], "periphery_updates");
    return part;
  }

  std::vector<circuit::ConverterSetting> converters() const {
    const Numbers* const ranges = find("calibrated_range");
    if (ranges == nullptr) return {};
    expect(!ranges->empty() && ranges->size() % 2 == 0, "calibrated_range");
    std::vector<circuit::ConverterSetting> settings;
    for (std::size_t s = 0; 2 * s < ranges->size(); ++s) {
      circuit::ConverterSetting setting{{(*ranges)[2 * s], (*ranges)[2 * s + 1]}, {}};
      expect(std::isfinite(setting.range.low) && std::isfinite(setting.range.high) &&
                 setting.range.low < setting.range.high,
             "calibrated_range");
      const std::string name = fmt::format("slice{}.levels", s);
      if (const Numbers* const levels = find(name)) {
        expect(std::all_of(levels->begin(), levels->end(), [](double v) { return std::isfinite(v); }) &&
                   std::is_sorted(levels->begin(), levels->end(), std::less_equal<>{}) && levels->size() >= 2,
               name);
        setting.levels = *levels;
      }
      settings.push_back(std::move(setting));
    }
    return settings;
  }

  bool has_tiles() const { return find("tiles") != nullptr; }

 private:
  const Numbers* find(const std::string& name) const {
    const auto found = numbers_.find(prefix_ + name);
    return found == numbers_.end() ? nullptr : &found->second;
  }
  void expect(bool condition, const std::string& name) const {
    require<InputError>(condition,
                        "calibration of layer '{}' in the model file: '{}{}' is missing or damaged; calibrate again",
                        layer_, prefix_, name);
  }
  const Numbers& required(const std::string& name) const {
    const Numbers* const found = find(name);
    expect(found != nullptr, name);
    return *found;
  }
  const Numbers& per_tile(const std::string& name, std::size_t count) const {
    const Numbers& found = required(name);
    expect(found.size() == count && std::all_of(found.begin(), found.end(), [](double v) { return std::isfinite(v); }),
           name);
    return found;
  }
  std::int64_t whole(double value, const std::string& name) const {
    expect(value >= 0.0 && value < 9e15 && value == std::floor(value), name);
    return static_cast<std::int64_t>(value);
  }
  quant::UniformQuantizerState quantizer(const std::string& name) const {
    const Numbers* const found = find(name);
    if (found == nullptr) return {};
    expect(found->size() >= 2, name);
    const auto steps = static_cast<std::size_t>(whole((*found)[1], name));
    const std::size_t rest = found->size() - 2;
    expect(rest == steps || rest == 2 * steps, name);
    quant::UniformQuantizerState state{as_floats(*found, 2, steps), as_floats(*found, 2 + steps, rest - steps),
                                       (*found)[0] != 0.0};
    if (const Numbers* const bounds = find(name + ".bounds")) {
      expect(bounds->size() == 2 * steps, name + ".bounds");
      state.x_min = as_floats(*bounds, 0, steps);
      state.x_max = as_floats(*bounds, steps, steps);
    }
    return state;
  }

  const io::LayerNumbers& numbers_;
  const std::string& layer_;
  std::string prefix_;
};

void forget_periphery_ranges(tile::LayerState& state) {
  for (tile::TileState& tile : state.tiles) tile.scale_quantizer = {};
  state.bias_quantizer = {};
}

double number_or(const io::LayerNumbers& numbers, const std::string& name, double fallback) {
  const auto found = numbers.find(name);
  return found != numbers.end() && found->second.size() == 1 ? found->second[0] : fallback;
}

}  // namespace

io::LayerNumbers to_numbers(const nn::LinearLayer& layer, const LayerCalibration& calibration) {
  TESSERA_EXPECT(calibration.parts.size() == layer.parts.size());
  io::LayerNumbers numbers;
  for (std::size_t p = 0; p < layer.parts.size(); ++p) PartWriter(numbers, layer.parts[p]).write(calibration.parts[p]);
  if (calibration.type) numbers["calibration_type"] = {static_cast<double>(*calibration.type)};
  numbers["forced"] = {calibration.forced ? 1.0 : 0.0};
  if (!calibration.input_range_found) numbers["input_range_found"] = {0.0};
  if (calibration.activation) numbers["activation_law"] = to_numbers(*calibration.activation);
  if (const auto& law = calibration.periphery)
    numbers["periphery_law"] = {static_cast<double>(law->quantizer.n_bits),
                                law->quantizer.symmetric ? 1.0 : 0.0,
                                law->quantizer.per_column ? 1.0 : 0.0,
                                law->quantizer.power_of_two ? 1.0 : 0.0,
                                law->weight_scaling_omega,
                                law->weight_scaling_columnwise ? 1.0 : 0.0};
  if (const auto& law = calibration.mapping)
    numbers["mapping_law"] = {law->weight_scaling_omega, law->weight_scaling_columnwise ? 1.0 : 0.0};
  if (!calibration.converter_law.empty()) numbers["converter_law"] = calibration.converter_law;
  const auto put_known = [&](const char* name, double value) {
    if (!std::isnan(value)) numbers[name] = {value};
  };
  put_known("input_clip_fraction", calibration.input_clip_fraction);
  put_known("output_peak", calibration.output_peak);
  put_known("adc_saturation_fraction", calibration.adc_saturation_fraction);
  return numbers;
}

LayerCalibration from_numbers(const nn::LinearLayer& layer, const io::LayerNumbers& numbers) {
  LayerCalibration calibration;
  const double type = number_or(numbers, "calibration_type", 0.0);
  if (type >= 1.0 && type <= 5.0) calibration.type = static_cast<CalibrationType>(static_cast<int>(type));
  calibration.forced = number_or(numbers, "forced", 0.0) != 0.0;
  constexpr double unknown = LayerCalibration::unknown;
  calibration.input_clip_fraction = number_or(numbers, "input_clip_fraction", unknown);
  calibration.output_peak = number_or(numbers, "output_peak", unknown);
  calibration.adc_saturation_fraction = number_or(numbers, "adc_saturation_fraction", unknown);
  calibration.input_range_found = number_or(numbers, "input_range_found", 1.0) != 0.0;
  const auto damaged = [&](const char* name) {
    return fmt::format("calibration of layer '{}' in the model file: '{}' is damaged; calibrate again", layer.name,
                       name);
  };
  if (const auto law = numbers.find("activation_law"); law != numbers.end()) {
    try {
      calibration.activation = range_law(law->second);
    } catch (const InputError&) {
      throw InputError(damaged("activation_law"));
    }
  }
  if (const auto law = numbers.find("periphery_law"); law != numbers.end()) {
    const Numbers& n = law->second;
    require<InputError>(n.size() == 6 && n[0] >= 1.0 && n[0] <= quant::max_quantizer_bits, "{}",
                        damaged("periphery_law"));
    PeripheryLaw found;
    found.quantizer.n_bits = static_cast<int>(n[0]);
    found.quantizer.symmetric = n[1] != 0.0;
    found.quantizer.per_column = n[2] != 0.0;
    found.quantizer.power_of_two = n[3] != 0.0;
    found.weight_scaling_omega = n[4];
    found.weight_scaling_columnwise = n[5] != 0.0;
    calibration.periphery = found;
  }
  if (const auto law = numbers.find("mapping_law"); law != numbers.end()) {
    require<InputError>(law->second.size() == 2, "{}", damaged("mapping_law"));
    calibration.mapping = MappingLaw{law->second[0], law->second[1] != 0.0};
  }
  if (const auto law = numbers.find("converter_law"); law != numbers.end()) {
    require<InputError>(law->second.size() == converter_law({}, false).size(), "{}", damaged("converter_law"));
    calibration.converter_law = law->second;
  }
  for (const nn::LinearPart& part : layer.parts)
    calibration.parts.push_back(PartReader(numbers, layer.name, part).read());
  return calibration;
}

NetworkCalibration read_calibration(const std::vector<nn::LinearLayer>& layers,
                                    const std::map<std::string, io::LayerNumbers>& numbers) {
  NetworkCalibration result;
  for (const nn::LinearLayer& layer : layers) {
    const auto found = numbers.find(layer.name);
    if (found == numbers.end() || !PartReader(found->second, layer.name, layer.parts.front()).has_tiles()) continue;
    LayerCalibration calibration = from_numbers(layer, found->second);
    // Older files keep ranges that were not learned, too; learning counts its updates.
    if (!calibration.periphery)
      for (PartCalibration& part : calibration.parts)
        if (part.state.periphery_updates == 0) forget_periphery_ranges(part.state);
    result.emplace(layer.name, std::make_shared<const LayerCalibration>(std::move(calibration)));
  }
  return result;
}

}  // namespace tessera::sim
