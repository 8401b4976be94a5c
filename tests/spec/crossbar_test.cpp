// Question: is the parameter tree of CrossSim read as it is, from YAML and from its JSON files?
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tessera/spec/rpu_config.hpp"

namespace tessera::spec {
namespace {

using namespace circuit;

constexpr const char* crosssim_json = R"({
  "core": {"style": 2, "rows_max": 128, "cols_max": 64, "weight_bits": 8, "complex_matrix": false,
           "balanced": {"style": "ONE_SIDED", "interleaved_posneg": false, "subtract_current_in_xbar": true},
           "bit_sliced": {"style": 3, "num_slices": 4}, "offset": {"style": "UNIT_COLUMN_SUBTRACTION"},
           "mapping": {"weights": {"percentile": 1.0, "min": null, "max": null, "clipping": true},
                       "inputs": {"mvm": {"min": -1, "max": 1, "percentile": null}, "vmm": {"min": -1, "max": 1}}}},
  "xbar": {"device": {"Rmin": 1e4, "Rmax": 1e6, "cell_bits": 2,
                      "programming_error": {"enable": true, "model": "PCMJoshi", "magnitude": 0}},
           "array": {"Icol_max": 0, "parasitics": {"enable": true, "Rp_row": 1, "Rp_col": 2.5, "selected_rows": "top"}},
           "dac": {"mvm": {"model": "SignMagnitudeDAC", "bits": 8, "input_bitslicing": true, "slice_size": 1}, "vmm": {}},
           "adc": {"mvm": {"model": "QuantizerADC", "bits": 8, "adc_per_ibit": true, "adc_range_option": 1,
                           "calibrated_range": [[-8, 8], [-4, 4], [-2, 2], [-1, 1]]}}},
  "simulation": {"useGPU": false, "gpu_id": 0, "Verr_th_mvm": 0.01}
})";

void expect_the_tree(const CrossbarParameters& p) {
  EXPECT_EQ(p.core.style, CoreStyle::BITSLICED);
  EXPECT_EQ(p.core.rows_max, 128);
  EXPECT_EQ(p.core.bit_sliced.style, BitSlicedStyle::OFFSET);
  EXPECT_EQ(p.core.bit_sliced.num_slices, 4);
  EXPECT_EQ(p.core.offset.style, OffsetStyle::UNIT_COLUMN_SUBTRACTION);
  EXPECT_EQ(p.device.Rmax, 1e6);
  EXPECT_EQ(p.device.programming_error.model, ErrorModel::PCMJoshi);
  EXPECT_EQ(p.array.parasitics.Rp_col, 2.5);
  EXPECT_EQ(p.dac.slice_size, 1);
  ASSERT_EQ(p.adc.calibrated_range.size(), 4U);
  EXPECT_EQ(p.adc.calibrated_range[1].high, 4.0);
  EXPECT_EQ(p.simulation.Verr_th_mvm, 0.01);
}

TEST(CrossbarConfig, JsonIsYaml) {
  const RpuConfig config = read_rpu_config(std::string("crossbar: ") + crosssim_json);
  ASSERT_TRUE(config.tile.crossbar);
  expect_the_tree(*config.tile.crossbar);
}

TEST(CrossbarConfig, AFileCanBeNamed) {
  const std::filesystem::path file = std::filesystem::path(::testing::TempDir()) / "crosssim.json";
  std::ofstream(file) << crosssim_json;
  const RpuConfig config = read_rpu_config("crossbar: " + file.string());
  ASSERT_TRUE(config.tile.crossbar);
  expect_the_tree(*config.tile.crossbar);
  EXPECT_THROW(read_rpu_config("crossbar: /nowhere/crosssim.json"), ConfigError);
}

TEST(CrossbarConfig, TheLevelMvmMayBeLeftOut) {
  const RpuConfig config = read_rpu_config(
      "crossbar: {xbar: {dac: {model: SignMagnitudeDAC, bits: 6}, adc: {model: SarADC, bits: 7, calibrated_range: [-2, "
      "2]}}}");
  EXPECT_EQ(config.tile.crossbar->dac.bits, 6);
  EXPECT_EQ(config.tile.crossbar->adc.model, AdcModel::SarADC);
  EXPECT_EQ(config.tile.crossbar->adc.calibrated_range.at(0).low, -2.0);
}

TEST(CrossbarConfig, WhatIsWrittenIsReadAgain) {
  const RpuConfig config = read_rpu_config(std::string("crossbar: ") + crosssim_json);
  EXPECT_EQ(read_rpu_config(to_node(config)), config);
  EXPECT_FALSE(read_rpu_config("crossbar: null").tile.crossbar);
}

TEST(CrossbarConfig, EveryProblemHasItsKeyAndPlace) {
  try {
    read_rpu_config(
        "crossbar:\n"
        "  xbar:\n"
        "    device: {Rmin: 2.0e4, Rmax: 1.0e4}\n"
        "    adc: {mvm: {adc_per_ibit: true}}\n");
    FAIL();
  } catch (const ConfigError& error) {
    ASSERT_EQ(error.problems().size(), 2U);
    EXPECT_EQ(error.problems()[0].key, "crossbar.xbar.device.Rmax");
    EXPECT_EQ(error.problems()[0].line, 3);
    EXPECT_EQ(error.problems()[1].key, "crossbar.xbar.adc.mvm.adc_per_ibit");
    EXPECT_EQ(error.problems()[1].line, 4);
  }
  EXPECT_THROW(read_rpu_config("{crossbar: {core: {stile: BALANCED}}}"), ConfigError);
}

// Every combination that has no meaning, each with the place where it stands.
TEST(CrossbarConfig, CombinationsWithoutMeaningAreRefused) {
  struct Refused {
    const char* key;
    const char* yaml;
  };
  const Refused all[] = {
      {"xbar.adc.mvm.adc_per_ibit", "xbar: {adc: {mvm: {adc_per_ibit: true}}}"},
      {"xbar.array.parasitics.Rp_row", "xbar: {array: {parasitics: {Rp_row: -1}}}"},
      {"xbar.array.parasitics.Rp_col", "xbar: {array: {parasitics: {Rp_col: -0.5}}}"},
      {"xbar.array.parasitics.Rp_row_terminal", "xbar: {array: {parasitics: {Rp_row_terminal: -1}}}"},
      {"xbar.array.parasitics.Rp_col_terminal", "xbar: {array: {parasitics: {Rp_col_terminal: -1}}}"},
      {"xbar.device.Rmin", "xbar: {device: {Rmin: -1000}}"},
      {"xbar.device.Rmax", "xbar: {device: {Rmin: 1000, Rmax: 500}}"},
      {"xbar.dac.mvm.bits", "xbar: {dac: {mvm: {input_bitslicing: true}}}"},
      {"xbar.adc.mvm.adc_range_option", "xbar: {adc: {mvm: {adc_range_option: GRANULAR}}}"},
      {"xbar.array.parasitics.current_from_input", "xbar: {array: {parasitics: {current_from_input: false}}}"},
      {"xbar.array.parasitics.current_from_input",
       "xbar: {dac: {mvm: {model: SignMagnitudeDAC, bits: 5, input_bitslicing: true, slice_size: 2}}, array: "
       "{parasitics: {current_from_input: false}}}"},
      {"xbar.dac.mvm.signed", "xbar: {dac: {mvm: {model: SignMagnitudeDAC, bits: 4, signed: false}}}"},
      {"core.mapping.inputs.mvm.min",
       "{core: {mapping: {inputs: {mvm: {min: -0.5}}}}, xbar: {dac: {mvm: {model: SignMagnitudeDAC, bits: 4}}}}"},
      {"xbar.adc.mvm.signed", "xbar: {adc: {mvm: {model: SignMagnitudeADC, signed: false}}}"},
      {"xbar.adc.mvm.calibrated_range",
       "xbar: {adc: {mvm: {model: SignMagnitudeADC, bits: 4, calibrated_range: [-1, 2]}}}"},
      {"core.mapping.inputs.mvm.min", "xbar: {dac: {mvm: {model: QuantizerDAC, bits: 4, signed: false}}}"},
      {"xbar.dac.mvm.model", "xbar: {dac: {mvm: {model: QuantizerDAC, bits: 4, input_bitslicing: true}}}"},
      {"core.balanced.interleaved_posneg",
       "core: {balanced: {interleaved_posneg: true, subtract_current_in_xbar: false}}"},
      {"xbar.adc.mvm.calibrated_range",
       "{core: {style: BITSLICED, weight_bits: 4}, xbar: {adc: {mvm: {model: QuantizerADC, bits: 4, calibrated_range: "
       "[-1, 2]}}}}"},
      {"xbar.adc.mvm.calibrated_range", "xbar: {adc: {mvm: {calibrated_range: [2, 1]}}}"},
      {"xbar.device.Vread", "xbar: {device: {Vread: 0.9, nonlinear_IV: {enable: true, model: RRAMMilo}}}"},
      {"compensate", "{compensate: wires, xbar: {device: {nonlinear_IV: {enable: true, model: RRAMMilo}}}}"},
      {"core.mapping.weights.percentile", "core: {mapping: {weights: {min: -1, max: 1}}}"},
      {"xbar.adc.mvm.levels", "xbar: {adc: {mvm: {model: SarADC, bits: 4, levels: optimal}}}"}};
  for (const Refused& refused : all) {
    SCOPED_TRACE(refused.yaml);
    try {
      read_rpu_config(std::string("forward: {}\ncrossbar: ") +
                      (refused.yaml[0] == '{' ? refused.yaml : "{" + std::string(refused.yaml) + "}"));
      ADD_FAILURE();
    } catch (const ConfigError& error) {
      const auto found = std::find_if(error.problems().begin(), error.problems().end(), [&](const Problem& p) {
        return p.key == std::string("crossbar.") + refused.key;
      });
      ASSERT_NE(found, error.problems().end()) << error.what();
      EXPECT_EQ(found->line, 2);
      EXPECT_GT(found->column, 1);
    }
  }
}

TEST(CrossbarConfig, NoiseModelsStandOnCells) {
  const std::string start = "crossbar: {xbar: {device: {Rmin: 4.0e4, Rmax: 4.0e6}}}\nnoise_model: ";
  const auto devices = device_parameters(read_rpu_config(start + "{type: PCMLikeNoiseModel, g_max: 20}"));
  const auto cells = std::get<device::SingleDeviceConductanceConverter>(device::converter(devices.value().noise_model));
  EXPECT_EQ(cells, (device::SingleDeviceConductanceConverter{20.0, 0.2, true}));
  EXPECT_THROW(read_rpu_config(start + "{type: PCMLikeNoiseModel, g_converter: {type: NPairConductanceConverter}}"),
               ConfigError);
  EXPECT_THROW(read_rpu_config(start + "PCMLikeNoiseModel\ndrift_from: weights"), ConfigError);
  EXPECT_THROW(read_rpu_config("{crossbar: {xbar: {device: {programming_error: {enable: true, model: PCMJoshi}}}}, "
                               "noise_model: PCMLikeNoiseModel}"),
               ConfigError);
}

}  // namespace
}  // namespace tessera::spec
