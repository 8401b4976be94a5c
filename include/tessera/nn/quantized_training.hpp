#pragma once
#include <cstdint>
#include <memory>
#include <optional>

#include "tessera/nn/linear.hpp"
#include "tessera/nn/training.hpp"
#include "tessera/quant/quantization_manager.hpp"

/// Uniform quantizers of weights and activations in training (quantization reference, sections A.5 and C).
namespace tessera::nn {

/// How the range of a quantizer comes about in training. Steps before `learn_from` (the number given to
/// TrainingNetwork::forward) follow the estimator, batch by batch; from then on the range is learned by gradient, from
/// its last estimate. None: it is estimated all the time.
struct QuantizerTraining {
  quant::QuantizationManagerParameters quantizer;
  std::optional<std::uint64_t> learn_from = std::nullopt;
  quant::UniformQuantizerState range = {};  ///< known already, from a model file; else empty
};

/// What a quantizer in training is asked for.
class QuantizedTraining {
 public:
  virtual ~QuantizedTraining() = default;
  /// The range in use; no delta: nothing was seen yet.
  virtual const quant::UniformQuantizerState& range() const = 0;
  /// Whether that was learned by gradient, and not estimated.
  virtual bool learned() const = 0;
};

/// A value that is quantized on its way: y = Q(x). Gradients pass straight through rounding and not through clipping;
/// those of the range are UniformQuantizer::range_gradient. Parameters "delta" and, if asymmetric, "zero_float", of
/// kind quantizer_range; they have gradients once the range is learned. The range is per tensor.
class QuantizedValue : public TrainableTransform, public QuantizedTraining {};
std::shared_ptr<QuantizedValue> quantized_value(const QuantizerTraining& training);

/// A float32 part whose product sees the quantized weight: y = Q(W) x + b, W itself is learned (straight-through).
/// Channels of a per-channel quantizer are the outputs. Parameters "weight", "bias", and "weight_range.delta",
/// "weight_range.zero_float" as above.
class QuantizedLinear : public TrainableLinear, public QuantizedTraining {};
std::shared_ptr<QuantizedLinear> quantized_linear(const LinearPart& part, const QuantizerTraining& training);

}  // namespace tessera::nn
