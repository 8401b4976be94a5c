#include "tessera/tile/modifier.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "tessera/core/problems.hpp"

namespace tessera::tile {
namespace {

enum class Draw : std::uint64_t { noise = 0, drop = 1, rounding = 2, stuck = 3, stuck_value = 4, drift = 5, read = 6 };

// Draws of one kind for all weights, or for one row of them.
class Draws {
 public:
  Draws(const random::Stream& stream, std::uint32_t event, std::int64_t lines)
      : stream_(stream), event_(event), lines_(lines) {}
  std::vector<float> normal(Draw kind, std::int64_t row) const {
    std::vector<float> values(static_cast<std::size_t>(lines_));
    random::fill_normal(stream_, event_, first(kind, row), values);
    return values;
  }
  std::vector<float> uniform(Draw kind, std::int64_t row) const {
    std::vector<float> values(static_cast<std::size_t>(lines_));
    random::fill_uniform(stream_, event_, first(kind, row), values);
    return values;
  }

 private:
  std::uint64_t first(Draw kind, std::int64_t row) const {
    return (static_cast<std::uint64_t>(kind) << 40U) + static_cast<std::uint64_t>(row * lines_);
  }
  random::Stream stream_;
  std::uint32_t event_;
  std::int64_t lines_;
};

float relative_resolution(double p) {
  return p <= 0.0 ? 0.0F : static_cast<float>(p > 1.0 ? 1.0 / p : p);
}

float polynomial(const std::vector<double>& coefficients, float r) {
  double sum = 0.0;
  for (std::size_t q = coefficients.size(); q-- > 0;) sum = sum * static_cast<double>(r) + coefficients[q];
  return static_cast<float>(sum);
}

float largest_weight(const WeightModifierParameter& modifier, ConstMatrixView w) {
  if (!modifier.rel_to_actual_wmax) return static_cast<float>(modifier.assumed_wmax);
  float largest = 0.0F;
  for (std::int64_t i = 0; i < w.rows; ++i)
    for (const float v : w.row_span(i)) largest = std::max(largest, std::fabs(v));
  return largest > 0.0F ? largest : 1.0F;
}

void discretize(const Draws& draws, bool stochastic, float step, MatrixView w) {
  if (step <= 0.0F) return;
  for (std::int64_t i = 0; i < w.rows; ++i) {
    const std::vector<float> u = stochastic ? draws.uniform(Draw::rounding, i) : std::vector<float>{};
    const std::span<float> row = w.row_span(i);
    for (std::size_t k = 0; k < row.size(); ++k)
      row[k] = step * std::rint(row[k] / step + (stochastic ? u[k] - 0.5F : 0.0F));
  }
}

// w = f(w, xi) for every weight
template <class F>
void with_noise(const Draws& draws, MatrixView w, F&& f) {
  for (std::int64_t i = 0; i < w.rows; ++i) {
    const std::vector<float> xi = draws.normal(Draw::noise, i);
    const std::span<float> row = w.row_span(i);
    for (std::size_t k = 0; k < row.size(); ++k) row[k] = f(row[k], xi[k]);
  }
}

// Laws of phase-change memory (reference section 8.1), conductances in uS for g_max = 25 uS, r = g / g_max.
float programming_spread(float r) {
  return 0.26348F + r * (1.965F - 1.1731F * r);
}
float drift_mean(float r) {
  return std::clamp(-0.0155F * std::log(r) + 0.0244F, 0.049F, 0.1F);
}
float drift_spread(float r) {
  return std::clamp(-0.0125F * std::log(r) - 0.0059F, 0.008F, 0.045F);
}
float read_spread(float r) {
  return std::min(0.0088F / std::max(std::pow(r, 0.65F), 1e-3F), 0.2F);
}

void pcm_noise(const WeightModifierParameter& p, const Draws& draws, float largest, MatrixView w) {
  constexpr float compensated = 0.049F;  // exponent that a global drift compensation takes back: that of large devices
  const auto g_max = static_cast<float>(p.g_max);
  const auto std_dev = static_cast<float>(p.std_dev);
  const auto threshold = static_cast<float>(p.pcm_zero_thres * p.std_dev * 0.26348);
  const double time = p.pcm_t_inference + p.pcm_t0;
  const auto log_time = static_cast<float>(std::log(time / p.pcm_t0));
  const auto read_time = static_cast<float>(std::sqrt(std::max(std::log((time + 250e-9) / 500e-9), 0.0)));
  const auto at_reset = static_cast<float>(p.pcm_prob_at_reset);
  const float at_gmax = at_reset + static_cast<float>(p.pcm_prob_at_gmax);
  const float at_random = at_gmax + static_cast<float>(p.pcm_prob_at_random);
  for (std::int64_t i = 0; i < w.rows; ++i) {
    const std::vector<float> xi = draws.normal(Draw::noise, i);
    const std::vector<float> stuck = at_random > 0.0F ? draws.uniform(Draw::stuck, i) : std::vector<float>{};
    const std::vector<float> stuck_value = at_random > at_gmax ? draws.uniform(Draw::stuck_value, i) : stuck;
    const bool later = p.pcm_t_inference > 0.0;
    const std::vector<float> drift = later ? draws.normal(Draw::drift, i) : std::vector<float>{};
    const std::vector<float> read = later ? draws.normal(Draw::read, i) : std::vector<float>{};
    const std::span<float> row = w.row_span(i);
    for (std::size_t k = 0; k < row.size(); ++k) {
      float g = std::min(std::fabs(row[k]) / largest, 1.0F) * g_max;
      if (g <= threshold) g = 0.0F;
      if (!stuck.empty() && stuck[k] < at_random) {
        g = stuck[k] < at_reset ? 0.0F : (stuck[k] < at_gmax ? g_max : stuck_value[k] * g_max);
      } else if (g > 0.0F) {
        g = std::max(g + std_dev * programming_spread(g / g_max) * xi[k], 0.0F);
        if (later && g > 0.0F) {
          const float r = std::max(g / g_max, 1e-6F);
          const float nu = std::fabs(drift_mean(r) + drift_spread(r) * drift[k]);
          g *= std::exp((compensated - nu) * log_time);
          g = std::max(g + std_dev * g * read_spread(r) * read_time * read[k], 0.0F);
        }
      }
      row[k] = std::copysign(largest * g / g_max, row[k]);
    }
  }
}

void drop(const Draws& draws, float probability, MatrixView w) {
  if (probability <= 0.0F) return;
  for (std::int64_t i = 0; i < w.rows; ++i) {
    const std::vector<float> u = draws.uniform(Draw::drop, i);
    const std::span<float> row = w.row_span(i);
    for (std::size_t k = 0; k < row.size(); ++k)
      if (u[k] < probability) row[k] = 0.0F;
  }
}

void modify(const WeightModifierParameter& p, const Draws& draws, float largest, MatrixView w) {
  const auto std_dev = static_cast<float>(p.std_dev);
  const float rho = relative_resolution(p.res);
  switch (p.type) {
    case WeightModifierType::NONE:
    case WeightModifierType::COPY:
    case WeightModifierType::DROP_CONNECT:
      break;
    case WeightModifierType::DISCRETIZE:
      discretize(draws, p.sto_round, 2.0F * largest * rho, w);
      break;
    case WeightModifierType::MULT_NORMAL:
      with_noise(draws, w, [&](float v, float xi) { return v * (1.0F + std_dev * xi); });
      break;
    case WeightModifierType::DISCRETIZE_ADD_NORMAL:
      discretize(draws, p.sto_round, 2.0F * largest * rho, w);
      [[fallthrough]];
    case WeightModifierType::ADD_NORMAL:
      with_noise(draws, w, [&](float v, float xi) { return v + std_dev * largest * xi; });
      break;
    case WeightModifierType::DOREFA: {
      const float scale = static_cast<float>(p.dorefa_clip) / std::tanh(largest);
      for (std::int64_t i = 0; i < w.rows; ++i)
        for (float& v : w.row_span(i)) v = std::tanh(v) * scale;
      discretize(draws, p.sto_round, rho, w);
      break;
    }
    case WeightModifierType::POLY:
      with_noise(draws, w, [&](float v, float xi) {
        return v + std_dev * largest * polynomial(p.coeffs, std::fabs(v) / largest) * xi;
      });
      break;
    case WeightModifierType::PROG_NOISE: {
      const float scale = std_dev / static_cast<float>(p.g_max) * largest;
      with_noise(draws, w, [&](float v, float xi) {
        const float size = std::fabs(v);
        return std::copysign(size + scale * polynomial(p.coeffs, size / largest) * xi, v);
      });
      break;
    }
    case WeightModifierType::PCM_NOISE:
      pcm_noise(p, draws, largest, w);
      break;
  }
  if (p.type != WeightModifierType::NONE) drop(draws, static_cast<float>(p.pdrop), w);
}

}  // namespace

Matrix modified_weights(const WeightModifierParameter& modifier, ConstMatrixView weights, const random::Stream& stream,
                        std::uint32_t event) {
  Matrix w(weights);
  const std::int64_t lines = weights.cols - (modifier.copy_last_column ? 1 : 0);
  if (lines <= 0 || weights.rows == 0) return w;
  const MatrixView changed = w.view().cols_from(0, lines);
  modify(modifier, Draws(stream, event, lines), largest_weight(modifier, changed), changed);
  return w;
}

void validate_learning(const RpuParameters& parameters) {
  Problems problems;
  const WeightModifierParameter& m = parameters.modifier;
  const auto at_least = [&](double value, double least, const char* key) {
    problems.expect(std::isfinite(value) && value >= least, key, fmt::format("{} must be at least {}", value, least));
  };
  const auto positive = [&](double value, const char* key) {
    problems.expect(std::isfinite(value) && value > 0.0, key, fmt::format("{} must be positive", value));
  };
  const auto probability = [&](double value, const char* key) {
    problems.expect(value >= 0.0 && value <= 1.0, key, fmt::format("{} is not a probability", value));
  };
  at_least(m.std_dev, 0.0, "modifier.std_dev");
  problems.expect(std::isfinite(m.res), "modifier.res", fmt::format("{} is not a finite number", m.res));
  positive(m.assumed_wmax, "modifier.assumed_wmax");
  positive(m.dorefa_clip, "modifier.dorefa_clip");
  positive(m.g_max, "modifier.g_max");
  positive(m.pcm_t0, "modifier.pcm_t0");
  at_least(m.pcm_t_inference, 0.0, "modifier.pcm_t_inference");
  at_least(m.pcm_zero_thres, 0.0, "modifier.pcm_zero_thres");
  for (const auto& [value, key] : {std::pair{m.pdrop, "modifier.pdrop"},
                                   {m.pcm_prob_at_reset, "modifier.pcm_prob_at_reset"},
                                   {m.pcm_prob_at_gmax, "modifier.pcm_prob_at_gmax"},
                                   {m.pcm_prob_at_random, "modifier.pcm_prob_at_random"}})
    probability(value, key);
  problems.expect(m.pcm_prob_at_reset + m.pcm_prob_at_gmax + m.pcm_prob_at_random <= 1.0, "modifier.pcm_prob_at_random",
                  "the probabilities of stuck devices add up to more than 1");
  problems.expect(
      !m.coeffs.empty() && std::all_of(m.coeffs.begin(), m.coeffs.end(), [](double c) { return std::isfinite(c); }),
      "modifier.coeffs", "needs at least one coefficient, all finite");
  problems.expect(
      !m.per_batch_sample || m.type == WeightModifierType::NONE, "modifier.per_batch_sample",
      "weights of their own for every vector are not drawn; for ADD_NORMAL the same distribution of outputs is "
      "forward.w_noise_type: ADDITIVE_CONSTANT with forward.w_noise: std_dev");
  const WeightClipParameter& clip = parameters.clip;
  problems.expect(std::isfinite(clip.fixed_value), "clip.fixed_value",
                  fmt::format("{} is not a finite number", clip.fixed_value));
  problems.expect(clip.type != WeightClipType::LAYER_GAUSSIAN || clip.sigma > 0.0, "clip.sigma",
                  fmt::format("{} must be positive", clip.sigma));
  const WeightRemapParameter& remap = parameters.remap;
  positive(remap.remapped_wmax, "remap.remapped_wmax");
  at_least(remap.max_scale_range, 0.0, "remap.max_scale_range");
  problems.expect(std::isfinite(remap.max_scale_ref), "remap.max_scale_ref",
                  fmt::format("{} is not a finite number", remap.max_scale_ref));
  problems.expect(remap.max_scale_range <= 0.0 || remap.type != WeightRemapType::CHANNELWISE_SYMMETRIC ||
                      remap.remapped_wmax == 1.0,
                  "remap.max_scale_range", "limits scales that belong to weights up to 1: remapped_wmax must be 1");
  problems.throw_if_any();
}

}  // namespace tessera::tile
