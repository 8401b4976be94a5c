#pragma once
#include <array>
#include <cstdint>

#include "tessera/core/parallel.hpp"
#include "window.hpp"

/// Rows of windows of channels-last images (im2col), and their sums back into images.
namespace tessera::nn {

struct ConvGeometry {
  std::array<WindowAxis, 2> axes;
  std::int64_t images, in_channels, out_channels, groups;

  std::int64_t positions() const { return axes[0].out * axes[1].out; }
  std::int64_t group_inputs() const { return in_channels / groups; }
  std::int64_t group_outputs() const { return out_channels / groups; }
  std::int64_t kernel_size() const { return axes[0].kernel * axes[1].kernel; }
  std::int64_t vector_size() const { return group_inputs() * kernel_size(); }
  const float* image(const float* base, std::int64_t n) const {
    return base + n * axes[0].in * axes[1].in * in_channels;
  }
};

/// Kernel indices [first, last) that fall inside the input for a window at `origin`.
std::array<std::int64_t, 2> kernel_inside(const WindowAxis& axis, std::int64_t origin);

/// Output indices [first, last) whose windows lie inside the input.
std::array<std::int64_t, 2> outputs_inside(const WindowAxis& axis);

/// Rows of output positions [begin, end) of the channels of one group, in (ky, kx, channel) order.
void gather_rows(const ConvGeometry& g, const float* in, std::int64_t group, std::int64_t begin, std::int64_t end,
                 float* rows);

/// The same in (channel, ky, kx) order: what an operator expects.
void gather_rows_channel_major(const ConvGeometry& g, const float* in, std::int64_t group, std::int64_t begin,
                               std::int64_t end, float* rows);

/// Adds rows in (ky, kx, channel) order to the images that gather_rows() would take them from.
void scatter_rows(const ConvGeometry& g, const float* rows, std::int64_t group, std::int64_t begin, std::int64_t end,
                  float* images);

/// The same for rows in (channel, ky, kx) order.
void scatter_rows_channel_major(const ConvGeometry& g, const float* rows, std::int64_t group, std::int64_t begin,
                                std::int64_t end, float* images);

/// Writes the zero padding of images out; the geometry then has none.
void pad_images(ConvGeometry& g, const float* in, AlignedVector<float>& padded, Parallel parallel);

/// Where lines are short, so that testing each for the border would cost more than the copy of the image.
bool worth_padding(const ConvGeometry& g);

/// Whether the rows are the pixels of the images as they lie in memory (but for groups).
bool is_pointwise(const ConvGeometry& g);

}  // namespace tessera::nn
