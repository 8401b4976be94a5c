#include "tessera/sim/scores.hpp"

#include <algorithm>
#include <cmath>

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

std::int32_t largest_index(std::span<const float> values) {
  return static_cast<std::int32_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

}  // namespace

void ClassificationScore::add(ConstMatrixView outputs, std::span<const std::int32_t> labels, OutputKind kind) {
  TESSERA_EXPECT(static_cast<std::size_t>(outputs.rows) == labels.size());
  for (std::int64_t row = 0; row < outputs.rows; ++row) {
    const std::span<const float> values = outputs.row_span(row);
    require<RunError>(std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); }),
                      "the network's output for sample {} is not finite", count);
    const auto label = static_cast<std::size_t>(labels[static_cast<std::size_t>(row)]);
    TESSERA_EXPECT(label < values.size());
    correct += largest_index(values) == static_cast<std::int32_t>(label) ? 1 : 0;
    loss_sum += cross_entropy(values, label, kind);
    ++count;
  }
}

std::vector<std::int32_t> predicted_classes(ConstMatrixView outputs) {
  std::vector<std::int32_t> classes(static_cast<std::size_t>(outputs.rows));
  for (std::int64_t row = 0; row < outputs.rows; ++row)
    classes[static_cast<std::size_t>(row)] = largest_index(outputs.row_span(row));
  return classes;
}

}  // namespace tessera::sim
