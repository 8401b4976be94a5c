#pragma once
#include "tessera/circuit/parameters.hpp"
#include "tessera/config/type.hpp"

namespace tessera::spec {

/// `xbar.dac` and `xbar.adc`; their level `mvm:` may be left out.
config::Type<circuit::DacParameters> crossbar_dac();
config::Type<circuit::AdcParameters> crossbar_adc();

}  // namespace tessera::spec
