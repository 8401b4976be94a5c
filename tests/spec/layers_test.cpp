// Does every layer get what the rules say, and does a rule that says nothing about any layer get noticed?
#include "tessera/spec/layers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/spec/glob.hpp"

namespace tessera::spec {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::vector<LayerName> network = {{"conv1", "Conv"}, {"conv2", "Conv"}, {"fc1", "Gemm"}, {"fc2", "Gemm"}};

RunConfig config_with(const std::string& rest) {
  return read_run_config_text("model: {file: m.onnx}\ndata: {format: glyphs}\n" + rest, "run.yaml", "/d");
}

std::string error_of(const std::string& rest) {
  try {
    resolve_layers(config_with(rest), network);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Layers, WithoutRulesAllAreAlike) {
  const RunConfig config = config_with("rpu_config: {forward: {out_noise: 0.5}}\n");
  for (const LayerConfig& layer : resolve_layers(config, network))
    EXPECT_EQ(layer, (LayerConfig{true, config.rpu_config}));
}

TEST(Layers, LaterRulesWinKeyByKey) {
  const RunConfig config = config_with(
      "rpu_config: {forward: {out_noise: 0.5, inp_res: 254}, act_quant_config: {n_bits: 8, symmetric: false}}\n"
      "layers:\n"
      "  - {op: Conv, analog: false}\n"
      "  - {match: conv2, analog: true, rpu_config: {forward: {out_noise: 0.1}}}\n"
      "  - {match: \"fc*\", rpu_config: {pre_post: {periph_quant: {n_bits: 6}}, act_quant_config: {n_bits: 4}}}\n"
      "  - {match: fc2, op: Gemm, rpu_config: {pre_post: {periph_quant: {symmetric: false}}, act_quant_config: "
      "null}}\n");
  const std::vector<LayerConfig> layers = resolve_layers(config, network);
  ASSERT_EQ(layers.size(), 4U);
  EXPECT_FALSE(layers[0].analog);
  EXPECT_TRUE(layers[1].analog);
  EXPECT_EQ(layers[1].rpu_config.tile.forward.out_noise, 0.1);
  EXPECT_EQ(layers[1].rpu_config.tile.forward.inp_res, 254.0);
  EXPECT_EQ(layers[2].rpu_config.tile.pre_post.periph_quant.n_bits, 6);
  EXPECT_TRUE(layers[2].rpu_config.tile.pre_post.periph_quant.symmetric);
  EXPECT_EQ(layers[2].rpu_config.tile.act_quant_config->n_bits, 4);
  EXPECT_FALSE(layers[2].rpu_config.tile.act_quant_config->symmetric);
  EXPECT_EQ(layers[3].rpu_config.tile.pre_post.periph_quant.n_bits, 6);
  EXPECT_FALSE(layers[3].rpu_config.tile.pre_post.periph_quant.symmetric);
  EXPECT_FALSE(layers[3].rpu_config.tile.act_quant_config);
  const sim::LayerParameters one = layer_resolver(config)("fc2", "Gemm");
  EXPECT_EQ(one.rpu, layers[3].rpu_config.tile);
  EXPECT_TRUE(one.analog);
}

TEST(Layers, ProductsOfTwoActivationsAreDigitalUnlessAsked) {
  const std::vector<LayerName> attention = {
      {"query", "MatMul"}, {"scores", "MatMul", true}, {"values", "MatMul", true}};
  const auto analog = [&](const std::string& rules) {
    std::vector<bool> result;
    for (const LayerConfig& layer : resolve_layers(config_with(rules), attention)) result.push_back(layer.analog);
    return result;
  };
  EXPECT_THAT(analog("seed: 1\n"), ElementsAre(true, false, false));
  EXPECT_THAT(analog("layers: [{op: MatMul, rpu_config: {forward: {out_noise: 0.1}}}]\n"),
              ElementsAre(true, false, false));
  EXPECT_THAT(analog("layers: [{op: MatMul, analog: true}]\n"), ElementsAre(true, true, true));
  EXPECT_THAT(analog("layers: [{op: MatMul, analog: true}, {match: scores, analog: false}]\n"),
              ElementsAre(true, false, true));
  EXPECT_THAT(analog("layers: [{match: values, analog: false}]\n"), ElementsAre(true, false, false));
  try {
    analog("layers: [{match: scores, rpu_config: {forward: {out_noise: 0.1}}}]\n");
    ADD_FAILURE() << "a rule without effect went unnoticed";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("run.yaml:3:10"));
    EXPECT_THAT(error.what(), HasSubstr("analog: true"));
  }
  const RunConfig config = config_with(
      "rpu_config: {noise_model: {type: PCMLikeNoiseModel}, drift_compensation: {type: GlobalDriftCompensation}}\n"
      "layers: [{match: scores, analog: true}]\n");
  EXPECT_TRUE(asks_for_product(config, attention[1]));
  EXPECT_FALSE(asks_for_product(config, attention[2]));
  const sim::LayerResolver resolve = layer_resolver(config, {"scores"});
  EXPECT_TRUE(resolve("query", "MatMul").device && !resolve("query", "MatMul").written_device);
  const sim::LayerParameters scores = resolve("scores", "MatMul");
  EXPECT_TRUE(scores.analog && scores.written_device && !scores.device && !scores.drift_compensation);
}

TEST(Layers, APresetInARuleReplacesEverything) {
  const RunConfig config = config_with(
      "rpu_config: {forward: {out_noise: 0.5}, act_quant_config: {n_bits: 8}}\n"
      "layers: [{match: fc1, rpu_config: {preset: FloatingPointPreset, forward: {out_scale: 2.0}}}]\n");
  RpuConfig expected = read_rpu_config("{preset: FloatingPointPreset, forward: {out_scale: 2.0}}");
  EXPECT_EQ(resolve_layers(config, network)[2].rpu_config, expected);
}

TEST(Layers, PatternsThatMatchNothingAreErrors) {
  EXPECT_EQ(error_of("layers: [{match: fcc1, analog: false}]\n"),
            "run.yaml:3:10: layers.0.match: 'fcc1' matches no layer; did you mean 'fc1'?");
  EXPECT_EQ(error_of("layers: [{match: \"lstm*\", analog: false}]\n"),
            "run.yaml:3:10: layers.0.match: 'lstm*' matches no layer; there are conv1, conv2, fc1, fc2");
  EXPECT_EQ(error_of("layers:\n  - {op: Conv, analog: false}\n  - {op: MatMul, analog: false}\n"),
            "run.yaml:5:5: layers.1.op: 'MatMul' matches no operator type; there are Conv, Gemm");
  EXPECT_EQ(error_of("layers: [{match: fc1, op: Conv, analog: false}]\n"),
            "run.yaml:3:10: layers.0: no layer 'fc1' has the operator type 'Conv'");
  EXPECT_EQ(error_of("layers: [{match: \"*\", analog: false}, {op: \"[CG]*\"}]\n"), "no error");
}

TEST(Layers, CombinationsAreCheckedPerLayerAndOnlyWhereTheyMeet) {
  const std::string split = "layers:\n  - {match: \"*1\", rpu_config: {forward: {mv_type: SPLIT_MODE}}}\n";
  EXPECT_EQ(error_of("rpu_config: {forward: {inp_res: 254}}\n" + split), "no error");
  const std::string error = error_of("rpu_config: {forward: {inp_res: 254}}\n" + split +
                                     "  - {match: fc1, rpu_config: {forward: {inp_res: 7}}}\n");
  EXPECT_THAT(error,
              HasSubstr("run.yaml:6:50: layers.1.rpu_config.forward.inp_res: SPLIT_MODE sends integer input codes"));
  EXPECT_THAT(error, HasSubstr("(layer 'fc1')"));
  EXPECT_THAT(error, Not(HasSubstr("conv1")));
}

TEST(Glob, Patterns) {
  const auto matching = [](const char* pattern) {
    std::vector<std::string> result;
    for (const char* name : {"", "a", "ab", "abc", "a.b", "conv1", "conv12", "[x]"})
      if (glob_matches(pattern, name)) result.emplace_back(name);
    return result;
  };
  EXPECT_THAT(matching("*"), testing::SizeIs(8));
  EXPECT_THAT(matching("a*"), ElementsAre("a", "ab", "abc", "a.b"));
  EXPECT_THAT(matching("*b*"), ElementsAre("ab", "abc", "a.b"));
  EXPECT_THAT(matching("a?"), ElementsAre("ab"));
  EXPECT_THAT(matching("conv[0-9]"), ElementsAre("conv1"));
  EXPECT_THAT(matching("*[!0-9b]"), ElementsAre("a", "abc", "[x]"));
  EXPECT_THAT(matching("[x]"), ElementsAre());
  EXPECT_THAT(matching("[[]x]"), ElementsAre("[x]"));
  EXPECT_THAT(matching("[x"), ElementsAre());
  EXPECT_THAT(matching(""), ElementsAre(""));
  EXPECT_FALSE(glob_matches(std::string(200, '*') + "b", std::string(10000, 'a'))) << "must not take forever";
}

TEST(Glob, SelectNames) {
  const std::vector<std::string> names = {"conv1", "fc1", "fc2"};
  EXPECT_THAT(select_names({"fc*", "conv1"}, names, "k"), ElementsAre(true, true, true));
  EXPECT_THAT(select_names({"fc2"}, names, "k"), ElementsAre(false, false, true));
  EXPECT_THROW(select_names({"fc3"}, names, "output.record.tensors"), ConfigError);
}

}  // namespace
}  // namespace tessera::spec
