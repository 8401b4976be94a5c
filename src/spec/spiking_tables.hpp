#pragma once
#include "tessera/config/type.hpp"
#include "tessera/sim/spiking_parameters.hpp"

namespace tessera::spec {

/// The section `spiking:`.
config::Type<sim::SpikingParameters> spiking_parameters();

}  // namespace tessera::spec
