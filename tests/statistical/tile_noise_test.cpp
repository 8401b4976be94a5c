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

TEST(TileNoise, RoundsAndEventsAndTilesDrawIndependently) {
  RpuParameters p = analog_only();
  p.forward.out_noise = 1.0;
  p.mapping.max_input_size = 2;
  const Matrix w(1, 4, std::vector<float>{0.0F, 0.0F, 0.0F, 0.0F});
  const auto s = moments(p, w.view(), std::vector<float>{1.0F, 1.0F, 1.0F, 1.0F});
  EXPECT_TRUE(std_agrees(s[0].std, std::sqrt(2.0))) << s[0].std;  // two tiles: a shared draw would give 2
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
