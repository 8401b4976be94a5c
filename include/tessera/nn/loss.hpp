#pragma once
#include <cstdint>
#include <span>

#include "tessera/core/tensor.hpp"
#include "tessera/nn/graph.hpp"

/// What training makes small.
namespace tessera::nn {

/// What the values in front of a cross-entropy are.
enum class LossInput { logits, probabilities, log_probabilities };

/// By the operator that writes the graph's first output: Softmax, LogSoftmax, or anything else.
LossInput loss_input(const Graph& graph);

struct Loss {
  double value = 0.0;        ///< mean over samples
  std::int64_t correct = 0;  ///< samples whose label is the first of the largest outputs; 0 for regression
  Tensor d_output;           ///< gradient of `value` by the outputs, of their shape
};

/// Softmax cross-entropy, mean over the batch of
///     -sum_c t_c ln p_c,   t = (1 - s) [c = label] + s / classes,   p = softmax of the logits,
/// for outputs [batch, classes] (or of any shape with `classes` values per sample). For probabilities p is the output
/// itself, not below 1e-37, for log-probabilities its exponential. `smoothing` s is in [0, 1). InputError for shapes
/// that do not fit and labels outside 0..classes-1, RunError for outputs that are not finite.
Loss softmax_cross_entropy(const Tensor& output, std::span<const std::int32_t> labels, LossInput input,
                           double smoothing = 0.0);

/// Mean over all values of (output - target)^2. InputError if the counts of values differ.
Loss mean_squared_error(const Tensor& output, const Tensor& target);

}  // namespace tessera::nn
