// Question: do layers on crossbars compute what their circuits compute, and learn through them?
#include "tessera/tile/crossbar_engine.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tessera/tile/analog_layer.hpp"

namespace tessera::tile {
namespace {

Matrix uniforms(std::int64_t rows, std::int64_t cols, std::uint32_t event) {
  Matrix m(rows, cols);
  random::fill_uniform(random::Stream({.seed = 41}, random::Purpose::test), event, 0, m.values());
  for (float& v : m.values()) v = 2.0F * v - 1.0F;
  return m;
}

RpuParameters on_crossbar() {
  RpuParameters p;
  p.crossbar.emplace();
  p.crossbar->device.Rmin = 1e4;
  p.crossbar->device.Rmax = 1e6;
  return p;
}

Matrix forward(const AnalogLayer& layer, const Matrix& x, std::uint64_t first = 0) {
  Matrix y(x.rows(), layer.outputs());
  layer.forward(x.view(), y.view(), {.first_vector = first});
  return y;
}

float largest_difference(const Matrix& a, const Matrix& b) {
  float worst = 0.0F;
  for (std::size_t c = 0; c < a.values().size(); ++c) worst = std::max(worst, std::fabs(a.values()[c] - b.values()[c]));
  return worst;
}

Matrix product(const Matrix& w, const Matrix& x) {
  Matrix y(x.rows(), w.rows());
  for (std::int64_t r = 0; r < x.rows(); ++r)
    for (std::int64_t j = 0; j < w.rows(); ++j)
      for (std::int64_t i = 0; i < w.cols(); ++i) y(r, j) += x(r, i) * w(j, i);
  return y;
}

TEST(CrossbarEngine, IdealIsIdeal) {
  const Matrix w = uniforms(12, 30, 1), x = uniforms(7, 30, 2);
  for (const double omega : {0.0, 1.0}) {
    RpuParameters p = on_crossbar();
    p.mapping.weight_scaling_omega = omega;
    p.crossbar->core.rows_max = 11;
    p.crossbar->core.cols_max = 5;
    const AnalogLayer layer(p, w.view(), {}, {});
    EXPECT_EQ(layer.tile_count(), 9);
    EXPECT_LT(largest_difference(forward(layer, x), product(w, x)), 1e-4F) << omega;
  }
}

TEST(CrossbarEngine, ForwardOfTheConfigurationHasNoEffect) {
  const Matrix w = uniforms(5, 9, 3), x = uniforms(4, 9, 4);
  RpuParameters p = on_crossbar();
  p.forward.out_noise = 3.0;
  EXPECT_LT(largest_difference(forward(AnalogLayer(p, w.view(), {}, {}), x), product(w, x)), 1e-5F);
}

TEST(CrossbarEngine, BlocksOfVectorsDoNotMatter) {
  const Matrix w = uniforms(8, 16, 5), x = uniforms(40, 16, 6);
  RpuParameters p = on_crossbar();
  p.crossbar->device.read_noise = {true, circuit::ErrorModel::NormalIndependentDevice, 0.05};
  p.crossbar->array.parasitics = {.enable = true, .Rp_row = 2.0, .Rp_col = 2.0};
  const AnalogLayer layer(p, w.view(), {}, {.seed = 9});
  const Matrix whole = forward(layer, x);
  for (const std::int64_t first : {0, 13, 39}) {
    const Matrix part(x.view().rows_from(first, 1));
    const Matrix y = forward(layer, part, static_cast<std::uint64_t>(first));
    for (std::int64_t j = 0; j < 8; ++j) EXPECT_EQ(y(0, j), whole(first, j));
  }
  EXPECT_GT(largest_difference(forward(layer, x, 1000), whole), 0.0F);
}

TEST(CrossbarEngine, ChipsDiffer) {
  const Matrix w = uniforms(8, 16, 7), x = uniforms(3, 16, 8);
  RpuParameters p = on_crossbar();
  p.crossbar->device.programming_error = {true, circuit::ErrorModel::NormalIndependentDevice, 0.02};
  const Matrix one = forward(AnalogLayer(p, w.view(), {}, {.seed = 1}), x);
  EXPECT_EQ(largest_difference(forward(AnalogLayer(p, w.view(), {}, {.seed = 1}), x), one), 0.0F);
  EXPECT_GT(largest_difference(forward(AnalogLayer(p, w.view(), {}, {.seed = 1, .repeat = 1}), x), one), 1e-3F);
}

TEST(CrossbarEngine, ConversionsAreCounted) {
  const Matrix w = uniforms(6, 10, 9), x = uniforms(5, 10, 10);
  RpuParameters p = on_crossbar();
  p.crossbar->adc = {.model = circuit::AdcModel::QuantizerADC, .bits = 6};
  p.crossbar->adc.calibrated_range = {{-0.1, 0.1}};
  const AnalogLayer layer(p, w.view(), {}, {});
  LayerStatistics statistics;
  Matrix y(5, 6);
  layer.forward(x.view(), y.view(), {.statistics = &statistics});
  EXPECT_EQ(statistics.adc_conversions, 30);
  EXPECT_GT(statistics.adc_saturated, 10);
}

// dL/dW of L = sum e_ji y_ji by differences, through wires.
TEST(CrossbarEngine, GradientsGoThroughTheWires) {
  const Matrix w = uniforms(6, 9, 11), z = uniforms(4, 9, 12), e = uniforms(4, 6, 13);
  for (const bool interleaved : {false, true})
    for (const auto style : {circuit::BalancedStyle::ONE_SIDED, circuit::BalancedStyle::TWO_SIDED}) {
      circuit::CrossbarParameters p = *on_crossbar().crossbar;
      p.core.balanced = {.style = style, .interleaved_posneg = interleaved};
      p.core.weights = {.percentile = std::nullopt, .min = -2.0, .max = 2.0};
      p.array.parasitics = {.enable = true, .Rp_row = 30.0, .Rp_col = 50.0};
      const EngineFactory factory = crossbar_engines(p, {}, w.view());
      const auto loss = [&](const Matrix& weights) {
        Matrix v(4, 6);
        EngineScratch scratch;
        EngineCall call;
        call.z = z.view();
        call.v = v.view();
        factory(weights.view(), {})->run(call, scratch);
        double sum = 0.0;
        for (std::size_t c = 0; c < v.values().size(); ++c)
          sum += static_cast<double>(v.values()[c]) * static_cast<double>(e.values()[c]);
        return sum;
      };
      const auto backward = factory(w.view(), {})->backward();
      backward->begin();
      backward->add_weights(z.view(), e.view(), {}, {}, {});
      const Matrix gradient = backward->weight_gradient();
      for (const auto& [j, i] : {std::pair{0, 0}, std::pair{3, 5}, std::pair{5, 8}}) {
        Matrix moved = w;
        moved(j, i) = w(j, i) + 0.01F;
        const double above = loss(moved);
        moved(j, i) = w(j, i) - 0.01F;
        const double below = loss(moved);
        EXPECT_NEAR(static_cast<double>(gradient(j, i)), (above - below) / 0.02, 3e-3) << interleaved;
      }
    }
}

TEST(CrossbarEngine, ConvertersWaitForCalibration) {
  const Matrix w = uniforms(5, 20, 15), x = uniforms(30, 20, 16);
  RpuParameters p = on_crossbar();
  p.crossbar->core.rows_max = 8;
  p.crossbar->adc.model = circuit::AdcModel::QuantizerADC;
  p.crossbar->adc.bits = 5;
  AnalogLayer layer(p, w.view(), {}, {});
  EXPECT_FALSE(layer.converters_calibrated());
  EXPECT_THROW(forward(layer, x), ConfigError);
  LayerState state = layer.state();
  state.converters = {{{-2.5, 2.0}, {}}};
  layer.set_state(state);
  ASSERT_TRUE(layer.converters_calibrated());
  const Matrix calibrated = forward(layer, x);
  RpuParameters given = p;
  given.crossbar->adc.calibrated_range = {{-2.5, 2.0}};
  const AnalogLayer same(given, w.view(), {}, {});
  EXPECT_EQ(largest_difference(calibrated, forward(same, x)), 0.0F);
  // Other weights keep the range; optimal levels are another thing to wait for.
  layer.set_tile_weights(0, layer.target_tile_weights(0).view());
  EXPECT_EQ(largest_difference(calibrated, forward(layer, x)), 0.0F);
  p.crossbar->adc.levels = circuit::OptimalLevels{};
  p.crossbar->adc.adc_range_option = circuit::AdcRangeOption::MAX;
  EXPECT_TRUE(crossbar_problems(p).empty());
  AnalogLayer optimal(p, w.view(), {}, {});
  optimal.set_state(state);
  EXPECT_FALSE(optimal.converters_calibrated()) << "a range is no list of levels";
  state.converters = {{{-2.5, 2.0}, {-2.0, -0.5, 0.5, 2.0}}};
  optimal.set_state(state);
  EXPECT_TRUE(optimal.converters_calibrated());
}

TEST(CrossbarEngine, CurrentsAreCountedWithAndWithoutConverters) {
  const Matrix w = uniforms(6, 10, 17), x = uniforms(50, 10, 18);
  RpuParameters p = on_crossbar();
  p.crossbar->core.style = circuit::CoreStyle::BITSLICED;
  p.crossbar->core.weight_bits = 5;
  AnalogLayer layer(p, w.view(), {}, {});
  Matrix y(50, 6);
  LayerStatistics extremes;
  layer.forward(x.view(), y.view(), {.statistics = &extremes});
  ASSERT_EQ(extremes.converters.size(), 2U);
  EXPECT_EQ(extremes.adc_saturated, 0);
  LayerStatistics whole;
  for (const circuit::ConversionCounts& slice : extremes.converters)
    whole.converters.emplace_back().histogram =
        circuit::CurrentHistogram{slice.lowest, slice.highest, std::vector<std::int64_t>(64, 0)};
  LayerStatistics pieces = whole.blank();
  layer.forward(x.view(), y.view(), {.statistics = &whole});
  for (const std::int64_t first : {0, 20}) {
    Matrix part(20 + first / 2, 6);
    layer.forward(x.view().rows_from(first, part.rows()), part.view(),
                  {.first_vector = static_cast<std::uint64_t>(first), .statistics = &pieces});
  }
  EXPECT_EQ(pieces.converters, whole.converters);
  std::int64_t sum = 0;
  for (const std::int64_t n : whole.converters[1].histogram->bins) sum += n;
  EXPECT_EQ(sum, 300);
}

// What devices hold is what the product computes with; the weights in use follow.
TEST(CrossbarEngine, CellsCanBeProgrammedFromOutside) {
  const Matrix w = uniforms(6, 10, 19), x = uniforms(4, 10, 20);
  for (const auto style : {circuit::CoreStyle::BALANCED, circuit::CoreStyle::OFFSET, circuit::CoreStyle::BITSLICED})
    for (const auto offset : {circuit::OffsetStyle::DIGITAL_OFFSET, circuit::OffsetStyle::UNIT_COLUMN_SUBTRACTION}) {
      RpuParameters p = on_crossbar();
      p.crossbar->core.style = style;
      p.crossbar->core.weight_bits = 8;
      p.crossbar->core.bit_sliced = {circuit::BitSlicedStyle::OFFSET, 2};
      p.crossbar->core.offset.style = offset;
      AnalogLayer layer(p, w.view(), {}, {});
      const Matrix before = forward(layer, x), target = layer.target_tile_weights(0);
      Matrix cells = layer.device_targets(0);
      ASSERT_EQ(cells.rows(), (6 + (p.crossbar->has_unit_column() ? 1 : 0)) * p.crossbar->cells_per_weight());
      layer.set_devices(0, cells.view());
      EXPECT_LT(largest_difference(forward(layer, x), before), 1e-5F);
      const Matrix weights = layer.tile_weights(0);
      for (std::size_t c = 0; c < weights.values().size(); ++c)
        EXPECT_NEAR(weights.values()[c], w.values()[c], style == circuit::CoreStyle::BITSLICED ? 0.005 : 1e-5);
      for (float& g : cells.values()) g *= 0.9F;
      layer.set_devices(0, cells.view());
      EXPECT_GT(largest_difference(forward(layer, x), before), 1e-3F);
      EXPECT_EQ(largest_difference(layer.target_tile_weights(0), target), 0.0F);
      EXPECT_LT(largest_difference(forward(layer, x), product(layer.tile_weights(0), x)), 1e-4F);
    }
}

TEST(CrossbarEngine, WhatDoesNotFitIsRefused) {
  const Matrix w = uniforms(3, 4, 14);
  RpuParameters p = on_crossbar();
  p.crossbar->device.Rmin = -1.0;
  p.crossbar->core.rows_max = 64;
  p.mapping.max_input_size = 128;
  p.crossbar->adc = {.model = circuit::AdcModel::QuantizerADC, .bits = 8};
  p.crossbar->adc.calibrated_range = {{1.0, -1.0}};
  try {
    AnalogLayer(p, w.view(), {}, {});
    FAIL();
  } catch (const ConfigError& error) {
    std::vector<std::string> keys;
    for (const Problem& problem : error.problems()) keys.push_back(problem.key);
    for (const char* key :
         {"crossbar.xbar.device.Rmin", "crossbar.core.rows_max", "crossbar.xbar.adc.mvm.calibrated_range"})
      EXPECT_NE(std::find(keys.begin(), keys.end(), key), keys.end()) << key;
  }
}

}  // namespace
}  // namespace tessera::tile
