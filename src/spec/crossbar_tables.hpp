#pragma once
#include <optional>

#include "tessera/circuit/parameters.hpp"
#include "tessera/config/type.hpp"

namespace tessera::spec {

/// `rpu_config.crossbar`: null, CrossSim's parameter tree, or the path of a CrossSim JSON file.
config::Type<std::optional<circuit::CrossbarParameters>> crossbar_parameters();

}  // namespace tessera::spec
