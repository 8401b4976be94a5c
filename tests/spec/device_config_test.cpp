// Do noise models, drift compensation and faults become the device parameters they name, dumps included?
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tessera/config/document.hpp"
#include "tessera/config/emit.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/spec/layers.hpp"
#include "tessera/spec/rpu_config.hpp"

namespace tessera::spec {
namespace {

using namespace device;
namespace fs = std::filesystem;
using testing::HasSubstr;

std::string error_of(const auto& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string error_of_text(const std::string& text) {
  return error_of([&] { read_rpu_config(text, "c.yaml"); });
}

template <class Model>
Model model_of(const std::string& text) {
  const RpuConfig config = read_rpu_config("noise_model: " + text);
  return std::get<Model>(*config.noise_model);
}

TEST(DeviceConfig, DefaultsProgramNothing) {
  const RpuConfig config = read_rpu_config("{}");
  EXPECT_FALSE(config.noise_model);
  EXPECT_FALSE(device_parameters(config));
  EXPECT_EQ(config.drift_compensation, DriftCompensation(GlobalDriftCompensation{}));
  EXPECT_FALSE(read_rpu_config("drift_compensation: null").drift_compensation);
}

TEST(DeviceConfig, RangesOfTheConverter) {
  EXPECT_EQ(model_of<PCMLikeNoiseModel>("{type: PCMLikeNoiseModel, g_max: 30.0}").g_converter,
            ConductanceConverter((SinglePairConductanceConverter{30.0, 0.0})));
  EXPECT_EQ(model_of<PCMLikeNoiseModel>("{type: PCMLikeNoiseModel, g_max: 30, g_converter: {type: "
                                        "DualPairConductanceConverter, f_lst: [1, 3], g_max: 30}}")
                .g_converter,
            ConductanceConverter((DualPairConductanceConverter{{1.0, 3.0}, 30.0, 0.0})));
  EXPECT_EQ(error_of_text("noise_model: {type: PCMLikeNoiseModel, g_max: 30, g_converter: {type: "
                          "SinglePairConductanceConverter, g_max: 25}}"),
            "c.yaml:1:47: noise_model.g_max: 30 contradicts g_converter.g_max: 25; give one of them");
  EXPECT_EQ(model_of<HermesNoiseModel>("{type: HermesNoiseModel, num_devices: 1, g_max: 10}").g_converter,
            std::optional<ConductanceConverter>(SinglePairConductanceConverter{10.0, 0.0}));
  EXPECT_FALSE(model_of<HermesNoiseModel>("HermesNoiseModel").g_converter);
}

TEST(DeviceConfig, TheOtherDeviceKeys) {
  const RpuConfig config = read_rpu_config(
      "noise_model: {type: StateIndependentNoiseModel, drift_nu_mean: 0.05}\n"
      "drift_compensation: {type: PerColumnDriftCompensation}\n"
      "drift_from: devices\n"
      "program_and_verify: {tolerance: 0.2}\n"
      "faults: {stuck_at_zero_rate: 0.01}\n");
  const auto device = device_parameters(config);
  ASSERT_TRUE(device);
  EXPECT_EQ(std::get<StateIndependentNoiseModel>(device->noise_model).drift_nu_mean, 0.05);
  EXPECT_EQ(config.drift_compensation, DriftCompensation(PerColumnDriftCompensation{}));
  EXPECT_EQ(device->program_and_verify->tolerance, 0.2);
  EXPECT_EQ(device->faults.stuck_at_zero_rate, 0.01);
  EXPECT_EQ(read_rpu_config("drift_from: weights").drift_from, DriftFrom::weights);
}

TEST(DeviceConfig, CoefficientTablesReplaceTheirDefaults) {
  EXPECT_EQ(model_of<ReRamWan2022NoiseModel>("{type: ReRamWan2022NoiseModel, coeff_dic: {1: [0.1, 2], 3.6e3: [0.2]}}")
                .coeff_dic,
            (CoefficientTable{{1.0, {0.1, 2.0}}, {3600.0, {0.2}}}));
  EXPECT_EQ(error_of_text("noise_model: {type: ReRamWan2022NoiseModel, coeff_dic: {1: [1], 1.0: [2], x: [1]}}"),
            "c.yaml:1:65: noise_model.coeff_dic: the number 1.0 stands twice\n"
            "c.yaml:1:75: noise_model.coeff_dic: expected a number, got 'x'");
}

TEST(DeviceConfig, TheAcceptanceRangeThatThePeerDumpsIsTakenAsThePeerTakesIt) {
  config::Report report;
  const RpuConfig config = read_rpu_config(
      config::parse("noise_model: {type: ReRamCMONoiseModel, acceptance_range: 0.02}", {"c.yaml", {}}), {}, &report);
  EXPECT_EQ(std::get<ReRamCMONoiseModel>(*config.noise_model).acceptance_range, 0.2);
  EXPECT_TRUE(report.unused().contains("noise_model.acceptance_range"));
  EXPECT_THAT(error_of_text("noise_model: {type: ReRamCMONoiseModel, acceptance_range: 0.5}"),
              HasSubstr("c.yaml:1:59: noise_model.acceptance_range: no coefficients for 0.5"));
}

TEST(DeviceConfig, MistakesHavePositions) {
  EXPECT_EQ(
      error_of_text("noise_model: {type: PCMLikeNoiseModell}"),
      "c.yaml:1:21: noise_model.type: unknown type 'PCMLikeNoiseModell'; did you mean 'PCMLikeNoiseModel'? (one of "
      "PCMLikeNoiseModel, CustomDriftPCMLikeNoiseModel, StateIndependentNoiseModel, ReRamWan2022NoiseModel, "
      "ReRamCMONoiseModel, HermesNoiseModel, TableNoiseModel)");
  EXPECT_THAT(error_of_text("noise_model: {t_0: 20}"), HasSubstr("c.yaml:1:14: noise_model: missing key 'type'"));
  EXPECT_THAT(error_of_text("noise_model: {type: HermesNoiseModel, t0: 20}"),
              HasSubstr("c.yaml:1:39: noise_model.t0: unknown key 't0'; did you mean 't_0'?"));
  EXPECT_THAT(error_of_text("noise_model: {type: HermesNoiseModel, g_max: 25}"),
              HasSubstr("c.yaml:1:46: noise_model.g_max: must be at most 20.7"));
  EXPECT_THAT(error_of_text("noise_model:\n  type: PCMLikeNoiseModel\n  g_converter: {type: "
                            "SinglePairConductanceConverter, g_max: 5, g_min: 6}\n"),
              HasSubstr("c.yaml:3:"));
  EXPECT_THAT(error_of_text("noise_model: PCMLikeNoiseModel\ndrift_from: weights\nfaults: {stuck_at_max_rate: 0.1}\n"),
              HasSubstr("c.yaml:3:9: faults: have no meaning with drift_from: weights"));
}

TEST(DeviceConfig, TablesFromYamlAndCsv) {
  const fs::path directory = fs::path(TESSERA_BINARY_DIR) / "spec_test";
  fs::create_directories(directory);
  std::ofstream(directory / "sigma.csv") << "# measured\ng_uS,sigma_uS\n0, 0.1\n12.5, 0.3\r\n25, 0.2\n";
  std::ofstream(directory / "read.csv") << "g_uS,1,3600\n0,0.1,0.2\n25,0.3,0.4\n";
  const std::string text =
      "noise_model:\n"
      "  type: TableNoiseModel\n"
      "  programming_sigma: {file: sigma.csv}\n"
      "  drift_mean: {g: [0, 25], values: [0.05, 0.03]}\n"
      "  read_sigma: {file: read.csv}\n";
  const RpuConfig config = read_rpu_config(config::parse(text, {"c.yaml", directory.string()}));
  const auto& model = std::get<TableNoiseModel>(*config.noise_model);
  EXPECT_EQ(model.programming_sigma, (DeviceTable{{0.0, 12.5, 25.0}, {}, {0.1, 0.3, 0.2}}));
  EXPECT_EQ(model.drift_mean, (DeviceTable{{0.0, 25.0}, {}, {0.05, 0.03}}));
  EXPECT_EQ(model.read_sigma, (DeviceTable{{0.0, 25.0}, {1.0, 3600.0}, {0.1, 0.3, 0.2, 0.4}}));
  EXPECT_TRUE(model.drift_std.empty());
  EXPECT_EQ(read_rpu_config(config::to_yaml(to_node(config))), config) << "the resolved form needs no CSV";
  EXPECT_EQ(std::get<TableNoiseModel>(
                *read_rpu_config("noise_model: {type: TableNoiseModel, read_sigma: {g: [0, 25], time: [1, 3600], "
                                 "values: [[0.1, 0.3], [0.2, 0.4]]}}")
                     .noise_model)
                .read_sigma,
            model.read_sigma);

  const auto csv_error = [&](const std::string& content) {
    std::ofstream(directory / "bad.csv") << content;
    return error_of([&] {
      read_rpu_config(config::parse("noise_model: {type: TableNoiseModel, read_sigma: {file: bad.csv}}",
                                    {"c.yaml", directory.string()}));
    });
  };
  EXPECT_THAT(csv_error(""), HasSubstr("bad.csv' has no values"));
  EXPECT_THAT(csv_error("0\n"), HasSubstr("bad.csv' line 1: expected a conductance and at least one value"));
  EXPECT_THAT(csv_error("0,1,2\n"),
              HasSubstr("line 1: several columns of values need a first line that names their times"));
  EXPECT_THAT(csv_error("g,1\n0,1\n1,2,3\n"), HasSubstr("line 3: 3 columns, not 2"));
  EXPECT_THAT(csv_error("g,1\n0,x\n"), HasSubstr("line 2: 'x' is not a number"));
  EXPECT_THAT(csv_error("g,1\n0,nan\n"), HasSubstr("line 2: 'nan' is not a number"));
  EXPECT_THAT(csv_error("g,1\n5,1\n0,1\n"),
              HasSubstr("c.yaml:1:50: noise_model.read_sigma.g: must be finite and ascending"));
  EXPECT_THAT(error_of_text("noise_model: {type: TableNoiseModel, read_sigma: {file: none.csv}}"),
              HasSubstr("c.yaml:1:57: noise_model.read_sigma.file: cannot read '"));
  EXPECT_THAT(
      error_of_text(
          "noise_model: {type: TableNoiseModel, read_sigma: {g: [0, 25], time: [1, 2], values: [[1, 2], [1]]}}"),
      HasSubstr("noise_model.read_sigma.values: 1 values for time 1, but 2 for the first"));
}

TEST(DeviceConfig, PresetsOfInferenceConfigurationsBringTheirDevices) {
  EXPECT_EQ(preset("StandardHWATrainingPreset").noise_model, NoiseModel(PCMLikeNoiseModel{}));
  EXPECT_FALSE(preset("StandardIOParameters").noise_model);
  EXPECT_FALSE(preset("FloatingPointPreset").noise_model);
  EXPECT_FALSE(read_rpu_config("{preset: StandardHWATrainingPreset, noise_model: null}").noise_model);
  EXPECT_EQ(std::get<PCMLikeNoiseModel>(
                *read_rpu_config("{preset: StandardHWATrainingPreset, noise_model: {drift_scale: 0}}").noise_model)
                .drift_scale,
            0.0);
}

TEST(DeviceConfig, RulesChangePartsOfTheModel) {
  const auto config_with = [](const std::string& rest) {
    return read_run_config_text("model: {file: m.onnx}\ndata: {format: glyphs}\n" + rest, "run.yaml", "/d");
  };
  const RunConfig config = config_with(
      "rpu_config: {noise_model: {type: PCMLikeNoiseModel, drift_scale: 0.5}}\n"
      "layers:\n"
      "  - {match: a, rpu_config: {noise_model: {g_max: 30}}}\n"
      "  - {match: b, rpu_config: {noise_model: HermesNoiseModel, _drift_compensation: null}}\n"
      "  - {match: c, rpu_config: {noise_model: null}}\n");
  EXPECT_EQ(read_run_config_text(resolved_text(config)), config);
  EXPECT_THAT(resolved_text(config), HasSubstr("      noise_model:\n        g_max: 30\n"));
  EXPECT_THAT(resolved_text(config),
              HasSubstr("      noise_model:\n        type: HermesNoiseModel\n      drift_compensation: null\n"));
  const auto resolve = layer_resolver(config);
  const sim::LayerParameters a = resolve("a", "Gemm");
  const auto& pcm = std::get<PCMLikeNoiseModel>(a.device->noise_model);
  EXPECT_EQ(pcm.drift_scale, 0.5);
  EXPECT_EQ(g_max(pcm.g_converter), 30.0);
  EXPECT_TRUE(a.drift_compensation);
  EXPECT_TRUE(std::holds_alternative<HermesNoiseModel>(resolve("b", "Gemm").device->noise_model));
  EXPECT_FALSE(resolve("b", "Gemm").drift_compensation);
  EXPECT_FALSE(resolve("c", "Gemm").device);
}

TEST(DeviceConfig, TimesMustHaveAMeaning) {
  const auto run = [](const std::string& rest) {
    return read_run_config_text("model: {file: m.onnx}\ndata: {format: glyphs}\n" + rest, "run.yaml", "/d");
  };
  EXPECT_EQ(error_of([&] { run("evaluation: {times: [0, 3600]}\n"); }),
            "run.yaml:3:21: evaluation.times: nothing is programmed and nothing drifts without a noise_model; give "
            "rpu_config.noise_model, or leave it out");
  EXPECT_THAT(
      error_of([&] { run("rpu_config: {noise_model: ReRamWan2022NoiseModel}\nevaluation: {times: [0, 5]}\n"); }),
      HasSubstr("run.yaml:4:21: evaluation.times: ReRamWan2022NoiseModel was measured at 0, 1, 86400, 172800 s"));
  const RunConfig per_layer =
      run("evaluation: {times: [5]}\nlayers: [{match: fc, rpu_config: {noise_model: ReRamWan2022NoiseModel}}]\n");
  EXPECT_THAT(error_of([&] {
                resolve_layers(per_layer, {{"fc", "Gemm"}});
              }),
              AllOf(HasSubstr("run.yaml:4:48: layers.0.rpu_config.noise_model: "), HasSubstr("(layer 'fc')")));
}

TEST(DeviceConfig, WhatBelongsToDevicesNeedsANoiseModel) {
  const auto run = [](const std::string& rest) {
    return read_run_config_text("model: {file: m.onnx}\ndata: {format: glyphs}\n" + rest, "run.yaml", "/d");
  };
  EXPECT_THAT(error_of([&] { run("rpu_config: {faults: {stuck_at_zero_rate: 0.1}}\n"); }),
              HasSubstr("run.yaml:3:22: rpu_config.faults: there are no devices that could be stuck without a noise"));
  EXPECT_THAT(error_of([&] { run("rpu_config: {faults: {map: a.npy}}\n"); }), HasSubstr("rpu_config.faults: "));
  EXPECT_THAT(error_of([&] { run("rpu_config: {program_and_verify: {}}\n"); }),
              HasSubstr("rpu_config.program_and_verify: there are no devices to program without a noise_model"));
  EXPECT_THAT(error_of([&] {
                run("rpu_config: {noise_model: PCMLikeNoiseModel, drift_from: weights, faults: {map: a.npy}}\n");
              }),
              HasSubstr("rpu_config.faults.map: has no meaning with drift_from: weights"));
  const RunConfig config = run("rpu_config: {noise_model: PCMLikeNoiseModel, faults: {map: a.npy}}\n");
  EXPECT_EQ(config.rpu_config.fault_map, "/d/a.npy");
  EXPECT_EQ(layer_resolver(config)("fc", "Gemm").fault_map, "/d/a.npy");
  EXPECT_EQ(read_run_config_text(resolved_text(config)), config);
  run("layers: [{match: fc, rpu_config: {noise_model: HermesNoiseModel}}]\nevaluation: {times: [5]}\n");
}

TEST(DeviceConfig, RepeatsAreANumberOfChipsOrCounts) {
  const auto repeats = [](const std::string& text) {
    return read_run_config_text("model: {file: m.onnx}\ndata: {format: glyphs}\nevaluation: {repeats: " + text + "}\n",
                                "run.yaml", "/d")
        .evaluation;
  };
  EXPECT_EQ(repeats("5"), (sim::EvaluationParameters{.repeats = 5, .read_repeats = 1, .times = {}}));
  EXPECT_EQ(repeats("{program: 5, read: 3}"),
            (sim::EvaluationParameters{.repeats = 5, .read_repeats = 3, .times = {}}));
  EXPECT_EQ(repeats("{read: 3}"), (sim::EvaluationParameters{.repeats = 1, .read_repeats = 3, .times = {}}));
  EXPECT_THAT(error_of([&] { repeats("0"); }), HasSubstr("run.yaml:3:23: evaluation.repeats: 0 is out of range"));
  EXPECT_THAT(error_of([&] { repeats("{program: 2, read: 0}"); }),
              HasSubstr("run.yaml:3:42: evaluation.repeats.read: 0 is out of range"));
  EXPECT_THAT(error_of([&] { repeats("{programs: 2}"); }), HasSubstr("did you mean 'program'?"));
  EXPECT_THAT(error_of([&] { repeats("[1, 2]"); }), HasSubstr("evaluation.repeats: expected"));
  const RunConfig config = read_run_config_text(
      "model: {file: m.onnx}\ndata: {format: glyphs}\nevaluation: {repeats: {program: 2, read: 3}}\n", "run.yaml", "/d",
      {"evaluation.repeats=4"});
  EXPECT_EQ(config.evaluation.repeats, 4);
  EXPECT_EQ(config.evaluation.read_repeats, 1);
}

/// Every noise model of the golden file loads from its dump, keeps its numbers, and reads back.
TEST(DeviceConfig, EveryNoiseModelOfTheGoldenFileLoads) {
  const char* folder = std::getenv("TESSERA_GOLDEN_DIR");
  const std::string root = folder != nullptr ? folder : TESSERA_SOURCE_DIR + "/tests/data/golden";
  const h5::File file = h5::File::open(root + "/noise_models.h5");
  int models = 0;
  for (const std::string& name : file.group_names()) {
    if (!file.group(name).has_attribute("noise_model")) continue;
    ++models;
    config::Node node = config::Node::map();
    node.set("noise_model", config::parse(file.group(name).attribute<std::string>("noise_model"), {name, {}}));
    const RpuConfig config = read_rpu_config(node);
    ASSERT_TRUE(config.noise_model) << name;
    EXPECT_EQ(type_name(*config.noise_model), node.find("noise_model")->find("type")->scalar);
    EXPECT_EQ(read_rpu_config(config::to_yaml(to_node(config))), config) << name;
    const config::Node written = to_node(config);
    for (const config::Node::Entry& entry : node.find("noise_model")->entries) {
      const config::Node* again = written.find("noise_model")->find(entry.key);
      if (entry.key != "type" && entry.value.is_scalar() && again != nullptr) {
        EXPECT_EQ(std::stod(again->scalar), std::stod(entry.value.scalar)) << name << " " << entry.key;
      }
    }
    EXPECT_EQ(g_max(converter(*config.noise_model)), std::stod(node.find("noise_model")->find("g_max")->scalar))
        << name;
  }
  EXPECT_EQ(models, 16);
}

}  // namespace
}  // namespace tessera::spec
