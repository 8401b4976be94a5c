#pragma once
#include <cstdint>
#include <span>

#include "tessera/kernels/limits.hpp"

/// Depthwise convolution of channels-last images: every channel has a filter of its own.
namespace tessera::kernels {

/// One position of the window: the pixel that the first output pixel sees through it, and its weight per channel.
struct DepthwiseTap {
  const float* pixel;
  const float* weight;
};

/// Output pixels that lie next to each other and see the same taps. With c = 0..channels-1 and p = 0..pixels-1:
///   acc = 0;  for every tap k in order:  acc = fma(pixel_k[p * step + c], weight_k[c], acc);
///   y[p * channels + c] = acc + bias[c], with one rounding, within `limits`.
/// `bias` is empty or has one value per channel; `step` is the distance in floats between pixels seen by neighbours.
/// The bits are the same on every instruction set. y must not overlap anything else.
void depthwise_pixels(std::span<const DepthwiseTap> taps, std::int64_t step, std::int64_t channels, std::int64_t pixels,
                      std::span<const float> bias, const Limits& limits, float* y);

}  // namespace tessera::kernels
