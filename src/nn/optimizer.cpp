#include "tessera/nn/optimizer.hpp"

#include <cmath>

#include "tessera/core/problems.hpp"

namespace tessera::nn {

namespace {

constexpr std::int64_t elements_per_task = 16384;  // elements; elementwise work, so that it changes no bit

void sgd_step(const OptimizerParameters& parameters, double learning_rate, const OptimizedParameter& array,
              OptimizerMoments& moments, Parallel parallel) {
  const auto rate = static_cast<float>(learning_rate * array.rate_factor);
  const auto decay = static_cast<float>(parameters.weight_decay * array.decay_factor);
  const auto momentum = static_cast<float>(parameters.momentum);
  const auto fresh = static_cast<float>(1.0 - parameters.dampening);
  const bool first = moments.steps == 1;
  if (parameters.momentum > 0.0) moments.first.resize(array.value.size());
  parallel_for_blocks(parallel, std::ssize(array.value), elements_per_task,
                      [&](std::int64_t, std::int64_t begin, std::int64_t end) {
                        for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
                          float g = array.gradient[i] + decay * array.value[i];
                          if (parameters.momentum > 0.0) {
                            float& b = moments.first[i];
                            b = first ? g : b * momentum + fresh * g;
                            g = parameters.nesterov ? g + momentum * b : b;
                          }
                          array.value[i] -= rate * g;
                        }
                      });
}

void adam_step(const OptimizerParameters& parameters, double learning_rate, const OptimizedParameter& array,
               OptimizerMoments& moments, Parallel parallel) {
  const double rate = learning_rate * array.rate_factor;
  const double decay = parameters.weight_decay * array.decay_factor;
  const bool decoupled = parameters.type == OptimizerType::adamw;
  const auto kept = static_cast<float>(decoupled ? 1.0 - rate * decay : 1.0);
  const auto added = static_cast<float>(decoupled ? 0.0 : decay);
  const auto t = static_cast<double>(moments.steps);
  const auto gain1 = static_cast<float>(1.0 - parameters.beta1);
  const auto beta2 = static_cast<float>(parameters.beta2);
  const auto gain2 = static_cast<float>(1.0 - parameters.beta2);
  const auto step = static_cast<float>(rate / (1.0 - std::pow(parameters.beta1, t)));
  const auto correction = static_cast<float>(std::sqrt(1.0 - std::pow(parameters.beta2, t)));
  const auto epsilon = static_cast<float>(parameters.epsilon);
  moments.first.resize(array.value.size());
  moments.second.resize(array.value.size());
  parallel_for_blocks(parallel, std::ssize(array.value), elements_per_task,
                      [&](std::int64_t, std::int64_t begin, std::int64_t end) {
                        for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
                          float& p = array.value[i];
                          p *= kept;
                          const float g = array.gradient[i] + added * p;
                          float& m = moments.first[i];
                          float& v = moments.second[i];
                          m += gain1 * (g - m);
                          v = v * beta2 + gain2 * g * g;
                          p -= step * (m / (std::sqrt(v) / correction + epsilon));
                        }
                      });
}

/// From `first` at share 0 to `last` at share 1 along half a cosine.
double along_cosine(double first, double last, double share) {
  return last + (first - last) * 0.5 * (1.0 + std::cos(3.14159265358979323846 * share));
}

double one_cycle_rate(const ScheduleParameters& parameters, double peak, double step, double steps) {
  const double initial = peak / parameters.div_factor;
  const double final_rate = initial / parameters.final_div_factor;
  const double top = parameters.pct_start * steps - 1.0;
  const double end = steps - 1.0;
  if (step <= top && top > 0.0) return along_cosine(initial, peak, step / top);
  const double from = std::max(top, 0.0);
  return along_cosine(peak, final_rate, end > from ? (step - from) / (end - from) : 1.0);
}

}  // namespace

void validate(const OptimizerParameters& p) {
  Problems problems;
  problems.expect(p.momentum >= 0.0 && p.momentum < 1.0, "momentum", "must be at least 0 and below 1");
  problems.expect(p.dampening >= 0.0 && p.dampening <= 1.0, "dampening", "must be from 0 to 1");
  problems.expect(!p.nesterov || (p.momentum > 0.0 && p.dampening == 0.0), "nesterov",
                  "needs a momentum above 0 and a dampening of 0");
  problems.expect(p.beta1 >= 0.0 && p.beta1 < 1.0, "beta1", "must be at least 0 and below 1");
  problems.expect(p.beta2 >= 0.0 && p.beta2 < 1.0, "beta2", "must be at least 0 and below 1");
  problems.expect(p.epsilon > 0.0, "epsilon", "must be above 0");
  problems.expect(p.weight_decay >= 0.0, "weight_decay", "must not be negative");
  const bool sgd = p.type == OptimizerType::sgd;
  problems.expect(sgd || (p.momentum == 0.0 && p.dampening == 0.0 && !p.nesterov), "momentum",
                  "momentum, dampening and nesterov belong to type sgd; adam has beta1 and beta2");
  problems.throw_if_any();
}

void optimizer_step(const OptimizerParameters& parameters, double learning_rate,
                    std::span<const OptimizedParameter> arrays, OptimizerState& state, Parallel parallel) {
  if (state.empty()) state.resize(arrays.size());
  require<InputError>(state.size() == arrays.size(),
                      "the optimizer's state is of {} arrays, not of {}; start without it", state.size(),
                      arrays.size());
  for (std::size_t a = 0; a < arrays.size(); ++a) {
    const OptimizedParameter& array = arrays[a];
    OptimizerMoments& moments = state[a];
    TESSERA_EXPECT(array.gradient.size() == array.value.size());
    require<InputError>(moments.first.empty() || moments.first.size() == array.value.size(),
                        "the optimizer's state of array {} has {} values, not {}; start without it", a,
                        moments.first.size(), array.value.size());
    if (array.rate_factor == 0.0) continue;
    ++moments.steps;
    if (parameters.type == OptimizerType::sgd)
      sgd_step(parameters, learning_rate, array, moments, parallel);
    else
      adam_step(parameters, learning_rate, array, moments, parallel);
  }
}

double clip_gradient_norm(std::span<const std::span<float>> gradients, double max_norm) {
  double sum = 0.0;
  for (const std::span<float> gradient : gradients)
    for (const float g : gradient) sum += double{g} * double{g};
  const double norm = std::sqrt(sum);
  const double factor = max_norm / (norm + 1e-6);
  if (!std::isfinite(norm) || factor >= 1.0) return norm;
  for (const std::span<float> gradient : gradients)
    for (float& g : gradient) g *= static_cast<float>(factor);
  return norm;
}

void validate(const ScheduleParameters& p) {
  Problems problems;
  problems.expect(p.warmup_epochs >= 0.0, "warmup_epochs", "must not be negative");
  problems.expect(p.warmup_start > 0.0 && p.warmup_start <= 1.0, "warmup_start", "must be above 0 and at most 1");
  problems.expect(p.step_size >= 1, "step_size", "must be at least 1");
  problems.expect(p.gamma > 0.0, "gamma", "must be above 0");
  bool ascending = true;
  for (std::size_t i = 0; i < p.milestones.size(); ++i)
    ascending = ascending && p.milestones[i] >= 1 && (i == 0 || p.milestones[i] > p.milestones[i - 1]);
  problems.expect(ascending, "milestones", "are epochs from 1 on, in ascending order");
  problems.expect(p.type != ScheduleType::multi_step || !p.milestones.empty(), "milestones",
                  "type multi_step needs at least one epoch");
  problems.expect(p.final_factor >= 0.0 && p.final_factor <= 1.0, "final_factor", "must be from 0 to 1");
  problems.expect(p.pct_start > 0.0 && p.pct_start < 1.0, "pct_start", "must be above 0 and below 1");
  problems.expect(p.div_factor >= 1.0, "div_factor", "must be at least 1");
  problems.expect(p.final_div_factor >= 1.0, "final_div_factor", "must be at least 1");
  problems.throw_if_any();
}

double scheduled_rate(const ScheduleParameters& p, double base_rate, std::int64_t step, std::int64_t steps_per_epoch,
                      std::int64_t total_steps) {
  const std::int64_t warmup = std::llround(p.warmup_epochs * static_cast<double>(steps_per_epoch));
  if (step < warmup)
    return base_rate *
           (p.warmup_start + (1.0 - p.warmup_start) * static_cast<double>(step) / static_cast<double>(warmup));
  const std::int64_t after = step - warmup;
  const std::int64_t rest = std::max<std::int64_t>(1, total_steps - warmup);
  const std::int64_t epoch = after / steps_per_epoch;
  switch (p.type) {
    case ScheduleType::constant:
      return base_rate;
    case ScheduleType::step: {
      const std::int64_t steps = epoch / p.step_size;
      return base_rate * std::pow(p.gamma, static_cast<double>(steps));
    }
    case ScheduleType::multi_step: {
      double passed = 0.0;
      for (const std::int64_t milestone : p.milestones) passed += epoch >= milestone ? 1.0 : 0.0;
      return base_rate * std::pow(p.gamma, passed);
    }
    case ScheduleType::cosine:
      return along_cosine(base_rate, base_rate * p.final_factor,
                          static_cast<double>(after) / static_cast<double>(rest));
    case ScheduleType::one_cycle:
      return one_cycle_rate(p, base_rate, static_cast<double>(after), static_cast<double>(rest));
  }
  return base_rate;
}

}  // namespace tessera::nn
