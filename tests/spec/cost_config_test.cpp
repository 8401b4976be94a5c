// Is `cost:` read as it is written, and is everything that is wrong with it said where it stands?
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tessera/core/error.hpp"
#include "tessera/spec/layers.hpp"
#include "tessera/spec/run_config.hpp"

namespace tessera::spec {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const std::string start = "model: {file: m.onnx}\ndata: {format: glyphs}\n";

RunConfig read(const std::string& text) {
  return read_run_config_text(start + text);
}

std::string problems(const std::string& text) {
  try {
    read(text);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return {};
}

TEST(CostConfig, AbsentMeansNothingIsCounted) {
  EXPECT_FALSE(read("").cost.has_value());
  EXPECT_FALSE(read("cost: null\n").cost.has_value());
  EXPECT_TRUE(read("cost: {}\n").cost.has_value());
  EXPECT_FALSE(cost_model(read(""), {}).has_value());
}

TEST(CostConfig, KeysAreReadOverThePreset) {
  const cost::CostParameters p = *read(R"(
cost:
  supply_V: 0.75
  preset: hermes_14nm
  adc: {columns: 2}
  network: {hop_mm: auto}
  buffer: null
  copies: {conv1: 8}
  components: {adc.count_fJ: 80, digital.mul_fJ_bit2: {low: 2, nominal: 3, high: 5}}
)")
                                      .cost;
  EXPECT_EQ(p.hardware.technology, 14.0);
  EXPECT_EQ(p.hardware.supply_V, 0.75);
  EXPECT_EQ(p.hardware.adc.type, cost::AdcType::counting);
  EXPECT_EQ(p.hardware.adc.columns, 2);
  EXPECT_FALSE(p.hardware.buffer.has_value());
  EXPECT_EQ(p.calibration.energy, 1.271);
  EXPECT_EQ(p.copies, (std::vector<std::pair<std::string, std::int64_t>>{{"conv1", 8}}));
  const cost::ComponentTable table = cost::component_table(p);
  EXPECT_EQ(table[cost::Component::adc_count_fJ], (cost::Coefficient{80.0, 80.0, 80.0}));
  EXPECT_EQ(table[cost::Component::digital_mul_fJ_bit2], (cost::Coefficient{2.0, 3.0, 5.0}));
}

TEST(CostConfig, EveryPresetIsSound) {
  for (const std::string& name : cost::preset_names()) {
    const cost::CostParameters p = *read("cost: {preset: " + name + "}\n").cost;
    EXPECT_NO_THROW(cost::validate(p)) << name;
    EXPECT_EQ(p, cost::preset(name)) << name;
    EXPECT_FALSE(cost::preset_description(name).empty());
  }
}

TEST(CostConfig, ResolvedTextReadsBack) {
  const RunConfig config = read(R"(
cost: {preset: isaac_32nm, activity: assumed, weight_bits: 8, components: {sh.cap_fF: 10}}
layers: [{match: fc*, cost: {adc: {columns: 16}, dac: {on_ns: 2}}}]
)");
  const RunConfig again = read_run_config_text(resolved_text(config));
  EXPECT_EQ(again.cost, config.cost);
  EXPECT_EQ(again.layers, config.layers);
}

TEST(CostConfig, ProblemsHaveAPositionAndTheNearestName) {
  EXPECT_THAT(problems("cost:\n  adc: {colums: 4}\n"), AllOf(HasSubstr("config:4:"), HasSubstr("columns")));
  EXPECT_THAT(problems("cost:\n  preset: hermes_14\n"), AllOf(HasSubstr("config:4:"), HasSubstr("hermes_14nm")));
  EXPECT_THAT(problems("cost:\n  components:\n    adc.sar.k1: 3\n"),
              AllOf(HasSubstr("config:5:"), HasSubstr("did you mean 'adc.sar.k1_fJ'?")));
  EXPECT_THAT(problems("cost:\n  components: {sh.cap_fF: -3}\n"), HasSubstr("config:4:"));
  EXPECT_THAT(problems("cost:\n  components: {sh.cap_fF: {low: 3, nominal: 2, high: 4}}\n"),
              AllOf(HasSubstr("config:4:"), HasSubstr("low must not be above nominal")));
  EXPECT_THAT(problems("cost: {supply_V: -1}\n"), HasSubstr("cost.supply_V"));
  EXPECT_THAT(problems("cost: {tile: [512]}\n"), HasSubstr("rows, columns"));
  EXPECT_THAT(problems("cost: {adc: {type: fixed}}\n"), HasSubstr("energy of a conversion"));
  EXPECT_THAT(problems("layers: [{match: fc1, cost: {adc: {columns: 2}}}]\n"), HasSubstr("`cost: {}`"));
  EXPECT_THAT(problems("cost: {}\nlayers: [{match: fc1, cost: {pipeline: layers}}]\n"), HasSubstr("pipeline"));
}

TEST(CostConfig, NodesOutsideTheTableAreAWarning) {
  const cost::CostParameters p = *read("cost: {technology: 5}\n").cost;
  EXPECT_THAT(cost::technology_warning(p.hardware), HasSubstr("outside the technology table"));
  EXPECT_EQ(cost::technology_warning(read("cost: {technology: 7}\n").cost->hardware), "");
}

class ComponentFile : public testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text) {
    const std::string path = (folder_ / name).string();
    std::ofstream(path) << text;
    return path;
  }
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path folder_ = std::filesystem::temp_directory_path() / "tessera_cost_config_test";
};

TEST_F(ComponentFile, ReplacesOnlyItsRows) {
  const std::string csv = write("own.csv", "# ours\nkey,low,nominal,high,source\nsh.cap_fF,8,10,12,measured\n");
  const std::string yaml = write("own.yaml", "sh.cap_fF: {low: 8, nominal: 10, high: 12}\ncell.cap_fF: 3\n");
  for (const std::string& path : {csv, yaml}) {
    const cost::ComponentTable table = cost::component_table(*read("cost: {component_table: " + path + "}\n").cost);
    EXPECT_EQ(table[cost::Component::sh_cap_fF], (cost::Coefficient{8.0, 10.0, 12.0})) << path;
    EXPECT_EQ(table[cost::Component::line_cap_fF], cost::ComponentTable()[cost::Component::line_cap_fF]);
  }
  const cost::ComponentTable both =
      cost::component_table(*read("cost: {component_table: " + csv + ", components: {sh.cap_fF: 1}}\n").cost);
  EXPECT_EQ(both[cost::Component::sh_cap_fF].nominal, 1.0);
}

TEST_F(ComponentFile, ProblemsHaveLineAndColumn) {
  const auto says = [&](const std::string& name, const std::string& text) {
    return problems("cost: {component_table: " + write(name, text) + "}\n");
  };
  EXPECT_THAT(says("a.csv", "sh.cap_f,8,10,12\n"), AllOf(HasSubstr("a.csv:1:1"), HasSubstr("'sh.cap_fF'")));
  EXPECT_THAT(says("b.csv", "\nsh.cap_fF,8,ten,12\n"), AllOf(HasSubstr("b.csv:2:13"), HasSubstr("'ten'")));
  EXPECT_THAT(says("c.csv", "sh.cap_fF,8,10\n"), HasSubstr("key,low,nominal,high"));
  EXPECT_THAT(says("d.csv", "sh.cap_fF,12,10,8\n"), HasSubstr("d.csv:1"));
  EXPECT_THAT(says("e.csv", "sh.cap_fF,1,2,3\nsh.cap_fF,1,2,3\n"), HasSubstr("twice"));
  EXPECT_THAT(says("f.yaml", "sh.cap_fF: [1, 2\n"), HasSubstr("f.yaml"));
  EXPECT_THAT(problems("cost: {component_table: /nowhere/t.csv}\n"), HasSubstr("cannot be read"));
}

}  // namespace
}  // namespace tessera::spec
