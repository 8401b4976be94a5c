// Are channels with ranges of their own converted as each alone, bit for bit, and counted alike, on every instruction
// set?
#include "tessera/kernels/channel_converter.hpp"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cmath>
#include <limits>

#include "tessera/core/error.hpp"
#include "tessera/random/stream.hpp"

namespace tessera::kernels {
namespace {

TEST(ChannelConverter, EqualsTheConversionOfEveryChannel) {
  int targets = 0;
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    SCOPED_TRACE(hwy::TargetName(target));
    ++targets;
    for (const std::int64_t channels : {1, 8, 13, 33})
      for (int flags = 0; flags < 16; ++flags) {
        constexpr std::int64_t pixels = 50;
        ChannelConversion c;
        for (std::int64_t i = 0; i < channels; ++i) c.ranges.push_back(0.3F + 0.17F * static_cast<float>(i % 7));
        if ((flags & 1) != 0) c.scale = 1.3F;
        if ((flags & 2) != 0) c.converter = make_converter(1.0, 254.0);
        if ((flags & 4) != 0) c.negative_factor = 0.9F;
        if ((flags & 8) != 0) c.converter.bound = 0.8F;
        Matrix x(pixels, channels), z(pixels, channels);
        random::fill_normal(random::Stream({.seed = 8}, random::Purpose::test), 0, 0, x.values());
        x(3, 0) = 0.0F;
        x(4, 0) = -0.0F;
        ConversionCounts counts, expected;
        ASSERT_TRUE(convert_channels(c, x.values(), z.values(), &counts));
        Matrix uncounted(pixels, channels);
        ASSERT_TRUE(convert_channels(c, x.values(), uncounted.values(), nullptr));
        for (std::int64_t i = 0; i < channels; ++i) {
          Matrix own(pixels, 1);
          for (std::int64_t p = 0; p < pixels; ++p) own(p, 0) = x(p, i);
          const std::vector<float> scale(pixels, c.scale);
          DacBlock block;
          block.x = own.view();
          block.z = own.view();
          block.range = c.ranges[static_cast<std::size_t>(i)];
          block.scale = c.scale != 1.0F ? scale.data() : nullptr;
          block.converter = c.converter;
          block.negative_factor = c.negative_factor;
          block.counts = &expected;
          ASSERT_TRUE(convert_inputs(block));
          for (std::int64_t p = 0; p < pixels; ++p) {
            ASSERT_EQ(z(p, i), own(p, 0)) << "channel " << i << ", flags " << flags;
            ASSERT_EQ(std::signbit(z(p, i)), std::signbit(own(p, 0))) << x(p, i);
            ASSERT_EQ(uncounted(p, i), own(p, 0));
          }
        }
        EXPECT_EQ(counts.range_clipped, expected.range_clipped);
        EXPECT_EQ(counts.clipped, expected.clipped);
        EXPECT_EQ(counts.peak, expected.peak);
        x(7, channels - 1) = std::numeric_limits<float>::infinity();
        EXPECT_FALSE(convert_channels(c, x.values(), z.values(), nullptr));
      }
  }
  hwy::SetSupportedTargetsForTest(0);
  EXPECT_GT(targets, 0);
  std::vector<float> three(3);
  EXPECT_THROW(convert_channels({.ranges = {1.0F, 2.0F}, .converter = {}}, three, three, nullptr), InputError);
}

}  // namespace
}  // namespace tessera::kernels
