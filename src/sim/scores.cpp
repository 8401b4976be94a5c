#include "tessera/sim/scores.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace tessera::sim {

namespace {

/// Smallest probability a loss distinguishes from zero: keeps a confidently wrong Softmax output finite.
constexpr double smallest_probability = 1e-30;

double cross_entropy(std::span<const float> outputs, std::size_t label, OutputKind kind) {
  if (kind == OutputKind::probabilities)
    return -std::log(std::max(smallest_probability, static_cast<double>(outputs[label])));
  if (kind == OutputKind::log_probabilities) return -static_cast<double>(outputs[label]);
  const double largest = *std::max_element(outputs.begin(), outputs.end());
  double sum = 0.0;
  for (const float value : outputs) sum += std::exp(static_cast<double>(value) - largest);
  return std::log(sum) + largest - static_cast<double>(outputs[label]);
}

/// Whether fewer than five outputs stand before that of the label.
bool among_five_largest(std::span<const float> values, std::size_t label) {
  int before = 0;
  for (std::size_t c = 0; c < values.size() && before < 5; ++c)
    before += values[c] > values[label] || (values[c] == values[label] && c < label) ? 1 : 0;
  return before < 5;
}

void expect_finite(std::span<const float> values, std::int64_t sample) {
  require<RunError>(std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); }),
                    "the network's output for sample {} is not finite", sample);
}

double squared_error(std::span<const float> outputs, std::span<const float> targets) {
  double sum = 0.0;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const double error = static_cast<double>(outputs[i]) - static_cast<double>(targets[i]);
    sum += error * error;
  }
  return sum;
}

double ratio(double sum, std::int64_t count) {
  return count > 0 ? sum / static_cast<double>(count) : std::numeric_limits<double>::quiet_NaN();
}

/// Natural logarithms of the probabilities that a row of outputs stands for.
void log_probabilities(std::span<const float> outputs, OutputKind kind, std::vector<double>& logs) {
  logs.assign(outputs.begin(), outputs.end());
  if (kind == OutputKind::log_probabilities) return;
  if (kind == OutputKind::probabilities) {
    for (double& value : logs) value = std::log(std::max(smallest_probability, value));
    return;
  }
  const double largest = *std::max_element(logs.begin(), logs.end());
  double sum = 0.0;
  for (const double value : logs) sum += std::exp(value - largest);
  const double log_sum = largest + std::log(sum);
  for (double& value : logs) value -= log_sum;
}

double cosine_of(std::span<const float> a, std::span<const float> b) {
  double product = 0.0, square_a = 0.0, square_b = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const auto x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    product += x * y;
    square_a += x * x;
    square_b += y * y;
  }
  if (square_a == 0.0 || square_b == 0.0) return square_a == square_b ? 1.0 : 0.0;
  return product / std::sqrt(square_a * square_b);
}

std::int32_t largest_index(std::span<const float> values) {
  return static_cast<std::int32_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

}  // namespace

double TaskScore::perplexity() const {
  return std::exp(loss());
}

double TaskScore::agreement() const {
  return ratio(static_cast<double>(agreed), compared);
}

double TaskScore::divergence() const {
  return ratio(divergence_sum, compared);
}

double TaskScore::cosine() const {
  return ratio(cosine_sum, cosines);
}

double TaskScore::class_accuracy(std::int64_t label) const {
  if (confusion.empty()) return std::numeric_limits<double>::quiet_NaN();
  const auto n = static_cast<std::size_t>(classes());
  const auto row = std::span(confusion).subspan(static_cast<std::size_t>(label) * n, n);
  const std::int64_t samples = std::accumulate(row.begin(), row.end(), std::int64_t{0});
  return samples > 0 ? static_cast<double>(row[static_cast<std::size_t>(label)]) / static_cast<double>(samples)
                     : std::numeric_limits<double>::quiet_NaN();
}

double TaskScore::mse() const {
  return values > 0 ? squared_error_sum / static_cast<double>(values) : std::numeric_limits<double>::quiet_NaN();
}

double TaskScore::auc() const {
  std::vector<std::size_t> order(anomalous.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return sample_errors[a] < sample_errors[b]; });
  double wins = 0.0, normal_below = 0.0, anomalies = 0.0;
  for (std::size_t i = 0; i < order.size();) {
    double tied_normal = 0.0, tied_anomalous = 0.0;
    const double error = sample_errors[order[i]];
    for (; i < order.size() && sample_errors[order[i]] == error; ++i)
      (anomalous[order[i]] != 0 ? tied_anomalous : tied_normal) += 1.0;
    wins += tied_anomalous * (normal_below + 0.5 * tied_normal);
    normal_below += tied_normal;
    anomalies += tied_anomalous;
  }
  return anomalies > 0.0 && normal_below > 0.0 ? wins / (anomalies * normal_below)
                                               : std::numeric_limits<double>::quiet_NaN();
}

void TaskScore::add(ConstMatrixView outputs, std::span<const std::int32_t> labels, OutputKind kind,
                    std::optional<std::int32_t> ignored) {
  TESSERA_EXPECT(static_cast<std::size_t>(outputs.rows) == labels.size());
  const auto classes = static_cast<std::size_t>(outputs.cols);
  class_count = outputs.cols;
  const bool listed = class_count <= most_listed_classes;
  if (listed && confusion.empty()) confusion.resize(classes * classes);
  for (std::int64_t row = 0; row < outputs.rows; ++row) {
    const std::span<const float> output = outputs.row_span(row);
    expect_finite(output, count);
    if (ignored && labels[static_cast<std::size_t>(row)] == *ignored) continue;
    const auto label = static_cast<std::size_t>(labels[static_cast<std::size_t>(row)]);
    TESSERA_EXPECT(label < output.size());
    const auto predicted = static_cast<std::size_t>(largest_index(output));
    correct += predicted == label ? 1 : 0;
    correct_top5 += among_five_largest(output, label) ? 1 : 0;
    if (listed) ++confusion[label * classes + predicted];
    loss_sum += cross_entropy(output, label, kind);
    ++count;
  }
}

void TaskScore::add_agreement(ConstMatrixView outputs, ConstMatrixView reference, OutputKind kind,
                              std::int64_t positions) {
  TESSERA_EXPECT(outputs.rows == reference.rows && outputs.cols == reference.cols);
  std::vector<double> p, q;
  for (std::int64_t row = 0; row < outputs.rows; ++row) {
    const std::span<const float> output = outputs.row_span(row), expected = reference.row_span(row);
    expect_finite(output, compared);
    agreed += largest_index(output) == largest_index(expected) ? 1 : 0;
    log_probabilities(expected, kind, p);
    log_probabilities(output, kind, q);
    double divergence = 0.0;
    for (std::size_t c = 0; c < p.size(); ++c) divergence += std::exp(p[c]) * (p[c] - q[c]);
    divergence_sum += divergence;
    ++compared;
  }
  const auto each = static_cast<std::size_t>(positions * outputs.cols);
  for (std::int64_t first = 0; first + positions <= outputs.rows; first += positions, ++cosines)
    cosine_sum += cosine_of({outputs.row(first), each}, {reference.row(first), each});
}

void TaskScore::add_targets(ConstMatrixView outputs, ConstMatrixView targets) {
  TESSERA_EXPECT(outputs.rows == targets.rows && outputs.cols == targets.cols);
  for (std::int64_t row = 0; row < outputs.rows; ++row) {
    expect_finite(outputs.row_span(row), count);
    squared_error_sum += squared_error(outputs.row_span(row), targets.row_span(row));
    values += outputs.cols;
    ++count;
  }
}

void TaskScore::add_reconstructions(ConstMatrixView outputs, ConstMatrixView inputs,
                                    std::span<const std::int32_t> labels, std::span<const int> normal) {
  TESSERA_EXPECT(outputs.rows == inputs.rows && outputs.cols == inputs.cols);
  for (std::int64_t row = 0; row < outputs.rows; ++row) {
    expect_finite(outputs.row_span(row), count);
    const double error = squared_error(outputs.row_span(row), inputs.row_span(row));
    squared_error_sum += error;
    values += outputs.cols;
    sample_errors.push_back(error / static_cast<double>(outputs.cols));
    if (!labels.empty()) {
      const std::int32_t label = labels[static_cast<std::size_t>(row)];
      anomalous.push_back(std::find(normal.begin(), normal.end(), label) == normal.end() ? 1 : 0);
    }
    ++count;
  }
}

Tensor class_rows(const Tensor& outputs, const ClassLayout& layout) {
  const std::int64_t samples = outputs.dim(0), rows = samples * layout.positions;
  if (!layout.classes_first || layout.positions == 1) return outputs.reshaped({rows, layout.classes});
  Tensor result = Tensor::uninitialized({rows, layout.classes});
  const std::int64_t each = layout.positions * layout.classes;
  for (std::int64_t s = 0; s < samples; ++s)
    for (std::int64_t c = 0; c < layout.classes; ++c)
      for (std::int64_t p = 0; p < layout.positions; ++p)
        result.data()[s * each + p * layout.classes + c] = outputs.data()[s * each + c * layout.positions + p];
  return result;
}

std::vector<std::int32_t> predicted_classes(ConstMatrixView outputs) {
  std::vector<std::int32_t> classes(static_cast<std::size_t>(outputs.rows));
  for (std::int64_t row = 0; row < outputs.rows; ++row)
    classes[static_cast<std::size_t>(row)] = largest_index(outputs.row_span(row));
  return classes;
}

}  // namespace tessera::sim
