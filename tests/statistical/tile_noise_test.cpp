// Do the random effects of a tile have the moments of their formulas (reference sections 4.2, 4.6.3, 4.9)?
// Each comparison allows z = 5 standard errors, from its n: one false alarm in 1.7 million; the draws are fixed.
#include <gtest/gtest.h>

#include <cmath>

#include "tessera/tile/analog_layer.hpp"

namespace tessera::tile {
namespace {

constexpr double z = 5.0;
constexpr std::int64_t n = 100000;

Matrix constant_rows(std::span<const float> x, std::int64_t rows) {
  Matrix m(rows, static_cast<std::int64_t>(x.size()));
  for (std::int64_t r = 0; r < rows; ++r) std::copy(x.begin(), x.end(), m.view().row(r));
  return m;
}

struct Sample {
  double mean = 0.0;
  double std = 0.0;
};

// Moments of every output over n noisy passes of one vector.
std::vector<Sample> moments(const RpuParameters& p, ConstMatrixView w, std::span<const float> x) {
  const AnalogLayer layer(p, w, {}, {.seed = 12});
  const Matrix rows = constant_rows(x, n);
  Matrix y(n, w.rows);
  layer.forward(rows.view(), y.view(), {});
  std::vector<Sample> samples(static_cast<std::size_t>(w.rows));
  for (std::int64_t i = 0; i < w.rows; ++i) {
    double sum = 0.0;
    double squares = 0.0;
    for (std::int64_t r = 0; r < n; ++r) sum += static_cast<double>(y(r, i));
    const double mean = sum / static_cast<double>(n);
    for (std::int64_t r = 0; r < n; ++r) squares += std::pow(static_cast<double>(y(r, i)) - mean, 2.0);
    samples[static_cast<std::size_t>(i)] = {mean, std::sqrt(squares / static_cast<double>(n - 1))};
  }
  return samples;
}

bool std_agrees(double measured, double expected) {
  return std::fabs(measured - expected) <= z * expected / std::sqrt(2.0 * static_cast<double>(n)) + 1e-7;
}
bool mean_agrees(double measured, double expected, double std) {
  return std::fabs(measured - expected) <= z * std / std::sqrt(static_cast<double>(n)) + 1e-6;
}

RpuParameters analog_only() {
  RpuParameters p;
  p.forward.inp_res = -1.0;
  p.forward.out_res = -1.0;
  p.forward.out_bound = -1.0;
  p.forward.out_noise = 0.0;
  p.forward.noise_management = NoiseManagementType::NONE;
  p.forward.bound_management = BoundManagementType::NONE;
  return p;
}

const Matrix weights(2, 3, std::vector<float>{0.9F, -0.5F, 0.2F, -0.1F, 0.0F, 0.7F});
const std::vector<float> x{0.8F, -0.3F, 1.0F};
constexpr double v0 = 0.9 * 0.8 + 0.5 * 0.3 + 0.2;
constexpr double v1 = -0.1 * 0.8 + 0.7;

TEST(TileNoise, OutputNoiseHasItsStandardDeviation) {
  RpuParameters p = analog_only();
  p.forward.out_noise = 0.06;
  const auto s = moments(p, weights.view(), x);
  EXPECT_TRUE(mean_agrees(s[0].mean, v0, 0.06)) << s[0].mean;
  EXPECT_TRUE(mean_agrees(s[1].mean, v1, 0.06)) << s[1].mean;
  EXPECT_TRUE(std_agrees(s[0].std, 0.06)) << s[0].std;
  EXPECT_FALSE(std_agrees(s[0].std, 0.0615));  // the test can fail: 2.5 %
  EXPECT_FALSE(mean_agrees(s[0].mean, v0 + 0.002, 0.06));
}

TEST(TileNoise, PcmReadNoiseFollowsTheConductances) {
  RpuParameters p = analog_only();
  p.forward.w_noise = 0.0175;
  p.forward.w_noise_type = WeightNoiseType::PCM_READ;
  const double first = 0.0175 * std::sqrt(0.9 * 0.64 + 0.5 * 0.09 + 0.2);
  const double second = 0.0175 * std::sqrt(0.1 * 0.64 + 0.7);
  const auto alone = moments(p, weights.view(), x);
  EXPECT_TRUE(std_agrees(alone[0].std, first)) << alone[0].std << " " << first;
  EXPECT_TRUE(std_agrees(alone[1].std, second)) << alone[1].std << " " << second;
  // Together with output noise (drawn at once) and behind a saturation (drawn apart).
  p.forward.out_noise = 0.02;
  const auto both = moments(p, weights.view(), x);
  EXPECT_TRUE(std_agrees(both[0].std, std::hypot(first, 0.02))) << both[0].std;
  p.forward.out_asymmetry = 1e-9;
  const auto apart = moments(p, weights.view(), x);
  EXPECT_TRUE(std_agrees(apart[0].std, std::hypot(first, 0.02))) << apart[0].std;
}

TEST(TileNoise, AdditiveWeightNoiseFollowsTheInputNorm) {
  RpuParameters p = analog_only();
  p.forward.w_noise = 0.05;
  p.forward.w_noise_type = WeightNoiseType::ADDITIVE_CONSTANT;
  const auto s = moments(p, weights.view(), x);
  const double expected = 0.05 * std::sqrt(0.64 + 0.09 + 1.0);
  for (const Sample& sample : s) EXPECT_TRUE(std_agrees(sample.std, expected)) << sample.std;
}

TEST(TileNoise, InputNoisePassesThroughTheWeights) {
  RpuParameters p = analog_only();
  p.forward.inp_noise = 0.1;
  const auto s = moments(p, weights.view(), x);
  EXPECT_TRUE(std_agrees(s[0].std, 0.1 * std::sqrt(0.81 + 0.25 + 0.04))) << s[0].std;
  EXPECT_TRUE(mean_agrees(s[0].mean, v0, s[0].std));
}

TEST(TileNoise, StochasticRoundingIsUnbiasedWithTheVarianceOfItsCoin) {
  RpuParameters p = analog_only();
  p.forward.out_bound = 1.0;
  p.forward.out_res = 0.05;  // step 0.1
  p.forward.out_sto_round = true;
  const Matrix one(1, 1, std::vector<float>{1.0F});
  const auto s = moments(p, one.view(), std::vector<float>{0.13F});
  const double coin = 0.1 * std::sqrt(0.3 * 0.7);
  EXPECT_TRUE(mean_agrees(s[0].mean, 0.13, coin)) << s[0].mean;
  EXPECT_NEAR(s[0].std, coin, z * coin / std::sqrt(static_cast<double>(n)));
  p.forward.out_sto_round = false;
  p.forward.inp_bound = 1.0;
  p.forward.inp_res = 0.05;
  p.forward.out_res = -1.0;
  p.forward.inp_sto_round = true;
  const auto dac = moments(p, one.view(), std::vector<float>{0.13F});
  EXPECT_TRUE(mean_agrees(dac[0].mean, 0.13, coin)) << dac[0].mean;
}

TEST(TileNoise, TilesDrawIndependently) {
  RpuParameters p = analog_only();
  p.forward.out_noise = 1.0;
  p.mapping.max_input_size = 2;
  const Matrix w(1, 4, std::vector<float>{0.0F, 0.0F, 0.0F, 0.0F});
  const auto s = moments(p, w.view(), std::vector<float>{1.0F, 1.0F, 1.0F, 1.0F});
  EXPECT_TRUE(std_agrees(s[0].std, std::sqrt(2.0))) << s[0].std;  // two tiles: a shared draw would give 2
}

/// One output of weight 0 with output noise 1: y itself is the noise.
std::vector<float> noise_of(const RpuParameters& p, const std::vector<float>& x, std::uint32_t event) {
  const Matrix w(1, static_cast<std::int64_t>(x.size()), std::vector<float>(x.size(), 0.0F));
  const AnalogLayer layer(p, w.view(), std::span<const float>(), {.seed = 5});
  Matrix inputs(n, static_cast<std::int64_t>(x.size())), y(n, 1);
  for (std::int64_t r = 0; r < n; ++r) std::copy(x.begin(), x.end(), inputs.view().row(r));
  layer.forward(inputs.view(), y.view(), {.event = event});
  return {y.values().begin(), y.values().end()};
}

double correlation(const std::vector<float>& a, const std::vector<float>& b) {
  double ab = 0.0, aa = 0.0, bb = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    aa += static_cast<double>(a[i]) * static_cast<double>(a[i]);
    bb += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return ab / std::sqrt(aa * bb);
}

/// Independent draws correlate by 1 / sqrt(n) at most by chance; the same event again, as the control, by 1.
TEST(TileNoise, EventsDrawIndependently) {
  RpuParameters p = analog_only();
  p.forward.out_noise = 1.0;
  const std::vector<float> first = noise_of(p, {1.0F}, 0);
  EXPECT_LT(std::fabs(correlation(first, noise_of(p, {1.0F}, 1))), z / std::sqrt(static_cast<double>(n)));
  EXPECT_EQ(correlation(first, noise_of(p, {1.0F}, 0)), 1.0);
}

/// Bound management repeats what saturates; the repetition must draw afresh. A column of weight 1 and input 1 lies far
/// above the bound 0.25 in round 0 (and, halved, in round 1: 0.5) and passes in round 2 or 3, depending on the noise of
/// each. With one draw z for all rounds an output 0.25 + 0.02 z passes round 2 exactly when z < 0, so that no output
/// above 1 + 0 could come from round 2. With fresh draws half of the outputs come from round 2, the rest from round 3
/// (1 + 8 * 0.02 z), so that the spread is that of the mixture.
TEST(TileNoise, RoundsDrawIndependently) {
  RpuParameters p = analog_only();
  constexpr double sigma = 0.02;
  p.forward.out_noise = sigma;
  p.forward.out_bound = 0.25;
  p.forward.out_res = -1.0;
  p.forward.bound_management = BoundManagementType::ITERATIVE;
  const Matrix one(1, 1, std::vector<float>{1.0F});
  const auto s = moments(p, one.view(), std::vector<float>{1.0F});
  // Round 2 (factor 4) passes where z < 0: there y = 1 + 4 sigma z, z half normal. Round 3 (factor 8): y = 1 + 8 sigma z',
  // z' of its own. Mean 1 - 4 sigma sqrt(2 / pi) / 2; with z' = z the second half would have mean + 8 sigma sqrt(2 / pi).
  const double half = std::sqrt(2.0 / M_PI);
  const double mean = 1.0 - 0.5 * 4.0 * sigma * half;
  const double second = 0.5 * (16.0 + 64.0) * sigma * sigma;
  const double std = std::sqrt(second - (1.0 - mean) * (1.0 - mean));
  EXPECT_TRUE(mean_agrees(s[0].mean, mean, std)) << s[0].mean << " against " << mean;
  EXPECT_FALSE(mean_agrees(s[0].mean, mean + 0.5 * 8.0 * sigma * half, std)) << "one draw for all rounds";
}

TEST(TileNoise, FrozenDrawsFollowTheirLaws) {
  IOParameters io;
  io.out_noise = 0.1;
  io.out_noise_std = 0.2;
  io.v_offset_std = 0.05;
  io.out_nonlinearity = 0.5;
  io.out_nonlinearity_std = 0.1;
  io.out_bound = 2.0;
  const FrozenDraws frozen = draw_frozen(io, n, 1, {.seed = 3});
  const auto stats = [](const std::vector<float>& v) {
    double sum = 0.0;
    double squares = 0.0;
    for (const float t : v) sum += static_cast<double>(t);
    const double mean = sum / static_cast<double>(v.size());
    for (const float t : v) squares += std::pow(static_cast<double>(t) - mean, 2.0);
    return Sample{mean, std::sqrt(squares / static_cast<double>(v.size()))};
  };
  const Sample noise = stats(frozen.out_noise_values);
  EXPECT_TRUE(mean_agrees(noise.mean, 0.1, 0.02)) << noise.mean;
  EXPECT_TRUE(std_agrees(noise.std, 0.02)) << noise.std;
  // Rectified Gaussian: half zeros, mean std / sqrt(2 pi).
  const Sample offset = stats(frozen.v_offset);
  EXPECT_TRUE(mean_agrees(offset.mean, 0.05 / std::sqrt(2.0 * M_PI), offset.std)) << offset.mean;
  const auto zeros = std::count(frozen.v_offset.begin(), frozen.v_offset.end(), 0.0F);
  EXPECT_NEAR(static_cast<double>(zeros) / n, 0.5, z * 0.5 / std::sqrt(static_cast<double>(n)));
  const Sample k = stats(frozen.out_nonlinearity);
  EXPECT_TRUE(mean_agrees(k.mean, 0.25, 0.025)) << k.mean;
  EXPECT_TRUE(std_agrees(k.std, 0.025)) << k.std;
}

}  // namespace
}  // namespace tessera::tile
