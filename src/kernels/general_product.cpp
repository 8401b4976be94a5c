#include "tessera/kernels/general_product.hpp"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/general_product.cpp"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels::detail {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_NATIVE_FMA

// kRows rows of c times kVectors SIMD vectors of its columns, all accumulators in registers, k in order. kRowStep: 1 if
// the rows of a are neighbours in memory (a transposed matrix), 0 for any step.
template <int kRows, int kVectors, int kRowStep, bool kMasked, class D, class M>
HWY_INLINE void micro_kernel(D d, M mask, const StridedMatrix& a, ConstMatrixView b, MatrixView c, bool accumulate) {
  using V = hn::Vec<D>;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
  V sum[kRows][kVectors];
#pragma GCC unroll 32
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const float* from = c.data + r * c.stride + v * lanes;
      if constexpr (kMasked)
        sum[r][v] = accumulate ? hn::MaskedLoad(mask, d, from) : hn::Zero(d);
      else
        sum[r][v] = accumulate ? hn::LoadU(d, from) : hn::Zero(d);
    }
  // One pointer per three rows plus 0, 1 or 2 steps: twelve pointers would not fit the registers.
  constexpr int kTriples = (kRows + 2) / 3;
  const std::int64_t row_step = kRowStep == 0 ? a.row_step : kRowStep;
  const float* x[kTriples];
#pragma GCC unroll 4
  for (int t = 0; t < kTriples; ++t) x[t] = a.data + 3 * t * row_step;
  const float* HWY_RESTRICT w = b.data;
  for (std::int64_t k = 0; k < b.rows; ++k) {
    V weight[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      if constexpr (kMasked)
        weight[v] = hn::MaskedLoad(mask, d, w + v * lanes);
      else
        weight[v] = hn::LoadU(d, w + v * lanes);
    }
    w += b.stride;
#pragma GCC unroll 32
    for (int r = 0; r < kRows; ++r) {
      const V value = hn::Set(d, x[r / 3][r % 3 * row_step]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::MulAdd(value, weight[v], sum[r][v]);
    }
#pragma GCC unroll 4
    for (int t = 0; t < kTriples; ++t) x[t] += a.column_step;
  }
#pragma GCC unroll 32
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      float* to = c.data + r * c.stride + v * lanes;
      if constexpr (kMasked)
        hn::BlendedStore(sum[r][v], mask, d, to);
      else
        hn::StoreU(sum[r][v], d, to);
    }
}

template <int kRows, int kVectors, int kRowStep, bool kMasked, class D, class M>
HWY_NOINLINE void rows_from(D d, M mask, const StridedMatrix& a, ConstMatrixView b, MatrixView c, bool accumulate,
                            std::int64_t rows) {
  if (rows == kRows) {
    micro_kernel<kRows, kVectors, kRowStep, kMasked>(d, mask, a, b, c, accumulate);
  } else if constexpr (kRows > 1) {
    rows_from<kRows - 1, kVectors, kRowStep, kMasked>(d, mask, a, b, c, accumulate, rows);
  }
}

// All rows in groups of nearly equal size.
template <int kVectors, int kRowStep, bool kMasked, class D, class M>
HWY_INLINE void all_rows(D d, M mask, StridedMatrix a, ConstMatrixView b, MatrixView c, bool accumulate) {
  constexpr int kRows = HWY_TARGET <= HWY_AVX3 ? 12 : (kVectors == 1 ? 8 : 5);
  const std::int64_t groups = (c.rows + kRows - 1) / kRows;
  const std::int64_t size = c.rows / groups, larger = c.rows % groups;
  for (std::int64_t g = 0; g < groups; ++g) {
    const std::int64_t rows = size + (g < larger ? 1 : 0);
    rows_from<kRows, kVectors, kRowStep, kMasked>(d, mask, a, b, c, accumulate, rows);
    a.data += rows * a.row_step;
    c.data += rows * c.stride;
  }
}

template <int kRowStep>
HWY_INLINE void product_of(const StridedMatrix& a, ConstMatrixView b, MatrixView c, bool accumulate) {
  const hn::CappedTag<float, 16> d;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  const auto none = hn::FirstN(d, 0);
  std::int64_t i = 0;
  for (; i + 2 * lanes <= c.cols; i += 2 * lanes)
    all_rows<2, kRowStep, false>(d, none, a, b.cols_from(i, 2 * lanes), c.cols_from(i, 2 * lanes), accumulate);
  for (; i + lanes <= c.cols; i += lanes)
    all_rows<1, kRowStep, false>(d, none, a, b.cols_from(i, lanes), c.cols_from(i, lanes), accumulate);
  if (i < c.cols) {
    const auto mask = hn::FirstN(d, static_cast<std::size_t>(c.cols - i));
    all_rows<1, kRowStep, true>(d, mask, a, b.cols_from(i, c.cols - i), c.cols_from(i, c.cols - i), accumulate);
  }
}

void block_product(const StridedMatrix& a, ConstMatrixView b, MatrixView c, bool accumulate) {
  if (a.row_step == 1)
    product_of<1>(a, b, c, accumulate);
  else
    product_of<0>(a, b, c, accumulate);
}

#else  // no fused multiply-add: exact by the C library's, one element at a time

void block_product(const StridedMatrix& a, ConstMatrixView b, MatrixView c, bool accumulate) {
  for (std::int64_t r = 0; r < c.rows; ++r)
    for (std::int64_t i = 0; i < c.cols; ++i) {
      float sum = accumulate ? c(r, i) : 0.0F;
      for (std::int64_t k = 0; k < b.rows; ++k)
        sum = std::fma(a.data[r * a.row_step + k * a.column_step], b(k, i), sum);
      c(r, i) = sum;
    }
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace tessera::kernels::detail
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {
namespace detail {
HWY_EXPORT(block_product);

using BlockFunction = void (*)(const StridedMatrix&, ConstMatrixView, MatrixView, bool);
BlockFunction block_function() {
  return HWY_DYNAMIC_DISPATCH(block_product);
}
}  // namespace detail

StridedMatrix transposed(ConstMatrixView view) {
  StridedMatrix result;
  result.data = view.data;
  result.rows = view.cols;
  result.cols = view.rows;
  result.row_step = 1;
  result.column_step = view.stride;
  return result;
}

void general_product(const StridedMatrix& a, ConstMatrixView b, MatrixView c, Accumulate accumulate,
                     Parallel parallel) {
  require<InputError>(a.rows == c.rows && a.cols == b.rows && b.cols == c.cols,
                      "product of {}x{} with {}x{} into {}x{} does not fit", a.rows, a.cols, b.rows, b.cols, c.rows,
                      c.cols);
  if (c.rows == 0 || c.cols == 0) return;
  const detail::BlockFunction run = detail::block_function();
  // A block of b stays in the first-level cache while all rows of a pass over it.
  constexpr std::int64_t inner_block = 256, row_block = 48, column_block = 128;
  const std::int64_t column_blocks = (c.cols + column_block - 1) / column_block;
  const std::int64_t row_blocks = (c.rows + row_block - 1) / row_block;
  const bool small = c.rows * c.cols * b.rows < 64 * 1024;
  parallel_for(small ? Parallel{1} : parallel, row_blocks * column_blocks, [&](std::int64_t task) {
    const std::int64_t r = task / column_blocks * row_block, i = task % column_blocks * column_block;
    const std::int64_t rows = std::min(row_block, c.rows - r), cols = std::min(column_block, c.cols - i);
    const MatrixView part = c.rows_from(r, rows).cols_from(i, cols);
    StridedMatrix left = a;
    left.data += r * a.row_step;
    left.rows = rows;
    std::int64_t k = 0;
    do {
      const std::int64_t inner = std::min(inner_block, b.rows - k);
      left.cols = inner;
      run(left, b.rows_from(k, inner).cols_from(i, cols), part, accumulate == Accumulate::yes || k > 0);
      left.data += inner * a.column_step;
      k += inner;
    } while (k < b.rows);
  });
}

}  // namespace tessera::kernels
#endif
