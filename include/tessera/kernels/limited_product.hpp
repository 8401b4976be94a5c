#pragma once
#include "tessera/kernels/limits.hpp"
#include "tessera/kernels/product.hpp"

namespace tessera::kernels {

/// multiply() whose results end within `limits`, behind the bias: an activation function that costs no pass of its own.
void multiply(const PackedMatrix& weight, ConstMatrixView x, MatrixView y, Parallel parallel,
              std::span<const float> bias, const Limits& limits);

}  // namespace tessera::kernels
