#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <set>

#include "golden.hpp"
#include "number_values.hpp"

// Is stochastic rounding of number formats unbiased and independent of how the work is cut, and do accumulators, pairs of
// formats and names keep their contract?
namespace tessera::quant {
namespace {

using namespace number_test;
using testing::bit_mismatches;
using testing::same_bits;

// Mean of n roundings of x against x, in standard errors of the outcomes' spread.
bool is_unbiased(const Number& number, float x, float claimed, int n) {
  const std::vector<float> y = stochastic(number, std::vector<float>(static_cast<std::size_t>(n), x));
  double sum = 0.0, squares = 0.0;
  for (const float v : y) {
    sum += static_cast<double>(v) - claimed;
    squares += std::pow(static_cast<double>(v) - claimed, 2);
  }
  const double mean = sum / n, variance = squares / n - mean * mean;
  return std::abs(mean) <= 4.9 * std::sqrt(variance / n) + 1e-12;  // one false alarm in 10^6
}

TEST(NumberFormat, StochasticRoundingIsUnbiased) {
  constexpr int n = 100000;
  for (const Number& number :
       {Number(FixedPoint{8, 4}), Number(FloatingPoint{5, 2}), Number(BlockFloatingPoint{6}), named_number("fp8_e4m3"),
        named_number("bfloat16"), named_number("int8"), named_number("fp4_e2m1")}) {
    SCOPED_TRACE(to_string(number));
    for (const float x : {1.21f, -1.21f, 0.3f, -2.77f}) {
      if (std::holds_alternative<BlockFloatingPoint>(number) && std::abs(x) < 1.0f) continue;
      EXPECT_TRUE(is_unbiased(number, x, x, n)) << x;
      const std::vector<float> y = stochastic(number, std::vector<float>(1000, x));
      const std::set<float> outcomes(y.begin(), y.end());
      EXPECT_LE(outcomes.size(), 2u) << "only the two neighbours";
      // Power: a bias of a fiftieth of the spacing is seen.
      if (outcomes.size() == 2) {
        EXPECT_FALSE(is_unbiased(number, x, x + 0.02f * (*outcomes.rbegin() - *outcomes.begin()), n)) << x;
      }
    }
  }
}

TEST(NumberFormat, SubnormalStochasticRoundingIsUnbiased) {
  for (const char* name : {"fp16", "fp8_e4m3", "fp8_e5m2"}) {
    const auto p = std::get<HardwareFloat>(named_number(name));
    const auto x = static_cast<float>(0.3 * p.smallest());
    EXPECT_TRUE(is_unbiased(p, x, x, 100000)) << name;
    EXPECT_FALSE(is_unbiased(p, x, 1.1f * x, 100000)) << name;
  }
  EXPECT_TRUE(is_unbiased(FloatingPoint{5, 2}, 0x1p-18f, 0x1p-18f, 100000));
}

TEST(NumberFormat, ResultsDoNotDependOnHowTheWorkIsCut) {
  const std::vector<float> x = moderate(5000);
  for (const Number& number : every_format()) {
    SCOPED_TRACE(to_string(number));
    const std::vector<float> whole = nearest(number, x), drawn = stochastic(number, x, 5);
    std::vector<float> parts(x.size()), drawn_parts(x.size()), in_place = x;
    for (std::size_t i = 0, step = 1; i < x.size(); i += step, step = step % 97 + 1) {
      const std::size_t n = std::min(step, x.size() - i);
      const Shape shape{static_cast<std::int64_t>(n)};
      quantize_nearest(number, shape, std::span(x).subspan(i, n), std::span(parts).subspan(i, n));
      quantize_stochastic(number, shape, std::span(x).subspan(i, n), std::span(drawn_parts).subspan(i, n),
                          {stream, 5, i});
    }
    EXPECT_EQ(bit_mismatches(parts, whole), 0u);
    EXPECT_EQ(bit_mismatches(drawn_parts, drawn), 0u);
    quantize_stochastic(number, {5000}, in_place, in_place, {stream, 5, 0});
    EXPECT_EQ(bit_mismatches(in_place, drawn), 0u);
    if (!std::holds_alternative<std::monostate>(number)) {
      EXPECT_NE(stochastic(number, x, 6), drawn) << "another event, other words";
    }
  }
}

TEST(NumberFormat, BlockDrawsBelongToElements) {
  const Tensor x({4, 700}, moderate(2800));
  const RandomDraws draws{stream, 8, 12345};
  std::vector<std::uint32_t> words(2800);
  random::fill_bits(stream, 8, 12345, words);
  for (const int dim : {-1, 0, 1}) {
    const BlockFloatingPoint number{5, dim};
    std::vector<float> expected(2800);
    quantize_with_words(number, x.shape(), x.values(), words, expected);
    EXPECT_EQ(bit_mismatches(quantize_stochastic(number, x, draws).values(), expected), 0u) << dim;
  }
}

TEST(NumberFormat, AccumulatorRoundsEveryStep) {
  const Shape shape{1};
  std::vector<float> sum{0.0f};
  for (int i = 0; i < 100; ++i) {
    accumulate(FixedPoint{8, 4}, Rounding::nearest, shape, std::vector<float>{0.02f}, sum, {});
  }
  EXPECT_EQ(sum[0], 0.0f) << "additions below half a unit are lost";
  for (int i = 0; i < 100; ++i) {
    accumulate(FixedPoint{8, 4}, Rounding::nearest, shape, std::vector<float>{1.0f}, sum, {});
  }
  EXPECT_EQ(sum[0], 7.9375f) << "and the sum saturates";
  std::vector<float> exact{0.0f};
  for (int i = 0; i < 4; ++i) {
    accumulate(std::monostate{}, Rounding::nearest, shape, std::vector<float>{0.3f}, exact, {});
  }
  EXPECT_EQ(exact[0], 0.3f + 0.3f + 0.3f + 0.3f);
}

TEST(NumberFormat, PublishedExamplesOfTheForwardBackwardPair) {
  QuantizerParameters p;
  p.forward_number = p.backward_number = FixedPoint{5, 4};
  p.forward_rounding = p.backward_rounding = Rounding::nearest;
  p.clamping_grad_zero = true;
  const Quantizer quantizer(p);
  std::vector<std::uint8_t> mask;
  const Tensor y = quantizer.forward(Tensor({2}, std::vector<float>{3.0f, 0.5f}), {}, &mask);
  EXPECT_EQ(y.values()[0], 0.9375f);
  const Tensor grad = quantizer.backward(Tensor({2}, std::vector<float>{1.0f, 1.0f}), {}, mask);
  EXPECT_EQ(grad.values()[0], 0.0f);
  EXPECT_EQ(grad.values()[1], 0.9375f);
  EXPECT_THROW(quantizer.forward(y, {}), InputError) << "no mask to remember in";
  EXPECT_THROW(quantizer.backward(y, {}), InputError) << "no mask given back";

  p.forward_rounding = Rounding::stochastic;
  const Tensor x({1000}, moderate(1000, 0.8f));
  const Tensor masked = Quantizer(p).forward(x, {stream, 1, 0}, &mask);
  p.clamping_grad_zero = false;
  EXPECT_EQ(bit_mismatches(Quantizer(p).forward(x, {stream, 1, 0}).values(), masked.values()), 0u)
      << "remembering the mask changes no value";
  EXPECT_GT(std::count(mask.begin(), mask.end(), 1), 0);
}

TEST(NumberFormat, NamesAndNonsense) {
  EXPECT_EQ(to_string(named_number("fp8_e4m3")), "fp8_e4m3");
  EXPECT_EQ(to_string(FixedPoint{8, 4}), "fixed(wl=8, fl=4)");
  EXPECT_EQ(to_string(IntegerNumber{8, false}), "uint8");
  EXPECT_EQ(to_string(Number{}), "float32");
  for (const std::string& name : number_names()) EXPECT_NO_THROW(validate(named_number(name))) << name;
  try {
    named_number("bflaot16");
    ADD_FAILURE();
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("bfloat16"));
  }
  for (const Number& bad :
       {Number(FixedPoint{0, 4}), Number(FixedPoint{40, 4}), Number(FixedPoint{8, 100}), Number(FixedPoint{-1, -1}),
        Number(BlockFloatingPoint{0}), Number(BlockFloatingPoint{23}), Number(BlockFloatingPoint{8, -2}),
        Number(FloatingPoint{0, 4}), Number(FloatingPoint{10, 4}), Number(FloatingPoint{5, 24}),
        Number(FloatingPoint{5, -1}), Number(HardwareFloat{1, 4}), Number(HardwareFloat{9, 4}),
        Number(HardwareFloat{5, 0}), Number(HardwareFloat{8, 7, 100}), Number(HardwareFloat{8, 7, 4000}),
        Number(IntegerNumber{0, false}), Number(IntegerNumber{1, true}), Number(IntegerNumber{40, true})}) {
    EXPECT_THROW(validate(bad), ConfigError) << to_string(bad);
  }
  LayerFormats formats;
  EXPECT_NO_THROW(validate(formats));
  formats.accumulation = FloatingPoint{0, 1};
  EXPECT_THROW(validate(formats), ConfigError);
  std::vector<float> x(3), y(2);
  EXPECT_THROW(quantize_nearest(FixedPoint{8, 4}, {3}, x, y), InputError);
  EXPECT_THROW(quantize_nearest(FixedPoint{8, 4}, {2}, x, x), InputError);
  EXPECT_THROW(quantize_with_words(FixedPoint{8, 4}, {3}, x, std::vector<std::uint32_t>(2), x), InputError);
}

}  // namespace
}  // namespace tessera::quant
