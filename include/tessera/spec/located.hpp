#pragma once
#include "tessera/config/node.hpp"
#include "tessera/core/error.hpp"

namespace tessera::spec {

/// Problems that show only when a configuration meets its network, such as the name of a layer that is not there, with
/// the positions of their keys in the document, or in the rule of `layers:` that sets them for the layer that they name
/// (the nearest parent where a key has none). Problems that have a position keep it.
ConfigError located(const ConfigError& error, const config::Node& document);

}  // namespace tessera::spec
