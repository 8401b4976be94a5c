#pragma once
#include <cstdint>
#include <span>

#include "tessera/kernels/product.hpp"

/// The product of columns that have inputs of their own: groups of a depthwise convolution, side by side.
namespace tessera::kernels {

/// Windows that lie next to each other in a line of a channels-last image.
struct WindowRun {
  const float* first;  ///< the pixel that the first of them sees through its first tap: channel 0
  std::int64_t count;
};

/// Windows on channels-last images, in the order of `runs`; every channel for itself.
struct ChannelWindows {
  std::span<const WindowRun> runs;
  std::span<const std::int64_t> taps;  ///< floats from a window's first pixel to each of its pixels
  std::int64_t step = 0;               ///< floats between neighbouring windows
};

/// The vectors of all channels c of `weight` (outputs: channels, inputs: taps), as multiply_with() would give them for
/// x[r][k] = the pixel of window r behind tap k in channel first_channel + c, and the outputs' row c: y[r][c], and the
/// variance if companions.variance has rows. `magnitude` and `square` of the companions are not used. Bit for bit the
/// same, on all instruction sets. Throws InputError if the shapes do not fit.
void multiply_channels(const Companions& companions, const PackedMatrix& weight, const ChannelWindows& x,
                       std::int64_t first_channel, MatrixView y);

}  // namespace tessera::kernels
