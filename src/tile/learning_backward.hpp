#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "tile/learning_impl.hpp"

// Private: what the parts of a layer's backward pass share.
namespace tessera::tile {

/// One block of vectors.
struct LearningLayer::Impl::BlockCall {
  ConstMatrixView x;
  ConstMatrixView dy;
  MatrixView dx;
  std::uint64_t first_vector = 0;
  std::uint32_t event = 0;
  Parallel parallel;
};

/// Vectors per task of a tile: what fits into the second-level cache.
inline std::int64_t rows_per_task(std::int64_t values_per_vector) {
  return std::clamp<std::int64_t>(32 * 1024 / values_per_vector, 96, 1024);
}

/// Element i of factors that are absent (1), common to all, or one each.
inline float factor_at(const std::vector<float>& v, std::size_t i) {
  return v.empty() ? 1.0F : v[v.size() == 1 ? 0 : i];
}

inline void add_to(std::vector<double>& sums, const std::vector<std::vector<double>>& parts) {
  for (const std::vector<double>& part : parts)
    for (std::size_t i = 0; i < part.size(); ++i) sums[i] += part[i];
}

/// From the gradient of a per-tensor quantizer's output to that of its input, and to its range if that is learned.
void quantizer_backward(const quant::QuantizationManager& manager, LearnedRange& range, ConstMatrixView values,
                        MatrixView g);

}  // namespace tessera::tile
