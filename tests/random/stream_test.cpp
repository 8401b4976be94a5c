// Question: are streams addressed as documented, is Philox the published one, and are the polynomials as accurate as
// stated?
#include "tessera/random/stream.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <set>

#include "random/box_muller.hpp"
#include "tessera/random/philox.hpp"

namespace tessera::random {
namespace {

// Random123 1.14, tests/kat_vectors.
TEST(Philox, KnownAnswers) {
  static_assert(philox4x32_10({0, 0, 0, 0}, {0, 0}) == PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  constexpr std::uint32_t ones = 0xffffffff;
  static_assert(philox4x32_10({ones, ones, ones, ones}, {ones, ones}) ==
                PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  static_assert(philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
                PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
  // The same at run time, where no constant folding helps.
  volatile std::uint32_t zero = 0;
  EXPECT_EQ(philox4x32_10({zero, zero, zero, zero}, {zero, zero}),
            (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
}

TEST(Stream, KeyAndWordsFollowTheDocumentedLayout) {
  const Address address{.seed = 0xFEDCBA9876543210, .layer = 11, .tile = 22, .repeat = 33};
  const PhiloxCounter key = philox4x32_10({0x200, 11, 22, 33}, {0x76543210, 0xFEDCBA98});
  const Stream stream(address, Purpose::programming);
  EXPECT_EQ(stream.key, (PhiloxKey{key[0], key[1]}));

  const std::uint64_t element = (1ULL << 38) + 64 * 5 + 2 * 16 + 9;  // q = 2^32 + 5, w = 2, l = 9
  const std::uint64_t block = 16 * ((1ULL << 32) + 5) + 9;
  const PhiloxCounter words =
      philox4x32_10({static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), 77, 0}, stream.key);
  EXPECT_EQ(bits(stream, 77, element), words[2]);
}

// Pins layout 1: these numbers are in users' result files. If this fails, rng_layout must change.
TEST(Stream, LayoutOneIsPinned) {
  ASSERT_EQ(rng_layout, 1U);
  const Stream stream({.seed = 1, .layer = 2, .tile = 3, .repeat = 4}, Purpose::output_noise);
  EXPECT_EQ(stream.key[0], 0x40950F67U);
  EXPECT_EQ(bits(stream, 5, 6), 0x280F2BA5U);
  EXPECT_EQ(bits(stream, 5, 64 * 7 + 48 + 3), 0x7F796CE8U);
}

TEST(Stream, EveryPartOfTheAddressMatters) {
  const Address base{.seed = 1, .layer = 1, .tile = 1, .repeat = 1};
  std::set<std::uint32_t> words;
  const auto draw = [&](const Address& a, Purpose p, std::uint32_t event, std::uint64_t element) {
    words.insert(bits(Stream(a, p), event, element));
  };
  draw(base, Purpose::test, 0, 0);
  draw({.seed = 2, .layer = 1, .tile = 1, .repeat = 1}, Purpose::test, 0, 0);
  draw({.seed = 1ULL << 32 | 1, .layer = 1, .tile = 1, .repeat = 1}, Purpose::test, 0, 0);
  draw({.seed = 1, .layer = 2, .tile = 1, .repeat = 1}, Purpose::test, 0, 0);
  draw({.seed = 1, .layer = 1, .tile = 2, .repeat = 1}, Purpose::test, 0, 0);
  draw({.seed = 1, .layer = 1, .tile = 1, .repeat = 2}, Purpose::test, 0, 0);
  draw(base, Purpose::programming, 0, 0);
  draw(base, Purpose::test, 1, 0);
  draw(base, Purpose::test, 0, 1);
  draw(base, Purpose::test, 0, 16);
  draw(base, Purpose::test, 0, 64);
  draw(base, Purpose::test, 0, 1ULL << 34);
  draw(base, Purpose::test, 0, 1ULL << 40);
  EXPECT_EQ(words.size(), 13U);
}

TEST(Uniform, StaysInsideTheOpenInterval) {
  // The extreme words, through the formula that the header states.
  EXPECT_GT(static_cast<float>(0U >> 9) * 0x1p-23F + 0x1p-24F, 0.0F);
  EXPECT_LT(static_cast<float>(0xFFFFFFFFU >> 9) * 0x1p-23F + 0x1p-24F, 1.0F);
}

// Stated bounds: r^2 to 4e-7 relative, sin and cos to 1.2e-7 absolute, against double precision.
TEST(BoxMuller, PolynomialsAreAccurate) {
  double worst_radius = 0.0, worst_sin = 0.0, worst_cos = 0.0;
  const auto check = [&](std::uint32_t word) {
    const double u = (static_cast<double>(word) + 0.5) * 0x1p-32;
    // float32 cannot hold u closer to 1 than 2^-25: compare with the logarithm of the float that was used.
    const double used = static_cast<double>(static_cast<float>(word) + 0.5F) * 0x1p-32;
    const double r2 = -2.0 * std::log(used);
    ASSERT_GE(radius_squared(word), 0.0F);
    if (r2 > 0.0) worst_radius = std::max(worst_radius, std::abs(static_cast<double>(radius_squared(word)) / r2 - 1.0));
    ASSERT_LE(std::abs(used - u), 0x1p-24);
    const double angle = 2.0 * std::numbers::pi * static_cast<double>(word) * 0x1p-32;
    const SinCos result = sin_cos_turn(word);
    worst_sin = std::max(worst_sin, std::abs(static_cast<double>(result.sin) - std::sin(angle)));
    worst_cos = std::max(worst_cos, std::abs(static_cast<double>(result.cos) - std::cos(angle)));
  };
  for (std::uint64_t word = 0; word < 1ULL << 32; word += 997) check(static_cast<std::uint32_t>(word));
  for (std::uint32_t i = 0; i < 100000; ++i) {
    check(i);
    check(0xFFFFFFFFU - i);
    for (std::uint32_t octant_border = 0; octant_border < 8; ++octant_border) check((octant_border << 29) + i - 50000);
  }
  EXPECT_LT(worst_radius, 4e-7);
  EXPECT_LT(worst_sin, 1.2e-7);
  EXPECT_LT(worst_cos, 1.2e-7);
  EXPECT_GT(worst_radius, 1e-8);  // the comparison is alive
  RecordProperty("radius", std::to_string(worst_radius * 1e9) + "e-9");
  RecordProperty("sin", std::to_string(worst_sin * 1e9) + "e-9");
}

TEST(BoxMuller, ReachesTheStatedTailAndNeverOverflows) {
  EXPECT_NEAR(std::sqrt(radius_squared(0)), 6.7637, 1e-3);
  EXPECT_NEAR(box_muller(0, 0).first, 6.7637, 1e-3);
  EXPECT_EQ(box_muller(0, 0).second, 0.0F);
  EXPECT_TRUE(std::isfinite(box_muller(0xFFFFFFFF, 0x40000000).first));
  EXPECT_GE(radius_squared(0xFFFFFFFF), 0.0F);
}

}  // namespace
}  // namespace tessera::random
