#pragma once
#include <string>
#include <string_view>

#include "tessera/config/node.hpp"
#include "tessera/config/report.hpp"
#include "tessera/config/type.hpp"
#include "tessera/tile/parameters.hpp"

/// An `rpu_config` in YAML: keys of our own files and dumps of aihwkit configurations alike
/// (docs/guide/from_aihwkit.md).
namespace tessera::spec {

/// Everything an analog layer is simulated with.
struct RpuConfig {
  tile::RpuParameters tile;

  bool operator==(const RpuConfig&) const = default;
};

/// The key table of `rpu_config`. `preset: <name>` comes first whatever its place in the file: it replaces everything
/// that was there, and the keys beside it are read over it.
config::Type<RpuConfig> rpu_config_type();

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
