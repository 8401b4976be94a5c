#pragma once
#include <memory>
#include <utility>

#include "tessera/core/tensor.hpp"

namespace tessera {

/// A matrix that never changes: copies share its values.
class SharedMatrix {
 public:
  SharedMatrix() = default;
  SharedMatrix(Matrix matrix)  // NOLINT(google-explicit-constructor): nothing is lost
      : matrix_(std::make_shared<const Matrix>(std::move(matrix))) {}

  const Matrix& matrix() const {
    static const Matrix none;
    return matrix_ ? *matrix_ : none;
  }
  bool empty() const { return matrix().values().empty(); }
  std::int64_t rows() const { return matrix().rows(); }
  std::int64_t cols() const { return matrix().cols(); }
  const float* data() const { return matrix().data(); }
  std::span<const float> values() const { return matrix().values(); }
  ConstMatrixView view() const { return matrix().view(); }

 private:
  std::shared_ptr<const Matrix> matrix_;
};

}  // namespace tessera
