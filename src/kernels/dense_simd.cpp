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

// Panels of tile_rows rows, padded with zeros.
void pack_factor(const DoubleFactor& a, std::int64_t k0, std::int64_t inner, std::int64_t i0, std::int64_t rows,
                 double* HWY_RESTRICT out) {
  for (std::int64_t p = 0; p < rows; p += tile_rows) {
    const std::int64_t now = std::min<std::int64_t>(tile_rows, rows - p);
    const double* from = a.data + k0 * a.inner_step + (i0 + p) * a.row_step;
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

// row[j] -= factor * other[j] for a few SIMD vectors and a scalar rest.
HWY_INLINE void subtract_row(double factor, const double* HWY_RESTRICT other, double* HWY_RESTRICT row,
                             std::int64_t count) {
  const D8 d;
  const auto f = hn::Set(d, factor);
  std::int64_t j = 0;
  for (; j + lanes <= count; j += lanes)
    hn::StoreU(hn::NegMulAdd(f, hn::LoadU(d, other + j), hn::LoadU(d, row + j)), d, row + j);
  for (; j < count; ++j) row[j] -= factor * other[j];
}

void small_solve_transposed(ConstDoubleView u, DoubleView x, std::int64_t first, std::int64_t columns) {
  for (std::int64_t j = first; j < first + columns; j += 32) {
    const std::int64_t count = std::min<std::int64_t>(32, first + columns - j);
    for (std::int64_t k = 0; k < u.rows; ++k) {
      double* row = x.row(k) + j;
      const double inverse = 1.0 / u(k, k);
      for (std::int64_t t = 0; t < count; ++t) row[t] *= inverse;
      for (std::int64_t i = k + 1; i < u.rows; ++i) subtract_row(u(k, i), row, x.row(i) + j, count);
    }
  }
}

void small_solve_upper(ConstDoubleView u, DoubleView x, std::int64_t first, std::int64_t columns) {
  for (std::int64_t j = first; j < first + columns; j += 32) {
    const std::int64_t count = std::min<std::int64_t>(32, first + columns - j);
    for (std::int64_t k = u.rows - 1; k >= 0; --k) {
      double* row = x.row(k) + j;
      const double inverse = 1.0 / u(k, k);
      for (std::int64_t t = 0; t < count; ++t) row[t] *= inverse;
      for (std::int64_t i = 0; i < k; ++i) subtract_row(u(i, k), row, x.row(i) + j, count);
    }
  }
}

void lane_elimination(double* y, std::int64_t n, std::int64_t count) {
  const D8 d;
  constexpr std::int64_t width = eliminate_lanes;
  for (std::int64_t part = 0; part < width; part += lanes) {
    double* base = y + part;
    for (std::int64_t q = 0; q < count; ++q) {
      const double* pivot = base + q * n * width;
      const auto inverse = hn::Div(hn::Set(d, 1.0), hn::Load(d, pivot + q * width));
      for (std::int64_t i = q + 1; i < n; ++i) {
        const auto f = hn::Mul(hn::Load(d, pivot + i * width), inverse);
        double* HWY_RESTRICT row = base + i * n * width;
        for (std::int64_t j = i; j < n; ++j)
          hn::Store(hn::NegMulAdd(f, hn::Load(d, pivot + j * width), hn::Load(d, row + j * width)), d, row + j * width);
      }
    }
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
