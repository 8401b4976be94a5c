#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/core/tensor.hpp"

/// Uniform quantizers of digital low precision (quantization reference, section A).
///
/// A float32 value x is mapped to an integer code and back on a grid of step s (the scale) and zero point z:
///
///     code(x) = clip(rne(x / s) + z, int_min, int_max)        forward(x) = s * (code(x) - z)
///
/// rne rounds to the nearest integer, ties to even; every written operation is one float32 operation and the division
/// is a division, so results agree bit for bit with the float32 definition on every instruction set. NaN stays NaN,
/// +-inf map to the ends of the grid, zero results are always +0.
///
/// | n bits     | int_min   | int_max     | zero point z                                  |
/// |------------|-----------|-------------|-----------------------------------------------|
/// | symmetric, a range below zero | -2^(n-1) | 2^(n-1) - 1 | 0                           |
/// | symmetric, all ranges >= 0    | 0        | 2^n - 1     | 0                           |
/// | asymmetric                    | 0        | 2^n - 1     | clip(rne(zero_float), int_min, int_max) |
namespace tessera::quant {

/// Thrown when a range is needed before set_quant_range() was called (or after reset()).
class QuantizerNotInitializedError : public Error {
 public:
  QuantizerNotInitializedError();
};

/// The quantizer classes; the numbers are part of the documented interface.
enum class QMethod { symmetric_uniform = 0, asymmetric_uniform = 1 };
/// The words of QMethod in the order of their numbers.
inline constexpr std::array<const char*, 2> qmethod_names{"symmetric_uniform", "asymmetric_uniform"};
const char* to_string(QMethod method);

/// How the step is stored (and learned): itself, or its natural logarithm.
enum class ScaleDomain { linear, log };
const char* to_string(ScaleDomain domain);

/// Codes are held as float32, which has no exact integers beyond 24 bits.
inline constexpr int max_quantizer_bits = 24;

struct UniformQuantizerParameters {
  int n_bits = 8;  ///< word length, 1..24
  QMethod method = QMethod::symmetric_uniform;
  ScaleDomain scale_domain = ScaleDomain::linear;
  bool per_channel = false;  ///< one step per index of dimension 0 of the quantized tensor
  std::optional<int> axis =
      std::nullopt;   ///< one step per index of this dimension (negative: from the end); not with per_channel
  double eps = 1e-8;  ///< floor of the range's upper bound and, in the linear domain, of the scale; >= 1e-30

  bool operator==(const UniformQuantizerParameters&) const = default;
};

/// Throws ConfigError naming every value out of range. `key` is put in front of the parameter names.
void validate(const UniformQuantizerParameters& parameters, const std::string& key = "quantizer");

/// The range of a quantizer, apart from its parameters: what a model file stores (`_delta`, `_zero_float`, `_signed`).
/// One element for a per-tensor quantizer, else one per channel. Empty `delta`: not initialised.
struct UniformQuantizerState {
  std::vector<float> delta = {};       ///< the step (linear domain) or its natural logarithm (log domain)
  std::vector<float> zero_float = {};  ///< asymmetric: the zero point before rounding; else empty
  bool is_signed = false;              ///< symmetric: one flag for all channels
  /// The bounds lo and hi of set_quant_range(), from which a step follows for any width; empty where the step itself
  /// was set or learned.
  std::vector<float> x_min = {}, x_max = {};

  bool operator==(const UniformQuantizerState&) const = default;
};

/// Which elements of a tensor share a step: element (o, c, i) of an outer x channels x inner array has channel c.
struct ChannelLayout {
  std::int64_t outer = 1;
  std::int64_t channels = 1;
  std::int64_t inner = 1;
  std::int64_t size() const { return outer * channels * inner; }
};
/// The layout of dimension `axis` (negative: from the end) of `shape`. InputError when there is no such dimension.
ChannelLayout channel_layout(const Shape& shape, int axis);

/// The four numbers of one channel's grid.
struct UniformGrid {
  float scale = 1.0f;
  float zero_point = 0.0f;
  float int_min = 0.0f;
  float int_max = 0.0f;
};

/// Elementwise on equal lengths; y may be x. The workhorses of every per-tensor call.
void quantize_dequantize(const UniformGrid& grid, std::span<const float> x, std::span<float> y);
void quantize_to_integer(const UniformGrid& grid, std::span<const float> x, std::span<float> codes);

/// Gradients of a learned range, one entry per element of the state (sums in double).
struct RangeGradient {
  std::vector<double> delta;       ///< with respect to UniformQuantizerState::delta
  std::vector<double> zero_float;  ///< asymmetric only
};

/// A symmetric or asymmetric uniform quantizer: parameters, and a range that is set once and then used by const calls.
///
/// Shapes: `forward(x, y)` takes the values of a tensor without dimensions: for a per-tensor quantizer (or one whose
/// range is a single element) any values; for a per-channel one a 1-D tensor, one step per element. The forms with a
/// shape or a Tensor find the channels from `per_channel` (dimension 0) or `axis`. A channel count that differs from
/// the range's is an InputError. Empty input is allowed everywhere.
class UniformQuantizer {
 public:
  /// Throws ConfigError on bad parameters.
  explicit UniformQuantizer(const UniformQuantizerParameters& parameters);

  const UniformQuantizerParameters& parameters() const { return parameters_; }
  bool symmetric() const { return parameters_.method == QMethod::symmetric_uniform; }
  bool is_initialized() const { return !state_.delta.empty(); }

  /// Sets the range; zero is always made part of it. With lo = min(x_min, 0), hi = max(x_max, eps), in float32:
  ///     asymmetric: d = (hi - lo) / int_max,  zero_float = -lo / d
  ///     symmetric:  signed = (min over channels of lo < 0),  d = max(|lo|, hi) / int_max
  /// and delta = d or ln d. Of an inverted range nothing is left but (0, eps).
  /// InputError: bounds that are NaN or infinite or whose distance overflows; vectors of unequal length; a vector of
  /// more than one element without per_channel or axis; another channel count than before (reset() first; one element
  /// is spread over all channels); a signed symmetric range with n_bits = 1, which has no positive code.
  void set_quant_range(float x_min, float x_max);
  void set_quant_range(std::span<const float> x_min, std::span<const float> x_max);
  /// Forgets the range and whether it is trainable.
  void reset();

  /// Marks the range as learned by gradient (or no longer). A trainable range is changed by set_state() only:
  /// set_quant_range() throws InputError. QuantizerNotInitializedError without a range.
  void make_range_trainable(bool trainable = true);
  bool range_trainable() const { return range_trainable_; }

  /// The stored range, and its replacement (after reading a model, or by an optimizer). InputError when it does not fit
  /// the parameters or is not finite.
  const UniformQuantizerState& state() const { return state_; }
  void set_state(UniformQuantizerState state);

  // Derived quantities (reference A.2), all but the asymmetric int_min and int_max throw QuantizerNotInitializedError
  // before a range is set. Vectors have one element per channel.
  int int_min() const;
  int int_max() const;
  bool is_signed() const;                 ///< symmetric only (an asymmetric quantizer has no such flag: false)
  std::vector<float> delta() const;       ///< the stored parameter
  std::vector<float> scale() const;       ///< linear: max(delta, eps); log: exp(delta)
  std::vector<float> zero_float() const;  ///< asymmetric only; zeros for a symmetric one
  std::vector<float> zero_point() const;
  std::vector<float> x_max() const;  ///< scale * (int_max - zero_point)
  std::vector<float> x_min() const;  ///< scale * (int_min - zero_point)
  /// The grid of one channel; of every channel when the range is a single element.
  UniformGrid grid(std::int64_t channel = 0) const;
  std::int64_t channels() const { return static_cast<std::int64_t>(state_.delta.size()); }

  /// Quantized and scaled back. Throws QuantizerNotInitializedError.
  void forward(std::span<const float> x, std::span<float> y) const;
  void forward(const Shape& shape, std::span<const float> x, std::span<float> y) const;
  void forward(const ChannelLayout& layout, std::span<const float> x, std::span<float> y) const;
  Tensor forward(const Tensor& x) const;
  /// The integer codes, as float32.
  void to_integer_forward(std::span<const float> x, std::span<float> codes) const;
  void to_integer_forward(const ChannelLayout& layout, std::span<const float> x, std::span<float> codes) const;
  Tensor to_integer_forward(const Tensor& x) const;

  /// The straight-through gradient with respect to the input (reference A.5): rounding counts as the identity, clipping
  /// does not. With p = rne(x / s) + z before clipping and m = 1 where int_min <= p <= int_max (ends included), else 0:
  ///     grad_x = ((grad_y * s) * m) / s        in float32; 0 for NaN input.
  void backward(const ChannelLayout& layout, std::span<const float> x, std::span<const float> grad_y,
                std::span<float> grad_x) const;
  Tensor backward(const Tensor& x, const Tensor& grad_y) const;
  /// The gradient with respect to the stored range, per channel, summed in double in index order:
  ///     ds     = sum grad_y * ((code(x) - z) - m * x / s)
  ///     delta: linear  ds where delta >= eps, else 0;   log  ds * s
  ///     zero_float:    -s * sum grad_y * (1 - m)  where int_min <= rne(zero_float) <= int_max, else 0
  /// No gradient scaling. The parts of a split batch are added by the caller.
  RangeGradient range_gradient(const ChannelLayout& layout, std::span<const float> x,
                               std::span<const float> grad_y) const;
  RangeGradient range_gradient(const Tensor& x, const Tensor& grad_y) const;

  /// The layout of this quantizer's channels in a tensor of this shape: one channel unless per_channel or axis.
  ChannelLayout layout(const Shape& shape) const;

 private:
  void require_initialized() const;
  ChannelLayout flat_layout(std::size_t size) const;
  void check_layout(const ChannelLayout& layout, std::size_t x, std::size_t y) const;
  float scale_of(std::size_t channel) const;
  float zero_point_of(std::size_t channel) const;

  UniformQuantizerParameters parameters_;
  UniformQuantizerState state_;
  bool range_trainable_ = false;
};

/// A range that was found for a quantizer `from`, on the grid of a quantizer `to`: what set_quant_range() of `to` makes
/// of its bounds. Nothing if that does not follow: the step was learned, or the channels differ (per_channel, axis).
/// InputError where `to` cannot hold the bounds (a range below zero in a symmetric quantizer of one bit).
std::optional<UniformQuantizerState> converted_range(const UniformQuantizerState& range,
                                                     const UniformQuantizerParameters& from,
                                                     const UniformQuantizerParameters& to);

/// "n_bits=8, per_channel=false, axis=none, is_initialized=true".
std::string to_string(const UniformQuantizer& quantizer);

}  // namespace tessera::quant
