// Does the packed product keep its definition: fma over k in order, for every shape, batch, thread count and
// instruction set?
#include "tessera/kernels/limited_product.hpp"

#include <gtest/gtest.h>

#include <hwy/targets.h>

#include <bit>
#include <cmath>
#include <vector>

#include "tessera/kernels/reference.hpp"
#include "tessera/random/stream.hpp"

namespace tessera::kernels {
namespace {

Matrix random_matrix(std::int64_t rows, std::int64_t cols, std::uint32_t event) {
  Matrix m(rows, cols);
  const random::Stream stream({.seed = 7}, random::Purpose::test);
  random::fill_uniform(stream, event, 0, m.values());
  for (float& v : m.values()) v = 2.0F * v - 1.0F;
  return m;
}

void expect_same_bits(ConstMatrixView a, ConstMatrixView b) {
  ASSERT_EQ(a.rows, b.rows);
  ASSERT_EQ(a.cols, b.cols);
  for (std::int64_t r = 0; r < a.rows; ++r)
    for (std::int64_t c = 0; c < a.cols; ++c)
      ASSERT_EQ(std::bit_cast<std::uint32_t>(a(r, c)), std::bit_cast<std::uint32_t>(b(r, c)))
          << "at (" << r << ", " << c << "): " << a(r, c) << " and " << b(r, c);
}

// Runs `body` once per instruction set that this machine has.
template <class Body>
void for_each_target(Body&& body) {
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    body(hwy::TargetName(target));
  }
  hwy::SetSupportedTargetsForTest(0);
}

TEST(Product, EqualsTheScalarDefinitionOnEveryInstructionSet) {
  int targets = 0;
  for_each_target([&](const char* name) {
    SCOPED_TRACE(name);
    ++targets;
    for (const std::int64_t outputs : {1, 7, 8, 9, 16, 17, 24, 31, 32, 33, 47, 70}) {
      for (const std::int64_t inputs : {0, 1, 2, 27, 33}) {
        const Matrix w = random_matrix(outputs, inputs, 1);
        const PackedMatrix packed(w.view());
        for (const std::int64_t rows : {1, 2, 3, 5, 11, 12, 13, 23, 50}) {
          const Matrix x = random_matrix(rows, inputs, 2);
          const Matrix bias = random_matrix(1, outputs, 3);
          Matrix y(rows, outputs);
          Matrix expected(rows, outputs);
          multiply(packed, x.view(), y.view());
          reference::multiply(w.view(), x.view(), expected.view());
          expect_same_bits(y.view(), expected.view());
          multiply(packed, x.view(), y.view(), {}, bias.values());
          reference::multiply(w.view(), x.view(), expected.view(), bias.values());
          expect_same_bits(y.view(), expected.view());
          const Limits limits{-0.3F, 1.5F};
          for (float& v : expected.values()) v = limits(v);
          Matrix wider(rows, outputs + 1);
          wider(rows - 1, outputs) = 77.0F;
          multiply(packed, x.view(), wider.view().cols_from(0, outputs), {}, bias.values(), limits);
          expect_same_bits(Matrix(wider.view().cols_from(0, outputs)).view(), expected.view());
          EXPECT_EQ(wider(rows - 1, outputs), 77.0F);
          multiply_magnitudes(packed, x.view(), y.view());
          reference::multiply(w.view(), x.view(), expected.view(), {}, true);
          expect_same_bits(y.view(), expected.view());
        }
      }
    }
  });
  EXPECT_GE(targets, 1);
}

TEST(Product, CompanionsEqualTheScalarDefinitionOnEveryInstructionSet) {
  for_each_target([&](const char* name) {
    SCOPED_TRACE(name);
    for (const std::int64_t outputs : {1, 8, 17, 24, 32, 45}) {
      for (const std::int64_t inputs : {1, 2, 27, 64}) {
        const Matrix w = random_matrix(outputs, inputs, 1);
        const PackedMatrix packed(w.view());
        for (const std::int64_t rows : {1, 3, 5, 6, 7, 13, 20}) {
          const Matrix x = random_matrix(rows, inputs, 2);
          Matrix magnitude(x.view());
          Matrix square(x.view());
          for (float& v : magnitude.values()) v = std::fabs(v);
          for (float& v : square.values()) v *= v;
          for (const bool ir_drop : {false, true}) {
            for (const bool with_variance : {false, true}) {
              Matrix y(rows, outputs);
              Matrix variance(rows, outputs);
              Matrix expected(rows, outputs);
              Matrix expected_variance(rows, outputs);
              Companions c;
              c.ir_drop = ir_drop;
              c.n_over_g = 0.3F;
              c.ir_drop_scale = ir_drop ? 1.5F : 0.0F;
              c.magnitude = magnitude.view();
              c.square = square.view();
              if (with_variance) c.variance = variance.view();
              multiply_with(c, packed, x.view(), y.view());
              reference::multiply_with(c.n_over_g, c.ir_drop_scale, w.view(), x.view(), expected.view(),
                                       with_variance ? expected_variance.view() : MatrixView());
              expect_same_bits(y.view(), expected.view());
              expect_same_bits(variance.view(), expected_variance.view());
            }
          }
        }
      }
    }
  });
}

// The running sums weigh the inputs as the formula of the reference does: against a product with explicit positions.
TEST(Product, PrefixSumsAreThePositionFactor) {
  const std::int64_t n = 300;
  const Matrix w = random_matrix(4, n, 1);
  const Matrix x = random_matrix(3, n, 2);
  Matrix magnitude(x.view());
  for (float& v : magnitude.values()) v = std::fabs(v);
  Companions c;
  c.ir_drop = true;
  c.n_over_g = 0.01F;
  c.ir_drop_scale = 1.0F;
  c.magnitude = magnitude.view();
  Matrix y(3, 4);
  multiply_with(c, PackedMatrix(w.view()), x.view(), y.view());
  for (std::int64_t r = 0; r < 3; ++r) {
    for (std::int64_t i = 0; i < 4; ++i) {
      double v = 0.0;
      double current = 0.0;
      double positioned = 0.0;
      for (std::int64_t j = 0; j < n; ++j) {
        const double p = static_cast<double>(w(i, j)) * static_cast<double>(x(r, j));
        const double distance = 1.0 - static_cast<double>(j) / static_cast<double>(n);
        v += p;
        current += std::fabs(p);
        positioned += p * (1.0 - distance * distance);
      }
      const double a = 0.01 * current;
      EXPECT_NEAR(y(r, i), v - a * (a * (0.05 * a - 0.2) + 0.5) * positioned, 3e-5) << r << " " << i;
    }
  }
}

TEST(Product, IsIndependentOfBatchSplitAndThreads) {
  const Matrix w = random_matrix(100, 65, 1);
  const PackedMatrix packed(w.view());
  const Matrix x = random_matrix(301, 65, 2);
  Matrix whole(301, 100);
  multiply(packed, x.view(), whole.view());
  for (const int threads : {1, 2, 3}) {
    for (const std::int64_t batch : {1, 7, 128, 301}) {
      Matrix y(301, 100);
      for (std::int64_t r = 0; r < 301; r += batch) {
        const std::int64_t n = std::min<std::int64_t>(batch, 301 - r);
        multiply(packed, x.view().rows_from(r, n), y.view().rows_from(r, n), {threads});
      }
      expect_same_bits(y.view(), whole.view());
    }
  }
}

TEST(Product, WritesOnlyItsOwnOutputsOfAStridedResult) {
  const Matrix w = random_matrix(5, 9, 1);
  const Matrix x = random_matrix(13, 9, 2);
  Matrix y(13, 8);
  for (float& v : y.values()) v = 42.0F;
  multiply(PackedMatrix(w.view()), x.view(), y.view().cols_from(1, 5));
  for (std::int64_t r = 0; r < 13; ++r)
    for (const std::int64_t c : {0, 6, 7}) EXPECT_EQ(y(r, c), 42.0F);
}

TEST(Product, UnpacksToTheGivenWeights) {
  const Matrix w = random_matrix(45, 31, 1);
  const PackedMatrix packed(w.view());
  expect_same_bits(packed.unpacked().view(), w.view());
  EXPECT_EQ(packed(44, 30), w(44, 30));
  EXPECT_EQ(packed.bytes(), 48 * 31 * 4);
}

TEST(Product, RejectsShapesThatDoNotFit) {
  const PackedMatrix packed(random_matrix(4, 3, 1).view());
  Matrix x(2, 3);
  Matrix wide(2, 5);
  Matrix y(2, 4);
  EXPECT_THROW(multiply(packed, x.view(), wide.view()), InputError);
  EXPECT_THROW(multiply(packed, wide.view(), y.view()), InputError);
  EXPECT_THROW(multiply(packed, x.view(), y.view(), {}, std::vector<float>(3)), InputError);
}

}  // namespace
}  // namespace tessera::kernels
