#pragma once
#include <cstdint>

namespace tessera::quant::loops {

/// For each value the first level of smallest float32 distance, tried one by one. With `saturate`, values at or beyond
/// the outermost levels take those and NaN stays NaN; else NaN takes the first level.
void first_nearest_level(const float* levels, std::int64_t level_count, const float* x, float* y, std::int64_t count,
                         bool saturate, float lowest, float highest);

}  // namespace tessera::quant::loops
