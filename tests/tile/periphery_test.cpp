// Are the periphery's numbers quantized as configured, and is what that costs reported?
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tile/test_layers.hpp"

namespace tessera::tile {
namespace {

RpuParameters quantized(int bits) {
  RpuParameters p;
  p.forward.is_perfect = true;
  p.mapping.weight_scaling_omega = 1.0;
  p.mapping.weight_scaling_columnwise = true;
  p.pre_post.periph_quant.n_bits = bits;
  return p;
}

AnalogLayer layer_of(const RpuParameters& p) {
  static const Matrix w = testing::normals(9, 12, 1);
  static const Matrix bias = testing::normals(1, 9, 2);
  return {p, w.view(), bias.values(), {.seed = 1}};
}

TEST(Periphery, ScalesLieOnTheGridOfTheirTile) {
  const AnalogLayer layer = layer_of(quantized(3));
  const TileReport report = layer.tile_report(0);
  ASSERT_EQ(report.scale_step.size(), 1U);
  float largest = 0.0F;
  for (const float s : report.scale) largest = std::max(largest, s);
  EXPECT_EQ(report.scale_step[0], largest / 7.0F);
  for (std::size_t i = 0; i < report.scale.size(); ++i) {
    EXPECT_EQ(report.scale_codes[i], static_cast<int>(std::rint(report.scale[i] / report.scale_step[0])));
    EXPECT_EQ(report.quantized_scale[i], report.scale_step[0] * static_cast<float>(report.scale_codes[i]));
  }
  EXPECT_GT(report.scale_sqnr_db, 15.0);
  EXPECT_LT(report.scale_sqnr_db, 40.0);
}

TEST(Periphery, TheOutputIsTheProductTimesTheQuantizedScalePlusTheQuantizedBias) {
  const AnalogLayer exact = layer_of(quantized(0));
  const AnalogLayer coarse = layer_of(quantized(2));
  const Matrix x = testing::normals(6, 12, 3);
  const Matrix y = testing::run(exact, x);
  const Matrix q = testing::run(coarse, x);
  const TileReport scale = coarse.tile_report(0);
  const BiasReport bias = coarse.bias_report();
  for (std::int64_t r = 0; r < 6; ++r)
    for (std::size_t i = 0; i < 9; ++i) {
      const double product =
          (static_cast<double>(y(r, static_cast<std::int64_t>(i))) - static_cast<double>(bias.bias[i])) /
          static_cast<double>(scale.scale[i]);
      EXPECT_NEAR(q(r, static_cast<std::int64_t>(i)),
                  product * static_cast<double>(scale.quantized_scale[i]) + static_cast<double>(bias.quantized_bias[i]),
                  1e-5);
    }
}

TEST(Periphery, MoreBitsCostLess) {
  double before = 0.0;
  for (const int bits : {2, 3, 4, 6, 8, 12}) {
    const double db = layer_of(quantized(bits)).tile_report(0).scale_sqnr_db;
    EXPECT_GT(db, before) << bits;
    before = db;
  }
  EXPECT_EQ(layer_of(quantized(0)).tile_report(0).scale_sqnr_db, std::numeric_limits<double>::infinity());
}

TEST(Periphery, AStepPerColumnReproducesEveryScaleToRounding) {
  RpuParameters p = quantized(2);
  p.pre_post.periph_quant.per_column = true;
  const AnalogLayer layer = layer_of(p);
  const TileReport report = layer.tile_report(0);
  EXPECT_EQ(report.scale_step.size(), 9U);
  for (std::size_t i = 0; i < 9; ++i) {
    EXPECT_EQ(report.scale_codes[i], 3);
    EXPECT_NEAR(report.quantized_scale[i], report.scale[i], 1e-6F * report.scale[i]);
  }
  EXPECT_GT(report.scale_sqnr_db, 120.0);
}

TEST(Periphery, StepsRoundUpToAPowerOfTwo) {
  for (const bool symmetric : {true, false}) {
    RpuParameters p = quantized(4);
    p.pre_post.periph_quant.symmetric = symmetric;
    const AnalogLayer plain = layer_of(p);
    p.pre_post.periph_quant.power_of_two = true;
    const AnalogLayer layer = layer_of(p);
    const float step = layer.tile_report(0).scale_step[0];
    EXPECT_EQ(std::exp2(std::rint(std::log2(step))), step);
    EXPECT_GE(step, plain.tile_report(0).scale_step[0]);
    EXPECT_LT(step, 2.0F * plain.tile_report(0).scale_step[0]);
    const BiasReport bias = layer.bias_report();
    EXPECT_EQ(std::exp2(std::rint(std::log2(bias.step[0]))), bias.step[0]);
    for (std::size_t i = 0; i < 9; ++i) EXPECT_NEAR(bias.quantized_bias[i], bias.bias[i], 0.5001F * bias.step[0]);
  }
}

TEST(Periphery, OneBitCannotHoldTheSignOfABias) {
  EXPECT_THROW(layer_of(quantized(1)), ConfigError);
  RpuParameters p = quantized(1);
  p.pre_post.periph_quant.symmetric = false;
  EXPECT_NO_THROW(layer_of(p));
}

TEST(Periphery, ScaleAndBiasCanBeQuantizedApart) {
  const TileReport exact = layer_of(quantized(0)).tile_report(0), coarse = layer_of(quantized(2)).tile_report(0);
  const BiasReport exact_bias = layer_of(quantized(0)).bias_report(),
                   coarse_bias = layer_of(quantized(2)).bias_report();
  ASSERT_NE(exact.quantized_scale, coarse.quantized_scale);
  ASSERT_NE(exact_bias.quantized_bias, coarse_bias.quantized_bias);
  RpuParameters p = quantized(2);
  p.pre_post.periph_quant.bias = false;
  EXPECT_EQ(layer_of(p).tile_report(0).quantized_scale, coarse.quantized_scale);
  EXPECT_EQ(layer_of(p).bias_report().quantized_bias, exact_bias.quantized_bias);
  p.pre_post.periph_quant = {.n_bits = 2, .scale = false};
  EXPECT_EQ(layer_of(p).tile_report(0).quantized_scale, exact.quantized_scale);
  EXPECT_EQ(layer_of(p).bias_report().quantized_bias, coarse_bias.quantized_bias);
  p.pre_post.periph_quant.bias = false;
  const Matrix x = testing::normals(6, 12, 3);
  EXPECT_EQ(testing::run(layer_of(p), x)(0, 0), testing::run(layer_of(quantized(0)), x)(0, 0));
}

TEST(Periphery, AlphaIsNotQuantized) {
  AnalogLayer layer = layer_of(quantized(2));
  layer.set_bias(std::vector<float>(9, 0.0F));
  const Matrix x = testing::normals(2, 12, 3);
  const Matrix y = testing::run(layer, x);
  layer.set_alpha(0, std::vector<float>{1.2345F});
  const Matrix compensated = testing::run(layer, x);
  for (std::size_t i = 0; i < y.values().size(); ++i) EXPECT_EQ(compensated.values()[i], y.values()[i] * 1.2345F);
}

TEST(Periphery, StateRestoresRangesAndScales) {
  RpuParameters p = quantized(5);
  p.pre_post.input_range.enable = true;
  p.mapping.learn_out_scaling = true;
  p.mapping.out_scaling_columnwise = true;
  p.act_quant_config = ActivationQuantConfig{.n_bits = 6};
  p.mapping.max_input_size = 7;
  AnalogLayer layer = layer_of(p);
  const Matrix x = testing::normals(50, 12, 4, 2.0F);
  Matrix y(50, 9);
  layer.forward_training(x.view(), y.view(), {});
  layer.set_output_scale(1, std::vector<float>(9, 1.5F));
  AnalogLayer copy = layer_of(p);
  copy.set_state(layer.state());
  EXPECT_TRUE(copy.state() == layer.state());
  const Matrix a = testing::run(layer, x);
  const Matrix b = testing::run(copy, x);
  for (std::size_t i = 0; i < a.values().size(); ++i) EXPECT_EQ(a.values()[i], b.values()[i]);
  LayerState bad = layer.state();
  bad.tiles[0].input_range = -1.0F;
  EXPECT_THROW(copy.set_state(bad), InputError);
}

}  // namespace
}  // namespace tessera::tile
