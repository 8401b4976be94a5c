// Question: is every wrong parameter named, all at once, and every good one accepted?
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "tessera/device/parameters.hpp"

namespace tessera::device {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string problems(const DeviceParameters& parameters) {
  try {
    validate(parameters);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

std::string time_problems(const NoiseModel& model, double time_s) {
  try {
    validate_times(model, {&time_s, 1}, "evaluation.times");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(Validate, DefaultsAreFine) {
  for (const NoiseModel& model :
       {NoiseModel(PCMLikeNoiseModel{}), NoiseModel(StateIndependentNoiseModel{}), NoiseModel(ReRamWan2022NoiseModel{}),
        NoiseModel(ReRamCMONoiseModel{}), NoiseModel(HermesNoiseModel{}),
        NoiseModel(HermesNoiseModel{.num_devices = 1}), NoiseModel(TableNoiseModel{})})
    EXPECT_EQ(problems({.noise_model = model}), "") << type_name(model);
  EXPECT_EQ(problems({.program_and_verify = ProgramAndVerify{}}), "");
}

TEST(Validate, ListsEveryProblemAtOnce) {
  const std::string text = problems(
      {.noise_model = PCMLikeNoiseModel{.g_converter = SinglePairConductanceConverter{.g_max = 5.0, .g_min = 9.0},
                                        .prog_coeff = std::vector<double>{},
                                        .t_0 = -3.0,
                                        .read_noise_scale = -1.0},
       .program_and_verify = ProgramAndVerify{.tolerance = 0.0, .max_pulses = -1, .gain = 2.0},
       .faults = {.stuck_at_zero_rate = 1.5}});
  for (const char* expected : {"noise_model.g_converter.g_min", "noise_model.prog_coeff", "noise_model.t_0",
                               "noise_model.read_noise_scale", "program_and_verify.tolerance",
                               "program_and_verify.max_pulses", "program_and_verify.gain", "faults.stuck_at_zero_rate"})
    EXPECT_THAT(text, HasSubstr(expected));
}

TEST(Validate, NaNIsNeverAccepted) {
  const double nan = std::nan("");
  EXPECT_THAT(problems({.noise_model = PCMLikeNoiseModel{.t_read = nan}}), HasSubstr("t_read"));
  EXPECT_THAT(problems({.noise_model = PCMLikeNoiseModel{.drift_scale = nan}}), HasSubstr("drift_scale"));
  EXPECT_THAT(problems({.noise_model = PCMLikeNoiseModel{.prog_coeff = std::vector{nan}}}), HasSubstr("prog_coeff"));
  EXPECT_THAT(problems({.noise_model = PCMLikeNoiseModel{}, .faults = {.stuck_at_max_rate = nan}}),
              HasSubstr("stuck_at_max_rate"));
}

TEST(Validate, ReadNoiseLawNeedsAReferenceTimeBeyondTheRead) {
  EXPECT_THAT(problems({.noise_model = PCMLikeNoiseModel{.t_read = 1.0, .t_0 = 0.5}}),
              AllOf(HasSubstr("noise_model.t_0"), HasSubstr("t_read")));
}

TEST(Validate, Hermes) {
  EXPECT_THAT(problems({.noise_model = HermesNoiseModel{.num_devices = 3}}), HasSubstr("must be 1 or 2"));
  EXPECT_THAT(problems({.noise_model = HermesNoiseModel{.num_devices = 1,
                                                        .g_converter = SinglePairConductanceConverter{.g_max = 20.7}}}),
              HasSubstr("at most 10.35 uS"));
}

TEST(Validate, CmoAcceptanceRangeMustBeMeasured) {
  EXPECT_THAT(problems({.noise_model = ReRamCMONoiseModel{.acceptance_range = 0.02}}),
              HasSubstr("no coefficients for 0.02; coeff_dict has 0.2, 2"));
  EXPECT_THAT(problems({.noise_model = ReRamCMONoiseModel{.decay_std = {1.0}}}), HasSubstr("decay_dict.std"));
}

TEST(Validate, WanNeedsTimes) {
  EXPECT_THAT(problems({.noise_model = ReRamWan2022NoiseModel{.coeff_dic = {}}}), HasSubstr("at least one time"));
  EXPECT_THAT(problems({.noise_model = ReRamWan2022NoiseModel{.coeff_dic = {{-1.0, {0.1}}}}}), HasSubstr("> 0 s"));
  EXPECT_THAT(problems({.noise_model = ReRamWan2022NoiseModel{}, .program_and_verify = ProgramAndVerify{}}),
              HasSubstr("program_and_verify: has no meaning"));
}

TEST(Validate, CustomDriftTable) {
  const auto with = [](CustomDriftModel table) {
    return problems({.noise_model = CustomDriftPCMLikeNoiseModel{.custom_drift_model = std::move(table)}});
  };
  EXPECT_EQ(with({.g_lst = {0, 25}, .nu_mean_lst = {0.1, 0.05}, .nu_std_lst = {0, 0}}), "");
  EXPECT_THAT(with({}), HasSubstr("at least two"));
  EXPECT_THAT(with({.g_lst = {0, 25, 10}, .nu_mean_lst = {1, 1, 1}, .nu_std_lst = {1, 1, 1}}), HasSubstr("ascending"));
  EXPECT_THAT(with({.g_lst = {0, 25}, .nu_mean_lst = {1}, .nu_std_lst = {1, 1}}), HasSubstr("nu_mean_lst"));
  EXPECT_THAT(with({.g_lst = {1, 20}, .nu_mean_lst = {1, 1}, .nu_std_lst = {1, 1}}), HasSubstr("covers 1 to 20 uS"));
}

TEST(Validate, Tables) {
  const auto with = [](DeviceTable table) {
    return problems({.noise_model = TableNoiseModel{.read_sigma = std::move(table)}});
  };
  EXPECT_EQ(with({.g = {0, 25}, .time = {1, 10}, .values = {0, 1, 2, 3}}), "");
  EXPECT_EQ(with({.g = {0}, .values = {0.3}}), "");  // one value: everywhere
  EXPECT_THAT(with({.g = {25, 0}, .values = {0, 1}}), HasSubstr("read_sigma.g: must be finite and ascending"));
  EXPECT_THAT(with({.g = {0, 0, 25}, .values = {0, 1, 2}}), HasSubstr("ascending"));
  EXPECT_THAT(with({.g = {0, 25}, .time = {10, 1}, .values = {0, 1, 2, 3}}), HasSubstr("read_sigma.time"));
  EXPECT_THAT(with({.g = {0, 25}, .time = {0, 1}, .values = {0, 1, 2, 3}}), HasSubstr("times must be > 0"));
  EXPECT_THAT(with({.g = {0, 25}, .values = {0, 1, 2}}), HasSubstr("needs 2 values"));
  EXPECT_THAT(with({.g = {0, 25}, .values = {0, -1}}), HasSubstr(">= 0"));
  EXPECT_THAT(with({.g = {0, 20}, .values = {0, 1}}), HasSubstr("covers 0 to 20 uS"));
  EXPECT_THAT(with({.values = {1}}), HasSubstr("at least one conductance"));
  EXPECT_THAT(
      problems({.noise_model =
                    TableNoiseModel{.programming_sigma = {.g = {0, 25}, .time = {1, 2}, .values = {0, 1, 2, 3}}}}),
      HasSubstr("no time axis"));
}

TEST(Validate, FaultsNeedDevices) {
  EXPECT_THAT(problems({.noise_model = PCMLikeNoiseModel{},
                        .drift_from = DriftFrom::weights,
                        .faults = {.stuck_at_zero_rate = 0.1}}),
              HasSubstr("drift_from: devices"));
  EXPECT_THAT(problems({.faults = {.stuck_at_zero_rate = 0.6, .stuck_at_max_rate = 0.6}}), HasSubstr("more than 1"));
}

TEST(ValidateTimes, KnowsWhereLawsHold) {
  EXPECT_THAT(time_problems(PCMLikeNoiseModel{}, -1.0), HasSubstr("evaluation.times: a time after programming"));
  EXPECT_NE(time_problems(PCMLikeNoiseModel{}, std::nan("")), "");
  EXPECT_NE(time_problems(PCMLikeNoiseModel{}, INFINITY), "");
  EXPECT_EQ(time_problems(PCMLikeNoiseModel{}, 0.0), "");
  EXPECT_EQ(time_problems(PCMLikeNoiseModel{}, 1e12), "");
  EXPECT_EQ(time_problems(ReRamWan2022NoiseModel{}, 86400.0), "");
  EXPECT_THAT(time_problems(ReRamWan2022NoiseModel{}, 3600.0), HasSubstr("says nothing about 3600 s"));
  EXPECT_EQ(time_problems(ReRamCMONoiseModel{}, 0.0), "");
  EXPECT_EQ(time_problems(ReRamCMONoiseModel{}, 1.0), "");
  EXPECT_THAT(time_problems(ReRamCMONoiseModel{}, 1e-7), HasSubstr("shorter than a read"));
  EXPECT_THAT(time_problems(ReRamCMONoiseModel{}, 1e-5), HasSubstr("spread"));
  const TableNoiseModel table{.read_sigma = {.g = {0, 25}, .time = {1, 10}, .values = {0, 1, 2, 3}}};
  EXPECT_EQ(time_problems(table, 5.0), "");
  EXPECT_THAT(time_problems(table, 11.0), HasSubstr("read_sigma goes from 1 to 10 s"));
  EXPECT_NE(time_problems(table, 0.5), "");
}

}  // namespace
}  // namespace tessera::device
