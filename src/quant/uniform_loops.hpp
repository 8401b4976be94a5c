#pragma once
#include <cstdint>

#include "tessera/quant/uniform_quantizer.hpp"

/// The loops of the uniform quantizers over contiguous values. Output may be the input; no other overlap.
namespace tessera::quant::loops {

void quantize_dequantize(const UniformGrid& grid, const float* x, float* y, std::int64_t count);
void quantize_to_integer(const UniformGrid& grid, const float* x, float* codes, std::int64_t count);

/// One scale and zero point per value: the case of channels in the last dimension.
struct GridRow {
  const float* scale;
  const float* zero_point;
  float int_min;
  float int_max;
};
void quantize_dequantize_row(const GridRow& row, const float* x, float* y, std::int64_t count);
void quantize_to_integer_row(const GridRow& row, const float* x, float* codes, std::int64_t count);

void straight_through_gradient(const UniformGrid& grid, const float* x, const float* grad_y, float* grad_x,
                               std::int64_t count);

/// Sum of (x - forward(x))^2, each difference in float32, squared and added in double in a fixed order.
double squared_error(const UniformGrid& grid, const float* x, std::int64_t count);

}  // namespace tessera::quant::loops
