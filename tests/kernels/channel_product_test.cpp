// Is the product of channels side by side that of every channel alone, bit for bit, on every instruction set?
#include "tessera/kernels/channel_product.hpp"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cmath>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/random/stream.hpp"

namespace tessera::kernels {
namespace {

Matrix draws(std::int64_t rows, std::int64_t cols, std::uint32_t event) {
  Matrix m(rows, cols);
  random::fill_normal(random::Stream({.seed = 8}, random::Purpose::test), event, 0, m.values());
  return m;
}

/// The vectors of one channel, and what multiply_with() makes of them.
void expect_channel(const Matrix& weight, const ChannelWindows& x, std::int64_t first_channel, std::int64_t c,
                    const Companions& given, ConstMatrixView y) {
  Matrix vectors(y.rows, weight.cols());
  std::int64_t row = 0;
  for (const WindowRun& run : x.runs)
    for (std::int64_t i = 0; i < run.count; ++i, ++row)
      for (std::size_t k = 0; k < x.taps.size(); ++k)
        vectors(row, static_cast<std::int64_t>(k)) = run.first[i * x.step + x.taps[k] + first_channel + c];
  Matrix square = vectors, magnitude = vectors, alone(y.rows, 1), variance(y.rows, 1);
  for (float& v : square.values()) v *= v;
  for (float& v : magnitude.values()) v = std::fabs(v);
  Companions companions = given;
  companions.square = square.view();
  companions.magnitude = magnitude.view();
  if (given.variance.rows > 0) companions.variance = variance.view();
  multiply_with(companions, PackedMatrix(weight.view().rows_from(c, 1)), vectors.view(), alone.view());
  for (std::int64_t r = 0; r < y.rows; ++r) {
    ASSERT_EQ(y.row(r)[c], alone(r, 0)) << "channel " << c << ", window " << r;
    if (given.variance.rows > 0) {
      ASSERT_EQ(given.variance(r, c), variance(r, 0)) << "channel " << c;
    }
  }
}

TEST(ChannelProduct, EqualsThatOfEveryChannelAlone) {
  int targets = 0;
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    SCOPED_TRACE(hwy::TargetName(target));
    ++targets;
    for (const std::int64_t channels : {1, 7, 16, 24, 33, 70})
      for (const bool ir_drop : {false, true})
        for (const bool variance : {false, true}) {
          const std::int64_t before = 3, width = channels + before + 2;  // of a pixel
          const Matrix image = draws(40, width, 1), weight = draws(channels, 5, 2);
          const std::vector<WindowRun> runs{
              {image.data(), 1}, {image.data() + 4 * width, 7}, {image.data() + width, 4}};
          const std::vector<std::int64_t> taps{0, width, 2 * width, 9 * width, 11 * width};
          const ChannelWindows x{runs, taps, 2 * width};
          Matrix y(12, channels + 1), spread(12, channels + 1);
          for (Matrix* m : {&y, &spread})
            for (float& v : m->values()) v = 77.0F;
          Companions companions;
          companions.ir_drop = ir_drop;
          companions.n_over_g = 0.3F;
          companions.ir_drop_scale = 0.8F;
          if (variance) companions.variance = spread.view().cols_from(0, channels);
          multiply_channels(companions, PackedMatrix(weight.view()), x, before, y.view().cols_from(0, channels));
          for (std::int64_t c = 0; c < channels; ++c)
            expect_channel(weight, x, before, c, companions, y.view().cols_from(0, channels));
          for (std::int64_t r = 0; r < 12; ++r) {
            EXPECT_EQ(y(r, channels), 77.0F);
            EXPECT_EQ(spread(r, channels), 77.0F);
          }
        }
  }
  hwy::SetSupportedTargetsForTest(0);
  EXPECT_GT(targets, 0);
}

TEST(ChannelProduct, RefusesShapesThatDoNotFit) {
  const Matrix weight = draws(4, 3, 1), image = draws(9, 4, 2);
  Matrix y(2, 4);
  const std::vector<WindowRun> runs{{image.data(), 2}};
  const std::vector<std::int64_t> taps{0, 4}, three{0, 4, 8};
  const PackedMatrix packed(weight.view());
  EXPECT_THROW(multiply_channels({}, packed, {runs, taps, 4}, 0, y.view()), InputError);
  EXPECT_THROW(multiply_channels({}, packed, {runs, three, 4}, 0, y.view().rows_from(0, 1)), InputError);
  EXPECT_NO_THROW(multiply_channels({}, packed, {runs, three, 4}, 0, y.view()));
}

}  // namespace
}  // namespace tessera::kernels
