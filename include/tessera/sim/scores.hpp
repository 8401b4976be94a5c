#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "tessera/core/tensor.hpp"

/// How well a network's outputs agree with labels.
namespace tessera::sim {

/// Whether the values in front of a loss are logits or already probabilities (the network ends in Softmax).
enum class OutputKind { logits, probabilities, log_probabilities };

/// Sums over samples, added in sample order, so that no batch size or thread count changes a bit.
struct ClassificationScore {
  std::int64_t count = 0;
  std::int64_t correct = 0;
  double loss_sum = 0.0;

  double accuracy() const { return count > 0 ? static_cast<double>(correct) / static_cast<double>(count) : 0.0; }
  /// Mean cross entropy in nats: -ln p(label), p = softmax of the logits.
  double loss() const { return count > 0 ? loss_sum / static_cast<double>(count) : 0.0; }

  /// Adds the outputs [samples, classes] of a batch. The predicted class is the first of the largest outputs.
  /// Throws RunError if an output is not finite.
  void add(ConstMatrixView outputs, std::span<const std::int32_t> labels, OutputKind kind);
};

/// The first index of the largest value of each row.
std::vector<std::int32_t> predicted_classes(ConstMatrixView outputs);

}  // namespace tessera::sim
