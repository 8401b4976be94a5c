#pragma once
#include <algorithm>

#include "tessera/config/node.hpp"
#include "tessera/core/error.hpp"
#include "tessera/spec/located.hpp"

namespace tessera::app {

/// Calls `body`; problems of the configuration that it finds without a position get that of their key in `document`.
template <class Body>
auto with_positions(const config::Node& document, const Body& body) {
  try {
    return body();
  } catch (const ConfigError& error) {
    const std::vector<Problem>& problems = error.problems();
    if (std::ranges::all_of(problems, [](const Problem& problem) { return !problem.file.empty(); })) throw;
    throw spec::located(error, document);
  }
}

}  // namespace tessera::app
