#pragma once
#include <string>
#include <vector>

#include "tessera/tile/parameters.hpp"

/// Named starting points (reference section 14). Only the inference part: noise models and drift compensation of a
/// preset are module device's defaults.
namespace tessera::tile {

struct Preset {
  std::string name;
  std::string help;
  RpuParameters parameters;
};

/// All presets, in a fixed order.
const std::vector<Preset>& presets();
std::vector<std::string> preset_names();
/// The parameters of a preset; ConfigError with the nearest name if there is none.
RpuParameters preset(const std::string& name);

}  // namespace tessera::tile
