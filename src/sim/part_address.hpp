#pragma once
#include <cstdint>

#include "tessera/random/stream.hpp"

/// Where the random numbers of a layer's part come from.
namespace tessera::sim {

/// Layers that can be told apart: a part p > 0 has the number p * most_layers + layer.
inline constexpr std::size_t most_layers = 65536;

/// Of tile 0 of chip `repeat`.
inline random::Address part_address(std::uint64_t seed, std::size_t layer, std::size_t part, std::uint32_t repeat = 0) {
  return {.seed = seed, .layer = static_cast<std::uint32_t>(part * most_layers + layer), .tile = 0, .repeat = repeat};
}

}  // namespace tessera::sim
