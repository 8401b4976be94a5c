#pragma once
#include <vector>

#include "array.hpp"
#include "tessera/core/parallel.hpp"

/// Everything that only moves elements: out[i0, i1, ...] = in[map0[i0], map1[i1], ...].
namespace tessera::nn {

/// Per output index of one axis the input index, or -1 for the fill value.
using AxisMap = std::vector<std::int64_t>;

AxisMap identity_map(std::int64_t extent);

/// `maps` has one entry per axis in memory order, as long as the output's extent. The fill array has one element of the
/// output's type; it may be empty where no map holds -1.
void gather_by_maps(const Array& out, const Array& in, const std::vector<AxisMap>& maps, const Array& fill,
                    Parallel parallel);

/// out = in with axes permuted: axis i of the output is axis permutation[i] of the input (row-major both).
void permute(const Array& out, const Array& in, const std::vector<std::int64_t>& permutation, Parallel parallel);

}  // namespace tessera::nn
