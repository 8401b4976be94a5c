#include "window_gatherer.hpp"

#include <algorithm>
#include <cstring>

#include "tessera/kernels/transpose.hpp"

namespace tessera::nn {

namespace {

constexpr std::int64_t slack = 16;  // floats behind a buffer that whole pieces of a run may touch

struct Runs {
  std::int64_t channels, plane;  ///< floats from a channel to the next
  std::int64_t lines, line;      ///< of a window in a channel, and floats from one to the next
  std::int64_t length, step;     ///< of a line, and between its elements
};

/// One window; `Pieces` of four floats cover a line, and what they write too much the next line overwrites. 0: any
/// line.
template <int Pieces>
float* gather_window(const Runs& runs, const float* from, float* row) {
  for (std::int64_t c = 0; c < runs.channels; ++c, from += runs.plane) {
    const float* line = from;
    for (std::int64_t y = 0; y < runs.lines; ++y, line += runs.line, row += runs.length) {
      if constexpr (Pieces > 0) {
#pragma GCC unroll 4
        for (int i = 0; i < Pieces; ++i) std::memcpy(row + 4 * i, line + 4 * i, 16);
      } else {
        for (std::int64_t x = 0; x < runs.length; ++x) row[x] = line[x * runs.step];
      }
    }
  }
  return row;
}

using GatherWindow = float* (*)(const Runs&, const float*, float*);

GatherWindow gather_window_for(const Runs& runs) {
  if (runs.step != 1) return gather_window<0>;
  switch ((runs.length + 3) / 4) {
    case 1:
      return gather_window<1>;
    case 2:
      return gather_window<2>;
    case 3:
      return gather_window<3>;
    default:
      return gather_window<0>;
  }
}

/// How many windows see each position of a padded axis.
std::vector<float> windows_by_position(const WindowAxis& axis, std::int64_t size) {
  std::vector<float> windows(static_cast<std::size_t>(size), 0.0F);
  for (std::int64_t o = 0; o < axis.out; ++o)
    for (std::int64_t k = 0; k < axis.kernel; ++k)
      ++windows[static_cast<std::size_t>(o * axis.stride + k * axis.dilation)];
  return windows;
}

}  // namespace

WindowGatherer::WindowGatherer(const ConvGeometry& geometry, const float* in, const ConvertsInputs* converter,
                               std::int64_t most_rows)
    : g_(geometry), in_(in), converter_(converter) {
  const auto& [vertical, horizontal] = g_.axes;
  // As far as the last window reaches, which may be less or more than the image and its padding.
  const auto reach = [](const WindowAxis& axis) {
    return (axis.out - 1) * axis.stride + (axis.kernel - 1) * axis.dilation + 1;
  };
  height_ = reach(vertical);
  width_ = reach(horizontal);
  plane_size_ = g_.in_channels * height_ * width_;
  const std::int64_t images = std::min(g_.images, (most_rows + g_.positions() - 2) / g_.positions() + 1);
  held_.assign(static_cast<std::size_t>(images), -1);
  planes_.assign(static_cast<std::size_t>(images * plane_size_ + slack), 0.0F);
  rows_.resize(static_cast<std::size_t>(most_rows * g_.vector_size() + slack));
  if (converter_ == nullptr || !converter_->counts_codes()) return;
  const std::vector<float> columns = windows_by_position(horizontal, width_);
  for (const float line : windows_by_position(vertical, height_))
    for (const float column : columns) times_.push_back(line * column);
}

// Neighbouring images have places of their own, so that going through a block group by group turns each image once.
const float* WindowGatherer::planes_of(std::int64_t image) {
  const std::int64_t place = image % std::ssize(held_);
  float* planes = planes_.data() + place * plane_size_;
  std::int64_t& held = held_[static_cast<std::size_t>(place)];
  if (held == image) return planes;
  held = image;
  const auto& [vertical, horizontal] = g_.axes;
  const std::int64_t channels = g_.in_channels;
  const float* from = g_.image(in_, image);
  if (converter_ != nullptr) {
    const auto size = static_cast<std::size_t>(vertical.in * horizontal.in * channels);
    converted_.resize(size);
    converter_->convert({from, size}, converted_);
    from = converted_.data();
  }
  const std::int64_t lines = std::min(vertical.in, height_ - vertical.pad_begin);
  const std::int64_t pixels = std::min(horizontal.in, width_ - horizontal.pad_begin);
  for (std::int64_t y = 0; y < lines; ++y) {
    const float* line = from + y * horizontal.in * channels;
    float* to = planes + (y + vertical.pad_begin) * width_ + horizontal.pad_begin;
    kernels::transpose({line, pixels, channels}, {to, channels, pixels, height_ * width_});
  }
  return planes;
}

float* WindowGatherer::gather(const float* channels, std::int64_t begin, std::int64_t end, float* rows) const {
  const auto& [vertical, horizontal] = g_.axes;
  const Runs runs{g_.group_inputs(),          height_ * width_,  vertical.kernel,
                  vertical.dilation * width_, horizontal.kernel, horizontal.dilation};
  const GatherWindow window = gather_window_for(runs);
  std::int64_t oy = begin / horizontal.out, ox = begin % horizontal.out;
  for (std::int64_t p = begin; p < end; ++p) {
    rows = window(runs, channels + oy * vertical.stride * width_ + ox * horizontal.stride, rows);
    if (++ox < horizontal.out) continue;
    ox = 0;
    ++oy;
  }
  return rows;
}

ConstMatrixView WindowGatherer::rows(std::int64_t group, std::int64_t begin, std::int64_t end) {
  float* to = rows_.data();
  for (std::int64_t p = begin; p < end;) {
    const std::int64_t image = p / g_.positions(), first = image * g_.positions();
    const std::int64_t last = std::min(end, first + g_.positions());
    const float* channels = planes_of(image) + group * g_.group_inputs() * height_ * width_;
    to = gather(channels, p - first, last - first, to);
    p = last;
  }
  return {rows_.data(), end - begin, g_.vector_size()};
}

kernels::CodeSums WindowGatherer::code_sums(std::int64_t group, std::int64_t begin, std::int64_t end) {
  kernels::CodeSums sums;
  if (times_.empty()) return sums;
  const kernels::Converter dac = converter_->input_conversion().converter;
  const std::int64_t positions = g_.positions(), plane = height_ * width_;
  for (std::int64_t image = (begin + positions - 1) / positions; image * positions < end; ++image)
    sums += kernels::code_sums({planes_of(image) + group * g_.group_inputs() * plane, g_.group_inputs(), plane}, dac,
                               {times_, g_.kernel_size()});
  return sums;
}

}  // namespace tessera::nn
