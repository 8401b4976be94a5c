#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "tessera/quant/number_format.hpp"

/// Different number formats for activations and their gradients (quantization reference, section F.5).
namespace tessera::quant {

/// Changes a gradient in place before it is quantized, e.g. to scale it into the format's range.
using GradientHook = std::function<void(std::span<float> gradient)>;

struct QuantizerParameters {
  Number forward_number;   ///< none: identity
  Number backward_number;  ///< none: identity
  Rounding forward_rounding = Rounding::stochastic;
  Rounding backward_rounding = Rounding::stochastic;
  /// No gradient for values that the forward format clamped. The forward number must be none or a FixedPoint with
  /// clamp.
  bool clamping_grad_zero = false;
  std::vector<GradientHook> backward_hooks;
};
/// ConfigError naming every value out of range and clamping_grad_zero with another forward number.
void validate(const QuantizerParameters& parameters, const std::string& key = "quantizer");

/// forward:   y = forward_number(x)
/// backward:  grad_x = backward_number(hooks(grad_y)), then 0 where the forward pass clamped (clamping_grad_zero).
///
/// Chosen otherwise than the peer, which runs hooks only together with clamping_grad_zero and a backward number, and
/// masks only with a backward number: hooks and mask always do what their names say.
class Quantizer {
 public:
  explicit Quantizer(QuantizerParameters parameters);
  const QuantizerParameters& parameters() const { return parameters_; }

  /// `draws` is used by stochastic rounding only. With clamping_grad_zero a `mask` of x.size() elements receives 1
  /// where the value was clamped; it may be null otherwise.
  void forward(const Shape& shape, std::span<const float> x, std::span<float> y, const RandomDraws& draws,
               std::vector<std::uint8_t>* mask = nullptr) const;
  Tensor forward(const Tensor& x, const RandomDraws& draws, std::vector<std::uint8_t>* mask = nullptr) const;
  /// `mask` from the forward pass; InputError when clamping_grad_zero lacks it.
  void backward(const Shape& shape, std::span<const float> grad_y, std::span<float> grad_x, const RandomDraws& draws,
                std::span<const std::uint8_t> mask = {}) const;
  Tensor backward(const Tensor& grad_y, const RandomDraws& draws, std::span<const std::uint8_t> mask = {}) const;

 private:
  QuantizerParameters parameters_;
};

}  // namespace tessera::quant
