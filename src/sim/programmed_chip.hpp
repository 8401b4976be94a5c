#pragma once
#include "sim/analog_operator.hpp"
#include "tessera/sim/analog_network.hpp"

/// Private: what a programmed chip is made of.
namespace tessera::sim {

/// What programming leaves in the devices of a part.
struct ProgrammedChip::Devices {
  device::DeviceParameters parameters;
  std::optional<device::DriftCompensation> compensation;
  std::vector<device::ProgrammedState> tiles;
  std::vector<std::vector<double>> baseline;  ///< per tile; with drift compensation only
  bool fault_map = false;
};

struct ProgrammedChip::Part {
  std::string name;
  tile::AnalogLayer layer;
  std::shared_ptr<const Devices> devices;  ///< null without a device model; shared between chips that are alike
  std::shared_ptr<const device::DeviceParameters> written = nullptr;  ///< of a product of two activations
  std::optional<device::RetentionParameters> retention = {};          ///< likewise
};

}  // namespace tessera::sim
