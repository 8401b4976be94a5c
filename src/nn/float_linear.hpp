#pragma once
#include "tessera/kernels/product.hpp"
#include "tessera/nn/linear.hpp"
#include "tessera/nn/training.hpp"

namespace tessera::nn {

/// The float32 product as a trainable part: dW += dy^T x, db += sum dy (in double), dx = dy W.
class FloatLinear final : public TrainableLinear {
 public:
  explicit FloatLinear(const LinearPart& part);
  void forward(ConstMatrixView x, MatrixView y, std::uint64_t first_vector, Parallel parallel) override;
  /// dx without rows: not wanted.
  void backward(ConstMatrixView x, ConstMatrixView dy, MatrixView dx, std::uint64_t first_vector,
                Parallel parallel) override;
  std::vector<TrainedParameter> parameters() override;
  void updated() override { stale_ = true; }

  const Matrix& weight() const { return weight_; }
  const std::vector<float>& bias() const { return bias_; }
  MatrixView weight_gradient() { return weight_gradient_.view(); }
  std::span<float> bias_gradient() { return bias_gradient_; }

 private:
  Matrix weight_, weight_gradient_;
  std::vector<float> bias_, bias_gradient_;
  kernels::PackedMatrix packed_;
  bool stale_ = true;
};

/// sum[o] += sum over rows of dy, in double and row order, rounded once.
void add_column_sums(ConstMatrixView dy, std::span<float> sum);

}  // namespace tessera::nn
