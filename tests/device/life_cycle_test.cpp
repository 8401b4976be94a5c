// Question: is a programmed tile one chip: the same for any thread count, whatever other times are simulated, with
// effects that are addressed independently, faults that stay, and errors for what does not fit?
#include "tessera/device/life_cycle.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

namespace tessera::device {
namespace {

constexpr Parallel one{1};

Matrix test_weights(std::int64_t outputs, std::int64_t inputs) {
  Matrix w(outputs, inputs);
  for (std::size_t i = 0; i < w.values().size(); ++i) w.values()[i] = std::sin(0.7F * static_cast<float>(i));
  return w;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}
bool same_bits(const Matrix& a, const Matrix& b) {
  return same_bits(a.values(), b.values());
}

CustomDriftModel drift_table() {
  return {.g_lst = {0, 25}, .nu_mean_lst = {0.08, 0.04}, .nu_std_lst = {0.02, 0.01}};
}

std::vector<DeviceParameters> every_model() {
  std::vector<DeviceParameters> all = {
      {.noise_model = PCMLikeNoiseModel{}},
      {.noise_model = PCMLikeNoiseModel{.g_converter = NPairConductanceConverter{.f_lst = {1, 2, 1}}}},
      {.noise_model = CustomDriftPCMLikeNoiseModel{.custom_drift_model = drift_table()}},
      {.noise_model = StateIndependentNoiseModel{}},
      {.noise_model = ReRamWan2022NoiseModel{}},
      {.noise_model = ReRamCMONoiseModel{}},
      {.noise_model = HermesNoiseModel{}},
      {.noise_model = TableNoiseModel{.programming_sigma = {.g = {0, 25}, .values = {0.2, 0.5}},
                                      .drift_mean = {.g = {0, 25}, .values = {0.05, 0.03}},
                                      .drift_std = {.g = {0, 25}, .values = {0.01, 0.01}},
                                      .read_sigma = {.g = {0, 25}, .values = {0.1, 0.3}}}}};
  const std::size_t models = all.size();
  for (std::size_t i = 0; i < models; ++i) {
    DeviceParameters p = all[i];
    p.drift_from = DriftFrom::weights;
    all.push_back(p);
  }
  DeviceParameters faulty = all[0];
  faulty.faults = {.stuck_at_zero_rate = 0.01, .stuck_at_max_rate = 0.02};
  faulty.program_and_verify = ProgramAndVerify{};
  all.push_back(faulty);
  return all;
}

TEST(LifeCycle, BitsDoNotDependOnTheThreadCount) {
  const Matrix weights = test_weights(150, 301);  // several blocks, none of them full
  for (const DeviceParameters& parameters : every_model()) {
    SCOPED_TRACE(type_name(parameters.noise_model));
    validate(parameters);
    const ProgrammedState serial = program(parameters, weights.view(), {.seed = 7}, one);
    const Matrix serial_read = weights_at(parameters, serial, 86400.0, 2, one);
    for (const int threads : {2, 3, 8}) {
      const ProgrammedState state = program(parameters, weights.view(), {.seed = 7}, {threads});
      EXPECT_TRUE(same_bits(state.conductances, serial.conductances));
      EXPECT_TRUE(same_bits(state.drift, serial.drift));
      EXPECT_EQ(state.faults, serial.faults);
      EXPECT_EQ(state.mean_pulses, serial.mean_pulses);
      EXPECT_TRUE(same_bits(weights_at(parameters, state, 86400.0, 2, {threads}), serial_read));
      EXPECT_TRUE(
          same_bits(programmed_weights(parameters, state, {threads}), programmed_weights(parameters, state, one)));
    }
  }
}

TEST(LifeCycle, AReadDoesNotDependOnOtherReads) {
  const Matrix weights = test_weights(20, 30);
  for (const DeviceParameters& parameters : every_model()) {
    const ProgrammedState state = program(parameters, weights.view(), {.seed = 7}, one);
    const Matrix alone = weights_at(parameters, state, 86400.0, 0, one);
    const ProgrammedState again = program(parameters, weights.view(), {.seed = 7}, one);
    static_cast<void>(weights_at(parameters, again, 0.0, 0, one));
    static_cast<void>(weights_at(parameters, again, 1.0, 5, one));
    EXPECT_TRUE(same_bits(weights_at(parameters, again, 86400.0, 0, one), alone)) << type_name(parameters.noise_model);
  }
}

TEST(LifeCycle, EffectsAreAddressedIndependently) {
  const Matrix weights = test_weights(20, 30);
  const auto run = [&](const PCMLikeNoiseModel& model, double time_s, std::uint32_t read, std::uint32_t repeat) {
    const DeviceParameters parameters{.noise_model = model};
    const ProgrammedState state = program(parameters, weights.view(), {.seed = 7, .repeat = repeat}, one);
    return std::pair{state, weights_at(parameters, state, time_s, read, one)};
  };
  const PCMLikeNoiseModel silent{.read_noise_scale = 0.0};
  const auto base = run(silent, 3600.0, 0, 0);
  // Without read noise the read number changes nothing; with it everything but the chip changes.
  EXPECT_TRUE(same_bits(run(silent, 3600.0, 1, 0).second, base.second));
  const auto noisy = run({}, 3600.0, 0, 0);
  EXPECT_TRUE(same_bits(noisy.first.conductances, base.first.conductances));
  EXPECT_TRUE(same_bits(noisy.first.drift, base.first.drift));
  EXPECT_FALSE(same_bits(run({}, 3600.0, 1, 0).second, noisy.second));
  // Turning programming noise off leaves the drift exponents, and the other way round.
  EXPECT_TRUE(same_bits(run({.prog_noise_scale = 0.0}, 3600.0, 0, 0).first.drift, base.first.drift));
  EXPECT_TRUE(same_bits(run({.drift_scale = 0.0}, 3600.0, 0, 0).first.conductances, base.first.conductances));
  EXPECT_FALSE(same_bits(run(silent, 3600.0, 0, 1).first.conductances, base.first.conductances));
}

TEST(LifeCycle, AQuietDeviceIsThePlainWeight) {
  const Matrix weights = test_weights(16, 16);
  for (const DriftFrom from : {DriftFrom::devices, DriftFrom::weights}) {
    const DeviceParameters parameters{
        .noise_model = PCMLikeNoiseModel{.prog_noise_scale = 0.0, .read_noise_scale = 0.0, .drift_scale = 0.0},
        .drift_from = from};
    const ProgrammedState state = program(parameters, weights.view(), {}, one);
    const Matrix read = weights_at(parameters, state, 1e7, 0, one);
    for (std::size_t i = 0; i < read.values().size(); ++i) EXPECT_NEAR(read.values()[i], weights.values()[i], 3e-7F);
  }
}

TEST(LifeCycle, DriftFollowsThePowerLaw) {
  const Matrix weights = test_weights(16, 16);
  const DeviceParameters parameters{
      .noise_model = StateIndependentNoiseModel{.prog_noise_scale = 0.0, .read_noise_scale = 0.0, .drift_nu_std = 0.0}};
  const ProgrammedState state = program(parameters, weights.view(), {}, one);
  for (const double t : {0.0, 180.0, 31536000.0}) {
    const Matrix read = weights_at(parameters, state, t, 0, one);
    const double factor = std::pow((t + 20.0) / 20.0, -0.1);
    for (std::size_t i = 0; i < read.values().size(); ++i)
      EXPECT_NEAR(static_cast<double>(read.values()[i]), factor * static_cast<double>(weights.values()[i]), 1e-6);
  }
}

TEST(LifeCycle, TableOfChangesAddsThem) {
  const Matrix weights(1, 3, std::vector<float>{-1.0F, 0.4F, 1.0F});
  const DeviceParameters parameters{
      .noise_model = TableNoiseModel{.g_converter = SinglePairConductanceConverter{.g_max = 10.0},
                                     .drift = TableDrift::change,
                                     .drift_mean = {.g = {0, 10}, .time = {1, 100}, .values = {0, -1, 0, -3}}}};
  validate(parameters);
  const ProgrammedState state = program(parameters, weights.view(), {}, one);
  const Matrix read = weights_at(parameters, state, 10.0, 0, one);  // a change of -0.2 g
  EXPECT_NEAR(read(0, 0), -0.8F, 1e-6F);
  EXPECT_NEAR(read(0, 1), 0.32F, 1e-6F);
  EXPECT_NEAR(read(0, 2), 0.8F, 1e-6F);
}

TEST(LifeCycle, CmoChipFollowsOnePath) {
  const Matrix weights = test_weights(40, 50);
  const DeviceParameters parameters{.noise_model = ReRamCMONoiseModel{.read_noise_scale = 0.0}};
  const ProgrammedState state = program(parameters, weights.view(), {.seed = 9}, one);
  const Matrix hour = weights_at(parameters, state, 3600.0, 0, one);
  const Matrix day = weights_at(parameters, state, 86400.0, 0, one);
  double product = 0.0, hour2 = 0.0, day2 = 0.0;
  const Matrix start = programmed_weights(parameters, state, one);
  const double mean = 79.199997 / 2.0;  // uS per weight, for weights from -1 to 1
  for (std::size_t i = 0; i < hour.values().size(); ++i) {
    const double a = static_cast<double>(hour.values()[i] - start.values()[i]) + 0.089 * std::log(3600.0) / mean;
    const double b = static_cast<double>(day.values()[i] - start.values()[i]) + 0.089 * std::log(86400.0) / mean;
    product += a * b;
    hour2 += a * a;
    day2 += b * b;
  }
  EXPECT_GT(product / std::sqrt(hour2 * day2), 0.95);  // only clamped devices deviate
}

TEST(LifeCycle, StateIsComplete) {
  const Matrix weights = test_weights(5, 7);
  const DeviceParameters parameters{.noise_model = PCMLikeNoiseModel{}};
  const ProgrammedState state =
      program(parameters, weights.view(), {.seed = 1, .layer = 2, .tile = 3, .repeat = 4}, one);
  EXPECT_EQ(state.devices, 2);
  EXPECT_EQ(state.conductances.size(), 70U);
  EXPECT_EQ(state.drift.size(), 70U);
  EXPECT_TRUE(state.faults.empty());
  EXPECT_TRUE(same_bits(state.target.matrix(), weights));
  EXPECT_EQ(state.chip.layer, 2U);
  // A copy is the chip: it reads the same.
  const ProgrammedState copy = state;
  EXPECT_TRUE(same_bits(weights_at(parameters, copy, 5.0, 0, one), weights_at(parameters, state, 5.0, 0, one)));
}

TEST(LifeCycle, ReadEventsTellTimesApart) {
  EXPECT_EQ(read_event(0.0, 0), read_event(-0.0, 0));
  EXPECT_NE(read_event(0.0, 0), read_event(1.0, 0));
  EXPECT_NE(read_event(1.0, 0), read_event(std::nextafter(1.0, 2.0), 0));
  EXPECT_NE(read_event(1.0, 0), read_event(1.0, 1));
}

TEST(LifeCycle, RefusesWhatHasNoMeaning) {
  const Matrix weights = test_weights(4, 4);
  const DeviceParameters wan{.noise_model = ReRamWan2022NoiseModel{}};
  const ProgrammedState state = program(wan, weights.view(), {}, one);
  EXPECT_THROW(weights_at(wan, state, 3600.0, 0, one), ConfigError);
  EXPECT_THROW(weights_at(wan, state, -1.0, 0, one), ConfigError);
  EXPECT_THROW(weights_at(wan, state, std::nan(""), 0, one), ConfigError);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Matrix broken = test_weights(4, 4);
    broken(2, 2) = bad;
    EXPECT_THROW(program(wan, broken.view(), {}, one), InputError);
  }
}

TEST(LifeCycle, EmptyTilesAreFine) {
  const DeviceParameters parameters{.noise_model = PCMLikeNoiseModel{}};
  const ProgrammedState state = program(parameters, Matrix(0, 5).view(), {}, one);
  EXPECT_EQ(weights_at(parameters, state, 1.0, 0, one).rows(), 0);
}

TEST(Faults, RatesAreMetAndFaultyDevicesStay) {
  const Matrix weights = test_weights(500, 400);
  DeviceParameters parameters{.noise_model = PCMLikeNoiseModel{},
                              .faults = {.stuck_at_zero_rate = 0.01, .stuck_at_max_rate = 0.03}};
  const ProgrammedState state = program(parameters, weights.view(), {.seed = 4}, Parallel::all());
  std::int64_t zero = 0, high = 0;
  for (std::size_t i = 0; i < state.faults.size(); ++i) {
    if (state.faults[i] == Fault::stuck_at_zero) {
      ++zero;
      ASSERT_EQ(state.conductances[i], 0.0F);
    } else if (state.faults[i] == Fault::stuck_at_max) {
      ++high;
      ASSERT_EQ(state.conductances[i], 25.0F);
    }
  }
  // Binomial counts of 400000 devices; |z| < 4.9, one false alarm in 1e6. A rate off by a tenth would be z > 6.
  EXPECT_LT(std::abs(static_cast<double>(zero) - 4000.0) / std::sqrt(4000.0 * 0.99), 4.9);
  EXPECT_LT(std::abs(static_cast<double>(high) - 12000.0) / std::sqrt(12000.0 * 0.97), 4.9);

  // A pair of faulty devices reads the same for ever.
  parameters.faults = {.stuck_at_max_rate = 1.0};
  const ProgrammedState stuck = program(parameters, weights.view(), {}, one);
  const Matrix late = weights_at(parameters, stuck, 1e6, 0, one);
  for (const float w : late.values()) ASSERT_EQ(w, 0.0F);

  // Faults leave the healthy devices untouched.
  const ProgrammedState healthy = program({.noise_model = PCMLikeNoiseModel{}}, weights.view(), {.seed = 4}, one);
  for (std::size_t i = 0; i < state.faults.size(); ++i) {
    if (state.faults[i] == Fault::none) {
      ASSERT_EQ(state.conductances[i], healthy.conductances[i]);
    }
  }
}

TEST(Faults, AMapSaysWhichDevices) {
  const DeviceParameters parameters{.noise_model = PCMLikeNoiseModel{}};
  const Matrix weights = test_weights(2, 3);
  std::vector<float> values(12, 0.0F);
  values[4] = 1.0F;   // plus device of weight (1, 1)
  values[11] = 2.0F;  // minus device of weight (1, 2)
  const FaultMap map = make_fault_map({2, 2, 3}, values);
  const ProgrammedState state = program(parameters, weights.view(), {}, one, &map);
  EXPECT_EQ(state.conductances[4], 0.0F);
  EXPECT_EQ(state.conductances[11], 25.0F);
  EXPECT_EQ(std::count(state.faults.begin(), state.faults.end(), Fault::none), 10);

  const FaultMap part = map.part(1, 1, 1, 2);
  EXPECT_EQ(part.faults, (std::vector<Fault>{Fault::stuck_at_zero, Fault::none, Fault::none, Fault::stuck_at_max}));
}

TEST(Faults, MapsThatDoNotFitAreErrors) {
  const DeviceParameters parameters{.noise_model = PCMLikeNoiseModel{}};
  const Matrix weights = test_weights(2, 3);
  const std::vector<float> twelve(12, 0.0F);
  EXPECT_THROW(make_fault_map({4, 3}, twelve), InputError);
  EXPECT_THROW(make_fault_map({2, 2, 2}, twelve), InputError);
  EXPECT_THROW(make_fault_map({2, 2, 3}, std::vector<float>(12, 3.0F)), InputError);
  EXPECT_THROW(make_fault_map({2, 2, 3}, std::vector<float>(12, std::nanf(""))), InputError);
  const FaultMap transposed = make_fault_map({2, 3, 2}, twelve);
  EXPECT_THROW(program(parameters, weights.view(), {}, one, &transposed), InputError);
  const FaultMap fits = make_fault_map({2, 2, 3}, twelve);
  EXPECT_NO_THROW(program(parameters, weights.view(), {}, one, &fits));
  DeviceParameters from_weights = parameters;
  from_weights.drift_from = DriftFrom::weights;
  EXPECT_THROW(program(from_weights, weights.view(), {}, one, &fits), InputError);
  EXPECT_THROW(fits.part(1, 2, 0, 3), InputError);
  EXPECT_THROW(fits.part(0, 2, -1, 3), InputError);
}

TEST(Statistics, ProgrammingErrorAndHistogram) {
  const Matrix weights(1, 20000, std::vector<float>(20000, 1.0F));
  const DeviceParameters parameters{.noise_model = StateIndependentNoiseModel{}};
  const ProgrammedState state = program(parameters, weights.view(), {.seed = 2}, one);
  // Plus devices at 25 uS with sigma 0.2; minus devices at 0 with half of the normal cut off.
  const Moments error = programming_error(parameters, state, one);
  EXPECT_EQ(error.count(), 40000);
  const double half_mean = 0.2 / std::sqrt(2.0 * M_PI);
  EXPECT_NEAR(error.mean(), half_mean / 2.0, 4.9 * 0.2 / std::sqrt(40000.0));
  const std::vector<std::int64_t> counts = conductance_histogram(state.conductances, 25.0, 5);
  EXPECT_EQ(counts, (std::vector<std::int64_t>{20000, 0, 0, 0, 20000}));
  EXPECT_THROW(conductance_histogram(state.conductances, 25.0, 0), InputError);
}

/// The law names a change exactly where what is programmed changes.
TEST(ProgrammingLaw, SaysWhatProgrammingDependsOn) {
  const Matrix weights = test_weights(4, 50);
  const auto state_of = [&](const DeviceParameters& parameters) {
    return program(parameters, weights.view(), {.seed = 5}, one);
  };
  using Change = std::function<void(DeviceParameters&)>;
  const auto pcm = [](auto change) {
    return Change([change](DeviceParameters& p) { change(std::get<PCMLikeNoiseModel>(p.noise_model)); });
  };
  const auto cmo = [](auto change) {
    return Change([change](DeviceParameters& p) { change(std::get<ReRamCMONoiseModel>(p.noise_model)); });
  };
  const std::vector<std::pair<DeviceParameters, std::vector<Change>>> all{
      {{.noise_model = PCMLikeNoiseModel{}},
       {pcm([](auto& m) { m.prog_noise_scale = 0.5; }), pcm([](auto& m) { m.drift_scale = 0.5; }), pcm([](auto& m) {
          m.prog_coeff = {{0.1, 0.2}};
        }),
        pcm([](auto& m) { m.prog_coeff_g_max_reference = 10.0; }), pcm([](auto& m) { m.read_noise_scale = 0.5; }),
        pcm([](auto& m) { m.t_0 = 30.0; }), pcm([](auto& m) { m.t_read = 1e-6; }),
        [](DeviceParameters& p) { p.program_and_verify.emplace(); },
        [](DeviceParameters& p) { p.faults.stuck_at_zero_rate = 0.2; },
        [](DeviceParameters& p) { p.faults.stuck_at_max_rate = 0.2; },
        [](DeviceParameters& p) { p.noise_model = StateIndependentNoiseModel{}; }}},
      {{.noise_model = ReRamCMONoiseModel{}},
       {cmo([](auto& m) { m.prog_noise_scale = 0.5; }), cmo([](auto& m) { m.acceptance_range = 2.0; }),
        cmo([](auto& m) { m.coeff_g_max_reference = 10.0; }), cmo([](auto& m) { m.drift_scale = 0.5; }),
        cmo([](auto& m) { m.decay_mean = 0.1; }), cmo([](auto& m) { m.read_k = 0.1; })}}};
  for (const auto& [parameters, changes] : all)
    for (std::size_t c = 0; c < changes.size(); ++c) {
      DeviceParameters changed = parameters;
      changes[c](changed);
      const ProgrammedState before = state_of(parameters), after = state_of(changed);
      const bool same = same_bits(before.conductances, after.conductances) && same_bits(before.drift, after.drift) &&
                        before.faults == after.faults;
      EXPECT_EQ(programming_law(parameters) == programming_law(changed), same)
          << type_name(parameters.noise_model) << ", change " << c;
    }
  for (const DeviceParameters& parameters : every_model())
    EXPECT_EQ(programming_law(parameters).at("noise_model.type"), type_name(parameters.noise_model));
}

}  // namespace
}  // namespace tessera::device
