#include "kernels/dense_simd.hpp"

#include <algorithm>
#include <cmath>

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
constexpr int factor_pivots = 4;

/// A tile of the result: its place, and how much of it there is.
struct TilePlace {
  std::int64_t row = 0, rows = 0, col = 0, cols = 0;
};

// tile_rows x tile_cols of the product of two packed panels, all sums in registers, subtracted from the source.
HWY_INLINE void product_tile(const double* HWY_RESTRICT a, const double* HWY_RESTRICT b, std::int64_t inner,
                             DoubleView whole, const TilePlace& place, const PairGroups& source) {
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
  double* HWY_RESTRICT c = whole.row(place.row) + place.col;
  const std::int64_t stride = whole.stride;
  if (place.rows == tile_rows && place.cols == tile_cols) {
    if (source.groups == nullptr) {
#pragma GCC unroll 8
      for (int i = 0; i < tile_rows; ++i)
#pragma GCC unroll 3
        for (int v = 0; v < tile_vectors; ++v) {
          double* at = c + i * stride + v * lanes;
          hn::StoreU(hn::Sub(hn::LoadU(d, at), sum[i][v]), d, at);
        }
      return;
    }
#pragma GCC unroll 3
    for (int v = 0; v < tile_vectors; ++v) {
      const double* HWY_RESTRICT from = source.at(place.row, place.col + v * lanes);
      const std::int64_t from_stride =
          from == nullptr ? 0 : source.parts[static_cast<std::size_t>(source.groups[place.row / 8].part)].stride;
#pragma GCC unroll 8
      for (int i = 0; i < tile_rows; ++i) {
        const V before = from == nullptr ? hn::Zero(d) : hn::LoadU(d, from + i * from_stride);
        hn::StoreU(hn::Sub(before, sum[i][v]), d, c + i * stride + v * lanes);
      }
    }
    return;
  }
  HWY_ALIGN double buffer[tile_rows * tile_cols];
#pragma GCC unroll 8
  for (int i = 0; i < tile_rows; ++i)
#pragma GCC unroll 3
    for (int v = 0; v < tile_vectors; ++v) hn::Store(sum[i][v], d, buffer + i * tile_cols + v * lanes);
  for (std::int64_t i = 0; i < place.rows; ++i)
    for (std::int64_t j = 0; j < place.cols; ++j) {
      double before = c[i * stride + j];
      if (source.groups != nullptr) {
        const double* from = source.at(place.row + i, place.col + j);
        before = from == nullptr ? 0.0 : *from;
      }
      c[i * stride + j] = before - buffer[i * tile_cols + j];
    }
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
                   const WantedRows& wanted, const PairGroups& source) {
  static_assert(strip_columns % tile_cols == 0 && row_block % tile_rows == 0);
  HWY_ALIGN double packed_b[strip_columns * inner_block];  // on the stack: memory from the heap would cost more
  HWY_ALIGN double packed_a[row_block * inner_block];      // than the products of small merges
  std::int64_t last_row = 0;                               // borders may want fewer rows than the columns before them
  for (std::int64_t j = 0; j < columns; ++j) last_row = std::max(last_row, wanted.in_column(first + j));
  for (std::int64_t k0 = 0; k0 < a.inner; k0 += inner_block) {
    const std::int64_t inner = std::min(inner_block, a.inner - k0);
    const PairGroups from = k0 == 0 ? source : PairGroups{};
    pack_columns(b, k0, inner, first, columns, packed_b);
    for (std::int64_t i0 = 0; i0 < last_row; i0 += row_block) {
      const std::int64_t rows = std::min(row_block, last_row - i0);
      pack_factor(a, k0, inner, i0, rows, packed_a);
      for (std::int64_t j = 0; j < columns; j += tile_cols) {
        const std::int64_t cols = std::min(tile_cols, columns - j);
        const std::int64_t end = std::max(wanted.in_column(first + j), wanted.in_column(first + j + cols - 1)) - i0;
        for (std::int64_t i = 0; i < std::min(rows, end); i += tile_rows)
          product_tile(packed_a + i * inner, packed_b + j * inner, inner, c,
                       {i0 + i, std::min<std::int64_t>(tile_rows, rows - i), first + j, cols}, from);
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

/// Rows i.. of a padded triangle less what kPivots finished rows contribute, kRows of them sharing the loads.
template <int kRows>
HWY_INLINE void subtract_pivots(double* HWY_RESTRICT s, std::int64_t stride, std::int64_t q, std::int64_t i) {
  const D8 d;
  hn::Vec<D8> f[kRows][factor_pivots];
  for (int r = 0; r < kRows; ++r)
    for (int p = 0; p < factor_pivots; ++p) f[r][p] = hn::Set(d, s[(q + p) * stride + i + r]);
  for (std::int64_t j = i / lanes * lanes; j < stride; j += lanes) {
    hn::Vec<D8> pivot[factor_pivots];
#pragma GCC unroll 4
    for (int p = 0; p < factor_pivots; ++p) pivot[p] = hn::Load(d, s + (q + p) * stride + j);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      double* at = s + (i + r) * stride + j;
      auto value = hn::Load(d, at);
#pragma GCC unroll 4
      for (int p = 0; p < factor_pivots; ++p) value = hn::NegMulAdd(f[r][p], pivot[p], value);
      hn::Store(value, d, at);
    }
  }
}

bool small_factor(DoubleView matrix) {
  const D8 d;
  const std::int64_t n = matrix.rows, stride = (n + lanes - 1) / lanes * lanes;
  HWY_ALIGN double s[small_order * small_order];
  for (std::int64_t i = 0; i < n; ++i) {
    std::fill(s + i * stride, s + i * stride + i, 0.0);
    std::copy(matrix.row(i) + i, matrix.row(i) + n, s + i * stride + i);
    std::fill(s + i * stride + n, s + (i + 1) * stride, 0.0);
  }
  for (std::int64_t q = 0; q < n; q += factor_pivots) {
    const std::int64_t end = std::min<std::int64_t>(n, q + factor_pivots);
    for (std::int64_t k = q; k < end; ++k) {
      double* row = s + k * stride;
      for (std::int64_t p = q; p < k; ++p) {
        const auto f = hn::Set(d, s[p * stride + k]);
        for (std::int64_t j = k / lanes * lanes; j < stride; j += lanes)
          hn::Store(hn::NegMulAdd(f, hn::Load(d, s + p * stride + j), hn::Load(d, row + j)), d, row + j);
      }
      if (!(row[k] > 0.0) || !std::isfinite(row[k])) return false;
      const double root = std::sqrt(row[k]);
      const auto inverse = hn::Set(d, 1.0 / root);
      for (std::int64_t j = k / lanes * lanes; j < stride; j += lanes)
        hn::Store(hn::Mul(hn::Load(d, row + j), inverse), d, row + j);
      row[k] = root;
    }
    std::int64_t i = end;
    for (; i + 4 <= n; i += 4) subtract_pivots<4>(s, stride, q, i);
    for (; i < n; ++i) subtract_pivots<1>(s, stride, q, i);
  }
  for (std::int64_t i = 0; i < n; ++i) std::copy(s + i * stride + i, s + i * stride + n, matrix.row(i) + i);
  return true;
}

}  // namespace HWY_NAMESPACE
}  // namespace tessera::kernels::detail
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels::detail {
HWY_EXPORT(product_strip);
HWY_EXPORT(small_solve_transposed);
HWY_EXPORT(small_solve_upper);
HWY_EXPORT(small_factor);

ProductStrip product_strip() {
  return HWY_DYNAMIC_DISPATCH(product_strip);
}
SmallSolve small_solve_transposed() {
  return HWY_DYNAMIC_DISPATCH(small_solve_transposed);
}
SmallSolve small_solve_upper() {
  return HWY_DYNAMIC_DISPATCH(small_solve_upper);
}
SmallFactor small_factor() {
  return HWY_DYNAMIC_DISPATCH(small_factor);
}
}  // namespace tessera::kernels::detail
#endif
