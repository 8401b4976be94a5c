#pragma once
#include <cstdint>

#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"

/// Sums of outer products: the gradient of a product with respect to its weights.
namespace tessera::kernels {

/// sum[i][k] += sum_r e[r][i] z[r][k] with e [vectors, outputs], z [vectors, inputs], sum [outputs, inputs]; in
/// float32, for every element acc = sum;  for r = 0, 1, ...:  acc = fma(e[r][i], z[r][k], acc);  sum = acc. The order
/// is fixed, so vectors may come in any number of calls and on any number of threads: the bits are the same on every
/// instruction set. Throws InputError if the shapes do not fit. Nothing may overlap.
void add_outer_products(ConstMatrixView e, ConstMatrixView z, MatrixView sum, Parallel parallel = {});

}  // namespace tessera::kernels
