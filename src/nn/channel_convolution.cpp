#include "channel_convolution.hpp"

#include <algorithm>

namespace tessera::nn {
namespace {

/// Of an image with its padding, as far as the last window reaches.
std::int64_t padded_size(const WindowAxis& axis) {
  return (axis.out - 1) * axis.stride + (axis.kernel - 1) * axis.dilation + 1;
}

/// Lines of padded channels-last images, converted as they are needed. Images lie one below the other: line y of image n
/// is line n * (height of an image) + y. Working memory of one task, which goes through the lines in their order.
class ConvertedLines {
 public:
  /// `together`: lines that are needed at a time.
  ConvertedLines(const ConvGeometry& geometry, const float* in, const SideBySide& operators, std::int64_t together)
      : g_(geometry), in_(in), operators_(operators) {
    height_ = padded_size(g_.axes[0]);
    line_ = padded_size(g_.axes[1]) * g_.in_channels;
    const std::int64_t kept_floats = 256 * 1024;
    lines_ = std::min(g_.images * height_, std::max(together, kept_floats / std::max<std::int64_t>(1, line_)));
    values_.resize(static_cast<std::size_t>(lines_ * line_));
  }

  /// Floats of a line.
  std::int64_t line_size() const { return line_; }
  const float* line(std::int64_t y) const { return values_.data() + (y - first_) * line_; }

  /// Has lines [first, last) ready, at most `together`, none before those of the last call. What line() gave is gone.
  void need(std::int64_t first, std::int64_t last) {
    if (last - first_ > lines_) {
      const std::int64_t kept = std::max<std::int64_t>(0, ready_ - first);
      if (kept > 0) std::copy_n(line(first), kept * line_, values_.data());
      first_ = first;
      ready_ = first + kept;
    }
    ready_ = std::max(ready_, first);
    for (; ready_ < last; ++ready_) convert(ready_);
  }

 private:
  void convert(std::int64_t y) {
    const auto& [vertical, horizontal] = g_.axes;
    float* to = values_.data() + (y - first_) * line_;
    const std::int64_t from = y % height_ - vertical.pad_begin, before = horizontal.pad_begin * g_.in_channels;
    const std::int64_t floats = std::clamp<std::int64_t>(line_ - before, 0, horizontal.in * g_.in_channels);
    if (from < 0 || from >= vertical.in || floats == 0) {
      std::fill_n(to, line_, 0.0F);
      return;
    }
    std::fill_n(to, before, 0.0F);
    operators_.convert(
        {g_.image(in_, y / height_) + from * horizontal.in * g_.in_channels, static_cast<std::size_t>(floats)},
        {to + before, static_cast<std::size_t>(floats)});
    std::fill_n(to + before + floats, line_ - before - floats, 0.0F);
  }

  const ConvGeometry& g_;
  const float* in_;
  const SideBySide& operators_;
  std::int64_t height_ = 0, line_ = 0;
  std::int64_t lines_ = 0;              ///< that have room
  std::int64_t first_ = 0, ready_ = 0;  ///< lines [first_, ready_) are there
  AlignedVector<float> values_;
};

std::vector<std::int64_t> tap_offsets(const ConvGeometry& g, std::int64_t line) {
  const auto& [vertical, horizontal] = g.axes;
  std::vector<std::int64_t> taps;
  for (std::int64_t i = 0; i < vertical.kernel; ++i)
    for (std::int64_t j = 0; j < horizontal.kernel; ++j)
      taps.push_back(i * vertical.dilation * line + j * horizontal.dilation * g.in_channels);
  return taps;
}

/// How many windows see each position of an axis.
std::vector<std::int64_t> windows_by_position(const WindowAxis& axis) {
  std::vector<std::int64_t> windows(static_cast<std::size_t>(axis.in));
  for (std::int64_t o = 0; o < axis.out; ++o) {
    const auto inside = kernel_inside(axis, axis.origin(o));
    for (std::int64_t k = inside[0]; k < inside[1]; ++k)
      ++windows[static_cast<std::size_t>(axis.origin(o) + k * axis.dilation)];
  }
  return windows;
}

/// Neighbouring pixels of a line that as many windows see are counted together.
void count_inputs(const LinearCall& call, const ConvGeometry& g, const SideBySide& operators) {
  const std::vector<std::int64_t> vertical = windows_by_position(g.axes[0]),
                                  horizontal = windows_by_position(g.axes[1]);
  const std::int64_t height = g.axes[0].in, width = g.axes[1].in;
  parallel_for(call.parallel, g.images * height, [&](std::int64_t y) {
    const std::int64_t lines = vertical[static_cast<std::size_t>(y % height)];
    const float* line = call.in[0].floats() + y * width * g.in_channels;
    for (std::int64_t x = 0; x < width && lines > 0;) {
      const std::int64_t seen = horizontal[static_cast<std::size_t>(x)], first = x;
      while (x < width && horizontal[static_cast<std::size_t>(x)] == seen) ++x;
      const auto floats = static_cast<std::size_t>((x - first) * g.in_channels);
      if (seen > 0) operators.count_inputs({line + first * g.in_channels, floats}, lines * seen);
    }
  });
}

/// The first line, of all images, that the window of a position sees.
std::int64_t first_line(const ConvGeometry& g, std::int64_t position) {
  return position / g.positions() * padded_size(g.axes[0]) +
         position % g.positions() / g.axes[1].out * g.axes[0].stride;
}

/// Lines [first, last) that the windows of positions [begin, end) see.
std::array<std::int64_t, 2> lines_of(const ConvGeometry& g, std::int64_t begin, std::int64_t end) {
  return {first_line(g, begin), first_line(g, end - 1) + (g.axes[0].kernel - 1) * g.axes[0].dilation + 1};
}

/// Windows of positions [begin, end).
void find_runs(const ConvGeometry& g, ConvertedLines& lines, std::int64_t begin, std::int64_t end,
               std::vector<kernels::WindowRun>& runs) {
  const WindowAxis& horizontal = g.axes[1];
  const auto [first, last] = lines_of(g, begin, end);
  lines.need(first, last);
  runs.clear();
  for (std::int64_t p = begin; p < end;) {
    const std::int64_t ox = p % horizontal.out, count = std::min(horizontal.out - ox, end - p);
    runs.push_back({lines.line(first_line(g, p)) + ox * horizontal.stride * g.in_channels, count});
    p += count;
  }
}

/// Windows of a block: their pixels stay in the second-level cache.
std::int64_t block_windows(std::int64_t channels) {
  constexpr std::int64_t cached_floats = 64 * 1024, unit = 64;
  return std::max<std::int64_t>(1, cached_floats / channels / unit) * unit;
}

}  // namespace

bool convolve_side_by_side(const LinearCall& call, const ConvGeometry& g, const LinearBranch& branch) {
  if (g.groups == 1 || g.group_inputs() != 1 || g.group_outputs() != 1) return false;
  const std::unique_ptr<const SideBySide> operators = branch.operators.front()->side_by_side(branch.operators);
  if (operators == nullptr) return false;
  if (operators->counts_inputs()) count_inputs(call, g, *operators);
  const std::int64_t channels = g.in_channels, vectors = g.images * g.positions(), block = block_windows(channels);
  const std::uint64_t first = call.first_sample * static_cast<std::uint64_t>(call.order.inner * g.positions());
  // Blocks begin where those of the streams' draws do.
  const auto skew = static_cast<std::int64_t>(first % static_cast<std::uint64_t>(block));
  const std::int64_t blocks = (skew + vectors + block - 1) / block;
  const std::int64_t tasks = call.parallel.threads <= 1 ? 1 : std::min<std::int64_t>(blocks, 8 * call.parallel.threads);
  const auto begin_of = [&](std::int64_t b) { return std::clamp<std::int64_t>(b * block - skew, 0, vectors); };
  std::int64_t together = 0;
  for (std::int64_t b = 0; b < blocks; ++b) {
    const auto [first_of, last_of] = lines_of(g, begin_of(b), begin_of(b + 1));
    together = std::max(together, last_of - first_of);
  }
  parallel_for(call.parallel, tasks, [&](std::int64_t task) {
    ConvertedLines lines(g, call.in[0].floats(), *operators, together);
    const std::vector<std::int64_t> taps = tap_offsets(g, lines.line_size());
    std::vector<kernels::WindowRun> runs;
    for (std::int64_t b = task * blocks / tasks; b < (task + 1) * blocks / tasks; ++b) {
      const std::int64_t begin = begin_of(b), end = begin_of(b + 1);
      find_runs(g, lines, begin, end, runs);
      const MatrixView y(branch.out[0].floats() + begin * channels, end - begin, channels);
      operators->forward_converted({runs, taps, g.axes[1].stride * channels}, y,
                                   first + static_cast<std::uint64_t>(begin));
      limit(call.limits, y.data, y.rows * channels);
    }
  });
  return true;
}

}  // namespace tessera::nn
