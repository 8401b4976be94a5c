#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tessera/core/error.hpp"
#include "tessera/cost/technology.hpp"
#include "tessera/cost/tile_cost.hpp"

// How energy, time and area of a tile follow from what it is built like.
namespace tessera::cost {
namespace {

using enum EnergyComponent;
using tile::AnalogMVType;

const ComponentTable table;
const ComponentValues nominal = table.nominal();

TileDesign example() {
  TileDesign design;
  design.supply_V = design.v_supply_V = design.v_cell_V = design.v_line_V = nominal_supply_V(design.node_nm);
  design.rows = design.columns = design.built_rows = design.built_columns = 512;
  design.adc_bits = std::log2(255.0);
  design.scale_bits = design.bias_bits = design.activation_bits = 8;
  return design;
}

template <class Change>
TileCost with(Change change) {
  TileDesign design = example();
  change(design);
  validate(design);
  return tile_cost(design, nominal);
}

constexpr double close = 1e-12;

void expect_ratio(double a, double b, double ratio) {
  EXPECT_NEAR(a / b, ratio, close * ratio);
}

TEST(TileCost, ControlIsItsShareOfAllThatIsDynamic) {
  const TileCost cost = with([](TileDesign&) {});
  EnergyBreakdown rest = cost.energy_fJ;
  rest[control] = rest[leakage] = 0.0;
  expect_ratio(cost.energy_fJ[control], rest.total(), 0.15);
}

TEST(TileCost, ConversionsFollowColumnsAndEncodingNotRows) {
  const double given = with([](TileDesign&) {}).energy_fJ[adc];
  expect_ratio(with([](TileDesign& d) { d.columns = 256; }).energy_fJ[adc], given, 0.5);
  expect_ratio(with([](TileDesign& d) { d.rows = 17; }).energy_fJ[adc], given, 1.0);
  expect_ratio(with([](TileDesign& d) { d.rounds = 2.5; }).energy_fJ[adc], given, 2.5);
  const auto conversions = [&](AnalogMVType type) {
    return with([&](TileDesign& d) { d.mv_type = type; }).energy_fJ[adc] / given;
  };
  EXPECT_NEAR(conversions(AnalogMVType::POS_NEG_SEPARATE), 1.0, close);
  EXPECT_NEAR(conversions(AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM), 2.0, close);
  EXPECT_NEAR(conversions(AnalogMVType::SPLIT_MODE), 2.0, close);
  EXPECT_NEAR(conversions(AnalogMVType::BIT_WISE), 7.0, close);  // planes of 127
}

TEST(TileCost, ArrayIsProportionalToWhatConducts) {
  const double given = with([](TileDesign&) {}).energy_fJ[array];
  expect_ratio(with([](TileDesign& d) { d.rows = 128; }).energy_fJ[array], given, 0.25);
  expect_ratio(with([](TileDesign& d) { d.columns = 128; }).energy_fJ[array], given, 0.25);
  expect_ratio(with([](TileDesign& d) { d.g_max_uS = 5.0; }).energy_fJ[array], given, 0.2);
  expect_ratio(with([](TileDesign& d) { d.input_mean = 0.5; }).energy_fJ[array], given, 2.0);
  expect_ratio(with([](TileDesign& d) { d.conductance_mean = 0.4; }).energy_fJ[array], given, 2.0);
  const TileCost half = with([](TileDesign& d) { d.input_codes = 63; });
  expect_ratio(half.energy_fJ[array], given, 63.0 / 127.0);
  EXPECT_DOUBLE_EQ(half.time_ns.analog_ns, 63.0);
}

TEST(TileCost, GrowsWithBitsAndNode) {
  const auto adc_of = [](AdcType type, double bits) {
    return with([&](TileDesign& d) {
             d.adc = type;
             d.adc_bits = bits;
           })
        .energy_fJ[adc];
  };
  for (const AdcType type : {AdcType::sar, AdcType::walden, AdcType::counting, AdcType::flash})
    for (double bits = 3.0; bits < 12.0; bits += 1.0) EXPECT_LT(adc_of(type, bits), adc_of(type, bits + 1.0));
  for (int codes = 1; codes < 127; codes += 3)
    EXPECT_LT(with([&](TileDesign& d) { d.input_codes = codes; }).energy_fJ.total(),
              with([&](TileDesign& d) { d.input_codes = codes + 3; }).energy_fJ.total());
  const auto scaled = [](int bits) { return with([&](TileDesign& d) { d.scale_bits = d.bias_bits = bits; }); };
  for (int bits = 2; bits < 8; ++bits) {
    EXPECT_LT(scaled(bits).energy_fJ.total(), scaled(bits + 1).energy_fJ.total());
    EXPECT_LT(scaled(bits).area_um2.total(), scaled(bits + 1).area_um2.total());
  }
  EXPECT_LT(scaled(8).energy_fJ.total(), scaled(0).energy_fJ.total());
  EXPECT_LT(scaled(8).area_um2.total(), scaled(0).area_um2.total());
  const auto at_node = [](double node) {
    return with([&](TileDesign& d) {
      d.node_nm = node;
      d.supply_V = d.v_supply_V = d.v_line_V = nominal_supply_V(node);
    });
  };
  for (const double node : {7.0, 14.0, 22.0, 45.0, 65.0}) {
    EXPECT_LT(at_node(node).energy_fJ.total(), at_node(2.0 * node).energy_fJ.total());
    EXPECT_LT(at_node(node).area_um2.total(), at_node(2.0 * node).area_um2.total());
  }
}

TEST(TileCost, EveryCoefficientGrowsWhatItBelongsTo) {
  for (std::size_t c = 0; c < component_count; ++c) {
    ComponentValues low = nominal, high = nominal;
    low.value[c] = table.row[c].low;
    high.value[c] = table.row[c].high;
    for (const AdcType type : {AdcType::sar, AdcType::walden, AdcType::counting, AdcType::flash})
      for (const DacType drive : {DacType::pwm, DacType::voltage, DacType::bit_serial}) {
        TileDesign design = example();
        design.adc = type;
        design.dac = drive;
        const std::string key(component_rows()[c].key);
        EXPECT_LE(tile_cost(design, low).energy_fJ.total(), tile_cost(design, nominal).energy_fJ.total()) << key;
        EXPECT_LE(tile_cost(design, nominal).energy_fJ.total(), tile_cost(design, high).energy_fJ.total()) << key;
        EXPECT_LE(tile_area(design, low).total(), tile_area(design, nominal).total()) << key;
        EXPECT_LE(tile_area(design, nominal).total(), tile_area(design, high).total()) << key;
      }
  }
}

TEST(TileCost, ShiftsCostLessThanMultiplications) {
  const TileCost shifts = with([](TileDesign& d) { d.power_of_two = true; });
  const TileCost multiplies = with([](TileDesign&) {});
  EXPECT_LT(shifts.energy_fJ[activation], multiplies.energy_fJ[activation]);
  EXPECT_LT(shifts.area_um2[AreaComponent::digital], multiplies.area_um2[AreaComponent::digital]);
}

TEST(TileCost, WhatABitSavesDependsOnTheLaw) {
  const auto energy = [](AdcType type, double bits) {
    TileDesign design = example();
    design.adc = type;
    design.adc_bits = bits;
    return adc_energy_fJ(design, nominal);
  };
  for (double bits = 3.0; bits < 12.0; bits += 1.0) {
    expect_ratio(energy(AdcType::walden, bits + 1.0), energy(AdcType::walden, bits), 2.0);
    expect_ratio(energy(AdcType::counting, bits + 1.0), energy(AdcType::counting, bits), 2.0);
  }
  EXPECT_LT(energy(AdcType::sar, 7.0) / energy(AdcType::sar, 6.0), 1.3);
  EXPECT_GT(energy(AdcType::sar, 13.0) / energy(AdcType::sar, 12.0), 3.0);
  const auto area = [](double bits) {
    return with([&](TileDesign& d) { d.adc_bits = bits; }).area_um2[AreaComponent::adc];
  };
  expect_ratio(area(7.0), area(6.0), 1.84);
}

TEST(TileCost, CountingConvertersIntegrateGroupByGroup) {
  // AON-CiM: four columns of a converter, 127 ticks each; the counter (0.3 ns per count) is faster than the drive.
  const TileCost cost = with([](TileDesign& d) {
    d.built_rows = d.rows = 1024;
    d.adc = AdcType::counting;
    d.columns_per_converter = 4;
    d.lanes = 128;
    d.overlap = true;
  });
  EXPECT_DOUBLE_EQ(cost.time_ns.analog_ns, 4.0 * 127.0);
  EXPECT_EQ(cost.time_ns.conversion_ns, 0.0);
  EXPECT_DOUBLE_EQ(cost.time_ns.interval_ns, 4.0 * 127.0);
  const TileCost slow = with([](TileDesign& d) {
    d.adc = AdcType::counting;
    d.columns_per_converter = 1;
    d.input_codes = 7;
  });
  EXPECT_NEAR(slow.time_ns.analog_ns, 0.3 * 255.0, 1e-9);
}

TEST(TileCost, WorstVectorTakesTheMostRounds) {
  const TileCost cost = with([](TileDesign& d) {
    d.rounds = 1.1;
    d.worst_rounds = 8.0;
  });
  EXPECT_NEAR(cost.worst_time_ns.analog_ns, 8.0 * 127.0, 1e-9);
  EXPECT_EQ(cost.worst_time_ns.digital_ns, cost.time_ns.digital_ns);
}

// Circuit-level crossbars: two slices of a weight are two columns, each converted and added with its place value.
TEST(TileCost, SlicesOfWeightsShareRowsAndConverters) {
  const TileCost one = with([](TileDesign&) {});
  const TileCost two = with([](TileDesign& d) {
    d.weight_slices = 2;
    d.weight_slice_bits = 4;
  });
  expect_ratio(two.energy_fJ[array], one.energy_fJ[array], 2.0);
  expect_ratio(two.energy_fJ[adc], one.energy_fJ[adc], 2.0);
  expect_ratio(two.energy_fJ[row_lines], one.energy_fJ[row_lines], 2.0);
  expect_ratio(two.energy_fJ[dac], one.energy_fJ[dac], 1.0);
  EXPECT_EQ(one.energy_fJ[shift_add], 0.0);
  EXPECT_GT(two.energy_fJ[shift_add], 0.0);
  EXPECT_EQ(two.actions.groups, 8);
  EXPECT_EQ(two.actions.converters, 2 * one.actions.converters);
  expect_ratio(two.area_um2[AreaComponent::array], one.area_um2[AreaComponent::array], 2.0);
}

TEST(TileCost, SlicesOfInputsAreDrivesOfSeveralBits) {
  const auto drives = [](int bits) {
    return with([&](TileDesign& d) {
             d.dac = DacType::bit_serial;
             d.slice_bits = bits;
           })
        .actions.drives;
  };
  EXPECT_EQ(drives(1), 7);
  EXPECT_EQ(drives(2), 4);
  EXPECT_EQ(drives(4), 2);
  EXPECT_EQ(drives(8), 1);
}

// Fixed-point periphery: the accumulator is as wide as it was built.
TEST(TileCost, FixedPointWidths) {
  const TileCost narrow = with([](TileDesign& d) {
    d.accumulator_bits = 16;
    d.power_of_two = true;
  });
  const TileCost wide = with([](TileDesign& d) {
    d.accumulator_bits = 24;
    d.power_of_two = true;
  });
  EXPECT_LT(narrow.energy_fJ[bias_accumulate], wide.energy_fJ[bias_accumulate]);
  TileDesign design = example();
  EXPECT_EQ(periphery_widths(design).accumulator, 8 + 8 + 0 + 1);
  design.row_tiles = 5;
  EXPECT_EQ(periphery_widths(design).accumulator, 8 + 8 + 3 + 1);
  design.accumulator_bits = 24;
  EXPECT_EQ(periphery_widths(design).accumulator, 24);
}

TEST(TileCost, ProgrammingCountsPulsesAndReads) {
  const TileDesign design = example();
  const ProgrammingCost once = programming_cost(design, std::nullopt, nominal);
  const ProgrammingCost measured = programming_cost(design, 19.0, nominal);
  EXPECT_NEAR(measured.energy_pJ / once.energy_pJ, 2.0, close);  // prog.pulses is 10, 19 + 1 were measured
  EXPECT_NEAR(measured.time_ns / once.time_ns, 2.0, close);
  EXPECT_GT(once.energy_pJ, 512.0 * 512.0 * 2.0 * 10.0 * 50.0);
  ComponentValues parallel = nominal;
  parallel[Component::prog_parallel] = 512.0;
  EXPECT_NEAR(programming_cost(design, std::nullopt, parallel).time_ns * 512.0 / once.time_ns, 1.0, close);
}

std::string message_of(const TileDesign& design) {
  try {
    validate(design);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return {};
}

TEST(TileCost, RefusesWhatCannotBeBuilt) {
  TileDesign design = example();
  design.dac = DacType::bit_serial;
  design.mv_type = AnalogMVType::SPLIT_MODE;
  EXPECT_THAT(message_of(design), testing::AllOf(testing::HasSubstr("dac.type"), testing::HasSubstr("SPLIT_MODE"),
                                                 testing::HasSubstr("BIT_WISE")));
  design = example();
  design.dac = DacType::pulse_count;
  design.mv_type = AnalogMVType::POS_NEG_SEPARATE;
  EXPECT_THAT(message_of(design), testing::HasSubstr("pulse_count"));
  design = example();
  design.built_rows = 100;
  EXPECT_THAT(message_of(design), testing::HasSubstr("100 x 512 lines are built"));
  design = example();
  design.adc = AdcType::fixed;
  EXPECT_THAT(message_of(design), testing::HasSubstr("adc.energy_fJ"));
}

TEST(Technology, FollowsTheTable) {
  EXPECT_DOUBLE_EQ(digital_energy_factor(45.0, 0.9), 1.0);
  EXPECT_DOUBLE_EQ(logic_area_factor(45.0), 1.0);
  EXPECT_NEAR(logic_area_factor(7.0), 0.059, 1e-12);
  EXPECT_NEAR(logic_area_factor(130.0), 6.4, 1e-12);
  EXPECT_NEAR(nominal_supply_V(14.0), 0.8, 1e-12);
  // The square root of 20 and 32 nm lies half way between them on logarithmic axes.
  EXPECT_NEAR(logic_area_factor(std::sqrt(20.0 * 32.0)), std::sqrt(0.21 * 0.46), 1e-12);
  EXPECT_LT(logic_area_factor(5.0), 0.059);
  EXPECT_GT(digital_energy_factor(180.0, 0.9), digital_energy_factor(130.0, 0.9));
}

}  // namespace
}  // namespace tessera::cost
