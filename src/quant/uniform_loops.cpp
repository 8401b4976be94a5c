#include "quant/uniform_loops.hpp"

#include <cmath>

#include "quant/dispatch.hpp"

namespace tessera::quant::loops {

namespace {

// Written so that a NaN fails both comparisons and passes through. Adding the zero point turns -0 into +0.
TESSERA_QUANT_INLINE float code_of(float x, float scale, float zero, float low, float high) {
  float code = std::nearbyint(x / scale) + zero;
  code = code < low ? low : code;
  return code > high ? high : code;
}

}  // namespace

TESSERA_QUANT_CLONES void quantize_dequantize(const UniformGrid& grid, const float* x, float* y, std::int64_t count) {
  const float scale = grid.scale, zero = grid.zero_point, low = grid.int_min, high = grid.int_max;
  for (std::int64_t i = 0; i < count; ++i) y[i] = scale * (code_of(x[i], scale, zero, low, high) - zero);
}

TESSERA_QUANT_CLONES void quantize_to_integer(const UniformGrid& grid, const float* x, float* codes,
                                              std::int64_t count) {
  const float scale = grid.scale, zero = grid.zero_point, low = grid.int_min, high = grid.int_max;
  for (std::int64_t i = 0; i < count; ++i) codes[i] = code_of(x[i], scale, zero, low, high);
}

TESSERA_QUANT_CLONES void quantize_dequantize_row(const GridRow& row, const float* x, float* y, std::int64_t count) {
  const float *scale = row.scale, *zero = row.zero_point;
  const float low = row.int_min, high = row.int_max;
  for (std::int64_t i = 0; i < count; ++i) y[i] = scale[i] * (code_of(x[i], scale[i], zero[i], low, high) - zero[i]);
}

TESSERA_QUANT_CLONES void quantize_to_integer_row(const GridRow& row, const float* x, float* codes,
                                                  std::int64_t count) {
  const float *scale = row.scale, *zero = row.zero_point;
  const float low = row.int_min, high = row.int_max;
  for (std::int64_t i = 0; i < count; ++i) codes[i] = code_of(x[i], scale[i], zero[i], low, high);
}

TESSERA_QUANT_CLONES void straight_through_gradient(const UniformGrid& grid, const float* x, const float* grad_y,
                                                    float* grad_x, std::int64_t count) {
  const float scale = grid.scale, zero = grid.zero_point, low = grid.int_min, high = grid.int_max;
  for (std::int64_t i = 0; i < count; ++i) {
    const float code = std::nearbyint(x[i] / scale) + zero;
    const float passed = grad_y[i] * scale;
    const float kept = code >= low ? passed : 0.0f;
    grad_x[i] = (code <= high ? kept : 0.0f) / scale;
  }
}

TESSERA_QUANT_CLONES double squared_error(const UniformGrid& grid, const float* x, std::int64_t count) {
  constexpr std::int64_t lanes = 16;
  const float scale = grid.scale, zero = grid.zero_point, low = grid.int_min, high = grid.int_max;
  const auto error = [&](float value) {
    return static_cast<double>(value - scale * (code_of(value, scale, zero, low, high) - zero));
  };
  double partial[lanes] = {};
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    for (std::int64_t j = 0; j < lanes; ++j) {
      const double e = error(x[i + j]);
      partial[j] += e * e;
    }
  }
  for (std::int64_t j = 0; i < count; ++i, ++j) {
    const double e = error(x[i]);
    partial[j] += e * e;
  }
  double sum = 0.0;
  for (const double p : partial) sum += p;
  return sum;
}

}  // namespace tessera::quant::loops
