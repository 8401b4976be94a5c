// Do windows gathered by planes equal windows gathered pixel by pixel, converted before or after, and are their codes
// counted as if window by window?
#include "nn/window_gatherer.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "tessera/random/stream.hpp"

namespace tessera::nn {
namespace {

class Rounding final : public ConvertsInputs {
 public:
  explicit Rounding(bool counts = true) : counts_(counts) {}
  kernels::InputConversion input_conversion() const override { return {.converter = kernels::make_converter(2.0, 16)}; }
  bool counts_codes() const override { return counts_; }
  void forward_converted(ConstMatrixView, MatrixView, std::uint64_t, Parallel,
                         const kernels::CodeSums&) const override {}
  void convert(std::span<const float> x, std::span<float> z) const override {
    for (std::size_t i = 0; i < x.size(); ++i) z[i] = std::rint(4.0F * x[i]) / 4.0F;
  }

 private:
  bool counts_;
};

WindowAxis axis(std::int64_t in, std::int64_t kernel, std::int64_t stride, std::int64_t dilation,
                std::int64_t pad_begin, std::int64_t pad_end) {
  WindowAxis a{.kernel = kernel, .stride = stride, .dilation = dilation, .pad_begin = pad_begin, .pad_end = pad_end};
  a.in = in;
  a.out = (in + pad_begin + pad_end - (kernel - 1) * dilation - 1) / stride + 1;
  return a;
}

TEST(WindowGatherer, EqualsTheGatheringOfPixels) {
  struct Case {
    WindowAxis vertical, horizontal;
    std::int64_t channels, groups;
  };
  const std::vector<Case> cases{{axis(9, 3, 1, 1, 1, 1), axis(8, 3, 1, 1, 1, 1), 4, 1},
                                {axis(12, 5, 1, 1, 0, 0), axis(12, 5, 1, 1, 2, 2), 3, 1},
                                {axis(9, 3, 2, 1, 0, 1), axis(11, 3, 2, 1, 1, 0), 6, 3},
                                {axis(10, 2, 3, 2, 2, 0), axis(10, 3, 1, 2, 2, 2), 4, 2},
                                {axis(1, 1, 1, 1, 0, 0), axis(30, 7, 2, 1, 3, 3), 2, 1},
                                {axis(8, 1, 2, 1, 0, 0), axis(8, 1, 2, 1, 0, 0), 5, 1},
                                {axis(20, 14, 1, 1, 0, 0), axis(20, 14, 1, 1, 3, 0), 1, 1},
                                {axis(2, 3, 1, 1, 2, 2), axis(2, 3, 1, 1, 2, 2), 8, 8},
                                {axis(9, 2, 4, 1, 0, 0), axis(9, 2, 4, 1, 0, 0), 2, 1}};
  for (const Case& c : cases) {
    ConvGeometry g;
    g.axes = {c.vertical, c.horizontal};
    g.images = 5;
    g.in_channels = g.out_channels = c.channels;
    g.groups = c.groups;
    std::vector<float> in(static_cast<std::size_t>(5 * c.vertical.in * c.horizontal.in * c.channels));
    random::fill_normal(random::Stream({.seed = 3}, random::Purpose::test), 0, 0, in);
    const Rounding rounding;
    std::vector<float> rounded(in.size());
    rounding.convert(in, rounded);
    const std::int64_t vectors = 5 * g.positions();
    for (const std::int64_t block : {std::int64_t{1}, std::int64_t{7}, g.positions() + 3, vectors})
      for (const bool converts : {false, true}) {
        WindowGatherer gatherer(g, in.data(), converts ? &rounding : nullptr, block);
        kernels::CodeSums by_window, by_pixel;
        for (std::int64_t begin = 0; begin < vectors; begin += block)
          for (std::int64_t group = 0; group < g.groups; ++group) {
            const std::int64_t end = std::min(vectors, begin + block);
            std::vector<float> expected(static_cast<std::size_t>((end - begin) * g.vector_size()));
            gather_rows_channel_major(g, converts ? rounded.data() : in.data(), group, begin, end, expected.data());
            const ConstMatrixView rows = gatherer.rows(group, begin, end);
            ASSERT_EQ(rows.rows * rows.cols, std::ssize(expected));
            ASSERT_TRUE(std::equal(expected.begin(), expected.end(), rows.data))
                << "kernel " << c.vertical.kernel << "x" << c.horizontal.kernel << ", block " << block << " at "
                << begin;
            by_window += kernels::code_sums(rows, rounding.input_conversion().converter);
            by_pixel += gatherer.code_sums(group, begin, end);
          }
        ASSERT_EQ(by_pixel, converts ? by_window : kernels::CodeSums{}) << "block " << block;
      }
  }
}

TEST(WindowGatherer, CountsNoCodesUnasked) {
  ConvGeometry g;
  g.axes = {axis(4, 3, 1, 1, 0, 0), axis(4, 3, 1, 1, 0, 0)};
  g.images = g.in_channels = g.out_channels = g.groups = 1;
  const std::vector<float> in(16, 1.0F);
  const Rounding quiet(false);
  WindowGatherer gatherer(g, in.data(), &quiet, 4);
  gatherer.rows(0, 0, 4);
  EXPECT_EQ(gatherer.code_sums(0, 0, 4), kernels::CodeSums{});
}

}  // namespace
}  // namespace tessera::nn
