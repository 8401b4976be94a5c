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

}  // namespace tessera::kernels::reference
