// Question: are the vector fills the scalar definition, bit for bit, on every instruction set, for every range and
// split?
#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <bit>
#include <cstring>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/random/columns.hpp"
#include "tessera/random/stream.hpp"

namespace tessera::random {
namespace {

const Stream test_stream({.seed = 0x123456789ABCDEF0, .layer = 3, .tile = 7, .repeat = 2}, Purpose::test);

/// Runs a check once for every instruction set this machine has, and counts them.
class EveryTarget : public testing::Test {
 protected:
  void TearDown() override { select(0); }

  template <class Check>
  void for_every_target(Check check) {
    select(0);
    const std::vector<std::int64_t> targets = hwy::SupportedAndGeneratedTargets();
    ASSERT_FALSE(targets.empty());
    for (const std::int64_t target : targets) {
      select(target);
      SCOPED_TRACE(hwy::TargetName(target));
      check();
    }
  }

 private:
  static void select(std::int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().DeInit();
  }
};

struct Range {
  std::uint64_t first;
  std::size_t count;
};

std::vector<Range> interesting_ranges() {
  std::vector<Range> ranges;
  for (const std::uint64_t first : {0ULL, 1ULL, 15ULL, 16ULL, 31ULL, 32ULL, 33ULL, 47ULL, 63ULL, 64ULL, 1000ULL})
    for (const std::size_t count : {0, 1, 2, 10, 15, 16, 17, 27, 31, 32, 33, 63, 64, 65, 127, 128, 129, 300})
      ranges.push_back({first, count});
  // The block counter 16 (e / 64) passes 2^32 at e = 2^34; the element index itself is 64 bits wide.
  ranges.push_back({(1ULL << 34) - 70, 200});
  ranges.push_back({(1ULL << 32) - 5, 100});
  ranges.push_back({(1ULL << 40) + 13, 77});
  ranges.push_back({~0ULL - 64, 65});
  return ranges;
}

TEST_F(EveryTarget, FillsEqualTheScalarDefinition) {
  for_every_target([] {
    for (const auto [first, count] : interesting_ranges()) {
      SCOPED_TRACE(fmt::format("first {} count {}", first, count));
      constexpr std::uint32_t guard = 0xDEADBEEF;
      std::vector<std::uint32_t> words(count + 1, guard);
      std::vector<float> uniforms(count + 1, -7.0F), normals(count + 1, -77.0F);
      fill_bits(test_stream, 5, first, std::span(words).first(count));
      fill_uniform(test_stream, 5, first, std::span(uniforms).first(count));
      fill_normal(test_stream, 5, first, std::span(normals).first(count));
      for (std::size_t i = 0; i < count; ++i) {
        ASSERT_EQ(words[i], bits(test_stream, 5, first + i));
        ASSERT_EQ(std::bit_cast<std::uint32_t>(uniforms[i]),
                  std::bit_cast<std::uint32_t>(uniform(test_stream, 5, first + i)));
        ASSERT_EQ(std::bit_cast<std::uint32_t>(normals[i]),
                  std::bit_cast<std::uint32_t>(normal(test_stream, 5, first + i)));
      }
      EXPECT_EQ(words[count], guard);
      EXPECT_EQ(uniforms[count], -7.0F);
      EXPECT_EQ(normals[count], -77.0F);
    }
  });
}

TEST_F(EveryTarget, MillionsOfNormalsEqualTheScalarDefinition) {
  constexpr std::size_t count = 1 << 20;
  std::vector<float> expected(count);
  for (std::size_t i = 0; i < count; ++i) expected[i] = normal(test_stream, 1, 12345 + i);
  for_every_target([&] {
    std::vector<float> normals(count);
    fill_normal(test_stream, 1, 12345, normals);
    EXPECT_EQ(std::memcmp(normals.data(), expected.data(), count * sizeof(float)), 0);
  });
}

TEST_F(EveryTarget, ColumnsEqualTheFillsOfTheirStreams) {
  for_every_target([] {
    for (const std::size_t count : {1, 3, 8, 16, 21})
      for (const std::uint64_t first : {0ULL, 1ULL, 60ULL, 1000ULL, (1ULL << 34) - 70})
        for (const std::int64_t rows : {0, 1, 15, 64, 130}) {
          SCOPED_TRACE(fmt::format("{} streams, first {}, {} rows", count, first, rows));
          std::vector<Stream> streams;
          for (std::uint32_t s = 0; s < count; ++s) streams.emplace_back(Address{.seed = 5, .layer = s}, Purpose::test);
          const auto size = static_cast<std::size_t>(rows) * count;
          std::vector<float> uniforms(size + 1, -7.0F), normals(size + 1, -77.0F);
          const auto cols = static_cast<std::int64_t>(count);
          fill_uniform(streams, 3, first, {uniforms.data(), rows, cols});
          fill_normal(streams, 3, first, {normals.data(), rows, cols});
          for (std::size_t i = 0; i < size; ++i) {
            const std::uint64_t element = first + i / count;
            ASSERT_EQ(uniforms[i], uniform(streams[i % count], 3, element));
            ASSERT_EQ(std::bit_cast<std::uint32_t>(normals[i]),
                      std::bit_cast<std::uint32_t>(normal(streams[i % count], 3, element)));
          }
          EXPECT_EQ(uniforms.back(), -7.0F);
          EXPECT_EQ(normals.back(), -77.0F);
        }
  });
  float value = 0.0F;
  EXPECT_THROW(fill_normal(std::vector<Stream>(2), 0, 0, {&value, 1, 1}), InputError);
}

TEST_F(EveryTarget, AnySplitOfARangeGivesTheSameBits) {
  constexpr std::size_t count = 1000;
  std::vector<float> whole(count);
  fill_normal(test_stream, 9, 77, whole);
  for_every_target([&] {
    for (const std::size_t piece : {1, 3, 10, 27, 64, 100, 999}) {
      std::vector<float> split(count);
      for (std::size_t i = 0; i < count; i += piece)
        fill_normal(test_stream, 9, 77 + i, std::span(split).subspan(i, std::min(piece, count - i)));
      EXPECT_EQ(std::memcmp(split.data(), whole.data(), count * sizeof(float)), 0) << "pieces of " << piece;
    }
  });
}

TEST(Fill, WritesToUnalignedMemory) {
  std::vector<float> memory(500), expected(400);
  fill_normal(test_stream, 0, 64, expected);
  for (std::size_t shift = 0; shift < 17; ++shift) {
    const std::span<float> target = std::span(memory).subspan(shift, expected.size());
    fill_normal(test_stream, 0, 64, target);
    EXPECT_TRUE(std::equal(target.begin(), target.end(), expected.begin())) << "shift " << shift;
  }
}

}  // namespace
}  // namespace tessera::random
