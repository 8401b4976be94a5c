#include "tessera/device/drift_compensation.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tessera::device {

namespace {

constexpr double smallest_readout = 1e-4;

bool per_column(const DriftCompensation& compensation) {
  return std::holds_alternative<PerColumnDriftCompensation>(compensation);
}

bool reads_signed(const DriftCompensation& compensation) {
  const auto* exact = std::get_if<GlobalDriftCompensationWithExactReference>(&compensation);
  return exact != nullptr && !exact->read_magnitudes;
}

double sign_of(float v) {
  return v > 0.0F ? 1.0 : (v < 0.0F ? -1.0 : 0.0);
}

/// Values from the sum of magnitudes of each output over `inputs` unit vectors.
std::vector<double> values_from(const DriftCompensation& compensation, std::vector<double> sums, std::int64_t inputs) {
  if (!per_column(compensation)) {
    const double total = std::accumulate(sums.begin(), sums.end(), 0.0);
    inputs *= static_cast<std::int64_t>(sums.size());
    sums = {total};
  }
  for (double& value : sums) value = std::max(inputs > 0 ? value / static_cast<double>(inputs) : 0.0, smallest_readout);
  return sums;
}

}  // namespace

const char* type_name(const DriftCompensation& compensation) {
  constexpr const char* names[] = {"GlobalDriftCompensation", "GlobalDriftCompensationWithExactReference",
                                   "PerColumnDriftCompensation"};
  return names[compensation.index()];
}

bool uses_exact_reference(const DriftCompensation& compensation) {
  return std::holds_alternative<GlobalDriftCompensationWithExactReference>(compensation);
}

std::vector<double> readout_values(const DriftCompensation& compensation, ConstMatrixView output,
                                   ConstMatrixView target) {
  const bool with_signs = reads_signed(compensation);
  TESSERA_EXPECT(!with_signs || (target.rows == output.cols && target.cols == output.rows));
  std::vector<double> sums(static_cast<std::size_t>(output.cols), 0.0);
  for (std::int64_t n = 0; n < output.rows; ++n) {
    const std::span<const float> row = output.row_span(n);
    for (std::size_t i = 0; i < row.size(); ++i) {
      const auto value = static_cast<double>(row[i]);
      sums[i] += with_signs ? value * sign_of(target(static_cast<std::int64_t>(i), n)) : std::abs(value);
    }
  }
  return values_from(compensation, std::move(sums), output.rows);
}

std::vector<double> exact_readout_values(const DriftCompensation& compensation, ConstMatrixView weights) {
  std::vector<double> sums(static_cast<std::size_t>(weights.rows), 0.0);
  for (std::int64_t i = 0; i < weights.rows; ++i)
    for (const float w : weights.row_span(i)) sums[static_cast<std::size_t>(i)] += std::abs(static_cast<double>(w));
  return values_from(compensation, std::move(sums), weights.cols);
}

std::vector<float> compensation_factors(std::span<const double> baseline, std::span<const double> current,
                                        std::int64_t outputs) {
  const auto count = static_cast<std::size_t>(outputs);
  require<RunError>(baseline.size() == current.size() && (current.size() == 1 || current.size() == count),
                    "drift compensation: {} baseline and {} current read-out values for {} outputs", baseline.size(),
                    current.size(), outputs);
  std::vector<float> alpha;
  for (std::size_t i = 0; i < current.size(); ++i) {
    const double ratio = baseline[i] / current[i];
    require<RunError>(std::isfinite(ratio), "drift compensation: read-out of output {} is not finite ({} / {})", i,
                      baseline[i], current[i]);
    alpha.push_back(static_cast<float>(ratio));
  }
  if (alpha.size() == 1) alpha.resize(count, alpha[0]);
  return alpha;
}

}  // namespace tessera::device
