#pragma once
#include <vector>

#include "tessera/results/schema.hpp"

namespace tessera::results {

/// The rows of the schema table for energy, latency and area.
std::vector<Variable> cost_variables();

}  // namespace tessera::results
