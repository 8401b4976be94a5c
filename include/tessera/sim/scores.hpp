#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "tessera/core/tensor.hpp"
#include "tessera/sim/run_parameters.hpp"

/// How well a network's outputs agree with what is known of the samples.
namespace tessera::sim {

/// Whether the values in front of a loss are logits or already probabilities (the network ends in Softmax).
enum class OutputKind { logits, probabilities, log_probabilities };

/// Classes up to which a confusion matrix is counted.
inline constexpr std::int64_t most_listed_classes = 256;

/// How a sample's output holds the classes of its positions: [positions, classes], or [classes, positions] as
/// segmentation networks have it.
struct ClassLayout {
  std::int64_t positions = 1;
  std::int64_t classes = 1;
  bool classes_first = false;
};
/// Outputs [samples, ...] as [samples * positions, classes].
Tensor class_rows(const Tensor& outputs, const ClassLayout& layout);

/// Sums over samples, added in sample order, so that no batch size or thread count changes a bit. Which of them are
/// filled depends on the task; the functions of the others give NaN.
struct TaskScore {
  std::int64_t count = 0;  ///< samples, or positions of them, that were compared
  // classification, language model; agreement with float32, whose predictions then are the labels
  std::int64_t correct = 0;
  std::int64_t correct_top5 = 0;
  double loss_sum = 0.0;
  std::int64_t class_count = 0;
  std::vector<std::int64_t> confusion;  ///< [label][predicted class]; empty for more than most_listed_classes
  // agreement with float32
  std::int64_t compared = 0;  ///< rows of outputs
  std::int64_t agreed = 0;
  double divergence_sum = 0.0;
  double cosine_sum = 0.0;
  std::int64_t cosines = 0;  ///< samples
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
  /// exp(loss()).
  double perplexity() const;
  std::int64_t classes() const { return class_count; }
  /// Fraction of rows whose largest output is that of the float32 network; NaN where nothing was compared.
  double agreement() const;
  /// Mean Kullback-Leibler divergence sum_c p_c ln(p_c / q_c) of the outputs' distribution q from that of float32, p,
  /// nats; NaN where nothing was compared.
  double divergence() const;
  /// Mean over samples of the cosine between outputs and float32 outputs; 1 where both are zero.
  double cosine() const;
  /// Fraction of the samples of one class that are recognised; NaN without any.
  double class_accuracy(std::int64_t label) const;
  /// Mean of (output - target)^2 over samples and outputs.
  double mse() const;
  /// Area under the ROC curve of the sample errors: the probability that an anomalous sample has a larger error than a
  /// normal one, ties counted half (Mann-Whitney U). NaN unless there are samples of both kinds.
  double auc() const;

  /// Adds the outputs [samples, classes] of a batch. The predicted class is the first of the largest outputs.
  /// Rows whose label is `ignored` are left out. Throws RunError if an output is not finite.
  void add(ConstMatrixView outputs, std::span<const std::int32_t> labels, OutputKind kind,
           std::optional<std::int32_t> ignored = std::nullopt);
  /// Adds how outputs agree with those of the float32 network, both [rows, classes] with `positions` rows for each
  /// sample.
  void add_agreement(ConstMatrixView outputs, ConstMatrixView reference, OutputKind kind, std::int64_t positions);
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
