#pragma once
#include "tile/product_block.hpp"

namespace tessera::tile {

/// Private: the slope of what stands in front of the lines, z = asymmetry(clamp(Q(clamp(x, -range, range) / range c))),
/// rounding taken as the identity and c as a constant: dz becomes the gradient of u = clamp(x, -range, range) / range
/// (range 0: x) in place, for the lines of x. A value that the DAC clips gets none.
void dac_slope(const IOParameters& io, const kernels::Converter& dac, ConstMatrixView x, float range, ConstMatrixView z,
               const float* scale, MatrixView dz);

}  // namespace tessera::tile
