#pragma once
#include <vector>

#include "tessera/core/tensor.hpp"
#include "tessera/tile/parameters.hpp"

/// What happens to the weights of a tile after every training update (reference sections 11.2 and 11.3).
namespace tessera::tile {

/// The largest magnitude that clipping allows; 0: no limit.
///     FIXED_VALUE          fixed_value
///     LAYER_GAUSSIAN       sigma * sample standard deviation of W (n - 1)
///     AVERAGE_CHANNEL_MAX  mean over outputs of max_k |W_ik|
/// the last two limited by fixed_value if that is positive.
float clip_limit(const WeightClipParameter& clip, ConstMatrixView weights);
/// Clamps to +-clip_limit. Returns whether anything was to be clamped.
bool clip_weights(const WeightClipParameter& clip, MatrixView weights);

/// Follows the weights [outputs, lines] with their mapping scales m, so that m W stays (m empty: ones; spread to one
/// per output). All-zero rows (or tiles) keep their scale.
///     LAYERWISE_SYMMETRIC    a = max |W| / remapped_wmax;        m <- m a, W <- W / a
///     CHANNELWISE_SYMMETRIC  a_i = max_k |W_ik| / remapped_wmax; m_i <- m_i a_i, W_i <- W_i / a_i
/// with max_scale_range > 0 (channelwise): m_i is at most max_scale_range times max(min_i m_i, max_scale_ref), m before
/// the remap, and W_i is divided by the factor that is left.
void remap_weights(const WeightRemapParameter& remap, MatrixView weights, std::vector<float>& mapping_scale);

}  // namespace tessera::tile
