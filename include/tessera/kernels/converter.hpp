#pragma once
#include <cstdint>
#include <limits>
#include <span>

#include "tessera/core/tensor.hpp"

/// Digital-to-analog and analog-to-digital conversion of blocks of vectors, and the reductions that go with them
/// (reference sections 4.2 to 4.5). Every operation is one float32 operation, none is fused across the written ones, so
/// all instruction sets agree bit for bit with the scalar text below. A negative
/// zero is divided as zero.
namespace tessera::kernels {

/// A uniform mid-tread converter: q(v) = step * rint(v / step), ties to even, then clipped to [-bound, bound].
struct Converter {
  float step = 0.0F;                                     ///< 0: no quantization
  float bound = std::numeric_limits<float>::infinity();  ///< infinite: no clipping
  bool operator==(const Converter&) const = default;
};

/// The converter of a bound and a resolution parameter: rho = 0 if resolution <= 0, 1 / resolution if it is > 1, else
/// resolution; step = 2 bound rho, rounded to float32 once. Where K = 1 / (2 rho) is a whole number to float32 accuracy
/// (the symmetric converters of 2^n - 1 levels) the top code is the bound: of the neighbours of bound / K the step is
/// the one for which fl(K step) = bound, or the largest for which it lies below. bound <= 0 or infinite means no bound,
/// and then no step either.
Converter make_converter(double bound, double resolution);

/// What happened in a block of conversions. Sums of integers and a maximum.
struct ConversionCounts {
  std::int64_t range_clipped = 0;  ///< inputs outside the input range
  std::int64_t clipped = 0;        ///< quantized values outside the bound
  float peak = 0.0F;               ///< largest magnitude after clipping
};

/// z = DAC(x) for a block of vectors, element by element:
///     t = x;                      range > 0:   t = clamp(t, -range, range) / range
///     scale given:  t = t * scale[row]
///     step > 0:     t = step * rint(t / step)           (dither given: rint(t / step + (dither - 1/2)))
///     t = clamp(t, -bound, bound)
///     noise given:  t = t + noise_std * noise
///     t < 0:        t = t * negative_factor
struct DacBlock {
  ConstMatrixView x;
  MatrixView z;  ///< same shape as x; may be the same memory
  float range = 0.0F;
  const float* scale = nullptr;  ///< one per row, or null
  Converter converter;
  const float* dither = nullptr;  ///< uniform draws on (0, 1), rows x cols contiguous, or null
  const float* noise = nullptr;   ///< standard normal draws, rows x cols contiguous, or null
  float noise_std = 0.0F;
  float negative_factor = 1.0F;
  ConversionCounts* counts = nullptr;  ///< added to, if given
};
/// False if any x is not finite (z is then unspecified).
bool convert_inputs(const DacBlock& block);

/// A conversion of inputs that treats every element alike, whatever vector it is in: DacBlock with one scale for all
/// rows, and without draws.
struct InputConversion {
  float range = 0.0F;
  float scale = 1.0F;
  Converter converter;
  float negative_factor = 1.0F;
  bool operator==(const InputConversion&) const = default;
};
/// z = DAC(x). False if any x is not finite (z is then unspecified).
bool convert_inputs(const InputConversion& conversion, std::span<const float> x, std::span<float> z);

/// square[r][k] = z[r][k]^2; `square` has the stride of z. Returns whether some z is below zero.
bool square_inputs(ConstMatrixView z, MatrixView square);

/// magnitude[r][k] = |z[r][k]|; `magnitude` has the stride of z.
void input_magnitudes(ConstMatrixView z, MatrixView magnitude);

/// y = ADC(v) and the affine scale behind it, element by element:
///     noise given:   t = v + std * noise                 (std = noise_std, or noise_stds[i] of output i if given;
///                                                         with variance: sqrt(std^2 + variance_factor * variance))
///     step > 0:      t = step * rint(t / step)           (dither as above)
///     bound test and clamp to [-bound, bound]
///     row_scale given:    t = t * row_scale[row]
///     column_scale given: t = t * column_scale[i]
///     bias given:         t = t + bias[i]
struct AdcBlock {
  ConstMatrixView v;
  MatrixView y;                  ///< same shape as v; may be the same memory
  const float* noise = nullptr;  ///< standard normal draws, rows x cols contiguous, or null
  float noise_std = 0.0F;
  const float* noise_stds = nullptr;  ///< one per output, or null
  const float* variance = nullptr;    ///< rows x cols contiguous, or null
  float variance_factor = 0.0F;
  Converter converter;
  const float* dither = nullptr;
  const float* row_scale = nullptr;     ///< one per row, or null
  const float* column_scale = nullptr;  ///< one per output, or null
  const float* bias = nullptr;          ///< one per output, or null
  std::int32_t* above = nullptr;        ///< per row: values above the bound; both or none
  std::int32_t* below = nullptr;        ///< per row: values below minus the bound
  float* peaks = nullptr;               ///< per row: largest magnitude after clipping; with above and below, or null
  float* block_peak = nullptr;          ///< receives the largest of all rows; with above and below, or null
};
void convert_outputs(const AdcBlock& block);

/// v[r][i] += (factor * sqrt(variance[r][i])) * noise[r][i]; all views contiguous, equal shapes.
void add_read_noise(MatrixView v, ConstMatrixView variance, const float* noise, float factor);

/// Largest magnitude of each row; NaN or infinity if the row holds one.
void row_abs_max(ConstMatrixView x, std::span<float> out);

}  // namespace tessera::kernels
