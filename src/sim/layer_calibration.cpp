#include "tessera/sim/layer_calibration.hpp"

#include <cmath>

#include "tessera/core/error.hpp"

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
      if (!tile.output_scale.empty()) put(tile_name(t, "output_scale"), as_numbers(tile.output_scale));
      put(tile_name(t, "scale_quantizer"), tile.scale_quantizer);
      put(tile_name(t, "output_quantizer"), tile.output_quantizer);
    }
    put("tiles", places);
    put("input_range", ranges);
    put("input_range_updates", updates);
    put("noise_management_average", averages);
    put("bias_quantizer", part.state.bias_quantizer);
    put("output_quantizer", part.state.output_quantizer);
    put("periphery_updates", Numbers{static_cast<double>(part.state.periphery_updates)});
  }

 private:
  void put(const std::string& name, Numbers values) { numbers_[prefix_ + name] = std::move(values); }
  void put(const std::string& name, const quant::UniformQuantizerState& state) {
    if (!state.delta.empty()) put(name, as_numbers(state));
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
      if (const Numbers* scale = find(tile_name(t, "output_scale")))
        tile.output_scale = as_floats(*scale, 0, scale->size());
      tile.scale_quantizer = quantizer(tile_name(t, "scale_quantizer"));
      tile.output_quantizer = quantizer(tile_name(t, "output_quantizer"));
      part.state.tiles.push_back(std::move(tile));
    }
    part.state.bias_quantizer = quantizer("bias_quantizer");
    part.state.output_quantizer = quantizer("output_quantizer");
    part.state.periphery_updates = whole(per_tile("periphery_updates", 1)[0], "periphery_updates");
    return part;
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
    return {as_floats(*found, 2, steps), as_floats(*found, 2 + steps, rest - steps), (*found)[0] != 0.0};
  }

  const io::LayerNumbers& numbers_;
  const std::string& layer_;
  std::string prefix_;
};

double number_or(const io::LayerNumbers& numbers, const std::string& name, double fallback) {
  const auto found = numbers.find(name);
  return found != numbers.end() && found->second.size() == 1 ? found->second[0] : fallback;
}

}  // namespace

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

io::LayerNumbers to_numbers(const nn::LinearLayer& layer, const LayerCalibration& calibration) {
  TESSERA_EXPECT(calibration.parts.size() == layer.parts.size());
  io::LayerNumbers numbers;
  for (std::size_t p = 0; p < layer.parts.size(); ++p) PartWriter(numbers, layer.parts[p]).write(calibration.parts[p]);
  if (calibration.type) numbers["calibration_type"] = {static_cast<double>(*calibration.type)};
  numbers["forced"] = {calibration.forced ? 1.0 : 0.0};
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
    result.emplace(layer.name, std::make_shared<const LayerCalibration>(from_numbers(layer, found->second)));
  }
  return result;
}

LayerResolver with_calibration(LayerResolver resolve, NetworkCalibration calibration) {
  if (calibration.empty()) return resolve;
  return [resolve = std::move(resolve), calibration = std::move(calibration)](const std::string& name,
                                                                              const std::string& op) {
    LayerParameters parameters = resolve(name, op);
    const auto found = calibration.find(name);
    if (found == calibration.end() || !parameters.analog) return parameters;
    parameters.calibration = found->second;
    if (found->second->forced) {
      parameters.rpu.pre_post.input_range.enable = true;
      parameters.rpu.forward.noise_management = tile::NoiseManagementType::NONE;
    }
    return parameters;
  };
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
