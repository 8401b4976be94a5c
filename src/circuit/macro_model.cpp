#include "circuit/macro_model.hpp"

#include <algorithm>

#include "tessera/kernels/dense_factor.hpp"

namespace tessera::circuit::detail {
namespace {

// y[to][to'] of the union = y[from][from'] of the part where both segments belong to it, else 0; for rows
// [row, row + rows) and columns [col, col + cols) of the union.
void copy_parts(const MacroModel& a, const MacroModel& b, const Join& join, std::int64_t row, std::int64_t rows,
                std::int64_t col, std::int64_t cols, RealView out) {
  for (int s = 0; s < join.segment_count; ++s) {
    const Segment& r = join.segments[static_cast<std::size_t>(s)];
    const ConstRealView from = r.part == 0 ? a.y.view() : b.y.view();
    for (std::int64_t p = std::max(r.to, row); p < std::min(r.to + r.count, row + rows); ++p) {
      const double* source = from.row(r.from + p - r.to);
      double* target = out.row(p - row);
      for (int t = 0; t < join.segment_count; ++t) {
        const Segment& c = join.segments[static_cast<std::size_t>(t)];
        const std::int64_t begin = std::max(c.to, col), end = std::min(c.to + c.count, col + cols);
        if (begin >= end) continue;
        if (c.part == r.part)
          std::copy_n(source + c.from + begin - c.to, end - begin, target + begin - col);
        else
          std::fill_n(target + begin - col, end - begin, 0.0);
      }
    }
  }
}

// The lower triangle from the upper one, in blocks that stay in the cache.
void mirror(RealView y) {
  constexpr std::int64_t block = 32;
  for (std::int64_t i0 = 0; i0 < y.rows; i0 += block)
    for (std::int64_t j0 = 0; j0 <= i0; j0 += block)
      for (std::int64_t i = i0; i < std::min(y.rows, i0 + block); ++i)
        for (std::int64_t j = j0; j < std::min(i, j0 + block); ++j) y(i, j) = y(j, i);
}

}  // namespace

Elimination eliminate_joint(const MacroModel& a, const MacroModel& b, const Join& join, Parallel parallel) {
  const std::int64_t k = join.joined;
  Elimination e{RealMatrix::uninitialized(k, k), RealMatrix::uninitialized(k, join.ports.count())};
  for (std::int64_t q = 0; q < k; ++q) {
    const double* row_a = a.y.view().row(join.joint[0] + q);
    const double* row_b = b.y.view().row(join.joint[1] + q);
    double* s = e.u.view().row(q);
    for (std::int64_t c = 0; c < k; ++c) s[c] = row_a[join.joint[0] + c] + row_b[join.joint[1] + c];
    double* coupling = e.coupling.view().row(q);
    for (int t = 0; t < join.segment_count; ++t) {
      const Segment& segment = join.segments[static_cast<std::size_t>(t)];
      std::copy_n((segment.part == 0 ? row_a : row_b) + segment.from, segment.count, coupling + segment.to);
    }
  }
  require<RunError>(kernels::factor_cholesky(e.u.view(), parallel),
                    "the wires and cells of a crossbar give no solvable circuit in double precision (conductances "
                    "differ by more than 15 orders of magnitude); check Rp_row, Rp_col, Rmin and Rmax");
  kernels::solve_transposed(e.u.view(), e.coupling.view(), parallel);
  return e;
}

MacroModel merged(const MacroModel& a, const MacroModel& b, const Join& join, const Elimination& e, Parallel parallel) {
  const std::int64_t n = join.ports.count();
  MacroModel m{join.ports, RealMatrix::uninitialized(n, n)};
  copy_parts(a, b, join, 0, n, 0, n, m.y.view());
  kernels::subtract_product(e.coupling.view(), e.coupling.view(), m.y.view(), kernels::Triangle::upper, parallel);
  mirror(m.y.view());
  return m;
}

RealMatrix merged_bottom_left(const MacroModel& a, const MacroModel& b, const Join& join, const Elimination& e,
                              Parallel parallel) {
  const Ports& p = join.ports;
  RealMatrix y = RealMatrix::uninitialized(p.bottom, p.left);
  copy_parts(a, b, join, p.bottom_at(), p.bottom, 0, p.left, y.view());
  kernels::subtract_product(e.coupling.view().cols_from(p.bottom_at(), p.bottom),
                            e.coupling.view().cols_from(0, p.left), y.view(), kernels::Triangle::all, parallel);
  return y;
}

}  // namespace tessera::circuit::detail
