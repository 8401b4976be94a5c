#include "tessera/quant/range_estimator.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "quant/range_search.hpp"
#include "tessera/core/problems.hpp"

namespace tessera::quant {

NoDataPassedError::NoDataPassedError()
    : Error("the range estimator has seen no data yet; pass a batch through it first") {}

const char* to_string(RangeEstimators estimator) {
  return range_estimator_names.at(static_cast<std::size_t>(estimator));
}

const char* to_string(OptMethod method) {
  return opt_method_names.at(static_cast<std::size_t>(method) - 1);
}

RangeEstimatorParams default_params(RangeEstimators estimator) {
  switch (estimator) {
    case RangeEstimators::current_minmax:
      return CurrentMinMaxEstimatorParams{};
    case RangeEstimators::allminmax:
      return std::monostate{};
    case RangeEstimators::running_minmax:
      return RunningMinMaxEstimatorParams{};
    case RangeEstimators::MSE:
      return MSEEstimatorParams{};
    case RangeEstimators::cross_entropy:
      return CrossEntropyEstimatorParams{};
  }
  throw ConfigError("range_estimator", "unknown range estimator");
}

bool params_fit(RangeEstimators estimator, const RangeEstimatorParams& params) {
  return default_params(estimator).index() == params.index() ||
         (estimator == RangeEstimators::MSE && std::holds_alternative<CrossEntropyEstimatorParams>(params));
}

namespace {

bool is_search(RangeEstimators estimator) {
  return estimator == RangeEstimators::MSE || estimator == RangeEstimators::cross_entropy;
}

const MSEEstimatorParams& search_params(const RangeEstimatorParams& params) {
  if (const auto* p = std::get_if<CrossEntropyEstimatorParams>(&params)) return *p;
  return std::get<MSEEstimatorParams>(params);
}

std::optional<double> percentile_of(const RangeEstimatorParameters& parameters) {
  const auto* p = std::get_if<CurrentMinMaxEstimatorParams>(&parameters.params);
  return p != nullptr && p->percentile && *p->percentile != 0.0 ? p->percentile : std::nullopt;
}

// Linear rule on sorted values, evaluated from the nearer neighbour.
float percentile(const std::vector<float>& sorted, double p) {
  const double position = p / 100.0 * static_cast<double>(sorted.size() - 1);
  const auto below = std::min(static_cast<std::size_t>(position), sorted.size() - 1);
  const double low = sorted[below], high = sorted[std::min(below + 1, sorted.size() - 1)];
  const double fraction = position - static_cast<double>(below);
  const double value = fraction < 0.5 ? low + (high - low) * fraction : high - (high - low) * (1.0 - fraction);
  return static_cast<float>(value);
}

std::vector<float> channel_values(const ChannelLayout& layout, std::span<const float> x, std::int64_t channel) {
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(layout.outer * layout.inner));
  for (std::int64_t o = 0; o < layout.outer; ++o) {
    const auto* first = x.data() + (o * layout.channels + channel) * layout.inner;
    values.insert(values.end(), first, first + layout.inner);
  }
  return values;
}

std::vector<float> repeated(const std::vector<float>& values, std::int64_t times) {
  std::vector<float> out;
  for (const float v : values) out.insert(out.end(), static_cast<std::size_t>(times), v);
  return out;
}

}  // namespace

void validate(const RangeEstimatorParameters& p, const std::string& key) {
  Problems problems(key + ".");
  if (!params_fit(p.estimator, p.params)) {
    problems.add(
        "range_estimator_params",
        fmt::format("options of another estimator than {}; give that estimator's own or none", to_string(p.estimator)));
  }
  if (const auto* minmax = std::get_if<CurrentMinMaxEstimatorParams>(&p.params)) {
    if (minmax->percentile && !(*minmax->percentile >= 0.0 && *minmax->percentile < 50.0)) {
      problems.add("percentile", fmt::format("{} is outside [0, 50): it is cut off at the ends", *minmax->percentile));
    }
  }
  if (const auto* running = std::get_if<RunningMinMaxEstimatorParams>(&p.params)) {
    if (!(running->momentum >= 0.0 && running->momentum <= 1.0)) {
      problems.add("momentum",
                   fmt::format("{} is outside [0, 1]: it is the weight of the old range", running->momentum));
    }
  }
  if (is_search(p.estimator) && params_fit(p.estimator, p.params)) {
    const MSEEstimatorParams& search = search_params(p.params);
    if (search.num_candidates < 1) {
      problems.add("num_candidates", fmt::format("{} grid points; at least 1 is needed", search.num_candidates));
    }
    if (!(search.range_margin >= 0.0) || !std::isfinite(search.range_margin)) {
      problems.add("range_margin", fmt::format("{} is not a finite number >= 0", search.range_margin));
    }
    if (search.range_opt_method != OptMethod::grid && search.range_opt_method != OptMethod::golden_section) {
      problems.add("range_opt_method", "unknown search; use grid or golden_section");
    }
  }
  if (p.estimator == RangeEstimators::cross_entropy && p.axis && *p.axis != 0) {
    problems.add("axis", "cross_entropy needs dimension 1 for its softmax; use per_channel or no axis");
  }
  if (p.per_channel && p.axis) problems.add("axis", "both per_channel and axis are given; give one of them");
  if (p.n_groups && *p.n_groups < 1)
    problems.add("n_groups", fmt::format("{} groups; at least 1 is needed", *p.n_groups));
  if (p.n_groups && !p.per_channel && !p.axis) {
    problems.add("n_groups", "groups need channels; set per_channel or axis");
  }
  problems.throw_if_any();
}

RangeEstimator::RangeEstimator(const RangeEstimatorParameters& parameters,
                               const std::optional<UniformQuantizerParameters>& quantizer)
    : parameters_(parameters), quantizer_(quantizer) {
  validate(parameters_);
  if (!is_search(parameters_.estimator)) return;
  if (!quantizer_) {
    throw ConfigError("range_estimator", fmt::format("{} measures the error of a quantizer but was given none",
                                                     to_string(parameters_.estimator)));
  }
  validate(*quantizer_);
}

const Range& RangeEstimator::estimate(const Tensor& x) {
  return estimate(x.shape(), x.values());
}

const Range& RangeEstimator::estimate(const Shape& shape, std::span<const float> x) {
  require<InputError>(!x.empty(), "a range cannot be estimated from a tensor without elements");
  require<InputError>(element_count(shape) == static_cast<std::int64_t>(x.size()),
                      "{} values do not fill a tensor of shape {}", x.size(), tessera::to_string(shape));
  require<InputError>(std::all_of(x.begin(), x.end(), [](float v) { return std::isfinite(v); }),
                      "the data for a quantization range holds NaN or infinity; look at the layer before");
  ChannelLayout layout{1, 1, static_cast<std::int64_t>(x.size())};
  if (parameters_.per_channel) layout = channel_layout(shape, 0);
  if (parameters_.axis) layout = channel_layout(shape, *parameters_.axis);
  const std::int64_t channels = layout.channels;
  std::int64_t group = 1;
  if (parameters_.n_groups) {
    require<InputError>(channels % *parameters_.n_groups == 0, "{} channels cannot be cut into {} equal groups",
                        channels, *parameters_.n_groups);
    group = channels / *parameters_.n_groups;
    layout.channels /= group;
    layout.inner *= group;
  }
  require<InputError>(
      !current_ || static_cast<std::int64_t>(current_->min.size()) == channels,
      "batch with {} channels for an estimator that has seen {} (the channel count cannot change); reset "
      "it first",
      channels, current_ ? current_->min.size() : 0);

  Range batch = is_search(parameters_.estimator) ? searched(shape, layout, x) : batch_extremes(layout, x);
  batch.min = repeated(batch.min, group);
  batch.max = repeated(batch.max, group);
  if (!current_ || is_search(parameters_.estimator) || parameters_.estimator == RangeEstimators::current_minmax) {
    current_ = std::move(batch);
    return *current_;
  }
  const auto* running = std::get_if<RunningMinMaxEstimatorParams>(&parameters_.params);
  for (std::size_t c = 0; c < batch.min.size(); ++c) {
    if (running == nullptr) {
      current_->min[c] = std::min(current_->min[c], batch.min[c]);
      current_->max[c] = std::max(current_->max[c], batch.max[c]);
    } else {
      const auto fresh = static_cast<float>(1.0 - running->momentum);
      const auto kept = static_cast<float>(running->momentum);
      current_->min[c] = fresh * batch.min[c] + kept * current_->min[c];
      current_->max[c] = fresh * batch.max[c] + kept * current_->max[c];
    }
  }
  return *current_;
}

Range RangeEstimator::batch_extremes(const ChannelLayout& layout, std::span<const float> x) const {
  Range range;
  const std::optional<double> p = percentile_of(parameters_);
  for (std::int64_t c = 0; c < layout.channels; ++c) {
    if (p) {
      const bool both = parameters_.per_channel || parameters_.axis ||
                        std::get<CurrentMinMaxEstimatorParams>(parameters_.params).two_sided;
      std::vector<float> values = channel_values(layout, x, c);
      std::sort(values.begin(), values.end());
      range.min.push_back(percentile(values, *p));
      range.max.push_back(both ? percentile(values, 100.0 - *p) : values.back());
      continue;
    }
    float low = x[static_cast<std::size_t>(c * layout.inner)], high = low;
    for (std::int64_t o = 0; o < layout.outer; ++o) {
      const float* first = x.data() + (o * layout.channels + c) * layout.inner;
      for (std::int64_t i = 0; i < layout.inner; ++i) {
        low = std::min(low, first[i]);
        high = std::max(high, first[i]);
      }
    }
    range.min.push_back(low);
    range.max.push_back(high);
  }
  return range;
}

Range RangeEstimator::searched(const Shape& shape, const ChannelLayout& layout, std::span<const float> x) {
  const MSEEstimatorParams& params = search_params(parameters_.params);
  const bool cross_entropy = parameters_.estimator == RangeEstimators::cross_entropy;
  require<InputError>(!cross_entropy || shape.size() >= 2,
                      "cross_entropy takes its softmax over dimension 1, which a tensor of shape {} lacks",
                      tessera::to_string(shape));
  const bool symmetric = quantizer_->method == QMethod::symmetric_uniform;
  if (!search_) {
    const auto [low, high] = std::minmax_element(x.begin(), x.end());
    Search search;
    search.one_sided = *low >= 0.0f;
    search.upper = static_cast<double>(*high) + params.range_margin;
    search.lower = static_cast<double>(*low) - params.range_margin;
    search.largest =
        search.one_sided || symmetric
            ? std::max(std::abs(static_cast<double>(*low)), static_cast<double>(*high)) + params.range_margin
            : std::max(std::abs(search.upper), std::abs(search.lower));
    search_ = std::move(search);
  }
  const SearchSpace space{.one_sided = search_->one_sided,
                          .skewed = !search_->one_sided && !symmetric,
                          .largest = search_->largest,
                          .lower = search_->lower,
                          .upper = search_->upper,
                          .n_bits = quantizer_->n_bits};
  const bool grid = params.range_opt_method == OptMethod::grid;
  const std::vector<TrialRange> candidates =
      grid ? grid_candidates(space, params.num_candidates) : std::vector<TrialRange>{};
  if (grid && search_->losses.empty()) {
    search_->losses.assign(static_cast<std::size_t>(layout.channels), std::vector<double>(candidates.size(), 0.0));
  }
  Range range;
  for (std::int64_t c = 0; c < layout.channels; ++c) {
    std::vector<float> values = channel_values(layout, x, c);
    const std::int64_t classes = cross_entropy ? shape[1] : 0;
    const std::int64_t inner = cross_entropy ? static_cast<std::int64_t>(x.size()) / (shape[0] * classes) : 0;
    const TrialLoss loss = cross_entropy ? TrialLoss(*quantizer_, std::move(values), classes, inner)
                                         : TrialLoss(*quantizer_, std::move(values));
    TrialRange best{};
    if (grid) {
      std::vector<double>& sums = search_->losses[static_cast<std::size_t>(c)];
      for (std::size_t i = 0; i < candidates.size(); ++i) sums[i] += loss(candidates[i].low, candidates[i].high);
      best = candidates[static_cast<std::size_t>(std::min_element(sums.begin(), sums.end()) - sums.begin())];
    } else {
      best = golden_section_range(space, loss);
    }
    range.min.push_back(static_cast<float>(best.low));
    range.max.push_back(static_cast<float>(best.high));
  }
  return range;
}

void RangeEstimator::set_current(Range range) {
  require<InputError>(range.min.size() == range.max.size() && !range.min.empty(),
                      "stored range with {} lower and {} upper bounds", range.min.size(), range.max.size());
  current_ = std::move(range);
}

void RangeEstimator::reset() {
  current_.reset();
  search_.reset();
}

double RangeEstimator::step_size() const {
  if (!search_) throw NoDataPassedError();
  return search_->largest / search_params(parameters_.params).num_candidates;
}

bool RangeEstimator::one_sided() const {
  if (!search_) throw NoDataPassedError();
  return search_->one_sided;
}

}  // namespace tessera::quant
