// Question: do the compensation laws turn read-outs into the documented factors?
#include "tessera/device/drift_compensation.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "tessera/random/stream.hpp"

namespace tessera::device {
namespace {

const DriftCompensation global = GlobalDriftCompensation{};
const DriftCompensation exact = GlobalDriftCompensationWithExactReference{};
const DriftCompensation peer_exact = GlobalDriftCompensationWithExactReference{.read_magnitudes = true};
const DriftCompensation per_column = PerColumnDriftCompensation{};

// Two unit inputs, three outputs.
const Matrix output(2, 3, std::vector<float>{1.0F, -2.0F, 0.0F, 3.0F, 0.0F, 0.0F});

TEST(DriftCompensation, GlobalIsTheMeanMagnitude) {
  EXPECT_EQ(readout_values(global, output.view(), {}), std::vector<double>{1.0});
  EXPECT_EQ(readout_values(peer_exact, output.view(), {}), std::vector<double>{1.0});
}

TEST(DriftCompensation, ExactReferenceCountsValuesWithTheSignsOfTheTargets) {
  // Targets of the outputs (rows) for both inputs: 1, 3; -2, 0; 0, 0.
  const Matrix target(3, 2, std::vector<float>{1.0F, 3.0F, -2.0F, 0.0F, 0.0F, 0.0F});
  EXPECT_EQ(readout_values(exact, output.view(), target.view()), std::vector<double>{1.0});
  const Matrix noisy(2, 3, std::vector<float>{0.9F, -2.2F, 0.5F, 3.3F, -0.4F, 0.7F});
  EXPECT_NEAR(readout_values(exact, noisy.view(), target.view())[0], (0.9 + 2.2 + 3.3) / 6.0, 1e-6);
  EXPECT_EQ(readout_values(exact, noisy.view(), Matrix(3, 2).view()), std::vector<double>{1e-4});
}

// A tile of which one weight in fifty is not 0, read with the default output noise: E|N(0, 0.06)| = 0.048 on the others
// is more than twice the mean magnitude 0.02. 5 standard errors of the signed mean; the control is the read of
// magnitudes.
TEST(DriftCompensation, NoiseDoesNotPullTheExactReferenceOfSparseTiles) {
  constexpr std::int64_t n = 64;
  constexpr double noise = 0.06;
  Matrix target(n, n);
  std::int64_t live = 0;
  for (std::int64_t i = 0; i < n * n; i += 50, ++live) target(i / n, i % n) = i % 100 == 0 ? 1.0F : -1.0F;
  Matrix read(n, n);
  random::fill_normal(random::Stream({.seed = 8}, random::Purpose::test), 0, 0, read.values());
  for (std::int64_t k = 0; k < n; ++k)
    for (std::int64_t i = 0; i < n; ++i) read(k, i) = target(i, k) + static_cast<float>(noise) * read(k, i);
  const auto alpha = [&](const DriftCompensation& c) {
    return static_cast<double>(compensation_factors(exact_readout_values(c, target.view()),
                                                    readout_values(c, read.view(), target.view()), n)[0]);
  };
  EXPECT_NEAR(alpha(exact), 1.0, 5.0 * noise / std::sqrt(static_cast<double>(live)));
  EXPECT_LT(alpha(peer_exact), 0.4);
}

TEST(DriftCompensation, PerColumnIsTheMeanOverInputs) {
  EXPECT_EQ(readout_values(per_column, output.view(), {}), (std::vector<double>{2.0, 1.0, 1e-4}));
}

TEST(DriftCompensation, ExactReadOutIsThatOfTheTransposedWeights) {
  Matrix weights(3, 2);
  for (std::int64_t n = 0; n < 2; ++n)
    for (std::int64_t i = 0; i < 3; ++i) weights(i, n) = output(n, i);
  for (const DriftCompensation& c : {global, exact, per_column})
    EXPECT_EQ(exact_readout_values(c, weights.view()), readout_values(c, output.view(), weights.view()));
  EXPECT_TRUE(uses_exact_reference(exact));
  EXPECT_FALSE(uses_exact_reference(global));
}

TEST(DriftCompensation, SmallReadOutsAreBoundedBelow) {
  EXPECT_EQ(readout_values(global, Matrix(4, 4).view(), {}), std::vector<double>{1e-4});
  EXPECT_EQ(readout_values(global, Matrix(0, 4).view(), {}), std::vector<double>{1e-4});
}

TEST(DriftCompensation, FactorsAreBaselineOverCurrent) {
  EXPECT_EQ(compensation_factors(std::vector{0.5}, std::vector{0.4}, 3), (std::vector<float>{1.25F, 1.25F, 1.25F}));
  EXPECT_EQ(compensation_factors(std::vector{1.0, 2.0}, std::vector{2.0, 2.0}, 2), (std::vector<float>{0.5F, 1.0F}));
}

TEST(DriftCompensation, NonsenseIsAnError) {
  EXPECT_THROW(compensation_factors(std::vector{1.0}, std::vector{1.0, 1.0}, 2), RunError);
  EXPECT_THROW(compensation_factors(std::vector{1.0, 1.0}, std::vector{1.0, 1.0}, 3), RunError);
  EXPECT_THROW(compensation_factors(std::vector{std::nan("")}, std::vector{1.0}, 1), RunError);
  Matrix broken(1, 1);
  broken(0, 0) = std::nanf("");
  EXPECT_THROW(compensation_factors(std::vector{1.0}, readout_values(global, broken.view(), {}), 1), RunError);
}

TEST(DriftCompensation, NamesAreThePeers) {
  EXPECT_STREQ(type_name(global), "GlobalDriftCompensation");
  EXPECT_STREQ(type_name(exact), "GlobalDriftCompensationWithExactReference");
  EXPECT_STREQ(type_name(per_column), "PerColumnDriftCompensation");
}

}  // namespace
}  // namespace tessera::device
