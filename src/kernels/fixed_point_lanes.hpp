#pragma once
#include "tessera/kernels/fixed_point.hpp"

namespace tessera::kernels {

// x 2^-shift, rounded: an offset that depends on x, then an arithmetic shift.
//     offset = base + (x < 0 ? negative : 0) + (even & (x >> shift))
template <class I>
struct Rounder {
  int shift = 0;
  I base = 0, negative = 0, even = 0;

  Rounder(int bits, FixedPointRounding rounding) : shift(bits) {
    if (bits <= 0) return;
    const I half = static_cast<I>(I{1} << (bits - 1));
    switch (rounding) {
      case FixedPointRounding::nearest_even:
        base = static_cast<I>(half - 1);
        even = 1;
        break;
      case FixedPointRounding::half_up:
        base = half;
        break;
      case FixedPointRounding::half_away:
        base = half;
        negative = -1;
        break;
      case FixedPointRounding::toward_zero:
        negative = static_cast<I>((half - 1) + half);
        break;
      default:
        break;
    }
  }
};

/// The steps of a block output by output, with the reference.
void fixed_point_scalar(const FixedPointBlock& block);

}  // namespace tessera::kernels
