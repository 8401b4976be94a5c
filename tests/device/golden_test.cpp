// Question: does every noise model agree in distribution with aihwkit, case by case of the golden file?
//
// Every mean, standard deviation and quantile (21168 numbers) is compared with a tolerance from both sample sizes. The
// family of comparisons raises one false alarm in 1000: 5e-8 for each, |z| < 5.45.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "device/noise_model_text.hpp"
#include "tessera/core/statistics.hpp"
#include "tessera/device/life_cycle.hpp"
#include "tessera/h5/file.hpp"

namespace tessera::device {
namespace {

constexpr double allowed_z = 5.45;
constexpr std::int64_t draws = 20000;
constexpr std::array<double, 5> quantile_levels = {0.05, 0.25, 0.5, 0.75, 0.95};
// The golden values are float32 statistics of float32 weights.
constexpr double rounding = 2e-6;

std::string golden_folder() {
  const char* folder = std::getenv("TESSERA_GOLDEN_DIR");
  return folder != nullptr ? folder : TESSERA_SOURCE_DIR + "/tests/data/golden";
}

struct GoldenCase {
  std::string name;
  NoiseModel model;
  double n = 0.0;
  std::vector<float> weight;
  std::vector<double> times;
  std::vector<float> mean, std, quantiles;
};

std::vector<GoldenCase> read_cases() {
  const h5::File file = h5::File::open(golden_folder() + "/noise_models.h5");
  std::vector<GoldenCase> cases;
  for (const std::string& name : file.group_names()) {
    const h5::Group group = file.group(name);
    if (!group.has_attribute("noise_model")) continue;
    GoldenCase c;
    c.name = name;
    c.model = testing::read_noise_model(group.attribute<std::string>("noise_model"));
    c.n = static_cast<double>(group.attribute<std::int64_t>("n"));
    c.weight = group.dataset("weight").read<float>();
    c.times = group.dataset("times").read<double>();
    c.mean = group.dataset("mean").read<float>();
    c.std = group.dataset("std").read<float>();
    c.quantiles = group.dataset("quantiles").read<float>();
    cases.push_back(std::move(c));
  }
  return cases;
}

/// Statistics of one weight's draws, beside which a golden value is judged.
struct Sample {
  std::vector<float> values;
  double mean = 0.0, std = 0.0, std_error_of_std = 0.0;

  explicit Sample(std::vector<float> v) : values(std::move(v)) {
    Moments m;
    m.add(values);
    mean = m.mean();
    std = m.standard_deviation();
    double fourth = 0.0;
    for (const float x : values) fourth += std::pow(static_cast<double>(x) - mean, 4);
    fourth /= static_cast<double>(values.size());
    const double excess = std > 0.0 ? fourth / std::pow(std, 4) - 1.0 : 0.0;
    std_error_of_std = std * std::sqrt(excess / 4.0);  // times 1 / sqrt(n)
  }
  double n() const { return static_cast<double>(values.size()); }
};

struct Comparison {
  int checks = 0;
  int failures = 0;
  double worst_z = 0.0;
  std::string worst;

  void check(double difference, double standard_error, const std::string& what) {
    ++checks;
    const double z = std::max(0.0, std::abs(difference) - rounding) / std::max(standard_error, 1e-12);
    if (z > worst_z) {
      worst_z = z;
      worst = what;
    }
    if (z > allowed_z) ++failures;
  }
};

void compare(const Sample& sample, const GoldenCase& golden, std::size_t row, std::size_t weight, Comparison& result) {
  const std::size_t at = row * golden.weight.size() + weight;
  const std::string where = fmt::format("{}: w = {}, t = {}", golden.name, golden.weight[weight], golden.times[row]);
  const double both = std::sqrt(1.0 / sample.n() + 1.0 / golden.n);
  result.check(sample.mean - static_cast<double>(golden.mean[at]), sample.std * both, where + " mean");
  result.check(sample.std - static_cast<double>(golden.std[at]), sample.std_error_of_std * both, where + " std");
  for (std::size_t q = 0; q < quantile_levels.size(); ++q) {
    // How many of our draws lie below the golden quantile; a clamp can pile many up on it.
    const double level = static_cast<double>(golden.quantiles[at * quantile_levels.size() + q]);
    double below = 0.0, up_to = 0.0;
    for (const float v : sample.values) {
      below += static_cast<double>(v) < level - rounding ? 1.0 : 0.0;
      up_to += static_cast<double>(v) <= level + rounding ? 1.0 : 0.0;
    }
    const double p = quantile_levels[q];
    const double excess = std::max({0.0, below / sample.n() - p, p - up_to / sample.n()});
    result.check(excess, std::sqrt(p * (1.0 - p)) * both, where + fmt::format(" quantile {}", p));
  }
}

Comparison compare_case(const GoldenCase& golden, const NoiseModel& model) {
  const DeviceParameters parameters{.noise_model = model};
  validate(parameters);
  const auto width = static_cast<std::int64_t>(golden.weight.size());
  Matrix target(draws, width);
  for (std::int64_t r = 0; r < draws; ++r) std::copy(golden.weight.begin(), golden.weight.end(), target.view().row(r));
  const Parallel parallel = Parallel::all();
  const ProgrammedState state = program(parameters, target.view(), {.seed = 11}, parallel);
  std::vector<Comparison> parts(golden.times.size() * golden.weight.size());
  for (std::size_t t = 0; t < golden.times.size(); ++t) {
    const Matrix weights = t == 0 ? programmed_weights(parameters, state, parallel)
                                  : weights_at(parameters, state, golden.times[t], 0, parallel);
    parallel_for(parallel, width, [&](std::int64_t w) {
      std::vector<float> column(static_cast<std::size_t>(draws));
      for (std::int64_t r = 0; r < draws; ++r) column[static_cast<std::size_t>(r)] = weights(r, w);
      compare(Sample(std::move(column)), golden, t, static_cast<std::size_t>(w),
              parts[t * golden.weight.size() + static_cast<std::size_t>(w)]);
    });
  }
  Comparison total;
  for (const Comparison& part : parts) {
    total.checks += part.checks;
    total.failures += part.failures;
    if (part.worst_z > total.worst_z) {
      total.worst_z = part.worst_z;
      total.worst = part.worst;
    }
  }
  return total;
}

TEST(NoiseModelGolden, EveryCaseAgrees) {
  const std::vector<GoldenCase> cases = read_cases();
  ASSERT_GE(cases.size(), 1U);
  int checks = 0;
  for (const GoldenCase& golden : cases) {
    ASSERT_EQ(golden.times.at(0), 0.0);
    ASSERT_EQ(golden.mean.size(), golden.times.size() * golden.weight.size());
    const Comparison result = compare_case(golden, golden.model);
    EXPECT_EQ(result.failures, 0) << golden.name << ": worst is " << result.worst << ", z = " << result.worst_z;
    checks += result.checks;
  }
  RecordProperty("comparisons", checks);
  EXPECT_GE(checks, static_cast<int>(cases.size()) * 7 * 27 * 4);
}

// The control: a few per cent in any one effect of the PCM-like model are seen in some case of it.
TEST(NoiseModelGolden, SmallErrorsWouldBeSeen) {
  int cases = 0, programming = 0, read = 0, drift = 0, reference_time = 0;
  for (const GoldenCase& golden : read_cases()) {
    const auto* const model = std::get_if<PCMLikeNoiseModel>(&golden.model);
    if (model == nullptr) continue;
    ++cases;
    const auto failures = [&](auto change) {
      PCMLikeNoiseModel changed = *model;
      change(changed);
      return compare_case(golden, changed).failures;
    };
    programming += failures([](PCMLikeNoiseModel& m) { m.prog_noise_scale *= 1.05; });
    read += failures([](PCMLikeNoiseModel& m) { m.read_noise_scale *= 1.1; });
    drift += failures([](PCMLikeNoiseModel& m) { m.drift_scale *= 1.01; });
    reference_time += failures([](PCMLikeNoiseModel& m) { m.t_0 *= 1.5; });
  }
  ASSERT_GT(cases, 0) << "the golden file has no PCM-like case";
  EXPECT_GT(programming, 0);
  EXPECT_GT(read, 0);
  EXPECT_GT(drift, 0);
  EXPECT_GT(reference_time, 0);
}

}  // namespace
}  // namespace tessera::device
