#include "circuit/macro_model.hpp"

#include <algorithm>

#include "tessera/kernels/dense_factor.hpp"

namespace tessera::circuit::detail {
namespace {

/// A block [row, row + rows) x [col, col + cols) of a union's matrix.
struct Block {
  std::int64_t row = 0, rows = 0, col = 0, cols = 0;
};

// The upper triangle of diag(Ya, Yb), in the block: y[to][to'] = y[from][from'] of the part where both segments belong
// to it, else 0.
void copy_parts(const MacroModel& a, const MacroModel& b, const Join& join, const Block& block, RealView out) {
  for (int s = 0; s < join.segment_count; ++s) {
    const Segment& r = join.segments[static_cast<std::size_t>(s)];
    const ConstRealView from = r.part == 0 ? a.y : b.y;
    for (std::int64_t p = std::max(r.to, block.row); p < std::min(r.to + r.count, block.row + block.rows); ++p) {
      const double* source = from.row(r.from + p - r.to);
      double* target = out.row(p - block.row);
      for (int t = s; t < join.segment_count; ++t) {
        const Segment& c = join.segments[static_cast<std::size_t>(t)];
        const std::int64_t begin = std::max({c.to, block.col, p}),
                           end = std::min(c.to + c.count, block.col + block.cols);
        if (begin >= end) continue;
        if (c.part == r.part)
          std::copy_n(source + c.from + begin - c.to, end - begin, target + begin - block.col);
        else
          std::fill_n(target + begin - block.col, end - begin, 0.0);
      }
    }
  }
}

}  // namespace

Elimination eliminate_joint(const MacroModel& a, const MacroModel& b, const Join& join, Storage& storage,
                            Parallel parallel) {
  const std::int64_t k = join.joined;
  Elimination e{storage.take(k, k), storage.take(k, join.ports.count())};
  for (std::int64_t q = 0; q < k; ++q) {
    const double* row_a = a.y.row(q);
    const double* row_b = b.y.row(q);
    double* s = e.u.row(q);
    for (std::int64_t c = q; c < k; ++c) s[c] = row_a[c] + row_b[c];
    double* coupling = e.coupling.row(q);
    for (int t = 0; t < join.segment_count; ++t) {
      const Segment& segment = join.segments[static_cast<std::size_t>(t)];
      std::copy_n((segment.part == 0 ? row_a : row_b) + segment.from, segment.count, coupling + segment.to);
    }
  }
  require<RunError>(kernels::factor_cholesky(e.u, parallel),
                    "the wires and cells of a crossbar give no solvable circuit in double precision (conductances "
                    "differ by more than 15 orders of magnitude); check Rp_row, Rp_col, Rmin and Rmax");
  kernels::solve_transposed(e.u, e.coupling, parallel);
  return e;
}

MacroModel merged(const MacroModel& a, const MacroModel& b, const Join& join, const Elimination& e, Storage& storage,
                  Parallel parallel) {
  const std::int64_t n = join.ports.count();
  MacroModel m{join.ports, storage.take(n, n)};
  kernels::subtract_from_pair(
      {{a.y, b.y}, std::span(join.segments).first(static_cast<std::size_t>(join.segment_count))}, e.coupling,
      join.ports.border, m.y, parallel);
  return m;
}

RealMatrix merged_left_bottom(const MacroModel& a, const MacroModel& b, const Join& join, const Elimination& e,
                              Parallel parallel) {
  const Ports& p = join.ports;
  const Block block{p.at(Side::left), p.size(Side::left), p.at(Side::bottom), p.size(Side::bottom)};
  RealMatrix y = RealMatrix::uninitialized(block.rows, block.cols);
  copy_parts(a, b, join, block, y.view());
  kernels::subtract_product(e.coupling.cols_from(block.row, block.rows), e.coupling.cols_from(block.col, block.cols),
                            y.view(), kernels::Triangle::all, parallel);
  return y;
}

}  // namespace tessera::circuit::detail
