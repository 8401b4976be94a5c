// Question: can every mechanism of a crossbar be looked at alone and be left out?
#include <gtest/gtest.h>

#include "tessera/tile/effects.hpp"
#include "tile/test_layers.hpp"

namespace tessera::tile {
namespace {

AnalogParameters everything() {
  AnalogParameters p;
  p.rpu.pre_post.input_range = {.enable = true, .init_value = 4.0};
  circuit::CrossbarParameters& c = p.rpu.crossbar.emplace();
  c.core.rows_max = 16;
  c.device.Rmin = 1e4;
  c.device.Rmax = 1e6;
  c.device.programming_error = {true, circuit::ErrorModel::NormalIndependentDevice, 0.02};
  c.device.read_noise = {true, circuit::ErrorModel::NormalIndependentDevice, 0.02};
  c.device.nonlinear_IV = {true, circuit::CellLawModel::CubicDevice};
  c.device.Vread = 0.5;
  c.array.Icol_max = 1.0;
  c.array.parasitics = {.enable = true, .Rp_row = 5.0, .Rp_col = 5.0};
  c.dac = {.model = circuit::DacModel::SignMagnitudeDAC, .bits = 5};
  c.adc = {.model = circuit::AdcModel::SarADC, .bits = 6};
  c.adc.calibrated_range = {{-3.0, 3.0}};
  c.adc.gain_db = 40.0;
  c.adc.sigma_capacitor = 0.1;
  c.adc.sigma_comparator = 0.05;
  return p;
}

AnalogParameters sliced() {
  AnalogParameters p = everything();
  circuit::CrossbarParameters& c = *p.rpu.crossbar;
  c.core.style = circuit::CoreStyle::BITSLICED;
  c.core.weight_bits = 6;
  c.array.Icol_max = 0.0;
  c.array.parasitics.disable_slices = {1};
  c.dac.input_bitslicing = true;
  c.adc = {.model = circuit::AdcModel::QuantizerADC, .bits = 6, .adc_per_ibit = true};
  c.adc.adc_range_option = circuit::AdcRangeOption::MAX;
  c.adc.inl.assign(64, 0.3);
  return p;
}

AnalogParameters gated() {
  AnalogParameters p = sliced();
  p.rpu.crossbar->device.nonlinear_IV = {};
  p.rpu.crossbar->array.parasitics.current_from_input = false;
  p.rpu.crossbar->adc.inl.clear();
  return p;
}

Matrix outputs(const AnalogParameters& p) {
  const Matrix w = testing::normals(5, 20, 1, 0.4F), x = testing::normals(6, 20, 3);
  const AnalogLayer layer(p.rpu, w.view(), {}, {.seed = 3});
  Matrix y(x.rows(), w.rows());
  layer.forward(x.view(), y.view(), {});
  return y;
}

bool same(const Matrix& a, const Matrix& b) {
  return std::equal(a.values().begin(), a.values().end(), b.values().begin());
}

TEST(CrossbarEffects, EveryVariantIsValidAndTheOrderOfLeavingOutDoesNotMatter) {
  for (const AnalogParameters& all : {everything(), sliced(), gated()}) {
    ASSERT_NO_THROW(validate(all.rpu));
    for (const Effect& effect : effects()) {
      SCOPED_TRACE(effect.name);
      EXPECT_NO_THROW(validate(alone(effect, all).rpu));
      EXPECT_NO_THROW(validate(without(effect, all).rpu));
      EXPECT_FALSE(is_on(effect, ideal(all)));
      if (effect.leave_out != nullptr) {
        EXPECT_FALSE(is_on(effect, without(effect, all)));
      }
      AnalogParameters bare = without(effect, all);
      for (const Effect& other : effects()) bare = without(other, bare);
      EXPECT_EQ(bare, ideal(all));
    }
  }
}

TEST(CrossbarEffects, EachDoesSomethingAloneAndIsMissedWhenLeftOut) {
  int seen = 0;
  for (const AnalogParameters& all : {everything(), sliced(), gated()}) {
    const Matrix ideal_outputs = outputs(ideal(all)), as_configured = outputs(all);
    for (const Effect& effect : effects()) {
      if (!effect.on_crossbars || !is_on(effect, all)) continue;
      SCOPED_TRACE(effect.name);
      EXPECT_FALSE(same(outputs(alone(effect, all)), ideal_outputs));
      EXPECT_FALSE(same(outputs(without(effect, all)), as_configured));
      ++seen;
    }
  }
  EXPECT_GT(seen, 18);
}

TEST(CrossbarEffects, WhatForwardSaysMeansNothing) {
  AnalogParameters p = everything();
  p.rpu.forward.out_noise = 0.3;
  for (const Effect& effect : effects())
    EXPECT_FALSE(is_on(effect, p) && !effect.on_crossbars && !effect.with_perfect_product) << effect.name;
  AnalogParameters product;
  for (const Effect& effect : effects()) EXPECT_FALSE(is_on(effect, product) && effect.on_crossbars) << effect.name;
}

}  // namespace
}  // namespace tessera::tile
