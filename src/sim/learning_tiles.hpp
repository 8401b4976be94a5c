#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/analog_trainable.hpp"
#include "tessera/sim/analog_network.hpp"
#include "tessera/sim/layer_calibration.hpp"

namespace tessera::sim {

/// The layers of a network in training that learn on analog tiles.
class LearningTiles {
 public:
  LearningTiles() = default;
  /// Puts every analog layer of `network` on tiles, with the ranges that `resolve` knows; weights are mapped as
  /// programming maps them. Activation quantizers learn as AnalogTrainable says.
  LearningTiles(nn::TrainingNetwork& network, const LayerResolver& resolve, std::uint64_t seed,
                std::optional<std::uint64_t> learn_ranges_from);

  /// What the tiles of each of the network's layers have learned, by the layer's name.
  void add_numbers(const std::vector<nn::LinearLayer>& layers, std::map<std::string, io::LayerNumbers>& numbers) const;

 private:
  std::vector<std::vector<std::shared_ptr<AnalogTrainable>>> parts_;  ///< by layer; none: digital
  std::vector<bool> forced_;  ///< by layer: LayerCalibration::forced of the ranges it began with
};

}  // namespace tessera::sim
