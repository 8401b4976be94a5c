// Do the digit encodings send every code exactly, and do the passes of a vector add up?
#include <gtest/gtest.h>

#include <cmath>

#include "tile/test_layers.hpp"

namespace tessera::tile {
namespace {

RpuParameters codes(AnalogMVType type, double steps) {
  RpuParameters p = testing::noise_free();
  p.forward.mv_type = type;
  p.forward.inp_res = steps;
  p.forward.out_res = -1.0;
  p.forward.out_bound = -1.0;
  p.forward.noise_management = NoiseManagementType::NONE;
  p.forward.bound_management = BoundManagementType::NONE;
  return p;
}

// Every code of an n-bit DAC through an identity weight comes back as it is: no code is miscounted.
TEST(Encodings, EveryCodeIsExact) {
  const Matrix one(1, 1, std::vector<float>{1.0F});
  for (const int bits : {2, 4, 7, 8, 10}) {
    const int largest = (1 << (bits - 1)) - 1;
    Matrix x(2 * largest + 1, 1);
    for (int code = -largest; code <= largest; ++code)
      x(code + largest, 0) = static_cast<float>(code) / static_cast<float>(largest);
    const Matrix expected =
        testing::run(AnalogLayer(codes(AnalogMVType::ONE_PASS, 2.0 * largest), one.view(), {}, {}), x);
    for (const auto type : {AnalogMVType::BIT_WISE, AnalogMVType::SPLIT_MODE}) {
      for (int shift = 1; shift < (type == AnalogMVType::SPLIT_MODE ? bits - 1 : 2); ++shift) {
        RpuParameters p = codes(type, 2.0 * largest);
        p.forward.split_mode_bit_shift = shift;
        const Matrix y = testing::run(AnalogLayer(p, one.view(), {}, {}), x);
        for (std::int64_t r = 0; r < x.rows(); ++r) EXPECT_NEAR(y(r, 0), expected(r, 0), 1e-6) << bits << " " << shift;
      }
    }
  }
}

TEST(Encodings, PassesAddUpWithoutConverters) {
  const Matrix w = testing::normals(9, 30, 1);
  const Matrix x = testing::normals(20, 30, 2, 0.4F);
  const Matrix expected = testing::run(AnalogLayer(codes(AnalogMVType::ONE_PASS, 254.0), w.view(), {}, {}), x);
  for (const auto type : {AnalogMVType::POS_NEG_SEPARATE, AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM,
                          AnalogMVType::SPLIT_MODE, AnalogMVType::BIT_WISE}) {
    const Matrix y = testing::run(AnalogLayer(codes(type, 254.0), w.view(), {}, {}), x);
    for (std::size_t i = 0; i < y.values().size(); ++i) EXPECT_NEAR(y.values()[i], expected.values()[i], 1e-5);
  }
}

TEST(Encodings, ReadAsymmetryActsOnNegativeInputsOnly) {
  RpuParameters p = codes(AnalogMVType::POS_NEG_SEPARATE, -1.0);
  p.forward.w_read_asymmetry_dtod = 0.2;
  const Matrix w = testing::normals(4, 3, 1);
  const AnalogLayer layer(p, w.view(), {}, {});
  const FrozenDraws& frozen = layer.frozen(0);
  for (std::int64_t j = 0; j < 3; ++j) {
    Matrix x(2, 3);
    x(0, j) = 0.5F;
    x(1, j) = -0.5F;
    const Matrix y = testing::run(layer, x);
    for (std::int64_t i = 0; i < 4; ++i) {
      EXPECT_NEAR(y(0, i), 0.5F * w(i, j), 1e-6);
      EXPECT_NEAR(y(1, i), -0.5F * w(i, j) * frozen.w_asymmetry(i, j), 1e-6);
    }
  }
}

TEST(Encodings, OnlyPositiveClippingIsTestedIfAsked) {
  RpuParameters p = testing::noise_free();
  p.forward.out_bound = 0.5;
  const Matrix w(2, 1, std::vector<float>{1.0F, -1.0F});
  Matrix x(1, 1, std::vector<float>{1.0F});
  p.forward.bm_test_negative_bound = false;
  LayerStatistics both;
  testing::run(AnalogLayer(p, w.view(), {}, {}), x, {.statistics = &both});
  EXPECT_EQ(both.bound_management_rounds, 2);  // the positive output fails although a negative one follows
  const Matrix negative(1, 1, std::vector<float>{-1.0F});
  LayerStatistics one;
  testing::run(AnalogLayer(p, negative.view(), {}, {}), x, {.statistics = &one});
  EXPECT_EQ(one.bound_management_rounds, 1);
  EXPECT_EQ(one.adc_saturated, 1);
}

}  // namespace
}  // namespace tessera::tile
