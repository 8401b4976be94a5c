// Question: is every combination without meaning refused, by name and with a reason?
#include "tessera/circuit/parameters.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace tessera::circuit {
namespace {

using Change = std::function<void(CrossbarParameters&)>;

std::vector<std::string> keys_of_problems(const Change& change) {
  CrossbarParameters p;
  change(p);
  std::vector<Problem> problems;
  find_problems(p, problems);
  std::vector<std::string> keys;
  for (const Problem& problem : problems) {
    EXPECT_FALSE(problem.message.empty());
    keys.push_back(problem.key);
  }
  return keys;
}

void expect_problem(const std::string& key, const Change& change) {
  const std::vector<std::string> keys = keys_of_problems(change);
  EXPECT_NE(std::find(keys.begin(), keys.end(), key), keys.end()) << key << " was accepted";
}

TEST(CrossbarParameters, TheDefaultsAreValid) {
  EXPECT_TRUE(keys_of_problems([](CrossbarParameters&) {}).empty());
}

TEST(CrossbarParameters, RejectedCombinations) {
  const std::string adc = "xbar.adc.mvm.", dac = "xbar.dac.mvm.";
  expect_problem(adc + "adc_per_ibit", [](auto& p) { p.adc.adc_per_ibit = true; });
  expect_problem(dac + "bits", [](auto& p) { p.dac.input_bitslicing = true; });
  expect_problem(adc + "adc_range_option", [](auto& p) { p.adc.adc_range_option = AdcRangeOption::GRANULAR; });
  expect_problem("xbar.array.parasitics.current_from_input",
                 [](auto& p) { p.array.parasitics.current_from_input = false; });
  expect_problem("xbar.array.parasitics.current_from_input", [](auto& p) {
    p.array.parasitics.current_from_input = false;
    p.dac = {.model = DacModel::SignMagnitudeDAC, .bits = 8, .input_bitslicing = true, .slice_size = 2};
  });
  expect_problem(adc + "signed",
                 [](auto& p) { p.adc = {.model = AdcModel::SignMagnitudeADC, .bits = 8, .is_signed = false}; });
  expect_problem(adc + "calibrated_range", [](auto& p) {
    p.adc = {.model = AdcModel::SignMagnitudeADC, .bits = 8};
    p.adc.calibrated_range = {{-1.0, 2.0}};
  });
  expect_problem(dac + "signed",
                 [](auto& p) { p.dac = {.model = DacModel::SignMagnitudeDAC, .bits = 8, .is_signed = false}; });
  expect_problem("core.mapping.inputs.mvm.min", [](auto& p) {
    p.dac = {.model = DacModel::SignMagnitudeDAC, .bits = 8};
    p.core.inputs.max = 2.0;
  });
  expect_problem("core.mapping.inputs.mvm.min",
                 [](auto& p) { p.dac = {.model = DacModel::QuantizerDAC, .bits = 8, .is_signed = false}; });
  expect_problem(dac + "model",
                 [](auto& p) { p.dac = {.model = DacModel::QuantizerDAC, .bits = 8, .input_bitslicing = true}; });
  expect_problem("core.balanced.interleaved_posneg", [](auto& p) {
    p.core.balanced.interleaved_posneg = true;
    p.core.balanced.subtract_current_in_xbar = false;
  });
}

TEST(CrossbarParameters, BadValues) {
  expect_problem("xbar.device.Rmin", [](auto& p) { p.device.Rmin = -1.0; });
  expect_problem("xbar.device.Rmax", [](auto& p) { p.device.Rmax = 500.0; });
  expect_problem("xbar.device.Vread", [](auto& p) {
    p.device.Vread = 0.6;
    p.device.nonlinear_IV = {true, CellLawModel::RRAMMilo};
  });
  expect_problem("xbar.device.cell_bits", [](auto& p) {
    p.core.style = CoreStyle::OFFSET;
    p.device.cell_bits = 1;
  });
  expect_problem("xbar.array.parasitics.Rp_row", [](auto& p) { p.array.parasitics.Rp_row = -0.5; });
  expect_problem("xbar.array.parasitics.disable_slices", [](auto& p) { p.array.parasitics.disable_slices = {3}; });
  expect_problem("xbar.adc.mvm.calibrated_range", [](auto& p) {
    p.core = {.style = CoreStyle::BITSLICED, .weight_bits = 8};
    p.adc = {.model = AdcModel::QuantizerADC, .bits = 8};
    p.adc.calibrated_range = {{-1.0, 1.0}};
  });
  expect_problem("xbar.adc.mvm.calibrated_range", [](auto& p) { p.adc.calibrated_range = {{1.0, -1.0}}; });
  expect_problem("core.weight_bits", [](auto& p) { p.core.style = CoreStyle::BITSLICED; });
  expect_problem("core.bit_sliced.num_slices", [](auto& p) {
    p.core = {.style = CoreStyle::BITSLICED, .weight_bits = 4};
    p.core.bit_sliced.num_slices = 9;
  });
  expect_problem("core.mapping.weights.percentile", [](auto& p) { p.core.weights.min = -1.0; });
  expect_problem("core.mapping.weights.max", [](auto& p) {
    p.core.weights.percentile = std::nullopt;
    p.core.weights.min = -1.0;
  });
  expect_problem("xbar.adc.mvm.levels", [](auto& p) {
    p.adc = {.model = AdcModel::QuantizerADC, .bits = 2};
    p.adc.levels = std::vector<double>{0.0, 2.0, 1.0};
  });
  expect_problem("xbar.adc.mvm.inl", [](auto& p) {
    p.adc = {.model = AdcModel::QuantizerADC, .bits = 2};
    p.adc.inl = {0.0, 1.0};
  });
  expect_problem("xbar.device.drift_error.model", [](auto& p) {
    p.device.drift_error = {true, ErrorModel::RRAMWan, 0.0};
  });
}

TEST(CrossbarParameters, AllProblemsAtOnce) {
  EXPECT_GE(keys_of_problems([](auto& p) {
              p.device.Rmin = 0.0;
              p.adc.adc_per_ibit = true;
              p.array.Icol_max = -1.0;
            }).size(),
            3U);
}

}  // namespace
}  // namespace tessera::circuit
