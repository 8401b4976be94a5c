#include "tessera/quant/number_format.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <set>

#include "golden.hpp"
#include "number_values.hpp"

// Do the number formats keep their contract beyond the golden numbers: definitions tried value by value, properties,
// special values, unbiased stochastic rounding, independence of how the work is cut, errors?
namespace tessera::quant {
namespace {

using namespace number_test;
using testing::bit_mismatches;
using testing::same_bits;

std::vector<float> values_for_fixed_point() {
  std::vector<float> x = patterns(60000);
  for (float v = 0.4999f; v < 0.5001f; v = std::nextafter(v, 1.0f)) x.push_back(v);
  for (float v = 8388600.0f; v < 16777300.0f; v += 4194301.0f) {
    for (int i = -40; i < 40; ++i) x.push_back(v + static_cast<float>(i));
  }
  return x;
}

TEST(NumberFormat, FixedPointIsItsDefinitionInDouble) {
  const std::vector<float> x = values_for_fixed_point();
  for (const int fl : {0, 4, -3, 20}) {
    const std::vector<float> y = nearest(FixedPoint{8, fl, false}, x);
    std::size_t peer_differs = 0;
    const std::vector<float> peer = nearest(FixedPoint{8, fl, false, false, true}, x);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double a = std::ldexp(static_cast<double>(x[i]), fl);
      const bool overflows = std::abs(a) > static_cast<double>(std::numeric_limits<float>::max());
      const double expected = overflows ? std::copysign(infinity, x[i]) : std::ldexp(std::nearbyint(a), -fl);
      ASSERT_TRUE(same_bits(y[i], static_cast<float>(expected))) << x[i] << " fl " << fl;
      peer_differs += y[i] == peer[i] || std::isnan(y[i]) ? 0 : 1;
    }
    EXPECT_GT(peer_differs, 0U) << fl;
  }
}

// Numbers of the format stay whatever is drawn; others go to one of their neighbours.
TEST(NumberFormat, StochasticFixedPointKeepsItsNumbers) {
  const std::vector<float> x = {1.0f, 3.0f, -3.0f, 1001.0f, 8388607.0f, -0.5f, 2.25f, 0x1p-30f, -0x1p-30f, 5.999999f};
  for (const std::uint32_t word : {0u, 0xffu, 0x100u, 0x80000000u, 0xffffff00u, 0xffffffffu}) {
    const std::vector<std::uint32_t> words(x.size(), word);
    std::vector<float> y(x.size());
    quantize_with_words(FixedPoint{32, 0, false}, {static_cast<std::int64_t>(x.size())}, x, words, y);
    for (std::size_t i = 0; i < x.size(); ++i) {
      EXPECT_GE(y[i], std::floor(x[i])) << x[i] << " " << word;
      EXPECT_LE(y[i], std::ceil(x[i])) << x[i] << " " << word;
    }
  }
}

// Subnormal results of every exponent width, around all ties of small formats: half away from zero, of the exact value.
TEST(NumberFormat, SubnormalsAreRoundedOnce) {
  for (const auto& [exp, man] : {std::pair{5, 10}, {4, 3}, {5, 2}, {2, 3}, {8, 7}, {8, 23}, {8, 22}, {7, 20}, {1, 4}}) {
    const FloatingPoint number{exp, man};
    const FloatingPoint twice{exp, man, NanRule::propagate, true};
    const int e_min = -((1 << (exp - 1)) - 2);
    const double quantum = std::ldexp(1.0, e_min - man);
    std::vector<float> x;
    for (int code = 0; code < (1 << std::min(man, 8)); ++code)
      for (const double half : {0.0, 0.5}) {
        const auto at = static_cast<float>((code + half) * quantum);
        for (const float v : {at, std::nextafter(at, 0.0f), std::nextafter(at, infinity)})
          if (v < static_cast<float>(std::ldexp(1.0, e_min))) {
            x.push_back(v);
            x.push_back(-v);
          }
      }
    const std::vector<float> y = nearest(number, x), peer = nearest(twice, x);
    std::size_t differ = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double units = std::abs(static_cast<double>(x[i])) / quantum;
      const auto expected = static_cast<float>(std::copysign(std::floor(units + 0.5) * quantum, x[i]));
      ASSERT_EQ(y[i], expected) << exp << " " << man << " " << x[i];
      if (expected == 0.0f) {
        ASSERT_FALSE(std::signbit(y[i]));
      }
      differ += y[i] == peer[i] ? 0 : 1;
    }
    if (exp == 5) {
      EXPECT_GT(differ, 0U);
    }
  }
  EXPECT_EQ(nearest(FloatingPoint{5, 10}, std::nextafter(0x1p-25f, 0.0f)), 0.0f);
  EXPECT_EQ(nearest(FloatingPoint{5, 10, NanRule::propagate, true}, std::nextafter(0x1p-25f, 0.0f)), 0x1p-24f);
}

// Blocks of every size, from subnormals to the largest floats, around ties: half up, of the exact value.
TEST(NumberFormat, BlocksAreRoundedOnce) {
  std::size_t differ = 0;
  for (const int wl : {1, 2, 3, 5, 8, 16, 22})
    for (const int power : {-140, -126, -61, -3, 0, 7, 61, 100, 125, 127}) {
      const float leading = std::ldexp(1.0f, power);
      const double step = std::ldexp(1.0, power + 2 - wl);
      std::vector<float> x{leading, std::nextafter(2.0f * std::ldexp(leading, -1), infinity)};
      for (int code = 0; code <= std::min(1 << (wl - 1), 40); ++code)
        for (const double half : {0.0, 0.5}) {
          const auto at = static_cast<float>((code + half) * step);
          for (const float v : {at, std::nextafter(at, 0.0f), std::nextafter(at, infinity)})
            if (std::isfinite(v) && static_cast<double>(v) < 2.0 * static_cast<double>(leading)) {
              x.push_back(v);
              x.push_back(-v);
            }
        }
      const std::vector<float> y = nearest(BlockFloatingPoint{wl}, x);
      const std::vector<float> peer = nearest(BlockFloatingPoint{wl, -1, true}, x);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double top = std::max(2.0 * static_cast<double>(leading) - step, static_cast<double>(leading));
        const double units = std::floor(static_cast<double>(x[i]) / step + 0.5);
        const double expected = std::min(std::max(units * step, -top), top);
        ASSERT_EQ(static_cast<double>(y[i]), static_cast<double>(static_cast<float>(expected)))
            << wl << " " << power << " " << x[i];
        differ += y[i] == peer[i] ? 0 : 1;
      }
    }
  EXPECT_GT(differ, 100U);
}

TEST(NumberFormat, FixedPointWithASecondRoundingIsItsDefinitionInDouble) {
  const std::vector<float> x = values_for_fixed_point();
  for (const int fl : {0, 4, -3, 20}) {
    const std::vector<float> y = nearest(FixedPoint{8, fl, false, false, true}, x);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const float a = x[i] * std::ldexp(1.0f, fl);
      const float b = a + 0.5f;
      const double k = std::nearbyint(static_cast<double>(b) - 0.5);
      ASSERT_TRUE(same_bits(y[i], static_cast<float>(k) * std::ldexp(1.0f, -fl))) << x[i] << " fl " << fl;
    }
  }
}

// Every nonnegative number of a hardware format, ascending, by decoding its codes.
std::vector<double> numbers_of(const HardwareFloat& p) {
  std::vector<double> numbers;
  const int codes = 1 << (p.exp + p.man);
  for (int code = 0; code < codes; ++code) {
    const int field = code >> p.man, mantissa = code & ((1 << p.man) - 1);
    if (p.codes == SpecialCodes::ieee && field == (1 << p.exp) - 1) break;
    if (p.codes == SpecialCodes::nan_only && code == codes - 1) break;
    const double fraction = std::ldexp(mantissa, -p.man);
    numbers.push_back(field == 0 ? std::ldexp(fraction, 1 - p.bias) : std::ldexp(1.0 + fraction, field - p.bias));
  }
  return numbers;
}

TEST(NumberFormat, HardwareFormatsTakeTheNearestCode) {
  for (const std::string& name : number_names()) {
    const Number number = named_number(name);
    const auto* p = std::get_if<HardwareFloat>(&number);
    if (p == nullptr || p->exp + p->man > 15) continue;
    SCOPED_TRACE(name);
    const std::vector<double> numbers = numbers_of(*p);
    EXPECT_EQ(p->largest(), numbers.back());
    EXPECT_EQ(p->smallest(), numbers[1]);
    std::vector<float> x = patterns(20000);
    for (std::size_t k = 0; k + 1 < numbers.size(); k += 1 + numbers.size() / 500) {  // ties and their neighbours
      const auto tie = static_cast<float>((numbers[k] + numbers[k + 1]) / 2);
      for (const float v : {tie, std::nextafter(tie, 0.0f), std::nextafter(tie, infinity)}) {
        x.push_back(v);
        x.push_back(-v);
      }
    }
    const std::vector<float> y = nearest(number, x);
    const double next = 2 * numbers.back() - numbers[numbers.size() - 2];  // where the next number would be
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double magnitude = std::abs(static_cast<double>(x[i]));
      const auto above = std::lower_bound(numbers.begin(), numbers.end(), magnitude);
      double expected;
      const double beyond = p->codes == SpecialCodes::ieee   ? std::numeric_limits<double>::infinity()
                            : p->codes == SpecialCodes::none ? numbers.back()
                                                             : std::numeric_limits<double>::quiet_NaN();
      const double overflow = p->saturate ? numbers.back() : beyond;
      const auto even = [&](std::size_t index) { return index % 2 == 0; };
      if (above == numbers.end()) {
        const double middle = (numbers.back() + next) / 2;
        const bool up = magnitude > middle || (magnitude == middle && !even(numbers.size() - 1));
        expected = up ? overflow : numbers.back();
      } else {
        const auto k = static_cast<std::size_t>(above - numbers.begin());
        if (*above == magnitude || k == 0) {
          expected = *above;
        } else {
          const double middle = (numbers[k - 1] + numbers[k]) / 2;
          expected = magnitude < middle   ? numbers[k - 1]
                     : magnitude > middle ? numbers[k]
                     : even(k)            ? numbers[k]
                                          : numbers[k - 1];
        }
      }
      float signed_expected = std::copysign(static_cast<float>(expected), x[i]);
      if (expected == 0.0 && p->codes == SpecialCodes::negative_zero_nan) signed_expected = 0.0f;
      ASSERT_TRUE(same_bits(y[i], signed_expected)) << x[i] << " gave " << y[i] << " not " << signed_expected;
    }
  }
}

TEST(NumberFormat, RealOverflowAndNanRulesBesideQPyTorch) {
  EXPECT_EQ(nearest(named_number("fp16"), 65504.0f), 65504.0f);
  EXPECT_EQ(nearest(named_number("fp16"), 65519.0f), 65504.0f);
  EXPECT_EQ(nearest(named_number("fp16"), 65520.0f), infinity);
  EXPECT_EQ(nearest(FloatingPoint{5, 10}, 65520.0f), 65536.0f) << "no code is reserved there";
  EXPECT_EQ(nearest(FloatingPoint{5, 10}, infinity), 131008.0f);
  EXPECT_TRUE(std::isnan(nearest(named_number("fp8_e4m3"), 500.0f)));
  EXPECT_EQ(nearest(named_number("fp8_e4m3_sat"), 500.0f), 448.0f);
  EXPECT_EQ(nearest(FloatingPoint{4, 3}, 500.0f), 480.0f);
  EXPECT_EQ(nearest(named_number("fp8_e5m2"), -1e6f), -infinity);
  EXPECT_EQ(nearest(named_number("fp8_e5m2_sat"), -infinity), -57344.0f);
  EXPECT_EQ(nearest(named_number("bfloat16"), std::numeric_limits<float>::max()), infinity);
  EXPECT_TRUE(std::isnan(nearest(named_number("fp8_e4m3fnuz"), infinity)));
  EXPECT_EQ(nearest(named_number("fp4_e2m1"), 100.0f), 6.0f);
  EXPECT_EQ(nearest(named_number("fp6_e3m2"), -100.0f), -28.0f);
  EXPECT_EQ(nearest(named_number("fp6_e2m3"), 100.0f), 7.5f);
  EXPECT_EQ(nearest(named_number("int8"), 200.0f), 127.0f);
  EXPECT_EQ(nearest(named_number("int8"), -infinity), -128.0f);
  EXPECT_EQ(nearest(named_number("int8"), 2.5f), 2.0f);
  EXPECT_EQ(nearest(named_number("uint8"), -3.0f), 0.0f);
  EXPECT_EQ(nearest(named_number("uint8"), 300.0f), 255.0f);
  for (const Number& number : every_format()) {
    EXPECT_TRUE(std::isnan(nearest(number, nan))) << to_string(number);
    EXPECT_TRUE(std::isnan(stochastic(number, {nan})[0])) << to_string(number);
  }
}

TEST(NumberFormat, PropertiesOfEveryFormat) {
  std::vector<float> x = moderate(4000, 40.0f);
  std::sort(x.begin(), x.end());
  for (const Number& number : every_format()) {
    SCOPED_TRACE(to_string(number));
    const std::vector<float> y = nearest(number, x);
    const std::vector<float> again = nearest(number, y);
    for (std::size_t i = 0; i < y.size(); ++i) {  // but for the sign of zero
      ASSERT_TRUE(same_bits(again[i], y[i]) || (again[i] == 0.0f && y[i] == 0.0f)) << "idempotent: " << x[i];
    }
    float last = -infinity;
    for (const float v : y) {
      if (std::isnan(v)) continue;  // beyond the largest number of a format without infinity
      ASSERT_GE(v, last) << "monotone";
      last = v;
    }
    const auto* fixed = std::get_if<FixedPoint>(&number);
    const auto* integer = std::get_if<IntegerNumber>(&number);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const bool lopsided = (fixed != nullptr && !fixed->symmetric) || integer != nullptr;
      const float mirrored = nearest(number, -x[i]);
      if (!lopsided) {
        ASSERT_TRUE(std::isnan(y[i]) ? std::isnan(mirrored) : mirrored == -y[i]) << "odd: " << x[i];
      }
      if (fixed != nullptr) {
        ASSERT_LE(y[i], fixed_point_range(*fixed).t_max);
        ASSERT_GE(y[i], fixed_point_range(*fixed).t_min);
      }
    }
  }
}

TEST(NumberFormat, ZerosAndDenormals) {
  const float tiny = std::numeric_limits<float>::denorm_min();
  for (const Number& number : every_format()) {
    SCOPED_TRACE(to_string(number));
    for (const float v : {0.0f, -0.0f}) {
      EXPECT_EQ(nearest(number, v), 0.0f);
      EXPECT_EQ(stochastic(number, {v})[0], 0.0f);
    }
    EXPECT_TRUE(nearest(number, std::vector<float>{}).empty());
    EXPECT_TRUE(stochastic(number, {}).empty());
    EXPECT_LE(std::abs(nearest(number, tiny)), std::ldexp(1.0f, -126)) << "stays tiny";
  }
  EXPECT_TRUE(same_bits(nearest(named_number("fp16"), -0.0f), -0.0f));
  EXPECT_TRUE(same_bits(nearest(named_number("fp8_e4m3fnuz"), -0.0f), 0.0f));
  EXPECT_TRUE(same_bits(nearest(FloatingPoint{5, 2}, -0.0f), 0.0f));
  EXPECT_TRUE(same_bits(nearest(FloatingPoint{9, 2}, -0.0f), -0.0f));
  EXPECT_TRUE(same_bits(nearest(IntegerNumber{8}, -0.3f), 0.0f));
  EXPECT_EQ(nearest(FloatingPoint{8, 23}, tiny), tiny) << "23 mantissa bits keep everything";
  EXPECT_EQ(nearest(FloatingPoint{8, 23}, -1.2345678f), -1.2345678f);
}

TEST(NumberFormat, ReachableSetOfSmallFloats) {
  for (const auto& [exp, man] : {std::pair{2, 2}, std::pair{2, 3}, std::pair{3, 2}}) {
    std::set<float> expected, reached;
    const int e_min = -((1 << (exp - 1)) - 2), e_max = 1 << (exp - 1);
    for (int m = 0; m < 1 << man; ++m) {
      const float fraction = std::ldexp(static_cast<float>(m), -man);
      expected.insert(std::ldexp(fraction, e_min));
      for (int e = e_min; e <= e_max; ++e) expected.insert(std::ldexp(1.0f + fraction, e));
    }
    for (int i = 0; i <= 3000; ++i) reached.insert(nearest(FloatingPoint{exp, man}, static_cast<float>(i) * 0.01f));
    EXPECT_EQ(reached, expected) << exp << " " << man;
  }
}

TEST(NumberFormat, HalfPrecisionHasTheErrorOfTheHardwareFormat) {
  std::vector<float> x(20000);
  random::fill_uniform(stream, 3, 0, x);
  const std::vector<float> a = nearest(FloatingPoint{5, 10}, x), b = nearest(named_number("fp16"), x);
  double error_a = 0.0, error_b = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    error_a += std::pow(static_cast<double>(a[i]) - x[i], 2);
    error_b += std::pow(static_cast<double>(b[i]) - x[i], 2);
  }
  EXPECT_NEAR(error_a, error_b, 1e-12);
}

TEST(NumberFormat, FixedEqualsBlockOnTheUnitInterval) {
  std::vector<float> x(5000);
  random::fill_uniform(stream, 4, 0, x);
  for (std::size_t i = 0; i < x.size(); i += 2) x[i] = -x[i];
  x[0] = 0.75f;
  for (const int wl : {2, 4, 8, 12}) {
    const std::vector<float> block = nearest(BlockFloatingPoint{wl}, x);
    const std::vector<float> fixed = nearest(FixedPoint{wl, wl - 1, true, true}, x);
    std::size_t different = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (block[i] == fixed[i]) continue;
      ++different;  // ties only (half up there, to even here), as seen after the block's float32 sum
      const float scaled = std::ldexp(x[i], wl - 1);
      EXPECT_NEAR(scaled - std::floor(scaled), 0.5f, std::ldexp(1.0f, wl - 1 - 22));
    }
    EXPECT_LT(different, 10u);
  }
}

TEST(NumberFormat, BlocksScaleWithPowersOfTwo) {
  const std::vector<float> x = moderate(512);
  for (const int wl : {1, 2, 5, 8, 22}) {
    const std::vector<float> y = nearest(BlockFloatingPoint{wl}, x);
    for (const int power : {-100, -3, 60, 120, 124}) {
      std::vector<float> scaled = x, expected = y;
      for (float& v : scaled) v = std::ldexp(v, power);
      for (float& v : expected) v = std::ldexp(v, power);
      EXPECT_EQ(bit_mismatches(nearest(BlockFloatingPoint{wl}, scaled), expected), 0u) << wl << " " << power;
    }
    if (wl == 1) continue;  // its -2^E is below its own decision point
    EXPECT_EQ(bit_mismatches(nearest(BlockFloatingPoint{wl}, y), y), 0u) << "idempotent";
  }
}

TEST(NumberFormat, BlocksOfEveryDimension) {
  const Tensor x({3, 4, 5}, moderate(60));
  for (int dim = 0; dim < 3; ++dim) {
    const Tensor y = quantize_nearest(BlockFloatingPoint{4, dim}, x);
    for (std::int64_t index = 0; index < x.dim(dim); ++index) {
      std::vector<float> block, expected;
      for (std::int64_t i = 0; i < 60; ++i) {
        const std::int64_t at[3] = {i / 20, i / 5 % 4, i % 5};
        if (at[dim] != index) continue;
        block.push_back(x.data()[i]);
        expected.push_back(y.data()[i]);
      }
      EXPECT_EQ(bit_mismatches(nearest(BlockFloatingPoint{4}, block), expected), 0u) << dim << " " << index;
    }
  }
  const Tensor poisoned = quantize_nearest(BlockFloatingPoint{4, 0}, Tensor({2, 2}, std::vector<float>{nan, 1, 2, 3}));
  EXPECT_TRUE(std::isnan(poisoned.values()[1])) << "the block of a NaN";
  EXPECT_EQ(poisoned.values()[3], 3.0f) << "the block beside it";
}

}  // namespace
}  // namespace tessera::quant
