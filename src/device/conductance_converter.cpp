#include "tessera/device/conductance_converter.hpp"

#include <algorithm>
#include <cmath>
#include "tessera/core/problems.hpp"

namespace tessera::device {

namespace {

constexpr double smallest_maximum = 1e-7;

template <class... Ts>
struct Overload : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overload(Ts...) -> Overload<Ts...>;

double sum(const std::vector<double>& values) {
  double total = 0.0;
  for (const double v : values) total += v;
  return total;
}

/// h_b = sum_p f_p (g+_p[b] - g-_p[b]).
std::vector<double> pair_sums(const CustomPairConductanceConverter& c) {
  std::vector<double> h(c.g_lst.empty() ? 0 : c.g_lst[0].size());
  for (std::size_t p = 0; p < c.f_lst.size(); ++p)
    for (std::size_t b = 0; b < h.size(); ++b) h[b] += c.f_lst[p] * (c.g_lst[2 * p][b] - c.g_lst[2 * p + 1][b]);
  return h;
}

double largest_magnitude(const std::vector<double>& values) {
  double largest = 0.0;
  for (const double v : values) largest = std::max(largest, std::abs(v));
  return largest;
}

/// uS that the largest weight spans, before division by it.
double full_scale(const ConductanceConverter& converter) {
  return std::visit(Overload{[](const auto& c) { return c.g_max - c.g_min; },
                             [](const NPairConductanceConverter& c) { return sum(c.f_lst) * (c.g_max - c.g_min); },
                             [](const DualPairConductanceConverter& c) { return sum(c.f_lst) * (c.g_max - c.g_min); },
                             [](const CustomPairConductanceConverter& c) { return largest_magnitude(pair_sums(c)); }},
                    converter);
}

struct Range {
  double low = 0.0;
  double high = 0.0;
};

Range range_of(std::span<const float> weights) {
  if (weights.empty()) return {};
  float low = weights[0];
  float high = weights[0];
  for (const float w : weights) {
    low = std::min(low, w);
    high = std::max(high, w);
  }
  return {static_cast<double>(low), static_cast<double>(high)};
}

/// out = clamp((sign k w - filled) / f + g_min, g_min, g_max), filled >= 0.
void fill_pair(std::span<const float> weights, double signed_k, double filled, double f, double low, double high,
               std::span<float> out) {
  const auto scale = static_cast<float>(signed_k / f);
  const auto offset = static_cast<float>(low - filled / f);
  const auto g_low = static_cast<float>(low);
  const auto g_high = static_cast<float>(high);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const float g = weights[i] * scale + offset;
    const float bounded = g < g_low ? g_low : g;
    out[i] = bounded > g_high ? g_high : bounded;
  }
}

template <class Pairs>
void n_pair_conductances(const Pairs& c, const Conversion& conversion, std::int64_t device,
                         std::span<const float> weights, std::span<float> out) {
  const auto pair = static_cast<std::size_t>(device / 2);
  double filled = 0.0;
  for (std::size_t p = 0; p < pair; ++p) filled += c.f_lst[p] * (c.g_max - c.g_min);
  fill_pair(weights, device % 2 == 0 ? conversion.uS_per_weight : -conversion.uS_per_weight, filled, c.f_lst[pair],
            c.g_min, c.g_max, out);
}

void interpolated_conductances(const CustomPairConductanceConverter& c, const Conversion& conversion,
                               std::int64_t device, std::span<const float> weights, std::span<float> out) {
  const std::vector<double>& list = c.g_lst[static_cast<std::size_t>(device)];
  const double half_width = largest_magnitude(pair_sums(c)) / conversion.uS_per_weight;
  const auto last = static_cast<double>(list.size() - 1);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double position = std::clamp((static_cast<double>(weights[i]) / half_width + 1.0) * 0.5 * last, 0.0, last);
    const auto below = std::min(static_cast<std::size_t>(position), list.size() - 2);
    const double fraction = position - static_cast<double>(below);
    out[i] = static_cast<float>(list[below] + fraction * (list[below + 1] - list[below]));
  }
}

bool positive(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v) && v > 0.0; });
}

void find_factor_problems(const std::vector<double>& f_lst, bool exactly_two, Problems& list) {
  list.expect(!exactly_two || f_lst.size() == 2, "f_lst", fmt::format("needs two factors, not {}", f_lst.size()));
  list.expect(!f_lst.empty(), "f_lst", "needs at least one factor");
  list.expect(positive(f_lst), "f_lst", "factors must be > 0");
}

void find_list_problems(const CustomPairConductanceConverter& c, Problems& list) {
  find_factor_problems(c.f_lst, false, list);
  list.expect(
      c.g_lst.size() == 2 * c.f_lst.size() && !c.g_lst.empty(), "g_lst",
      fmt::format("needs two lists (plus, minus) for each of the {} factors, not {}", c.f_lst.size(), c.g_lst.size()));
  const std::size_t points = c.g_lst.empty() ? 0 : c.g_lst[0].size();
  bool equal = points >= 2;
  bool inside = true;
  for (const std::vector<double>& g : c.g_lst) {
    equal = equal && g.size() == points;
    for (const double v : g) inside = inside && v >= c.g_min && v <= c.g_max;
  }
  list.expect(equal, "g_lst", "lists must have equal lengths of at least 2");
  list.expect(inside, "g_lst",
              fmt::format("conductances must lie within [g_min, g_max] = [{}, {}] uS", c.g_min, c.g_max));
  if (!equal || !inside || !positive(c.f_lst) || c.g_lst.size() != 2 * c.f_lst.size()) return;
  list.expect(largest_magnitude(pair_sums(c)) > 0.0, "g_lst", "plus and minus lists cancel: every weight would be 0");
  if (largest_magnitude(pair_sums(c)) <= 0.0) return;

  constexpr std::size_t checked = 33;
  std::vector<float> weights(checked), back(checked), conductances(c.g_lst.size() * checked);
  for (std::size_t i = 0; i < checked; ++i) weights[i] = static_cast<float>(i) / 16.0F - 1.0F;
  const ConductanceConverter converter = c;
  const Conversion conversion = make_conversion(converter, weights);
  for (std::size_t d = 0; d < c.g_lst.size(); ++d)
    to_conductances(converter, conversion, static_cast<std::int64_t>(d), weights,
                    std::span(conductances).subspan(d * checked, checked));
  to_weights(converter, conversion, conductances, checked, back);
  for (std::size_t i = 0; i < checked; ++i) {
    const double error = std::abs(static_cast<double>(back[i] - weights[i]));
    if (error > 1e-4) {
      list.expect(false, "g_lst",
                  fmt::format("does not give weights back: {} becomes {:.6g}; sum_p f_p (g+_p - g-_p) must grow evenly "
                              "from -max to max over the list",
                              weights[i], back[i]));
      return;
    }
  }
}

}  // namespace

double g_max(const ConductanceConverter& converter) {
  return std::visit([](const auto& c) { return c.g_max; }, converter);
}

double g_min(const ConductanceConverter& converter) {
  return std::visit([](const auto& c) { return c.g_min; }, converter);
}

void set_range(ConductanceConverter& converter, double g_min, double g_max) {
  std::visit(
      [&](auto& c) {
        c.g_min = g_min;
        c.g_max = g_max;
      },
      converter);
}

std::int64_t device_count(const ConductanceConverter& converter) {
  return static_cast<std::int64_t>(device_factors(converter).size());
}

std::vector<double> device_factors(const ConductanceConverter& converter) {
  const auto pairs = [](const auto& c) {
    std::vector<double> factors;
    for (const double f : c.f_lst) {
      factors.push_back(f);
      factors.push_back(-f);
    }
    return factors;
  };
  return std::visit(Overload{[&](const auto& c) { return pairs(c); },
                             [](const SinglePairConductanceConverter&) {
                               return std::vector<double>{1.0, -1.0};
                             },
                             [](const SingleDeviceConductanceConverter&) { return std::vector<double>{1.0}; }},
                    converter);
}

Conversion make_conversion(const ConductanceConverter& converter, std::span<const float> weights) {
  const Range range = range_of(weights);
  const auto* const single = std::get_if<SingleDeviceConductanceConverter>(&converter);
  if (single != nullptr && single->normalised) return {single->g_max, single->g_min / single->g_max};
  if (single != nullptr) return {full_scale(converter) / std::max(range.high - range.low, smallest_maximum), range.low};
  return {full_scale(converter) / std::max({-range.low, range.high, smallest_maximum}), 0.0};
}

void to_conductances(const ConductanceConverter& converter, const Conversion& conversion, std::int64_t device,
                     std::span<const float> weights, std::span<float> out) {
  TESSERA_EXPECT(weights.size() == out.size() && device >= 0 && device < device_count(converter));
  std::visit(Overload{[&](const SinglePairConductanceConverter& c) {
                        fill_pair(weights, device == 0 ? conversion.uS_per_weight : -conversion.uS_per_weight, 0.0, 1.0,
                                  c.g_min, c.g_max, out);
                      },
                      [&](const SingleDeviceConductanceConverter& c) {
                        const auto offset = static_cast<float>(conversion.weight_offset);
                        const auto k = static_cast<float>(conversion.uS_per_weight);
                        const auto low = static_cast<float>(c.g_min);
                        for (std::size_t i = 0; i < weights.size(); ++i) out[i] = (weights[i] - offset) * k + low;
                      },
                      [&](const CustomPairConductanceConverter& c) {
                        interpolated_conductances(c, conversion, device, weights, out);
                      },
                      [&](const auto& c) { n_pair_conductances(c, conversion, device, weights, out); }},
             converter);
}

void to_weights(const ConductanceConverter& converter, const Conversion& conversion,
                std::span<const float> conductances, std::int64_t stride, std::span<float> out) {
  const std::vector<double> factors = device_factors(converter);
  const auto low = static_cast<float>(g_min(converter));
  std::fill(out.begin(), out.end(), 0.0F);
  for (std::size_t d = 0; d < factors.size(); ++d) {
    const auto factor = static_cast<float>(factors[d]);
    const float* g = conductances.data() + static_cast<std::int64_t>(d) * stride;
    for (std::size_t i = 0; i < out.size(); ++i) out[i] += factor * (g[i] - low);
  }
  const auto weight_per_uS = static_cast<float>(1.0 / conversion.uS_per_weight);
  const auto offset = static_cast<float>(conversion.weight_offset);
  for (float& w : out) w = w * weight_per_uS + offset;
}

void find_problems(const ConductanceConverter& converter, const std::string& key, std::vector<Problem>& problems) {
  Problems list(key + ".");
  const double low = g_min(converter);
  const double high = g_max(converter);
  list.expect(std::isfinite(low) && low >= 0.0, "g_min", fmt::format("must be finite and >= 0 uS, not {}", low));
  list.expect(std::isfinite(high) && high > 0.0, "g_max", fmt::format("must be finite and > 0 uS, not {}", high));
  list.expect(!(low >= high), "g_min", fmt::format("must be below g_max ({} uS), not {}", high, low));
  std::visit(Overload{[](const auto&) {},
                      [&](const NPairConductanceConverter& c) { find_factor_problems(c.f_lst, false, list); },
                      [&](const DualPairConductanceConverter& c) { find_factor_problems(c.f_lst, true, list); },
                      [&](const CustomPairConductanceConverter& c) { find_list_problems(c, list); }},
             converter);
  for (Problem& problem : list.take()) problems.push_back(std::move(problem));
}

}  // namespace tessera::device
