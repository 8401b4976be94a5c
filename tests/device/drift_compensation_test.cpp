// Question: do the compensation laws turn read-outs into the documented factors?
#include "tessera/device/drift_compensation.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace tessera::device {
namespace {

const DriftCompensation global = GlobalDriftCompensation{};
const DriftCompensation exact = GlobalDriftCompensationWithExactReference{};
const DriftCompensation per_column = PerColumnDriftCompensation{};

// Two unit inputs, three outputs.
const Matrix output(2, 3, std::vector<float>{1.0F, -2.0F, 0.0F, 3.0F, 0.0F, 0.0F});

TEST(DriftCompensation, GlobalIsTheMeanMagnitude) {
  EXPECT_EQ(readout_values(global, output.view()), std::vector<double>{1.0});
  EXPECT_EQ(readout_values(exact, output.view()), std::vector<double>{1.0});
}

TEST(DriftCompensation, PerColumnIsTheMeanOverInputs) {
  EXPECT_EQ(readout_values(per_column, output.view()), (std::vector<double>{2.0, 1.0, 1e-4}));
}

TEST(DriftCompensation, ExactReadOutIsThatOfTheTransposedWeights) {
  Matrix weights(3, 2);
  for (std::int64_t n = 0; n < 2; ++n)
    for (std::int64_t i = 0; i < 3; ++i) weights(i, n) = output(n, i);
  for (const DriftCompensation& c : {global, exact, per_column})
    EXPECT_EQ(exact_readout_values(c, weights.view()), readout_values(c, output.view()));
  EXPECT_TRUE(uses_exact_reference(exact));
  EXPECT_FALSE(uses_exact_reference(global));
}

TEST(DriftCompensation, SmallReadOutsAreBoundedBelow) {
  EXPECT_EQ(readout_values(global, Matrix(4, 4).view()), std::vector<double>{1e-4});
  EXPECT_EQ(readout_values(global, Matrix(0, 4).view()), std::vector<double>{1e-4});
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
  EXPECT_THROW(compensation_factors(std::vector{1.0}, readout_values(global, broken.view()), 1), RunError);
}

TEST(DriftCompensation, NamesAreThePeers) {
  EXPECT_STREQ(type_name(global), "GlobalDriftCompensation");
  EXPECT_STREQ(type_name(exact), "GlobalDriftCompensationWithExactReference");
  EXPECT_STREQ(type_name(per_column), "PerColumnDriftCompensation");
}

}  // namespace
}  // namespace tessera::device
