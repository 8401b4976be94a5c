// Do noisy passes have the peer's mean and standard deviation?
//
// Tolerances: z = 6 standard errors of both sides together, from the n of each and the measured kurtosis (a false alarm
// in about 5e8 comparisons; a thousand are made). The compiled engine draws from a table of 32768 normals per tile,
// frozen: its sample mean is off by up to 4 / sqrt(32768) = 0.022 sigma and its spread by 4 / sqrt(2 * 32768) = 1.6 %,
// which is added. Through the DAC a common shift adds up over the inputs.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "golden/tile_cases.hpp"

namespace tessera::golden {
namespace {

constexpr double z = 6.0;
constexpr double table_shift = 4.0 / 181.02;  // sqrt(32768)
constexpr double table_spread = 4.0 / 256.0;  // sqrt(2 * 32768)

struct Moments {
  double mean = 0.0;
  double std = 0.0;
  double kurtosis = 3.0;
};

std::vector<Moments> simulate(const tile::AnalogLayer& layer, ConstMatrixView x, std::int64_t row, std::int64_t n) {
  Matrix copies(n, x.cols);
  for (std::int64_t r = 0; r < n; ++r) std::copy(x.row(row), x.row(row) + x.cols, copies.view().row(r));
  Matrix y(n, layer.outputs());
  layer.forward(copies.view(), y.view(), {.first_vector = static_cast<std::uint64_t>(row * n)});
  std::vector<Moments> moments(static_cast<std::size_t>(layer.outputs()));
  for (std::int64_t i = 0; i < layer.outputs(); ++i) {
    double sum = 0.0;
    for (std::int64_t r = 0; r < n; ++r) sum += static_cast<double>(y(r, i));
    Moments& m = moments[static_cast<std::size_t>(i)];
    m.mean = sum / static_cast<double>(n);
    double second = 0.0;
    double fourth = 0.0;
    for (std::int64_t r = 0; r < n; ++r) {
      const double d = static_cast<double>(y(r, i)) - m.mean;
      second += d * d;
      fourth += d * d * d * d;
    }
    second /= static_cast<double>(n);
    fourth /= static_cast<double>(n);
    m.std = std::sqrt(second);
    m.kurtosis = second > 0.0 ? fourth / (second * second) : 3.0;
  }
  return moments;
}

// S3 and S4 in the torch engine: one reduction for the whole batch; a zero vector is converted instead of skipped.
bool peer_is_defective(const TileCase& c, ConstMatrixView x, std::int64_t row) {
  if (!c.torch_engine()) return false;
  if (c.parameters.forward.bound_management != tile::BoundManagementType::NONE) return true;
  const auto values = x.row_span(row);
  const bool zero = std::all_of(values.begin(), values.end(), [](float v) { return v == 0.0F; });
  return zero && c.parameters.forward.inp_noise <= 0.0;
}

// Counts outputs that disagree; `factor` multiplies our noise parameters for the negative control.
struct Outcome {
  int compared = 0;
  int disagreeing = 0;
  int exempt = 0;
};
Outcome compare(const TileCase& c, double factor, bool report) {
  tile::RpuParameters p = c.parameters;
  p.forward.inp_noise *= factor;
  p.forward.out_noise *= factor;
  p.forward.w_noise *= factor;
  const tile::AnalogLayer layer(p, c.weight.view(), c.bias, {.seed = 77});
  const Matrix x = c.matrix("x");
  const Matrix mean = c.matrix("y_mean");
  const Matrix std = c.matrix("y_std");
  const auto peer_n = static_cast<double>(c.group.attribute<std::int64_t>("n"));
  constexpr std::int64_t n = 40000;
  const double inverse = 1.0 / peer_n + 1.0 / static_cast<double>(n);
  Outcome outcome;
  for (std::int64_t r = 0; r < x.rows(); ++r) {
    const bool defective = peer_is_defective(c, x.view(), r);
    const std::vector<Moments> ours = simulate(layer, x.view(), r, n);
    double largest = 0.0;
    for (const float v : x.view().row_span(r)) largest = std::max(largest, static_cast<double>(std::fabs(v)));
    for (std::int64_t i = 0; i < mean.cols(); ++i) {
      if (defective) {
        ++outcome.exempt;
        continue;
      }
      const Moments& m = ours[static_cast<std::size_t>(i)];
      const double sigma = std::max(m.std, static_cast<double>(std(r, i)));
      double shift = c.torch_engine() ? 0.0 : table_shift * sigma;
      if (!c.torch_engine() && p.forward.inp_noise > 0.0) {
        double weights = 0.0;
        for (const float w : c.weight.view().row_span(i)) weights += static_cast<double>(w);
        shift += table_shift * p.forward.inp_noise * std::max(largest, 1.0) * std::fabs(weights);
      }
      const double mean_tolerance = z * sigma * std::sqrt(inverse) + shift + 2e-6 * (1.0 + std::fabs(m.mean));
      const double std_tolerance = z * sigma * std::sqrt(inverse * std::max(m.kurtosis - 1.0, 0.1) / 4.0) +
                                   (c.torch_engine() ? 0.0 : table_spread * sigma) + 2e-6;
      const bool agrees = std::fabs(m.mean - static_cast<double>(mean(r, i))) <= mean_tolerance &&
                          std::fabs(m.std - static_cast<double>(std(r, i))) <= std_tolerance;
      ++outcome.compared;
      outcome.disagreeing += agrees ? 0 : 1;
      if (!agrees && report)
        ADD_FAILURE() << c.path << " (" << r << ", " << i << "): mean " << m.mean << " against " << mean(r, i) << " +- "
                      << mean_tolerance << ", std " << m.std << " against " << std(r, i) << " +- " << std_tolerance;
    }
  }
  return outcome;
}

TEST(TileMoments, AgreeInMeanAndStandardDeviation) {
  const std::vector<TileCase> cases = tile_cases({"mvm_moments"});
  EXPECT_GE(cases.size(), 13U);
  int compared = 0, exempt = 0;
  for (const TileCase& c : cases) {
    const Outcome outcome = compare(c, 1.0, true);
    compared += outcome.compared;
    exempt += outcome.exempt;
    // Only what S3 and S4 name is left out: all of a case with bound management, else one vector of zeros in six.
    if (c.parameters.forward.bound_management == tile::BoundManagementType::NONE) {
      EXPECT_LE(5 * outcome.exempt, outcome.compared) << c.path;
    }
  }
  EXPECT_GE(compared, 800);
  EXPECT_LE(5 * exempt, compared) << exempt << " of " << compared + exempt << " are left out";
}

TEST(TileMoments, NoticeTenPercentMoreNoise) {
  int cases = 0;
  for (const TileCase& c : tile_cases({"mvm_moments"})) {
    const auto& io = c.parameters.forward;
    const bool plain = io.bound_management == tile::BoundManagementType::NONE && io.out_bound > 2.0;
    const bool noisy = io.inp_noise > 0.0 || io.out_noise > 0.0 ||
                       (io.w_noise > 0.0 && io.w_noise_type != tile::WeightNoiseType::NONE);
    if (!plain || !noisy) continue;
    const Outcome outcome = compare(c, 1.1, false);
    EXPECT_GT(outcome.disagreeing, outcome.compared / 2) << c.path;
    ++cases;
  }
  EXPECT_GE(cases, 5);
}

}  // namespace
}  // namespace tessera::golden
