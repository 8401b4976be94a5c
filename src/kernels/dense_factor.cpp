#include "tessera/kernels/dense_factor.hpp"

#include <cmath>

#include "kernels/dense_simd.hpp"

namespace tessera::kernels {
namespace {

constexpr std::int64_t strip = 192;        // columns per task: a multiple of every tile's width
constexpr std::int64_t small_factor = 24;  // order up to which a factor is found row by row

void for_strips(std::int64_t columns, std::int64_t work_per_column, Parallel parallel, const auto& body) {
  const Parallel threads = columns * work_per_column < 256 * 1024 ? Parallel{1} : parallel;
  parallel_for_blocks(threads, columns, strip,
                      [&](std::int64_t, std::int64_t begin, std::int64_t end) { body(begin, end - begin); });
}

DoubleView block(DoubleView m, std::int64_t row, std::int64_t rows, std::int64_t col, std::int64_t cols) {
  return {m.data + row * m.stride + col, rows, cols, m.stride};
}
ConstDoubleView block(ConstDoubleView m, std::int64_t row, std::int64_t rows, std::int64_t col, std::int64_t cols) {
  return {m.data + row * m.stride + col, rows, cols, m.stride};
}

bool factor_small(DoubleView s) {
  for (std::int64_t k = 0; k < s.rows; ++k) {
    double* row = s.row(k);
    if (!(row[k] > 0.0) || !std::isfinite(row[k])) return false;
    row[k] = std::sqrt(row[k]);
    const double inverse = 1.0 / row[k];
    for (std::int64_t j = k + 1; j < s.cols; ++j) row[j] *= inverse;
    for (std::int64_t i = k + 1; i < s.rows; ++i) {
      double* other = s.row(i);
      for (std::int64_t j = i; j < s.cols; ++j) other[j] -= row[i] * row[j];
    }
  }
  return true;
}

void check_triangular(ConstDoubleView u, ConstDoubleView x) {
  require<InputError>(u.rows == u.cols && x.rows == u.rows, "a system of {}x{} does not fit a right-hand side of {}x{}",
                      u.rows, u.cols, x.rows, x.cols);
}

// Rounded up, so that the halves' borders lie where panels begin.
std::int64_t half_of(std::int64_t n) {
  return (n / 2 + 7) / 8 * 8;
}

void solve_transposed_strip(ConstDoubleView u, DoubleView x) {
  if (u.rows <= detail::small_order) {
    detail::small_solve_transposed()(u, x, 0, x.cols);
    return;
  }
  const std::int64_t h = half_of(u.rows);
  const std::int64_t rest = u.rows - h;
  solve_transposed_strip(block(u, 0, h, 0, h), x.rows_from(0, h));
  detail::product_strip()(block(u, 0, h, h, rest), x.rows_from(0, h), x.rows_from(h, rest), 0, x.cols, Triangle::all);
  solve_transposed_strip(block(u, h, rest, h, rest), x.rows_from(h, rest));
}

void solve_upper_strip(ConstDoubleView u, DoubleView x) {
  if (u.rows <= detail::small_order) {
    detail::small_solve_upper()(u, x, 0, x.cols);
    return;
  }
  const std::int64_t h = half_of(u.rows);
  const std::int64_t rest = u.rows - h;
  solve_upper_strip(block(u, h, rest, h, rest), x.rows_from(h, rest));
  detail::product_strip()(transposed(block(u, 0, h, h, rest)), x.rows_from(h, rest), x.rows_from(0, h), 0, x.cols,
                          Triangle::all);
  solve_upper_strip(block(u, 0, h, 0, h), x.rows_from(0, h));
}

}  // namespace

DoubleFactor transposed(ConstDoubleView view) {
  DoubleFactor factor(view);
  std::swap(factor.inner, factor.rows);
  std::swap(factor.inner_step, factor.row_step);
  return factor;
}

void subtract_product(const DoubleFactor& a, ConstDoubleView b, DoubleView c, Triangle triangle, Parallel parallel) {
  require<InputError>(a.inner == b.rows && c.rows == a.rows && c.cols == b.cols,
                      "a product of {}x{} (transposed) and {}x{} values does not fit {}x{}", a.inner, a.rows, b.rows,
                      b.cols, c.rows, c.cols);
  if (a.inner == 0 || c.rows == 0 || c.cols == 0) return;
  for_strips(c.cols, a.inner * a.rows, parallel,
             [&](std::int64_t first, std::int64_t count) { detail::product_strip()(a, b, c, first, count, triangle); });
}

bool factor_cholesky(DoubleView s, Parallel parallel) {
  require<InputError>(s.rows == s.cols, "a matrix of {}x{} has no Cholesky factor", s.rows, s.cols);
  if (s.rows <= small_factor) return factor_small(s);
  const std::int64_t h = half_of(s.rows);
  const std::int64_t rest = s.rows - h;
  const DoubleView coupling = block(s, 0, h, h, rest);
  if (!factor_cholesky(block(s, 0, h, 0, h), parallel)) return false;
  solve_transposed(block(s, 0, h, 0, h), coupling, parallel);
  const DoubleView trailing = block(s, h, rest, h, rest);
  subtract_product(coupling, coupling, trailing, Triangle::upper, parallel);
  return factor_cholesky(trailing, parallel);
}

void solve_transposed(ConstDoubleView u, DoubleView x, Parallel parallel) {
  check_triangular(u, x);
  for_strips(x.cols, u.rows * u.rows / 2, parallel,
             [&](std::int64_t first, std::int64_t count) { solve_transposed_strip(u, x.cols_from(first, count)); });
}

void solve_upper(ConstDoubleView u, DoubleView x, Parallel parallel) {
  check_triangular(u, x);
  for_strips(x.cols, u.rows * u.rows / 2, parallel,
             [&](std::int64_t first, std::int64_t count) { solve_upper_strip(u, x.cols_from(first, count)); });
}

void eliminate_in_lanes(double* y, std::int64_t n, std::int64_t count) {
  detail::lane_elimination()(y, n, count);
}

}  // namespace tessera::kernels
