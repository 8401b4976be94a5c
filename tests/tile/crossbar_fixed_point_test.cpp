// Does a fixed-point periphery multiply the codes that the converters of a crossbar give?
#include <gtest/gtest.h>

#include <cmath>

#include "tessera/core/error.hpp"
#include "tessera/tile/crossbar_engine.hpp"
#include "tessera/tile/fixed_point.hpp"
#include "tile/test_layers.hpp"

namespace tessera::tile {
namespace {

using circuit::CrossbarParameters;

RpuParameters coded_crossbar(void (*change)(CrossbarParameters&) = nullptr) {
  RpuParameters p;
  p.crossbar.emplace();
  CrossbarParameters& c = *p.crossbar;
  c.device.Rmin = 1e4;
  c.device.Rmax = 1e6;
  c.core.rows_max = 12;
  c.dac = {.model = circuit::DacModel::SignMagnitudeDAC, .bits = 8};
  c.adc = {.model = circuit::AdcModel::SignMagnitudeADC, .bits = 8, .adc_range_option = circuit::AdcRangeOption::MAX};
  if (change != nullptr) change(c);
  p.mapping.weight_scaling_omega = 1.0;
  p.pre_post.input_range.enable = true;
  p.pre_post.input_range.init_value = 2.0;
  p.pre_post.fixed_point.emplace().output.range = 6.0;
  p.pre_post.fixed_point->scale.exponent = ScaleExponent::per_tile;
  return p;
}

AnalogLayer crossbar_layer(const RpuParameters& p) {
  return {p, testing::normals(9, 20, 1, 0.4F).view(), testing::normals(1, 9, 2, 0.5F).values(), {.seed = 1}};
}

struct Core {
  const char* name;
  void (*change)(CrossbarParameters&);
};
const Core cores[] = {
    {"pairs, subtracted behind the converters", nullptr},
    {"pairs, subtracted in the array", [](CrossbarParameters& c) { c.core.balanced.subtract_current_in_xbar = true; }},
    {"half codes",
     [](CrossbarParameters& c) {
       c.core.balanced.subtract_current_in_xbar = true;
       c.adc.model = circuit::AdcModel::QuantizerADC;
       c.adc.adc_range_option = circuit::AdcRangeOption::CALIBRATED;
       c.adc.calibrated_range = {{-3.0, 3.0}};
     }},
    {"digits of inputs, each converted",
     [](CrossbarParameters& c) {
       c.dac.input_bitslicing = true;
       c.adc.adc_per_ibit = true;
     }},
    {"slices of weights",
     [](CrossbarParameters& c) {
       c.core.style = circuit::CoreStyle::BITSLICED;
       c.core.weight_bits = 8;
       c.core.bit_sliced.num_slices = 2;
     }},
    {"a unit column",
     [](CrossbarParameters& c) {
       c.core.style = circuit::CoreStyle::OFFSET;
       c.core.offset.style = circuit::OffsetStyle::UNIT_COLUMN_SUBTRACTION;
       c.adc.model = circuit::AdcModel::QuantizerADC;
     }},
    {"a ramp", [](CrossbarParameters& c) { c.adc.model = circuit::AdcModel::RampADC; }}};

TEST(CrossbarFixedPoint, ProductsAreWholeCodes) {
  const Matrix x = testing::normals(40, 20, 3);
  for (const Core& core : cores) {
    SCOPED_TRACE(core.name);
    const AnalogLayer layer = crossbar_layer(coded_crossbar(core.change));
    ASSERT_EQ(layer.tile_count(), 2);
    Matrix v(40, layer.product_columns());
    layer.product(x.view(), v.view(), {});
    for (std::int64_t t = 0; t < 2; ++t) {
      const AdcCodes adc = layer.fixed_point_report(t).adc;
      ASSERT_GT(adc.step, 0.0);
      double largest = 0.0;
      for (std::int64_t r = 0; r < 40; ++r)
        for (std::int64_t i = 0; i < 9; ++i) {
          const double code = static_cast<double>(v(r, 9 * t + i)) / adc.step;
          ASSERT_NEAR(code, std::rint(code), 0.02);
          largest = std::max(largest, std::fabs(code));
        }
      EXPECT_LE(largest, static_cast<double>(adc.largest_code) + 0.02);
      EXPECT_GT(largest, 2.0);
    }
  }
}

// Outputs are those of the float32 periphery behind the same converters, to the multiplier's and the output's width.
TEST(CrossbarFixedPoint, ComputesWhatTheFloatPeripheryDoes) {
  const Matrix x = testing::normals(40, 20, 3);
  for (const Core& core : cores) {
    SCOPED_TRACE(core.name);
    RpuParameters p = coded_crossbar(core.change);
    p.pre_post.fixed_point->scale = {.integer_bits = 1, .fraction_bits = 15, .exponent = ScaleExponent::per_column};
    p.pre_post.fixed_point->bias = {.integer_bits = 11, .fraction_bits = 16};
    p.pre_post.fixed_point->accumulator = {.bits = 48, .fraction_bits = 20};
    p.pre_post.fixed_point->output.bits = 12;
    RpuParameters plain = p;
    plain.pre_post.fixed_point.reset();
    const AnalogLayer fixed = crossbar_layer(p);
    const Matrix y = testing::run(fixed, x), expected = testing::run(crossbar_layer(plain), x);
    float largest = 0.0F;
    for (std::size_t i = 0; i < y.values().size(); ++i) {
      const float wanted = std::clamp(expected.values()[i], -6.0F, 6.0F);
      EXPECT_NEAR(y.values()[i], wanted, 0.6F * fixed.output_step() + 1e-3F * std::fabs(wanted));
      largest = std::max(largest, std::fabs(y.values()[i]));
    }
    EXPECT_GT(largest, 1.0F);
    const FixedPointTrace trace = fixed.trace_fixed_point(x.view(), {});
    for (std::int64_t r = 0; r < 40; ++r)
      for (std::int64_t i = 0; i < 9; ++i)
        ASSERT_EQ(y(r, i), static_cast<float>(static_cast<double>(trace.output(r, i)) *
                                              static_cast<double>(fixed.output_step())));
  }
}

std::string refusal_of(void (*change)(CrossbarParameters&)) {
  try {
    crossbar_layer(coded_crossbar(change));
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(CrossbarFixedPoint, SaysWhyOutputsAreNoCodes) {
  const auto refuses = [](void (*change)(CrossbarParameters&), const char* why) {
    SCOPED_TRACE(why);
    const std::string text = refusal_of(change);
    EXPECT_NE(text.find("crossbar.xbar.adc.mvm"), std::string::npos) << text;
    EXPECT_NE(text.find(why), std::string::npos) << text;
  };
  refuses([](CrossbarParameters& c) { c.adc = {}; }, "give the crossbar one with a model and bits");
  refuses([](CrossbarParameters& c) { c.core.style = circuit::CoreStyle::OFFSET; }, "sum of inputs");
  refuses(
      [](CrossbarParameters& c) {
        c.core.balanced.subtract_current_in_xbar = true;
        c.adc.model = circuit::AdcModel::QuantizerADC;
        c.adc.adc_range_option = circuit::AdcRangeOption::CALIBRATED;
        c.adc.calibrated_range = {{-3.0, 2.3}};
      },
      "symmetric range");
  refuses(
      [](CrossbarParameters& c) {
        c.core.style = circuit::CoreStyle::BITSLICED;
        c.core.weight_bits = 8;
        c.core.bit_sliced.num_slices = 2;
        c.adc.adc_range_option = circuit::AdcRangeOption::CALIBRATED;
        c.adc.calibrated_range = {{-3.0, 3.0}, {-2.9, 2.9}};
      },
      "weight slice");
  refuses(
      [](CrossbarParameters& c) {
        c.adc.adc_range_option = circuit::AdcRangeOption::CALIBRATED;
        c.adc.levels = std::vector<double>{-1.0, 0.0, 0.5, 2.0};
        c.adc.bits = 2;
        c.adc.model = circuit::AdcModel::QuantizerADC;
      },
      "not evenly spaced");
  RpuParameters narrow = coded_crossbar();
  narrow.pre_post.fixed_point->accumulator.bits = 10;
  EXPECT_THROW(crossbar_layer(narrow), ConfigError);
}

// Converters that wait for calibration have codes once they have ranges.
TEST(CrossbarFixedPoint, WaitsForTheRangesOfItsConverters) {
  RpuParameters p = coded_crossbar([](CrossbarParameters& c) {
    c.adc.adc_range_option = circuit::AdcRangeOption::CALIBRATED;
    c.adc.model = circuit::AdcModel::SignMagnitudeADC;
  });
  AnalogLayer layer = crossbar_layer(p);
  EXPECT_FALSE(layer.converters_calibrated());
  LayerState state = layer.state();
  state.converters = {{.range = {-2.0, 2.0}}};
  layer.set_state(state);
  EXPECT_GT(layer.fixed_point_report(0).adc.step, 0.0);
}

}  // namespace
}  // namespace tessera::tile
