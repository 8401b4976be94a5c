// Do depthwise pixels keep their definition for every channel count, number of taps and instruction set?
#include "tessera/kernels/depthwise.hpp"

#include <gtest/gtest.h>

#include <hwy/targets.h>

#include <cmath>
#include <vector>

#include "tessera/core/tensor.hpp"
#include "tessera/random/stream.hpp"

namespace tessera::kernels {
namespace {

Matrix draws(std::int64_t rows, std::int64_t cols, std::uint32_t event) {
  Matrix m(rows, cols);
  random::fill_normal(random::Stream({.seed = 8}, random::Purpose::test), event, 0, m.values());
  return m;
}

TEST(DepthwisePixels, EqualTheScalarDefinitionOnEveryInstructionSet) {
  int targets = 0;
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    ++targets;
    for (const std::int64_t channels : {1, 7, 16, 33})
      for (const std::int64_t pixels : {0, 1, 4, 7})
        for (const std::size_t taps : {std::size_t{0}, std::size_t{3}, std::size_t{9}})
          for (const Limits limits : {Limits{}, rectifier, Limits{-0.25F, 0.5F}}) {
            const std::int64_t step = 2 * channels;
            const Matrix image = draws(20, channels, 1), weight = draws(9, channels, 2), bias = draws(1, channels, 3);
            std::vector<DepthwiseTap> list;
            for (std::size_t k = 0; k < taps; ++k)
              list.push_back({image.data() + static_cast<std::int64_t>(k % 5) * channels,
                              weight.data() + static_cast<std::int64_t>(k) * channels});
            const std::span<const float> shift = taps == 3 ? std::span<const float>() : bias.values();
            std::vector<float> y(static_cast<std::size_t>(pixels * channels) + 1, 77.0F);
            depthwise_pixels(list, step, channels, pixels, shift, limits, y.data());
            for (std::int64_t p = 0; p < pixels; ++p)
              for (std::int64_t c = 0; c < channels; ++c) {
                float expected = 0.0F;
                for (const DepthwiseTap& tap : list)
                  expected = std::fma(tap.pixel[p * step + c], tap.weight[c], expected);
                if (!shift.empty()) expected += shift[static_cast<std::size_t>(c)];
                expected = limits(expected);
                ASSERT_EQ(y[static_cast<std::size_t>(p * channels + c)], expected)
                    << hwy::TargetName(target) << " " << channels << " channels, " << taps << " taps";
              }
            EXPECT_EQ(y.back(), 77.0F);
          }
  }
  hwy::SetSupportedTargetsForTest(0);
  EXPECT_GT(targets, 0);
}

}  // namespace
}  // namespace tessera::kernels
