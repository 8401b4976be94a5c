// Does the product of two unpacked matrices keep its definition: fma over k in order from the start value, for every
// shape, orientation, thread count and instruction set?
#include "tessera/kernels/general_product.hpp"

#include <gtest/gtest.h>

#include <hwy/targets.h>

#include <bit>
#include <cmath>
#include <vector>

#include "tessera/random/stream.hpp"

namespace tessera::kernels {
namespace {

Matrix random_matrix(std::int64_t rows, std::int64_t cols, std::uint32_t event) {
  Matrix m(rows, cols);
  random::fill_normal(random::Stream({.seed = 11}, random::Purpose::test), event, 0, m.values());
  return m;
}

Matrix by_definition(const StridedMatrix& a, ConstMatrixView b, ConstMatrixView start) {
  Matrix c(start);
  for (std::int64_t r = 0; r < a.rows; ++r)
    for (std::int64_t i = 0; i < b.cols; ++i)
      for (std::int64_t k = 0; k < b.rows; ++k)
        c(r, i) = std::fma(a.data[r * a.row_step + k * a.column_step], b(k, i), c(r, i));
  return c;
}

struct Case {
  std::int64_t rows, inner, cols;
};

void expect_definition(const Case& shape, bool transpose, Accumulate accumulate, Parallel parallel) {
  SCOPED_TRACE(::testing::Message() << shape.rows << " x " << shape.inner << " x " << shape.cols
                                    << (transpose ? ", transposed, " : ", ") << parallel.threads << " threads");
  const Matrix stored =
      transpose ? random_matrix(shape.inner, shape.rows + 2, 1) : random_matrix(shape.rows, shape.inner + 2, 1);
  const StridedMatrix a = transpose ? transposed(stored.view().cols_from(0, shape.rows))
                                    : StridedMatrix(stored.view().cols_from(0, shape.inner));
  const Matrix b = random_matrix(shape.inner, shape.cols + 3, 2);
  Matrix c = random_matrix(shape.rows, shape.cols + 1, 3);
  const Matrix before = c;
  const ConstMatrixView right = b.view().cols_from(0, shape.cols);
  const Matrix start = accumulate == Accumulate::yes ? Matrix(ConstMatrixView(c.view().cols_from(0, shape.cols)))
                                                     : Matrix(shape.rows, shape.cols);
  const Matrix expected = by_definition(a, right, start.view());
  general_product(a, right, c.view().cols_from(0, shape.cols), accumulate, parallel);
  for (std::int64_t r = 0; r < shape.rows; ++r) {
    for (std::int64_t i = 0; i < shape.cols; ++i)
      ASSERT_EQ(std::bit_cast<std::uint32_t>(c(r, i)), std::bit_cast<std::uint32_t>(expected(r, i))) << r << ", " << i;
    ASSERT_EQ(c(r, shape.cols), before(r, shape.cols)) << "wrote beyond row " << r;
  }
}

TEST(GeneralProduct, KeepsItsDefinitionOnEveryTarget) {
  const std::vector<Case> shapes = {{1, 1, 1},    {3, 5, 7},     {12, 9, 32},  {13, 300, 33}, {25, 64, 16},
                                    {50, 7, 131}, {6, 1000, 25}, {97, 40, 65}, {2, 513, 150}, {4, 0, 5}};
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    for (const Case& shape : shapes)
      for (const bool transpose : {false, true})
        for (const Accumulate accumulate : {Accumulate::no, Accumulate::yes})
          for (const int threads : {1, 3}) expect_definition(shape, transpose, accumulate, {threads});
  }
  hwy::SetSupportedTargetsForTest(0);
}

TEST(GeneralProduct, RefusesShapesThatDoNotFit) {
  const Matrix a(2, 3), b(4, 5);
  Matrix c(2, 5);
  EXPECT_THROW(general_product(a.view(), b.view(), c.view(), Accumulate::no), InputError);
}

}  // namespace
}  // namespace tessera::kernels
