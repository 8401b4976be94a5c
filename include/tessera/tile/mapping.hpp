#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "tessera/core/tensor.hpp"
#include "tessera/tile/parameters.hpp"

/// How a layer's weights are placed on tiles (reference section 6).
namespace tessera::tile {

/// Sizes of the parts of a dimension of n lines with at most `maximum` each: k = ceil(n / maximum) parts of floor(n /
/// k), the first n mod k one larger (1000 on 512: 500, 500; 1025 on 512: 342, 342, 341). maximum <= 0: one part.
std::vector<std::int64_t> split_sizes(std::int64_t n, std::int64_t maximum);

/// The part of the layer's weight matrix that one tile holds.
struct TilePlace {
  std::int64_t first_output = 0;
  std::int64_t outputs = 0;
  std::int64_t first_input = 0;
  std::int64_t inputs = 0;  ///< of the layer; a tile with an analog bias has one line more

  bool operator==(const TilePlace&) const = default;
};

/// Places of all tiles, input part by input part and, within it, output part by output part: the order in which tiles
/// are numbered, addressed and accumulated.
std::vector<TilePlace> place_tiles(std::int64_t outputs, std::int64_t inputs, const MappingParameter& mapping);

/// Mapping scales of a tile with weights `weight` [outputs, inputs] for omega > 0:
///     columnwise: m_i = fl(max_k |w_ik| / omega);  otherwise one m = fl(max |w| / omega).
/// Empty for omega <= 0 (weights are used as they are). The tile's weights are fl(w_ik / m_i). 0 for an output, or a
/// tile, without weights: any scale will do there.
std::vector<float> mapping_scales(ConstMatrixView weight, const MappingParameter& mapping);

/// Chooses the scales that mapping_scales leaves open in all tiles of a layer: the smallest of the tile, or else of the
/// layer, or else 1; with `unit_scale_of_dead_outputs` 1 (docs/models/peer_defects.md).
void fill_open_scales(std::span<std::vector<float>> scales, const MappingParameter& mapping);

/// Which outputs have weights: some w_ik is not 0.
std::vector<bool> live_outputs(ConstMatrixView weight);

/// Gives the outputs without weights the smallest scale of the others, if there are others. One scale per output.
void rescale_dead_outputs(ConstMatrixView weight, std::vector<float>& scales);

}  // namespace tessera::tile
