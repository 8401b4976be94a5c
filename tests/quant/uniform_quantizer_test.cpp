#include "tessera/quant/uniform_quantizer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "golden.hpp"

// Does a uniform quantizer keep its contract (quantization reference A): edge ranges, special values, properties,
// errors?
namespace tessera::quant {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

UniformQuantizer make(QMethod method, int bits, float low, float high, ScaleDomain domain = ScaleDomain::linear) {
  UniformQuantizer quantizer({.n_bits = bits, .method = method, .scale_domain = domain});
  quantizer.set_quant_range(low, high);
  return quantizer;
}

std::vector<float> forward(const UniformQuantizer& quantizer, const std::vector<float>& x) {
  std::vector<float> y(x.size());
  quantizer.forward(x, y);
  return y;
}

std::vector<float> random_values(std::size_t count, float spread, unsigned seed) {
  std::mt19937 engine(seed);
  std::vector<float> values(count);
  for (float& v : values) {
    v = spread * (static_cast<float>(engine() >> 8) / 8388608.0f - 1.0f);
  }
  return values;
}

TEST(UniformQuantizer, EdgeRangesOfTheReferenceTable) {
  const UniformQuantizer symmetric = make(QMethod::symmetric_uniform, 8, -1.0f, 1.0f);
  EXPECT_EQ(symmetric.delta()[0], 1.0f / 127.0f);
  EXPECT_FLOAT_EQ(symmetric.x_min()[0], -1.0078740f);  // one step beyond -absmax
  EXPECT_EQ(symmetric.x_max()[0], 1.0f / 127.0f * 127.0f);
  const UniformQuantizer asymmetric = make(QMethod::asymmetric_uniform, 8, -1.0f, 1.0f);
  EXPECT_LT(asymmetric.zero_float()[0], 127.5f);  // because the step was rounded up
  EXPECT_EQ(asymmetric.zero_point()[0], 127.0f);
  const UniformQuantizer positive = make(QMethod::symmetric_uniform, 8, 1.0f, 2.0f);
  EXPECT_FALSE(positive.is_signed());
  EXPECT_EQ(positive.delta()[0], 2.0f / 255.0f);  // zero is forced into the range
  const UniformQuantizer negative = make(QMethod::asymmetric_uniform, 8, -2.0f, -1.0f);
  EXPECT_EQ(negative.zero_point()[0], 255.0f);
  EXPECT_EQ(forward(negative, {0.5f})[0], 0.0f);
  const UniformQuantizer zero = make(QMethod::symmetric_uniform, 8, 0.0f, 0.0f);
  EXPECT_EQ(zero.scale()[0], 1e-8f);
  EXPECT_FLOAT_EQ(zero.x_max()[0], 2.55e-6f);
  EXPECT_FLOAT_EQ(make(QMethod::symmetric_uniform, 8, 0.0f, 0.0f, ScaleDomain::log).scale()[0], 1e-8f / 255.0f);
  const UniformQuantizer inverted = make(QMethod::symmetric_uniform, 8, 2.0f, -3.0f);
  EXPECT_EQ(inverted.state(), zero.state());
}

TEST(UniformQuantizer, PropertiesOverBitsMethodsAndDomains) {
  std::vector<float> x = random_values(4001, 3.0f, 7);
  std::sort(x.begin(), x.end());
  for (const QMethod method : {QMethod::symmetric_uniform, QMethod::asymmetric_uniform}) {
    for (const ScaleDomain domain : {ScaleDomain::linear, ScaleDomain::log}) {
      for (const int bits : {2, 3, 5, 8, 12, 16, 24}) {
        SCOPED_TRACE(fmt::format("{} {} {}", to_string(method), to_string(domain), bits));
        const UniformQuantizer q = make(method, bits, -1.3f, 2.1f, domain);
        const std::vector<float> y = forward(q, x);
        EXPECT_EQ(testing::bit_mismatches(forward(q, y), y), 0u) << "idempotent";
        EXPECT_TRUE(std::is_sorted(y.begin(), y.end())) << "monotone";
        EXPECT_GE(y.front(), q.x_min()[0]);
        EXPECT_LE(y.back(), q.x_max()[0]);
        std::vector<float> codes(x.size());
        q.to_integer_forward(x, codes);
        for (std::size_t i = 0; i < x.size(); ++i) {
          ASSERT_EQ(codes[i], std::nearbyint(codes[i]));
          ASSERT_EQ(y[i], q.scale()[0] * (codes[i] - q.zero_point()[0]));
          if (x[i] > q.x_min()[0] && x[i] < q.x_max()[0]) {
            ASSERT_LE(std::abs(x[i] - y[i]), q.scale()[0] * 0.5f + std::abs(x[i]) * 1.3e-7f);
          }
          if (method == QMethod::symmetric_uniform && std::abs(x[i]) <= q.x_max()[0]) {
            ASSERT_EQ(forward(q, {-x[i]})[0], -y[i]) << "odd inside the range";
          }
        }
      }
    }
  }
}

TEST(UniformQuantizer, SpecialValues) {
  const float tiny = std::numeric_limits<float>::denorm_min();
  for (const QMethod method : {QMethod::symmetric_uniform, QMethod::asymmetric_uniform}) {
    const UniformQuantizer q = make(method, 4, -1.0f, 1.0f);
    const std::vector<float> y = forward(q, {nan, infinity, -infinity, -0.0f, 0.0f, tiny, -tiny, -1e-9f});
    EXPECT_TRUE(std::isnan(y[0]));
    EXPECT_EQ(y[1], q.x_max()[0]);
    EXPECT_EQ(y[2], q.x_min()[0]);
    for (std::size_t i = 3; i < y.size(); ++i) EXPECT_TRUE(testing::same_bits(y[i], 0.0f)) << i;
    EXPECT_TRUE(forward(q, {}).empty());
  }
}

TEST(UniformQuantizer, TiesGoToEven) {
  const UniformQuantizer q = make(QMethod::symmetric_uniform, 8, -127.0f, 127.0f);  // step 1
  EXPECT_THAT(forward(q, {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f}), ::testing::ElementsAre(0, 2, 2, 0, -2, -2));
}

TEST(UniformQuantizer, InPlaceAndSplitCallsGiveTheSameBits) {
  const UniformQuantizer q = make(QMethod::asymmetric_uniform, 6, -0.7f, 2.0f);
  const std::vector<float> x = random_values(1003, 3.0f, 3);
  const std::vector<float> whole = forward(q, x);
  std::vector<float> in_place = x;
  q.forward(in_place, in_place);
  EXPECT_EQ(in_place, whole);
  for (std::size_t i = 0; i < x.size(); i += 7) {
    const std::size_t n = std::min<std::size_t>(7, x.size() - i);
    EXPECT_EQ(
        testing::bit_mismatches(forward(q, {x.begin() + static_cast<long>(i), x.begin() + static_cast<long>(i + n)}),
                                std::span(whole).subspan(i, n)),
        0u);
  }
}

TEST(UniformQuantizer, ChannelsOfEveryDimension) {
  const Shape shape{3, 4, 5};
  const std::vector<float> values = random_values(60, 2.0f, 11);
  const Tensor x(shape, values);
  for (int axis = -3; axis < 3; ++axis) {
    SCOPED_TRACE(axis);
    UniformQuantizer q({.n_bits = 5, .method = QMethod::asymmetric_uniform, .axis = axis});
    const ChannelLayout layout = q.layout(shape);
    std::vector<float> low, high;
    for (std::int64_t c = 0; c < layout.channels; ++c) {
      low.push_back(-0.1f * static_cast<float>(c + 1));
      high.push_back(0.7f + 0.3f * static_cast<float>(c));
    }
    q.set_quant_range(low, high);
    const Tensor y = q.forward(x);
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const std::int64_t c = i / layout.inner % layout.channels;
      const UniformQuantizer one =
          make(QMethod::asymmetric_uniform, 5, low[static_cast<std::size_t>(c)], high[static_cast<std::size_t>(c)]);
      ASSERT_EQ(y.data()[i], forward(one, {x.data()[i]})[0]) << i;
    }
  }
}

TEST(UniformQuantizer, OneSignedFlagForAllChannels) {
  UniformQuantizer q({.n_bits = 4, .per_channel = true});
  const std::vector<float> low{0.0f, -1.0f}, high{7.0f, 0.5f};
  q.set_quant_range(low, high);
  EXPECT_TRUE(q.is_signed());
  EXPECT_EQ(q.delta()[0], 1.0f);  // 7 / 7 although channel 0 has no negative value
}

TEST(UniformQuantizer, RangeIsSetResetAndSpread) {
  UniformQuantizer q({.n_bits = 4, .per_channel = true});
  EXPECT_FALSE(q.is_initialized());
  const std::vector<float> low{-1.0f, -2.0f}, high{1.0f, 2.0f};
  q.set_quant_range(low, high);
  EXPECT_EQ(q.channels(), 2);
  q.set_quant_range(-7.0f, 7.0f);  // one element is spread over the channels
  EXPECT_THAT(q.delta(), ::testing::ElementsAre(1.0f, 1.0f));
  const std::vector<float> three{-1.0f, -1.0f, -1.0f}, ones{1.0f, 1.0f, 1.0f};
  EXPECT_THROW(q.set_quant_range(three, ones), InputError);
  EXPECT_THAT(q.delta(), ::testing::ElementsAre(1.0f, 1.0f)) << "a refused range changes nothing";
  q.make_range_trainable();
  EXPECT_TRUE(q.range_trainable());
  q.reset();
  EXPECT_FALSE(q.is_initialized());
  EXPECT_FALSE(q.range_trainable());
  q.set_quant_range(three, ones);
  EXPECT_EQ(q.channels(), 3);
  EXPECT_NO_THROW(q.forward(Tensor({3, 2})));
  EXPECT_NO_THROW(q.forward(Tensor({3, 2, 2}))) << "the rank may change: no shape is frozen";
  EXPECT_THROW(q.forward(Tensor({4, 2})), InputError);
}

TEST(UniformQuantizer, StateMovesToAnotherQuantizer) {
  const UniformQuantizerParameters p{.n_bits = 6, .method = QMethod::asymmetric_uniform, .axis = 1};
  UniformQuantizer a(p), b(p);
  a.set_quant_range(std::vector<float>{-1, -2}, std::vector<float>{3, 4});
  b.set_state(a.state());
  const Tensor x({2, 2}, std::vector<float>{0.3f, -0.7f, 2.9f, 0.1f});
  EXPECT_EQ(testing::bit_mismatches(a.forward(x).values(), b.forward(x).values()), 0u);
  EXPECT_THROW(b.set_state({.delta = {1.0f}, .zero_float = {}}), InputError);
  EXPECT_THROW(b.set_state({.delta = {nan}, .zero_float = {0.0f}}), InputError);
  EXPECT_THROW(b.set_state({.delta = {1.0f}, .zero_float = {0.0f}, .is_signed = true}), InputError);
}

TEST(UniformQuantizer, EverythingThatNeedsARangeSaysSo) {
  for (const QMethod method : {QMethod::symmetric_uniform, QMethod::asymmetric_uniform}) {
    for (const bool per_channel : {false, true}) {
      UniformQuantizer q({.n_bits = 8, .method = method, .per_channel = per_channel});
      std::vector<float> x{1.0f}, y(1);
      EXPECT_THROW(q.forward(x, y), QuantizerNotInitializedError);
      EXPECT_THROW(q.to_integer_forward(x, y), QuantizerNotInitializedError);
      EXPECT_THROW(q.forward(Tensor({1})), QuantizerNotInitializedError);
      EXPECT_THROW(q.delta(), QuantizerNotInitializedError);
      EXPECT_THROW(q.scale(), QuantizerNotInitializedError);
      EXPECT_THROW(q.zero_point(), QuantizerNotInitializedError);
      EXPECT_THROW(q.zero_float(), QuantizerNotInitializedError);
      EXPECT_THROW(q.x_min(), QuantizerNotInitializedError);
      EXPECT_THROW(q.x_max(), QuantizerNotInitializedError);
      EXPECT_THROW(q.grid(), QuantizerNotInitializedError);
      EXPECT_THROW(q.make_range_trainable(), QuantizerNotInitializedError);
      if (method == QMethod::symmetric_uniform) {
        EXPECT_THROW(q.is_signed(), QuantizerNotInitializedError);
        EXPECT_THROW(q.int_min(), QuantizerNotInitializedError);
        EXPECT_THROW(q.int_max(), QuantizerNotInitializedError);
      } else {
        EXPECT_EQ(q.int_min(), 0);
        EXPECT_EQ(q.int_max(), 255);
      }
    }
  }
}

TEST(UniformQuantizer, NonsenseIsRefused) {
  EXPECT_THROW(UniformQuantizer({.n_bits = 0}), ConfigError);
  EXPECT_THROW(UniformQuantizer({.n_bits = -3}), ConfigError);
  EXPECT_THROW(UniformQuantizer({.n_bits = 25}), ConfigError);
  EXPECT_THROW(UniformQuantizer({.n_bits = 40}), ConfigError);
  EXPECT_THROW(UniformQuantizer({.per_channel = true, .axis = 0}), ConfigError);
  EXPECT_THROW(UniformQuantizer({.eps = 0.0}), ConfigError);
  EXPECT_THROW(UniformQuantizer({.eps = static_cast<double>(nan)}), ConfigError);
  EXPECT_THROW(UniformQuantizer({.method = static_cast<QMethod>(7)}), ConfigError);
  EXPECT_THROW(UniformQuantizer({.scale_domain = static_cast<ScaleDomain>(7)}), ConfigError);
  try {
    UniformQuantizer({.n_bits = 0, .eps = -1.0});
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.problems().size(), 2u) << "every problem at once";
  }
  UniformQuantizer q({.n_bits = 8});
  EXPECT_THROW(q.set_quant_range(nan, 1.0f), InputError);
  EXPECT_THROW(q.set_quant_range(-1.0f, nan), InputError);
  EXPECT_THROW(q.set_quant_range(-infinity, 1.0f), InputError);
  EXPECT_THROW(q.set_quant_range(std::vector<float>{-1, -1}, std::vector<float>{1, 1}), InputError);
  EXPECT_THROW(q.set_quant_range(std::vector<float>{-1}, std::vector<float>{1, 1}), InputError);
  EXPECT_THROW(q.set_quant_range(std::vector<float>{}, std::vector<float>{}), InputError);
  UniformQuantizer wide({.n_bits = 1, .method = QMethod::asymmetric_uniform});
  EXPECT_THROW(wide.set_quant_range(-3e38f, 3e38f), InputError) << "the width overflows";
  UniformQuantizer one_bit({.n_bits = 1});
  EXPECT_THROW(one_bit.set_quant_range(-1.0f, 1.0f), InputError);
  EXPECT_NO_THROW(one_bit.set_quant_range(0.0f, 1.0f));
  UniformQuantizer axis({.axis = 2});
  EXPECT_THROW(axis.layout({3, 4}), InputError);
}

/// The same bounds on another grid are what set_quant_range() makes of them there.
TEST(UniformQuantizer, ARangeFollowsToAnotherGrid) {
  const UniformQuantizerParameters from{.n_bits = 8};
  for (const auto& [low, high] : std::vector<std::pair<float, float>>{{-1.0f, 3.0f}, {0.5f, 2.0f}, {-3.0f, -1.0f}})
    for (const UniformQuantizerParameters& to :
         {UniformQuantizerParameters{.n_bits = 4}, UniformQuantizerParameters{.n_bits = 12},
          UniformQuantizerParameters{.n_bits = 8, .method = QMethod::asymmetric_uniform},
          UniformQuantizerParameters{.n_bits = 3, .scale_domain = ScaleDomain::log}}) {
      UniformQuantizer found(from), fresh(to);
      found.set_quant_range(low, high);
      fresh.set_quant_range(low, high);
      EXPECT_EQ(converted_range(found.state(), from, to), fresh.state());
    }
  UniformQuantizer learned(from);
  learned.set_state({.delta = {0.1f}, .is_signed = true});
  EXPECT_EQ(converted_range(learned.state(), from, from), learned.state());
  EXPECT_EQ(converted_range(learned.state(), from, {.n_bits = 4}), std::nullopt) << "its bounds are not known";
  UniformQuantizer found(from);
  found.set_quant_range(-1.0f, 1.0f);
  EXPECT_EQ(converted_range(found.state(), from, {.n_bits = 8, .per_channel = true}), std::nullopt);
  EXPECT_THROW(static_cast<void>(converted_range(found.state(), from, {.n_bits = 1})), InputError);
  EXPECT_THROW(found.set_state({.delta = {0.1f}, .x_min = {0.0f}}), InputError) << "a lower bound without an upper one";
}

TEST(UniformQuantizer, NamesAndDescription) {
  EXPECT_STREQ(to_string(QMethod::symmetric_uniform), "symmetric_uniform");
  EXPECT_STREQ(to_string(QMethod::asymmetric_uniform), "asymmetric_uniform");
  EXPECT_EQ(static_cast<int>(QMethod::asymmetric_uniform), 1);
  EXPECT_EQ(to_string(UniformQuantizer({.n_bits = 3, .axis = 1})),
            "n_bits=3, per_channel=false, axis=1, is_initialized=false");
}

}  // namespace
}  // namespace tessera::quant
