#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "tessera/config/node.hpp"
#include "tessera/config/report.hpp"
#include "tessera/config/type.hpp"
#include "tessera/device/drift_compensation.hpp"
#include "tessera/device/parameters.hpp"
#include "tessera/device/retention.hpp"
#include "tessera/tile/parameters.hpp"

/// An `rpu_config` in YAML: keys of our own files and dumps of aihwkit configurations alike
/// (docs/guide/from_aihwkit.md).
namespace tessera::spec {

/// Everything an analog layer is simulated with.
struct RpuConfig {
  tile::RpuParameters tile;
  /// None (the default, unlike the peer's): nothing is programmed and nothing drifts; the target weights are used.
  std::optional<device::NoiseModel> noise_model;
  /// Of a programmed tile; without a noise model it has nothing to do.
  std::optional<device::DriftCompensation> drift_compensation = device::GlobalDriftCompensation{};
  device::DriftFrom drift_from = device::DriftFrom::devices;
  std::optional<device::ProgramAndVerify> program_and_verify;
  device::FaultParameters faults;
  /// Of matrices that are written at run time: products of two activations.
  std::optional<device::RetentionParameters> written_retention;
  std::string fault_map;  ///< file of stuck devices (sim::read_fault_maps) instead of drawn ones; empty: none

  bool operator==(const RpuConfig&) const = default;
};

/// What module device needs; none without a noise model.
std::optional<device::DeviceParameters> device_parameters(const RpuConfig& config);

/// The parameters of a preset with the devices that belong to it: the inference configurations of the peer bring
/// PCMLikeNoiseModel, sets of converters bring none. ConfigError with the nearest name if there is no such preset.
RpuConfig preset(const std::string& name);

/// The key table of `rpu_config`. `preset: <name>` comes first whatever its place in the file: it replaces everything
/// that was there, and the keys beside it are read over it.
const config::Type<RpuConfig>& rpu_config_type();

/// Reads the node over `start` and validates the result. Throws ConfigError with every problem. Keys without effect go
/// to `report` if one is given.
RpuConfig read_rpu_config(const config::Node& node, const RpuConfig& start = {}, config::Report* report = nullptr);

/// The same for YAML text, such as a dump; `name` stands for the file in messages.
RpuConfig read_rpu_config(std::string_view text, const std::string& name = "rpu_config");

/// The part of an `rpu_config` text that concerns the tile.
tile::RpuParameters read_rpu_parameters(std::string_view text, const std::string& name = "rpu_config");

/// All fields, in the order of the table.
config::Node to_node(const RpuConfig& config);

}  // namespace tessera::spec
