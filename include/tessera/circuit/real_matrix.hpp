#pragma once
#include <cstdint>
#include <span>

#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"

namespace tessera::circuit {

using RealView = BasicMatrixView<double>;
using ConstRealView = BasicMatrixView<const double>;

/// Owning row-major matrix in double precision: circuits are solved in double, because wires of 1 S stand beside cells
/// of 1e-6 S. Zero-initialised.
class RealMatrix {
 public:
  RealMatrix() = default;
  RealMatrix(std::int64_t rows, std::int64_t cols);
  RealMatrix(std::int64_t rows, std::int64_t cols, std::span<const double> values);
  explicit RealMatrix(ConstRealView view);
  static RealMatrix uninitialized(std::int64_t rows, std::int64_t cols);

  std::int64_t rows() const { return rows_; }
  std::int64_t cols() const { return cols_; }
  double* data() { return data_.data(); }
  const double* data() const { return data_.data(); }
  RealView view() { return {data_.data(), rows_, cols_}; }
  ConstRealView view() const { return {data_.data(), rows_, cols_}; }
  std::span<double> values() { return data_; }
  std::span<const double> values() const { return data_; }
  double& operator()(std::int64_t r, std::int64_t c) { return view()(r, c); }
  double operator()(std::int64_t r, std::int64_t c) const { return view()(r, c); }

 private:
  std::int64_t rows_ = 0;
  std::int64_t cols_ = 0;
  AlignedVector<double> data_;
};

/// y = x a^T: vectors [n, inputs] times the transposed rows [outputs, inputs], sums in order of the inputs.
RealMatrix multiply_rows(ConstRealView x, ConstRealView a, Parallel parallel = {});

/// The same values rounded to float32.
Matrix rounded(ConstRealView a);

}  // namespace tessera::circuit
