#pragma once
#include <string>
#include <vector>

#include "tessera/config/node.hpp"

namespace tessera::spec {

/// The values of an axis: a list as it is, or what {range: ...}, {linspace: ...} and {logspace: ...} stand for.
/// ConfigError under `key` for anything else, for no values, and for too many.
std::vector<config::Node> axis_values(const config::Node& node, const std::string& key);

}  // namespace tessera::spec
