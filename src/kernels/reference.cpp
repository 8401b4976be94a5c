#include "tessera/kernels/reference.hpp"

namespace tessera::kernels::reference {

void multiply(ConstMatrixView weight, ConstMatrixView x, MatrixView y, std::span<const float> bias, bool magnitudes) {
  for (std::int64_t r = 0; r < x.rows; ++r) {
    for (std::int64_t i = 0; i < weight.rows; ++i) {
      float sum = 0.0F;
      for (std::int64_t k = 0; k < weight.cols; ++k) {
        const float w = magnitudes ? std::fabs(weight(i, k)) : weight(i, k);
        sum = std::fma(x(r, k), w, sum);
      }
      y(r, i) = bias.empty() ? sum : sum + bias[static_cast<std::size_t>(i)];
    }
  }
}

void multiply_with(float n_over_g, float ir_drop_scale, ConstMatrixView weight, ConstMatrixView x, MatrixView y,
                   MatrixView variance) {
  const auto n = static_cast<float>(weight.cols);
  const float inverse = 1.0F / (n * n);
  for (std::int64_t r = 0; r < x.rows; ++r) {
    for (std::int64_t i = 0; i < weight.rows; ++i) {
      float sum = 0.0F;
      float prefix = 0.0F;
      float second = 0.0F;
      float current = 0.0F;
      float squares = 0.0F;
      for (std::int64_t k = 0; k < weight.cols; ++k) {
        sum = std::fma(x(r, k), weight(i, k), sum);
        prefix += sum;
        second += prefix;
        current = std::fma(std::fabs(x(r, k)), std::fabs(weight(i, k)), current);
        squares = std::fma(x(r, k) * x(r, k), std::fabs(weight(i, k)), squares);
      }
      const float far = ((second + second) - prefix) * inverse;
      const float a = n_over_g * current;
      const float drop = ir_drop_scale * ir_drop(a);
      y(r, i) = ir_drop_scale > 0.0F ? sum - drop * (sum - far) : sum;
      if (variance.rows > 0) variance(r, i) = squares;
    }
  }
}

}  // namespace tessera::kernels::reference
