#include <algorithm>

#include "backward_list.hpp"
#include "im2col.hpp"

/// Poolings, on channels-last images.
namespace tessera::nn {

namespace {

struct Pool {
  std::int64_t images, channels;
  std::array<WindowAxis, 2> axes;
};

Pool pool_of(const Node& node, const Shape& in) {
  require<InputError>(in.size() <= 4, "node '{}' ({}): no gradient can pass through pooling over three axes", node.name,
                      node.op);
  Pool pool{in[0], in[1], {}};
  const auto extents = spatial_extents(in);
  if (node.op.starts_with("Global"))
    for (std::size_t i = 0; i < 2; ++i) pool.axes[i] = {.kernel = extents[i], .in = extents[i], .out = 1};
  else
    pool.axes = resolve_window(node, window_of(node, {}), extents, node.integer("ceil_mode", 0) != 0);
  return pool;
}

/// Calls body(output pixel, first input pixel, kernel range y, kernel range x, origin) per window, images in parallel,
/// each after its gradient was cleared. Pixels are offsets in floats.
template <class Body>
void for_each_window(const BackwardContext& c, const Pool& pool, Body body) {
  const WindowAxis& vertical = pool.axes[0];
  const WindowAxis& horizontal = pool.axes[1];
  const std::int64_t in_size = vertical.in * horizontal.in * pool.channels;
  parallel_for(c.parallel, pool.images, [&](std::int64_t n) {
    std::fill_n(c.d_in[0].floats() + n * in_size, in_size, 0.0F);
    std::vector<std::int64_t> taps;
    AlignedVector<float> scratch(static_cast<std::size_t>(pool.channels));
    std::int64_t out = n * vertical.out * horizontal.out * pool.channels;
    for (std::int64_t oy = 0; oy < vertical.out; ++oy) {
      const std::int64_t top = vertical.origin(oy);
      const auto ky = kernel_inside(vertical, top);
      for (std::int64_t ox = 0; ox < horizontal.out; ++ox, out += pool.channels) {
        const std::int64_t left = horizontal.origin(ox);
        const auto kx = kernel_inside(horizontal, left);
        taps.clear();
        for (std::int64_t y = ky[0]; y < ky[1]; ++y)
          for (std::int64_t x = kx[0]; x < kx[1]; ++x)
            taps.push_back(n * in_size +
                           ((top + y * vertical.dilation) * horizontal.in + left + x * horizontal.dilation) *
                               pool.channels);
        body(out, taps, top, left, scratch.data());
      }
    }
  });
}

}  // namespace

/// To the first of a window's largest elements.
void backward_max_pool(const BackwardContext& c) {
  if (!c.wants(0)) return;
  const Pool pool = pool_of(c.node, c.in[0].shape);
  const float* x = c.in[0].floats();
  float* dx = c.d_in[0].floats();
  for_each_window(
      c, pool, [&](std::int64_t out, const std::vector<std::int64_t>& taps, std::int64_t, std::int64_t, float* left) {
        const float* y = c.out[0].floats() + out;
        std::copy_n(c.d_out[0].floats() + out, pool.channels, left);
        for (const std::int64_t tap : taps)
          for (std::int64_t ch = 0; ch < pool.channels; ++ch) {
            const float share = x[tap + ch] == y[ch] ? left[ch] : 0.0F;
            dx[tap + ch] += share;
            left[ch] -= share;
          }
      });
}

void backward_average_pool(const BackwardContext& c) {
  if (!c.wants(0)) return;
  const Pool pool = pool_of(c.node, c.in[0].shape);
  const bool with_padding = c.node.integer("count_include_pad", 0) != 0;
  const auto reached = [](const WindowAxis& axis, std::int64_t origin) {
    return std::min(axis.kernel, (axis.in + axis.pad_end - origin - 1) / axis.dilation + 1);
  };
  float* dx = c.d_in[0].floats();
  for_each_window(
      c, pool,
      [&](std::int64_t out, const std::vector<std::int64_t>& taps, std::int64_t top, std::int64_t left, float*) {
        const std::int64_t count = with_padding ? reached(pool.axes[0], top) * reached(pool.axes[1], left)
                                                : static_cast<std::int64_t>(taps.size());
        const float scale = 1.0F / static_cast<float>(std::max<std::int64_t>(1, count));
        const float* dy = c.d_out[0].floats() + out;
        for (const std::int64_t tap : taps)
          for (std::int64_t ch = 0; ch < pool.channels; ++ch) dx[tap + ch] += dy[ch] * scale;
      });
}

}  // namespace tessera::nn
