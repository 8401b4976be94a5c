// Do input ranges, quantized scales, biases and outputs follow the peer's periphery, step by step?
// Products are float32 in another summation order (1e-5 relative); quantized values and ranges are compared bit for
// bit.
#include <gtest/gtest.h>

#include <cmath>

#include "golden/json_cases.hpp"

namespace tessera::golden {
namespace {

using config::Node;

tile::RpuParameters perfect() {
  tile::RpuParameters p;
  p.forward.is_perfect = true;
  return p;
}

std::optional<tile::ActivationQuantConfig> act_quant(const Node& node) {
  if (node.is_null()) return std::nullopt;
  tile::ActivationQuantConfig config;
  config.n_bits = static_cast<int>(number(at(node, "n_bits")));
  config.symmetric = boolean(at(node, "symmetric"));
  return config;
}

Matrix pass(tile::AnalogLayer& layer, const Matrix& x, bool training) {
  Matrix y(x.rows(), layer.outputs());
  if (training)
    layer.forward_training(x.view(), y.view(), {});
  else
    layer.forward(x.view(), y.view(), {});
  return y;
}

TEST(PeripheryGolden, InputRangesInitialiseFromData) {
  const Node root = read_json("aihwkit_periphery.json");
  int cases = 0;
  for (const Node& c : at(root, "input_range_init").items) {
    const std::string id = at(c, "id").scalar;
    tile::RpuParameters p = perfect();
    auto& range = p.pre_post.input_range;
    const Node& given = at(c, "input_range_params");
    range.enable = boolean(at(given, "enable"));
    range.init_from_data = static_cast<int>(number(at(given, "init_from_data")));
    if (given.find("init_value") != nullptr) range.init_value = number(at(given, "init_value"));
    if (given.find("init_std_alpha") != nullptr) range.init_std_alpha = number(at(given, "init_std_alpha"));
    Matrix identity(4, 4);
    for (std::int64_t i = 0; i < 4; ++i) identity(i, i) = 1.0F;
    ++cases;
    if (range.init_value < 0.0) {  // accepted by the peer, whose range then flips signs twice
      EXPECT_THROW(tile::AnalogLayer(p, identity.view(), {}, {}), ConfigError);
      continue;
    }
    tile::AnalogLayer layer(p, identity.view(), {}, {});
    for (const Node& step : at(c, "steps").items) {
      const Matrix y = pass(layer, matrix(at(step, "x")), boolean(at(step, "training")));
      const float expected = array(at(step, "input_range")).values()[0];
      EXPECT_NEAR(layer.state().tiles[0].input_range, expected, 2e-6 * expected) << id;
      EXPECT_EQ(layer.state().tiles[0].input_range_updates, std::stoll(at(step, "update_idx").scalar)) << id;
      expect_near(y, matrix(at(step, "y")), 1e-5, id);
    }
  }
  EXPECT_GE(cases, 6);
}

TEST(PeripheryGolden, QuantizedTilesAgree) {
  const Node root = read_json("aihwkit_periphery.json");
  const Node& group = at(root, "quantized_tile");
  const Matrix weight = matrix(at(group, "weight"));
  const std::vector<float> bias = values(at(group, "bias"));
  int cases = 0;
  for (const Node& c : at(group, "cases").items) {
    const std::string id = at(c, "id").scalar;
    tile::RpuParameters p = perfect();
    p.mapping.weight_scaling_omega = number(at(c, "weight_scaling_omega"));
    p.mapping.weight_scaling_columnwise = boolean(at(c, "weight_scaling_columnwise"));
    p.pre_post.periph_quant.n_bits = static_cast<int>(number(at(at(c, "periph_quant"), "n_bits")));
    p.pre_post.periph_quant.symmetric = boolean(at(at(c, "periph_quant"), "symmetric"));
    if (!at(c, "input_range").is_null()) {
      p.pre_post.input_range.enable = true;
      p.pre_post.input_range.init_value = number(at(c, "input_range"));
      p.pre_post.input_range.init_from_data = 0;
    }
    p.act_quant_config = act_quant(at(c, "act_quant"));
    tile::AnalogLayer layer(p, weight.view(), bias, {});
    for (const Node& step : at(c, "steps").items) {
      expect_near(pass(layer, matrix(at(step, "x")), boolean(at(step, "training"))), matrix(at(step, "y")), 1e-5, id);
      const auto delta = [&](const char* key) { return array(at(step, key)).values()[0]; };
      EXPECT_EQ(layer.state().tiles[0].scale_quantizer.delta.at(0), delta("scale_delta")) << id;
      EXPECT_EQ(layer.state().bias_quantizer.delta.at(0), delta("bias_delta")) << id;
      if (p.act_quant_config) {
        EXPECT_NEAR(layer.state().tiles[0].output_quantizer.delta.at(0), delta("out_delta"), 1e-6) << id;
      }
    }
    EXPECT_EQ(layer.tile_report(0).mapping_scale, values(at(c, "mapping_scales"))) << id;
    EXPECT_EQ(layer.tile_report(0).quantized_scale, values(at(c, "quantised_scale"))) << id;
    EXPECT_EQ(layer.bias_report().quantized_bias, values(at(c, "quantised_bias"))) << id;
    ++cases;
  }
  EXPECT_GE(cases, 48);
}

TEST(PeripheryGolden, LearnedRangesStayAfterTheEstimatedBatches) {
  const Node root = read_json("aihwkit_periphery.json");
  const Node& group = at(root, "quantized_tile_learned");
  const Matrix weight = matrix(at(group, "weight"));
  int cases = 0;
  for (const Node& c : at(group, "cases").items) {
    tile::RpuParameters p = perfect();
    p.mapping.weight_scaling_omega = 1.0;
    p.mapping.weight_scaling_columnwise = true;
    p.pre_post.periph_quant.n_bits = static_cast<int>(number(at(group, "n_bits")));
    p.pre_post.periph_quant.symmetric = boolean(at(group, "symmetric"));
    p.pre_post.periph_quant.learn_quant_params = true;
    p.pre_post.periph_quant.init_learning_after = static_cast<int>(number(at(c, "init_learning_after")));
    tile::AnalogLayer layer(p, weight.view(), values(at(group, "bias")), {});
    const Matrix x(2, weight.cols());
    for (const Node& step : at(c, "steps").items) {
      if (at(step, "op").scalar == "eval_forward") {
        pass(layer, x, false);
        continue;
      }
      layer.set_bias(values(at(step, "bias")));
      pass(layer, x, true);
      EXPECT_EQ(layer.state().tiles[0].scale_quantizer.delta.at(0), array(at(step, "scale_delta")).values()[0]);
      EXPECT_EQ(layer.state().bias_quantizer.delta.at(0), array(at(step, "bias_delta")).values()[0]);
    }
    ++cases;
  }
  EXPECT_GE(cases, 3);
}

TEST(PeripheryGolden, EvaluationBeforeAnyTrainingEstimatesOnCurrentValues) {
  const Node root = read_json("aihwkit_periphery.json");
  const Node& e = at(root, "quantized_tile_eval_uninitialised");
  tile::RpuParameters p = perfect();  // 4 bits, symmetric, a scale per output: the only setting that gives the stored y
  p.mapping.weight_scaling_omega = 1.0;
  p.mapping.weight_scaling_columnwise = true;
  p.pre_post.periph_quant.n_bits = 4;
  tile::AnalogLayer layer(p, matrix(at(at(root, "quantized_tile"), "weight")).view(),
                          values(at(at(root, "quantized_tile"), "bias")), {});
  expect_near(pass(layer, matrix(at(e, "x")), false), matrix(at(e, "y")), 1e-5, "eval uninitialised");
}

TEST(PeripheryGolden, QuantizedArraysAgree) {
  const Node root = read_json("aihwkit_periphery.json");
  const Node& group = at(root, "quantized_array");
  const Matrix weight = matrix(at(group, "weight"));
  const Matrix x = matrix(at(group, "x"));
  int cases = 0;
  for (const Node& c : at(group, "cases").items) {
    const std::string id = at(c, "id").scalar;
    tile::RpuParameters p = perfect();
    p.mapping.max_input_size = static_cast<int>(number(at(group, "max_input_size")));
    p.mapping.max_output_size = static_cast<int>(number(at(group, "max_output_size")));
    p.mapping.weight_scaling_omega = 1.0;
    p.mapping.weight_scaling_columnwise = true;
    p.pre_post.periph_quant.n_bits = static_cast<int>(number(at(c, "periph_n_bits")));
    p.act_quant_config = act_quant(at(c, "act_quant"));
    tile::AnalogLayer layer(p, weight.view(), values(at(group, "bias")), {});
    EXPECT_EQ(layer.tile_count(), 9) << id;
    const auto size = [](const Node& n) { return std::stoll(n.scalar); };
    for (std::int64_t t = 0; t < 9; ++t) {
      EXPECT_EQ(layer.place(t).inputs, size(at(c, "in_sizes").items[static_cast<std::size_t>(t / 3)])) << id;
      EXPECT_EQ(layer.place(t).outputs, size(at(c, "out_sizes").items[static_cast<std::size_t>(t % 3)])) << id;
    }
    expect_near(pass(layer, x, true), matrix(at(c, "y")), 1e-5, id);
    ++cases;
  }
  EXPECT_GE(cases, 9);
  for (const Node& s : at(group, "split_examples").items) {
    std::vector<std::int64_t> expected;
    for (const Node& part : at(s, "split").items) expected.push_back(std::stoll(part.scalar));
    EXPECT_EQ(tile::split_sizes(std::stoll(at(s, "size").scalar), std::stoll(at(s, "max").scalar)), expected);
  }
}

}  // namespace
}  // namespace tessera::golden
