#include <algorithm>
#include <cmath>
#include <limits>

#include "index_map.hpp"
#include "operator_list.hpp"
#include "window.hpp"

/// Pooling, resizing, and the shapes of convolutions (which the executor evaluates).
namespace tessera::nn {

namespace {

void require_images(const InferContext& c) {
  const std::size_t rank = c.shape(0).size();
  require<InputError>((rank == 3 || rank == 4) && c.required(0).type == ElementType::float32,
                      "{}: an input of shape {} (must be N C L or N C H W, floating point)", c.where(),
                      to_string(c.shape(0)));
}

Shape spatial_shape(const Shape& in, std::int64_t channels, const std::array<WindowAxis, 2>& axes) {
  if (in.size() == 3) return {in[0], channels, axes[1].out};
  return {in[0], channels, axes[0].out, axes[1].out};
}

/// First and last (exclusive) kernel index that falls inside the input, for a window that starts at `origin`.
std::array<std::int64_t, 2> inside(const WindowAxis& axis, std::int64_t origin) {
  const std::int64_t first = origin >= 0 ? 0 : (-origin + axis.dilation - 1) / axis.dilation;
  const std::int64_t room = axis.in - origin;
  const std::int64_t last = room <= 0 ? 0 : std::min(axis.kernel, (room - 1) / axis.dilation + 1);
  return {std::min(first, axis.kernel), std::max(first, last)};
}

/// Kernel positions inside the input extended by its paddings: what count_include_pad divides by.
std::int64_t padded_count(const WindowAxis& axis, std::int64_t origin) {
  const std::int64_t room = axis.in + axis.pad_end - origin;
  return std::min(axis.kernel, (room - 1) / axis.dilation + 1);
}

struct PoolShape {
  std::int64_t batch, channels;
  std::array<WindowAxis, 2> axes;
};

PoolShape pool_shape(const Node& node, const Shape& in) {
  PoolShape pool{in[0], in[1], {}};
  if (node.op.starts_with("Global")) {
    const auto extents = spatial_extents(in);
    for (std::size_t i = 0; i < 2; ++i) pool.axes[i] = {.kernel = extents[i], .in = extents[i], .out = 1};
  } else {
    pool.axes = resolve_window(node, window_of(node, {}), spatial_extents(in), node.integer("ceil_mode", 0) != 0);
  }
  return pool;
}

/// Calls body(output pixel, list of input pixel offsets in channels-last order, y axis window, x axis window).
template <class Body>
void for_each_window(const ComputeContext& c, const PoolShape& pool, Body body) {
  const auto& [vertical, horizontal] = pool.axes;
  const std::int64_t rows = pool.batch * vertical.out;
  const std::int64_t in_pixels = vertical.in * horizontal.in;
  parallel_for_blocks(c.parallel, rows, std::max<std::int64_t>(1, 64 / horizontal.out),
                      [&](std::int64_t, std::int64_t begin, std::int64_t end) {
                        std::vector<const float*> taps;
                        for (std::int64_t row = begin; row < end; ++row) {
                          const std::int64_t n = row / vertical.out, oy = row % vertical.out;
                          const std::int64_t top = vertical.origin(oy);
                          const auto ky = inside(vertical, top);
                          const float* image = c.in[0].floats() + n * in_pixels * pool.channels;
                          float* out = c.out[0].floats() + row * horizontal.out * pool.channels;
                          for (std::int64_t ox = 0; ox < horizontal.out; ++ox, out += pool.channels) {
                            const std::int64_t left = horizontal.origin(ox);
                            const auto kx = inside(horizontal, left);
                            taps.clear();
                            for (std::int64_t y = ky[0]; y < ky[1]; ++y)
                              for (std::int64_t x = kx[0]; x < kx[1]; ++x)
                                taps.push_back(image + ((top + y * vertical.dilation) * horizontal.in + left +
                                                        x * horizontal.dilation) *
                                                           pool.channels);
                            body(out, taps, top, left);
                          }
                        }
                      });
}

}  // namespace

// --- Pooling (channels last) -----------------------------------------------------------------------------------------

void infer_pool(const InferContext& c) {
  require_images(c);
  const Shape& in = c.shape(0);
  if (!c.node.op.starts_with("Global"))
    require<InputError>(c.node.integers("kernel_shape").size() + 2 == in.size(), "{}: kernel_shape for an input of {}",
                        c.where(), to_string(in));
  const PoolShape pool = pool_shape(c.node, in);
  for (const WindowAxis& axis : pool.axes) {
    require<InputError>(axis.pad_begin + axis.pad_end <= (std::int64_t{1} << 26) / std::max<std::int64_t>(1, in[1]),
                        "{}: paddings {} + {}", c.where(), axis.pad_begin, axis.pad_end);
    require<InputError>(axis.in > 0, "{}: an input of {}", c.where(), to_string(in));
    require<InputError>(
        axis.pad_begin < (axis.kernel - 1) * axis.dilation + 1 && axis.pad_end < (axis.kernel - 1) * axis.dilation + 1,
        "{}: paddings {} + {} reach over the window of {}", c.where(), axis.pad_begin, axis.pad_end, axis.kernel);
  }
  c.set(0, ElementType::float32, spatial_shape(in, in[1], pool.axes));
}

namespace {

/// y = max(y, x), keeping NaN of either.
inline void raise(float* y, const float* x, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = x[i] > y[i] || x[i] != x[i] ? x[i] : y[i];
}

}  // namespace

/// The largest of a window's lines first, then of its columns: both as maxima of long runs, for all windows of an
/// output line at once. Lines are padded by -infinity to where the last window ends.
void compute_max_pool(const ComputeContext& c) {
  const PoolShape pool = pool_shape(c.node, c.in[0].shape);
  const auto& [vertical, horizontal] = pool.axes;
  const std::int64_t channels = pool.channels, line = horizontal.in * channels;
  const std::int64_t width =
      (horizontal.out - 1) * horizontal.stride + (horizontal.kernel - 1) * horizontal.dilation + 1;
  const std::int64_t reached = std::min(horizontal.in, width - horizontal.pad_begin) * channels;
  const std::int64_t block = std::max<std::int64_t>(1, 256 / horizontal.out);
  const std::int64_t starts = (horizontal.out - 1) * horizontal.stride + 1;
  constexpr float lowest = -std::numeric_limits<float>::infinity();
  parallel_for_blocks(
      c.parallel, pool.batch * vertical.out, block, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
        std::vector<float> lines(static_cast<std::size_t>(width * channels), lowest), columns(lines.size());
        float* inner = lines.data() + horizontal.pad_begin * channels;
        for (std::int64_t row = begin; row < end; ++row) {
          const std::int64_t top = vertical.origin(row % vertical.out);
          const auto ky = inside(vertical, top);
          const float* image = c.in[0].floats() + row / vertical.out * vertical.in * line;
          std::fill_n(inner, reached, lowest);
          for (std::int64_t y = ky[0]; y < ky[1]; ++y) {
            const float* source = image + (top + y * vertical.dilation) * line;
            if (y == ky[0])
              std::copy_n(source, reached, inner);
            else
              raise(inner, source, reached);
          }
          columns = lines;
          for (std::int64_t k = 1; k < horizontal.kernel; ++k) {
            const std::int64_t shift = k * horizontal.dilation;
            raise(columns.data(), lines.data() + shift * channels, starts * channels);
          }
          float* out = c.out[0].floats() + row * horizontal.out * channels;
          for (std::int64_t ox = 0; ox < horizontal.out; ++ox)
            for (std::int64_t ch = 0; ch < channels; ++ch)
              out[ox * channels + ch] = columns[static_cast<std::size_t>(ox * horizontal.stride * channels + ch)];
        }
      });
}

void compute_average_pool(const ComputeContext& c) {
  const PoolShape pool = pool_shape(c.node, c.in[0].shape);
  const bool with_padding = c.node.integer("count_include_pad", 0) != 0;
  const std::int64_t channels = pool.channels;
  // Whole-image windows need more than float32 to keep the mean exact; small ones do not.
  for_each_window(c, pool, [&](float* out, const std::vector<const float*>& taps, std::int64_t top, std::int64_t left) {
    const std::int64_t count = with_padding ? padded_count(pool.axes[0], top) * padded_count(pool.axes[1], left)
                                            : static_cast<std::int64_t>(taps.size());
    const double scale = 1.0 / static_cast<double>(std::max<std::int64_t>(1, count));
    constexpr std::int64_t width = 64;
    for (std::int64_t c0 = 0; c0 < channels; c0 += width) {
      const std::int64_t block = std::min(width, channels - c0);
      std::array<double, static_cast<std::size_t>(width)> sum{};
      for (const float* tap : taps)
        for (std::int64_t ch = 0; ch < block; ++ch)
          sum[static_cast<std::size_t>(ch)] += static_cast<double>(tap[c0 + ch]);
      for (std::int64_t ch = 0; ch < block; ++ch)
        out[c0 + ch] = static_cast<float>(sum[static_cast<std::size_t>(ch)] * scale);
    }
  });
}

void compute_lp_pool(const ComputeContext& c) {
  const PoolShape pool = pool_shape(c.node, c.in[0].shape);
  const auto p = static_cast<double>(c.node.integer("p", 2));
  for_each_window(c, pool, [&](float* out, const std::vector<const float*>& taps, std::int64_t, std::int64_t) {
    for (std::int64_t ch = 0; ch < pool.channels; ++ch) {
      double sum = 0.0;
      for (const float* tap : taps) sum += std::pow(std::fabs(static_cast<double>(tap[ch])), p);
      out[ch] = static_cast<float>(std::pow(sum, 1.0 / p));
    }
  });
}

// --- Shapes of convolutions ------------------------------------------------------------------------------------------

void infer_conv(const InferContext& c) {
  require_images(c);
  const Shape& in = c.shape(0);
  const Shape& weight = c.shape(1);
  const std::int64_t groups = c.node.integer("group", 1);
  require<InputError>(weight.size() == in.size(), "{}: a weight of shape {} for an input of {}", c.where(),
                      to_string(weight), to_string(in));
  require<InputError>(groups >= 1 && weight[0] % groups == 0 && weight[0] > 0, "{}: {} groups for {} output channels",
                      c.where(), groups, weight[0]);
  require<InputError>(in[1] % groups == 0 && weight[1] == in[1] / groups,
                      "{}: the weight of shape {} expects {} input channels, the input has {}", c.where(),
                      to_string(weight), weight[1] * groups, in[1]);
  if (c.has(2))
    require<InputError>(element_count(c.shape(2)) == weight[0], "{}: a bias of shape {} for {} outputs", c.where(),
                        to_string(c.shape(2)), weight[0]);
  c.set(0, ElementType::float32,
        spatial_shape(in, weight[0], resolve_window(c.node, window_of(c.node, weight), spatial_extents(in))));
}

void infer_conv_transpose(const InferContext& c) {
  require_images(c);
  const Shape& in = c.shape(0);
  const Shape& weight = c.shape(1);
  const std::int64_t groups = c.node.integer("group", 1);
  require<InputError>(
      weight.size() == in.size() && weight[0] == in[1] && groups >= 1 && in[1] % groups == 0 && in[1] > 0,
      "{}: a weight of shape {} with {} groups for an input of {}", c.where(), to_string(weight), groups,
      to_string(in));
  const std::int64_t outputs = weight[1] * groups;
  if (c.has(2))
    require<InputError>(element_count(c.shape(2)) == outputs, "{}: a bias of shape {} for {} outputs", c.where(),
                        to_string(c.shape(2)), outputs);
  c.set(0, ElementType::float32,
        spatial_shape(in, outputs, resolve_transposed_window(c.node, window_of(c.node, weight), spatial_extents(in))));
}

// --- Resize ----------------------------------------------------------------------------------------------------------

namespace {

struct ResizeAxis {
  std::int64_t axis, in, out;
  double scale;
};

/// The axes whose extent or sampling changes. Inputs: 2 = scales, 3 = sizes (one of them).
std::vector<ResizeAxis> resize_axes(const std::string& where, const Node& node, const Shape& in,
                                    const std::vector<float>& scales, const std::vector<std::int64_t>& sizes) {
  std::vector<std::int64_t> axes = node.integers("axes");
  if (axes.empty())
    for (std::size_t i = 0; i < in.size(); ++i) axes.push_back(static_cast<std::int64_t>(i));
  require<InputError>(
      (scales.size() == axes.size() && sizes.empty()) || (sizes.size() == axes.size() && scales.empty()),
      "{}: needs scales or sizes for {} axes", where, axes.size());
  std::vector<ResizeAxis> result;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    ResizeAxis axis{};
    axis.axis = normal_axis(axes[i], static_cast<std::int64_t>(in.size()), where);
    axis.in = in[static_cast<std::size_t>(axis.axis)];
    if (sizes.empty()) {
      axis.scale = static_cast<double>(scales[i]);
      require<InputError>(axis.scale > 0.0 && axis.scale < 65536.0, "{}: a scale of {}", where, scales[i]);
      axis.out = static_cast<std::int64_t>(std::floor(static_cast<double>(axis.in) * axis.scale));
    } else {
      require<InputError>(sizes[i] > 0 && axis.in > 0, "{}: resizing {} to {}", where, axis.in, sizes[i]);
      axis.out = sizes[i];
      axis.scale = static_cast<double>(axis.out) / static_cast<double>(axis.in);
    }
    if (axis.out != axis.in || axis.scale != 1.0) result.push_back(axis);
  }
  return result;
}

double source_coordinate(const ResizeAxis& axis, std::int64_t i, const std::string& mode) {
  const auto x = static_cast<double>(i);
  const auto in = static_cast<double>(axis.in), out = static_cast<double>(axis.out);
  // The reference implementation of ONNX takes the resized length before it is rounded down.
  if (mode == "align_corners") return axis.out == 1 ? 0.0 : x * (in - 1.0) / (in * axis.scale - 1.0);
  if (mode == "asymmetric") return x / axis.scale;
  if (mode == "pytorch_half_pixel") return axis.out > 1 ? (x + 0.5) / axis.scale - 0.5 : 0.0;
  if (mode == "half_pixel_symmetric") {
    const double adjustment = out / (axis.scale * in);
    return in / 2.0 * (1.0 - adjustment) + (x + 0.5) / axis.scale - 0.5;
  }
  return (x + 0.5) / axis.scale - 0.5;
}

std::int64_t nearest_index(double x, const std::string& mode) {
  if (mode == "floor") return static_cast<std::int64_t>(std::floor(x));
  if (mode == "ceil") return static_cast<std::int64_t>(std::ceil(x));
  if (mode == "round_prefer_ceil") return static_cast<std::int64_t>(std::floor(x + 0.5));
  return static_cast<std::int64_t>(std::ceil(x - 0.5));
}

/// out = in with one axis linearly interpolated; both row-major [outer, extent, inner].
void interpolate_axis(float* out, const float* in, std::int64_t outer, std::int64_t inner, const ResizeAxis& axis,
                      const std::string& mode, Parallel parallel) {
  parallel_for(parallel, outer * axis.out, [&](std::int64_t row) {
    const std::int64_t o = row / axis.out, i = row % axis.out;
    const double x = std::clamp(source_coordinate(axis, i, mode), 0.0, static_cast<double>(axis.in - 1));
    const auto low = static_cast<std::int64_t>(x);
    const std::int64_t high = std::min(low + 1, axis.in - 1);
    const auto weight = static_cast<float>(x - static_cast<double>(low));
    const float* a = in + (o * axis.in + low) * inner;
    const float* b = in + (o * axis.in + high) * inner;
    float* y = out + row * inner;
    for (std::int64_t k = 0; k < inner; ++k) y[k] = (1.0F - weight) * a[k] + weight * b[k];
  });
}

}  // namespace

void infer_resize(const InferContext& c) {
  const std::string mode = c.node.text("mode", "nearest");
  require<InputError>(mode == "nearest" || mode == "linear", "{}: mode '{}' is not supported", c.where(), mode);
  require<InputError>(c.required(0).type == ElementType::float32, "{}: integer input", c.where());
  Shape out = c.shape(0);
  for (const ResizeAxis& axis : resize_axes(c.where(), c.node, out, c.has(2) ? c.known_floats(2) : std::vector<float>{},
                                            c.has(3) ? c.known_integers(3) : std::vector<std::int64_t>{})) {
    require<InputError>(axis.out > 0 && axis.in > 0, "{}: resizing {} to {}", c.where(), axis.in, axis.out);
    out[static_cast<std::size_t>(axis.axis)] = axis.out;
  }
  c.set(0, ElementType::float32, out);
}

void compute_resize(const ComputeContext& c) {
  const Array& in = c.in[0];
  std::vector<float> scales;
  std::vector<std::int64_t> sizes;
  if (c.has(2)) scales.assign(c.in[2].floats(), c.in[2].floats() + c.in[2].size());
  if (c.has(3)) sizes.assign(c.in[3].integers(), c.in[3].integers() + c.in[3].size());
  const auto axes = resize_axes(c.where(), c.node, in.shape, scales, sizes);
  const std::string transform = c.node.text("coordinate_transformation_mode", "half_pixel");
  Shape shape = physical_shape(in.shape, in.layout);
  if (c.node.text("mode", "nearest") == "nearest") {
    const std::string rounding = c.node.text("nearest_mode", "round_prefer_floor");
    std::vector<AxisMap> maps;
    for (const std::int64_t extent : shape) maps.push_back(identity_map(extent));
    for (const ResizeAxis& axis : axes) {
      AxisMap& map = maps[static_cast<std::size_t>(physical_axis(axis.axis, in.rank(), in.layout))];
      map.resize(static_cast<std::size_t>(axis.out));
      for (std::size_t i = 0; i < map.size(); ++i)
        map[i] = std::clamp<std::int64_t>(
            nearest_index(source_coordinate(axis, static_cast<std::int64_t>(i), transform), rounding), 0, axis.in - 1);
    }
    gather_by_maps(c.out[0], in, maps, {}, c.parallel);
    return;
  }
  AlignedVector<float> from(in.floats(), in.floats() + in.size()), to;
  for (const ResizeAxis& axis : axes) {
    const auto at = static_cast<std::size_t>(physical_axis(axis.axis, in.rank(), in.layout));
    std::int64_t outer = 1, inner = 1;
    for (std::size_t i = 0; i < shape.size(); ++i)
      if (i != at) (i < at ? outer : inner) *= shape[i];
    shape[at] = axis.out;
    to.resize(static_cast<std::size_t>(element_count(shape)));
    interpolate_axis(to.data(), from.data(), outer, inner, axis, transform, c.parallel);
    from.swap(to);
  }
  std::ranges::copy(from, c.out[0].floats());
}

}  // namespace tessera::nn
