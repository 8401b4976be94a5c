// Question: are the laws the published formulas? Check values of reference sections 8.1 to 8.6 to 1e-6, the float32
// path against the double one, and tables against hand calculation.
#include "tessera/device/noise_model.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "device/elementary.hpp"
#include "device/laws.hpp"

namespace tessera::device {
namespace {

constexpr double tolerance = 1e-6;

TEST(PCMLike, CheckValues) {
  const NoiseModel model = PCMLikeNoiseModel{};
  struct Row {
    double g, sigma, mu, sd, q;
  };
  for (const Row& row :
       {Row{0, 0.26348, 0.1, 0.045, 0.2}, Row{0.1, 0.2713212304, 0.1, 0.045, 0.2},
        Row{1, 0.340203040, 0.0742925753, 0.0343359478, 0.0713088903},
        Row{2.5, 0.448249, 0.0600900689, 0.0228823137, 0.0393081561},
        Row{5, 0.609556, 0.0493462876, 0.0142179739, 0.0250503141}, Row{12.5, 0.952705, 0.049, 0.008, 0.0138086801},
        Row{20, 1.084696, 0.049, 0.008, 0.0101735888}, Row{25, 1.05538, 0.049, 0.008, 0.0088}}) {
    SCOPED_TRACE(row.g);
    EXPECT_NEAR(programming_sigma(model, row.g), row.sigma, tolerance);
    EXPECT_NEAR(drift_law(model, row.g).mean, row.mu, tolerance);
    EXPECT_NEAR(drift_law(model, row.g).std, row.sd, tolerance);
    const double growth = read_noise_growth(20.0, 250e-9);
    EXPECT_NEAR(read_sigma(model, row.g, 1.0, 0.0) / growth, row.q, tolerance);
  }
  for (const auto [time_s, ratio, growth] :
       {std::array{0.0, 1.0, 4.183824808}, std::array{1.0, 1.05, 4.189651559}, std::array{3600.0, 181.0, 4.764754668},
        std::array{86400.0, 4321.0, 5.086809624}, std::array{31536000.0, 1576801.0, 5.636958283}}) {
    EXPECT_NEAR((time_s + 20.0) / 20.0, ratio, 1e-9);
    EXPECT_NEAR(read_noise_growth(time_s + 20.0, 250e-9), growth, tolerance);
  }
}

TEST(PCMLike, CoefficientsScaleWithTheirReference) {
  const std::vector<double> c = {0.3, 1.0, -0.5};
  const auto sigma = [](const PCMLikeNoiseModel& m) { return programming_sigma(m, 10.0); };
  const double published = 0.26348 + 1.9650 * 0.5 - 1.1731 * 0.25;
  const double own = 0.3 + 1.0 * 0.5 - 0.5 * 0.25;
  const SinglePairConductanceConverter cells{.g_max = 20.0};
  EXPECT_NEAR(sigma({.g_converter = cells}), 20.0 / 25.0 * published, tolerance);
  EXPECT_NEAR(sigma({.g_converter = cells, .prog_coeff = c}), own, tolerance);
  // Both combinations crash or are ignored in the peer (reference section 19, S11).
  EXPECT_NEAR(sigma({.g_converter = cells, .prog_coeff = c, .prog_coeff_g_max_reference = 40.0}), 0.5 * own, tolerance);
  EXPECT_NEAR(sigma({.g_converter = cells, .prog_coeff_g_max_reference = 40.0}), 0.5 * published, tolerance);
}

TEST(CustomDrift, InterpolatesItsTable) {
  const CustomDriftPCMLikeNoiseModel m{.custom_drift_model = {.g_lst = {0.0, 10.0, 25.0},
                                                              .nu_mean_lst = {0.08, 0.05, 0.03},
                                                              .nu_std_lst = {0.03, 0.01, 0.005}}};
  EXPECT_NEAR(drift_law(m, 5.0).mean, 0.065, tolerance);
  EXPECT_NEAR(drift_law(m, 17.5).std, 0.0075, tolerance);
  EXPECT_NEAR(drift_law(m, 30.0).mean, 0.03, tolerance);
  EXPECT_NEAR(drift_law(m, 0.0).std, 0.03, tolerance);
}

TEST(StateIndependent, CheckValues) {
  const NoiseModel model = StateIndependentNoiseModel{};
  EXPECT_NEAR(programming_sigma(model, 20.0), 0.2, tolerance);
  EXPECT_NEAR(drift_law(model, 3.0).mean, 0.1, tolerance);
  EXPECT_NEAR(drift_law(model, 3.0).std, 0.05, tolerance);
  EXPECT_NEAR(read_sigma(model, 25.0, 25.0, 0.0), 4.183824808, tolerance);  // "about 4.2 uS at g_max for t = t_0"
  EXPECT_NEAR(programming_sigma(StateIndependentNoiseModel{.prog_coeff = {0.2, 1.0}}, 12.5), 0.7, tolerance);
}

TEST(Wan2022, CheckValues) {
  const NoiseModel as_the_peer = ReRamWan2022NoiseModel{.coeff_g_max_reference = 25.0};
  const double half = 0.348 + 16.030 / 2 - 43.853 / 4 + 45.393 / 8 - 16.815 / 16;
  EXPECT_NEAR(programming_sigma(as_the_peer, 12.5), half, tolerance);
  EXPECT_NEAR(read_sigma(as_the_peer, 12.5, 0.0, 1.0), half, tolerance);
  EXPECT_NEAR(read_sigma(as_the_peer, 25.0, 0.0, 172800.0), 0.782 + 20.274 - 43.507 + 37.062 - 11.934, tolerance);
  EXPECT_EQ(read_sigma(as_the_peer, 12.5, 0.0, 0.0), 0.0);
  // The documented reference of 40 uS, which the peer stores under another name (S12).
  EXPECT_NEAR(programming_sigma(ReRamWan2022NoiseModel{}, 12.5), 25.0 / 40.0 * half, tolerance);
}

TEST(CMO, CheckValues) {
  const NoiseModel model = ReRamCMONoiseModel{};
  EXPECT_NEAR(programming_sigma(model, 50.0), 0.00081107 + 0.00106879 * 50.0, tolerance);
  EXPECT_NEAR(programming_sigma(ReRamCMONoiseModel{.acceptance_range = 2.0}, 50.0), 0.0112185391 + 0.01129027418 * 50.0,
              tolerance);
  EXPECT_NEAR(drift_law(model, 50.0, 1.0).mean, 0.0, tolerance);
  EXPECT_NEAR(drift_law(model, 50.0, 1.0).std, 0.41183342, tolerance);
  EXPECT_NEAR(drift_law(model, 50.0, 3600.0).mean, -0.08900206 * std::log(3600.0), tolerance);
  EXPECT_NEAR(drift_law(model, 50.0, 3600.0).std, 0.04201137 * std::log(3600.0) + 0.41183342, tolerance);
  EXPECT_NEAR(read_sigma(model, 50.0, 60.0, 100.0),
              0.0277316483 * std::log10(60.0) * std::sqrt(std::log((100.0 + 1e-6) / 2e-6)), tolerance);
  EXPECT_EQ(drift_law(model, 50.0, 0.0).std, 0.0);
}

TEST(Hermes, CheckValues) {
  const NoiseModel two = HermesNoiseModel{};
  const NoiseModel one = HermesNoiseModel{.num_devices = 1};
  EXPECT_DOUBLE_EQ(g_max(converter(two)), 20.7);
  EXPECT_DOUBLE_EQ(g_max(converter(one)), 10.35);
  EXPECT_NEAR(programming_sigma(two, 10.35), 0.16603222 + 4.71806468 / 2 - 8.48101252 / 4 + 4.68961419 / 8, tolerance);
  EXPECT_NEAR(programming_sigma(one, 10.35), 0.15781817 + 2.32443916 - 2.16310839 + 0.68841818, tolerance);
  const auto at = [](double g_max_uS, double r) { return g_max_uS * r; };
  // Below and above every break of the piecewise laws.
  EXPECT_NEAR(drift_law(two, at(20.7, 0.05)).mean, -0.0387 * std::log(0.05) - 0.0182, tolerance);
  EXPECT_NEAR(drift_law(two, at(20.7, 0.5)).mean, -0.0436 * 0.25 - 0.0126 * 0.5 + 0.0736, tolerance);
  EXPECT_NEAR(drift_law(two, at(20.7, 0.2)).std, -0.0117 * std::log(0.2) - 0.0057, tolerance);
  EXPECT_NEAR(drift_law(two, at(20.7, 0.5)).std, -0.0118 * 0.25 + 0.0093 * 0.5 + 0.0073, tolerance);
  EXPECT_NEAR(drift_law(one, at(10.35, 0.2)).std, -0.0120 * std::log(0.2) - 0.0023, tolerance);
  EXPECT_NEAR(drift_law(one, at(10.35, 0.5)).std, -0.0165 * 0.25 + 0.0116 * 0.5 + 0.0104, tolerance);
  EXPECT_NEAR(drift_law(two, 0.0).mean, 0.13, tolerance);
  EXPECT_NEAR(drift_law(two, 0.0).std, 0.04, tolerance);
  const double growth_two = read_noise_growth(300.0, 512e-9);
  const double growth_one = read_noise_growth(200.0, 512e-9);
  EXPECT_NEAR(read_sigma(two, at(20.7, 0.1), 1.0, 0.0) / growth_two, -0.0117 * std::log(0.1) - 0.0069, tolerance);
  EXPECT_NEAR(read_sigma(two, at(20.7, 0.5), 1.0, 0.0) / growth_two,
              0.0069 * 0.125 - 0.0280 * 0.25 + 0.0211 * 0.5 + 0.0123, tolerance);
  EXPECT_NEAR(read_sigma(one, at(10.35, 0.1), 1.0, 0.0) / growth_one, -0.0078 * std::log(0.1) + 0.0038, tolerance);
  EXPECT_NEAR(read_sigma(one, at(10.35, 0.5), 1.0, 0.0) / growth_one,
              0.0664 * 0.125 - 0.1352 * 0.25 + 0.0768 * 0.5 + 0.0088, tolerance);
  EXPECT_NEAR(read_sigma(two, 0.0, 1.0, 0.0) / growth_two, 0.04, tolerance);
}

TableNoiseModel table() {
  return {.programming_sigma = {.g = {0, 10, 25}, .values = {0.2, 0.6, 0.5}},
          .drift_mean = {.g = {0, 25}, .time = {1, 100}, .values = {0.05, 0.03, 0.10, 0.06}},
          .drift_std = {.g = {0}, .values = {0.01}},
          .read_sigma = {.g = {0, 25}, .time = {1, 100}, .values = {0.0, 0.5, 0.0, 1.0}}};
}

TEST(Table, InterpolatesOverConductanceAndLogarithmOfTime) {
  const NoiseModel model = table();
  EXPECT_NEAR(programming_sigma(model, 5.0), 0.4, tolerance);
  EXPECT_NEAR(programming_sigma(model, 17.5), 0.55, tolerance);
  EXPECT_NEAR(drift_law(model, 12.5, 1.0).mean, 0.04, tolerance);
  EXPECT_NEAR(drift_law(model, 12.5, 10.0).mean, 0.06, tolerance);  // half way in ln t
  EXPECT_NEAR(drift_law(model, 0.0, 100.0).mean, 0.10, tolerance);
  EXPECT_NEAR(drift_law(model, 7.0, 10.0).std, 0.01, tolerance);
  EXPECT_NEAR(read_sigma(model, 25.0, 12.5, 10.0), 0.375, tolerance);
}

TEST(Table, EmptyTablesAreNoEffect) {
  const NoiseModel model = TableNoiseModel{};
  EXPECT_EQ(programming_sigma(model, 5.0), 0.0);
  EXPECT_EQ(drift_law(model, 5.0, 1e6).mean, 0.0);
  EXPECT_EQ(read_sigma(model, 5.0, 5.0, 1e6), 0.0);
}

TEST(Elementary, FloatFunctionsAreAccurate) {
  double worst_log = 0.0, worst_exp = 0.0;
  for (double x = 1e-30; x < 1e30; x *= 1.0037) {
    const auto f = static_cast<float>(x);
    const double exact = std::log(static_cast<double>(f));
    worst_log =
        std::max(worst_log, std::abs(static_cast<double>(elementary::log(f)) - exact) / std::max(1.0, std::abs(exact)));
  }
  for (double x = -87.0; x < 87.0; x += 0.0031) {
    const auto f = static_cast<float>(x);
    worst_exp =
        std::max(worst_exp, std::abs(static_cast<double>(elementary::exp(f)) / std::exp(static_cast<double>(f)) - 1.0));
  }
  EXPECT_LT(worst_log, 3e-7);
  EXPECT_LT(worst_exp, 2e-7);
  EXPECT_EQ(elementary::exp(0.0F), 1.0F);
  EXPECT_EQ(elementary::log(1.0F), 0.0F);
  EXPECT_GE(elementary::exp(-1000.0F), 0.0F);
  EXPECT_TRUE(std::isfinite(elementary::exp(1000.0F)));
}

/// Worst difference between the float32 and the double law over conductances, deviates and times, relative to g_max.
double float_error(const NoiseModel& model, std::span<const double> times) {
  const double high = g_max(converter(model));
  double worst = 0.0;
  std::visit(
      [&](const auto& law) {
        for (double g = 0.0; g <= high; g += high / 997.0) {
          for (const double xi : {-3.0, -0.5, 0.0, 1.0, 4.0}) {
            const auto g32 = static_cast<float>(g);
            const auto xi32 = static_cast<float>(xi);
            const double g64 = static_cast<double>(g32);
            const double parameter = law.drift_parameter(g64, xi);
            worst = std::max(worst,
                             std::abs(static_cast<double>(law.programmed(g32, xi32)) - law.programmed(g64, xi)) / high);
            worst = std::max(worst, std::abs(static_cast<double>(law.drift_parameter(g32, xi32)) - parameter));
            for (const double t : times) {
              const auto at = law.at(t);
              const auto single = at.conductance(g32, g32, static_cast<float>(parameter), xi32);
              worst = std::max(worst,
                               std::abs(static_cast<double>(single) - at.conductance(g64, g64, parameter, xi)) / high);
            }
          }
        }
      },
      laws::make_law(model));
  return worst;
}

TEST(Laws, FloatPathAgreesWithDouble) {
  const std::vector<double> times = {0.0, 1.0, 25.0, 3600.0, 31536000.0};
  const std::vector<double> wan_times = {0.0, 1.0, 86400.0};
  const std::vector<double> table_times = {1.0, 10.0, 100.0};
  EXPECT_LT(float_error(PCMLikeNoiseModel{}, times), 2e-6);
  EXPECT_LT(float_error(StateIndependentNoiseModel{}, times), 2e-6);
  EXPECT_LT(float_error(HermesNoiseModel{}, times), 2e-6);
  EXPECT_LT(float_error(HermesNoiseModel{.num_devices = 1}, times), 2e-6);
  EXPECT_LT(float_error(ReRamCMONoiseModel{}, times), 2e-6);
  EXPECT_LT(float_error(ReRamWan2022NoiseModel{}, wan_times), 2e-6);
  EXPECT_LT(float_error(table(), table_times), 2e-6);
}

}  // namespace
}  // namespace tessera::device
