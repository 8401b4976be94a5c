#include "tessera/circuit/weight_cells.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tessera/circuit/device_error.hpp"

namespace tessera::circuit {
namespace {

// Linearly interpolated, q in [0, 1].
double quantile(const std::vector<double>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(std::floor(at));
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - std::floor(at)) * (sorted[above] - sorted[below]);
}

RealMatrix with_unit_column(const RealMatrix& lines, double value) {
  RealMatrix all(lines.rows() + 1, lines.cols());
  std::fill(all.view().row_span(0).begin(), all.view().row_span(0).end(), value);
  std::copy(lines.values().begin(), lines.values().end(), all.view().row(1));
  return all;
}

void to_levels(const CellParameters& cell, RealMatrix& g) {
  for (double& v : g.values()) v = nearest_level(cell, v);
}

SliceCells balanced_cells(const CrossbarParameters& p, ConstRealView w) {
  const double g0 = p.device.g0(), gr = 1.0 - g0;
  const bool one_sided = p.core.balanced.style == BalancedStyle::ONE_SIDED;
  SliceCells cells{RealMatrix(w.rows, w.cols), RealMatrix(w.rows, w.cols)};
  for (std::int64_t j = 0; j < w.rows; ++j)
    for (std::int64_t i = 0; i < w.cols; ++i) {
      const double v = w(j, i);
      cells.positive(j, i) = g0 + gr * (one_sided ? std::max(v, 0.0) : 0.5 * (1.0 + v));
      cells.negative(j, i) = g0 + gr * (one_sided ? std::max(-v, 0.0) : 0.5 * (1.0 - v));
    }
  return cells;
}

SliceCells offset_cells(const CrossbarParameters& p, ConstRealView w) {
  const double range = offset_range(p), low = 1.0 - range;
  RealMatrix g(w.rows, w.cols);
  for (std::int64_t j = 0; j < w.rows; ++j)
    for (std::int64_t i = 0; i < w.cols; ++i) g(j, i) = low + range * (0.5 * w(j, i) + 0.5);
  return {p.has_unit_column() ? with_unit_column(g, low + 0.5 * range) : std::move(g), {}};
}

std::vector<SliceCells> sliced_cells(const CrossbarParameters& p, ConstRealView w) {
  const double g0 = p.device.g0(), gr = 1.0 - g0;
  const bool pairs = p.has_pairs();
  const int slices = p.slices(), s = p.slice_bits();
  const auto half = std::int64_t{1} << (p.core.weight_bits - 1);
  const std::int64_t mask = (std::int64_t{1} << s) - 1;
  const double top = static_cast<double>(mask);
  const auto digit = [&](std::int64_t q, int k) {
    const std::int64_t rest = q >> (s * k);
    return static_cast<double>(k + 1 < slices ? rest & mask : rest) / top;
  };
  std::vector<SliceCells> all;
  for (int k = 0; k < slices; ++k) {
    SliceCells cells{RealMatrix(w.rows, w.cols), pairs ? RealMatrix(w.rows, w.cols) : RealMatrix()};
    for (std::int64_t j = 0; j < w.rows; ++j)
      for (std::int64_t i = 0; i < w.cols; ++i) {
        const auto q = static_cast<std::int64_t>(std::rint(w(j, i) * static_cast<double>(half - 1)));
        if (pairs) {
          cells.positive(j, i) = g0 + gr * digit(std::max<std::int64_t>(q, 0), k);
          cells.negative(j, i) = g0 + gr * digit(std::max<std::int64_t>(-q, 0), k);
        } else {
          cells.positive(j, i) = g0 + gr * digit(q + half, k);
        }
      }
    if (p.has_unit_column()) cells.positive = with_unit_column(cells.positive, g0 + gr * digit(half, k));
    all.push_back(std::move(cells));
  }
  return all;
}

}  // namespace

double WeightLimits::scale() const {
  return std::max(std::abs(low), std::abs(high));
}

double offset_range(const CrossbarParameters& p) {
  const double levels = std::exp2(p.device.cell_bits);
  return (1.0 - p.device.g0()) * (p.device.cell_bits > 0 ? (levels - 2.0) / (levels - 1.0) : 1.0);
}

WeightLimits weight_limits(const WeightMapping& mapping, ConstRealView weights) {
  std::vector<double> values;
  double largest = 0.0;
  for (std::int64_t j = 0; j < weights.rows; ++j)
    for (const double v : weights.row_span(j)) {
      require<InputError>(std::isfinite(v), "a weight of output {} is {}", j, v);
      largest = std::max(largest, std::abs(v));
    }
  if (!mapping.percentile) return {*mapping.min, *mapping.max};
  const double q = *mapping.percentile;
  double limit = q * largest;
  if (q < 1.0 && weights.rows * weights.cols > 0) {
    for (std::int64_t j = 0; j < weights.rows; ++j)
      values.insert(values.end(), weights.row(j), weights.row(j) + weights.cols);
    std::sort(values.begin(), values.end());
    limit = std::max(std::abs(quantile(values, q)), std::abs(quantile(values, 1.0 - q)));
  }
  if (limit == 0.0) limit = std::numeric_limits<double>::epsilon();
  return {-limit, limit};
}

RealMatrix normalised_weights(const WeightMapping& mapping, const WeightLimits& limits, ConstRealView weights) {
  RealMatrix w(weights);
  const double scale = limits.scale();
  for (double& v : w.values()) v = (mapping.clipping ? std::clamp(v, limits.low, limits.high) : v) / scale;
  return w;
}

std::vector<SliceCells> weight_cells(const CrossbarParameters& parameters, ConstRealView w) {
  std::vector<SliceCells> all;
  switch (parameters.core.style) {
    case CoreStyle::BALANCED:
      all.push_back(balanced_cells(parameters, w));
      break;
    case CoreStyle::OFFSET:
      all.push_back(offset_cells(parameters, w));
      break;
    case CoreStyle::BITSLICED:
      all = sliced_cells(parameters, w);
      break;
  }
  for (SliceCells& cells : all) {
    to_levels(parameters.device, cells.positive);
    to_levels(parameters.device, cells.negative);
  }
  return all;
}

PartitionRule input_partition(const CrossbarParameters& p) {
  return {p.core.rows_max, p.core.weights.col_partition_strategy, p.core.weights.col_partition_priority,
          p.compat.partition_sizes};
}

PartitionRule output_partition(const CrossbarParameters& p) {
  return {p.core.cols_max, p.core.weights.row_partition_strategy, p.core.weights.row_partition_priority,
          p.compat.partition_sizes};
}

std::vector<std::pair<std::int64_t, std::int64_t>> partition(std::int64_t count, const PartitionRule& rule) {
  if (rule.largest <= 0 || count <= rule.largest) return {{0, count}};
  const std::int64_t tiles = (count + rule.largest - 1) / rule.largest;
  bool full = rule.strategy == PartitionStrategy::MAX && count % tiles != 0;
  for (const int d : rule.priority) full = full || (rule.largest / d > 0 && count % (rule.largest / d) == 0);
  const auto rounded = static_cast<std::int64_t>(std::rint(static_cast<double>(count) / static_cast<double>(tiles)));
  std::vector<std::pair<std::int64_t, std::int64_t>> parts;
  std::int64_t at = 0;
  for (std::int64_t t = 0; t < tiles; ++t) {
    std::int64_t size = count / tiles + (t < count % tiles ? 1 : 0);
    if (rule.sizes == PartitionSizes::CROSSSIM) size = t + 1 < tiles ? rounded : count - at;
    if (full) size = rule.largest;
    const std::int64_t end = std::min(count, at + size);
    parts.emplace_back(at, end);
    at = end;
  }
  return parts;
}

}  // namespace tessera::circuit
