#include "tessera/nn/loss.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace tessera::nn {

LossInput loss_input(const Graph& graph) {
  if (graph.outputs.empty()) return LossInput::logits;
  const int writer = producers(graph)[static_cast<std::size_t>(graph.outputs[0])];
  if (writer < 0) return LossInput::logits;
  const std::string& op = graph.nodes[static_cast<std::size_t>(writer)].op;
  if (op == "Softmax") return LossInput::probabilities;
  return op == "LogSoftmax" ? LossInput::log_probabilities : LossInput::logits;
}

namespace {

void require_finite(std::span<const float> values) {
  for (const float value : values)
    require<RunError>(std::isfinite(value), "an output of the network is not finite; use a smaller learning rate");
}

/// -sum_c t_c ln p_c of one sample, and its gradient times `scale`. p: scratch of `classes` values.
double sample_loss(const float* y, std::size_t classes, std::size_t label, LossInput input, double smoothing,
                   double scale, std::vector<double>& p, float* gradient) {
  constexpr double smallest = 1e-37;
  const double spread = smoothing / static_cast<double>(classes);
  const auto target = [&](std::size_t c) { return spread + (c == label ? 1.0 - smoothing : 0.0); };
  double loss = 0.0;
  if (input == LossInput::logits) {
    const auto largest = static_cast<double>(*std::max_element(y, y + classes));
    double sum = 0.0;
    for (std::size_t c = 0; c < classes; ++c) sum += p[c] = std::exp(static_cast<double>(y[c]) - largest);
    const double shift = largest + std::log(sum);
    for (std::size_t c = 0; c < classes; ++c) {
      loss -= target(c) * (static_cast<double>(y[c]) - shift);
      gradient[c] = static_cast<float>(scale * (p[c] / sum - target(c)));
    }
    return loss;
  }
  for (std::size_t c = 0; c < classes; ++c) {
    const auto value = static_cast<double>(y[c]);
    const bool logarithm = input == LossInput::log_probabilities;
    loss -= target(c) == 0.0 ? 0.0 : target(c) * (logarithm ? value : std::log(std::max(value, smallest)));
    gradient[c] = static_cast<float>(-scale * target(c) / (logarithm ? 1.0 : std::max(value, smallest)));
  }
  return loss;
}

}  // namespace

Loss softmax_cross_entropy(const Tensor& output, std::span<const std::int32_t> labels, LossInput input,
                           double smoothing) {
  const auto samples = static_cast<std::int64_t>(labels.size());
  require<InputError>(output.rank() >= 1 && output.dim(0) == samples && samples > 0,
                      "{} labels for outputs of shape {}", samples, to_string(output.shape()));
  require<InputError>(smoothing >= 0.0 && smoothing < 1.0, "a label smoothing of {} (must be in [0, 1))", smoothing);
  const std::int64_t classes = output.size() / samples;
  require<InputError>(classes > 0, "outputs of shape {} have no classes", to_string(output.shape()));
  require_finite(output.values());
  Loss loss;
  loss.d_output = Tensor::uninitialized(output.shape());
  std::vector<double> scratch(static_cast<std::size_t>(classes));
  const double scale = 1.0 / static_cast<double>(samples);
  for (std::int64_t n = 0; n < samples; ++n) {
    const std::int32_t label = labels[static_cast<std::size_t>(n)];
    require<InputError>(label >= 0 && label < classes, "sample {} has the label {}, the network {} classes", n, label,
                        classes);
    const float* y = output.data() + n * classes;
    loss.value += sample_loss(y, static_cast<std::size_t>(classes), static_cast<std::size_t>(label), input, smoothing,
                              scale, scratch, loss.d_output.data() + n * classes);
    if (std::max_element(y, y + classes) - y == label) ++loss.correct;
  }
  loss.value *= scale;
  return loss;
}

Loss mean_squared_error(const Tensor& output, const Tensor& target) {
  require<InputError>(output.size() == target.size() && output.size() > 0,
                      "outputs of shape {} for targets of shape {}", to_string(output.shape()),
                      to_string(target.shape()));
  require_finite(output.values());
  Loss loss;
  loss.d_output = Tensor::uninitialized(output.shape());
  const double scale = 1.0 / static_cast<double>(output.size());
  for (std::int64_t i = 0; i < output.size(); ++i) {
    const double difference = static_cast<double>(output.data()[i]) - static_cast<double>(target.data()[i]);
    loss.value += scale * difference * difference;
    loss.d_output.data()[i] = static_cast<float>(2.0 * scale * difference);
  }
  return loss;
}

}  // namespace tessera::nn
