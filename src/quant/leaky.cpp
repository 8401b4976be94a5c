#include "tessera/quant/leaky.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include "tessera/core/problems.hpp"

namespace tessera::quant {

const char* to_string(ResetMechanism mechanism) {
  return reset_mechanism_names.at(static_cast<std::size_t>(mechanism));
}

void validate(const LeakyParameters& p, const std::string& key) {
  Problems problems(key + ".");
  const auto check_finite = [&](const char* name, const std::vector<float>& values) {
    if (values.empty()) problems.add(name, "no value given; one, or one per unit, is needed");
    if (!std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); })) {
      problems.add(name, "not a finite number");
    }
  };
  check_finite("beta", p.beta);
  check_finite("threshold", p.threshold);
  if (p.beta.size() > 1 && p.threshold.size() > 1 && p.beta.size() != p.threshold.size()) {
    problems.add("threshold", fmt::format("{} values beside {} of beta; give one, or one per unit", p.threshold.size(),
                                          p.beta.size()));
  }
  if (!std::isfinite(p.graded_spikes_factor) || p.graded_spikes_factor == 0.0f) {
    problems.add("graded_spikes_factor", "the size of a spike must be a finite number other than 0");
  }
  if (static_cast<std::size_t>(p.reset_mechanism) >= reset_mechanism_names.size()) {
    problems.add("reset_mechanism", "unknown; use subtract, zero or none");
  }
  if (p.state_quant) problems.collect("", [&] { validate(*p.state_quant, "state_quant"); });
  problems.collect("", [&] { validate(p.spike_grad, "spike_grad"); });
  problems.throw_if_any();
}

namespace {

LeakyParameters validated(LeakyParameters parameters) {
  validate(parameters);
  return parameters;
}

}  // namespace

Leaky::Leaky(LeakyParameters parameters) : parameters_(validated(std::move(parameters))) {
  if (parameters_.state_quant) quantizer_.emplace(*parameters_.state_quant);
}

Leaky::Leaky(LeakyParameters parameters, StateQuant state_quant)
    : parameters_(validated(std::move(parameters))), quantizer_(std::move(state_quant)) {}

std::span<const float> Leaky::levels() const {
  return quantizer_ ? std::span<const float>(quantizer_->levels()) : std::span<const float>{};
}

float Leaky::beta_of(std::int64_t unit) const {
  const float beta = parameters_.beta[parameters_.beta.size() == 1 ? 0 : static_cast<std::size_t>(unit)];
  return std::clamp(beta, 0.0f, 1.0f);
}

float Leaky::threshold_of(std::int64_t unit) const {
  return parameters_.threshold[parameters_.threshold.size() == 1 ? 0 : static_cast<std::size_t>(unit)];
}

void Leaky::check_shape(std::int64_t rows, std::int64_t cols, ConstMatrixView view, const char* what) const {
  require<InputError>(view.rows == rows && view.cols == cols, "{} of a neuron layer is {}x{}, its input {}x{}", what,
                      view.rows, view.cols, rows, cols);
  for (const std::size_t count : {parameters_.beta.size(), parameters_.threshold.size()}) {
    require<InputError>(count == 1 || static_cast<std::int64_t>(count) == cols,
                        "a neuron layer of {} units has {} values of beta or threshold; give one, or one per unit",
                        cols, count);
  }
}

void Leaky::integrate(const float* input, const float* previous, std::int64_t units, float* state, float* reset) const {
  for (std::int64_t u = 0; u < units; ++u) {
    const float beta = beta_of(u), threshold = threshold_of(u);
    reset[u] = spike(previous[u] - threshold);
    switch (parameters_.reset_mechanism) {
      case ResetMechanism::subtract:
        state[u] = (beta * previous[u] + input[u]) - reset[u] * threshold;
        break;
      case ResetMechanism::zero:
        state[u] = beta * ((1.0f - reset[u]) * previous[u]) + input[u];
        break;
      case ResetMechanism::none:
        state[u] = beta * previous[u] + input[u];
        break;
    }
  }
  const auto count = static_cast<std::size_t>(units);
  if (quantizer_) quantizer_->forward(std::span(state, count), std::span(state, count));
}

void Leaky::fire(const float* state, std::int64_t units, float* fired) const {
  std::int64_t winner = 0;
  for (std::int64_t u = 0; u < units; ++u) {
    fired[u] = spike(state[u] - threshold_of(u));
    if (state[u] - threshold_of(u) > state[winner] - threshold_of(winner)) winner = u;
  }
  if (!parameters_.inhibition) return;
  for (std::int64_t u = 0; u < units; ++u) {
    if (u != winner) fired[u] = 0.0f;
  }
}

void Leaky::step(ConstMatrixView input, MatrixView mem, MatrixView spikes) const {
  check_shape(input.rows, input.cols, mem, "the state");
  check_shape(input.rows, input.cols, spikes, "the output");
  const std::int64_t units = input.cols;
  std::vector<float> reset(static_cast<std::size_t>(units));
  const float size = parameters_.inhibition ? 1.0f : parameters_.graded_spikes_factor;
  for (std::int64_t row = 0; row < input.rows; ++row) {
    float *state = mem.row(row), *fired = spikes.row(row);
    integrate(input.row(row), state, units, state, reset.data());
    fire(state, units, fired);
    for (std::int64_t u = 0; u < units; ++u) {
      if (!parameters_.reset_delay) {
        const float change = fired[u] - reset[static_cast<std::size_t>(u)];
        if (parameters_.reset_mechanism == ResetMechanism::subtract) state[u] -= change * threshold_of(u);
        if (parameters_.reset_mechanism == ResetMechanism::zero) state[u] -= change * state[u];
      }
      fired[u] *= size;
    }
  }
}

void Leaky::backward(ConstMatrixView input, ConstMatrixView previous, ConstMatrixView grad_spikes,
                     ConstMatrixView grad_mem, const StepGradients& gradients, const RandomDraws& draws) const {
  check_shape(input.rows, input.cols, previous, "the state");
  check_shape(input.rows, input.cols, grad_spikes, "the spike gradient");
  check_shape(input.rows, input.cols, grad_mem, "the state gradient");
  check_shape(input.rows, input.cols, gradients.input, "the input gradient");
  check_shape(input.rows, input.cols, gradients.previous, "the gradient of the state before");
  require<InputError>(gradients.beta.empty() || gradients.beta.size() == parameters_.beta.size(),
                      "room for {} gradients of {} values of beta", gradients.beta.size(), parameters_.beta.size());
  require<InputError>(gradients.threshold.empty() || gradients.threshold.size() == parameters_.threshold.size(),
                      "room for {} gradients of {} thresholds", gradients.threshold.size(),
                      parameters_.threshold.size());
  const std::int64_t units = input.cols;
  const auto count = static_cast<std::size_t>(units);
  std::vector<float> state(count), reset(count), fired(count), shifted(count), slope(count);
  const double size = parameters_.inhibition ? 1.0 : static_cast<double>(parameters_.graded_spikes_factor);
  const bool subtract = parameters_.reset_mechanism == ResetMechanism::subtract;
  const bool zero = parameters_.reset_mechanism == ResetMechanism::zero;
  for (std::int64_t row = 0; row < input.rows; ++row) {
    integrate(input.row(row), previous.row(row), units, state.data(), reset.data());
    fire(state.data(), units, fired.data());
    for (std::size_t u = 0; u < count; ++u) shifted[u] = state[u] - threshold_of(static_cast<std::int64_t>(u));
    RandomDraws row_draws = draws;
    row_draws.first += static_cast<std::uint64_t>(row) * static_cast<std::uint64_t>(units);
    surrogate_derivative(parameters_.spike_grad, shifted, slope, row_draws);
    for (std::int64_t u = 0; u < units; ++u) {
      const auto i = static_cast<std::size_t>(u);
      const double threshold = threshold_of(u), before = previous(row, u), kept = 1.0 - static_cast<double>(reset[i]);
      const bool passes = !parameters_.inhibition || fired[i] > 0.0f;
      const double spike_slope = passes ? static_cast<double>(slope[i]) : 0.0;
      const double of_mem = grad_mem(row, u), of_spike = grad_spikes(row, u);

      double grad_fired = of_spike * size, grad_state = of_mem, grad_threshold = 0.0;
      if (!parameters_.reset_delay) {
        const double change = static_cast<double>(fired[i]) - static_cast<double>(reset[i]);
        if (subtract) {
          grad_fired -= of_mem * threshold;
          grad_threshold -= of_mem * change;
        } else if (zero) {
          grad_fired -= of_mem * static_cast<double>(state[i]);
          grad_state -= of_mem * change;
        }
      }
      grad_state += grad_fired * spike_slope;
      grad_threshold -= grad_fired * spike_slope;
      if (subtract) grad_threshold -= grad_state * static_cast<double>(reset[i]);

      const double through = zero ? kept : 1.0;
      gradients.input(row, u) = static_cast<float>(grad_state);
      gradients.previous(row, u) = static_cast<float>(static_cast<double>(beta_of(u)) * through * grad_state);
      if (!gradients.beta.empty()) {
        const std::size_t k = gradients.beta.size() == 1 ? 0 : i;
        const float beta = parameters_.beta[k];
        if (beta >= 0.0f && beta <= 1.0f) gradients.beta[k] += grad_state * through * before;
      }
      if (!gradients.threshold.empty()) {
        gradients.threshold[gradients.threshold.size() == 1 ? 0 : i] += grad_threshold;
      }
    }
  }
}

}  // namespace tessera::quant
