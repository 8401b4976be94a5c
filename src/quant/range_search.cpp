#include "quant/range_search.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "quant/bounded_minimizer.hpp"
#include "quant/uniform_loops.hpp"

namespace tessera::quant {

namespace {

UniformQuantizerParameters per_tensor(UniformQuantizerParameters parameters) {
  parameters.per_channel = false;
  parameters.axis.reset();
  return parameters;
}

// Largest value and log of the sum of exponentials of one softmax column.
struct LogNormalizer {
  double largest;
  double log_sum;
};

LogNormalizer log_normalizer(const float* column, std::int64_t classes, std::int64_t stride) {
  double largest = column[0];
  for (std::int64_t k = 1; k < classes; ++k) largest = std::max(largest, static_cast<double>(column[k * stride]));
  double sum = 0.0;
  for (std::int64_t k = 0; k < classes; ++k) sum += std::exp(static_cast<double>(column[k * stride]) - largest);
  return {largest, std::log(sum)};
}

// How far the asymmetric search may shift a range of half-width r: a quarter of the codes.
double largest_shift_in_steps(int n_bits) {
  return std::floor(std::ldexp(1.0, n_bits) / 4.0);
}
double step_of(double half_width, int n_bits) {
  return 2.0 * half_width / (std::ldexp(1.0, n_bits) - 1.0);
}

}  // namespace

TrialLoss::TrialLoss(const UniformQuantizerParameters& quantizer, std::vector<float> values)
    : quantizer_(per_tensor(quantizer)), values_(std::move(values)) {}

TrialLoss::TrialLoss(const UniformQuantizerParameters& quantizer, std::vector<float> values, std::int64_t classes,
                     std::int64_t inner)
    : quantizer_(per_tensor(quantizer)), values_(std::move(values)), classes_(classes), inner_(inner) {
  probabilities_.resize(values_.size());
  const std::int64_t columns = static_cast<std::int64_t>(values_.size()) / classes_;
  for (std::int64_t column = 0; column < columns; ++column) {
    const std::int64_t at = column / inner_ * classes_ * inner_ + column % inner_;
    const LogNormalizer n = log_normalizer(values_.data() + at, classes_, inner_);
    for (std::int64_t k = 0; k < classes_; ++k) {
      const auto i = static_cast<std::size_t>(at + k * inner_);
      probabilities_[i] = std::exp(static_cast<double>(values_[i]) - n.largest - n.log_sum);
    }
  }
}

double TrialLoss::operator()(double low, double high) const {
  UniformQuantizer trial(quantizer_);
  trial.set_quant_range(static_cast<float>(low), static_cast<float>(high));
  if (classes_ > 0) return cross_entropy(trial.grid());
  return loops::squared_error(trial.grid(), values_.data(), static_cast<std::int64_t>(values_.size()));
}

double TrialLoss::cross_entropy(const UniformGrid& grid) const {
  std::vector<float> quantized(values_.size());
  quantize_dequantize(grid, values_, quantized);
  const std::int64_t columns = static_cast<std::int64_t>(values_.size()) / classes_;
  double loss = 0.0;
  for (std::int64_t column = 0; column < columns; ++column) {
    const std::int64_t at = column / inner_ * classes_ * inner_ + column % inner_;
    const LogNormalizer n = log_normalizer(quantized.data() + at, classes_, inner_);
    for (std::int64_t k = 0; k < classes_; ++k) {
      const auto i = static_cast<std::size_t>(at + k * inner_);
      loss -= probabilities_[i] * (static_cast<double>(quantized[i]) - n.largest - n.log_sum);
    }
  }
  return loss;
}

std::vector<TrialRange> grid_candidates(const SearchSpace& space, int num_candidates) {
  const double step = space.largest / num_candidates;
  std::vector<TrialRange> candidates;
  for (int i = 1; i <= num_candidates; ++i) {
    const double half_width = step * i;
    if (!space.skewed) {
      candidates.push_back({space.one_sided ? 0.0 : -half_width, half_width});
      continue;
    }
    const int shifts = static_cast<int>(largest_shift_in_steps(space.n_bits));
    for (int t = 0; t < shifts; ++t) {
      for (const double sign : {1.0, -1.0}) {
        const double shift = sign * t * step_of(half_width, space.n_bits);
        candidates.push_back({std::max(-half_width + shift, space.lower), std::min(half_width + shift, space.upper)});
      }
    }
  }
  return candidates;
}

TrialRange golden_section_range(const SearchSpace& space, const TrialLoss& loss) {
  const double smallest = 0.01 * space.largest;
  if (!space.skewed) {
    const double r =
        bounded_minimum([&](double t) { return loss(space.one_sided ? 0.0 : -t, t); }, smallest, space.largest).x;
    return {space.one_sided ? 0.0 : -r, r};
  }
  const auto best_shift = [&](double r) {
    const double reach = largest_shift_in_steps(space.n_bits) * step_of(r, space.n_bits);
    return bounded_minimum([&](double s) { return loss(-r + s, r + s); }, -reach, reach);
  };
  const double r = bounded_minimum([&](double t) { return best_shift(t).value; }, smallest, space.largest).x;
  const double shift = best_shift(r).x;
  return {-r + shift, r + shift};
}

}  // namespace tessera::quant
