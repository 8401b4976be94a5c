// Does a layer on tiles equal its definition, and never depend on threads, batches or repetition?
#include "tessera/tile/analog_layer.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "tessera/core/error.hpp"
#include "tessera/kernels/reference.hpp"
#include "tessera/tile/presets.hpp"
#include "tile/test_layers.hpp"

namespace tessera::tile {
namespace {

using testing::normals;
using testing::run;

void expect_same_bits(const Matrix& a, const Matrix& b) {
  ASSERT_EQ(a.rows(), b.rows());
  ASSERT_EQ(a.cols(), b.cols());
  for (std::int64_t r = 0; r < a.rows(); ++r)
    for (std::int64_t c = 0; c < a.cols(); ++c)
      ASSERT_EQ(std::bit_cast<std::uint32_t>(a(r, c)), std::bit_cast<std::uint32_t>(b(r, c)))
          << "at (" << r << ", " << c << "): " << a(r, c) << " and " << b(r, c);
}

RpuParameters perfect() {
  RpuParameters p;
  p.forward.is_perfect = true;
  return p;
}

TEST(AnalogLayer, IdealOneTileEqualsTheProductBitForBit) {
  const Matrix w = normals(20, 33, 1);
  const Matrix bias = normals(1, 20, 2);
  const Matrix x = normals(40, 33, 3);
  const AnalogLayer layer(perfect(), w.view(), bias.values(), {.seed = 1});
  Matrix expected(40, 20);
  kernels::reference::multiply(w.view(), x.view(), expected.view(), bias.values());
  expect_same_bits(run(layer, x), expected);
}

TEST(AnalogLayer, IdealOnManyScaledTilesEqualsTheProductToRounding) {
  RpuParameters p = perfect();
  p.mapping.weight_scaling_omega = 0.7;
  p.mapping.weight_scaling_columnwise = true;
  p.mapping.max_input_size = 10;
  p.mapping.max_output_size = 9;
  p.pre_post.input_range.enable = true;
  p.pre_post.input_range.init_value = 50.0;
  const Matrix w = normals(20, 33, 1);
  const Matrix bias = normals(1, 20, 2);
  const Matrix x = normals(40, 33, 3);
  const AnalogLayer layer(p, w.view(), bias.values(), {.seed = 1});
  EXPECT_EQ(layer.tile_count(), 12);
  Matrix expected(40, 20);
  kernels::reference::multiply(w.view(), x.view(), expected.view(), bias.values());
  const Matrix y = run(layer, x);
  for (std::int64_t r = 0; r < 40; ++r)
    for (std::int64_t i = 0; i < 20; ++i) EXPECT_NEAR(y(r, i), expected(r, i), 2e-5);
}

// A configuration with every random effect and both managements on.
RpuParameters everything() {
  RpuParameters p;
  p.forward.inp_noise = 0.05;
  p.forward.inp_sto_round = true;
  p.forward.out_sto_round = true;
  p.forward.out_noise_std = 0.3;
  p.forward.out_bound = 0.7;
  p.forward.w_noise = 0.0175;
  p.forward.w_noise_type = WeightNoiseType::PCM_READ;
  p.forward.ir_drop = 1.0;
  p.forward.r_series = 0.01;
  p.forward.v_offset_std = 0.01;
  p.forward.out_nonlinearity = 0.1;
  p.forward.out_asymmetry = 0.02;
  p.forward.mv_type = AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM;
  p.forward.w_read_asymmetry_dtod = 0.02;
  p.mapping.weight_scaling_omega = 1.0;
  p.mapping.weight_scaling_columnwise = true;
  p.mapping.max_input_size = 20;
  p.mapping.max_output_size = 17;
  p.pre_post.input_range.enable = true;
  p.pre_post.input_range.init_value = 2.5;
  p.pre_post.periph_quant.n_bits = 5;
  return p;
}

TEST(AnalogLayer, IsBitIdenticalForEveryThreadCountBatchSplitAndRepetition) {
  const Matrix w = normals(30, 45, 1);
  const Matrix bias = normals(1, 30, 2);
  const Matrix x = normals(300, 45, 3);
  for (const auto mv : {AnalogMVType::ONE_PASS, AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM, AnalogMVType::BIT_WISE}) {
    RpuParameters p = everything();
    p.forward.mv_type = mv;
    const AnalogLayer layer(p, w.view(), bias.values(), {.seed = 5, .layer = 2, .repeat = 1});
    LayerStatistics whole_statistics;
    const Matrix whole = run(layer, x, {.first_vector = 1000, .statistics = &whole_statistics});
    if (mv != AnalogMVType::BIT_WISE) {  // whose single bits never reach the bound
      EXPECT_GT(whole_statistics.bound_management_rounds, whole_statistics.tile_vectors);
    }
    for (const int threads : {1, 2, 3}) {
      for (const std::int64_t batch : {1, 7, 100, 300}) {
        Matrix y(300, 30);
        LayerStatistics statistics;
        for (std::int64_t r = 0; r < 300; r += batch) {
          const std::int64_t n = std::min<std::int64_t>(batch, 300 - r);
          layer.forward(
              x.view().rows_from(r, n), y.view().rows_from(r, n),
              {.first_vector = 1000 + static_cast<std::uint64_t>(r), .parallel = {threads}, .statistics = &statistics});
        }
        expect_same_bits(y, whole);
        EXPECT_TRUE(statistics == whole_statistics);
      }
    }
    // Counting does not change the result, another address or event does.
    expect_same_bits(run(layer, x, {.first_vector = 1000}), whole);
    const Matrix other = run(layer, x, {.first_vector = 1000, .event = 1});
    EXPECT_NE(other(0, 0), whole(0, 0));
  }
}

TEST(AnalogLayer, ProductThenPeripheryIsTheForwardPassBitForBit) {
  const Matrix w = normals(30, 45, 1);
  const Matrix bias = normals(1, 30, 2);
  const Matrix x = normals(300, 45, 3);
  std::vector<RpuParameters> cases(6, everything());
  cases[1].pre_post.periph_quant.n_bits = 0;
  cases[2].mapping = {};  // one tile: scale and bias are applied with the conversion
  cases[3].forward = {};
  cases[3].forward.is_perfect = true;
  cases[4] = cases[3];
  cases[4].mapping.weight_scaling_omega = 1.0;
  cases[5].forward.mv_type = AnalogMVType::BIT_WISE;
  for (std::size_t c = 0; c < cases.size(); ++c) {
    for (const bool compensated : {false, true}) {
      AnalogLayer layer(cases[c], w.view(), bias.values(), {.seed = 5, .layer = 2, .repeat = 1});
      if (compensated) layer.set_alpha(0, std::vector<float>{1.37F});
      LayerStatistics whole, halves;
      const Matrix expected = run(layer, x, {.first_vector = 1000, .statistics = &whole});
      Matrix v(300, layer.product_columns());
      Matrix y(300, 30);
      layer.product(x.view(), v.view(), {.first_vector = 1000, .parallel = {2}, .statistics = &halves});
      layer.periphery(v.view(), y.view(), {2});
      expect_same_bits(y, expected);
      EXPECT_TRUE(whole == halves);
    }
  }
}

TEST(AnalogLayer, ConvertedInputsGiveTheSameBits) {
  const Matrix w = normals(30, 45, 1);
  const Matrix x = normals(300, 45, 3);
  RpuParameters standard = preset("StandardHWATrainingPreset");
  std::vector<RpuParameters> cases(6, standard);
  cases[1].forward.nm_thres = 0.8;
  cases[1].forward.out_scale = 1.3;
  cases[2].forward.noise_management = NoiseManagementType::NONE;
  cases[2].forward.inp_asymmetry = 0.1;
  cases[3].forward.mv_type = AnalogMVType::POS_NEG_SEPARATE;
  cases[4].mapping.max_input_size = 20;
  cases[5].pre_post.input_range.enable = false;
  for (const RpuParameters& p : cases) {
    const AnalogLayer layer(p, w.view(), {}, {.seed = 5, .layer = 2});
    const auto conversion = layer.input_conversion();
    ASSERT_TRUE(conversion.has_value());
    Matrix z(300, 45);
    ASSERT_TRUE(kernels::convert_inputs(*conversion, x.values(), z.values()));
    expect_same_bits(run(layer, z, {.first_vector = 9, .converted = kernels::CodeSums{}}),
                     run(layer, x, {.first_vector = 9}));
  }

  std::vector<RpuParameters> unlike(7, standard);
  unlike[0].forward.noise_management = NoiseManagementType::ABS_MAX;
  unlike[1].forward.bound_management = BoundManagementType::ITERATIVE;
  unlike[2].forward.inp_noise = 0.01;
  unlike[3].forward.inp_sto_round = true;
  unlike[4].forward.mv_type = AnalogMVType::BIT_WISE;
  unlike[5].forward.is_perfect = true;
  unlike[6].mapping.digital_bias = false;
  const std::vector<float> bias(30, 0.1F);
  for (const RpuParameters& p : unlike) {
    const AnalogLayer layer(p, w.view(), bias, {.seed = 5});
    EXPECT_FALSE(layer.input_conversion().has_value());
    EXPECT_THROW(run(layer, x, {.converted = kernels::CodeSums{}}), InputError);
  }
  RpuParameters two_ranges = standard;
  two_ranges.mapping.max_input_size = 20;
  AnalogLayer layer(two_ranges, w.view(), {}, {.seed = 5});
  layer.set_input_range(1, 0.5F);
  EXPECT_FALSE(layer.input_conversion().has_value());
}

TEST(AnalogLayer, LayersThatDifferInThePeripheryShareTheProduct) {
  const Matrix w = normals(30, 45, 1);
  const Matrix bias = normals(1, 30, 2);
  const Matrix x = normals(50, 45, 3);
  const random::Address address{.seed = 5, .layer = 2, .repeat = 1};
  const AnalogLayer one(everything(), w.view(), bias.values(), address);
  RpuParameters parameters = everything();
  parameters.pre_post.periph_quant = {.n_bits = 3, .symmetric = false};
  const AnalogLayer other(parameters, w.view(), bias.values(), address);
  AnalogLayer changed = one;
  changed.set_periphery_quantization(parameters.pre_post.periph_quant);

  Matrix v(50, one.product_columns());
  one.product(x.view(), v.view(), {});
  Matrix y(50, 30);
  changed.periphery(v.view(), y.view());
  expect_same_bits(y, run(other, x));
  expect_same_bits(run(changed, x), run(other, x));
  EXPECT_NE(run(one, x)(0, 0), y(0, 0)) << "the peripheries are alike: the test shows nothing";

  parameters.pre_post.periph_quant.n_bits = -1;
  EXPECT_THROW(changed.set_periphery_quantization(parameters.pre_post.periph_quant), ConfigError);
  EXPECT_THROW(one.product(x.view(), y.view(), {}), InputError);
}

TEST(AnalogLayer, ReportsItsTiles) {
  RpuParameters p = testing::noise_free();
  p.mapping.weight_scaling_omega = 1.0;
  p.mapping.max_input_size = 3;
  p.mapping.max_output_size = 4;
  p.pre_post.input_range.enable = true;
  p.pre_post.input_range.init_value = 2.0;
  p.pre_post.periph_quant.n_bits = 4;
  const Matrix w = normals(6, 7, 1);
  const Matrix bias = normals(1, 6, 2);
  AnalogLayer layer(p, w.view(), bias.values(), {});
  ASSERT_EQ(layer.tile_count(), 6);
  EXPECT_EQ(layer.place(3), (TilePlace{3, 3, 3, 2}));
  const TileReport report = layer.tile_report(3);
  ASSERT_EQ(report.scale.size(), 1U);
  EXPECT_EQ(report.scale[0], 2.0F * report.mapping_scale[0]);
  EXPECT_EQ(report.scale_codes[0], 15);
  EXPECT_NEAR(report.quantized_scale[0], report.scale[0], 1e-6);
  const BiasReport bias_report = layer.bias_report();
  ASSERT_EQ(bias_report.codes.size(), 6U);
  EXPECT_GT(bias_report.sqnr_db, 10.0);
  EXPECT_LT(bias_report.sqnr_db, 40.0);
  const Matrix logical = layer.logical_weights();
  for (std::int64_t i = 0; i < 6; ++i)
    for (std::int64_t k = 0; k < 7; ++k) EXPECT_NEAR(logical(i, k), w(i, k), 1e-6);
}

TEST(AnalogLayer, ProgrammedWeightsReplaceTheTarget) {
  const Matrix w = normals(5, 6, 1);
  AnalogLayer layer(perfect(), w.view(), {}, {});
  const Matrix programmed = normals(5, 6, 2);
  layer.set_tile_weights(0, programmed.view());
  expect_same_bits(layer.tile_weights(0), programmed);
  expect_same_bits(layer.target_tile_weights(0), w);
  const Matrix x = normals(3, 6, 3);
  Matrix expected(3, 5);
  kernels::reference::multiply(programmed.view(), x.view(), expected.view());
  expect_same_bits(run(layer, x), expected);
  Matrix bare(3, 5);
  layer.read_out(0, x.view(), bare.view(), {});
  expect_same_bits(bare, expected);
  layer.set_alpha(0, std::vector<float>{2.0F});
  for (float& v : expected.values()) v *= 2.0F;
  expect_same_bits(run(layer, x), expected);
}

TEST(AnalogLayer, AnalogBiasIsALineOfTheTile) {
  RpuParameters p = perfect();
  p.mapping.digital_bias = false;
  p.mapping.weight_scaling_omega = 1.0;
  const Matrix w = normals(5, 6, 1, 0.1F);
  const Matrix bias = normals(1, 5, 2, 3.0F);
  const AnalogLayer layer(p, w.view(), bias.values(), {});
  EXPECT_EQ(layer.tile_weights(0).cols(), 7);
  EXPECT_TRUE(layer.bias_report().bias.empty());
  const Matrix x = normals(4, 6, 3);
  Matrix expected(4, 5);
  kernels::reference::multiply(w.view(), x.view(), expected.view(), bias.values());
  const Matrix y = run(layer, x);
  for (std::int64_t r = 0; r < 4; ++r)
    for (std::int64_t i = 0; i < 5; ++i) EXPECT_NEAR(y(r, i), expected(r, i), 1e-5);
}

TEST(AnalogLayer, ReadsItsWeightsBack) {
  RpuParameters p = perfect();
  p.mapping.max_input_size = 7;
  p.mapping.weight_scaling_omega = 1.0;
  const Matrix w = normals(5, 12, 1);
  const Matrix bias = normals(1, 5, 2);
  const AnalogLayer ideal(p, w.view(), bias.values(), {});
  const ReadWeights read = ideal.read_weights();
  for (std::int64_t i = 0; i < 5; ++i) {
    EXPECT_EQ(read.bias[static_cast<std::size_t>(i)], bias(0, i));
    for (std::int64_t k = 0; k < 12; ++k) EXPECT_NEAR(read.weight(i, k), w(i, k), 1e-5);
  }
  p.forward.is_perfect = false;  // default IO: noise 0.06 on 120 reads per weight
  const AnalogLayer noisy(p, w.view(), bias.values(), {});
  const ReadWeights realistic = noisy.read_weights();
  double error = 0.0;
  for (std::int64_t i = 0; i < 5; ++i)
    for (std::int64_t k = 0; k < 12; ++k) error += std::pow(realistic.weight(i, k) - w(i, k), 2.0);
  error = std::sqrt(error / 60.0);
  EXPECT_GT(error, 1e-3);
  EXPECT_LT(error, 0.1);

  p.forward.is_perfect = true;
  p.mapping.max_input_size = 0;
  p.mapping.max_output_size = 0;
  p.mapping.digital_bias = false;
  const ReadWeights analog = AnalogLayer(p, w.view(), bias.values(), {}).read_weights();
  for (std::int64_t i = 0; i < 5; ++i) EXPECT_NEAR(analog.bias[static_cast<std::size_t>(i)], bias(0, i), 1e-5);
}

TEST(AnalogLayer, CountsWhatIsClippedAndSaturated) {
  RpuParameters p = testing::noise_free();
  p.forward.noise_management = NoiseManagementType::NONE;
  p.forward.bound_management = BoundManagementType::NONE;
  p.forward.out_bound = 1.0;
  p.pre_post.input_range.enable = true;
  p.pre_post.input_range.init_value = 2.0;
  const Matrix w(2, 2, std::vector<float>{1.0F, 1.0F, 0.25F, 0.0F});
  const Matrix x(3, 2, std::vector<float>{3.0F, 2.0F, 1.0F, 0.5F, -2.5F, -1.0F});
  LayerStatistics s;
  run(AnalogLayer(p, w.view(), {}, {}), x, {.statistics = &s});
  EXPECT_EQ(s.vectors, 3);
  EXPECT_EQ(s.inputs, 6);
  EXPECT_EQ(s.inputs_clipped, 2);
  EXPECT_EQ(s.dac_conversions, 6);
  EXPECT_EQ(s.dac_clipped, 0);
  EXPECT_EQ(s.adc_conversions, 6);
  EXPECT_EQ(s.adc_saturated, 2);  // 2 and -1.5
  EXPECT_EQ(s.adc_peak, 1.0F);
  EXPECT_EQ(s.dac_peak, 1.0F);
  EXPECT_EQ(s.tile_vectors, 3);
  EXPECT_EQ(s.bound_management_rounds, 3);
  EXPECT_DOUBLE_EQ(s.input_clip_fraction(), 2.0 / 6.0);
}

// Scales that training kept do not follow from the weights: the tiles hold W / m, also of several tiles.
TEST(AnalogLayer, KeepsTheMappingScalesOfAState) {
  const Matrix w = normals(4, 6, 1), x = normals(5, 6, 2);
  RpuParameters p = perfect();
  p.mapping.weight_scaling_omega = 1.0;
  p.mapping.max_input_size = 3;
  LayerState state = AnalogLayer(p, w.view(), {}, {}).state();
  state.tiles[0].mapping_scale = {3.0F};
  state.tiles[1].mapping_scale = {1.0F, 2.0F, 0.5F, -4.0F};
  const AnalogLayer layer(p, w.view(), {}, {}, {}, &state);
  for (std::int64_t i = 0; i < 4; ++i)
    for (std::int64_t k = 0; k < 3; ++k) {
      EXPECT_EQ(layer.tile_weights(0)(i, k), w(i, k) / 3.0F);
      EXPECT_EQ(layer.tile_weights(1)(i, k), w(i, k + 3) / state.tiles[1].mapping_scale[static_cast<std::size_t>(i)]);
    }
  EXPECT_EQ(layer.tile_report(1).mapping_scale, state.tiles[1].mapping_scale);
  EXPECT_EQ(layer.state(), state);
  const Matrix y = run(layer, x), plain = run(AnalogLayer(p, w.view(), {}, {}), x);
  for (std::size_t i = 0; i < y.values().size(); ++i) EXPECT_NEAR(y.values()[i], plain.values()[i], 1e-5F);

  AnalogLayer mapped(p, w.view(), {}, {});
  EXPECT_THROW(mapped.set_state(state), InputError) << "its weights are mapped already";
  AnalogLayer copy = layer;
  copy.set_state(layer.state());
  for (const std::vector<float>& bad :
       std::vector<std::vector<float>>{{1.0F, 2.0F}, {0.0F}, {std::numeric_limits<float>::infinity()}}) {
    state.tiles[1].mapping_scale = bad;
    EXPECT_THROW(AnalogLayer(p, w.view(), {}, {}, {}, &state), InputError);
  }
}

TEST(AnalogLayer, RefusesWhatDoesNotFit) {
  const Matrix w = normals(4, 3, 1);
  EXPECT_THROW(AnalogLayer(perfect(), w.view(), std::vector<float>(3), {}), InputError);
  Matrix bad(w.view());
  bad(1, 1) = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(AnalogLayer(perfect(), bad.view(), {}, {}), InputError);
  EXPECT_THROW(AnalogLayer(perfect(), Matrix(0, 3).view(), {}, {}), InputError);
  AnalogLayer layer(testing::noise_free(), w.view(), {}, {});
  Matrix x(2, 3);
  Matrix y(2, 4);
  EXPECT_THROW(layer.forward(x.view().cols_from(0, 2), y.view(), {}), InputError);
  x(1, 2) = std::numeric_limits<float>::infinity();
  EXPECT_THROW(layer.forward(x.view(), y.view(), {}), RunError);
  EXPECT_THROW(layer.set_input_range(1.0F), ConfigError);
  EXPECT_THROW(layer.set_tile_weights(0, bad.view()), InputError);
  EXPECT_THROW(layer.set_tile_weights(1, w.view()), InputError);
  EXPECT_THROW(layer.set_alpha(0, std::vector<float>(3)), InputError);
  EXPECT_THROW(layer.set_state({}), InputError);
  RpuParameters p = testing::noise_free();
  p.act_quant_config = ActivationQuantConfig{.n_bits = 6};
  const AnalogLayer uncalibrated(p, w.view(), {}, {});
  Matrix good(2, 3);
  EXPECT_THROW(uncalibrated.forward(good.view(), y.view(), {}), ConfigError);
}

}  // namespace
}  // namespace tessera::tile
