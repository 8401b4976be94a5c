// Question: are the Gaussians Gaussian, far into the tails, and independent of their neighbours and of other streams?
// Every check allows |z| < 4.9, one false alarm in 1e6 (seeds are fixed: a failure is a change, not bad luck), and has
// a negative control that shows what size of defect it sees.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

#include "tessera/core/parallel.hpp"
#include "tessera/core/statistics.hpp"
#include "tessera/random/stream.hpp"

namespace tessera::random {
namespace {

constexpr double allowed_z = 4.9;
constexpr std::int64_t block = 1 << 16;
const Stream stream({.seed = 20240607}, Purpose::test);

/// Calls body(block index, values) for consecutive pieces of a stream, on all processors.
void for_each_block(std::int64_t count, const std::function<void(std::int64_t, std::span<float>)>& body) {
  parallel_for_blocks(Parallel::all(), count, block, [&](std::int64_t b, std::int64_t begin, std::int64_t end) {
    std::vector<float> values(static_cast<std::size_t>(end - begin));
    fill_normal(stream, 0, static_cast<std::uint64_t>(begin), values);
    body(b, values);
  });
}

/// z-scores of the first four moments against those of a standard normal.
std::array<double, 4> moment_scores(std::int64_t count, float shift, float scale, float skew) {
  std::vector<std::array<double, 4>> parts(static_cast<std::size_t>((count + block - 1) / block));
  for_each_block(count, [&](std::int64_t b, std::span<float> values) {
    std::array<double, 4> sums{};
    for (const float v : values) {
      const double z = static_cast<double>(shift + scale * (v + skew * v * v));
      sums[0] += z;
      sums[1] += z * z - 1.0;
      sums[2] += z * z * z - 3.0 * z;              // Hermite polynomials are uncorrelated:
      sums[3] += z * z * z * z - 6.0 * z * z + 3;  // variances 1, 2, 6, 24
    }
    parts[static_cast<std::size_t>(b)] = sums;
  });
  std::array<double, 4> scores{};
  const std::array<double, 4> variance = {1.0, 2.0, 6.0, 24.0};
  for (std::size_t k = 0; k < 4; ++k) {
    for (const auto& part : parts) scores[k] += part[k];
    scores[k] /= std::sqrt(variance[k] * static_cast<double>(count));
  }
  return scores;
}

TEST(NormalStatistics, MeanVarianceSkewnessAndKurtosis) {
  for (const double z : moment_scores(1 << 28, 0.0F, 1.0F, 0.0F)) EXPECT_LT(std::abs(z), allowed_z);
}

TEST(NormalStatistics, MomentsSeeSmallDefects) {
  EXPECT_GT(std::abs(moment_scores(1 << 24, 2e-3F, 1.0F, 0.0F)[0]), allowed_z);
  EXPECT_GT(std::abs(moment_scores(1 << 24, 0.0F, 1.002F, 0.0F)[1]), allowed_z);
  EXPECT_GT(std::abs(moment_scores(1 << 24, 0.0F, 1.0F, 1e-3F)[2]), allowed_z);
}

/// z-score of Pearson's chi-square (Wilson-Hilferty) over 256 bins of width 1/32 on [-4, 4] and two tails.
double histogram_score(std::int64_t count, float shift) {
  constexpr int bins = 258;
  constexpr float per_unit = 32.0F;
  std::vector<std::array<std::uint32_t, bins>> parts(static_cast<std::size_t>((count + block - 1) / block));
  for_each_block(count, [&](std::int64_t b, std::span<float> values) {
    auto& counts = parts[static_cast<std::size_t>(b)];
    counts.fill(0);
    for (const float v : values) {
      const int bin = static_cast<int>(std::floor((v + shift) * per_unit)) + bins / 2;
      ++counts[static_cast<std::size_t>(std::clamp(bin, 0, bins - 1))];
    }
  });
  double chi2 = 0.0;
  for (int bin = 0; bin < bins; ++bin) {
    const double low = (bin - bins / 2) / static_cast<double>(per_unit);
    const double below = bin == 0 ? 0.0 : normal_cdf(low);
    const double above = bin == bins - 1 ? 1.0 : normal_cdf(low + 1.0 / static_cast<double>(per_unit));
    const double expected = static_cast<double>(count) * (above - below);
    double observed = 0.0;
    for (const auto& counts : parts) observed += counts[static_cast<std::size_t>(bin)];
    chi2 += (observed - expected) * (observed - expected) / expected;
  }
  const double degrees = bins - 1;
  return (std::cbrt(chi2 / degrees) - (1.0 - 2.0 / (9.0 * degrees))) / std::sqrt(2.0 / (9.0 * degrees));
}

TEST(NormalStatistics, DensityAgrees) {
  EXPECT_LT(std::abs(histogram_score(1 << 28, 0.0F)), allowed_z);
}

TEST(NormalStatistics, DensitySeesSmallDefects) {
  EXPECT_GT(histogram_score(1 << 24, 3e-3F), allowed_z);
}

/// P(Poisson(mean) >= count) and P(<= count), the smaller.
double poisson_tail(double mean, std::int64_t count) {
  double below = 0.0;  // P(X < count)
  double term = std::exp(-mean);
  for (std::int64_t k = 0; k < count; ++k) {
    below += term;
    term *= mean / static_cast<double>(k + 1);
  }
  return std::min(1.0 - below, below + term);
}

TEST(NormalStatistics, TailsBeyondFiveSigmaAreThere) {
  constexpr std::int64_t count = std::int64_t{1} << 30;
  constexpr std::array<float, 5> limits = {3.0F, 4.0F, 5.0F, 5.5F, 6.0F};
  using Tails = std::array<std::array<std::int64_t, 2>, limits.size()>;
  std::vector<Tails> parts(static_cast<std::size_t>(count / block));
  for_each_block(count, [&](std::int64_t b, std::span<float> values) {
    Tails& tails = parts[static_cast<std::size_t>(b)];
    for (std::size_t k = 0; k < limits.size(); ++k) {
      const float limit = limits[k];
      std::int32_t high = 0, low = 0;
      for (const float v : values) {
        high += v > limit ? 1 : 0;
        low += v < -limit ? 1 : 0;
      }
      tails[k] = {high, low};
    }
  });
  for (std::size_t k = 0; k < limits.size(); ++k) {
    const double expected = static_cast<double>(count) * normal_cdf(-static_cast<double>(limits[k]));
    for (std::size_t side = 0; side < 2; ++side) {
      std::int64_t observed = 0;
      for (const Tails& tails : parts) observed += tails[k][side];
      SCOPED_TRACE(testing::Message() << limits[k] << " sigma: " << observed << " for " << expected);
      if (expected > 1000.0) {
        EXPECT_LT(std::abs(static_cast<double>(observed) - expected) / std::sqrt(expected), allowed_z);
      } else {
        EXPECT_GT(poisson_tail(expected, observed), 5e-7);
      }
    }
  }
  // The control: a tail cut at 5.4 sigma, or three times as heavy, would be seen.
  const double at_5_5 = static_cast<double>(count) * normal_cdf(-5.5);
  EXPECT_LT(poisson_tail(at_5_5, 0), 5e-7);
  EXPECT_LT(poisson_tail(at_5_5, static_cast<std::int64_t>(3 * at_5_5)), 5e-7);
}

/// z-scores of the correlation of values and of squares between two equally long sequences.
std::array<double, 2> correlation_scores(std::span<const float> a, std::span<const float> b) {
  double values = 0.0, squares = 0.0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    const double x = static_cast<double>(a[i]);
    const double y = static_cast<double>(b[i]);
    values += x * y;
    squares += (x * x - 1.0) * (y * y - 1.0);
  }
  const double root = std::sqrt(static_cast<double>(b.size()));
  return {values / root, squares / (2.0 * root)};
}

TEST(NormalStatistics, NeighbouringElementsAreIndependent) {
  constexpr std::size_t count = 1 << 23;
  std::vector<float> z(count + 4096);
  fill_normal(stream, 3, 0, z);
  const std::span<const float> all = z;
  for (const std::size_t lag : {1, 2, 3, 8, 15, 16, 17, 32, 48, 63, 64, 128, 1024, 4096})
    for (const double score : correlation_scores(all.subspan(lag, count), all.first(count)))
      EXPECT_LT(std::abs(score), allowed_z) << "lag " << lag;
  // The control: one part in 400 of the neighbour mixed in.
  std::vector<float> mixed(count);
  for (std::size_t i = 0; i < count; ++i) mixed[i] = z[i] + 0.0025F * z[i + 1];
  EXPECT_GT(correlation_scores(all.subspan(1, count), mixed)[0], allowed_z);
}

TEST(NormalStatistics, NeighbouringStreamsAreIndependent) {
  constexpr std::size_t count = 1 << 21;
  const Address base{.seed = 5, .layer = 1, .tile = 1, .repeat = 1};
  std::vector<std::vector<float>> sequences;
  const auto draw = [&](const Address& address, Purpose purpose, std::uint32_t event) {
    fill_normal(Stream(address, purpose), event, 0, sequences.emplace_back(count));
  };
  draw(base, Purpose::programming, 0);
  draw(base, Purpose::programming, 1);
  draw(base, Purpose::drift_exponent, 0);
  draw({.seed = 6, .layer = 1, .tile = 1, .repeat = 1}, Purpose::programming, 0);
  draw({.seed = 5, .layer = 2, .tile = 1, .repeat = 1}, Purpose::programming, 0);
  draw({.seed = 5, .layer = 1, .tile = 2, .repeat = 1}, Purpose::programming, 0);
  draw({.seed = 5, .layer = 1, .tile = 1, .repeat = 2}, Purpose::programming, 0);
  for (std::size_t i = 0; i < sequences.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      for (const double score : correlation_scores(sequences[i], sequences[j]))
        EXPECT_LT(std::abs(score), allowed_z) << i << " and " << j;
  EXPECT_GT(correlation_scores(sequences[0], sequences[0])[0], allowed_z);
}

TEST(UniformStatistics, EveryBitAndEveryBinIsFair) {
  constexpr std::size_t count = 1 << 24;
  std::vector<std::uint32_t> words(count);
  fill_bits(stream, 1, 0, words);
  for (int bit = 0; bit < 32; ++bit) {
    std::int64_t ones = 0;
    for (const std::uint32_t word : words) ones += word >> bit & 1;
    const double half = static_cast<double>(count) / 2;
    EXPECT_LT(std::abs(static_cast<double>(ones) - half) / std::sqrt(half / 2), allowed_z) << "bit " << bit;
  }
  std::vector<float> uniforms(count);
  fill_uniform(stream, 1, 0, uniforms);
  std::array<double, 1024> bins{};
  for (const float u : uniforms) bins[static_cast<std::size_t>(u * 1024.0F)] += 1.0;
  double chi2 = 0.0;
  const double expected = static_cast<double>(count) / 1024;
  for (const double observed : bins) chi2 += (observed - expected) * (observed - expected) / expected;
  EXPECT_LT(std::abs(chi2 - 1023.0) / std::sqrt(2.0 * 1023.0), allowed_z);
}

}  // namespace
}  // namespace tessera::random
