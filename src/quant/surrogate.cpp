#include "tessera/quant/surrogate.hpp"

#include <cmath>
#include <numbers>
#include <utility>
#include "tessera/core/problems.hpp"

namespace tessera::quant {

const char* to_string(SpikeGradient gradient) {
  return spike_gradient_names.at(static_cast<std::size_t>(gradient));
}

void validate(const Surrogate& s, const std::string& key) {
  Problems problems(key + ".");
  if (!(s.alpha > 0.0) || !std::isfinite(s.alpha))
    problems.add("alpha", fmt::format("{} is not a positive number", s.alpha));
  if (!(s.slope > 0.0) || !std::isfinite(s.slope))
    problems.add("slope", fmt::format("{} is not a positive number", s.slope));
  for (const auto& [name, value] : {std::pair{"threshold", s.threshold}, std::pair{"B", s.B}, std::pair{"beta", s.beta},
                                    std::pair{"mean", s.mean}, std::pair{"variance", s.variance}}) {
    if (!std::isfinite(value)) problems.add(name, "not a finite number");
  }
  if (static_cast<std::size_t>(s.spike_grad) >= spike_gradient_names.size()) {
    problems.add("spike_grad", "unknown surrogate gradient");
  }
  problems.throw_if_any();
}

float spike(float x) {
  return x > 0.0f ? 1.0f : 0.0f;
}

float surrogate_derivative(const Surrogate& s, float value, float uniform) {
  const double x = value;
  const auto fast_sigmoid = [&] {
    const double d = 1.0 + s.slope * std::abs(x);
    return 1.0 / (d * d);
  };
  double derivative = 0.0;
  switch (s.spike_grad) {
    case SpikeGradient::atan: {
      const double t = std::numbers::pi / 2.0 * s.alpha * x;
      derivative = s.alpha / 2.0 / (1.0 + t * t);
      break;
    }
    case SpikeGradient::fast_sigmoid:
      derivative = fast_sigmoid();
      break;
    case SpikeGradient::sigmoid: {
      const double e = std::exp(-s.slope * std::abs(x));  // the function is even
      derivative = s.slope * e / ((1.0 + e) * (1.0 + e));
      break;
    }
    case SpikeGradient::straight_through_estimator:
      derivative = 1.0;
      break;
    case SpikeGradient::heaviside:
      derivative = x > 0.0 ? 1.0 : 0.0;
      break;
    case SpikeGradient::triangular:
      derivative = x < 0.0 ? s.threshold : -s.threshold;
      break;
    case SpikeGradient::SFS:
      derivative = x > s.B ? fast_sigmoid() : 0.0;
      break;
    case SpikeGradient::spike_rate_escape:
      derivative = s.slope * std::exp(-s.beta * std::abs(x - 1.0));
      break;
    case SpikeGradient::SSO:
      derivative = x > 0.0 ? 1.0 : (static_cast<double>(uniform) - 0.5 + s.mean) * s.variance;
      break;
    case SpikeGradient::LSO:
      derivative = x > 0.0 ? 1.0 : s.slope;
      break;
  }
  return static_cast<float>(derivative);
}

void surrogate_derivative(const Surrogate& s, std::span<const float> x, std::span<float> derivative,
                          const RandomDraws& draws) {
  require<InputError>(x.size() == derivative.size(), "surrogate of {} values with room for {}", x.size(),
                      derivative.size());
  std::vector<float> uniform;
  if (s.spike_grad == SpikeGradient::SSO) {
    uniform.resize(x.size());
    random::fill_uniform(draws.stream, draws.event, draws.first, uniform);
  }
  for (std::size_t i = 0; i < x.size(); ++i) {
    derivative[i] = surrogate_derivative(s, x[i], uniform.empty() ? 0.5f : uniform[i]);
  }
}

}  // namespace tessera::quant
