#include <gtest/gtest.h>

#include <cmath>

#include "cost/cost_cases.hpp"
#include "tessera/cost/network_cost.hpp"

// Does the model give the numbers of the reference implementation, component by component?
namespace tessera::cost {
namespace {

constexpr double tolerance = 1e-12;

void expect_close(double ours, double theirs, const std::string& what) {
  EXPECT_LE(std::fabs(ours - theirs), tolerance * std::fabs(theirs)) << what << ": " << ours << " and " << theirs;
}

template <class Breakdown, class Name>
void expect_parts(const Breakdown& ours, std::size_t count, const config::Node& theirs, double unit,
                  const std::string& what) {
  std::size_t seen = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string name(name_of(static_cast<Name>(i)));
    if (const config::Node* found = theirs.find(name)) {
      expect_close(ours.value[i] * unit, number(*found), what + " " + name);
      ++seen;
    } else {
      EXPECT_EQ(ours.value[i], 0.0) << what << " " << name;
    }
  }
  EXPECT_EQ(seen, theirs.entries.size()) << what << ": a component has no counterpart";
}

TEST(CostGolden, TilesByComponent) {
  const config::Node root = read_json(golden_file());
  const ComponentTable table;
  std::size_t index = 0;
  for (const config::Node& entry : at(root, "tiles").items) {
    const std::string what = "tile " + std::to_string(index++);
    DesignReader reader(at(entry, "design"));
    const TileDesign design = reader.read();
    ASSERT_TRUE(reader.leaks) << what;
    ASSERT_NO_THROW(validate(design)) << what;
    const TileCost cost = tile_cost(design, table.nominal());
    expect_parts<EnergyBreakdown, EnergyComponent>(cost.energy_fJ, energy_component_count, at(entry, "energy_pJ"), 1e-3,
                                                   what + " energy");
    expect_parts<AreaBreakdown, AreaComponent>(cost.area_um2, area_component_count, at(entry, "area_um2"), 1.0,
                                               what + " area");
    const config::Node& time = at(entry, "latency_ns");
    expect_close(cost.time_ns.analog_ns, number(at(time, "analog")), what + " analog");
    expect_close(cost.time_ns.conversion_ns, number(at(time, "conversion")), what + " conversion");
    expect_close(cost.time_ns.digital_ns, number(at(time, "digital")), what + " digital");
    expect_close(cost.time_ns.vector_ns, number(at(time, "vector")), what + " vector");
    expect_close(cost.time_ns.interval_ns, number(at(time, "interval")), what + " interval");
  }
  EXPECT_GT(index, 0U);
}

TEST(CostGolden, Intervals) {
  const config::Node root = read_json(golden_file());
  const ComponentTable table;
  std::size_t index = 0;
  for (const config::Node& entry : at(root, "tiles").items) {
    const std::string what = "tile " + std::to_string(index++);
    const TileDesign design = with_hop(DesignReader(at(entry, "design")).read(), table);
    const std::vector<Interval> found = intervals(table, [&](const ComponentValues& values) {
      const TileCost cost = tile_cost(design, values);
      return std::vector<double>{cost.energy_fJ.total() * 1e-3, cost.area_um2.total() * 1e-6};
    });
    const config::Node& summary = at(entry, "summary");
    const double operations = 2.0 * static_cast<double>(design.rows * design.columns);
    expect_close(operations, number(at(summary, "ops")), what + " operations");
    expect_close(found[0].nominal, number(at(summary, "energy_pJ")), what + " energy");
    const Interval efficiency = reversed(operations, found[0]);
    expect_close(efficiency.nominal, number(at(summary, "tops_per_W")), what + " TOPS/W");
    expect_close(efficiency.low, number(at(summary, "tops_per_W_low")), what + " TOPS/W low");
    expect_close(efficiency.high, number(at(summary, "tops_per_W_high")), what + " TOPS/W high");
    expect_close(found[1].nominal, number(at(summary, "area_mm2")), what + " area");
    expect_close(found[1].low, number(at(summary, "area_low")), what + " area low");
    expect_close(found[1].high, number(at(summary, "area_high")), what + " area high");
    const double tops = operations / tile_cost(design, table.nominal()).time_ns.interval_ns * 1e-3;
    expect_close(tops, number(at(summary, "tops")), what + " TOPS");
    const Interval density = reversed(tops, found[1]);
    expect_close(density.low, number(at(summary, "tops_per_mm2_low")), what + " TOPS/mm2 low");
    expect_close(density.nominal, number(at(summary, "tops_per_mm2")), what + " TOPS/mm2");
    expect_close(density.high, number(at(summary, "tops_per_mm2_high")), what + " TOPS/mm2 high");
  }
}

TEST(CostGolden, ConverterLaws) {
  const config::Node root = read_json(golden_file());
  const ComponentValues values = ComponentTable().nominal();
  for (const config::Node::Entry& law : at(root, "adc_fJ").entries)
    for (const config::Node::Entry& width : law.value.entries) {
      TileDesign design;
      design.supply_V = nominal_supply_V(design.node_nm);
      design.adc_bits = std::stod(width.key);
      design.adc = law.key == "sar"      ? AdcType::sar
                   : law.key == "walden" ? AdcType::walden
                   : law.key == "flash"  ? AdcType::flash
                                         : AdcType::counting;
      expect_close(adc_energy_fJ(design, values), number(width.value), law.key + " " + width.key + " bits");
    }
}

/// LeNet-5 on tiles of 512 x 512 at 22 nm: rows, columns, vectors and values read of its layers.
struct LeNetLayer {
  std::int64_t rows, columns;
  double vectors, values;
};

NetworkDesign lenet5() {
  NetworkDesign network;
  for (const auto& [rows, columns, vectors, values] :
       {LeNetLayer{25, 6, 576, 784}, LeNetLayer{150, 16, 64, 864}, LeNetLayer{256, 120, 1, 256},
        LeNetLayer{120, 84, 1, 120}, LeNetLayer{84, 10, 1, 84}}) {
    TileDesign tile;
    tile.supply_V = tile.v_supply_V = tile.v_line_V = nominal_supply_V(tile.node_nm);
    tile.rows = rows;
    tile.columns = columns;
    tile.built_rows = tile.built_columns = 512;
    tile.adc_bits = std::log2(255.0);
    tile.scale_bits = tile.bias_bits = tile.activation_bits = 8;
    tile.input_reads = values / (vectors * static_cast<double>(rows));
    LayerDesign& layer = network.layers.emplace_back();
    layer.tiles = {{tile, 1}};
    layer.vectors = vectors;
    layer.operations = 2.0 * vectors * static_cast<double>(rows * columns);
  }
  return network;
}

TEST(CostGolden, Network) {
  const config::Node root = read_json(golden_file());
  const config::Node& golden = at(root, "network");
  const ComponentTable table;
  NetworkDesign design = prepared(lenet5(), table);
  const NetworkCost cost = network_cost(design, table.nominal());
  const std::vector<config::Node>& layers = at(golden, "layers").items;
  ASSERT_EQ(layers.size(), design.layers.size());
  double dynamic_fJ = 0.0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const std::string what = at(layers[i], "name").scalar;
    // The file counts leakage for the network only.
    EnergyBreakdown energy = cost.layers[i].energy_fJ;
    energy[EnergyComponent::leakage] = 0.0;
    dynamic_fJ += energy.total();
    expect_parts<EnergyBreakdown, EnergyComponent>(energy, energy_component_count, at(layers[i], "energy_pJ"), 1e-3,
                                                   what);
    expect_close(cost.layers[i].latency_ns, number(at(layers[i], "latency_ns")), what + " latency");
    expect_close(cost.layers[i].area_um2.total() * 1e-6, number(at(layers[i], "area_mm2")), what + " area");
    expect_close(cost.layers[i].actions.macs, number(at(layers[i], "macs")), what + " macs");
  }
  expect_close(dynamic_fJ * 1e-3, number(at(golden, "dynamic_pJ")), "dynamic");
  expect_close(cost.area_mm2(), number(at(golden, "area_mm2")), "area");
  expect_close(cost.operations, number(at(golden, "ops")), "operations");
  for (const auto& [key, pipeline] : {std::pair{"sequential", Pipeline::none}, {"pipelined", Pipeline::layers}}) {
    design.pipeline = pipeline;
    const NetworkCost timed = network_cost(design, table.nominal());
    const config::Node& theirs = at(golden, key);
    expect_close(timed.latency_ns, number(at(theirs, "latency_ns")), std::string(key) + " latency");
    expect_close(timed.interval_ns, number(at(theirs, "interval_ns")), std::string(key) + " interval");
    expect_close(timed.energy_fJ[EnergyComponent::leakage] * 1e-3, number(at(theirs, "static_pJ")), "static");
    expect_close(timed.energy_fJ.total() * 1e-3, number(at(theirs, "energy_pJ")), std::string(key) + " energy");
    expect_close(1e9 / timed.interval_ns, number(at(theirs, "inferences_per_s")), std::string(key) + " rate");
    expect_close(timed.tops(), number(at(theirs, "tops")), std::string(key) + " TOPS");
    expect_close(timed.tops_per_W(), number(at(theirs, "tops_per_W")), std::string(key) + " TOPS/W");
    expect_close(timed.tops_per_mm2(), number(at(theirs, "tops_per_mm2")), std::string(key) + " TOPS/mm2");
  }
}

TEST(CostGolden, DigitalLayer) {
  const config::Node root = read_json(golden_file());
  const config::Node& golden = at(root, "digital_layer");
  // The first layer of LeNet-5 with 8-bit operands.
  DigitalDesign design;
  design.supply_V = nominal_supply_V(design.node_nm);
  design.macs = 576.0 * 25.0 * 6.0;
  design.fan_in = 25;
  design.activation_bits = design.weight_bits = 8;
  design.weights = 25.0 * 6.0;
  design.input_uses = 576.0 * 25.0;
  design.inputs = 784.0;
  design.outputs = 576.0 * 6.0;
  const DigitalCost cost = digital_cost(design, ComponentTable().nominal());
  const config::Node& energy = at(golden, "energy_pJ");
  expect_close(cost.energy_fJ[EnergyComponent::digital_mac] * 1e-3, number(at(energy, "digital_mac")), "digital_mac");
  expect_close(cost.energy_fJ[EnergyComponent::buffer] * 1e-3, number(at(energy, "buffer")), "buffer");
  expect_close(cost.time_ns, number(at(golden, "latency_ns")), "latency");
}

// Published chips: regression numbers, kept where they were when they were compared; not truth.
TEST(CostGolden, PublishedChips) {
  const config::Node root = read_json(std::string(TESSERA_SOURCE_DIR) + "/tests/data/cost/validation.json");
  const ComponentTable table;
  std::size_t count = 0;
  for (const config::Node& chip : at(root, "chips").items) {
    const std::string name = at(chip, "name").scalar;
    const TileDesign design = with_hop(DesignReader(at(chip, "design")).read(), table);
    const TileCost cost = tile_cost(design, table.nominal());
    const double operations =
        2.0 * static_cast<double>(design.rows * design.columns) * number(at(chip, "operations_factor"));
    const config::Node& published = at(chip, "published");
    const config::Node& ratio = at(chip, "ratio");
    const auto check = [&](const char* key, double ours) {
      const config::Node* expected = ratio.find(key);
      if (expected == nullptr) return;
      ++count;
      EXPECT_NEAR(ours / number(at(published, key)) / number(*expected), 1.0, 0.02) << name << " " << key;
    };
    const double tops = operations / cost.time_ns.interval_ns * 1e-3;
    check("tops_per_W", operations / (cost.energy_fJ.total() * 1e-3));
    check("tops", tops * number(at(chip, "cores")));
    check("tops_per_mm2", tops / (cost.area_um2.total() * 1e-6));
    const config::Node& ours = at(chip, "ours");
    expect_close(cost.energy_fJ.total() * 1e-3, number(at(ours, "energy_pJ_per_vector")), name + " energy");
    expect_close(cost.area_um2.total() * 1e-6, number(at(ours, "area_mm2")), name + " area");
    expect_close(cost.time_ns.vector_ns, number(at(ours, "vector_ns")), name + " time");
  }
  EXPECT_GE(count, 30U);
}

}  // namespace
}  // namespace tessera::cost
