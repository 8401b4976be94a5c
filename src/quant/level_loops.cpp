#include "quant/level_loops.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "quant/dispatch.hpp"

namespace tessera::quant::loops {

TESSERA_QUANT_CLONES void first_nearest_level(const float* levels, std::int64_t level_count, const float* x, float* y,
                                              std::int64_t count, bool saturate, float lowest, float highest) {
  constexpr std::int64_t piece = 64;
  float best[piece], distance[piece], values[piece];
  for (std::int64_t at = 0; at < count; at += piece) {
    const std::int64_t n = std::min(piece, count - at);
    for (std::int64_t i = 0; i < piece; ++i) {
      values[i] = i < n ? x[at + i] : 0.0f;
      best[i] = levels[0];
      distance[i] = std::abs(levels[0] - values[i]);
    }
    for (std::int64_t k = 1; k < level_count; ++k) {
      const float level = levels[k];
      for (std::int64_t i = 0; i < piece; ++i) {
        const float d = std::abs(level - values[i]);
        best[i] = d < distance[i] ? level : best[i];
        distance[i] = d < distance[i] ? d : distance[i];
      }
    }
    for (std::int64_t i = 0; i < n; ++i) {
      const float v = values[i];
      float level = best[i];
      if (saturate) {
        level = v >= highest ? highest : level;
        level = v <= lowest ? lowest : level;
        level = v == v ? level : v;
      }
      y[at + i] = level;
    }
  }
}

TESSERA_QUANT_CLONES void level_by_decisions(const float* decisions, const float* levels, std::int32_t size,
                                             const float* x, float* y, std::int64_t count) {
  constexpr std::int64_t piece = 64;
  std::int32_t index[piece];
  float values[piece];
  for (std::int64_t at = 0; at < count; at += piece) {
    const std::int64_t n = std::min(piece, count - at);
    for (std::int64_t i = 0; i < piece; ++i) {
      values[i] = i < n ? x[at + i] : 0.0f;
      index[i] = 0;
    }
    for (std::int32_t half = size / 2; half > 0; half /= 2) {
      for (std::int64_t i = 0; i < piece; ++i) {
        // Negative where the value lies above the decision; a NaN ends anywhere and is put back below.
        const float below = decisions[index[i] + half - 1] - values[i];
        index[i] += static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(below) >> 31) * half;
      }
    }
    for (std::int64_t i = 0; i < n; ++i) {
      const float level = levels[index[i]];
      y[at + i] = values[i] != values[i] ? values[i] : level;
    }
  }
}

}  // namespace tessera::quant::loops
