// Question: does write-verify converge as stated, with the residual error the loop implies?
#include <gtest/gtest.h>

#include <cmath>

#include "tessera/device/life_cycle.hpp"

namespace tessera::device {
namespace {

constexpr Parallel one{1};
constexpr std::int64_t count = 50000;

ProgrammedState run(const std::optional<ProgramAndVerify>& loop, double prog_noise_scale = 1.0) {
  const Matrix weights(1, count, std::vector<float>(count, 0.5F));
  Matrix target = weights;
  target(0, 0) = 1.0F;  // fixes the scale: the others are targets of 12.5 uS
  DeviceParameters parameters{.noise_model = PCMLikeNoiseModel{.prog_noise_scale = prog_noise_scale},
                              .program_and_verify = loop};
  validate(parameters);
  return program(parameters, target.view(), {.seed = 8}, Parallel::all());
}

std::span<const float> programmed(const ProgrammedState& state) {
  return std::span(state.conductances).subspan(1, static_cast<std::size_t>(count) - 1);  // plus devices
}

double standard_deviation(const ProgrammedState& state) {
  Moments m;
  m.add(programmed(state));
  return m.standard_deviation();
}

TEST(ProgramAndVerify, WithPerfectReadsEveryAcceptedDeviceIsWithinTheTolerance) {
  const ProgrammedState state = run(ProgramAndVerify{.tolerance = 0.3, .max_pulses = 50, .read_noise = 0.0});
  EXPECT_EQ(state.unconverged_fraction, 0.0);
  for (const float g : programmed(state)) ASSERT_LE(std::abs(g - 12.5F), 0.3001F);
  EXPECT_GT(state.mean_pulses, 1.5);
  EXPECT_LT(state.mean_pulses, 4.0);
  EXPECT_LT(standard_deviation(state), 0.5 * standard_deviation(run({})));
}

TEST(ProgramAndVerify, NoPulsesIsTheOneShotDraw) {
  const ProgrammedState open_loop = run({});
  const ProgrammedState no_pulses = run(ProgramAndVerify{.max_pulses = 0, .read_noise = 0.0});
  EXPECT_TRUE(std::equal(open_loop.conductances.begin(), open_loop.conductances.end(), no_pulses.conductances.begin()));
  EXPECT_EQ(no_pulses.mean_pulses, 1.0);
  // Those outside are those of the Gaussian: sigma(12.5) = 0.952705, tolerance 0.5 (plus devices; minus devices at 0
  // have sigma 0.26348, clamped below). One false alarm in 1e6.
  const double outside_plus = std::erfc(0.5 / 0.952705 / std::sqrt(2.0));
  const double outside_minus = 0.5 * std::erfc(0.5 / 0.26348 / std::sqrt(2.0));
  const double expected = 0.5 * (outside_plus + outside_minus);
  EXPECT_NEAR(no_pulses.unconverged_fraction, expected, 4.9 * std::sqrt(expected / (2.0 * count)) + 2e-5);
}

TEST(ProgramAndVerify, ExactPulsesConvergeGeometrically) {
  // Gain 1/2 without noise halves the error with each pulse: sigma 0.9527 needs at most 6 halvings to 0.1 up to 6.7
  // sigma.
  const ProgrammedState state =
      run(ProgramAndVerify{.tolerance = 0.1, .max_pulses = 6, .gain = 0.5, .pulse_noise = 0.0, .read_noise = 0.0});
  EXPECT_EQ(state.unconverged_fraction, 0.0);
  const ProgrammedState full =
      run(ProgramAndVerify{.tolerance = 0.1, .max_pulses = 1, .gain = 1.0, .pulse_noise = 0.0, .read_noise = 0.0});
  EXPECT_EQ(full.unconverged_fraction, 0.0);
  EXPECT_LE(full.mean_pulses, 2.0);
}

TEST(ProgramAndVerify, ReadNoiseWidensTheResidual) {
  const ProgrammedState exact = run(ProgramAndVerify{.tolerance = 0.2, .read_noise = 0.0});
  const ProgrammedState noisy = run(ProgramAndVerify{.tolerance = 0.2, .max_pulses = 100, .read_noise = 0.4});
  EXPECT_GT(standard_deviation(noisy), 1.5 * standard_deviation(exact));
  EXPECT_GT(noisy.mean_pulses, exact.mean_pulses);
}

TEST(ProgramAndVerify, TooFewPulsesAreReported) {
  const ProgrammedState state = run(ProgramAndVerify{.tolerance = 0.05, .max_pulses = 1});
  EXPECT_GT(state.unconverged_fraction, 0.1);
  EXPECT_LT(state.unconverged_fraction, 1.0);
}

}  // namespace
}  // namespace tessera::device
