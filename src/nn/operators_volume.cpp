#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "operator_list.hpp"
#include "window.hpp"

/// Convolutions over three axes are convolutions of planes: the slices under a window of the first axis (depth) become
/// channels of one plane, the planes of all window positions a larger batch. Also MaxPool with indices, and MaxUnpool.
namespace tessera::nn {

namespace {

/// The one axis of a depth node, whose attributes are those of a convolution of one axis.
WindowAxis depth_axis(const Node& node, std::int64_t extent) {
  return resolve_window(node, window_of(node, {}), {1, extent})[1];
}
WindowAxis transposed_depth_axis(const Node& node, std::int64_t extent) {
  return resolve_transposed_window(node, window_of(node, {}), {1, extent})[1];
}

void require_volume(const InferContext& c, std::size_t i) {
  require<InputError>(c.shape(i).size() == 5 && c.required(i).type == ElementType::float32,
                      "{}: an input of shape {} (must be N C D H W, floating point)", c.where(), to_string(c.shape(i)));
}

}  // namespace

/// [N, C, D, H, W] to [N * windows, C * kernel, H, W].
void infer_depth_windows(const InferContext& c) {
  require_volume(c, 0);
  const Shape& in = c.shape(0);
  const WindowAxis axis = depth_axis(c.node, in[2]);
  c.set(0, ElementType::float32, {in[0] * axis.out, in[1] * axis.kernel, in[3], in[4]});
}

void compute_depth_windows(const ComputeContext& c) {
  const Shape& in = c.in[0].shape;
  const WindowAxis axis = depth_axis(c.node, in[2]);
  const std::int64_t plane = in[3] * in[4] * element_bytes(c.in[0].type), channels = in[1];
  parallel_for(c.parallel, in[0] * axis.out, [&](std::int64_t row) {
    const std::int64_t n = row / axis.out, origin = axis.origin(row % axis.out);
    char* to = static_cast<char*>(c.out[0].data) + row * channels * axis.kernel * plane;
    for (std::int64_t ch = 0; ch < channels; ++ch)
      for (std::int64_t k = 0; k < axis.kernel; ++k, to += plane) {
        const std::int64_t d = origin + k * axis.dilation;
        const char* from = static_cast<const char*>(c.in[0].data) + ((n * channels + ch) * in[2] + d) * plane;
        if (d < 0 || d >= in[2])
          std::memset(to, 0, static_cast<std::size_t>(plane));
        else
          std::memcpy(to, from, static_cast<std::size_t>(plane));
      }
  });
}

/// [N * windows, C, H, W] to [N, C, windows, H, W]; input 1 is the volume that the windows were taken from.
void infer_depth_stack(const InferContext& c) {
  require_volume(c, 1);
  const Shape& in = c.shape(0);
  const std::int64_t images = c.shape(1)[0], windows = depth_axis(c.node, c.shape(1)[2]).out;
  require<InputError>(in.size() == 4 && in[0] == images * windows, "{}: planes of shape {} of {} windows", c.where(),
                      to_string(in), images * windows);
  c.set(0, ElementType::float32, {images, in[1], windows, in[2], in[3]});
}

void compute_depth_stack(const ComputeContext& c) {
  const Shape& out = c.out[0].shape;
  const std::int64_t plane = out[3] * out[4] * element_bytes(c.in[0].type);
  parallel_for(c.parallel, out[0] * out[1], [&](std::int64_t row) {
    const std::int64_t n = row / out[1], ch = row % out[1];
    for (std::int64_t d = 0; d < out[2]; ++d)
      std::memcpy(static_cast<char*>(c.out[0].data) + (row * out[2] + d) * plane,
                  static_cast<const char*>(c.in[0].data) + ((n * out[2] + d) * out[1] + ch) * plane,
                  static_cast<std::size_t>(plane));
  });
}

/// [N * D, C * kernel, H, W] to [N, C, out, H, W]: slices of a transposed convolution that meet are added, in order of
/// d. Input 1 is the volume that it was applied to.
void infer_depth_sum(const InferContext& c) {
  require_volume(c, 1);
  const Shape& in = c.shape(0);
  const Shape& volume = c.shape(1);
  const WindowAxis axis = transposed_depth_axis(c.node, volume[2]);
  require<InputError>(in.size() == 4 && in[0] == volume[0] * volume[2] && in[1] % axis.kernel == 0,
                      "{}: planes of shape {} for a volume of {}", c.where(), to_string(in), to_string(volume));
  c.set(0, ElementType::float32, {volume[0], in[1] / axis.kernel, axis.out, in[2], in[3]});
}

void compute_depth_sum(const ComputeContext& c) {
  const Shape& out = c.out[0].shape;
  const WindowAxis axis = transposed_depth_axis(c.node, c.in[1].dim(2));
  const std::int64_t plane = out[3] * out[4];
  parallel_for(c.parallel, out[0] * out[1], [&](std::int64_t row) {
    const std::int64_t n = row / out[1], ch = row % out[1];
    float* to = c.out[0].floats() + row * out[2] * plane;
    std::fill_n(to, out[2] * plane, 0.0F);
    for (std::int64_t d = 0; d < axis.in; ++d)
      for (std::int64_t k = 0; k < axis.kernel; ++k) {
        const std::int64_t at = axis.origin(d) + k * axis.dilation;
        if (at < 0 || at >= out[2]) continue;
        const float* from =
            c.in[0].floats() + ((n * axis.in + d) * out[1] * axis.kernel + ch * axis.kernel + k) * plane;
        for (std::int64_t i = 0; i < plane; ++i) to[at * plane + i] += from[i];
      }
  });
}

// --- MaxPool with indices, MaxUnpool ---------------------------------------------------------------------------------

namespace {

/// Depth, height, width; axes that the tensor does not have are windows of one.
std::array<WindowAxis, 3> volume_axes(const Node& node, const Shape& in) {
  std::array<WindowAxis, 3> axes{};
  const bool ceil_mode = node.integer("ceil_mode", 0) != 0;
  const auto [depth, plane] = split_axes(node, in.size() == 5);
  const std::array<std::int64_t, 2> extents = {in.size() > 3 ? in[in.size() - 2] : 1, in.back()};
  const auto planes = resolve_window(plane, window_of(plane, {}), extents, ceil_mode);
  axes[1] = planes[0];
  axes[2] = planes[1];
  if (in.size() == 5) axes[0] = resolve_window(depth, window_of(depth, {}), {1, in[2]}, ceil_mode)[1];
  return axes;
}

}  // namespace

/// Positions, in the flattened input, of the elements that a MaxPool of the same attributes gives.
void infer_max_pool_indices(const InferContext& c) {
  const Shape& in = c.shape(0);
  require<InputError>(in.size() >= 3 && in.size() <= 5 && c.required(0).type == ElementType::float32,
                      "{}: an input of shape {} (must be N C and one to three axes, floating point)", c.where(),
                      to_string(in));
  require<InputError>(c.node.integers("kernel_shape").size() + 2 == in.size(), "{}: kernel_shape for an input of {}",
                      c.where(), to_string(in));
  const auto axes = volume_axes(c.node, in);
  Shape out = {in[0], in[1]};
  for (std::size_t d = 2; d < in.size(); ++d) out.push_back(axes[d + 3 - in.size()].out);
  c.set(0, ElementType::int64, out);
}

void compute_max_pool_indices(const ComputeContext& c) {
  const Shape& in = c.in[0].shape;
  const auto axes = volume_axes(c.node, in);
  const bool column_major = c.node.integer("storage_order", 0) != 0;
  const WindowAxis &a = axes[0], &b = axes[1], &w = axes[2];
  const std::int64_t volume = a.in * b.in * w.in, results = a.out * b.out * w.out;
  parallel_for(c.parallel, in[0] * in[1], [&](std::int64_t image) {
    const float* x = c.in[0].floats() + image * volume;
    std::int64_t* y = c.out[0].integers() + image * results;
    for (std::int64_t o = 0; o < results; ++o) {
      const std::int64_t z0 = a.origin(o / (b.out * w.out)), y0 = b.origin(o / w.out % b.out), x0 = w.origin(o % w.out);
      float best = -std::numeric_limits<float>::infinity();
      std::array<std::int64_t, 3> at{-1, 0, 0};
      for (std::int64_t i = 0; i < a.kernel * b.kernel * w.kernel; ++i) {
        const std::int64_t z = z0 + i / (b.kernel * w.kernel) * a.dilation,
                           v = y0 + i / w.kernel % b.kernel * b.dilation, u = x0 + i % w.kernel * w.dilation;
        if (z < 0 || z >= a.in || v < 0 || v >= b.in || u < 0 || u >= w.in) continue;
        const float value = x[(z * b.in + v) * w.in + u];
        if (at[0] >= 0 && !(value > best)) continue;
        best = value;
        at = {z, v, u};
      }
      if (at[0] < 0) throw RunError(fmt::format("{}: a window lies outside the input", c.where()));
      const std::int64_t within =
          column_major ? (at[2] * b.in + at[1]) * a.in + at[0] : (at[0] * b.in + at[1]) * w.in + at[2];
      y[o] = image * volume + within;
    }
  });
}

namespace {

Shape unpooled_shape(const Node& node, const Shape& in, const std::string& where) {
  std::vector<std::int64_t> kernel = node.integers("kernel_shape"), pads = node.integers("pads");
  std::vector<std::int64_t> strides = node.integers("strides");
  const std::size_t axes = in.size() - 2;
  if (strides.empty()) strides.assign(axes, 1);
  require<InputError>(kernel.size() == axes && strides.size() == axes && (pads.empty() || pads.size() == 2 * axes),
                      "{}: kernel_shape, strides and pads for an input of {}", where, to_string(in));
  constexpr std::int64_t largest = std::int64_t{1} << 31;
  for (const std::vector<std::int64_t>* list : {&kernel, &strides, &pads})
    for (const std::int64_t value : *list)
      require<InputError>(value >= 0 && value < largest, "{}: a window with {}", where, value);
  Shape out = {in[0], in[1]};
  for (std::size_t d = 0; d < axes; ++d) {
    require<InputError>(in[d + 2] < largest, "{}: an input extent of {}", where, in[d + 2]);
    out.push_back((in[d + 2] - 1) * strides[d] + kernel[d] - (pads.empty() ? 0 : pads[d] + pads[d + axes]));
    require<InputError>(out.back() > 0 && out.back() < largest_extent, "{}: an output extent of {}", where, out.back());
  }
  return out;
}

}  // namespace

/// Inputs: values, their positions as above, and optionally the shape of the output, whose beginning is filled.
void infer_max_unpool(const InferContext& c) {
  const Shape& in = c.shape(0);
  require<InputError>(in.size() >= 3 && c.shape(1) == in && c.required(0).type == ElementType::float32 &&
                          c.required(1).type == ElementType::int64,
                      "{}: values of shape {} and indices of {}", c.where(), to_string(in), to_string(c.shape(1)));
  const Shape natural = unpooled_shape(c.node, in, c.where());
  if (!c.has(2)) return c.set(0, ElementType::float32, natural);
  const Shape& wanted = c.known_integers(2);
  bool fits = wanted.size() == in.size();
  for (std::size_t d = 0; fits && d < wanted.size(); ++d) fits = wanted[d] >= natural[d];
  require<InputError>(fits, "{}: an output of {} for unpooled values of {}", c.where(), to_string(wanted),
                      to_string(natural));
  c.set(0, ElementType::float32, wanted);
}

void compute_max_unpool(const ComputeContext& c) {
  const Shape natural = unpooled_shape(c.node, c.in[0].shape, c.where());
  const Shape strides = strides_of(natural), own = strides_of(c.out[0].shape);
  const std::int64_t count = element_count(natural);
  std::fill_n(c.out[0].floats(), c.out[0].size(), 0.0F);
  for (std::int64_t i = 0; i < c.in[0].size(); ++i) {
    const std::int64_t index = c.in[1].integers()[i];
    if (index < 0 || index >= count)
      throw RunError(fmt::format("{}: index {} is out of range for {}", c.where(), index, to_string(natural)));
    std::int64_t offset = 0;
    for (std::size_t d = 0; d < natural.size(); ++d) offset += index / strides[d] % natural[d] * own[d];
    c.out[0].floats()[offset] = c.in[0].floats()[i];
  }
}

}  // namespace tessera::nn
