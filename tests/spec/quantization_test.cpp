// Does `quantization:` become the parameters it says, in every form, and is nonsense refused at its place?
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/spec/run_config.hpp"

namespace tessera::spec {
namespace {

using testing::HasSubstr;

RunConfig config_with(const std::string& section) {
  return read_run_config_text("model: {file: m.onnx}\ndata: {format: glyphs}\nquantization:\n" + section, "run.yaml",
                              "/d");
}

std::string error_of(const std::string& section) {
  try {
    config_with(section);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Quantization, IsOffWithoutItsSection) {
  EXPECT_FALSE(read_run_config_text("model: {file: m.onnx}\ndata: {format: glyphs}\n").quantization);
  EXPECT_FALSE(
      read_run_config_text("model: {file: m.onnx}\ndata: {format: glyphs}\nquantization: null\n").quantization);
}

TEST(Quantization, ReadsEveryFormOfAnEntry) {
  const quant::QuantizationMap map = config_with(R"(
  default_qconfig: {activation_quant: {n_bits: 6, symmetric: false}, weight_quant: {n_bits: 5, per_channel: true}}
  module_qconfig_map:
    Conv: default
    Linear: {weight_quant: {n_bits: 4, range_estimator: MSE, range_estimator_params: {num_candidates: 20}}}
  instance_qconfig_map:
    fc2: {quantized_module: QuantLinear, module_qconfig: {activation_quant: {n_bits: 3, range_estimator_params: {momentum: 0.5}}}}
  input_activation_qconfig_map: {conv1: {n_bits: 8, range_estimator: allminmax}}
  excluded_modules: fc3
)")
                                         .quantization->map;
  EXPECT_EQ(map.module_qconfig_map.at("Conv").module_qconfig, map.default_qconfig);
  EXPECT_EQ(map.default_qconfig.weight_quant.n_bits, 5);
  EXPECT_TRUE(map.default_qconfig.weight_quant.per_channel);
  EXPECT_FALSE(map.default_qconfig.activation_quant.symmetric);
  const quant::WeightQuantConfig& weight = map.module_qconfig_map.at("Linear").module_qconfig.weight_quant;
  EXPECT_EQ(weight.range_estimator(), quant::RangeEstimators::MSE);
  EXPECT_EQ(std::get<quant::MSEEstimatorParams>(weight.range_estimator_params()).num_candidates, 20);
  const quant::QuantizedModuleConfig& instance = map.instance_qconfig_map.at("fc2");
  EXPECT_EQ(instance.quantized_module, "QuantLinear");
  EXPECT_EQ(
      std::get<quant::RunningMinMaxEstimatorParams>(instance.module_qconfig.activation_quant.range_estimator_params())
          .momentum,
      0.5);
  EXPECT_EQ(map.input_activation_qconfig_map.at("conv1").range_estimator(), quant::RangeEstimators::allminmax);
  EXPECT_EQ(map.excluded_modules, std::vector<std::string>{"fc3"});
}

TEST(Quantization, ReadsEveryNumberFormat) {
  const sim::FormatMap formats = config_with(R"(
  default_formats: {weight: {format: fixed, wl: 8, fl: 4}, activation: bfloat16, rounding: stochastic}
  module_formats_map: {Conv: {weight: {format: block, wl: 8, dim: 0}, accumulation: {format: float, exp: 5, man: 2}}}
  instance_formats_map: {fc1: {weight: int8, activation: {format: integer, bits: 5, is_signed: false}, accumulation: null}}
)")
                                     .quantization->formats;
  EXPECT_EQ(formats.default_formats.weight, quant::Number(quant::FixedPoint{8, 4}));
  EXPECT_EQ(formats.default_formats.activation, quant::named_number("bfloat16"));
  EXPECT_EQ(formats.default_formats.rounding, quant::Rounding::stochastic);
  EXPECT_EQ(formats.module.at("Conv").weight, quant::Number(quant::BlockFloatingPoint{8, 0}));
  EXPECT_EQ(formats.module.at("Conv").accumulation, quant::Number(quant::FloatingPoint{5, 2}));
  EXPECT_EQ(formats.instances.at("fc1").weight, quant::named_number("int8"));
  EXPECT_EQ(formats.instances.at("fc1").activation, quant::Number(quant::IntegerNumber{5, false}));
}

TEST(Quantization, TheResolvedTextReadsBackEqual) {
  for (const char* section : {"  append_default_conversions: true\n  default_qconfig: {weight_quant: {n_bits: 4}}\n",
                              "  default_qconfig: {activation_quant: {n_bits: 6, range_estimator: cross_entropy}}\n"
                              "  module_qconfig_map: {Conv: default}\n  excluded_modules: [a.b]\n",
                              "  default_formats: {weight: fp8_e4m3, activation: {format: float, exp: 4, man: 3}}\n"
                              "  instance_formats_map: {x: {accumulation: {format: block, wl: 9}}}\n"}) {
    const RunConfig config = config_with(section);
    RunConfig again = read_run_config_text(resolved_text(config), "again.yaml", "/d");
    EXPECT_EQ(again.quantization, config.quantization) << resolved_text(config);
  }
}

TEST(Quantization, RefusesNonsenseAtItsPlace) {
  EXPECT_THAT(error_of("  default_qconfig: {weight_quant: {n_bits: 40}}\n"), HasSubstr("n_bits"));
  EXPECT_THAT(error_of("  default_qconfig: {weight_quant: {n_bit: 4}}\n"), HasSubstr("did you mean 'n_bits'"));
  EXPECT_THAT(error_of("  module_qconfig_map: {Relu: {weight_quant: {n_bits: 4}}}\n"), HasSubstr("no quantized form"));
  EXPECT_THAT(error_of("  module_qconfig_map: {Conv: defalt}\n"), HasSubstr("'default'"));
  EXPECT_THAT(error_of("  default_formats: {weight: fp9}\n"), HasSubstr("fp9"));
  EXPECT_THAT(error_of("  default_formats: {weight: {format: fixd, wl: 8}}\n"), HasSubstr("fixd"));
  EXPECT_THAT(error_of("  default_formats: {weight: {format: float, exp: 0, man: 2}}\n"), HasSubstr("exp"));
  EXPECT_THAT(error_of("  default_formats: {weight: {wl: 8}}\n"), HasSubstr("'format'"));
  EXPECT_THAT(error_of("  default_formats: {weight: {format: fixed, wl: 0, fl: 4}}\n"), HasSubstr("wl"));
  EXPECT_THAT(error_of("  default_formats: {weight: {format: block, wl: 40}}\n"), HasSubstr("wl"));
  EXPECT_THAT(error_of("  default_formats: {weight: {format: block, wl: 4, dim: -2}}\n"), HasSubstr("dim"));
  EXPECT_THAT(error_of("  default_formats: {weight: {format: float, exp: 5, man: 40}}\n"), HasSubstr("man"));
  EXPECT_THAT(error_of("  default_formats: {weight: {format: float, exp: 40, man: 2}}\n"), HasSubstr("run.yaml:4"));
  EXPECT_THAT(error_of("  default_formats: {rounding: up}\n"), HasSubstr("stochastic"));
  const auto estimator = [](const std::string& name, const std::string& options) {
    return error_of("  default_qconfig: {weight_quant: {n_bits: 4, range_estimator: " + name +
                    ", range_estimator_params: {" + options + "}}}\n");
  };
  EXPECT_THAT(estimator("current_minmax", "percentile: .nan"), HasSubstr("percentile"));
  EXPECT_THAT(estimator("current_minmax", "percentile: 70"), HasSubstr("percentile"));
  EXPECT_THAT(estimator("running_minmax", "momentum: 2"), HasSubstr("momentum"));
  EXPECT_THAT(estimator("MSE", "num_candidates: 0"), HasSubstr("num_candidates"));
  EXPECT_THAT(estimator("MSE", "range_margin: .inf"), HasSubstr("range_margin"));
  EXPECT_THAT(estimator("MSE", "momentum: 0.5"), HasSubstr("momentum"));
  EXPECT_THAT(error_of("  default_qconfig: {activation_quant: {n_bits: 4, per_channel: true}}\n"),
              HasSubstr("per_channel"));
  EXPECT_THAT(error_of("  calibration: {batches: 0}\n"), HasSubstr("calibration.batches"));
  EXPECT_THAT(error_of("  default_qconfig: {weight_quant: {n_bits: 4, range_estimator: allminmax, "
                       "range_estimator_params: {percentile: 1}}}\n"),
              HasSubstr("allminmax"));
  EXPECT_THAT(error_of("  default_qconfig: {weight_quant: {n_bits: 4, range_estimator: minmax}}\n"),
              HasSubstr("range_estimator"));
  EXPECT_THAT(error_of("  default_qconfig: {weight_quant: {n_bits: 40}}\n"), HasSubstr("run.yaml:4"));
}

TEST(Quantization, ADefaultThatNobodyUsesIsNoted) {
  config::Report report;
  static_cast<void>(
      read_run_config_text("model: {file: m.onnx}\ndata: {format: glyphs}\nquantization: "
                           "{default_qconfig: {weight_quant: {n_bits: 4}}}\n",
                           "run.yaml", "/d", {}, &report));
  EXPECT_THAT(unused_note(report), HasSubstr("append_default_conversions"));
}

}  // namespace
}  // namespace tessera::spec
