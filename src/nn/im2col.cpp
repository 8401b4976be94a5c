#include "im2col.hpp"

#include <algorithm>
#include <cstring>

namespace tessera::nn {

std::array<std::int64_t, 2> kernel_inside(const WindowAxis& axis, std::int64_t origin) {
  const std::int64_t first = origin >= 0 ? 0 : std::min(axis.kernel, (-origin + axis.dilation - 1) / axis.dilation);
  const std::int64_t room = axis.in - origin;
  const std::int64_t last = room <= 0 ? 0 : std::min(axis.kernel, (room - 1) / axis.dilation + 1);
  return {first, std::max(first, last)};
}

std::array<std::int64_t, 2> outputs_inside(const WindowAxis& axis) {
  const std::int64_t room = axis.in + axis.pad_begin - (axis.kernel - 1) * axis.dilation - 1;
  const std::int64_t first = std::min(axis.out, (axis.pad_begin + axis.stride - 1) / axis.stride);
  const std::int64_t last = room < 0 ? 0 : std::min(axis.out, room / axis.stride + 1);
  return {first, std::max(first, last)};
}

namespace {

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
template <class Pixel, class Row, class Body>
void for_each_position(const ConvGeometry& g, Pixel* in, std::int64_t begin, std::int64_t end, Row* rows, Body body) {
  const auto& [vertical, horizontal] = g.axes;
  std::int64_t n = begin / g.positions(), oy = begin % g.positions() / horizontal.out, ox = begin % horizontal.out;
  for (std::int64_t v = begin; v < end; ++v, rows += g.vector_size()) {
    body(rows, in + n * vertical.in * horizontal.in * g.in_channels, vertical.origin(oy), horizontal.origin(ox));
    if (++ox < horizontal.out) continue;
    ox = 0;
    if (++oy < vertical.out) continue;
    oy = 0;
    ++n;
  }
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

}  // namespace

// Windows inside the image, nearly all, need no tests: each of their lines is one run (without groups and
// dilation).
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

void gather_rows_channel_major(const ConvGeometry& g, const float* in, std::int64_t group, std::int64_t begin,
                               std::int64_t end, float* rows) {
  const WindowAxis &vertical = g.axes[0], &horizontal = g.axes[1];
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

void pad_images(ConvGeometry& g, const float* in, AlignedVector<float>& padded, Parallel parallel) {
  WindowAxis &vertical = g.axes[0], &horizontal = g.axes[1];
  const std::int64_t height = vertical.in + vertical.pad_begin + vertical.pad_end,
                     width = horizontal.in + horizontal.pad_begin + horizontal.pad_end, channels = g.in_channels;
  padded.resize(static_cast<std::size_t>(g.images * height * width * channels));
  parallel_for(parallel, g.images, [&](std::int64_t n) {
    const float* image = g.image(in, n);
    float* to = padded.data() + n * height * width * channels;
    std::fill_n(to, height * width * channels, 0.0F);
    for (std::int64_t y = 0; y < vertical.in; ++y)
      std::copy_n(image + y * horizontal.in * channels, horizontal.in * channels,
                  to + ((y + vertical.pad_begin) * width + horizontal.pad_begin) * channels);
  });
  vertical.in = height;
  horizontal.in = width;
  for (WindowAxis& axis : g.axes) axis.pad_begin = axis.pad_end = 0;
}

bool worth_padding(const ConvGeometry& g) {
  const auto& [vertical, horizontal] = g.axes;
  const std::int64_t padding = vertical.pad_begin + vertical.pad_end + horizontal.pad_begin + horizontal.pad_end;
  return g.groups == 1 && padding > 0 && horizontal.kernel * g.in_channels < 24 &&
         padding < vertical.in + horizontal.in;
}

namespace {

/// row (ky, kx, channel) added to the image of a window that may stick out.
void scatter_row(const ConvGeometry& g, const float* row, std::int64_t group, std::int64_t top, std::int64_t left,
                 float* image) {
  const auto& [vertical, horizontal] = g.axes;
  const std::int64_t channels = g.group_inputs(), line = horizontal.kernel * channels;
  const auto ky = kernel_inside(vertical, top), kx = kernel_inside(horizontal, left);
  const bool whole = g.groups == 1 && horizontal.dilation == 1;
  for (std::int64_t y = ky[0]; y < ky[1]; ++y) {
    float* to = image +
                ((top + y * vertical.dilation) * horizontal.in + left + kx[0] * horizontal.dilation) * g.in_channels +
                group * channels;
    const float* from = row + y * line + kx[0] * channels;
    if (whole) {
      const std::int64_t count = (kx[1] - kx[0]) * channels;
      for (std::int64_t i = 0; i < count; ++i) to[i] += from[i];
      continue;
    }
    for (std::int64_t x = kx[0]; x < kx[1]; ++x, to += horizontal.dilation * g.in_channels, from += channels)
      for (std::int64_t c = 0; c < channels; ++c) to[c] += from[c];
  }
}

}  // namespace

void scatter_rows(const ConvGeometry& g, const float* rows, std::int64_t group, std::int64_t begin, std::int64_t end,
                  float* images) {
  for_each_position(g, images, begin, end, rows,
                    [&](const float* row, float* image, std::int64_t top, std::int64_t left) {
                      scatter_row(g, row, group, top, left, image);
                    });
}

void scatter_rows_channel_major(const ConvGeometry& g, const float* rows, std::int64_t group, std::int64_t begin,
                                std::int64_t end, float* images) {
  const WindowAxis &vertical = g.axes[0], &horizontal = g.axes[1];
  const std::int64_t channels = g.group_inputs(), size = g.kernel_size();
  for_each_position(
      g, images, begin, end, rows, [&](const float* row, float* image, std::int64_t top, std::int64_t left) {
        const auto ky = kernel_inside(vertical, top), kx = kernel_inside(horizontal, left);
        for (std::int64_t y = ky[0]; y < ky[1]; ++y)
          for (std::int64_t x = kx[0]; x < kx[1]; ++x) {
            float* to =
                image +
                ((top + y * vertical.dilation) * horizontal.in + left + x * horizontal.dilation) * g.in_channels +
                group * channels;
            const float* from = row + y * horizontal.kernel + x;
            for (std::int64_t c = 0; c < channels; ++c) to[c] += from[c * size];
          }
      });
}

}  // namespace tessera::nn
