#include "window.hpp"

#include <algorithm>

namespace tessera::nn {

namespace {

constexpr std::int64_t largest_window_extent = std::int64_t{1} << 31;

/// Right-aligned pair from a list of one or two values: a 1-d window slides along the width.
void assign(std::array<std::int64_t, 2>& pair, const std::vector<std::int64_t>& list, std::size_t axes) {
  if (list.empty()) return;
  for (std::size_t i = 0; i < axes; ++i) pair[2 - axes + i] = list[i];
}

void check_list(const Node& node, const char* key, const std::vector<std::int64_t>& list, std::size_t length,
                std::int64_t smallest) {
  require<InputError>(list.empty() || list.size() == length, "node '{}' ({}): {} has {} values (must be {})", node.name,
                      node.op, key, list.size(), length);
  for (const std::int64_t value : list)
    require<InputError>(value >= smallest && value < largest_window_extent,
                        "node '{}' ({}): {} = {} (must be {}..2^31)", node.name, node.op, key, value, smallest);
}

void check_extents(const Node& node, const std::array<std::int64_t, 2>& in) {
  require<InputError>(in[0] < largest_window_extent && in[1] < largest_window_extent,
                      "node '{}' ({}): an input extent of {}", node.name, node.op, std::max(in[0], in[1]));
}

std::int64_t reach(const WindowAxis& axis) {
  return (axis.kernel - 1) * axis.dilation + 1;
}

}  // namespace

Window window_of(const Node& node, const Shape& weight) {
  Window window;
  std::vector<std::int64_t> kernel = node.integers("kernel_shape");
  if (!weight.empty()) {
    const std::vector<std::int64_t> from_weight(weight.begin() + 2, weight.end());
    require<InputError>(kernel.empty() || kernel == from_weight,
                        "node '{}' ({}): kernel_shape does not match the weight of shape {}", node.name, node.op,
                        to_string(weight));
    kernel = from_weight;
  }
  const std::size_t axes = kernel.size();
  require<InputError>(axes == 1 || axes == 2, "node '{}' ({}): {} spatial axes are not supported (must be 1 or 2)",
                      node.name, node.op, axes);
  const std::vector<std::int64_t> strides = node.integers("strides"), dilations = node.integers("dilations"),
                                  pads = node.integers("pads"), extra = node.integers("output_padding");
  check_list(node, "kernel_shape", kernel, axes, 1);
  check_list(node, "strides", strides, axes, 1);
  check_list(node, "dilations", dilations, axes, 1);
  check_list(node, "pads", pads, 2 * axes, 0);
  check_list(node, "output_padding", extra, axes, 0);
  window.axes = static_cast<int>(axes);
  assign(window.kernel, kernel, axes);
  assign(window.stride, strides, axes);
  assign(window.dilation, dilations, axes);
  assign(window.output_padding, extra, axes);
  if (!pads.empty()) {
    assign(window.pad_begin, pads, axes);
    assign(window.pad_end, {pads.begin() + static_cast<std::ptrdiff_t>(axes), pads.end()}, axes);
  }
  window.auto_pad = node.text("auto_pad", "NOTSET");
  if (window.auto_pad.empty()) window.auto_pad = "NOTSET";
  require<InputError>(window.auto_pad == "NOTSET" || window.auto_pad == "SAME_UPPER" ||
                          window.auto_pad == "SAME_LOWER" || window.auto_pad == "VALID",
                      "node '{}' ({}): auto_pad '{}' is not known", node.name, node.op, window.auto_pad);
  if (window.auto_pad != "NOTSET") window.pad_begin = window.pad_end = {0, 0};
  return window;
}

SplitNode split_axes(const Node& node, bool three_axes) {
  SplitNode split{.depth = {}, .plane = node};
  if (!three_axes) return split;
  split.depth = node;
  for (const char* key : {"kernel_shape", "strides", "dilations", "output_padding", "output_shape"}) {
    const std::vector<std::int64_t> list = node.integers(key);
    if (list.empty()) continue;
    require<InputError>(list.size() == 3, "node '{}' ({}): {} has {} values (must be 3)", node.name, node.op, key,
                        list.size());
    split.depth.attributes[key] = std::vector<std::int64_t>{list[0]};
    split.plane.attributes[key] = std::vector<std::int64_t>{list[1], list[2]};
  }
  if (const std::vector<std::int64_t> pads = node.integers("pads"); !pads.empty()) {
    require<InputError>(pads.size() == 6, "node '{}' ({}): pads has {} values (must be 6)", node.name, node.op,
                        pads.size());
    split.depth.attributes["pads"] = std::vector<std::int64_t>{pads[0], pads[3]};
    split.plane.attributes["pads"] = std::vector<std::int64_t>{pads[1], pads[2], pads[4], pads[5]};
  }
  return split;
}

std::array<std::int64_t, 2> spatial_extents(const Shape& shape) {
  TESSERA_EXPECT(shape.size() == 3 || shape.size() == 4);
  return {shape.size() == 4 ? shape[2] : 1, shape.back()};
}

std::array<WindowAxis, 2> resolve_window(const Node& node, const Window& window, std::array<std::int64_t, 2> in,
                                         bool ceil_mode) {
  check_extents(node, in);
  std::array<WindowAxis, 2> axes;
  for (std::size_t i = 0; i < 2; ++i) {
    WindowAxis& axis = axes[i];
    axis = {.kernel = window.kernel[i],
            .stride = window.stride[i],
            .dilation = window.dilation[i],
            .pad_begin = window.pad_begin[i],
            .pad_end = window.pad_end[i],
            .in = in[i]};
    if (window.auto_pad == "SAME_UPPER" || window.auto_pad == "SAME_LOWER") {
      axis.out = (axis.in + axis.stride - 1) / axis.stride;
      const std::int64_t total = std::max<std::int64_t>(0, (axis.out - 1) * axis.stride + reach(axis) - axis.in);
      axis.pad_begin = window.auto_pad == "SAME_UPPER" ? total / 2 : total - total / 2;
      axis.pad_end = total - axis.pad_begin;
    } else {
      const std::int64_t room = axis.in + axis.pad_begin + axis.pad_end - reach(axis);
      axis.out = room < 0 ? 0 : room / axis.stride + 1;
      if (ceil_mode && room >= 0 && room % axis.stride != 0 && axis.out * axis.stride < axis.in + axis.pad_begin)
        ++axis.out;
    }
    require<InputError>(axis.out > 0,
                        "node '{}' ({}): a window of {} (dilation {}) does not fit an input extent of {} with padding "
                        "{} + {}",
                        node.name, node.op, axis.kernel, axis.dilation, axis.in, axis.pad_begin, axis.pad_end);
  }
  return axes;
}

std::array<WindowAxis, 2> resolve_transposed_window(const Node& node, const Window& window,
                                                    std::array<std::int64_t, 2> in) {
  check_extents(node, in);
  std::array<WindowAxis, 2> axes;
  const std::vector<std::int64_t> wanted = node.integers("output_shape");
  const auto spatial = static_cast<std::size_t>(window.axes);
  require<InputError>(wanted.empty() || wanted.size() == spatial,
                      "node '{}' ({}): output_shape has {} values (must be {})", node.name, node.op, wanted.size(),
                      spatial);
  for (std::size_t i = 0; i < 2; ++i) {
    WindowAxis& axis = axes[i];
    axis = {.kernel = window.kernel[i],
            .stride = window.stride[i],
            .dilation = window.dilation[i],
            .pad_begin = window.pad_begin[i],
            .pad_end = window.pad_end[i],
            .in = in[i]};
    const bool used = i + spatial >= 2;
    const bool same = window.auto_pad == "SAME_UPPER" || window.auto_pad == "SAME_LOWER";
    const std::int64_t full = axis.stride * (axis.in - 1) + window.output_padding[i] + reach(axis);
    if (used && (!wanted.empty() || same)) {
      axis.out = wanted.empty() ? axis.in * axis.stride : wanted[i + spatial - 2];
      const std::int64_t total = std::max<std::int64_t>(0, full - axis.out);
      axis.pad_begin = window.auto_pad == "SAME_UPPER" ? total / 2 : total - total / 2;
      axis.pad_end = total - axis.pad_begin;
    } else {
      axis.out = full - axis.pad_begin - axis.pad_end;
    }
    require<InputError>(axis.in > 0 && axis.out > 0 && axis.out < largest_window_extent,
                        "node '{}' ({}): an input extent of {} gives an output extent of {}", node.name, node.op,
                        axis.in, axis.out);
  }
  return axes;
}

}  // namespace tessera::nn
