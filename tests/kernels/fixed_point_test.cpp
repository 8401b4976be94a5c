// Is the integer datapath what its definition says, and the same integers in all lanes of all instruction sets?
#include "tessera/kernels/fixed_point.hpp"

#include <gtest/gtest.h>

#include <hwy/targets.h>

#include <cmath>
#include <random>
#include <vector>

#include "tessera/core/error.hpp"

namespace tessera::kernels {
namespace {

using R = FixedPointRounding;
constexpr R roundings[] = {R::nearest_even, R::half_up, R::half_away, R::truncate, R::toward_zero, R::stochastic};

// --- value types -----------------------------------------------------------------------------------------------------

double rounded_real(double x, R rounding, double u) {
  switch (rounding) {
    case R::nearest_even:
      return std::nearbyint(x);
    case R::half_up:
      return std::floor(x + 0.5);
    case R::half_away:
      return std::round(x);
    case R::truncate:
      return std::floor(x);
    case R::toward_zero:
      return std::trunc(x);
    case R::stochastic:
      return std::floor(x + u);
  }
  return 0.0;
}

TEST(FixedPoint, RoundsEveryValueAsDefined) {
  for (const R rounding : roundings)
    for (int shift = 0; shift <= 6; ++shift)
      for (int x = -300; x <= 300; ++x)
        for (const std::uint32_t word : {0U, 0x40000000U, 0x80000000U, 0xFFFFFFFFU}) {
          // u has as many bits as are dropped
          const double u = shift == 0 ? 0.0 : std::floor(std::ldexp(word, shift - 32)) / std::ldexp(1.0, shift);
          const double expected = rounded_real(std::ldexp(x, -shift), rounding, u);
          ASSERT_EQ(static_cast<double>(round_shift(x, shift, rounding, word)), expected)
              << x << " >> " << shift << ", rounding " << static_cast<int>(rounding);
        }
  EXPECT_TRUE(round_shift(-5, -3, R::truncate) == -40);
}

TEST(FixedPoint, StochasticRoundingIsUnbiased) {
  // 3/8 above -2: rounds up in 3 of 8 words of equal spacing.
  int ups = 0;
  for (std::uint32_t k = 0; k < 8; ++k) ups += round_shift(-13, 3, R::stochastic, k << 29U) == -1 ? 1 : 0;
  EXPECT_EQ(ups, 3);
}

TEST(FixedPoint, FitsEveryValueIntoEveryWidth) {
  for (int bits = 1; bits <= 6; ++bits)
    for (const bool is_signed : {false, true})
      for (int x = -150; x <= 150; ++x) {
        const std::int64_t low = is_signed ? -(1 << (bits - 1)) : 0, high = (1 << (is_signed ? bits - 1 : bits)) - 1;
        const std::int64_t expected = std::clamp<std::int64_t>(x, low, high);
        ASSERT_EQ(fit(x, bits, is_signed, FixedPointOverflow::saturate), expected);
        std::int64_t wrapped = x;
        while (wrapped < low) wrapped += std::int64_t{1} << bits;
        while (wrapped > high) wrapped -= std::int64_t{1} << bits;
        ASSERT_EQ(fit(x, bits, is_signed, FixedPointOverflow::wrap), wrapped);
      }
}

// --- the datapath ----------------------------------------------------------------------------------------------------

// a = 100, m = 0.7071 in Q(u,1,7): M = 91; bias 3.3 in Q(s,7,1): B = 7, at 7 fraction bits 448.
FixedPointDatapath example() {
  return {};
}
const FixedPointTerm example_term{.code = 100, .multiplier = 91};

TEST(FixedPoint, KnownValues) {
  FixedPointDatapath path = example();
  FixedPointCounts counts;
  EXPECT_EQ(reference::fixed_point_output(path, {&example_term, 1}, 448, {}, &counts), 75);
  EXPECT_EQ(counts, (FixedPointCounts{0, 0, 9100, 9548, 75}));
  path.output_rounding = R::truncate;
  EXPECT_EQ(reference::fixed_point_output(path, {&example_term, 1}, 448), 74);
  path = example();
  path.accumulator_bits = 12;
  EXPECT_EQ(reference::fixed_point_output(path, {&example_term, 1}, 448), 16);
  path.accumulator_overflow = FixedPointOverflow::wrap;
  path.output_bits = 0;
  EXPECT_EQ(reference::fixed_point_output(path, {&example_term, 1}, 448), 1356);
  path.output_bits = 8;
  EXPECT_EQ(reference::fixed_point_output(path, {&example_term, 1}, 448), 11);
}

TEST(FixedPoint, MultiplierOneAndNoBiasReturnTheCode) {
  for (int code = -127; code <= 127; ++code) {
    const FixedPointTerm term{.code = code, .multiplier = 128};
    EXPECT_EQ(reference::fixed_point_output(example(), {&term, 1}, 0), code);
  }
}

TEST(FixedPoint, FusedReluIsReluBehind) {
  for (int code = -127; code <= 127; ++code) {
    const FixedPointTerm term{.code = code, .multiplier = 91};
    FixedPointDatapath fused = example();
    fused.relu = true;
    EXPECT_EQ(reference::fixed_point_output(fused, {&term, 1}, 100),
              std::max<std::int64_t>(0, reference::fixed_point_output(example(), {&term, 1}, 100)));
  }
}

TEST(FixedPoint, TilesOnlyChangeTheOrderOfSums) {
  std::mt19937_64 random(1);
  FixedPointDatapath path = example();
  path.accumulator_bits = 40;
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<FixedPointTerm> terms(7);
    std::int64_t total = 0;
    for (FixedPointTerm& t : terms) {
      t = {.code = static_cast<std::int64_t>(random() % 255) - 127, .multiplier = 91};
      total += t.code;
    }
    const FixedPointTerm whole{.code = total, .multiplier = 91};
    EXPECT_EQ(reference::fixed_point_output(path, terms, 448), reference::fixed_point_output(path, {&whole, 1}, 448));
  }
}

// --- vectors ---------------------------------------------------------------------------------------------------------

struct Drawn {
  FixedPointDatapath path;
  std::vector<FixedPointColumns> tiles;
  std::vector<std::vector<std::int64_t>> multiplier, tile_bias;
  std::vector<std::vector<std::int32_t>> shift;
  std::vector<std::int64_t> bias;
  std::vector<Matrix> v;
  std::int64_t rows = 0, columns = 0, largest_code = 0;
};

// Formats at random, with corners often: the largest codes, cuts wider than the product, negative fraction bits.
Drawn draw(std::mt19937_64& random, int tiles) {
  const auto below = [&](std::int64_t n) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(n));
  };
  Drawn d;
  const bool narrow = below(2) == 0;
  d.rows = 1 + below(4);
  d.columns = 1 + below(40);
  const int code_bits = 1 + static_cast<int>(below(narrow ? 8 : 16)),
            width = 1 + static_cast<int>(below(narrow ? 9 : 32));
  d.largest_code = (std::int64_t{1} << code_bits) - 1;
  FixedPointDatapath& p = d.path;
  p.cut = below(4) == 0 ? static_cast<int>(below(50)) : static_cast<int>(below(5));
  p.product_rounding = roundings[below(6)];
  p.accumulator_bits = 2 + static_cast<int>(below(narrow ? 26 : 56));
  p.accumulator_overflow = below(2) == 0 ? FixedPointOverflow::wrap : FixedPointOverflow::saturate;
  p.fraction_bits = static_cast<int>(below(24)) - 6;
  p.relu = below(2) == 0;
  p.output_bits = static_cast<int>(below(narrow ? 13 : 33));
  p.output_signed = p.output_bits == 0 || below(2) == 0;
  p.output_rounding = roundings[below(p.product_rounding == R::stochastic ? 6 : 5)];
  p.output_overflow = below(2) == 0 ? FixedPointOverflow::wrap : FixedPointOverflow::saturate;
  const bool same = below(2) == 0, is_signed = below(2) == 0;
  const CodeRange range = code_range(width, is_signed);
  const auto in_range = [&](CodeRange r) {
    const std::int64_t kind = below(6);
    if (kind == 0) return r.low;
    if (kind == 1) return r.high;
    return r.low + below(r.high - r.low + 1);
  };
  const CodeRange bias_range = code_range(1 + static_cast<int>(below(20)), true);
  for (int k = 0; k < tiles; ++k) {
    std::vector<std::int64_t> m, b;
    std::vector<std::int32_t> s;
    const auto common = static_cast<std::int32_t>(below(30)) - 10;
    const bool has_bias = below(3) == 0;
    for (std::int64_t i = 0; i < d.columns; ++i) {
      m.push_back(in_range(range));
      s.push_back(same ? common : static_cast<std::int32_t>(below(30)) - 10);
      b.push_back(has_bias ? in_range(bias_range) : 0);
    }
    d.tiles.push_back(
        pack_fixed_point(p, m, s, has_bias ? std::span<const std::int64_t>(b) : std::span<const std::int64_t>()));
    d.multiplier.push_back(m);
    d.shift.push_back(s);
    d.tile_bias.push_back(b);
    Matrix v(d.rows, d.columns);
    for (float& value : v.values()) value = static_cast<float>(in_range({-d.largest_code, d.largest_code})) * 0.25F;
    d.v.push_back(std::move(v));
  }
  for (std::int64_t i = 0; i < d.columns; ++i) d.bias.push_back(in_range(bias_range));
  return d;
}

TEST(FixedPoint, VectorsEqualTheScalarReferenceInEveryLaneAndInstructionSet) {
  std::mt19937_64 random(7);
  int seen[4] = {};
  for (int trial = 0; trial < 6000; ++trial) {
    const int tiles = std::vector<int>{1, 1, 2, 7}[static_cast<std::size_t>(random() % 4)];
    const Drawn d = draw(random, tiles);
    const auto size = static_cast<std::size_t>(d.rows * d.columns);
    std::vector<std::vector<FixedPointWords>> words(static_cast<std::size_t>(tiles),
                                                    std::vector<FixedPointWords>(size));
    for (auto& tile : words)
      for (FixedPointWords& w : tile)
        w = {static_cast<std::uint32_t>(random()), static_cast<std::uint32_t>(random()),
             static_cast<std::uint32_t>(random())};
    const FixedPointColumns::Column packed_bias = pack_fixed_point_bias(d.bias);
    std::int64_t largest_bias = 0;
    for (const std::int64_t b : d.bias) largest_bias = std::max(largest_bias, std::abs(b));
    FixedPointLanes lanes = FixedPointLanes::int32;
    for (const FixedPointColumns& tile : d.tiles)
      lanes = std::max(lanes, lanes_of(d.path, tile, d.largest_code, largest_bias));
    ++seen[static_cast<int>(lanes)];

    const float u = 0.37F;
    Matrix expected(d.rows, d.columns);
    FixedPointCounts expected_counts;
    for (std::int64_t r = 0; r < d.rows; ++r)
      for (std::int64_t c = 0; c < d.columns; ++c) {
        const auto i = static_cast<std::size_t>(c);
        std::vector<FixedPointTerm> terms;
        std::vector<FixedPointWords> draws;
        for (std::size_t k = 0; k < d.tiles.size(); ++k) {
          terms.push_back(
              {static_cast<std::int64_t>(d.v[k](r, c) * 4.0F), d.multiplier[k][i], d.shift[k][i], d.tile_bias[k][i]});
          draws.push_back(words[k][static_cast<std::size_t>(r * d.columns + c)]);
        }
        const std::int64_t o = reference::fixed_point_output(d.path, terms, d.bias[i], draws, &expected_counts);
        const double unit = static_cast<double>(u);
        expected(r, c) = static_cast<float>(static_cast<double>(o) *
                                            (d.path.output_bits > 0 ? unit : std::ldexp(unit, -d.path.fraction_bits)));
      }
    const bool saturates = d.path.accumulator_overflow == FixedPointOverflow::saturate &&
                           (d.path.output_bits == 0 || d.path.output_overflow == FixedPointOverflow::saturate);
    for (const FixedPointLanes used :
         {FixedPointLanes::int32, FixedPointLanes::real64, FixedPointLanes::int64, FixedPointLanes::scalar}) {
      if (used < lanes || (used == FixedPointLanes::real64 && !saturates)) continue;
      for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
        hwy::SetSupportedTargetsForTest(target);
        std::vector<std::int32_t> narrow(static_cast<std::size_t>(d.rows * padded_columns(d.columns)));
        std::vector<std::int64_t> wide(narrow.size());
        std::vector<double> real(narrow.size());
        Matrix y(d.rows, d.columns);
        FixedPointCounts counts;
        for (std::size_t k = 0; k < d.tiles.size(); ++k) {
          FixedPointBlock block;
          block.datapath = &d.path;
          block.columns = &d.tiles[k];
          block.lanes = used;
          block.v = d.v[k].view();
          block.codes_per_unit = 4.0F;
          block.largest_code = static_cast<std::int32_t>(d.largest_code);
          block.first = k == 0;
          block.last = k + 1 == d.tiles.size();
          block.bias = &packed_bias;
          block.y = y.view();
          block.output_step = u;
          block.narrow_sums = narrow.data();
          block.real_sums = real.data();
          block.wide_sums = wide.data();
          block.words = words[k];
          block.counts = trial % 2 == 0 ? &counts : nullptr;
          run_fixed_point(block);
        }
        for (std::size_t n = 0; n < size; ++n)
          ASSERT_EQ(y.values()[n], expected.values()[n])
              << "trial " << trial << ", " << hwy::TargetName(target) << ", lanes " << static_cast<int>(used);
        if (trial % 2 == 0) {
          ASSERT_EQ(counts, expected_counts) << "trial " << trial << ", " << hwy::TargetName(target);
        }
      }
      hwy::SetSupportedTargetsForTest(0);
    }
  }
  EXPECT_GT(seen[0], 300);
  EXPECT_GT(seen[1], 300);
  EXPECT_GT(seen[2], 300);
  EXPECT_GT(seen[3], 300);
}

TEST(FixedPoint, NarrowLanesAreRefusedWhereTheyWouldOverflow) {
  FixedPointDatapath path;
  const std::int32_t shift = 0;
  const auto lanes = [&](std::int64_t multiplier) {
    return lanes_of(path, pack_fixed_point(path, {&multiplier, 1}, {&shift, 1}, {}), 127, 448);
  };
  EXPECT_EQ(lanes(255), FixedPointLanes::int32);
  EXPECT_EQ(lanes((std::int64_t{1} << 24)), FixedPointLanes::real64);
  EXPECT_EQ(lanes((std::int64_t{1} << 43)), FixedPointLanes::int64);
  path.accumulator_bits = 32;
  EXPECT_EQ(lanes(255), FixedPointLanes::real64);
  path.accumulator_overflow = FixedPointOverflow::wrap;
  EXPECT_EQ(lanes(255), FixedPointLanes::int64);
  path.output_rounding = R::stochastic;
  EXPECT_EQ(lanes(255), FixedPointLanes::scalar);
}

TEST(FixedPoint, RefusesColumnsThatDoNotFit) {
  const std::int64_t two[] = {1, 2};
  const std::int32_t one[] = {0};
  EXPECT_THROW(pack_fixed_point({}, two, one, {}), InputError);
}

}  // namespace
}  // namespace tessera::kernels
