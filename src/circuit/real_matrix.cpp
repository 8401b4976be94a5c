#include "tessera/circuit/real_matrix.hpp"

#include <algorithm>

namespace tessera::circuit {

RealMatrix RealMatrix::uninitialized(std::int64_t rows, std::int64_t cols) {
  RealMatrix m;
  m.rows_ = rows;
  m.cols_ = cols;
  m.data_.resize(static_cast<std::size_t>(rows * cols));
  return m;
}

RealMatrix::RealMatrix(std::int64_t rows, std::int64_t cols) : RealMatrix(uninitialized(rows, cols)) {
  std::fill(data_.begin(), data_.end(), 0.0);
}

RealMatrix::RealMatrix(std::int64_t rows, std::int64_t cols, std::span<const double> values)
    : RealMatrix(uninitialized(rows, cols)) {
  require<InputError>(static_cast<std::size_t>(rows * cols) == values.size(), "{} values are no matrix of {}x{}",
                      values.size(), rows, cols);
  std::copy(values.begin(), values.end(), data_.begin());
}

RealMatrix::RealMatrix(ConstRealView view) : RealMatrix(uninitialized(view.rows, view.cols)) {
  for (std::int64_t r = 0; r < rows_; ++r) std::copy_n(view.row(r), cols_, data_.data() + r * cols_);
}

RealMatrix multiply_rows(ConstRealView x, ConstRealView a, Parallel parallel) {
  require<InputError>(x.cols == a.cols, "vectors of {} values do not fit {} inputs", x.cols, a.cols);
  RealMatrix y(x.rows, a.rows);
  parallel_for(parallel, x.rows, [&](std::int64_t r) {
    const double* from = x.row(r);
    for (std::int64_t j = 0; j < a.rows; ++j) {
      const double* row = a.row(j);
      double sum = 0.0;
      for (std::int64_t i = 0; i < a.cols; ++i) sum += from[i] * row[i];
      y(r, j) = sum;
    }
  });
  return y;
}

Matrix rounded(ConstRealView a) {
  Matrix m = Matrix::uninitialized(a.rows, a.cols);
  for (std::int64_t r = 0; r < a.rows; ++r)
    std::transform(a.row(r), a.row(r) + a.cols, m.view().row(r), [](double v) { return static_cast<float>(v); });
  return m;
}

}  // namespace tessera::circuit
