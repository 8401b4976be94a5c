#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "tessera/core/tensor.hpp"
#include "tessera/sim/run_parameters.hpp"

/// How well a network's outputs agree with what is known of the samples.
namespace tessera::sim {

/// Whether the values in front of a loss are logits or already probabilities (the network ends in Softmax).
enum class OutputKind { logits, probabilities, log_probabilities };

/// Sums over samples, added in sample order, so that no batch size or thread count changes a bit. Which of them are
/// filled depends on the task; the functions of the others give NaN.
struct TaskScore {
  std::int64_t count = 0;
  // classification
  std::int64_t correct = 0;
  std::int64_t correct_top5 = 0;
  double loss_sum = 0.0;
  std::vector<std::int64_t> confusion;  ///< [label][predicted class]
  // regression, anomaly
  double squared_error_sum = 0.0;
  std::int64_t values = 0;              ///< outputs compared: samples times outputs
  std::vector<double> sample_errors;    ///< anomaly: mean squared error of each sample
  std::vector<std::uint8_t> anomalous;  ///< anomaly: 1 where the label is not a normal one; empty without labels

  double accuracy() const { return count > 0 ? static_cast<double>(correct) / static_cast<double>(count) : 0.0; }
  /// Fraction of samples with fewer than five outputs larger than the label's (of equal outputs the first are larger).
  double accuracy_top5() const {
    return count > 0 ? static_cast<double>(correct_top5) / static_cast<double>(count) : 0.0;
  }
  /// Mean cross entropy in nats: -ln p(label), p = softmax of the logits.
  double loss() const { return count > 0 ? loss_sum / static_cast<double>(count) : 0.0; }
  std::int64_t classes() const;
  /// Fraction of the samples of one class that are recognised; NaN without any.
  double class_accuracy(std::int64_t label) const;
  /// Mean of (output - target)^2 over samples and outputs.
  double mse() const;
  /// Area under the ROC curve of the sample errors: the probability that an anomalous sample has a larger error than a
  /// normal one, ties counted half (Mann-Whitney U). NaN unless there are samples of both kinds.
  double auc() const;

  /// Adds the outputs [samples, classes] of a batch. The predicted class is the first of the largest outputs.
  /// Throws RunError if an output is not finite.
  void add(ConstMatrixView outputs, std::span<const std::int32_t> labels, OutputKind kind);
  /// Adds outputs with their targets, both [samples, values].
  void add_targets(ConstMatrixView outputs, ConstMatrixView targets);
  /// Adds reconstructions of inputs, both [samples, values]. `labels` may be empty; those in `normal` are not
  /// anomalous.
  void add_reconstructions(ConstMatrixView outputs, ConstMatrixView inputs, std::span<const std::int32_t> labels,
                           std::span<const int> normal);
};

/// The first index of the largest value of each row.
std::vector<std::int32_t> predicted_classes(ConstMatrixView outputs);

}  // namespace tessera::sim
