// Is the hardware of a circuit-level crossbar what its parameters say: slices, pairs, digits, conversions, passes?
#include <gmock/gmock.h>

#include <cmath>

#include "tessera/core/error.hpp"
#include "tessera/cost/design.hpp"
#include "tessera/cost/network_cost.hpp"

namespace tessera::cost {
namespace {

using testing::HasSubstr;

struct CrossbarDesign : testing::Test {
  tile::RpuParameters rpu;
  HardwareParameters hardware;
  ProductShape product{.inputs = 256, .outputs = 64};

  CrossbarDesign() {
    rpu.crossbar.emplace();
    rpu.crossbar->core.rows_max = 128;
    rpu.crossbar->core.cols_max = 64;
    rpu.crossbar->device.Rmin = 5e4;
    rpu.crossbar->device.Rmax = 5e6;
    rpu.crossbar->dac = {.model = circuit::DacModel::SignMagnitudeDAC, .bits = 8};
    rpu.crossbar->adc.model = circuit::AdcModel::QuantizerADC;
    rpu.crossbar->adc.bits = 6;
    rpu.crossbar->adc.adc_range_option = circuit::AdcRangeOption::MAX;
  }
  std::vector<TileGroup> groups() const { return tile_groups(hardware, rpu, product, {}); }
  TileActions actions() const { return tile_actions(groups().front().tile, ComponentTable().nominal()); }
  std::string problem() const {
    try {
      groups();
    } catch (const ConfigError& error) {
      return error.problems().front().key + ": " + error.problems().front().message;
    }
    return "";
  }
  /// Four slices of 2 bits and 7 input bits one by one, each converted.
  void isaac() {
    rpu.crossbar->core.style = circuit::CoreStyle::BITSLICED;
    rpu.crossbar->core.weight_bits = 8;
    rpu.crossbar->core.bit_sliced = {circuit::BitSlicedStyle::OFFSET, 4};
    rpu.crossbar->core.offset.style = circuit::OffsetStyle::UNIT_COLUMN_SUBTRACTION;
    rpu.crossbar->dac.input_bitslicing = true;
    rpu.crossbar->adc.adc_per_ibit = true;
  }
};

TEST_F(CrossbarDesign, PairsThatMeetConvertOnce) {
  const std::vector<TileGroup> made = groups();
  ASSERT_EQ(made.size(), 1U);
  EXPECT_EQ(made[0].count, 2) << "256 inputs on arrays of 128";
  const TileDesign& tile = made[0].tile;
  EXPECT_EQ(tile.built_rows, 128);
  EXPECT_EQ(tile.built_columns, 64);
  EXPECT_EQ(tile.input_codes, 127);
  EXPECT_DOUBLE_EQ(tile.adc_bits, 6.0);
  EXPECT_EQ(tile.devices, 2);
  EXPECT_DOUBLE_EQ(tile.g_max_uS, 20.0);
  EXPECT_DOUBLE_EQ(tile.v_read_V, 0.1);
  EXPECT_DOUBLE_EQ(actions().adc_conversions, 64.0);
}

TEST_F(CrossbarDesign, PairsThatAreConvertedApartConvertTwice) {
  rpu.crossbar->core.balanced.subtract_current_in_xbar = false;
  EXPECT_DOUBLE_EQ(actions().adc_conversions, 128.0);
  EXPECT_EQ(groups()[0].tile.devices, 1);
  // The array itself is the same.
  const double apart = tile_cost(groups()[0].tile, ComponentTable().nominal()).energy_fJ[EnergyComponent::row_lines];
  rpu.crossbar->core.balanced.subtract_current_in_xbar = true;
  const double together = tile_cost(groups()[0].tile, ComponentTable().nominal()).energy_fJ[EnergyComponent::row_lines];
  EXPECT_DOUBLE_EQ(apart, together);
}

TEST_F(CrossbarDesign, SlicesAndDigitsMultiply) {
  isaac();
  const TileDesign tile = groups()[0].tile;
  EXPECT_EQ(tile.weight_slices, 4);
  EXPECT_EQ(tile.weight_slice_bits, 2);
  EXPECT_EQ(tile.devices, 1);
  EXPECT_EQ(tile.columns, 65) << "64 outputs and the unit column";
  EXPECT_DOUBLE_EQ(actions().adc_conversions, 65.0 * 4 * 7);
  rpu.crossbar->dac.slice_size = 4;
  EXPECT_DOUBLE_EQ(actions().adc_conversions, 65.0 * 4 * 2) << "7 bits are two digits of 4";
}

TEST_F(CrossbarDesign, ChargeIsConvertedOnceAndNeedsBitSerialDrivers) {
  isaac();
  rpu.crossbar->adc.adc_per_ibit = false;
  EXPECT_THAT(problem(), testing::AllOf(HasSubstr("dac.type"), HasSubstr("bit_serial")));
  hardware.dac.type = DacType::bit_serial;
  EXPECT_DOUBLE_EQ(actions().adc_conversions, 65.0 * 4);
  rpu.crossbar->dac.input_bitslicing = false;
  EXPECT_THAT(problem(), HasSubstr("input_bitslicing"));
}

TEST_F(CrossbarDesign, SignedInputsPassGatesTwice) {
  const double once = actions().adc_conversions;
  rpu.crossbar->array.parasitics.current_from_input = false;
  EXPECT_DOUBLE_EQ(actions().adc_conversions, 2.0 * once);
  rpu.crossbar->dac.is_signed = false;
  EXPECT_DOUBLE_EQ(actions().adc_conversions, once);
}

TEST_F(CrossbarDesign, WhatIsNotThereHasNoCost) {
  rpu.crossbar->adc = {};
  EXPECT_THAT(problem(), testing::AllOf(HasSubstr("assume.out_bits"), HasSubstr("xbar.adc.mvm")));
  hardware.assume.out_bits = 8;
  EXPECT_EQ(problem(), "");
  rpu.crossbar->dac = {};
  EXPECT_THAT(problem(), testing::AllOf(HasSubstr("assume.inp_bits"), HasSubstr("xbar.dac.mvm")));
}

TEST_F(CrossbarDesign, SharedConvertersCostAreaNotConversions) {
  const ComponentValues nominal = ComponentTable().nominal();
  hardware.adc.columns = 1;
  const TileCost alone = tile_cost(groups()[0].tile, nominal);
  hardware.adc.columns = 16;
  const TileCost shared = tile_cost(groups()[0].tile, nominal);
  EXPECT_EQ(shared.actions.converters, 4);
  EXPECT_DOUBLE_EQ(shared.energy_fJ[EnergyComponent::adc], alone.energy_fJ[EnergyComponent::adc]);
  EXPECT_NEAR(alone.area_um2[AreaComponent::adc] / shared.area_um2[AreaComponent::adc], 16.0, 1e-9);
}

}  // namespace
}  // namespace tessera::cost
