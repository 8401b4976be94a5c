// Do weight modifiers follow their laws, and do clipping and remapping keep what they promise?
//
// Statistical checks draw n values per weight; mean and standard deviation are compared at z = 4.9 standard errors (one
// false alarm in 1e6, but seeds are fixed), and the same checks reject a law that is 2 % off.
#include "tessera/tile/modifier.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "tessera/tile/learning.hpp"
#include "tessera/tile/weight_update.hpp"
#include "tile/test_layers.hpp"

namespace tessera::tile {
namespace {

using testing::normals;

constexpr std::int64_t n = 200000;

Matrix modified(const WeightModifierParameter& p, const Matrix& w, std::uint32_t event = 0) {
  return modified_weights(p, w.view(), random::Stream({.seed = 3}, random::Purpose::weight_modifier), event);
}

WeightModifierParameter modifier(WeightModifierType type, double std_dev = 0.0) {
  WeightModifierParameter p;
  p.type = type;
  p.std_dev = std_dev;
  return p;
}

struct Moments {
  double mean = 0.0;
  double std = 0.0;
  bool agree(double expected_mean, double expected_std) const {
    constexpr double z = 4.9;
    const double size = static_cast<double>(n);
    return std::fabs(mean - expected_mean) <= z * expected_std / std::sqrt(size) &&
           std::fabs(std - expected_std) <= z * expected_std / std::sqrt(2.0 * size);
  }
};

// n draws of a weight `w` on a tile whose largest weight is 1.
Moments moments(const WeightModifierParameter& p, float w) {
  Matrix m(2, n);
  for (std::int64_t k = 0; k < n; ++k) m(0, k) = w;
  m(1, 0) = 1.0F;
  const Matrix out = modified(p, m);
  Moments result;
  for (std::int64_t k = 0; k < n; ++k) result.mean += static_cast<double>(out(0, k)) / static_cast<double>(n);
  for (std::int64_t k = 0; k < n; ++k) {
    const double d = static_cast<double>(out(0, k)) - result.mean;
    result.std += d * d / static_cast<double>(n - 1);
  }
  result.std = std::sqrt(result.std);
  return result;
}

void expect_moments(const WeightModifierParameter& p, float w, double mean, double std, const char* what) {
  const Moments found = moments(p, w);
  EXPECT_TRUE(found.agree(mean, std)) << what << " " << w << ": " << found.mean << " +- " << found.std << ", not "
                                      << mean << " +- " << std;
  EXPECT_FALSE(found.agree(mean, 1.02 * std)) << what;
  EXPECT_FALSE(found.agree(mean + 0.02 * std, std)) << what;
}

TEST(WeightModifier, NoiseFollowsItsLaws) {
  for (const float w : {0.4F, -0.8F}) {
    const double size = std::fabs(static_cast<double>(w));
    const double value = static_cast<double>(w);
    const double polynomial = 0.0105392 + size * (0.0768 - 0.046925 * size);
    expect_moments(modifier(WeightModifierType::ADD_NORMAL, 0.1), w, value, 0.1, "ADD_NORMAL");
    expect_moments(modifier(WeightModifierType::MULT_NORMAL, 0.1), w, value, 0.1 * size, "MULT_NORMAL");
    expect_moments(modifier(WeightModifierType::POLY, 2.0), w, value, 2.0 * polynomial, "POLY");
    expect_moments(modifier(WeightModifierType::PROG_NOISE, 25.0), w, value, polynomial, "PROG_NOISE");
    const double programming = 0.26348 + size * (1.965 - 1.1731 * size);  // uS on 25 uS
    expect_moments(modifier(WeightModifierType::PCM_NOISE, 1.0), w, value, programming / 25.0, "PCM_NOISE");
    WeightModifierParameter assumed = modifier(WeightModifierType::ADD_NORMAL, 0.1);
    assumed.rel_to_actual_wmax = false;
    assumed.assumed_wmax = 0.5;
    expect_moments(assumed, w, value, 0.05, "assumed_wmax");
    WeightModifierParameter both = modifier(WeightModifierType::DISCRETIZE_ADD_NORMAL, 0.1);
    both.res = 0.1;
    expect_moments(both, 0.31F, 0.4, 0.1, "DISCRETIZE_ADD_NORMAL");
  }
}

TEST(WeightModifier, PcmNoiseDriftsBesideTheCompensatedMean) {
  WeightModifierParameter p = modifier(WeightModifierType::PCM_NOISE, 0.0);  // drift alone
  p.pcm_t_inference = 86400.0;
  const double ratio = std::log((86400.0 + 20.0) / 20.0);
  // r = 0.8: mu is at its lower limit, which a global compensation takes back; spread 0.008 at its own.
  const double spread = 0.008 * ratio;
  const double mean = 0.8 * std::exp(0.5 * spread * spread);
  expect_moments(p, 0.8F, mean, mean * std::sqrt(std::expm1(spread * spread)), "large devices");
  EXPECT_LT(moments(p, 0.05F).mean, 0.05 * 0.9);  // small devices drift faster
}

TEST(WeightModifier, DiscretizesWithTheDocumentedSteps) {
  WeightModifierParameter p = modifier(WeightModifierType::DISCRETIZE);
  p.res = 8.0;  // 8 steps of 0.25 over [-1, 1]
  const Matrix w(1, 6, std::vector<float>{1.0F, -0.3F, 0.12F, 0.13F, -0.125F, 0.375F});
  const Matrix steps = modified(p, w);
  EXPECT_EQ(std::vector<float>(steps.values().begin(), steps.values().end()),
            (std::vector<float>{1.0F, -0.25F, 0.0F, 0.25F, 0.0F, 0.5F}));
  p.res = 1.0 / 8.0;
  EXPECT_EQ(modified(p, w)(0, 3), 0.25F);
  p.res = 0.0;
  EXPECT_EQ(modified(p, w)(0, 3), 0.13F);
  p.res = 8.0;
  p.sto_round = true;
  const double below = 0.13 / 0.25;  // probability of 0.25, otherwise 0
  expect_moments(p, 0.13F, 0.13, 0.25 * std::sqrt(below * (1.0 - below)), "stochastic rounding is unbiased");

  WeightModifierParameter dorefa = modifier(WeightModifierType::DOREFA);
  dorefa.res = 0.2;
  const Matrix out = modified(dorefa, w);
  EXPECT_FLOAT_EQ(out(0, 0), 0.6F);
  EXPECT_FLOAT_EQ(out(0, 1), -0.2F);  // tanh(0.3) 0.6 / tanh(1) = 0.2295
}

TEST(WeightModifier, DropsSticksAndCopies) {
  WeightModifierParameter drop = modifier(WeightModifierType::DROP_CONNECT);
  drop.pdrop = 0.2;
  expect_moments(drop, 0.5F, 0.4, 0.5 * std::sqrt(0.2 * 0.8), "pdrop");
  drop.type = WeightModifierType::NONE;
  EXPECT_NEAR(moments(drop, 0.5F).std, 0.0, 1e-9);  // NONE is none

  WeightModifierParameter stuck = modifier(WeightModifierType::PCM_NOISE, 0.0);
  stuck.pcm_prob_at_reset = 0.1;
  stuck.pcm_prob_at_gmax = 0.2;
  stuck.pcm_prob_at_random = 0.3;
  const double mean = -(0.2 + 0.3 * 0.5 + 0.4 * 0.5);
  const double square = 0.2 + 0.3 / 3.0 + 0.4 * 0.25;
  expect_moments(stuck, -0.5F, mean, std::sqrt(square - mean * mean), "stuck devices");

  WeightModifierParameter copy = modifier(WeightModifierType::ADD_NORMAL, 0.1);
  copy.copy_last_column = true;
  Matrix w = normals(5, 7, 1);
  w(2, 6) = 100.0F;  // not the largest weight that counts
  const Matrix out = modified(copy, w);
  for (std::int64_t i = 0; i < 5; ++i) {
    EXPECT_EQ(out(i, 6), w(i, 6));
    EXPECT_NE(out(i, 5), w(i, 5));
    EXPECT_LT(std::fabs(out(i, 0) - w(i, 0)), 3.0F);
  }
  EXPECT_EQ(modified(copy, w)(1, 1), out(1, 1));
  EXPECT_NE(modified(copy, w, 1)(1, 1), out(1, 1));
}

TEST(WeightModifier, PassesOfABatchShareOneDrawAndEvaluationSeesNone) {
  RpuParameters p;
  p.forward.is_perfect = true;
  p.modifier = modifier(WeightModifierType::ADD_NORMAL, 0.1);
  const Matrix w = normals(4, 5, 1);
  Matrix unit(5, 5);
  for (std::int64_t k = 0; k < 5; ++k) unit(k, k) = 1.0F;
  Matrix dy(5, 4);
  dy(0, 2) = 1.0F;
  LearningLayer layer(p, w.view(), {}, {.seed = 1});
  const auto pass = [&] {
    Matrix y(5, 4);
    layer.forward(unit.view(), y.view(), {});
    return y;
  };
  layer.begin_batch(1);
  const Matrix first = pass();
  EXPECT_NE(first(3, 1), w(1, 3));
  EXPECT_EQ(pass()(3, 1), first(3, 1));
  Matrix dx(5, 5);
  layer.backward(unit.view(), dy.view(), dx.view(), {});
  EXPECT_EQ(dx(0, 3), first(3, 2));                        // backward uses the same draw
  EXPECT_EQ(layer.values()[0].gradient[2 * 5 + 0], 1.0F);  // passed on unchanged
  EXPECT_EQ(layer.analog_layer().logical_weights()(1, 3), w(1, 3));
  layer.begin_batch(2);
  const Matrix second = pass();
  EXPECT_NE(second(3, 1), first(3, 1));
  layer.begin_batch(1);
  EXPECT_EQ(pass()(3, 1), first(3, 1));
}

TEST(WeightModifier, RefusesWhatTrainingCannotDo) {
  RpuParameters p;
  p.modifier.per_batch_sample = true;
  EXPECT_NO_THROW(validate_learning(p));
  p.modifier.type = WeightModifierType::ADD_NORMAL;
  EXPECT_THROW(validate_learning(p), ConfigError);
  p.modifier.per_batch_sample = false;
  p.modifier.pcm_prob_at_reset = 0.7;
  p.modifier.pcm_prob_at_gmax = 0.7;
  EXPECT_THROW(validate_learning(p), ConfigError);
  p.modifier.pcm_prob_at_gmax = 0.1;
  p.remap.type = WeightRemapType::CHANNELWISE_SYMMETRIC;
  p.remap.max_scale_range = 4.0;
  EXPECT_NO_THROW(validate_learning(p));
  p.remap.remapped_wmax = 0.5;
  EXPECT_THROW(validate_learning(p), ConfigError);
}

TEST(WeightClip, LimitsByEveryRule) {
  const Matrix w(2, 2, std::vector<float>{1.0F, -2.0F, 0.5F, 0.25F});
  WeightClipParameter p;
  EXPECT_EQ(clip_limit(p, w.view()), 0.0F);
  p.type = WeightClipType::FIXED_VALUE;
  EXPECT_EQ(clip_limit(p, w.view()), 0.0F);  // -1: off
  p.fixed_value = 0.75;
  Matrix clipped = w;
  EXPECT_TRUE(clip_weights(p, clipped.view()));
  EXPECT_EQ(std::vector<float>(clipped.values().begin(), clipped.values().end()),
            (std::vector<float>{0.75F, -0.75F, 0.5F, 0.25F}));
  EXPECT_FALSE(clip_weights(p, clipped.view()));
  p.fixed_value = -1.0;
  p.type = WeightClipType::AVERAGE_CHANNEL_MAX;
  EXPECT_EQ(clip_limit(p, w.view()), 1.25F);
  p.type = WeightClipType::LAYER_GAUSSIAN;
  p.sigma = 1.0;
  EXPECT_NEAR(clip_limit(p, w.view()), 1.3288, 1e-4);  // sample standard deviation
  p.fixed_value = 1.0;
  EXPECT_EQ(clip_limit(p, w.view()), 1.0F);
}

TEST(WeightRemap, KeepsTheProductOfScaleAndWeight) {
  for (const WeightRemapType type : {WeightRemapType::LAYERWISE_SYMMETRIC, WeightRemapType::CHANNELWISE_SYMMETRIC}) {
    Matrix w = normals(6, 5, 4);
    for (float& v : w.view().row_span(3)) v = 0.0F;
    const Matrix before = w;
    std::vector<float> m(6);
    for (std::size_t i = 0; i < 6; ++i) m[i] = 0.5F + static_cast<float>(i);
    const std::vector<float> scales = m;
    remap_weights({.type = type, .remapped_wmax = 0.5}, w.view(), m);
    float largest = 0.0F;
    for (std::int64_t i = 0; i < 6; ++i) {
      float row = 0.0F;
      for (std::int64_t k = 0; k < 5; ++k) {
        const auto s = static_cast<std::size_t>(i);
        EXPECT_NEAR(w(i, k) * m[s], before(i, k) * scales[s], 1e-5F);
        row = std::max(row, std::fabs(w(i, k)));
      }
      if (type == WeightRemapType::CHANNELWISE_SYMMETRIC && i != 3) {
        EXPECT_NEAR(row, 0.5F, 1e-6F);
      }
      largest = std::max(largest, row);
    }
    EXPECT_NEAR(largest, 0.5F, 1e-6F);
  }
}

TEST(WeightRemap, LimitsTheRangeOfScales) {
  Matrix w(2, 1, std::vector<float>{8.0F, 0.5F});
  std::vector<float> m{1.0F, 1.0F};
  remap_weights({.type = WeightRemapType::CHANNELWISE_SYMMETRIC, .max_scale_range = 4.0}, w.view(), m);
  EXPECT_EQ(m, (std::vector<float>{4.0F, 0.5F}));
  EXPECT_EQ(w(0, 0), 2.0F);  // what the limited scale leaves
  EXPECT_EQ(w(1, 0), 1.0F);
  remap_weights({.type = WeightRemapType::CHANNELWISE_SYMMETRIC, .max_scale_range = 4.0, .max_scale_ref = 3.0},
                w.view(), m);
  EXPECT_EQ(m, (std::vector<float>{8.0F, 0.5F}));
}

TEST(WeightRemap, FoldsTheLearnedScaleAndKeepsTheLayersFunction) {
  RpuParameters p;
  p.forward.is_perfect = true;
  p.mapping.weight_scaling_omega = 1.0;
  p.mapping.weight_scaling_columnwise = true;
  p.mapping.learn_out_scaling = true;
  p.mapping.out_scaling_columnwise = true;
  p.clip = {.type = WeightClipType::FIXED_VALUE, .fixed_value = 1.0};
  p.remap.type = WeightRemapType::CHANNELWISE_SYMMETRIC;
  const Matrix w = normals(4, 6, 1);
  const Matrix x = normals(3, 6, 2);
  LearningLayer layer(p, w.view(), {}, {.seed = 1});
  for (const LearnedValue& v : layer.values()) {
    if (v.kind == LearnedKind::output_scale)
      for (float& s : v.value) s = 1.5F;
    if (v.kind == LearnedKind::weight)
      for (float& value : v.value) value *= 0.5F;
  }
  layer.updated();
  Matrix y(3, 4);
  layer.forward(x.view(), y.view(), {});
  EXPECT_EQ(layer.state().tiles[0].output_scale, std::vector<float>(4, 1.0F));
  for (std::int64_t r = 0; r < 3; ++r)
    for (std::int64_t i = 0; i < 4; ++i) {
      double sum = 0.0;
      for (std::int64_t k = 0; k < 6; ++k) sum += 0.75 * static_cast<double>(w(i, k)) * static_cast<double>(x(r, k));
      EXPECT_NEAR(y(r, i), sum, 1e-5);
    }
  const Matrix tile = layer.analog_layer().tile_weights(0);
  for (std::int64_t i = 0; i < 4; ++i) {
    float largest = 0.0F;
    for (const float v : tile.view().row_span(i)) largest = std::max(largest, std::fabs(v));
    EXPECT_NEAR(largest, 1.0F, 1e-6F);
  }
}

}  // namespace
}  // namespace tessera::tile
