// Are the glyphs the same bytes everywhere, a pure function of (seed, split, index), balanced, and varied?
#include "tessera/io/glyphs.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/io/dataset.hpp"

namespace tessera::io {
namespace {

using Image = std::array<std::uint8_t, static_cast<std::size_t>(glyph_pixels)>;

Image draw(const GlyphPainter& painter, std::int64_t index) {
  Image image;
  painter.draw(index, image);
  return image;
}

// FNV-1a, 64 bit.
std::uint64_t hash_of(const GlyphParameters& parameters, std::int64_t count) {
  const GlyphPainter painter(parameters);
  std::uint64_t hash = 0xCBF29CE484222325;
  const auto add = [&](std::uint8_t byte) { hash = (hash ^ byte) * 0x100000001B3; };
  for (std::int64_t i = 0; i < count; ++i) {
    for (const std::uint8_t pixel : draw(painter, i)) add(pixel);
    add(static_cast<std::uint8_t>(painter.label(i)));
  }
  return hash;
}

// The bytes that every machine must produce. They may change only together with glyph_layout, and then the shipped
// networks must be trained again.
TEST(GlyphsTest, KnownAnswer) {
  EXPECT_EQ(glyph_layout, 1U);
  EXPECT_EQ(hash_of({}, 1000), 0x325BB14FF7402753U);
  EXPECT_EQ(hash_of({.seed = 1, .split = GlyphSplit::train}, 1000), 0x13890F302F4C03CCU);
  EXPECT_EQ(hash_of({.seed = 0x123456789ABCDEF0}, 100), 0xF93B64556009480CU);
}

TEST(GlyphsTest, AnImageDependsOnItsSeedSplitAndIndexOnly) {
  const GlyphPainter painter({});
  const Image image = draw(painter, 12345);
  draw(painter, 7);
  EXPECT_EQ(draw(painter, 12345), image);
  EXPECT_EQ(draw(GlyphPainter({.count = 1}), 12345), image);
  EXPECT_NE(draw(painter, 12346), image);
  EXPECT_NE(draw(GlyphPainter({.seed = 2}), 12345), image);
  EXPECT_NE(draw(GlyphPainter({.split = GlyphSplit::train}), 12345), image);
  EXPECT_NO_THROW(draw(painter, (std::int64_t{1} << 32) - 1));
}

TEST(GlyphsTest, EveryTenImagesHoldEveryClass) {
  const GlyphPainter painter({});
  std::set<std::array<int, 10>> orders;
  for (std::int64_t block = 0; block < 100; ++block) {
    std::array<int, 10> order{};
    for (std::size_t i = 0; i < 10; ++i) order[i] = painter.label(10 * block + static_cast<std::int64_t>(i));
    orders.insert(order);
    std::sort(order.begin(), order.end());
    EXPECT_THAT(order, testing::ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
  }
  EXPECT_EQ(orders.size(), 100U);
}

TEST(GlyphsTest, StrengthZeroLeavesOnlyTheWaysToWriteAClass) {
  const GlyphPainter plain({.affine = 0, .elastic = 0, .stroke = 0, .contrast = 0, .noise = 0});
  std::array<std::set<Image>, glyph_classes> images;
  for (std::int64_t i = 0; i < 500; ++i) images[static_cast<std::size_t>(plain.label(i))].insert(draw(plain, i));
  for (const auto& of_class : images) EXPECT_THAT(of_class.size(), testing::AllOf(testing::Ge(2U), testing::Le(3U)));
}

TEST(GlyphsTest, EveryStrengthChangesTheImage) {
  const Image standard = draw(GlyphPainter({}), 3);
  const GlyphParameters changed[] = {
      {.affine = 0.5}, {.elastic = 0.5}, {.stroke = 0.5}, {.contrast = 0.5}, {.noise = 0.5}};
  for (const GlyphParameters& parameters : changed) EXPECT_NE(draw(GlyphPainter(parameters), 3), standard);
  for (const double strength : {0.0, 2.0}) {
    const GlyphPainter painter(
        {.affine = strength, .elastic = strength, .stroke = strength, .contrast = strength, .noise = strength});
    for (std::int64_t i = 0; i < 200; ++i) draw(painter, i);
  }
  EXPECT_THROW(GlyphPainter({.noise = 3.0}), ConfigError);
}

// The mean image of a class tells classes apart far better than chance, but by no means perfectly: the set is neither
// noise nor trivial. (A small convolutional network reaches 98 %.)
TEST(GlyphsTest, ANearestMeanClassifierIsFarFromChanceAndFarFromPerfect) {
  const GlyphPainter train({.split = GlyphSplit::train});
  const GlyphPainter test({});
  std::vector<std::array<double, static_cast<std::size_t>(glyph_pixels)>> mean(glyph_classes);
  const auto normalized = [](const Image& image) {
    std::array<double, static_cast<std::size_t>(glyph_pixels)> x{};
    double sum = 0.0;
    double squares = 0.0;
    for (const std::uint8_t pixel : image) sum += pixel;
    for (std::size_t i = 0; i < x.size(); ++i) {
      x[i] = image[i] - sum / static_cast<double>(x.size());
      squares += x[i] * x[i];
    }
    for (double& value : x) value /= std::sqrt(squares);
    return x;
  };
  for (std::int64_t i = 0; i < 2000; ++i) {
    const auto x = normalized(draw(train, i));
    auto& m = mean[static_cast<std::size_t>(train.label(i))];
    for (std::size_t k = 0; k < x.size(); ++k) m[k] += x[k];
  }
  int correct = 0;
  for (std::int64_t i = 0; i < 1000; ++i) {
    const auto x = normalized(draw(test, i));
    int best = 0;
    double best_score = -1e9;
    for (int c = 0; c < glyph_classes; ++c) {
      double score = 0.0;
      for (std::size_t k = 0; k < x.size(); ++k) score += x[k] * mean[static_cast<std::size_t>(c)][k];
      if (score > best_score) {
        best_score = score;
        best = c;
      }
    }
    correct += best == test.label(i) ? 1 : 0;
  }
  EXPECT_GT(correct, 400);
  EXPECT_LT(correct, 850);
}

TEST(GlyphsTest, TheDataSetIsTheSameForEveryBatchAndThreads) {
  DataParameters p;
  p.format = DataFormat::glyphs;
  p.first = 30;
  p.limit = 300;
  p.scale = 1.0 / 255.0;
  const GlyphPainter painter(p.glyphs);
  const DataSet data(p);
  EXPECT_EQ(data.size(), 300);
  EXPECT_EQ(data.sample_shape(), (Shape{1, 28, 28}));
  const DataSet other(p);
  const Tensor all = other.read(0, 300, Parallel{.threads = 3});
  for (const std::int64_t batch : {1, 7, 128}) {
    for (std::int64_t first = 0; first < 300; first += batch) {
      const std::int64_t count = std::min(batch, 300 - first);
      const Tensor part = data.read(first, count);
      ASSERT_TRUE(std::equal(part.values().begin(), part.values().end(), all.data() + first * glyph_pixels)) << first;
    }
  }
  for (const std::int64_t i : {0, 150, 299}) {
    const Image image = draw(painter, 30 + i);
    EXPECT_EQ(data.labels()[static_cast<std::size_t>(i)], painter.label(30 + i));
    for (std::size_t k = 0; k < image.size(); ++k) {
      ASSERT_EQ(all.data()[i * glyph_pixels + static_cast<std::int64_t>(k)],
                static_cast<float>(image[k]) * static_cast<float>(p.scale));
    }
  }
  p.glyphs.count = std::int64_t{1} << 32;  // too many to keep: drawn anew at each read
  p.first = 30;
  const Tensor again = DataSet(p).read(0, 300);
  EXPECT_TRUE(std::equal(again.values().begin(), again.values().end(), all.data()));
}

}  // namespace
}  // namespace tessera::io
