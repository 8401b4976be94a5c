#include "tessera/kernels/outer_product.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/outer_product.cpp"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels::detail {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_NATIVE_FMA

// kRows rows of the sum times kVectors SIMD vectors of its columns, all in registers while the vectors pass.
template <int kRows, int kVectors, bool kMasked, class D>
HWY_INLINE void block(D d, ConstMatrixView e, ConstMatrixView z, MatrixView sum, std::int64_t row, std::int64_t col) {
  using V = hn::Vec<D>;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
  const auto mask = hn::FirstN(d, static_cast<std::size_t>(std::min(lanes, sum.cols - col)));
  V acc[kRows][kVectors];
  float* HWY_RESTRICT out = sum.data + row * sum.stride + col;
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      acc[i][v] =
          kMasked ? hn::MaskedLoad(mask, d, out + i * sum.stride) : hn::LoadU(d, out + i * sum.stride + v * lanes);
  const float* HWY_RESTRICT factor = e.data + row;
  const float* HWY_RESTRICT vector = z.data + col;
  for (std::int64_t r = 0; r < e.rows; ++r) {
    V value[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      value[v] = kMasked ? hn::MaskedLoad(mask, d, vector) : hn::LoadU(d, vector + v * lanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const V f = hn::Set(d, factor[i]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[i][v] = hn::MulAdd(f, value[v], acc[i][v]);
    }
    factor += e.stride;
    vector += z.stride;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      if constexpr (kMasked)
        hn::BlendedStore(acc[i][v], mask, d, out + i * sum.stride);
      else
        hn::StoreU(acc[i][v], d, out + i * sum.stride + v * lanes);
    }
}

template <int kRows, int kVectors, bool kMasked, class D>
HWY_NOINLINE void rows_of(D d, ConstMatrixView e, ConstMatrixView z, MatrixView sum, std::int64_t row, std::int64_t col,
                          std::int64_t rows) {
  if (rows == kRows) {
    block<kRows, kVectors, kMasked>(d, e, z, sum, row, col);
  } else if constexpr (kRows > 1) {
    rows_of<kRows - 1, kVectors, kMasked>(d, e, z, sum, row, col, rows);
  }
}

// All columns of `rows` rows.
void outer_rows(ConstMatrixView e, ConstMatrixView z, MatrixView sum, std::int64_t row, std::int64_t rows) {
  const hn::CappedTag<float, 16> d;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  constexpr int kRows = HWY_TARGET <= HWY_AVX3 ? 12 : 6;
  for (; rows > 0; row += kRows, rows -= kRows) {
    const std::int64_t now = std::min<std::int64_t>(rows, kRows);
    std::int64_t col = 0;
    for (; col + 2 * lanes <= sum.cols; col += 2 * lanes) rows_of<kRows, 2, false>(d, e, z, sum, row, col, now);
    for (; col + lanes <= sum.cols; col += lanes) rows_of<kRows, 1, false>(d, e, z, sum, row, col, now);
    if (col < sum.cols) rows_of<kRows, 1, true>(d, e, z, sum, row, col, now);
  }
}

#else  // no fused multiply-add: exact by the C library's

void outer_rows(ConstMatrixView e, ConstMatrixView z, MatrixView sum, std::int64_t row, std::int64_t rows) {
  for (std::int64_t i = row; i < row + rows; ++i)
    for (std::int64_t r = 0; r < e.rows; ++r)
      for (std::int64_t k = 0; k < z.cols; ++k) sum(i, k) = std::fma(e(r, i), z(r, k), sum(i, k));
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace tessera::kernels::detail
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {
namespace detail {
HWY_EXPORT(outer_rows);
template <class... Args>
void best_outer_rows(Args&&... args) {
  HWY_DYNAMIC_DISPATCH(outer_rows)(std::forward<Args>(args)...);
}
}  // namespace detail

void add_outer_products(ConstMatrixView e, ConstMatrixView z, MatrixView sum, Parallel parallel) {
  require<InputError>(e.rows == z.rows && sum.rows == e.cols && sum.cols == z.cols,
                      "outer products of {}x{} and {}x{} values do not add up to {}x{}", e.rows, e.cols, z.rows, z.cols,
                      sum.rows, sum.cols);
  if (e.rows == 0 || sum.rows == 0 || sum.cols == 0) return;
  constexpr std::int64_t group = 24;     // rows of the sum per task
  constexpr std::int64_t vectors = 192;  // whose z stays in the second-level cache for all rows of the sum
  const bool small = e.rows * sum.rows * sum.cols < 64 * 1024;
  const std::int64_t groups = (sum.rows + group - 1) / group;
  parallel_for(small ? Parallel{1} : parallel, groups, [&](std::int64_t g) {
    const std::int64_t rows = std::min(group, sum.rows - g * group);
    for (std::int64_t r = 0; r < e.rows; r += vectors) {
      const std::int64_t count = std::min(vectors, e.rows - r);
      detail::best_outer_rows(e.rows_from(r, count), z.rows_from(r, count), sum, g * group, rows);
    }
  });
}

}  // namespace tessera::kernels
#endif
