// Does an rpu_config become exactly the parameters it names, whoever wrote it?
#include "tessera/spec/rpu_config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <tuple>

#include "tessera/config/document.hpp"
#include "tessera/config/emit.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/tile/presets.hpp"

namespace tessera::spec {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string error_of(const auto& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

tile::ActivationQuantConfig activation_quant(int n_bits) {
  tile::ActivationQuantConfig config;
  config.n_bits = n_bits;
  return config;
}

std::string golden_file(const std::string& name) {
  const char* folder = std::getenv("TESSERA_GOLDEN_DIR");
  return (folder != nullptr ? std::string(folder) : TESSERA_SOURCE_DIR + "/tests/data/golden") + "/" + name;
}

TEST(RpuConfig, EmptyIsTheDefault) {
  EXPECT_EQ(read_rpu_config("{}"), RpuConfig{});
}

TEST(RpuConfig, DesignExample) {
  const RpuConfig config = read_rpu_config(
      "preset: StandardHWATrainingPreset\n"
      "forward: {inp_res: 254, out_res: 254, out_bound: 10.0, out_noise: 0.05, w_noise: 0.0175, w_noise_type: "
      "PCMRead}\n"
      "mapping: {max_input_size: 256, weight_scaling_omega: 1.0, weight_scaling_columnwise: true}\n"
      "pre_post:\n"
      "  input_range: {enable: true, init_value: 2.0}\n"
      "  periph_quant: {n_bits: 8, symmetric: true}\n"
      "act_quant_config: {n_bits: 8}\n");
  tile::RpuParameters expected = tile::preset("StandardHWATrainingPreset");
  expected.forward.out_noise = 0.05;
  expected.mapping.max_input_size = 256;
  expected.pre_post.input_range.init_value = 2.0;
  expected.pre_post.periph_quant.n_bits = 8;
  expected.act_quant_config = activation_quant(8);
  EXPECT_EQ(config.tile, expected);
  EXPECT_EQ(config.tile.forward.w_noise_type, tile::WeightNoiseType::PCM_READ);
}

TEST(RpuConfig, EveryPresetReadsByNameAndItsResolvedFormReadsBack) {
  ASSERT_FALSE(tile::presets().empty());
  for (const tile::Preset& preset : tile::presets()) {
    const RpuConfig config = read_rpu_config("preset: " + preset.name);
    EXPECT_EQ(config.tile, preset.parameters) << preset.name;
    EXPECT_EQ(read_rpu_config(config::to_yaml(to_node(config))), config) << preset.name;
  }
  EXPECT_THAT(error_of([] { read_rpu_config("preset: StandardHWATrainingPrest"); }),
              HasSubstr("rpu_config:1:9: preset: unknown preset 'StandardHWATrainingPrest'; did you mean "
                        "'StandardHWATrainingPreset'?"));
}

TEST(RpuConfig, RangeEstimatorsOfDumps) {
  const auto read = [](const std::string& text) {
    return *read_rpu_config("act_quant_config: " + text).tile.act_quant_config;
  };
  tile::ActivationQuantConfig expected;
  expected.range_estimator = tile::RangeEstimator::MSE;
  expected.num_candidates = 50;
  expected.range_margin = 0.25;
  expected.golden_section = false;
  EXPECT_EQ(read("{_range_estimator: RangeEstimators.MSE, _range_estimator_params: {range_opt_method: OptMethod.grid, "
                 "num_candidates: 50, range_margin: 0.25}}"),
            expected);
  expected = {};
  expected.range_estimator = tile::RangeEstimator::current_minmax;
  expected.percentile = 0.1;
  EXPECT_EQ(read("{range_estimator: current_minmax, range_estimator_params: {percentile: 0.1}}"), expected);
  EXPECT_EQ(read("{range_estimator: allminmax, range_estimator_params: null}").range_estimator,
            tile::RangeEstimator::allminmax);
}

TEST(RpuConfig, MistakesOfValueAndOfCombination) {
  const auto error = [](const std::string& text) { return error_of([&] { read_rpu_config(text, "c.yaml"); }); };
  EXPECT_EQ(error("forward: {out_nois: 0.1}"),
            "c.yaml:1:11: forward.out_nois: unknown key 'out_nois'; did you mean 'out_noise'?");
  EXPECT_EQ(error("inp_res: 254"), "c.yaml:1:1: inp_res: unknown key 'inp_res'; did you mean 'forward.inp_res'?");
  EXPECT_EQ(error("pre_post: {periph_quant: {n_bits: -4}}"),
            "c.yaml:1:35: pre_post.periph_quant.n_bits: -4 is out of range (must be 0 to 24)");
  EXPECT_THAT(error("forward: {mv_type: OneTwo}"), HasSubstr("c.yaml:1:20: forward.mv_type: unknown word 'OneTwo'"));
  EXPECT_THAT(error("forward:\n  bound_management: SHIFT\n"),
              HasSubstr("c.yaml:2:21: forward.bound_management: SHIFT is defined nowhere"));
  EXPECT_THAT(error("pre_post:\n  input_range:\n    enable: true\n    manage_output_clipping: true\n"),
              HasSubstr("c.yaml:4:29: pre_post.input_range.manage_output_clipping: needs"));
}

/// A dump of FloatingPointRPUConfig has devices and no `forward`; the defaults would give it converters and noise.
TEST(RpuConfig, TrainingDumpsWithoutAProductAreRefused) {
  const auto error = [](const std::string& text) { return error_of([&] { read_rpu_config(text, "c.yaml"); }); };
  EXPECT_THAT(error("tile_class: FloatingPointTile\ndevice: {diffusion: 0.0}\nmapping: {digital_bias: true}\n"),
              HasSubstr("c.yaml:2:9: device: this is the dump of a training configuration without `forward`"));
  EXPECT_THAT(error("tile_class: FloatingPointTile\n"), HasSubstr("c.yaml:1:13: tile_class"));
  EXPECT_EQ(error("device: {diffusion: 0.0}\npreset: FloatingPointPreset\n"), "no error");
  EXPECT_EQ(error("device: {w_max: 0.6}\nforward: {out_noise: 0.06}\n"), "no error");
  EXPECT_EQ(error("device: null\n"), "no error");
}

TEST(RpuConfig, ValuesThatDumpsMayHold) {
  const tile::RpuParameters p = read_rpu_parameters(
      "forward: {inp_bound: .inf, out_bound: .inf, max_bm_factor: 1000.0, nm_thres: .inf, out_res: -1, inp_res: -1}\n"
      "pre_post: {input_range: {enable: false, init_value: 0}}\n");
  EXPECT_TRUE(std::isinf(p.forward.out_bound));
  EXPECT_EQ(p.forward.max_bm_factor, 1000);
  EXPECT_EQ(read_rpu_parameters("forward: {max_bm_factor: 0}").forward.max_bm_factor, 0);
  RpuConfig config;
  config.tile = p;
  EXPECT_EQ(read_rpu_parameters(config::to_yaml(to_node(config))), p);
  EXPECT_THAT(error_of([] { read_rpu_config("pre_post: {input_range: {enable: true, init_value: 0}}", "c.yaml"); }),
              HasSubstr("init_value"));
}

/// Every number with a range: the first value outside is refused; the ends that belong to it are accepted by the table
/// and by the parameters' own validate() behind it.
TEST(RpuConfig, RangesEndWhereTheySayTheyEnd) {
  using config::TypeInfo;
  int refused = 0;
  int accepted = 0;
  const auto read_value = [](const std::string& key, const TypeInfo& info, double value) {
    config::Node node = config::Node::map();
    const bool whole = info.kind == TypeInfo::Kind::integer;
    config::set_path(node, key, config::Node::plain(whole ? fmt::format("{:.0f}", value) : config::format_real(value)));
    return error_of([&] { read_rpu_config(node); });
  };
  const auto visit = [&](auto&& self, const TypeInfo& info, const std::string& prefix) -> void {
    for (const config::KeyInfo& key : info.keys) {
      const std::string path = prefix + key.name;
      self(self, *key.type, path + ".");
      const bool is_number = key.type->kind == TypeInfo::Kind::real || key.type->kind == TypeInfo::Kind::integer;
      if (!is_number || key.type->range.is_everything()) continue;
      const config::Range& range = key.type->range;
      for (const auto& [end, open, step] :
           {std::tuple(range.low, range.low_open, -1.0), std::tuple(range.high, range.high_open, 1.0)}) {
        if (!std::isfinite(end)) continue;
        EXPECT_THAT(read_value(path, *key.type, open ? end : end + step), HasSubstr("is out of range")) << path;
        ++refused;
        if (open) continue;
        const std::string told = read_value(path, *key.type, end);
        if (path.starts_with("pre_post.fixed_point."))  // formats that are legal alone may not go together
          EXPECT_THAT(told, Not(HasSubstr("is out of range"))) << path;
        else
          EXPECT_EQ(told, "no error") << path;
        ++accepted;
      }
    }
  };
  visit(visit, *rpu_config_type().info, "");
  EXPECT_GT(refused, 40);
  EXPECT_GT(accepted, 30);
}

/// Every dumped configuration of the golden file loads as it is, keeps its values, and its canonical form reads back.
TEST(RpuConfig, EveryDumpOfTheGoldenFileLoads) {
  const h5::File file = h5::File::open(golden_file("analog_tile.h5"));
  int dumps = 0;
  file.visit([&](const std::string& path, h5::Kind kind) {
    if (kind != h5::Kind::group || !file.group(path).has_attribute("rpu_config")) return;
    ++dumps;
    const std::string text = file.group(path).attribute<std::string>("rpu_config");
    const config::Node node = config::load_text(text, {path, {}});
    config::Report report;
    RpuConfig config;
    ASSERT_NO_THROW(config = read_rpu_config(node, {}, &report)) << path;
    EXPECT_EQ(read_rpu_config(config::to_yaml(to_node(config))), config) << path;
    EXPECT_EQ(read_rpu_parameters(text), config.tile) << path;
    EXPECT_TRUE(report.unused().contains("backward") && report.unused().contains("update")) << path;

    // What the dump says is what was read: its numbers and words under `forward` and `mapping`, written again.
    const config::Node written = to_node(config);
    for (const char* section : {"forward", "mapping"}) {
      for (const config::Node::Entry& entry : node.find(section)->entries) {
        if (report.unused().contains(fmt::format("{}.{}", section, entry.key))) {
          EXPECT_EQ(entry.key, "weight_scaling_lr_compensation") << path << ": every other key has an effect";
          continue;
        }
        const config::Node* again = written.find(section)->find(entry.key);
        ASSERT_NE(again, nullptr) << path << " " << entry.key;
        EXPECT_EQ(again->scalar, entry.value.scalar) << path << " " << section << "." << entry.key;
      }
    }
    const config::Node* activation = node.find("act_quant_config");
    EXPECT_EQ(config.tile.act_quant_config.has_value(), activation != nullptr && !activation->is_null()) << path;
  });
  EXPECT_EQ(dumps, 197);
}

}  // namespace
}  // namespace tessera::spec
