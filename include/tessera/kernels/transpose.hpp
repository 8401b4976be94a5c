#pragma once
#include "tessera/core/tensor.hpp"

/// Rows to columns.
namespace tessera::kernels {

/// to[c][r] = from[r][c]. Throws InputError if the shapes do not fit; nothing may overlap.
void transpose(ConstMatrixView from, MatrixView to);

}  // namespace tessera::kernels
