#pragma once
#include <string>
#include <vector>

#include "tessera/nn/executor.hpp"
#include "tessera/sim/analog_network.hpp"

namespace tessera::sim {

/// What a user should know of the parameters that the analog layers of a network resolve to: tile::notes, and what
/// cannot be followed for the layer's shape (an analog bias on several tiles). One line each, with the layers it is
/// true of.
std::vector<std::string> layer_notes(const nn::Executor& executor, const LayerResolver& resolve);

}  // namespace tessera::sim
