#include <algorithm>
#include <cstring>

#include "linear_call.hpp"
#include "window.hpp"

/// Convolutions on channels-last images: blocks of im2col rows that stay in cache, then the product.
namespace tessera::nn {

namespace {

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

ConvGeometry geometry_of(const LinearCall& call) {
  const Array& in = call.in[0];
  ConvGeometry g;
  g.axes = resolve_window(call.node, call.compiled.layer.window, spatial_extents(in.shape));
  g.images = in.dim(0);
  g.in_channels = in.dim(1);
  g.out_channels = call.out[0].dim(1);
  g.groups = call.compiled.layer.groups;
  return g;
}

/// Kernel indices [first, last) that fall inside the input for a window at `origin`.
std::array<std::int64_t, 2> kernel_inside(const WindowAxis& axis, std::int64_t origin) {
  const std::int64_t first = origin >= 0 ? 0 : std::min(axis.kernel, (-origin + axis.dilation - 1) / axis.dilation);
  const std::int64_t room = axis.in - origin;
  const std::int64_t last = room <= 0 ? 0 : std::min(axis.kernel, (room - 1) / axis.dilation + 1);
  return {first, std::max(first, last)};
}

/// Runs of a few floats, in pieces of 16 bytes of which the last may overlap: a call to memcpy would cost more.
inline void copy_run(float* to, const float* from, std::int64_t count) {
  constexpr std::int64_t piece = 4;
  if (count > 96) {
    std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(float));
  } else if (count >= piece) {
    for (std::int64_t i = 0; i + piece <= count; i += piece) std::memcpy(to + i, from + i, piece * sizeof(float));
    std::memcpy(to + count - piece, from + count - piece, piece * sizeof(float));
  } else {
    for (std::int64_t i = 0; i < count; ++i) to[i] = from[i];
  }
}

/// Calls body(row pointer of the buffer, image pointer, top, left) for output positions [begin, end).
template <class Body>
void for_each_position(const ConvGeometry& g, const float* in, std::int64_t begin, std::int64_t end, float* rows,
                       Body body) {
  const auto& [vertical, horizontal] = g.axes;
  std::int64_t n = begin / g.positions(), oy = begin % g.positions() / horizontal.out, ox = begin % horizontal.out;
  for (std::int64_t v = begin; v < end; ++v, rows += g.vector_size()) {
    body(rows, g.image(in, n), vertical.origin(oy), horizontal.origin(ox));
    if (++ox < horizontal.out) continue;
    ox = 0;
    if (++oy < vertical.out) continue;
    oy = 0;
    ++n;
  }
}

/// Output indices [first, last) whose windows lie inside the input.
std::array<std::int64_t, 2> outputs_inside(const WindowAxis& axis) {
  const std::int64_t room = axis.in + axis.pad_begin - (axis.kernel - 1) * axis.dilation - 1;
  const std::int64_t first = std::min(axis.out, (axis.pad_begin + axis.stride - 1) / axis.stride);
  const std::int64_t last = room < 0 ? 0 : std::min(axis.out, room / axis.stride + 1);
  return {first, std::max(first, last)};
}

/// One row in (ky, kx, channel) order, for a window that may stick out.
void gather_row(const ConvGeometry& g, const float* image, std::int64_t group, std::int64_t top, std::int64_t left,
                float* row) {
  const auto& [vertical, horizontal] = g.axes;
  const std::int64_t channels = g.group_inputs(), line = horizontal.kernel * channels;
  const auto ky = kernel_inside(vertical, top), kx = kernel_inside(horizontal, left);
  for (std::int64_t y = 0; y < vertical.kernel; ++y, row += line) {
    if (y < ky[0] || y >= ky[1] || kx[0] >= kx[1]) {
      std::fill_n(row, line, 0.0F);
      continue;
    }
    const float* source =
        image + ((top + y * vertical.dilation) * horizontal.in + left + kx[0] * horizontal.dilation) * g.in_channels +
        group * channels;
    std::fill_n(row, kx[0] * channels, 0.0F);
    if (g.groups == 1 && horizontal.dilation == 1) {
      copy_run(row + kx[0] * channels, source, (kx[1] - kx[0]) * channels);
    } else {
      for (std::int64_t x = kx[0]; x < kx[1]; ++x, source += horizontal.dilation * g.in_channels)
        copy_run(row + x * channels, source, channels);
    }
    std::fill_n(row + kx[1] * channels, (horizontal.kernel - kx[1]) * channels, 0.0F);
  }
}

/// Rows of `count` neighbouring windows that lie inside the image: each of their lines is one run of `line` floats,
/// copied in `Pieces` pieces of 16 bytes of which the last may overlap (0: any length).
template <int Pieces>
float* gather_inner(const float* source, std::int64_t count, std::int64_t step_x, std::int64_t lines,
                    std::int64_t step_y, std::int64_t line, float* rows) {
  for (; count > 0; --count, source += step_x) {
    const float* from = source;
    for (std::int64_t y = 0; y < lines; ++y, from += step_y, rows += line) {
      if constexpr (Pieces == 0) {
        copy_run(rows, from, line);
      } else {
#pragma GCC unroll 16
        for (int i = 0; i + 1 < Pieces; ++i) std::memcpy(rows + 4 * i, from + 4 * i, 16);
        std::memcpy(rows + line - 4, from + line - 4, 16);
      }
    }
  }
  return rows;
}

using GatherInner = float* (*)(const float*, std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                               float*);

GatherInner gather_inner_for(std::int64_t line) {
  switch (line < 4 ? 0 : (line + 3) / 4) {
    case 1:
      return gather_inner<1>;
    case 2:
      return gather_inner<2>;
    case 3:
      return gather_inner<3>;
    case 4:
      return gather_inner<4>;
    case 5:
      return gather_inner<5>;
    case 6:
      return gather_inner<6>;
    case 7:
      return gather_inner<7>;
    case 8:
      return gather_inner<8>;
    case 12:
      return gather_inner<12>;
    default:
      return gather_inner<0>;
  }
}

/// Rows of output positions [begin, end). Windows inside the image, nearly all, need no tests: each of their lines is
/// one run (without groups and dilation).
void gather_rows(const ConvGeometry& g, const float* in, std::int64_t group, std::int64_t begin, std::int64_t end,
                 float* rows) {
  const auto& [vertical, horizontal] = g.axes;
  const auto inside_y = outputs_inside(vertical), inside_x = outputs_inside(horizontal);
  const bool whole_lines = g.groups == 1 && horizontal.dilation == 1;
  const GatherInner inner = gather_inner_for(horizontal.kernel * g.in_channels);
  const std::int64_t line = horizontal.kernel * g.in_channels, size = g.vector_size();
  const std::int64_t step_y = vertical.dilation * horizontal.in * g.in_channels,
                     step_x = horizontal.stride * g.in_channels;
  std::int64_t n = begin / g.positions(), oy = begin % g.positions() / horizontal.out, ox = begin % horizontal.out;
  while (begin < end) {
    const std::int64_t count = std::min(end - begin, horizontal.out - ox), last = ox + count;
    const float* image = g.image(in, n);
    const std::int64_t top = vertical.origin(oy);
    const bool fast = whole_lines && oy >= inside_y[0] && oy < inside_y[1];
    const std::int64_t fast_first = fast ? std::clamp(inside_x[0], ox, last) : last;
    const std::int64_t fast_last = fast ? std::clamp(inside_x[1], fast_first, last) : last;
    for (; ox < fast_first; ++ox, rows += size) gather_row(g, image, group, top, horizontal.origin(ox), rows);
    if (fast_first < fast_last) {
      const float* source = image + (top * horizontal.in + horizontal.origin(ox)) * g.in_channels;
      rows = inner(source, fast_last - fast_first, step_x, vertical.kernel, step_y, line, rows);
      ox = fast_last;
    }
    for (; ox < last; ++ox, rows += size) gather_row(g, image, group, top, horizontal.origin(ox), rows);
    begin += count;
    if (last < horizontal.out) return;
    ox = 0;
    if (++oy < vertical.out) continue;
    oy = 0;
    ++n;
  }
}

/// Rows in (channel, ky, kx) order of the channels of one group: what an operator expects.
void gather_rows_channel_major(const ConvGeometry& g, const float* in, std::int64_t group, std::int64_t begin,
                               std::int64_t end, float* rows) {
  const auto& [vertical, horizontal] = g.axes;
  const std::int64_t channels = g.group_inputs(), size = g.kernel_size();
  for_each_position(g, in, begin, end, rows, [&](float* row, const float* image, std::int64_t top, std::int64_t left) {
    const auto ky = kernel_inside(vertical, top), kx = kernel_inside(horizontal, left);
    const bool cut = (ky[1] - ky[0]) * (kx[1] - kx[0]) < size;
    if (cut) std::fill_n(row, g.vector_size(), 0.0F);
    for (std::int64_t y = ky[0]; y < ky[1]; ++y)
      for (std::int64_t x = kx[0]; x < kx[1]; ++x) {
        const float* source =
            image + ((top + y * vertical.dilation) * horizontal.in + left + x * horizontal.dilation) * g.in_channels +
            group * channels;
        float* target = row + y * horizontal.kernel + x;
        for (std::int64_t c = 0; c < channels; ++c) target[c * size] = source[c];
      }
  });
}

bool is_pointwise(const ConvGeometry& g) {
  for (const WindowAxis& axis : g.axes)
    if (axis.kernel != 1 || axis.stride != 1 || axis.pad_begin != 0 || axis.pad_end != 0) return false;
  return true;
}

/// Cuts all output positions into blocks, several per task so that a task's buffer is reused.
template <class Body>
void for_each_row_block(const ConvGeometry& g, Parallel parallel, std::int64_t block, std::int64_t vector_size,
                        Body body) {
  const std::int64_t vectors = g.images * g.positions();
  const std::int64_t blocks = (vectors + block - 1) / block;
  const std::int64_t tasks = parallel.threads <= 1 ? 1 : std::min<std::int64_t>(blocks, 8 * parallel.threads);
  parallel_for(parallel, tasks, [&](std::int64_t task) {
    AlignedVector<float> rows;
    rows.resize(static_cast<std::size_t>(block * vector_size));
    for (std::int64_t b = task * blocks / tasks; b < (task + 1) * blocks / tasks; ++b)
      body(b * block, std::min(vectors, (b + 1) * block), rows.data());
  });
}

void convolve_depthwise(const LinearCall& call, const ConvGeometry& g) {
  const auto& [vertical, horizontal] = g.axes;
  const std::int64_t channels = g.in_channels;
  const float* weight = call.compiled.depthwise.data();
  const std::vector<float>& bias = call.compiled.depthwise_bias;
  const std::int64_t lines = g.images * vertical.out;
  parallel_for_blocks(call.parallel, lines, 4, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    for (std::int64_t line = begin; line < end; ++line) {
      const float* image = g.image(call.in[0].floats(), line / vertical.out);
      const std::int64_t top = vertical.origin(line % vertical.out);
      const auto ky = kernel_inside(vertical, top);
      float* y = call.out[0].floats() + line * horizontal.out * channels;
      for (std::int64_t ox = 0; ox < horizontal.out; ++ox, y += channels) {
        const std::int64_t left = horizontal.origin(ox);
        const auto kx = kernel_inside(horizontal, left);
        std::fill_n(y, channels, 0.0F);
        for (std::int64_t i = ky[0]; i < ky[1]; ++i)
          for (std::int64_t j = kx[0]; j < kx[1]; ++j) {
            const float* x =
                image + ((top + i * vertical.dilation) * horizontal.in + left + j * horizontal.dilation) * channels;
            const float* w = weight + (i * horizontal.kernel + j) * channels;
            for (std::int64_t c = 0; c < channels; ++c) y[c] += x[c] * w[c];
          }
        if (!bias.empty())
          for (std::int64_t c = 0; c < channels; ++c) y[c] += bias[static_cast<std::size_t>(c)];
      }
      if (call.relu) rectify(y - horizontal.out * channels, horizontal.out * channels);
    }
  });
}

void convolve_by_operators(const LinearCall& call, const ConvGeometry& g, std::span<const LinearBranch> branches) {
  const std::uint64_t first = call.first_sample * static_cast<std::uint64_t>(call.order.inner * g.positions());
  const std::vector<std::vector<std::size_t>> by_product = branches_by_product(branches);
  for_each_row_block(
      g, call.parallel, operator_block, g.vector_size(), [&](std::int64_t begin, std::int64_t end, float* rows) {
        const auto out = [&](std::size_t b) {
          return MatrixView(branches[b].out[0].floats() + begin * g.out_channels, end - begin, g.out_channels);
        };
        AlignedVector<float> products;
        for (std::int64_t group = 0; group < g.groups; ++group) {
          gather_rows_channel_major(g, call.in[0].floats(), group, begin, end, rows);
          run_branches(branches, by_product, static_cast<std::size_t>(group),
                       ConstMatrixView(rows, end - begin, g.vector_size()), first + static_cast<std::uint64_t>(begin),
                       {}, products,
                       [&](std::size_t b) { return out(b).cols_from(group * g.group_outputs(), g.group_outputs()); });
        }
        if (!call.relu) return;
        for (std::size_t b = 0; b < branches.size(); ++b) rectify(out(b).data, (end - begin) * g.out_channels);
      });
}

/// Images with their zero padding written out; the geometry then has none. Worth its copy where lines are short, so
/// that testing each for the border would cost more than the copy of the line.
AlignedVector<float> padded_images(const LinearCall& call, ConvGeometry& g) {
  auto& [vertical, horizontal] = g.axes;
  const std::int64_t height = vertical.in + vertical.pad_begin + vertical.pad_end,
                     width = horizontal.in + horizontal.pad_begin + horizontal.pad_end, channels = g.in_channels;
  AlignedVector<float> padded;
  padded.resize(static_cast<std::size_t>(g.images * height * width * channels));
  parallel_for(call.parallel, g.images, [&](std::int64_t n) {
    const float* image = g.image(call.in[0].floats(), n);
    float* to = padded.data() + n * height * width * channels;
    std::fill_n(to, height * width * channels, 0.0F);
    for (std::int64_t y = 0; y < vertical.in; ++y)
      std::copy_n(image + y * horizontal.in * channels, horizontal.in * channels,
                  to + ((y + vertical.pad_begin) * width + horizontal.pad_begin) * channels);
  });
  vertical.in = height;
  horizontal.in = width;
  for (WindowAxis& axis : g.axes) axis.pad_begin = axis.pad_end = 0;
  return padded;
}

bool worth_padding(const ConvGeometry& g) {
  const auto& [vertical, horizontal] = g.axes;
  const std::int64_t padding = vertical.pad_begin + vertical.pad_end + horizontal.pad_begin + horizontal.pad_end;
  return g.groups == 1 && padding > 0 && horizontal.kernel * g.in_channels < 24 &&
         padding < vertical.in + horizontal.in;
}

void convolve_float(const LinearCall& call, ConvGeometry g) {
  const bool direct = g.groups == 1 && is_pointwise(g);
  const float* in = call.in[0].floats();
  AlignedVector<float> padded;
  if (worth_padding(g)) {
    padded = padded_images(call, g);
    in = padded.data();
  }
  for_each_row_block(g, call.parallel, rows_per_block(g.vector_size()), direct ? 0 : g.vector_size(),
                     [&](std::int64_t begin, std::int64_t end, float* rows) {
                       const MatrixView y(call.out[0].floats() + begin * g.out_channels, end - begin, g.out_channels);
                       for (std::int64_t group = 0; group < g.groups; ++group) {
                         const auto p = static_cast<std::size_t>(group);
                         if (!direct) gather_rows(g, in, group, begin, end, rows);
                         const float* x = direct ? in + begin * g.in_channels : rows;
                         kernels::multiply(call.compiled.packed[p], ConstMatrixView(x, end - begin, g.vector_size()),
                                           y.cols_from(group * g.group_outputs(), g.group_outputs()), {},
                                           call.compiled.layer.parts[p].bias);
                       }
                       if (call.relu) rectify(y.data, y.rows * y.cols);
                     });
}

}  // namespace

void evaluate_convolution(const LinearCall& call) {
  const ConvGeometry g = geometry_of(call);
  if (g.images * g.positions() == 0) return;
  if (!call.operators.empty()) {
    const LinearBranch branch{call.operators, call.out, 0};
    return convolve_by_operators(call, g, {&branch, 1});
  }
  if (!call.compiled.depthwise.empty()) return convolve_depthwise(call, g);
  convolve_float(call, g);
}

void evaluate_convolution(const LinearCall& call, std::span<const LinearBranch> branches) {
  LinearCall first = call;
  first.out = branches.front().out;
  const ConvGeometry g = geometry_of(first);
  if (g.images * g.positions() > 0) convolve_by_operators(call, g, branches);
}

void evaluate_transposed_convolution(const LinearCall& call) {
  const LinearLayer& layer = call.compiled.layer;
  const Array& in = call.in[0];
  const auto axes = resolve_transposed_window(call.node, layer.window, spatial_extents(in.shape));
  const auto& [vertical, horizontal] = axes;
  const std::int64_t channels = in.dim(1), outputs = call.out[0].dim(1), positions = vertical.in * horizontal.in;
  const std::int64_t group_inputs = channels / layer.groups, group_outputs = outputs / layer.groups;
  const std::int64_t kernel = vertical.kernel * horizontal.kernel;
  const bool by_operators = !call.operators.empty();
  // Element (o, k) of a product: operators give channel-major rows, the packed weights kernel-major ones.
  const std::int64_t output_step = by_operators ? kernel : 1, kernel_step = by_operators ? 1 : group_outputs;

  parallel_for(call.parallel, in.dim(0), [&](std::int64_t n) {
    AlignedVector<float> product;
    const std::int64_t width = group_outputs * kernel;
    product.resize(static_cast<std::size_t>(std::min(operator_block, positions) * width));
    float* image = call.out[0].floats() + n * vertical.out * horizontal.out * outputs;
    for (std::int64_t p = 0; p < vertical.out * horizontal.out; ++p)
      for (std::int64_t o = 0; o < outputs; ++o)
        image[p * outputs + o] = call.compiled.bias.empty() ? 0.0F : call.compiled.bias[static_cast<std::size_t>(o)];
    for (std::int64_t begin = 0; begin < positions; begin += operator_block)
      for (std::int64_t group = 0; group < layer.groups; ++group) {
        const std::int64_t count = std::min(operator_block, positions - begin);
        const ConstMatrixView x(in.floats() + (n * positions + begin) * channels + group * group_inputs, count,
                                group_inputs, channels);
        const MatrixView y(product.data(), count, width);
        const auto part = static_cast<std::size_t>(group);
        const std::uint64_t first = call.first_sample * static_cast<std::uint64_t>(call.order.inner * positions) +
                                    static_cast<std::uint64_t>(n * positions + begin);
        if (by_operators)
          call.operators[part]->forward(x, y, first, {});
        else
          kernels::multiply(call.compiled.packed[part], x, y);
        for (std::int64_t p = begin; p < begin + count; ++p) {
          const std::int64_t top = p / horizontal.in * vertical.stride - vertical.pad_begin;
          const std::int64_t left = p % horizontal.in * horizontal.stride - horizontal.pad_begin;
          for (std::int64_t i = 0; i < vertical.kernel; ++i) {
            const std::int64_t oy = top + i * vertical.dilation;
            if (oy < 0 || oy >= vertical.out) continue;
            for (std::int64_t j = 0; j < horizontal.kernel; ++j) {
              const std::int64_t ox = left + j * horizontal.dilation;
              if (ox < 0 || ox >= horizontal.out) continue;
              float* target = image + (oy * horizontal.out + ox) * outputs + group * group_outputs;
              const float* source = y.row(p - begin) + (i * horizontal.kernel + j) * kernel_step;
              for (std::int64_t o = 0; o < group_outputs; ++o) target[o] += source[o * output_step];
            }
          }
        }
      }
    if (call.relu) rectify(image, vertical.out * horizontal.out * outputs);
  });
}

}  // namespace tessera::nn
