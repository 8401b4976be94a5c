#pragma once
#include <cstdint>

namespace tessera::quant::loops {

/// For each value the first level of smallest float32 distance, tried one by one. With `saturate`, values at or beyond
/// the outermost levels take those and NaN stays NaN; else NaN takes the first level.
void first_nearest_level(const float* levels, std::int64_t level_count, const float* x, float* y, std::int64_t count,
                         bool saturate, float lowest, float highest);

/// For each value the level whose index is the number of decisions below it (binary search); NaN stays NaN. `size` is a
/// power of two, the length of both tables; decisions ascend and the last one is never exceeded.
void level_by_decisions(const float* decisions, const float* levels, std::int32_t size, const float* x, float* y,
                        std::int64_t count);

}  // namespace tessera::quant::loops
