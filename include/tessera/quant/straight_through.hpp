#pragma once
#include <span>

/// Rounding steps whose derivative is taken as 1 (quantization reference, section A.1). Elementwise on equal lengths;
/// the output may be the input.
namespace tessera::quant {

/// rne(x): nearest integer, ties to even; NaN, infinities and the sign of zero are kept.
void round_straight_through(std::span<const float> x, std::span<float> y);
/// floor(x).
void floor_straight_through(std::span<const float> x, std::span<float> y);
/// The gradient of both: grad_x = grad_y.
void straight_through_backward(std::span<const float> grad_y, std::span<float> grad_x);

}  // namespace tessera::quant
