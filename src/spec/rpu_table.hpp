#pragma once
#include "tessera/config/section.hpp"
#include "tessera/spec/rpu_config.hpp"

namespace tessera::spec {

/// The table of `rpu_config` without the check of the whole, for partial keys that are read over something else.
const config::Type<RpuConfig>& rpu_config_keys();

/// Throws ConfigError with keys relative to the `rpu_config`.
void validate(const RpuConfig& config);

}  // namespace tessera::spec
