#pragma once
#include <cstdint>
#include <span>

#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"

/// The dense product of the whole library: analog tiles and the float32 reference network run on it.
///
/// Definition, for every vector r and output i, in float32:
///     acc = 0;  for k = 0, 1, ..., inputs-1:  acc = fma(x[r][k], w[i][k], acc);  y[r][i] = acc  (+ bias[i] if given).
/// The summed index is never split, so the bits do not depend on the batch size, the blocking, the thread count or the
/// instruction set (AVX-512, AVX2 with FMA, and an exact fallback, chosen at run time). kernels/reference.hpp holds the
/// same definition as a scalar loop; tests compare every target with it bit for bit.
namespace tessera::kernels {

/// Weights [outputs, inputs], packed once into panels of up to `panel_outputs` outputs: element (i, k) of a panel that
/// starts at output i0 and is `width` wide lies at panel[k * width + (i - i0)]. The last panel is as wide as needed,
/// rounded up to 8 outputs, and padded with zeros.
class PackedMatrix {
 public:
  static constexpr std::int64_t panel_outputs = 32;

  PackedMatrix() = default;
  /// `weight` has one row per output: [outputs, inputs]. Any extent may be 0.
  explicit PackedMatrix(ConstMatrixView weight);

  std::int64_t outputs() const { return outputs_; }
  std::int64_t inputs() const { return inputs_; }
  /// The weight from input `input` to output `output`.
  float operator()(std::int64_t output, std::int64_t input) const;
  /// The weights as they were given.
  Matrix unpacked() const;
  std::int64_t bytes() const { return static_cast<std::int64_t>(data_.size() * sizeof(float)); }

  std::int64_t panel_count() const { return (outputs_ + panel_outputs - 1) / panel_outputs; }
  /// Outputs of panel p, rounded up to 8.
  std::int64_t panel_width(std::int64_t p) const;
  const float* panel(std::int64_t p) const { return data_.data() + p * panel_outputs * inputs_; }

 private:
  std::int64_t outputs_ = 0;
  std::int64_t inputs_ = 0;
  AlignedVector<float> data_;
};

/// y[r][i] = sum_k x[r][k] w[i][k] (+ bias[i]), as defined above. x is [vectors, inputs], y is [vectors, outputs], bias
/// is empty or [outputs] and is added to the finished sum with one rounding. x and y must not overlap. Throws
/// InputError if the shapes do not fit. Parallel over blocks of vectors and, for few vectors, over panels.
void multiply(const PackedMatrix& weight, ConstMatrixView x, MatrixView y, Parallel parallel = {},
              std::span<const float> bias = {});

/// The same product with |w| in place of w: the current through a column, and the variance of read noise, need it.
void multiply_magnitudes(const PackedMatrix& weight, ConstMatrixView x, MatrixView y, Parallel parallel = {});

/// What a physical column adds to the product, computed in the same sweep over the weights.
struct Companions {
  bool ir_drop = false;  ///< quadratic IR drop (reference section 4.6.1)
  float n_over_g = 0.0F;
  float ir_drop_scale = 0.0F;
  MatrixView variance;  ///< if it has rows: receives sum_k |w[i][k]| x[r][k]^2; same stride as y

  ConstMatrixView magnitude;  ///< |x| if ir_drop; same stride as x
  ConstMatrixView square;     ///< x^2 if variance is wanted; same stride as x
};

/// y = sum w x as by multiply(), less its IR drop:
///     current = sum_k |w| |x|,  A = n_over_g current,  C = ir_drop_scale A (A (0.05 A - 0.2) + 0.5),
///     far = sum_k w x (1 - k/n)^2  =  (2 second - prefix) / n^2,  y = v - C (v - far)
/// with prefix and second the running sums of v and of prefix over k. Strict order, all instruction sets bit for bit.
void multiply_with(const Companions& companions, const PackedMatrix& weight, ConstMatrixView x, MatrixView y);

/// Name of the instruction set that the dispatcher chose ("AVX3", "AVX2", "SSE2"), for provenance.
const char* instruction_set();

}  // namespace tessera::kernels
