// Do sums of outer products keep their definition for every shape, split, thread count and instruction set?
#include "tessera/kernels/outer_product.hpp"

#include <gtest/gtest.h>

#include <hwy/targets.h>

#include <cmath>

#include "tessera/random/stream.hpp"

namespace tessera::kernels {
namespace {

Matrix draws(std::int64_t rows, std::int64_t cols, std::uint32_t event) {
  Matrix m(rows, cols);
  random::fill_normal(random::Stream({.seed = 7}, random::Purpose::test), event, 0, m.values());
  return m;
}

TEST(OuterProducts, EqualTheScalarDefinitionOnEveryInstructionSet) {
  int targets = 0;
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    ++targets;
    for (const std::int64_t outputs : {1, 5, 12, 13, 30})
      for (const std::int64_t inputs : {1, 8, 15, 16, 33, 70})
        for (const std::int64_t vectors : {0, 1, 7, 200}) {
          const Matrix e = draws(vectors, outputs, 1);
          const Matrix z = draws(vectors, inputs, 2);
          Matrix sum = draws(outputs, inputs, 3);
          Matrix expected = sum;
          for (std::int64_t i = 0; i < outputs; ++i)
            for (std::int64_t k = 0; k < inputs; ++k)
              for (std::int64_t r = 0; r < vectors; ++r) expected(i, k) = std::fma(e(r, i), z(r, k), expected(i, k));
          const std::int64_t split = vectors / 3;
          add_outer_products(e.view().rows_from(0, split), z.view().rows_from(0, split), sum.view());
          add_outer_products(e.view().rows_from(split, vectors - split), z.view().rows_from(split, vectors - split),
                             sum.view(), {3});
          for (std::int64_t i = 0; i < outputs; ++i)
            for (std::int64_t k = 0; k < inputs; ++k)
              ASSERT_EQ(sum(i, k), expected(i, k)) << hwy::TargetName(target) << " " << outputs << "x" << inputs;
        }
  }
  hwy::SetSupportedTargetsForTest(0);
  EXPECT_GT(targets, 0);
}

TEST(OuterProducts, RefuseShapesThatDoNotFit) {
  const Matrix e(4, 3);
  const Matrix z(5, 2);
  Matrix sum(3, 2);
  EXPECT_THROW(add_outer_products(e.view(), z.view(), sum.view()), InputError);
  EXPECT_THROW(add_outer_products(e.view(), e.view(), sum.view()), InputError);
}

}  // namespace
}  // namespace tessera::kernels
