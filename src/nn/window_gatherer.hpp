#pragma once
#include <cstdint>
#include <vector>

#include "im2col.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/nn/linear.hpp"

namespace tessera::nn {

/// Rows of windows in (channel, ky, kx) order, the order of an operator, for consecutive output positions. An image is
/// turned channel by channel first, padded, and converted if the operator converts its inputs alike: then lines of a
/// window are runs of a channel's rows. Working memory of one task.
class WindowGatherer {
 public:
  /// `converter`: whose convert() every pixel passes, or null. `most_rows`: of one call.
  WindowGatherer(const ConvGeometry& geometry, const float* in, const ConvertsInputs* converter,
                 std::int64_t most_rows);

  /// Output positions [begin, end) of one group; valid until the next call.
  ConstMatrixView rows(std::int64_t group, std::int64_t begin, std::int64_t end);
  /// What the codes of all vectors of the images that begin in the last call's rows add up to, pixel by pixel; nothing if
  /// the converter does not ask for it.
  kernels::CodeSums code_sums(std::int64_t group, std::int64_t begin, std::int64_t end);

 private:
  const float* planes_of(std::int64_t image);
  float* gather(const float* channels, std::int64_t begin, std::int64_t end, float* rows) const;

  const ConvGeometry& g_;
  const float* in_;
  const ConvertsInputs* converter_;
  std::int64_t height_, width_;     ///< of a padded channel
  std::int64_t plane_size_;         ///< of a whole image
  std::vector<std::int64_t> held_;  ///< image in each part of planes_; -1: none
  AlignedVector<float> converted_;
  AlignedVector<float> planes_;
  AlignedVector<float> rows_;
  std::vector<float> times_;  ///< in how many windows a position of a padded channel is
};

}  // namespace tessera::nn
