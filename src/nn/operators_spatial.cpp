#include <algorithm>
#include <cmath>
#include <limits>

#include "operator_list.hpp"
#include "window.hpp"

/// Pooling, and the shapes of convolutions (which the executor evaluates).
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
  const WindowAxis& vertical = pool.axes[0];
  const WindowAxis& horizontal = pool.axes[1];
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

PoolShape checked_pool(const InferContext& c, const Node& node, const Shape& in) {
  const PoolShape pool = pool_shape(node, in);
  for (const WindowAxis& axis : pool.axes) {
    require<InputError>(axis.pad_begin + axis.pad_end <= (std::int64_t{1} << 26) / std::max<std::int64_t>(1, in[1]),
                        "{}: paddings {} + {}", c.where(), axis.pad_begin, axis.pad_end);
    require<InputError>(axis.in > 0, "{}: an input of {}", c.where(), to_string(in));
    require<InputError>(
        axis.pad_begin < (axis.kernel - 1) * axis.dilation + 1 && axis.pad_end < (axis.kernel - 1) * axis.dilation + 1,
        "{}: paddings {} + {} reach over the window of {}", c.where(), axis.pad_begin, axis.pad_end, axis.kernel);
  }
  return pool;
}

/// Over three axes: planes first, then along the depth of what they gave. Maxima, means and norms allow it.
void pool_volume(const ComputeContext& c, void (*compute)(const ComputeContext&)) {
  const auto [depth, plane] = split_axes(c.node, true);
  const Shape &in = c.in[0].shape, &out = c.out[0].shape;
  const std::int64_t images = in[0] * in[1], pixels = out[3] * out[4];
  AlignedVector<float> planes(static_cast<std::size_t>(images * in[2] * pixels));
  const Array from{.layout = Layout::natural, .shape = {images * in[2], 1, in[3], in[4]}, .data = c.in[0].data},
      flat{.layout = Layout::natural, .shape = {images * in[2], 1, out[3], out[4]}, .data = planes.data()},
      // [image, depth, pixel] in memory: a line of pixels for channels
      deep{.layout = Layout::channels_last, .shape = {images, pixels, in[2]}, .data = planes.data()},
      to{.layout = Layout::channels_last, .shape = {images, pixels, out[2]}, .data = c.out[0].data};
  compute({.node = plane, .in = {&from, 1}, .out = {&flat, 1}, .parallel = c.parallel});
  compute({.node = depth, .in = {&deep, 1}, .out = {&to, 1}, .parallel = c.parallel});
}

}  // namespace

// --- Pooling (channels last) -----------------------------------------------------------------------------------------

void infer_pool(const InferContext& c) {
  const bool volume = c.shape(0).size() == 5 && c.required(0).type == ElementType::float32;
  if (!volume) require_images(c);
  const Shape& in = c.shape(0);
  if (!c.node.op.starts_with("Global"))
    require<InputError>(c.node.integers("kernel_shape").size() + 2 == in.size(), "{}: kernel_shape for an input of {}",
                        c.where(), to_string(in));
  if (volume) {
    const auto [depth, plane] = split_axes(c.node, true);
    const Shape planes = {in[0], in[1], in[3], in[4]}, line = {in[0], in[1], in[2]};
    const auto flat = checked_pool(c, plane, planes).axes, deep = checked_pool(c, depth, line).axes;
    return c.set(0, ElementType::float32, {in[0], in[1], deep[1].out, flat[0].out, flat[1].out});
  }
  c.set(0, ElementType::float32, spatial_shape(in, in[1], checked_pool(c, c.node, in).axes));
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
  if (c.in[0].rank() == 5) return pool_volume(c, compute_max_pool);
  const PoolShape pool = pool_shape(c.node, c.in[0].shape);
  const WindowAxis& vertical = pool.axes[0];
  const WindowAxis& horizontal = pool.axes[1];
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
  if (c.in[0].rank() == 5) return pool_volume(c, compute_average_pool);
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
  if (c.in[0].rank() == 5) return pool_volume(c, compute_lp_pool);
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

}  // namespace tessera::nn
