#include "tessera/quant/state_quant.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "quant/level_loops.hpp"
#include "tessera/core/problems.hpp"

namespace tessera::quant {

namespace {

struct Limits {
  double low;
  double high;
};

Limits limits_of(const StateQuantParameters& p) {
  return {-(p.threshold + p.threshold * p.lower_limit), p.threshold + p.threshold * p.upper_limit};
}

// Share of the levels below the centre.
double lower_share(const StateQuantParameters& p) {
  const Limits limits = limits_of(p);
  return ((p.thr_centered ? p.threshold : 0.0) - limits.low) / (limits.high - limits.low);
}

std::vector<float> uniform_levels(const Limits& limits, int count) {
  const auto low = static_cast<float>(limits.low), high = static_cast<float>(limits.high);
  const float step = (high - low) / static_cast<float>(count - 1);
  std::vector<float> levels;
  levels.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    levels.push_back(i < count / 2 ? low + step * static_cast<float>(i)
                                   : high - step * static_cast<float>(count - 1 - i));
  }
  return levels;
}

// Number of unit steps, each q^j long, that fill a distance of 1: the sum, smallest power last.
double steps_in(int count, double q) {
  double sum = 0.0;
  for (int j = count - 1; j >= 0; --j) sum += std::pow(q, j);
  return sum;
}

// The largest x in [low, high] that is not nearer to `high` in float32 distance: bisection on the ordered bit patterns.
float decision_between(float low, float high) {
  const auto ordered = [](float v) {
    const auto bits = std::bit_cast<std::int32_t>(v);
    return static_cast<std::int64_t>(bits < 0 ? std::numeric_limits<std::int32_t>::min() - std::int64_t{bits} : bits);
  };
  const auto value = [](std::int64_t order) {
    return std::bit_cast<float>(
        static_cast<std::int32_t>(order < 0 ? std::numeric_limits<std::int32_t>::min() - order : order));
  };
  std::int64_t stays = ordered(low), leaves = ordered(high);
  while (leaves - stays > 1) {
    const std::int64_t middle = stays + (leaves - stays) / 2;
    const float x = value(middle);
    (std::abs(high - x) < std::abs(low - x) ? leaves : stays) = middle;
  }
  return value(stays);
}

// Whether no value between two levels can be as far, in float32, from the level below them as from the lower of the
// two: the distance to the next is then fine enough to tell the levels apart.
bool distances_tell_levels_apart(const std::vector<float>& levels) {
  for (std::size_t k = 0; k + 1 < levels.size(); ++k) {
    const float gap = levels[k + 1] - levels[k];
    const float reach = k + 2 < levels.size() ? levels[k + 2] - levels[k] : gap;
    if (!(gap > reach * 0x1p-20f)) return false;
  }
  return true;
}

}  // namespace

double default_multiplier(int num_bits) {
  constexpr std::array<double, 7> by_bits{0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.925};
  return num_bits >= 1 && num_bits <= 7 ? by_bits[static_cast<std::size_t>(num_bits - 1)] : 0.95;
}

void validate(const StateQuantParameters& p, const std::string& key) {
  Problems problems(key + ".");
  if (p.num_bits < 1 || p.num_bits > 16)
    problems.add("num_bits", fmt::format("{} bits (1 to 16 are possible)", p.num_bits));
  for (const auto& [name, value] : {std::pair{"threshold", p.threshold}, std::pair{"lower_limit", p.lower_limit},
                                    std::pair{"upper_limit", p.upper_limit}}) {
    if (!std::isfinite(value)) problems.add(name, "not a finite number");
  }
  if (p.multiplier && !(*p.multiplier > 0.0 && std::isfinite(*p.multiplier))) {
    problems.add("multiplier",
                 fmt::format("{} is not a positive number (the ratio of neighbouring steps)", *p.multiplier));
  }
  const Limits limits = limits_of(p);
  if (problems.empty() &&
      !(std::isfinite(static_cast<float>(limits.low)) && std::isfinite(static_cast<float>(limits.high)))) {
    problems.add("threshold", "the levels overflow float32");
  }
  if (problems.empty() && static_cast<float>(limits.low) == static_cast<float>(limits.high)) {
    problems.add("threshold",
                 fmt::format("all {} levels, from -(T + T lower_limit) to T + T upper_limit, are {}: a state could "
                             "take no other value; choose a threshold other than 0",
                             1 << p.num_bits, limits.low + 0.0));
  } else if (problems.empty() && p.uniform) {
    const std::vector<float> levels = uniform_levels(limits, 1 << p.num_bits);
    if (std::adjacent_find(levels.begin(), levels.end()) != levels.end())
      problems.add("num_bits",
                   fmt::format("{} levels between {} and {} coincide in float32; use fewer bits or wider limits",
                               levels.size(), limits.low, limits.high));
  } else if (problems.empty()) {
    if (const double share = lower_share(p); !(share >= 0.0 && share <= 1.0)) {
      problems.add("lower_limit", "the centre of the exponential levels lies outside their limits");
    }
  }
  problems.throw_if_any();
}

std::vector<float> state_levels(const StateQuantParameters& p) {
  validate(p);
  const Limits limits = limits_of(p);
  const int count = 1 << p.num_bits;
  if (p.uniform) return uniform_levels(limits, count);

  const double q = p.multiplier.value_or(default_multiplier(p.num_bits));
  const double centre = p.thr_centered ? p.threshold : 0.0;
  const int below = static_cast<int>(std::floor(count * lower_share(p)));
  const int above = count - below;
  std::vector<float> levels;
  if (below > 0) {
    const double room = steps_in(below, q) / (centre - limits.low);
    double level = limits.low;
    for (int j = 0; j < below; ++j) {
      levels.push_back(static_cast<float>(level));
      level += std::pow(q, j) / room;
    }
  }
  if (above > 0) {
    const double room = steps_in(above, q) / (limits.high - centre);
    double level = centre;
    for (int j = above - 1; j >= 0; --j) {
      level += std::pow(q, j) / room;
      levels.push_back(static_cast<float>(level));
    }
  }
  return levels;
}

StateQuant::StateQuant(const StateQuantParameters& parameters)
    : StateQuant(state_levels(parameters), parameters.rule) {}

StateQuant::StateQuant(std::vector<float> levels, LevelRule rule) : levels_(std::move(levels)), rule_(rule) {
  if (levels_.empty()) throw ConfigError("state_quant.levels", "no level given; at least one is needed");
  if (!std::all_of(levels_.begin(), levels_.end(), [](float v) { return std::isfinite(v); })) {
    throw ConfigError("state_quant.levels", "a level is NaN or infinite");
  }
  ascending_ = std::is_sorted(levels_.begin(), levels_.end());
  const auto [low, high] = std::minmax_element(levels_.begin(), levels_.end());
  lowest_ = *low;
  highest_ = *high;
  if (!ascending_ || rule_ != LevelRule::nearest || !distances_tell_levels_apart(levels_)) return;
  const std::size_t padded = std::bit_ceil(levels_.size());
  for (std::size_t k = 0; k + 1 < levels_.size(); ++k)
    decisions_.push_back(decision_between(levels_[k], levels_[k + 1]));
  decisions_.resize(padded, std::numeric_limits<float>::infinity());
  padded_levels_ = levels_;
  padded_levels_.resize(padded, highest_);
}

float StateQuant::nearest_level(float x) const {
  const auto after = std::lower_bound(levels_.begin(), levels_.end(), x);
  auto best = after == levels_.end() ? after - 1 : after;
  float distance = std::abs(*best - x);
  // Rounded distances do not grow towards x, so the first of equals is found by going down.
  while (best != levels_.begin() && std::abs(*(best - 1) - x) <= distance) {
    --best;
    distance = std::abs(*best - x);
  }
  return *best;
}

void StateQuant::forward(std::span<const float> x, std::span<float> y) const {
  require<InputError>(x.size() == y.size(), "state quantization of {} values with room for {}", x.size(), y.size());
  const auto count = static_cast<std::int64_t>(x.size());
  const bool nearest = rule_ == LevelRule::nearest;
  constexpr std::size_t scan_at_most = 16;  // beyond, halving is faster than trying every level
  if (levels_.size() > scan_at_most && !decisions_.empty()) {
    loops::level_by_decisions(decisions_.data(), padded_levels_.data(), static_cast<std::int32_t>(decisions_.size()),
                              x.data(), y.data(), count);
    return;
  }
  if (!ascending_ || levels_.size() <= scan_at_most) {
    loops::first_nearest_level(levels_.data(), static_cast<std::int64_t>(levels_.size()), x.data(), y.data(), count,
                               nearest, lowest_, highest_);
    return;
  }
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float v = x[i];
    if (std::isnan(v)) {
      y[i] = nearest ? v : levels_.front();
    } else if (nearest && (v >= highest_ || v <= lowest_)) {
      y[i] = v >= highest_ ? highest_ : lowest_;
    } else {
      y[i] = nearest_level(v);
    }
  }
}

Tensor StateQuant::forward(const Tensor& x) const {
  Tensor y = Tensor::uninitialized(x.shape());
  forward(x.values(), y.values());
  return y;
}

void StateQuant::backward(std::span<const float> grad_y, std::span<float> grad_x) {
  require<InputError>(grad_y.size() == grad_x.size(), "state quantization gradient of {} values with room for {}",
                      grad_y.size(), grad_x.size());
  if (grad_y.data() != grad_x.data()) std::copy(grad_y.begin(), grad_y.end(), grad_x.begin());
}

}  // namespace tessera::quant
