#pragma once
#include <memory>

#include "tessera/nn/training.hpp"
#include "tessera/quant/number_quantizer.hpp"
#include "tessera/random/stream.hpp"

/// Training in low-precision number formats (quantization reference, section F): one format on the way forward, another
/// one for gradients on the way back.
namespace tessera::nn {

/// Formats of one product. Every quantizer has a forward and a backward number; the default leaves values alone.
struct LinearFormats {
  quant::QuantizerParameters input;   ///< x, and the gradient of x
  quant::QuantizerParameters weight;  ///< W, and what a call of backward() adds to the gradient of W
  quant::QuantizerParameters output;  ///< y (with its bias), and the gradient that arrives there
};

/// With Q the forward and G the backward number of a quantizer:
///     y = Q_output(Q_input(x) Q_weight(W)^T + b),
///     g = G_output(dy),  dx = G_input(g Q_weight(W)),  dW += G_weight(g^T Q_input(x)),  db += sum of g.
/// The derivative of every Q is taken as 1 (straight-through estimator), or as 0 where it clamped, with
/// clamping_grad_zero. The learned W itself stays float32. Stochastic rounding draws by (`address`, which of the six
/// roundings, training step, vector, element); address.tile is ignored. ConfigError for formats out of range.
std::shared_ptr<TrainableLinear> format_linear(const LinearPart& part, const LinearFormats& formats,
                                               const random::Address& address);

/// A quantizer on a value between operators: y = Q(x), dx = G(dy), straight through as above.
std::shared_ptr<TrainableTransform> format_transform(const quant::QuantizerParameters& format,
                                                     const random::Address& address);

}  // namespace tessera::nn
