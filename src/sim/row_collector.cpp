#include "sim/row_collector.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::sim {

namespace {

bool is_zero(std::span<const float> row) {
  return std::all_of(row.begin(), row.end(), [](float v) { return v == 0.0F; });
}

float largest_magnitude(std::span<const float> values) {
  float largest = 0.0F;
  for (const float v : values) largest = std::max(largest, std::fabs(v));
  return largest;
}

}  // namespace

RowStatistics::RowStatistics(const InputCalibration& parameters, double std_alpha, const random::Address& address)
    : parameters_(parameters), std_alpha_(std_alpha), stream_(address, random::Purpose::calibration_sample) {}

void RowStatistics::add(ConstMatrixView rows, std::uint64_t first_vector) {
  const CalibrationType type = parameters_.type;
  const bool whole_range = type == CalibrationType::MOVING_QUANTILE && parameters_.quantile == 1.0;
  std::vector<std::uint32_t> high, low;
  if (type == CalibrationType::CACHE_QUANTILE) {
    high.resize(static_cast<std::size_t>(rows.rows));
    low.resize(high.size());
    random::fill_bits(stream_, 0, first_vector, high);
    random::fill_bits(stream_, 1, first_vector, low);
  }
  Moments moments;
  std::vector<float> values;
  float largest = 0.0F;
  for (std::int64_t r = 0; r < rows.rows; ++r) {
    const std::span<const float> row = rows.row_span(r);
    if (type != CalibrationType::INIT_FROM_DATA && is_zero(row)) continue;
    if (type == CalibrationType::MAX || whole_range) {
      largest = std::max(largest, largest_magnitude(row));
    } else if (type == CalibrationType::CACHE_QUANTILE) {
      const auto i = static_cast<std::size_t>(r);
      keep_row(std::uint64_t{high[i]} << 32U | low[i], first_vector + i, row);
    } else if (type == CalibrationType::MOVING_QUANTILE) {
      values.insert(values.end(), row.begin(), row.end());
    } else {
      moments.add(row);
    }
  }
  const std::lock_guard lock(mutex_);
  largest_ = std::max(largest_, largest);
  if (moments.count() > 0) moments_.emplace(first_vector, moments);
  if (!values.empty()) values_.emplace(first_vector, std::move(values));
}

void RowStatistics::keep_row(std::uint64_t key, std::uint64_t number, std::span<const float> values) {
  const std::lock_guard lock(mutex_);
  Row row{key, number, {}};
  if (std::ssize(cache_) == parameters_.max_samples) {
    if (!(row < cache_.front())) return;
    std::pop_heap(cache_.begin(), cache_.end());
    cache_.pop_back();
  }
  row.values.assign(values.begin(), values.end());
  cache_.push_back(std::move(row));
  std::push_heap(cache_.begin(), cache_.end());
}

std::optional<float> RowStatistics::finish_batch() {
  std::optional<float> value;
  if (!moments_.empty()) {
    Moments all;
    for (const auto& [first, part] : moments_) all.merge(part);
    if (const double sd = all.standard_deviation(); sd > 0.0)
      value = static_cast<float>(std_alpha_) * static_cast<float>(sd);
  } else if (!values_.empty()) {
    std::vector<float> all;
    for (const auto& [first, part] : values_) all.insert(all.end(), part.begin(), part.end());
    if (parameters_.absolute_values)
      for (float& v : all) v = std::fabs(v);
    value = static_cast<float>(quantile(all, parameters_.quantile));
  } else if (parameters_.type == CalibrationType::MOVING_QUANTILE && largest_ > 0.0F) {
    value = largest_;
  }
  moments_.clear();
  values_.clear();
  if (parameters_.type != CalibrationType::MAX) largest_ = 0.0F;
  return value && *value > 0.0F ? value : std::nullopt;
}

std::optional<float> RowStatistics::range() const {
  float found = largest_;
  if (!cache_.empty()) {
    std::vector<float> all;
    for (const Row& row : cache_) all.insert(all.end(), row.values.begin(), row.values.end());
    if (parameters_.absolute_values)
      for (float& v : all) v = std::fabs(v);
    found = std::fabs(static_cast<float>(quantile(all, parameters_.quantile)));
  }
  return found > 0.0F ? std::optional(found) : std::nullopt;
}

void RowCollector::forward(ConstMatrixView x, MatrixView y, std::uint64_t first_vector, Parallel parallel) const {
  for (std::size_t i = 0; i < statistics_.size(); ++i)
    statistics_[i]->add(x.cols_from(slices_[i].first, slices_[i].second), first_vector);
  if (then_ != nullptr) return then_->forward(x, y, first_vector, parallel);
  for (std::int64_t r = 0; r < y.rows; ++r) std::fill_n(y.row(r), y.cols, 0.0F);
}

}  // namespace tessera::sim
