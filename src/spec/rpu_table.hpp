#pragma once
#include "tessera/config/section.hpp"
#include "tessera/spec/rpu_config.hpp"

namespace tessera::spec {

/// The table of `rpu_config` without the check of the whole, for partial keys that are read over something else.
const config::Type<RpuConfig>& rpu_config_keys();

/// Throws ConfigError with keys relative to the `rpu_config`.
void validate(const RpuConfig& config);

/// A problem if the `rpu_config` is a dump of a training configuration that does not say how its product is computed.
void refuse_without_product(const config::Node& node, const std::string& key, config::Report& report);

}  // namespace tessera::spec
