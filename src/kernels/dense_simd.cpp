#include "kernels/dense_simd.hpp"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/dense_simd.cpp"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels::detail {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D8 = hn::CappedTag<double, 8>;
constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(D8()));
constexpr int tile_vectors = 3;
constexpr int tile_rows = HWY_TARGET <= HWY_AVX3 ? 8 : 4;
constexpr std::int64_t tile_cols = tile_vectors * lanes;
constexpr std::int64_t inner_block = 128;
constexpr std::int64_t row_block = 96;

// tile_rows x tile_cols of the product of two packed panels, all sums in registers, subtracted from c.
HWY_INLINE void product_tile(const double* HWY_RESTRICT a, const double* HWY_RESTRICT b, std::int64_t inner,
                             double* HWY_RESTRICT c, std::int64_t stride, std::int64_t rows, std::int64_t cols) {
  const D8 d;
  using V = hn::Vec<D8>;
  V sum[tile_rows][tile_vectors];
#pragma GCC unroll 8
  for (int i = 0; i < tile_rows; ++i)
#pragma GCC unroll 3
    for (int v = 0; v < tile_vectors; ++v) sum[i][v] = hn::Zero(d);
  for (std::int64_t k = 0; k < inner; ++k) {
    V value[tile_vectors];
#pragma GCC unroll 3
    for (int v = 0; v < tile_vectors; ++v) value[v] = hn::Load(d, b + v * lanes);
#pragma GCC unroll 8
    for (int i = 0; i < tile_rows; ++i) {
      const V factor = hn::Set(d, a[i]);
#pragma GCC unroll 3
      for (int v = 0; v < tile_vectors; ++v) sum[i][v] = hn::MulAdd(factor, value[v], sum[i][v]);
    }
    a += tile_rows;
    b += tile_cols;
  }
  if (rows == tile_rows && cols == tile_cols) {
#pragma GCC unroll 8
    for (int i = 0; i < tile_rows; ++i)
#pragma GCC unroll 3
      for (int v = 0; v < tile_vectors; ++v) {
        double* at = c + i * stride + v * lanes;
        hn::StoreU(hn::Sub(hn::LoadU(d, at), sum[i][v]), d, at);
      }
    return;
  }
  HWY_ALIGN double buffer[tile_rows * tile_cols];
#pragma GCC unroll 8
  for (int i = 0; i < tile_rows; ++i)
#pragma GCC unroll 3
    for (int v = 0; v < tile_vectors; ++v) hn::Store(sum[i][v], d, buffer + i * tile_cols + v * lanes);
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < cols; ++j) c[i * stride + j] -= buffer[i * tile_cols + j];
}

// Whole vectors: a call to memmove costs more than so few values.
template <std::int64_t kCount>
HWY_INLINE void copy_vectors(const double* HWY_RESTRICT from, double* HWY_RESTRICT to) {
  static_assert(kCount % lanes == 0);
  const D8 d;
#pragma GCC unroll 8
  for (std::int64_t v = 0; v < kCount; v += lanes) hn::StoreU(hn::LoadU(d, from + v), d, to + v);
}

// Panels of tile_rows rows, padded with zeros.
void pack_factor(const DoubleFactor& a, std::int64_t k0, std::int64_t inner, std::int64_t i0, std::int64_t rows,
                 double* HWY_RESTRICT out) {
  for (std::int64_t p = 0; p < rows; p += tile_rows) {
    const std::int64_t now = std::min<std::int64_t>(tile_rows, rows - p);
    const double* from = a.data + k0 * a.inner_step + (i0 + p) * a.row_step;
    if constexpr (tile_rows % lanes == 0) {
      if (a.row_step == 1 && now == tile_rows) {
        for (std::int64_t k = 0; k < inner; ++k, out += tile_rows)
          copy_vectors<tile_rows>(from + k * a.inner_step, out);
        continue;
      }
    }
    for (std::int64_t k = 0; k < inner; ++k, out += tile_rows) {
      const double* at = from + k * a.inner_step;
      for (std::int64_t i = 0; i < now; ++i) out[i] = at[i * a.row_step];
      for (std::int64_t i = now; i < tile_rows; ++i) out[i] = 0.0;
    }
  }
}

void pack_columns(ConstDoubleView b, std::int64_t k0, std::int64_t inner, std::int64_t j0, std::int64_t cols,
                  double* HWY_RESTRICT out) {
  for (std::int64_t p = 0; p < cols; p += tile_cols) {
    const std::int64_t now = std::min(tile_cols, cols - p);
    const double* from = b.data + k0 * b.stride + j0 + p;
    if (now == tile_cols) {
      for (std::int64_t k = 0; k < inner; ++k, out += tile_cols) copy_vectors<tile_cols>(from + k * b.stride, out);
      continue;
    }
    for (std::int64_t k = 0; k < inner; ++k, out += tile_cols) {
      const double* at = from + k * b.stride;
      for (std::int64_t j = 0; j < now; ++j) out[j] = at[j];
      for (std::int64_t j = now; j < tile_cols; ++j) out[j] = 0.0;
    }
  }
}

void product_strip(const DoubleFactor& a, ConstDoubleView b, DoubleView c, std::int64_t first, std::int64_t columns,
                   Triangle triangle) {
  const auto panels = [](std::int64_t extent, std::int64_t width) { return (extent + width - 1) / width * width; };
  const std::int64_t deepest = std::min(inner_block, a.inner);
  AlignedVector<double> packed_b(static_cast<std::size_t>(panels(columns, tile_cols) * deepest));
  AlignedVector<double> packed_a(static_cast<std::size_t>(panels(std::min(row_block, c.rows), tile_rows) * deepest));
  const std::int64_t last_row = triangle == Triangle::upper ? std::min(c.rows, first + columns) : c.rows;
  for (std::int64_t k0 = 0; k0 < a.inner; k0 += inner_block) {
    const std::int64_t inner = std::min(inner_block, a.inner - k0);
    pack_columns(b, k0, inner, first, columns, packed_b.data());
    for (std::int64_t i0 = 0; i0 < last_row; i0 += row_block) {
      const std::int64_t rows = std::min(row_block, last_row - i0);
      pack_factor(a, k0, inner, i0, rows, packed_a.data());
      for (std::int64_t j = 0; j < columns; j += tile_cols) {
        const std::int64_t cols = std::min(tile_cols, columns - j);
        for (std::int64_t i = 0; i < rows; i += tile_rows) {
          if (triangle == Triangle::upper && i0 + i > first + j + cols - 1) break;
          product_tile(packed_a.data() + i * inner, packed_b.data() + j * inner, inner,
                       c.data + (i0 + i) * c.stride + first + j, c.stride, std::min<std::int64_t>(tile_rows, rows - i),
                       cols);
        }
      }
    }
  }
}

/// Rows [row, row + kRows) of a strip of tile_cols columns, in registers: first what the finished rows [done0, done1)
/// contribute, then the triangle itself. kTransposed: u^-T, downwards; else u^-1, upwards.
template <int kRows, bool kTransposed>
HWY_INLINE void solve_rows(ConstDoubleView u, double* HWY_RESTRICT strip, std::int64_t row, std::int64_t done0,
                           std::int64_t done1) {
  const D8 d;
  using V = hn::Vec<D8>;
  V x[kRows][tile_vectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 3
    for (int v = 0; v < tile_vectors; ++v) x[r][v] = hn::Load(d, strip + (row + r) * tile_cols + v * lanes);
  for (std::int64_t k = done0; k < done1; ++k) {
    V value[tile_vectors];
#pragma GCC unroll 3
    for (int v = 0; v < tile_vectors; ++v) value[v] = hn::Load(d, strip + k * tile_cols + v * lanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const V factor = hn::Set(d, kTransposed ? u.data[k * u.stride + row + r] : u.data[(row + r) * u.stride + k]);
#pragma GCC unroll 3
      for (int v = 0; v < tile_vectors; ++v) x[r][v] = hn::NegMulAdd(factor, value[v], x[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < kRows; ++t) {
    const int p = kTransposed ? t : kRows - 1 - t;
    const V inverse = hn::Set(d, 1.0 / u.data[(row + p) * u.stride + row + p]);
#pragma GCC unroll 3
    for (int v = 0; v < tile_vectors; ++v) x[p][v] = hn::Mul(x[p][v], inverse);
#pragma GCC unroll 8
    for (int s = t + 1; s < kRows; ++s) {
      const int r = kTransposed ? s : kRows - 1 - s;
      const V factor =
          hn::Set(d, kTransposed ? u.data[(row + p) * u.stride + row + r] : u.data[(row + r) * u.stride + row + p]);
#pragma GCC unroll 3
      for (int v = 0; v < tile_vectors; ++v) x[r][v] = hn::NegMulAdd(factor, x[p][v], x[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 3
    for (int v = 0; v < tile_vectors; ++v) hn::Store(x[r][v], d, strip + (row + r) * tile_cols + v * lanes);
}

template <bool kTransposed>
void small_solve(ConstDoubleView u, DoubleView x, std::int64_t first, std::int64_t columns) {
  const std::int64_t n = u.rows, whole = n / tile_rows * tile_rows;
  HWY_ALIGN double strip[small_order * tile_cols];
  for (std::int64_t j = first; j < first + columns; j += tile_cols) {
    const std::int64_t count = std::min(tile_cols, first + columns - j);
    if (count == tile_cols) {
      for (std::int64_t k = 0; k < n; ++k) copy_vectors<tile_cols>(x.row(k) + j, strip + k * tile_cols);
    } else {
      for (std::int64_t k = 0; k < n; ++k) {
        std::copy_n(x.row(k) + j, count, strip + k * tile_cols);
        std::fill_n(strip + k * tile_cols + count, tile_cols - count, 0.0);
      }
    }
    if constexpr (kTransposed) {
      for (std::int64_t row = 0; row < whole; row += tile_rows) solve_rows<tile_rows, true>(u, strip, row, 0, row);
      for (std::int64_t row = whole; row < n; ++row) solve_rows<1, true>(u, strip, row, 0, row);
    } else {
      for (std::int64_t row = n - 1; row >= whole; --row) solve_rows<1, false>(u, strip, row, row + 1, n);
      for (std::int64_t row = whole - tile_rows; row >= 0; row -= tile_rows)
        solve_rows<tile_rows, false>(u, strip, row, row + tile_rows, n);
    }
    if (count == tile_cols) {
      for (std::int64_t k = 0; k < n; ++k) copy_vectors<tile_cols>(strip + k * tile_cols, x.row(k) + j);
    } else {
      for (std::int64_t k = 0; k < n; ++k) std::copy_n(strip + k * tile_cols, count, x.row(k) + j);
    }
  }
}

void small_solve_transposed(ConstDoubleView u, DoubleView x, std::int64_t first, std::int64_t columns) {
  small_solve<true>(u, x, first, columns);
}

void small_solve_upper(ConstDoubleView u, DoubleView x, std::int64_t first, std::int64_t columns) {
  small_solve<false>(u, x, first, columns);
}

constexpr std::int64_t lane_width = eliminate_lanes;
constexpr int pivots_together = 4;

// kRows rows from row i on, entries j >= i, less what kPivots pivot rows contribute: row[j] -= sum_s f_s pivot_s[j].
// Rows that begin together share the loads of the pivots.
template <int kRows, int kPivots>
HWY_INLINE void eliminate_rows(double* base, std::int64_t n, std::int64_t q, std::int64_t i,
                               const hn::Vec<D8>* inverse) {
  const D8 d;
  const double* HWY_RESTRICT pivot[kPivots];
  double* HWY_RESTRICT row[kRows];
  hn::Vec<D8> f[kRows][kPivots];
  for (int s = 0; s < kPivots; ++s) pivot[s] = base + (q + s) * n * lane_width;
  for (int r = 0; r < kRows; ++r) {
    row[r] = base + (i + r) * n * lane_width;
    for (int s = 0; s < kPivots; ++s) f[r][s] = hn::Mul(hn::Load(d, pivot[s] + (i + r) * lane_width), inverse[s]);
  }
  const auto entry = [&](int r, std::int64_t j) {
    auto value = hn::Load(d, row[r] + j * lane_width);
    for (int s = 0; s < kPivots; ++s) value = hn::NegMulAdd(f[r][s], hn::Load(d, pivot[s] + j * lane_width), value);
    hn::Store(value, d, row[r] + j * lane_width);
  };
  for (int r = 0; r < kRows; ++r)
    for (std::int64_t j = i + r; j < i + kRows - 1; ++j) entry(r, j);
  for (std::int64_t j = i + kRows - 1; j < n; ++j) {
    hn::Vec<D8> p[kPivots];
#pragma GCC unroll 4
    for (int s = 0; s < kPivots; ++s) p[s] = hn::Load(d, pivot[s] + j * lane_width);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      auto value = hn::Load(d, row[r] + j * lane_width);
#pragma GCC unroll 4
      for (int s = 0; s < kPivots; ++s) value = hn::NegMulAdd(f[r][s], p[s], value);
      hn::Store(value, d, row[r] + j * lane_width);
    }
  }
}

template <int kPivots>
void eliminate_pivots(double* base, std::int64_t n, std::int64_t q) {
  const D8 d;
  hn::Vec<D8> inverse[kPivots];
  for (int s = 0; s < kPivots; ++s) {
    const double* HWY_RESTRICT pivot = base + (q + s) * n * lane_width;
    inverse[s] = hn::Div(hn::Set(d, 1.0), hn::Load(d, pivot + (q + s) * lane_width));
    for (std::int64_t i = q + s + 1; i < q + kPivots; ++i) {
      const auto f = hn::Mul(hn::Load(d, pivot + i * lane_width), inverse[s]);
      double* HWY_RESTRICT row = base + i * n * lane_width;
      for (std::int64_t j = i; j < n; ++j)
        hn::Store(hn::NegMulAdd(f, hn::Load(d, pivot + j * lane_width), hn::Load(d, row + j * lane_width)), d,
                  row + j * lane_width);
    }
  }
  std::int64_t i = q + kPivots;
  for (; i + 4 <= n; i += 4) eliminate_rows<4, kPivots>(base, n, q, i, inverse);
  for (; i < n; ++i) eliminate_rows<1, kPivots>(base, n, q, i, inverse);
}

void lane_elimination(double* y, std::int64_t n, std::int64_t count) {
  for (std::int64_t part = 0; part < lane_width; part += lanes) {
    std::int64_t q = 0;
    for (; q + pivots_together <= count; q += pivots_together) eliminate_pivots<pivots_together>(y + part, n, q);
    for (; q < count; ++q) eliminate_pivots<1>(y + part, n, q);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tessera::kernels::detail
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels::detail {
HWY_EXPORT(product_strip);
HWY_EXPORT(small_solve_transposed);
HWY_EXPORT(small_solve_upper);
HWY_EXPORT(lane_elimination);

ProductStrip product_strip() {
  return HWY_DYNAMIC_DISPATCH(product_strip);
}
SmallSolve small_solve_transposed() {
  return HWY_DYNAMIC_DISPATCH(small_solve_transposed);
}
SmallSolve small_solve_upper() {
  return HWY_DYNAMIC_DISPATCH(small_solve_upper);
}
LaneElimination lane_elimination() {
  return HWY_DYNAMIC_DISPATCH(lane_elimination);
}
}  // namespace tessera::kernels::detail
#endif
