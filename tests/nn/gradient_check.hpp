#pragma once
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "network.hpp"
#include "tessera/nn/training.hpp"

/// Gradients by finite differences, for tests.
namespace tessera::nn::test {

struct GradientError {
  std::string name;         ///< of the parameter, or "input"
  double largest = 0.0;     ///< |gradient|, by differences
  double difference = 0.0;  ///< largest |gradient - difference quotient|
  std::int64_t count = 0;   ///< entries compared
  std::int64_t kinks = 0;   ///< entries left out
  double relative() const { return largest > 0.0 ? difference / largest : difference; }
};

/// L = sum of fixed normal numbers times the outputs; its derivatives by the network against the fourth-order quotient
///     (8 (L(+h) - L(-h)) - (L(+2h) - L(-2h))) / 12 h
/// for the input and every parameter. Entries whose quotients for h and h / 2 disagree by more than `kink` of the
/// largest lie at a kink (a maximum that changes sides) and are left out and counted: the caller says how many there may be.
inline std::vector<GradientError> gradient_errors(TrainingNetwork& network, Tensor x, double step = 0.02,
                                                  double kink = 0.02, std::size_t most = 60) {
  const Tensor first = network.forward(x, 3, {});
  const Tensor weight = random_tensor(first.shape(), 901);
  const auto loss = [&] {
    const Tensor y = network.forward(x, 3, {});
    double sum = 0.0;
    for (std::int64_t i = 0; i < y.size(); ++i)
      sum += static_cast<double>(weight.data()[i]) * static_cast<double>(y.data()[i]);
    return sum;
  };
  network.zero_gradients();
  network.forward(x, 3, {});
  Tensor d_input;
  network.backward(weight, {}, &d_input);
  struct Checked {
    std::string name;
    std::span<float> value;
    std::vector<float> gradient;
  };
  std::vector<Checked> all{{"input", x.values(), {d_input.values().begin(), d_input.values().end()}}};
  for (const TrainedParameter& p : network.parameters())
    all.push_back({p.name, p.value, {p.gradient.begin(), p.gradient.end()}});

  std::vector<GradientError> errors;
  for (const Checked& checked : all) {
    GradientError error{.name = checked.name};
    std::vector<double> quotients, halves, own;
    const std::size_t stride = std::max<std::size_t>(1, checked.value.size() / most);
    for (std::size_t i = 0; i < checked.value.size(); i += stride) {
      const float original = checked.value[i];
      const auto at = [&](double h) {
        checked.value[i] = static_cast<float>(static_cast<double>(original) + h);
        network.updated();
        return loss();
      };
      const auto quotient = [&](double h) {
        return (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
      };
      quotients.push_back(quotient(step));
      halves.push_back(quotient(step / 2.0));
      checked.value[i] = original;
      own.push_back(static_cast<double>(checked.gradient[i]));
    }
    network.updated();
    for (const double q : quotients) error.largest = std::max(error.largest, std::fabs(q));
    for (std::size_t i = 0; i < quotients.size(); ++i) {
      if (std::fabs(quotients[i] - halves[i]) > kink * error.largest) {
        ++error.kinks;
        continue;
      }
      ++error.count;
      error.difference = std::max(error.difference, std::fabs(quotients[i] - own[i]));
    }
    errors.push_back(error);
  }
  return errors;
}

}  // namespace tessera::nn::test
