#include "tessera/quant/quantization_config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

// Does a quantization map resolve as documented (quantization reference C.4, C.5 and 9.2)?
namespace tessera::quant {
namespace {

using ::testing::ElementsAre;

QuantizationConfig bits(int activation, int weight) {
  QuantizationConfig config;
  config.activation_quant.n_bits = activation;
  config.weight_quant.n_bits = weight;
  return config;
}

TEST(QuantizationConfig, DefaultsOfTheDocumentation) {
  const QuantizationMap map;
  const ActivationQuantConfig& activation = map.default_qconfig.activation_quant;
  EXPECT_EQ(activation.n_bits, 0);
  EXPECT_TRUE(activation.symmetric);
  EXPECT_EQ(activation.range_estimator(), RangeEstimators::running_minmax);
  EXPECT_EQ(std::get<RunningMinMaxEstimatorParams>(activation.range_estimator_params()).momentum, 0.9);
  const WeightQuantConfig& weight = map.default_qconfig.weight_quant;
  EXPECT_FALSE(weight.per_channel);
  EXPECT_EQ(weight.range_estimator(), RangeEstimators::current_minmax);
  EXPECT_FALSE(std::get<CurrentMinMaxEstimatorParams>(weight.range_estimator_params()).percentile);
  const MSEEstimatorParams search;
  EXPECT_EQ(search.range_opt_method, OptMethod::golden_section);
  EXPECT_EQ(search.num_candidates, 100);
  EXPECT_EQ(search.range_margin, 0.5);
}

TEST(QuantizationConfig, EstimatorAndOptionsStayInStep) {
  ActivationQuantConfig config;
  config.set_range_estimator_params(RunningMinMaxEstimatorParams{.momentum = 0.5});
  EXPECT_THROW(config.set_range_estimator_params(MSEEstimatorParams{}), ConfigError);
  EXPECT_THROW(config.set_range_estimator_params(std::monostate{}), ConfigError);
  config.set_range_estimator(RangeEstimators::MSE);
  EXPECT_TRUE(std::holds_alternative<MSEEstimatorParams>(config.range_estimator_params()));
  EXPECT_NO_THROW(config.set_range_estimator_params(CrossEntropyEstimatorParams{}));
  config.set_range_estimator(RangeEstimators::cross_entropy);
  EXPECT_THROW(config.set_range_estimator_params(MSEEstimatorParams{}), ConfigError);
  config.set_range_estimator(RangeEstimators::allminmax);
  EXPECT_THROW(config.set_range_estimator_params(RunningMinMaxEstimatorParams{}), ConfigError);
  EXPECT_NO_THROW(config.set_range_estimator_params(std::monostate{}));
}

TEST(QuantizationConfig, TranslatesToAManager) {
  WeightQuantConfig weight;
  weight.n_bits = 5;
  weight.symmetric = false;
  weight.per_channel = true;
  weight.set_range_estimator_params(CurrentMinMaxEstimatorParams{.percentile = 1.0});
  const QuantizationManagerParameters p = manager_parameters(weight);
  EXPECT_EQ(p.quantizer.n_bits, 5);
  EXPECT_EQ(p.quantizer.method, QMethod::asymmetric_uniform);
  EXPECT_EQ(p.quantizer.scale_domain, ScaleDomain::linear);
  EXPECT_TRUE(p.quantizer.per_channel);
  EXPECT_EQ(std::get<CurrentMinMaxEstimatorParams>(*p.init_params).percentile, 1.0);
  EXPECT_FALSE(manager_parameters(ActivationQuantConfig{}).quantizer.per_channel);
}

TEST(QuantizationMap, AppendDefaultConversionsFillsWhatIsMissing) {
  QuantizationMap map;
  map.default_qconfig = bits(8, 8);
  map.module_qconfig_map["Conv"] = {.quantized_module = "", .module_qconfig = bits(4, 4)};
  append_default_conversions(map);
  EXPECT_EQ(map.module_qconfig_map.size(), 4u);
  EXPECT_EQ(map.module_qconfig_map.count("Conv2d"), 0u) << "Conv and Conv2d are the same type";
  EXPECT_EQ(map.module_qconfig_map.at("Linear").quantized_module, "QuantLinear");
  EXPECT_EQ(map.module_qconfig_map.at("LayerNorm").module_qconfig, map.default_qconfig);
  EXPECT_EQ(map.module_qconfig_map.count("Embedding"), 1u);
  EXPECT_NO_THROW(validate(map));
}

TEST(QuantizationMap, DefaultAloneChangesNothing) {
  QuantizationMap map;
  map.default_qconfig = bits(8, 8);
  EXPECT_FALSE(resolve_quantization(map, "fc1", "Gemm").enabled());
}

TEST(QuantizationMap, Precedence) {
  QuantizationMap map;
  map.module_qconfig_map["Linear"] = {.quantized_module = "QuantLinear", .module_qconfig = bits(8, 8)};
  map.instance_qconfig_map["block1.fc2"] = {.quantized_module = "QuantLinear", .module_qconfig = bits(4, 0)};
  map.instance_qconfig_map["fc3"] = {.quantized_module = "", .module_qconfig = bits(0, 0)};
  map.input_activation_qconfig_map["fc1"].n_bits = 6;
  map.input_activation_qconfig_map["conv"].n_bits = 5;
  map.input_activation_qconfig_map["head.out"].n_bits = 5;
  map.excluded_modules = {"head"};
  EXPECT_NO_THROW(validate(map));

  const ResolvedQuantization by_type = resolve_quantization(map, "fc1", "Gemm");
  EXPECT_EQ(by_type.weight->n_bits, 8);
  EXPECT_EQ(by_type.activation->n_bits, 8);
  EXPECT_EQ(by_type.input_activation->n_bits, 6);
  const ResolvedQuantization by_name = resolve_quantization(map, "block1.fc2", "MatMul");
  EXPECT_FALSE(by_name.weight);
  EXPECT_EQ(by_name.activation->n_bits, 4);
  EXPECT_FALSE(resolve_quantization(map, "fc3", "Gemm").enabled()) << "an instance without bits beats the type";
  const ResolvedQuantization unconverted = resolve_quantization(map, "conv", "Conv");
  EXPECT_FALSE(unconverted.weight || unconverted.activation);
  EXPECT_EQ(unconverted.input_activation->n_bits, 5) << "a kept layer can have its input quantized";
  EXPECT_FALSE(resolve_quantization(map, "head.out", "Gemm").enabled()) << "children of an excluded module too";
  EXPECT_FALSE(resolve_quantization(map, "head", "Gemm").enabled());
  EXPECT_TRUE(resolve_quantization(map, "header", "Gemm").enabled())
      << "a name that only begins alike is another module";
}

TEST(QuantizationMap, WhatEachTypeQuantizes) {
  QuantizationMap map;
  map.default_qconfig = bits(8, 7);
  append_default_conversions(map);
  map.module_qconfig_map["BatchNorm2d"] = {.quantized_module = "QuantBatchNorm2d", .module_qconfig = bits(8, 7)};
  const auto resolved = [&](const char* type) { return resolve_quantization(map, "m", type); };
  EXPECT_TRUE(resolved("Conv").weight && resolved("Conv").activation);
  EXPECT_TRUE(resolved("LayerNormalization").weight && resolved("LayerNormalization").activation);
  EXPECT_TRUE(resolved("Gather").weight && !resolved("Gather").activation) << "an embedding's output is not quantized";
  EXPECT_TRUE(!resolved("BatchNormalization").weight && resolved("BatchNormalization").activation);
  EXPECT_FALSE(resolved("Relu").enabled());
}

TEST(QuantizationMap, NonsenseIsRefused) {
  QuantizationMap map;
  map.module_qconfig_map["Linaer"] = {.quantized_module = "", .module_qconfig = bits(8, 8)};
  EXPECT_THROW(validate(map), ConfigError);
  map = {};
  map.module_qconfig_map["Linear"] = {.quantized_module = "QuantConv2d", .module_qconfig = bits(8, 8)};
  map.module_qconfig_map["Gemm"] = {.quantized_module = "QuantLinaer", .module_qconfig = bits(40, 8)};
  try {
    validate(map);
    ADD_FAILURE();
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.problems().size(), 4u) << error.what();  // bits, form, unknown form, the same type twice
    EXPECT_NE(std::string(error.what()).find("QuantLinear"), std::string::npos) << "suggests the near name";
  }
  map = {};
  map.instance_qconfig_map["a"] = {.quantized_module = "QuantConv2d", .module_qconfig = bits(8, 8)};
  map.instance_qconfig_map["r"] = {.quantized_module = "", .module_qconfig = bits(8, 8)};
  EXPECT_NO_THROW(validate(map));
  EXPECT_THROW(resolve_quantization(map, "a", "Gemm"), ConfigError);
  EXPECT_THROW(resolve_quantization(map, "r", "Relu"), ConfigError);
}

TEST(QuantizationMap, NamesWithoutAModuleAreFound) {
  QuantizationMap map;
  map.instance_qconfig_map["fc9"];
  map.input_activation_qconfig_map["conv1"];
  map.excluded_modules = {"block", "gone"};
  EXPECT_THAT(unmatched_names(map, {"conv1", "block.fc"}), ElementsAre("fc9", "gone"));
}

}  // namespace
}  // namespace tessera::quant
