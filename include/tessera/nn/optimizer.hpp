#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tessera/core/parallel.hpp"

/// Descent steps on float32 parameters. Definitions and defaults are PyTorch's (torch.optim, version 2); what a step
/// remembers is a plain value that a checkpoint can hold.
namespace tessera::nn {

enum class OptimizerType { sgd, adam, adamw };

/// With gradient g, learning rate l, parameter p, step number t from 1:
///     sgd:   g += weight_decay p;  b = g at t = 1, else momentum b + (1 - dampening) g;
///            g = nesterov ? g + momentum b : (momentum ? b : g);  p -= l g
///     adam:  g += weight_decay p;                                          (Kingma, Ba, ICLR 2015)
///            m += (1 - beta1)(g - m);  v = beta2 v + (1 - beta2) g g;
///            p -= l / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
///     adamw: p *= 1 - l weight_decay, then adam without decay               (Loshchilov, Hutter, ICLR 2019)
struct OptimizerParameters {
  OptimizerType type = OptimizerType::adam;
  double momentum = 0.0;      ///< sgd; [0, 1)
  double dampening = 0.0;     ///< sgd; [0, 1]
  bool nesterov = false;      ///< sgd; needs momentum > 0 and dampening 0
  double beta1 = 0.9;         ///< adam, adamw; [0, 1)
  double beta2 = 0.999;       ///< adam, adamw; [0, 1)
  double epsilon = 1e-8;      ///< adam, adamw; > 0
  double weight_decay = 0.0;  ///< >= 0; adam and sgd: added to the gradient; adamw: decoupled

  bool operator==(const OptimizerParameters&) const = default;
};

/// ConfigError with every value out of range; keys relative to the optimizer's section.
void validate(const OptimizerParameters& parameters);

/// One array to be changed in place.
struct OptimizedParameter {
  std::span<float> value;
  std::span<const float> gradient;  ///< as long as `value`
  double rate_factor = 1.0;         ///< multiplies the learning rate; 0: the array stays as it is
  double decay_factor = 1.0;        ///< multiplies the weight decay
};

/// What one array's steps remember. Empty before the first step and where the optimizer needs none.
struct OptimizerMoments {
  std::int64_t steps = 0;     ///< steps done
  std::vector<float> first;   ///< sgd: b; adam: m
  std::vector<float> second;  ///< adam: v

  bool operator==(const OptimizerMoments&) const = default;
};

/// By array, in the order of the arrays.
using OptimizerState = std::vector<OptimizerMoments>;

/// One step of all arrays. An empty state is a fresh start; InputError for one of other arrays. The bits do not depend
/// on the thread count. Coefficients are evaluated in double and rounded to float32, arrays are float32, as in PyTorch.
void optimizer_step(const OptimizerParameters& parameters, double learning_rate,
                    std::span<const OptimizedParameter> arrays, OptimizerState& state, Parallel parallel);

/// Scales all gradients by min(1, max_norm / (norm + 1e-6)), norm = sqrt of the sum of squares over all of them (torch
/// clip_grad_norm_; summed in double, in order). Returns the norm before. A norm that is not finite is returned and
/// changes nothing.
double clip_gradient_norm(std::span<const std::span<float>> gradients, double max_norm);

enum class ScheduleType { constant, step, multi_step, cosine, one_cycle };

/// The learning rate of training step t = 0, 1, ... T-1, with base rate l, S steps per epoch, W = warm-up steps, and
/// u = t - W, U = T - W behind the warm-up:
///     t < W:       l (warmup_start + (1 - warmup_start) t / W)                  (torch LinearLR)
///     constant:    l
///     step:        l gamma^floor(epoch / step_size),  epoch = floor(u / S)      (StepLR)
///     multi_step:  l gamma^(count of milestones <= epoch)                       (MultiStepLR)
///     cosine:      m + (l - m) (1 + cos(pi u / U)) / 2,  m = l final_factor     (CosineAnnealingLR, stepped per batch)
///     one_cycle:   l is the peak: a cosine from l / div_factor up to l until step pct_start U - 1, then a cosine down
///                  to l / div_factor / final_div_factor at step U - 1           (OneCycleLR, without momentum cycle)
struct ScheduleParameters {
  ScheduleType type = ScheduleType::constant;
  double warmup_epochs = 0.0;                 ///< >= 0; W = round(warmup_epochs S)
  double warmup_start = 0.01;                 ///< first rate as a fraction of l; (0, 1]
  std::int64_t step_size = 10;                ///< step: epochs; >= 1
  double gamma = 0.1;                         ///< step, multi_step; > 0
  std::vector<std::int64_t> milestones = {};  ///< multi_step: epochs, ascending
  double final_factor = 0.0;                  ///< cosine: last rate as a fraction of l; [0, 1]
  double pct_start = 0.3;                     ///< one_cycle: share of the steps that rise; (0, 1)
  double div_factor = 25.0;                   ///< one_cycle; >= 1
  double final_div_factor = 1e4;              ///< one_cycle; >= 1

  bool operator==(const ScheduleParameters&) const = default;
};

/// ConfigError with every value out of range; keys relative to the schedule's section.
void validate(const ScheduleParameters& parameters);

/// `step` of `total_steps` (0 based), `steps_per_epoch` >= 1.
double scheduled_rate(const ScheduleParameters& parameters, double base_rate, std::int64_t step,
                      std::int64_t steps_per_epoch, std::int64_t total_steps);

}  // namespace tessera::nn
