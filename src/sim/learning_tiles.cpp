#include "sim/learning_tiles.hpp"

#include "sim/part_address.hpp"
#include "tessera/sim/integer_chain.hpp"

namespace tessera::sim {

namespace {

constexpr std::uint32_t training_repeat = 0xFFFFFFFFU;  // no chip of an evaluation has this number

}  // namespace

LearningTiles::LearningTiles(nn::TrainingNetwork& network, const LayerResolver& resolve, std::uint64_t seed,
                             std::optional<std::uint64_t> learn_ranges_from) {
  const std::vector<nn::LinearLayer>& layers = network.layers();
  parts_.resize(layers.size());
  forced_.assign(layers.size(), false);
  std::vector<LayerParameters> all;
  for (const nn::LinearLayer& layer : layers)
    all.push_back(resolve(layer.name, network.graph().nodes[static_cast<std::size_t>(layer.node)].op));
  const std::vector<LayerLink> links = layer_links(network.graph(), layers, all);
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const LayerParameters& parameters = all[l];
    if (!parameters.analog) continue;
    forced_[l] = parameters.calibration && parameters.calibration->forced;
    for (std::size_t p = 0; p < layers[l].parts.size(); ++p) {
      const nn::LinearPart& part = layers[l].parts[p];
      const random::Address address = part_address(seed, l, p, training_repeat);
      const tile::LayerState* const state =
          parameters.calibration ? &parameters.calibration->parts.at(p).state : nullptr;
      tile::LearningLayer learning(parameters.rpu, part.weight.matrix().view(), part.bias, address, {}, {}, state);
      if (links[l].fixed_point) learning.set_output_code(links[l].fused_relu, links[l].output_signed);
      auto trainable =
          std::make_shared<AnalogTrainable>(layers[l].part_name(p), std::move(learning), learn_ranges_from);
      network.replace(l, p, trainable);
      parts_[l].push_back(std::move(trainable));
    }
  }
}

void LearningTiles::add_numbers(const std::vector<nn::LinearLayer>& layers,
                                std::map<std::string, io::LayerNumbers>& numbers) const {
  for (std::size_t l = 0; l < parts_.size(); ++l) {
    if (parts_[l].empty()) continue;
    LayerCalibration found;
    found.forced = forced_[l];
    for (const auto& part : parts_[l]) {
      const tile::AnalogLayer tiles = part->layer().analog_layer();
      PartCalibration calibration;
      for (std::int64_t t = 0; t < tiles.tile_count(); ++t) calibration.places.push_back(tiles.place(t));
      calibration.state = part->layer().state();
      found.parts.push_back(std::move(calibration));
    }
    set_laws(found, parts_[l].front()->layer().parameters());
    numbers[layers[l].name] = to_numbers(layers[l], found);
  }
}

}  // namespace tessera::sim
