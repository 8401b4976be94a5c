// Is what a network costs counted from its configuration, measured where there are data, and free where it is off?
#include "tessera/sim/cost_model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <memory>
#include <random>

#include "sim/small_network.hpp"
#include "tessera/core/error.hpp"
#include "tessera/cost/technology.hpp"
#include "tessera/sim/cost_recording.hpp"
#include "tessera/sim/search.hpp"
#include "tessera/spec/layers.hpp"

namespace tessera::sim {
namespace {

const char* const hardware_text = R"(
model: {file: none.onnx}
data: {format: glyphs}
rpu_config:
  forward: {inp_res: 254, out_res: 254, out_bound: 10.0, out_noise: 0.02, noise_management: NONE, bound_management: NONE}
  mapping: {max_input_size: 4, max_output_size: 4, weight_scaling_omega: 1.0}
  pre_post: {periph_quant: {n_bits: 6}}
)";

std::vector<spec::LayerName> names() {
  return {{"fc1", "Gemm"}, {"fc2", "Gemm"}};
}

spec::RunConfig config(const std::string& more) {
  return spec::read_run_config_text(hardware_text + more);
}

CostDescription describe(const std::string& more, std::span<const LayerActivity> activity = {}) {
  const spec::RunConfig read = config(more);
  const nn::Executor executor(test::small_network());
  return describe_cost(executor, spec::layer_resolver(read), *spec::cost_model(read, names()), activity);
}

TEST(CostModel, TilesFollowFromTheConfiguration) {
  const CostDescription described = describe("cost: {technology: 22, adc: {columns: 2}}\n");
  ASSERT_EQ(described.design.layers.size(), 2U);
  const cost::LayerDesign& fc1 = described.design.layers[0];
  // 6 inputs on tiles of 4 rows: 3 and 3; 5 outputs on 4 columns: 3 and 2.
  ASSERT_EQ(fc1.tiles.size(), 2U);
  EXPECT_EQ(fc1.tiles[0].count, 2);
  EXPECT_EQ(fc1.tiles[1].count, 2);
  const cost::TileDesign& tile = fc1.tiles[0].tile;
  EXPECT_EQ(tile.rows, 3);
  EXPECT_EQ(tile.columns, 3);
  EXPECT_EQ(tile.built_rows, 4);
  EXPECT_EQ(tile.built_columns, 4);
  EXPECT_EQ(tile.input_codes, 127);
  EXPECT_DOUBLE_EQ(tile.adc_bits, std::log2(255.0));
  EXPECT_EQ(tile.scale_bits, 6);
  EXPECT_EQ(tile.bias_bits, 6);
  EXPECT_EQ(tile.row_tiles, 2);
  EXPECT_EQ(tile.columns_per_converter, 2);
  EXPECT_EQ(tile.activation_bits, 8) << "the DAC of fc2, through the Relu";
  EXPECT_EQ(described.design.layers[1].tiles[0].tile.activation_bits, 0) << "nobody reads fc2";
  EXPECT_DOUBLE_EQ(fc1.operations, 2.0 * 6.0 * 5.0);
  EXPECT_DOUBLE_EQ(tile.supply_V, cost::nominal_supply_V(22.0));
}

// The same numbers through a configuration and through the library.
TEST(CostModel, EqualsTheLibrary) {
  const CostDescription described = describe("cost: {}\n");
  const cost::NetworkCost network = cost::network_cost(described.design, described.table.nominal());
  cost::EnergyBreakdown sum;
  for (const cost::TileGroup& group : described.design.layers[0].tiles) {
    cost::EnergyBreakdown tile = cost::tile_cost(group.tile, described.table.nominal()).energy_fJ;
    tile[cost::EnergyComponent::leakage] = 0.0;
    sum += (tile *= static_cast<double>(group.count));
  }
  cost::EnergyBreakdown layer = network.layers[0].energy_fJ;
  layer[cost::EnergyComponent::leakage] = 0.0;
  EXPECT_EQ(sum, layer);
}

TEST(CostModel, LayersMayHaveTheirOwnHardware) {
  const CostDescription described =
      describe("cost: {copies: {fc1: 3}}\nlayers: [{match: fc2, cost: {adc: {columns: 4}}}]\n");
  EXPECT_EQ(described.design.layers[0].tiles[0].tile.columns_per_converter, 8);
  EXPECT_EQ(described.design.layers[1].tiles[0].tile.columns_per_converter, 4);
  EXPECT_EQ(described.design.layers[0].copies, 3);
  EXPECT_EQ(described.design.layers[1].copies, 1);
}

std::string refusal(const std::string& more) {
  try {
    describe(more);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return {};
}

TEST(CostModel, RefusesWhatHasNoHardware) {
  EXPECT_THAT(refusal("cost: {}\nlayers: [{match: '*', rpu_config: {forward: {out_res: -1}}}]\n"),
              testing::AllOf(testing::HasSubstr("cost.assume.out_bits"), testing::HasSubstr("is off")));
  EXPECT_EQ(refusal("cost: {assume: {out_bits: 8}}\nlayers: [{match: '*', rpu_config: {forward: {out_res: -1}}}]\n"),
            "");
  EXPECT_THAT(refusal("cost: {dac: {type: bit_serial}}\nlayers: [{match: fc1, rpu_config: {forward: {mv_type: "
                      "SPLIT_MODE}}}]\n"),
              testing::AllOf(testing::HasSubstr("cost.dac.type"), testing::HasSubstr("SPLIT_MODE")));
  EXPECT_THAT(refusal("cost: {tile: [2, 2]}\n"), testing::HasSubstr("lines are built"));
  EXPECT_THAT(refusal("cost: {preset: isaac_32nm, dac: {type: pulse_count}}\nlayers: [{match: '*', rpu_config: "
                      "{forward: {mv_type: POS_NEG_SEPARATE}}}]\n"),
              testing::HasSubstr("pulse_count"));
  EXPECT_THAT(refusal("cost: {copies: {fc9: 2}}\n"),
              testing::AllOf(testing::HasSubstr("cost.copies.fc9"), testing::HasSubstr("fc1")));
}

struct Evaluated {
  EvaluationResult result;
  std::vector<float> outputs;
  std::vector<LayerActivity> activity;
};

Evaluated evaluate_small(bool counted, std::int64_t batch, int threads, const std::string& more = {},
                         bool statistics = true) {
  const spec::RunConfig read = config(more + (counted ? "cost: {}\n" : ""));
  const nn::Executor executor(test::small_network());
  const io::DataSet data = test::small_data(41);
  EvaluationRequest request{.executor = executor,
                            .data = data,
                            .batch_size = batch,
                            .seed = 7,
                            .evaluation = read.evaluation,
                            .resolve = spec::layer_resolver(read),
                            .statistics = statistics,
                            .record_output = {true, true}};
  if (counted) request.cost = std::make_shared<const CostModel>(*spec::cost_model(read, names()));
  Evaluated seen;
  EvaluationSink sink;
  sink.output = [&](const PointIndex&, std::size_t, std::int64_t, const Tensor& output) {
    seen.outputs.insert(seen.outputs.end(), output.values().begin(), output.values().end());
  };
  seen.result = evaluate(request, sink, {threads}, {});
  seen.activity = measured_activity(request, seen.result.points.back());
  return seen;
}

TEST(CostModel, CountersChangeNoResult) {
  const Evaluated off = evaluate_small(false, 41, 1);
  const Evaluated on = evaluate_small(true, 41, 1);
  EXPECT_EQ(off.outputs, on.outputs);
  for (std::size_t l = 0; l < 2; ++l) {
    const tile::LayerStatistics& without = off.result.points[0].layers[l].counts;
    tile::LayerStatistics with = on.result.points[0].layers[l].counts;
    EXPECT_EQ(without.dac_code_sum, 0);
    EXPECT_EQ(without.dac_bit_sum, 0);
    EXPECT_GT(with.dac_code_sum, 0);
    with.dac_code_sum = with.dac_bit_sum = 0;
    with.activity = false;
    EXPECT_EQ(with, without);
  }
  EXPECT_TRUE(off.activity.empty());
}

TEST(CostModel, ActivityDoesNotDependOnHowTheWorkIsCut) {
  const std::string devices = "evaluation: {repeats: 2, times: [0, 3600]}\n";
  const std::string noise = "layers: [{match: '*', rpu_config: {noise_model: PCMLikeNoiseModel}}]\n";
  const Evaluated one = evaluate_small(true, 41, 1, devices + noise);
  const Evaluated other = evaluate_small(true, 8, 2, devices + noise);
  ASSERT_EQ(one.activity.size(), 2U);
  for (std::size_t l = 0; l < 2; ++l) {
    EXPECT_EQ(*one.activity[l].input_mean, *other.activity[l].input_mean);
    EXPECT_EQ(*one.activity[l].bit_density, *other.activity[l].bit_density);
    EXPECT_EQ(*one.activity[l].conductance_mean, *other.activity[l].conductance_mean);
  }
}

// Without statistics nothing but activity is counted, and it is the same.
TEST(CostModel, ActivityIsCountedWithoutStatistics) {
  const Evaluated with = evaluate_small(true, 41, 1), alone = evaluate_small(true, 8, 2, {}, false);
  EXPECT_EQ(with.outputs.size(), alone.outputs.size());
  ASSERT_EQ(alone.activity.size(), 2U);
  for (std::size_t l = 0; l < 2; ++l) {
    ASSERT_TRUE(alone.activity[l].input_mean);
    EXPECT_EQ(*alone.activity[l].input_mean, *with.activity[l].input_mean);
    EXPECT_EQ(*alone.activity[l].bit_density, *with.activity[l].bit_density);
    EXPECT_EQ(alone.activity[l].rounds, with.activity[l].rounds);
  }
}

// Drifted devices conduct less.
TEST(CostModel, ConductanceIsThatOfTheRead) {
  const Evaluated seen = evaluate_small(
      true, 41, 1,
      "evaluation: {times: [0, 31536000]}\nlayers: [{match: '*', rpu_config: {noise_model: PCMLikeNoiseModel}}]\n");
  ASSERT_EQ(seen.result.points.size(), 2U);
  const double fresh = *seen.result.points[0].layers[0].conductance_mean;
  const double year = *seen.result.points[1].layers[0].conductance_mean;
  EXPECT_LT(year, fresh);
  EXPECT_GT(year, 0.2 * fresh);
}

// Codes of the first layer, counted by hand.
TEST(CostModel, CodesAreCountedExactly) {
  const Evaluated seen = evaluate_small(true, 16, 2);
  const io::DataSet data = test::small_data(41);
  const Tensor inputs = data.read(0, 41, {1});
  std::int64_t codes = 0, bits = 0;
  for (const float x : inputs.values()) {
    const auto code = static_cast<std::uint32_t>(
        std::min(127L, std::lround(std::fabs(static_cast<double>(std::clamp(x, -1.0F, 1.0F))) * 127.0)));
    codes += code;
    bits += std::popcount(code);
  }
  // Two tiles along the outputs see every input.
  EXPECT_EQ(seen.result.points[0].layers[0].counts.dac_code_sum, 2 * codes);
  EXPECT_EQ(seen.result.points[0].layers[0].counts.dac_bit_sum, 2 * bits);
  EXPECT_DOUBLE_EQ(*seen.activity[0].input_mean, static_cast<double>(codes) / (127.0 * 41.0 * 6.0));
  EXPECT_DOUBLE_EQ(*seen.activity[0].bit_density, static_cast<double>(bits) / (7.0 * 41.0 * 6.0));
  EXPECT_EQ(seen.activity[0].rounds, 1.0);
}

// The same on crossbars: codes of their DAC, cells of their arrays.
TEST(CostModel, CrossbarsAreMeasured) {
  const char* const crossbar =
      "layers: [{match: '*', rpu_config: {forward: {}, pre_post: {periph_quant: {n_bits: 6}, input_range: {enable: "
      "true, "
      "init_value: 1.0}}, crossbar: {core: {style: BALANCED}, xbar: {device: {Rmin: 1e4, Rmax: 1e6}, dac: {mvm: "
      "{model: "
      "SignMagnitudeDAC, bits: 8}}, adc: {mvm: {model: QuantizerADC, bits: 8, adc_range_option: MAX}}}}}}]\n";
  const Evaluated seen = evaluate_small(true, 16, 2, crossbar);
  const Evaluated off = evaluate_small(false, 16, 1, crossbar);
  EXPECT_EQ(seen.outputs, off.outputs);
  const io::DataSet data = test::small_data(41);
  const Tensor inputs = data.read(0, 41, {1});
  std::int64_t codes = 0, bits = 0;
  for (const float x : inputs.values()) {
    const auto code =
        static_cast<std::uint32_t>(std::lround(std::fabs(static_cast<double>(std::clamp(x, -1.0F, 1.0F))) * 127.0));
    codes += code;
    bits += std::popcount(code);
  }
  const tile::LayerStatistics& counts = seen.result.points[0].layers[0].counts;
  const std::int64_t tiles = counts.dac_conversions / (41 * 6);
  EXPECT_GE(tiles, 1);
  EXPECT_EQ(counts.dac_code_sum, tiles * codes);
  EXPECT_EQ(counts.dac_bit_sum, tiles * bits);
  EXPECT_DOUBLE_EQ(*seen.activity[0].input_mean, static_cast<double>(codes) / (127.0 * 41.0 * 6.0));
  EXPECT_DOUBLE_EQ(*seen.activity[0].bit_density, static_cast<double>(bits) / (7.0 * 41.0 * 6.0));
  // Of a balanced pair one cell carries the weight above the conductance of an off cell: g0 = 0.01.
  EXPECT_GT(*seen.activity[0].conductance_mean, 2.0 * 0.01);
  EXPECT_LT(*seen.activity[0].conductance_mean, 1.01);
}

TEST(CostModel, RecordAddsUp) {
  const CostDescription described = describe("cost: {weight_bits: 8}\n");
  const results::CostRecord record = cost_record(described);
  double sum = 0.0;
  for (const results::LayerCostRecord& layer : record.layers)
    for (const double part : layer.energy) sum += part;
  EXPECT_NEAR(sum / record.energy, 1.0, 1e-12);
  EXPECT_LT(record.energy_low, record.energy);
  EXPECT_LT(record.energy, record.energy_high);
  EXPECT_LE(record.latency, record.latency_worst);
}

// What is searched is a function of the whole state: the found one costs least among those that pass.
TEST(CostModel, SearchTakesWhatCostsLeast) {
  nn::Graph graph = test::small_network();
  graph.nodes.front().inputs.pop_back();  // without its bias no class prevails
  const nn::Executor executor(std::move(graph));
  Tensor inputs({300, 6});
  std::mt19937 engine(3);
  for (float& value : inputs.values()) value = static_cast<float>(engine() >> 8) / static_cast<float>(1U << 23) - 1.0F;
  const Tensor outputs = executor.run(inputs, {});
  const io::DataSet data(inputs, predicted_classes({outputs.data(), 300, 3}));
  const EvaluationRequest request{.executor = executor,
                                  .data = data,
                                  .batch_size = 64,
                                  .seed = 5,
                                  .evaluation = {},
                                  .resolve = [](const std::string&, const std::string&) { return LayerParameters{}; },
                                  .record_output = {}};
  const auto resolver = [](const SearchState&) -> LayerResolver {
    return [](const std::string&, const std::string&) {
      LayerParameters layer;
      layer.rpu.forward.is_perfect = true;
      return layer;
    };
  };
  // The second rung of fc1 saves nothing, that of fc2 half; together all but a tenth.
  const auto costs = [](const SearchState& state) {
    HardwareCosts made{1.0, 1.0, 1.0, 4};
    if (state[1] == 1) made.energy_J = state[0] == 1 ? 0.1 : 0.5;
    return made;
  };
  SearchParameters parameters;
  parameters.cost = SearchCost::energy;
  parameters.budget = 2.0;
  const std::vector<SearchKnob> knobs{{0, 0, {8, 4}, 1.0}, {1, 0, {8, 4}, 1.0}};
  const SearchResult result = search({request, knobs, resolver, nullptr, costs}, parameters, {}, {1}, {});
  EXPECT_EQ(result.points[result.found].state, (SearchState{1, 1}));
  EXPECT_DOUBLE_EQ(result.points[result.found].cost, 0.1);
  EXPECT_EQ(result.points[result.found].costs.columns, 4);
  EXPECT_TRUE(result.points[result.found].front);
}

}  // namespace
}  // namespace tessera::sim
