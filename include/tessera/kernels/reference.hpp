#pragma once
#include <cmath>
#include <cstdint>
#include <span>

#include "tessera/core/tensor.hpp"

/// Scalar definitions of the vectorised kernels. Slow and obvious; every instruction set is tested against them.
namespace tessera::kernels::reference {

/// One output: acc = 0; acc = fma(x[k], w[k], acc) for k in order.
inline float dot(std::span<const float> x, std::span<const float> w) {
  float sum = 0.0F;
  for (std::size_t k = 0; k < x.size(); ++k) sum = std::fma(x[k], w[k], sum);
  return sum;
}

/// kernels::multiply with the weights as they are ([outputs, inputs]); `magnitudes`: with |w|.
void multiply(ConstMatrixView weight, ConstMatrixView x, MatrixView y, std::span<const float> bias = {},
              bool magnitudes = false);

/// What quadratic IR drop takes of a column's value, per A = n/G sum |w| |x| (reference section 4.6.1):
/// C(A) = A (A (0.05 A - 0.2) + 0.5), and dC/dA.
inline float ir_drop(float a) {
  return a * (a * (0.05F * a - 0.2F) + 0.5F);
}
inline float ir_drop_slope(float a) {
  return a * (0.15F * a - 0.4F) + 0.5F;
}

/// kernels::multiply_with; `variance` may be empty.
void multiply_with(float n_over_g, float ir_drop_scale, ConstMatrixView weight, ConstMatrixView x, MatrixView y,
                   MatrixView variance);

/// step * rint(v / step), ties to even, in float32 (reference section 4.2); v itself for step <= 0. A negative
/// zero counts as zero.
inline float quantize(float v, float step) {
  return step > 0.0F ? step * std::rint((v + 0.0F) / step) : v;
}

/// The same with a stochastic decision: step * rint(v / step + (u - 1/2)), u uniform on (0, 1).
inline float quantize_stochastic(float v, float step, float u) {
  return step > 0.0F ? step * std::rint((v + 0.0F) / step + (u - 0.5F)) : v;
}

}  // namespace tessera::kernels::reference
