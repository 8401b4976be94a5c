#include "tessera/kernels/dense_factor.hpp"

#include <algorithm>
#include <vector>

#include "kernels/dense_simd.hpp"

namespace tessera::kernels {
namespace {

void for_strips(std::int64_t columns, std::int64_t work_per_column, Parallel parallel, const auto& body) {
  const Parallel threads = columns * work_per_column < 256 * 1024 ? Parallel{1} : parallel;
  parallel_for_blocks(threads, columns, detail::strip_columns,
                      [&](std::int64_t, std::int64_t begin, std::int64_t end) { body(begin, end - begin); });
}

DoubleView block(DoubleView m, std::int64_t row, std::int64_t rows, std::int64_t col, std::int64_t cols) {
  return {m.data + row * m.stride + col, rows, cols, m.stride};
}
ConstDoubleView block(ConstDoubleView m, std::int64_t row, std::int64_t rows, std::int64_t col, std::int64_t cols) {
  return {m.data + row * m.stride + col, rows, cols, m.stride};
}

// Its upper triangle.
void copy_pair(const DiagonalPair& pair, DoubleView y) {
  for (std::size_t s = 0; s < pair.pieces.size(); ++s)
    for (std::size_t t = s; t < pair.pieces.size(); ++t) {
      const DiagonalPair::Piece& r = pair.pieces[s];
      const DiagonalPair::Piece& c = pair.pieces[t];
      const ConstDoubleView from = pair.parts[static_cast<std::size_t>(r.part)];
      for (std::int64_t i = 0; i < r.count; ++i) {
        const std::int64_t first = s == t ? i : 0;
        double* to = y.row(r.to + i) + c.to + first;
        if (c.part == r.part)
          std::copy_n(from.row(r.from + i) + c.from + first, c.count - first, to);
        else
          std::fill_n(to, c.count, 0.0);
      }
    }
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
  detail::product_strip()(block(u, 0, h, h, rest), x.rows_from(0, h), x.rows_from(h, rest), 0, x.cols, {rest}, {});
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
  detail::product_strip()(transposed(block(u, 0, h, h, rest)), x.rows_from(h, rest), x.rows_from(0, h), 0, x.cols, {h},
                          {});
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
  const detail::WantedRows wanted{c.rows, triangle == Triangle::upper, {c.rows, c.rows}};
  for_strips(c.cols, a.inner * a.rows, parallel, [&](std::int64_t first, std::int64_t count) {
    detail::product_strip()(a, b, c, first, count, wanted, {});
  });
}

void subtract_from_pair(const DiagonalPair& pair, ConstDoubleView c, std::array<std::int64_t, 2> borders, DoubleView y,
                        Parallel parallel) {
  require<InputError>(y.rows == y.cols && c.cols == y.cols && c.rows > 0, "{}x{} values do not fit {}x{}", c.rows,
                      c.cols, y.rows, y.cols);
  const std::int64_t first_border = y.rows - borders[0] - borders[1];
  const detail::WantedRows wanted{y.rows, true, {first_border, first_border + borders[0]}};
  detail::PairGroups source{pair.parts, nullptr};
  constexpr std::int64_t size = detail::PairGroups::size;
  std::vector<detail::PairGroups::Group> groups;
  bool whole_groups = true;
  for (const DiagonalPair::Piece& piece : pair.pieces) {
    whole_groups = whole_groups && piece.to % size == 0;
    for (std::int64_t at = 0; at < piece.count; at += size) groups.push_back({piece.part, piece.from + at});
  }
  if (whole_groups)
    source.groups = groups.data();
  else
    copy_pair(pair, y);
  for_strips(y.cols, c.rows * c.cols, parallel, [&](std::int64_t first, std::int64_t count) {
    detail::product_strip()(c, c, y, first, count, wanted, source);
  });
}

bool factor_cholesky(DoubleView s, Parallel parallel) {
  require<InputError>(s.rows == s.cols, "a matrix of {}x{} has no Cholesky factor", s.rows, s.cols);
  if (s.rows <= detail::small_order) return detail::small_factor()(s);
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
