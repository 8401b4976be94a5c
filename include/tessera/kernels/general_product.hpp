#pragma once
#include <cstdint>

#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"

/// Products of two matrices that are used once, so that packing either would not pay: what training multiplies
/// backwards.
namespace tessera::kernels {

/// A matrix whose rows or whose columns are contiguous: element (r, k) lies at data[r * row_step + k * column_step].
struct StridedMatrix {
  const float* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t row_step = 0;
  std::int64_t column_step = 1;

  StridedMatrix() = default;
  StridedMatrix(ConstMatrixView view)  // NOLINT(google-explicit-constructor): every view is one
      : data(view.data), rows(view.rows), cols(view.cols), row_step(view.stride) {}
  StridedMatrix(MatrixView view) : StridedMatrix(ConstMatrixView(view)) {}  // NOLINT(google-explicit-constructor)
};

/// The transpose of a view, without a copy.
StridedMatrix transposed(ConstMatrixView view);

enum class Accumulate { no, yes };

/// c = a b, or c += a b:
///     acc = 0 or c[r][i];  for k = 0, 1, ...:  acc = fma(a[r][k], b[k][i], acc);  c[r][i] = acc.
/// The summed index is never split, so the bits do not depend on the blocking, the thread count or the instruction set,
/// and a sum may be continued call by call. a is [rows, inner], b [inner, cols], c [rows, cols]; c must not overlap the
/// others. Throws InputError if the shapes do not fit. Parallel over blocks of c.
void general_product(const StridedMatrix& a, ConstMatrixView b, MatrixView c, Accumulate accumulate,
                     Parallel parallel = {});

}  // namespace tessera::kernels
