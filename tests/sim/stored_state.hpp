#pragma once
#include <functional>
#include <string>

#include "sim/small_network.hpp"
#include "sim/training_setup.hpp"
#include "tessera/sim/calibrate.hpp"
#include "tessera/sim/layer_calibration.hpp"

/// A network whose ranges are found, stored, and used under another configuration.
namespace tessera::sim {

using Change = std::function<void(LayerParameters&)>;

inline LayerParameters plain(const std::string&, const std::string&) {
  LayerParameters layer;
  layer.rpu.forward.noise_management = tile::NoiseManagementType::NONE;
  layer.rpu.forward.bound_management = tile::BoundManagementType::NONE;
  layer.rpu.forward.out_noise = 0.0;
  layer.rpu.mapping.weight_scaling_omega = 1.0;
  layer.rpu.pre_post.input_range.enable = true;
  return layer;
}

inline LayerResolver changed(const LayerResolver& resolve, const Change& change) {
  return [=](const std::string& name, const std::string& op) {
    LayerParameters layer = resolve(name, op);
    change(layer);
    return layer;
  };
}

/// What a model file gives back of what a training or a calibration found.
inline NetworkCalibration stored(const nn::Executor& executor, const NetworkCalibration& found) {
  std::map<std::string, io::LayerNumbers> numbers;
  for (const nn::LinearLayer& layer : executor.layers())
    if (const auto at = found.find(layer.name); at != found.end()) numbers[layer.name] = to_numbers(layer, *at->second);
  return read_calibration(executor.layers(), numbers);
}

inline NetworkCalibration calibrated(const nn::Executor& executor, const io::DataSet& data,
                                     const LayerResolver& resolve,
                                     InputCalibration parameters = {.type = CalibrationType::MAX, .batch_size = 64}) {
  return stored(
      executor,
      calibrate({.executor = executor, .data = data, .seed = 1, .parameters = parameters, .resolve = resolve}, {}, {})
          .layers);
}

/// The message of the refusal; "" where there is none.
inline std::string refusal(const nn::Executor& executor, const NetworkCalibration& known, const LayerResolver& asked) {
  try {
    static_cast<void>(layer_parameters(executor, with_calibration(asked, known)));
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

class StoredRangesTest : public TrainingTest {
 protected:
  const nn::Executor executor_{test::small_network()};
  const io::DataSet data_ = test::small_data(128);
};

}  // namespace tessera::sim
