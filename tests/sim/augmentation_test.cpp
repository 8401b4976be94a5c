// Do augmentations do to an image what they say, from draws that depend on the address alone?
#include "tessera/sim/augmentation.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tessera/core/error.hpp"

namespace tessera::sim {
namespace {

using testing::Each;
using testing::Pointwise;

using Values = std::vector<float>;

const Shape image{2, 5, 6};
const Values black{-1.0F, -2.0F};

/// Every pixel has a value of its own.
Values picture() {
  Values values(static_cast<std::size_t>(element_count(image)));
  std::iota(values.begin(), values.end(), 1.0F);
  return values;
}

Values augmented(const AugmentationParameters& parameters, std::uint32_t epoch = 0, std::uint64_t sample = 0,
                 std::uint64_t seed = 1) {
  const Values source = picture();
  Values target(source.size(), 1e9F);
  augment(parameters, {.seed = seed, .epoch = epoch, .sample = sample}, image, black, source, target);
  return target;
}

float pixel(const Values& values, std::int64_t c, std::int64_t row, std::int64_t column) {
  if (row < 0 || row >= image[1] || column < 0 || column >= image[2]) return black[static_cast<std::size_t>(c)];
  return values[static_cast<std::size_t>((c * image[1] + row) * image[2] + column)];
}

TEST(AugmentationTest, OffIsACopy) {
  EXPECT_EQ(augmented({}), picture());
  EXPECT_FALSE(AugmentationParameters{}.is_on());
}

TEST(AugmentationTest, FlipMirrorsHalfOfTheImages) {
  const Values source = picture();
  Values mirrored = source;
  for (auto row = mirrored.begin(); row != mirrored.end(); row += image[2]) std::reverse(row, row + image[2]);
  int flipped = 0;
  constexpr int samples = 2000;
  for (std::uint64_t s = 0; s < samples; ++s) {
    const Values seen = augmented({.flip = true}, 0, s);
    ASSERT_TRUE(seen == source || seen == mirrored);
    flipped += seen == mirrored ? 1 : 0;
  }
  // Binomial(2000, 1/2): five standard deviations, one false alarm in 2e6.
  EXPECT_NEAR(flipped, samples / 2, 5.0 * std::sqrt(samples * 0.25));
}

TEST(AugmentationTest, CropIsAWholeShiftOfAtMostThePadding) {
  const Values source = picture();
  std::vector<int> seen(25, 0);
  for (std::uint64_t s = 0; s < 1000; ++s) {
    const Values got = augmented({.crop = 2}, 0, s);
    bool found = false;
    for (std::int64_t dy = -2; dy <= 2 && !found; ++dy) {
      for (std::int64_t dx = -2; dx <= 2 && !found; ++dx) {
        bool same = true;
        for (std::int64_t c = 0; c < image[0]; ++c)
          for (std::int64_t i = 0; i < image[1]; ++i)
            for (std::int64_t j = 0; j < image[2]; ++j)
              same = same && pixel(got, c, i, j) == pixel(source, c, i + dy, j + dx);
        found = same;
        if (same) ++seen[static_cast<std::size_t>((dy + 2) * 5 + dx + 2)];
      }
    }
    ASSERT_TRUE(found) << "sample " << s;
  }
  // 1000 draws over 25 windows, 40 expected each: none of 25 misses below 40 - 5.5 sqrt(38.4) = 6 but once in 1e6.
  EXPECT_THAT(seen, Each(testing::Gt(5)));
}

TEST(AugmentationTest, ShiftIsTheBilinearImageInBetween) {
  // A ramp along the columns: shifted by s it is the ramp minus s, wherever no black comes in.
  Values ramp(60);
  for (std::size_t k = 0; k < ramp.size(); ++k) ramp[k] = static_cast<float>(k % 6);
  double smallest = 0.0;
  double largest = 0.0;
  for (std::uint64_t s = 0; s < 500; ++s) {
    Values got(60);
    augment({.shift = 1.5}, {.seed = 3, .epoch = 1, .sample = s}, image, Values{0.0F, 0.0F}, ramp, got);
    const double shift = 2.0 - double{pixel(got, 0, 2, 2)};
    EXPECT_NEAR(pixel(got, 0, 2, 3), 3.0 - shift, 1e-5);
    EXPECT_NEAR(pixel(got, 1, 2, 2), 2.0 - shift, 1e-5) << "all channels move together";
    smallest = std::min(smallest, shift);
    largest = std::max(largest, shift);
  }
  EXPECT_GE(smallest, -1.5);
  EXPECT_LE(largest, 1.5);
  EXPECT_LT(smallest, -1.4);
  EXPECT_GT(largest, 1.4);
}

TEST(AugmentationTest, RotationAndZoomKeepTheCentreAndMoveTheRest) {
  const Shape odd{1, 5, 5};
  Values source(25, 0.0F);
  source[12] = 7.0F;
  source[13] = 3.0F;
  int moved = 0;
  for (std::uint64_t s = 0; s < 50; ++s) {
    Values got(25);
    augment({.rotation = 90.0, .zoom = 0.3}, {.seed = 1, .epoch = 0, .sample = s}, odd, Values{0.0F}, source, got);
    EXPECT_FLOAT_EQ(got[12], 7.0F);
    moved += std::abs(got[13] - 3.0F) > 0.1F ? 1 : 0;
  }
  EXPECT_GT(moved, 35);
}

TEST(AugmentationTest, NoiseHasItsStandardDeviation) {
  const Values source(40000, 0.5F);
  Values got(source.size());
  augment({.noise = 0.2}, {.seed = 5, .epoch = 2, .sample = 9}, {40000}, {}, source, got);
  double sum = 0.0;
  double squares = 0.0;
  for (const float v : got) {
    sum += double{v} - 0.5;
    squares += (double{v} - 0.5) * (double{v} - 0.5);
  }
  const double n = static_cast<double>(got.size());
  EXPECT_NEAR(sum / n, 0.0, 4.9 * 0.2 / std::sqrt(n));
  EXPECT_NEAR(squares / n, 0.04, 4.9 * 0.04 * std::sqrt(2.0 / n));
}

TEST(AugmentationTest, DrawsDependOnSeedEpochAndSample) {
  const AugmentationParameters all{.shift = 2.0, .rotation = 20.0, .zoom = 0.2, .flip = true, .crop = 1, .noise = 0.1};
  EXPECT_EQ(augmented(all), augmented(all));
  EXPECT_NE(augmented(all), augmented(all, 1));
  EXPECT_NE(augmented(all), augmented(all, 0, 1));
  EXPECT_NE(augmented(all), augmented(all, 0, 0, 2));
}

TEST(AugmentationTest, OnlyImagesCanBeMoved) {
  const Values source(10);
  Values target(10);
  EXPECT_THROW(augment({.shift = 1.0}, {}, {10}, Values{0.0F}, source, target), InputError);
  EXPECT_NO_THROW(augment({.noise = 1.0}, {}, {10}, {}, source, target));
}

TEST(ShuffleTest, IsAPermutationThatDependsOnSeedAndEpoch) {
  const std::vector<std::int64_t> order = shuffled_order(1, 0, 1000);
  std::vector<std::int64_t> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  for (std::int64_t i = 0; i < 1000; ++i) ASSERT_EQ(sorted[static_cast<std::size_t>(i)], i);
  EXPECT_NE(order, sorted);
  EXPECT_EQ(order, shuffled_order(1, 0, 1000));
  EXPECT_NE(order, shuffled_order(1, 1, 1000));
  EXPECT_NE(order, shuffled_order(2, 0, 1000));
  int at_home = 0;
  for (std::int64_t i = 0; i < 1000; ++i) at_home += order[static_cast<std::size_t>(i)] == i ? 1 : 0;
  EXPECT_LT(at_home, 10) << "Poisson(1): ten or more once in 1e7";
}

}  // namespace
}  // namespace tessera::sim
