// Question: does the dense double-precision algebra do what a textbook loop does, for any shape and thread count?
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tessera/kernels/dense_factor.hpp"
#include "tessera/random/stream.hpp"

namespace tessera::kernels {
namespace {

struct Dense {
  std::int64_t rows, cols;
  std::vector<double> values;
  Dense(std::int64_t r, std::int64_t c) : rows(r), cols(c), values(static_cast<std::size_t>(r * c)) {}
  DoubleView view() { return {values.data(), rows, cols}; }
  ConstDoubleView view() const { return {values.data(), rows, cols}; }
};

Dense uniforms(std::int64_t rows, std::int64_t cols, std::uint32_t event) {
  Dense m(rows, cols);
  const random::Stream stream({.seed = 5}, random::Purpose::test);
  for (std::size_t i = 0; i < m.values.size(); ++i)
    m.values[i] = 2.0 * static_cast<double>(random::uniform(stream, event, i)) - 1.0;
  return m;
}

// Diagonally dominant, hence positive definite.
Dense definite(std::int64_t n, std::uint32_t event) {
  Dense m = uniforms(n, n, event);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < i; ++j) m.view()(i, j) = m.view()(j, i);
    m.view()(i, i) = 2.0 * static_cast<double>(n);
  }
  return m;
}

double largest_difference(ConstDoubleView a, ConstDoubleView b, bool upper) {
  double worst = 0.0;
  for (std::int64_t i = 0; i < a.rows; ++i)
    for (std::int64_t j = upper ? i : 0; j < a.cols; ++j) worst = std::max(worst, std::abs(a(i, j) - b(i, j)));
  return worst;
}

TEST(DenseFactor, ProductEqualsTheTripleLoop) {
  const std::vector<std::vector<std::int64_t>> shapes = {{1, 1, 1},    {3, 7, 5},     {16, 24, 8},
                                                         {129, 25, 9}, {200, 97, 50}, {131, 193, 211}};
  for (const auto& s : shapes) {
    const std::int64_t inner = s[0], cols = s[1], rows = s[2];
    for (const bool strided : {false, true}) {
      const Dense a = strided ? uniforms(rows, inner, 1) : uniforms(inner, rows, 1);
      const Dense b = uniforms(inner, cols, 2);
      const Dense start = uniforms(rows, cols, 3);
      Dense c = start;
      subtract_product(strided ? transposed(a.view()) : DoubleFactor(a.view()), b.view(), c.view());
      Dense expected = start;
      for (std::int64_t i = 0; i < rows; ++i)
        for (std::int64_t j = 0; j < cols; ++j)
          for (std::int64_t k = 0; k < inner; ++k)
            expected.view()(i, j) -= (strided ? a.view()(i, k) : a.view()(k, i)) * b.view()(k, j);
      EXPECT_LT(largest_difference(c.view(), expected.view(), false), 1e-13 * static_cast<double>(inner + 1));
    }
  }
}

TEST(DenseFactor, TheUpperTriangleOfASquareIsThatOfTheWholeProduct) {
  const Dense a = uniforms(70, 230, 4);
  Dense whole(230, 230), upper(230, 230);
  subtract_product(a.view(), a.view(), whole.view());
  subtract_product(a.view(), a.view(), upper.view(), Triangle::upper, Parallel{2});
  EXPECT_EQ(largest_difference(whole.view(), upper.view(), true), 0.0);
}

TEST(DenseFactor, AProductIsTakenFromAReorderedPair) {
  using Piece = DiagonalPair::Piece;
  // In whole groups of eight, with a ragged end, and with pieces that begin anywhere.
  const std::vector<std::vector<Piece>> orders = {
      {{0, 8, 0, 16}, {1, 0, 16, 24}, {0, 24, 40, 8}, {1, 24, 48, 11}},
      {{1, 0, 0, 5}, {0, 2, 5, 20}, {1, 5, 25, 16}, {0, 22, 41, 3}, {1, 21, 44, 200}},
  };
  for (const std::vector<Piece>& pieces : orders) {
    const std::int64_t n = pieces.back().to + pieces.back().count;
    std::array<std::int64_t, 2> sizes = {};
    for (const Piece& p : pieces) sizes[static_cast<std::size_t>(p.part)] = p.from + p.count;
    const Dense a = uniforms(sizes[0], sizes[0], 30), b = uniforms(sizes[1], sizes[1], 31), c = uniforms(140, n, 32);
    Dense expected(n, n);
    for (const Piece& row : pieces)
      for (const Piece& col : pieces)
        for (std::int64_t i = 0; i < row.count; ++i)
          for (std::int64_t j = 0; j < col.count; ++j) {
            double sum = row.part != col.part ? 0.0 : (row.part == 0 ? a : b).view()(row.from + i, col.from + j);
            for (std::int64_t k = 0; k < c.rows; ++k) sum -= c.view()(k, row.to + i) * c.view()(k, col.to + j);
            expected.view()(row.to + i, col.to + j) = sum;
          }
    for (const std::array<std::int64_t, 2> borders : {std::array<std::int64_t, 2>{0, 0}, {8, 3}, {0, 17}, {20, 0}})
      for (const int threads : {1, 2}) {
        Dense y(n, n);
        subtract_from_pair({{a.view(), b.view()}, pieces}, c.view(), borders, y.view(), Parallel{threads});
        const std::int64_t second = n - borders[1], first = second - borders[0];
        for (std::int64_t i = 0; i < second; ++i)
          for (std::int64_t j = i < first ? i : second; j < n; ++j)
            ASSERT_NEAR(y.view()(i, j), expected.view()(i, j), 3e-13) << n << ": " << i << ", " << j;
      }
  }
}

TEST(DenseFactor, CholeskyAndBothSolvesInvert) {
  for (const std::int64_t n : {1, 2, 3, 4, 5, 23, 24, 25, 49, 63, 64, 65, 130, 300}) {
    const Dense s = definite(n, 6);
    Dense u = s;
    ASSERT_TRUE(factor_cholesky(u.view()));
    const Dense right = uniforms(n, 37, 7);
    Dense x = right;
    solve_transposed(u.view(), x.view());
    solve_upper(u.view(), x.view());
    Dense back = right;  // right - s x
    subtract_product(s.view(), x.view(), back.view());
    for (const double v : back.values) EXPECT_LT(std::abs(v), 1e-13) << n;
  }
}

TEST(DenseFactor, AnIndefiniteMatrixIsRefused) {
  Dense s = definite(60, 8);
  s.view()(41, 41) = -1.0;
  EXPECT_FALSE(factor_cholesky(s.view()));
  Dense nan = definite(5, 8);
  nan.view()(2, 2) = std::nan("");
  EXPECT_FALSE(factor_cholesky(nan.view()));
}

TEST(DenseFactor, BitsDoNotDependOnTheThreads) {
  const Dense s = definite(500, 9);
  Dense one = s, two = s;
  ASSERT_TRUE(factor_cholesky(one.view(), Parallel{1}));
  ASSERT_TRUE(factor_cholesky(two.view(), Parallel{2}));
  EXPECT_EQ(largest_difference(one.view(), two.view(), true), 0.0);
}

TEST(DenseFactor, LanesAreEliminatedAlike) {
  constexpr std::int64_t n = 11, count = 4;
  std::vector<Dense> lanes;
  AlignedVector<double> y(static_cast<std::size_t>(n * n * eliminate_lanes));
  for (std::uint32_t l = 0; l < eliminate_lanes; ++l) {
    lanes.push_back(definite(n, 20 + l));
    for (std::size_t e = 0; e < lanes[l].values.size(); ++e) y[e * eliminate_lanes + l] = lanes[l].values[e];
  }
  eliminate_in_lanes(y.data(), n, count);
  for (std::size_t l = 0; l < eliminate_lanes; ++l) {
    const DoubleView m = lanes[l].view();
    for (std::int64_t q = 0; q < count; ++q)
      for (std::int64_t i = q + 1; i < n; ++i)
        for (std::int64_t j = i; j < n; ++j) m(i, j) -= m(q, i) / m(q, q) * m(q, j);
    for (std::int64_t i = count; i < n; ++i)
      for (std::int64_t j = i; j < n; ++j)
        EXPECT_NEAR(y[static_cast<std::size_t>(i * n + j) * eliminate_lanes + l], m(i, j), 1e-13);
  }
}

}  // namespace
}  // namespace tessera::kernels
