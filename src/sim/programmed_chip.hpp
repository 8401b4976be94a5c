#pragma once
#include "sim/analog_operator.hpp"
#include "tessera/sim/analog_network.hpp"

/// Private: what a programmed chip is made of.
namespace tessera::sim {

/// What programming leaves in the devices of a part.
struct ProgrammedChip::Devices {
  std::shared_ptr<const device::DeviceParameters> parameters;  ///< of all parts of a layer the same
  std::optional<device::DriftCompensation> compensation;
  std::vector<device::ProgrammedState> tiles;
  std::vector<std::vector<double>> baseline;  ///< per tile; with drift compensation only
  bool fault_map = false;
};

struct ProgrammedChip::Part {
  std::string name;
  std::shared_ptr<tile::AnalogLayer> layer;  ///< of networks as programmed, too: changed through own_layer()
  std::shared_ptr<const Devices> devices;    ///< null without a device model; shared between chips that are alike
  std::shared_ptr<const device::DeviceParameters> written = nullptr;  ///< of a product of two activations
  std::optional<device::RetentionParameters> retention = {};          ///< likewise

  tile::AnalogLayer& own_layer() {
    if (layer.use_count() > 1) layer = std::make_shared<tile::AnalogLayer>(*layer);
    return *layer;
  }
};

/// Runs `work` with the layer's name added to what it throws.
template <class Work>
auto with_layer_name(const std::string& name, Work&& work) {
  try {
    return work();
  } catch (const ConfigError& error) {
    std::vector<Problem> problems = error.problems();
    for (Problem& problem : problems) {
      problem.message += fmt::format(" (layer '{}')", name);
      if (problem.key.starts_with("pre_post.fixed_point.") || problem.key.starts_with("crossbar."))
        problem.key = "rpu_config." + problem.key;
    }
    throw ConfigError(std::move(problems));
  } catch (const InputError& error) {
    throw InputError(fmt::format("layer '{}': {}", name, error.what()));
  }
}

}  // namespace tessera::sim
