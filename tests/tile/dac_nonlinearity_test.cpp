// Is the DAC bent as its data sheet says: by so much, where, and with which harmonics?
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tessera/tile/effects.hpp"
#include "tile/test_layers.hpp"

namespace tessera::tile {
namespace {

constexpr double inl = 0.03;

RpuParameters bent(AnalogMVType type = AnalogMVType::ONE_PASS) {
  AnalogParameters p;
  p.rpu.forward.mv_type = type;
  p.rpu.forward.noise_management = NoiseManagementType::NONE;
  p.rpu.forward.numbers.set("inp_nonlinearity", inl);
  return alone(effect("DAC nonlinearity"), p).rpu;
}

// The values of a line behind the DAC: one weight of 1.
Matrix transfer(const RpuParameters& p, const Matrix& x) {
  const Matrix one(1, 1, std::vector<float>{1.0F});
  return testing::run(AnalogLayer(p, one.view(), {}, {}), x);
}

TEST(DacNonlinearity, IsLargestAtTheThirdRootAndZeroAtTheEnds) {
  const Matrix codes = [] {
    Matrix x(127, 1);
    for (int c = -63; c <= 63; ++c) x(c + 63, 0) = static_cast<float>(c) / 63.0F;
    return x;
  }();
  RpuParameters straight = bent();
  straight.forward.numbers.set("inp_nonlinearity", 0.0);
  const Matrix y = transfer(bent(), codes), plain = transfer(straight, codes);
  double largest = 0.0, where = 0.0;
  for (std::int64_t r = 0; r < codes.rows(); ++r) {
    const double deviation = static_cast<double>(y(r, 0)) - static_cast<double>(plain(r, 0));
    if (deviation > largest) {
      largest = deviation;
      where = static_cast<double>(plain(r, 0));
    }
    EXPECT_NEAR(y(r, 0), -y(126 - r, 0), 1e-7);  // odd
    EXPECT_NEAR(y(r, 0), effect("DAC nonlinearity").line_reference(bent().forward, static_cast<double>(plain(r, 0))),
                1e-6);
  }
  EXPECT_NEAR(largest, inl, 1e-4 * inl + 1.5 * inl / (63.0 * 63.0));  // the code nearest to the maximum
  EXPECT_NEAR(where, 1.0 / std::sqrt(3.0), 0.5 / 63.0);
  for (const std::int64_t end : {0, 63, 126}) EXPECT_EQ(y(end, 0), plain(end, 0));
}

// A sine of full scale has no even harmonics, a third one of (3 sqrt(3) / 8) k, and no fifth.
TEST(DacNonlinearity, MakesAThirdHarmonicOnly) {
  constexpr int n = 960;
  RpuParameters p = bent();
  p.forward.inp_res = -1.0;
  Matrix x(n, 1);
  for (int s = 0; s < n; ++s) x(s, 0) = static_cast<float>(std::sin(2.0 * std::numbers::pi * s / n));
  const Matrix y = transfer(p, x);
  for (const int harmonic : {2, 3, 4, 5}) {
    double in_phase = 0.0;
    for (int s = 0; s < n; ++s)
      in_phase += static_cast<double>(y(s, 0)) * std::sin(2.0 * std::numbers::pi * harmonic * s / n) * 2.0 / n;
    EXPECT_NEAR(in_phase, harmonic == 3 ? 3.0 * std::sqrt(3.0) / 8.0 * inl : 0.0, 1e-7) << harmonic;
  }
}

// Bits are sent by a source that knows two levels and zero: a gain error of the smallest code's, no harmonics.
TEST(DacNonlinearity, ActsOnEveryDigit) {
  Matrix x(2, 1, std::vector<float>{1.0F, -0.4F});
  const Matrix y = transfer(bent(AnalogMVType::BIT_WISE), x);
  const double step = 1.0 / 63.0;
  const double gain = effect("DAC nonlinearity").line_reference(bent().forward, step) / step;
  EXPECT_NEAR(y(0, 0), gain, 1e-5);
  EXPECT_NEAR(y(1, 0) / y(0, 0), std::rint(-0.4 * 63.0) / 63.0, 1e-5);
}

// Convolutions convert an image before its values are gathered; the curve comes behind, once.
TEST(DacNonlinearity, ActsOnceOnInputsThatWereConvertedBefore) {
  const Matrix w = testing::normals(5, 8, 1);
  Matrix x = testing::normals(20, 8, 2, 0.4F), z(20, 8), y(20, 5);
  const AnalogLayer layer(bent(), w.view(), {}, {});
  const Matrix expected = testing::run(layer, x);
  ASSERT_TRUE(layer.input_conversion());
  ASSERT_TRUE(kernels::convert_inputs(*layer.input_conversion(), x.values(), z.values()));
  const Matrix kept = z;
  layer.forward(z.view(), y.view(), {.converted = kernels::CodeSums{}});
  EXPECT_TRUE(std::equal(y.values().begin(), y.values().end(), expected.values().begin()));
  EXPECT_TRUE(std::equal(z.values().begin(), z.values().end(), kept.values().begin()));
}

TEST(DacNonlinearity, NeedsAFullScaleAndStaysMonotone) {
  RpuParameters p = bent();
  p.forward.inp_bound = 0.0;
  const Matrix x(1, 1, std::vector<float>{0.4F});
  EXPECT_EQ(transfer(p, x)(0, 0), 0.4F);
  EXPECT_FALSE(is_on(effect("DAC nonlinearity"), {.rpu = p}));
  p.forward.numbers.set("inp_nonlinearity", 0.11);
  EXPECT_THROW(validate(p), ConfigError);
}

}  // namespace
}  // namespace tessera::tile
