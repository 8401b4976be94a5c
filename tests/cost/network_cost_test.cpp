#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tessera/core/error.hpp"
#include "tessera/cost/network_cost.hpp"
#include "tessera/cost/technology.hpp"

// Tiles to layers to networks, and what is known of the result.
namespace tessera::cost {
namespace {

using enum EnergyComponent;

TileDesign tile_of(std::int64_t rows, std::int64_t columns) {
  TileDesign design;
  design.supply_V = design.v_supply_V = design.v_cell_V = design.v_line_V = nominal_supply_V(design.node_nm);
  design.rows = rows;
  design.columns = columns;
  design.built_rows = design.built_columns = 512;
  design.adc_bits = std::log2(255.0);
  design.scale_bits = design.bias_bits = design.activation_bits = 8;
  return design;
}

LayerDesign layer_of(std::int64_t rows, std::int64_t columns, std::int64_t row_tiles, double vectors) {
  LayerDesign layer;
  TileDesign tile = tile_of(rows / row_tiles, columns);
  tile.row_tiles = row_tiles;
  layer.tiles = {{tile, row_tiles}};
  layer.vectors = vectors;
  layer.operations = 2.0 * vectors * static_cast<double>(rows * columns);
  return layer;
}

const ComponentTable table;
const ComponentValues nominal = table.nominal();

TEST(NetworkCost, SumsAreExact) {
  const NetworkDesign design = prepared({.layers = {layer_of(512, 64, 1, 9), layer_of(1024, 100, 2, 4)}}, table);
  const NetworkCost cost = network_cost(design, nominal);
  double layers = 0.0;
  EnergyBreakdown parts;
  for (const LayerCost& layer : cost.layers) {
    layers += layer.energy_fJ.total();
    parts += layer.energy_fJ;
  }
  EXPECT_EQ(parts, cost.energy_fJ);
  EXPECT_EQ(cost.energy_fJ.total(), parts.total());
  EXPECT_NEAR(layers, cost.energy_fJ.total(), 1e-12 * layers);
  EXPECT_EQ(cost.layers[1].tiles, 2);
}

TEST(NetworkCost, SplittingALayerLeavesItsArray) {
  const NetworkCost whole = network_cost(prepared({.layers = {layer_of(512, 64, 1, 9)}}, table), nominal);
  const NetworkCost split = network_cost(prepared({.layers = {layer_of(512, 64, 4, 9)}}, table), nominal);
  EXPECT_NEAR(split.energy_fJ[array] / whole.energy_fJ[array], 1.0, 1e-12);
  EXPECT_NEAR(split.energy_fJ[adc] / whole.energy_fJ[adc], 4.0, 1e-12);
  EXPECT_GT(split.area_mm2(), whole.area_mm2());
}

TEST(NetworkCost, TimeOfLayersCopiesAndPipelines) {
  NetworkDesign design{.layers = {layer_of(512, 64, 1, 100), layer_of(512, 64, 2, 10)}};
  const NetworkCost sequential = network_cost(prepared(design, table), nominal);
  EXPECT_DOUBLE_EQ(sequential.interval_ns, sequential.latency_ns);
  design.pipeline = Pipeline::layers;
  const NetworkCost pipelined = network_cost(prepared(design, table), nominal);
  EXPECT_DOUBLE_EQ(pipelined.latency_ns, sequential.latency_ns);
  EXPECT_DOUBLE_EQ(pipelined.interval_ns, pipelined.layers[0].latency_ns);
  EXPECT_LT(pipelined.energy_fJ[leakage], sequential.energy_fJ[leakage]);

  design.layers[0].copies = 2;
  const NetworkCost copied = network_cost(prepared(design, table), nominal);
  const TileCost tile = tile_cost(design.layers[0].tiles[0].tile, nominal);
  const double fill = tile.time_ns.vector_ns - tile.time_ns.interval_ns;
  EXPECT_NEAR((copied.layers[0].latency_ns - fill) / (pipelined.layers[0].latency_ns - fill), 0.5, 1e-12);
  EXPECT_NEAR(copied.layers[0].area_um2.total() / pipelined.layers[0].area_um2.total(), 2.0, 1e-12);
  EXPECT_EQ(copied.layers[0].energy_fJ[array], pipelined.layers[0].energy_fJ[array]);
  // One more addition of two partial sums.
  EXPECT_NEAR(sequential.layers[1].latency_ns,
              10.0 * tile_cost(design.layers[1].tiles[0].tile, nominal).time_ns.vector_ns + 1.0, 1e-9);
}

TEST(NetworkCost, GatedTilesLeakWhileTheyWork) {
  NetworkDesign design{.layers = {layer_of(512, 64, 1, 100), layer_of(512, 64, 1, 10)}};
  const double always = network_cost(prepared(design, table), nominal).energy_fJ[leakage];
  design.gated = true;
  const NetworkCost gated = network_cost(prepared(design, table), nominal);
  EXPECT_NEAR(gated.energy_fJ[leakage] / always, 0.5, 1e-12);
}

TEST(NetworkCost, UnfilledTilesAreWorse) {
  const NetworkCost full = network_cost(prepared({.layers = {layer_of(512, 512, 1, 10)}}, table), nominal);
  const NetworkCost part = network_cost(prepared({.layers = {layer_of(64, 64, 1, 10)}}, table), nominal);
  EXPECT_LT(part.tops_per_W(), full.tops_per_W());
  EXPECT_NEAR(part.layers[0].utilization, 1.0 / 64.0, 1e-12);
}

TEST(NetworkCost, CalibrationMultipliesAfterAll) {
  NetworkDesign design{.layers = {layer_of(512, 64, 1, 100)}};
  const NetworkCost given = network_cost(prepared(design, table), nominal);
  design.energy_calibration = 2.0;
  design.area_calibration = 3.0;
  const NetworkCost calibrated = network_cost(prepared(design, table), nominal);
  EXPECT_NEAR(calibrated.area_mm2() / given.area_mm2(), 3.0, 1e-12);
  EXPECT_NEAR(calibrated.energy_fJ[adc] / given.energy_fJ[adc], 2.0, 1e-12);
  EXPECT_EQ(calibrated.energy_fJ[leakage], given.energy_fJ[leakage]);
}

TEST(Uncertainty, IntervalsContainTheNominal) {
  const NetworkDesign design = prepared({.layers = {layer_of(512, 64, 1, 9)}}, table);
  const NetworkEstimate estimate = network_estimate(design, table);
  for (const Interval& interval :
       {estimate.energy_J, estimate.area_mm2, estimate.tops_per_W, estimate.tops_per_mm2, estimate.layer_energy_J[0]}) {
    EXPECT_LT(interval.low, interval.nominal);
    EXPECT_LT(interval.nominal, interval.high);
  }
  EXPECT_DOUBLE_EQ(estimate.energy_J.nominal, estimate.nominal.energy_J());
}

TEST(Uncertainty, SingleNumbersHaveNoSpread) {
  ComponentTable known;
  for (Coefficient& row : known.row) row.low = row.high = row.nominal;
  const NetworkEstimate estimate = network_estimate(prepared({.layers = {layer_of(512, 64, 1, 9)}}, known), known);
  EXPECT_EQ(estimate.energy_J.low, estimate.energy_J.high);
  EXPECT_EQ(estimate.area_mm2.low, estimate.area_mm2.high);
}

TEST(Uncertainty, RatiosUseCommonCoefficients) {
  const NetworkDesign eight = prepared({.layers = {layer_of(512, 64, 1, 9)}}, table);
  NetworkDesign six = eight;
  six.layers[0].tiles[0].tile.adc_bits = 6.0;
  const RelativeCost same = relative_cost(eight, eight, table);
  EXPECT_EQ(same.energy, (Interval{1.0, 1.0, 1.0}));
  EXPECT_EQ(same.area, (Interval{1.0, 1.0, 1.0}));
  const RelativeCost ratio = relative_cost(six, eight, table);
  EXPECT_LT(ratio.energy.nominal, 1.0);
  const Interval alone = network_estimate(six, table).energy_J;
  EXPECT_LT((ratio.energy.high - ratio.energy.low) / ratio.energy.nominal,
            0.3 * (alone.high - alone.low) / alone.nominal);
}

TEST(Uncertainty, WhatPointsKeepGivesTheSameRatio) {
  const NetworkDesign eight = prepared({.layers = {layer_of(512, 64, 1, 9)}}, table);
  NetworkDesign six = eight;
  six.layers[0].tiles[0].tile.adc_bits = 6.0;
  const NetworkEstimate a = network_estimate(six, table), b = network_estimate(eight, table);
  const RelativeCost wanted = relative_cost(six, eight, table);
  EXPECT_EQ(ratio(a.energy_ends_J, b.energy_ends_J), wanted.energy);
  EXPECT_EQ(ratio(a.area_ends_mm2, b.area_ends_mm2), wanted.area);
  EXPECT_EQ(ratio(a.energy_ends_J, a.energy_ends_J), (Interval{1.0, 1.0, 1.0}));
  EndValues other = b.energy_ends_J;
  other.low.pop_back();
  EXPECT_THROW(ratio(a.energy_ends_J, other), InputError);
}

TEST(Uncertainty, MeasuredActivityHasNone) {
  NetworkDesign design = prepared({.layers = {layer_of(512, 64, 1, 9)}}, table);
  const Interval assumed = network_estimate(design, table).energy_J;
  TileDesign& tile = design.layers[0].tiles[0].tile;
  tile.input_mean = nominal[Component::activity_x_mean];
  tile.conductance_mean = nominal[Component::activity_g_mean];
  tile.bit_density = nominal[Component::activity_bit_density];
  const Interval measured = network_estimate(design, table).energy_J;
  EXPECT_DOUBLE_EQ(measured.nominal, assumed.nominal);
  EXPECT_LT(measured.high, assumed.high);
  EXPECT_GT(measured.low, assumed.low);
}

TEST(NetworkCost, ErrorsNameTheLayer) {
  NetworkDesign design{.layers = {layer_of(512, 64, 1, 9)}};
  design.layers[0].name = "conv1";
  design.layers[0].tiles[0].tile.built_columns = 10;
  try {
    prepared(design, table);
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("layer 'conv1'"));
  }
}

TEST(Components, TableIsInOrderAndInRange) {
  for (const ComponentRow& row : component_rows()) {
    EXPECT_NO_THROW(validate(std::string(row.key), row.value)) << row.key;
    EXPECT_EQ(find_component(row.key), row.component);
    EXPECT_FALSE(row.source.empty());
  }
  EXPECT_EQ(find_component("adc.sar.k1"), std::nullopt);
  EXPECT_EQ(nearest_word("adc.sar.k1", component_keys()), "adc.sar.k1_fJ");
  EXPECT_THROW(validate("x", Coefficient{2.0, 1.0, 3.0}), ConfigError);
  EXPECT_THROW(validate("x", Coefficient{-1.0, 1.0, 3.0}), ConfigError);
}

}  // namespace
}  // namespace tessera::cost
