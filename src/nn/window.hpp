#pragma once
#include <array>
#include <cstdint>

#include "tessera/nn/graph.hpp"
#include "tessera/nn/linear.hpp"
#include "tessera/nn/split_axes.hpp"

/// Sliding windows of convolutions and poolings: attributes, paddings, output extents.
namespace tessera::nn {

/// Window of a Conv, ConvTranspose or pooling node. `weight` is the shape of the weight where the node has one (the
/// kernel is its last axes), else empty (attribute kernel_shape). InputError for lengths and values that make no sense.
Window window_of(const Node& node, const Shape& weight);

/// One axis with its paddings resolved for an input extent.
struct WindowAxis {
  std::int64_t kernel = 1, stride = 1, dilation = 1;
  std::int64_t pad_begin = 0, pad_end = 0;
  std::int64_t in = 1, out = 1;
  /// First input index of output o.
  std::int64_t origin(std::int64_t o) const { return o * stride - pad_begin; }
};

/// Both axes for input extents (height, width). ceil_mode: the last window may start inside the input (or its begin
/// padding) and stick out, as ONNX defines it. InputError with the node's name where no output would remain.
std::array<WindowAxis, 2> resolve_window(const Node& node, const Window& window, std::array<std::int64_t, 2> in,
                                         bool ceil_mode = false);

/// The same for a transposed convolution: `in` is the small side, `out` = stride (in - 1) + output_padding +
/// dilation (kernel - 1) + 1 - pads, or the attribute output_shape.
std::array<WindowAxis, 2> resolve_transposed_window(const Node& node, const Window& window,
                                                    std::array<std::int64_t, 2> in);

/// Spatial extents (height, width) of a logical shape N C L or N C H W; height is 1 for one axis.
std::array<std::int64_t, 2> spatial_extents(const Shape& shape);

}  // namespace tessera::nn
