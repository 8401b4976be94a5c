#include "tessera/tile/weight_update.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::tile {
namespace {

float largest_weight_of(std::span<const float> values) {
  float largest = 0.0F;
  for (const float v : values) largest = std::max(largest, std::fabs(v));
  return largest;
}

float deviation_of(ConstMatrixView w) {
  const auto n = static_cast<double>(w.rows * w.cols);
  if (n < 2.0) return 0.0F;
  double sum = 0.0;
  for (std::int64_t i = 0; i < w.rows; ++i)
    for (const float v : w.row_span(i)) sum += static_cast<double>(v);
  double squares = 0.0;
  for (std::int64_t i = 0; i < w.rows; ++i)
    for (const float v : w.row_span(i)) {
      const double d = static_cast<double>(v) - sum / n;
      squares += d * d;
    }
  return static_cast<float>(std::sqrt(squares / (n - 1.0)));
}

}  // namespace

float clip_limit(const WeightClipParameter& clip, ConstMatrixView weights) {
  const auto fixed = static_cast<float>(std::max(clip.fixed_value, 0.0));
  float limit = 0.0F;
  switch (clip.type) {
    case WeightClipType::NONE:
      return 0.0F;
    case WeightClipType::FIXED_VALUE:
      return fixed;
    case WeightClipType::LAYER_GAUSSIAN:
      limit = static_cast<float>(clip.sigma) * deviation_of(weights);
      break;
    case WeightClipType::AVERAGE_CHANNEL_MAX: {
      double sum = 0.0;
      for (std::int64_t i = 0; i < weights.rows; ++i)
        sum += static_cast<double>(largest_weight_of(weights.row_span(i)));
      limit = static_cast<float>(sum / static_cast<double>(std::max<std::int64_t>(1, weights.rows)));
      break;
    }
  }
  return fixed > 0.0F ? std::min(limit, fixed) : limit;
}

bool clip_weights(const WeightClipParameter& clip, MatrixView weights) {
  const float limit = clip_limit(clip, weights);
  if (limit <= 0.0F) return false;
  bool clipped = false;
  for (std::int64_t i = 0; i < weights.rows; ++i)
    for (float& v : weights.row_span(i)) {
      clipped = clipped || std::fabs(v) > limit;
      v = std::clamp(v, -limit, limit);
    }
  return clipped;
}

void remap_weights(const WeightRemapParameter& remap, MatrixView weights, std::vector<float>& m) {
  if (remap.type == WeightRemapType::NONE || weights.rows == 0) return;
  const auto outputs = static_cast<std::size_t>(weights.rows);
  if (m.size() != outputs) m.assign(outputs, m.empty() ? 1.0F : m[0]);
  const auto target = static_cast<float>(remap.remapped_wmax);
  std::vector<float> factor(outputs);
  for (std::size_t i = 0; i < outputs; ++i)
    factor[i] = largest_weight_of(weights.row_span(static_cast<std::int64_t>(i))) / target;
  if (remap.type == WeightRemapType::LAYERWISE_SYMMETRIC)
    std::fill(factor.begin(), factor.end(), *std::max_element(factor.begin(), factor.end()));
  for (float& a : factor)
    if (!(a > 0.0F)) a = 1.0F;
  if (remap.type == WeightRemapType::CHANNELWISE_SYMMETRIC && remap.max_scale_range > 0.0) {
    const float smallest = std::max(*std::min_element(m.begin(), m.end()), static_cast<float>(remap.max_scale_ref));
    const float most = smallest * static_cast<float>(remap.max_scale_range);
    if (smallest > 0.0F)
      for (std::size_t i = 0; i < outputs; ++i) factor[i] = std::min(factor[i] * m[i], most) / m[i];
  }
  for (std::size_t i = 0; i < outputs; ++i) {
    if (factor[i] == 1.0F) continue;
    m[i] *= factor[i];
    for (float& v : weights.row_span(static_cast<std::int64_t>(i))) v /= factor[i];
  }
}

}  // namespace tessera::tile
