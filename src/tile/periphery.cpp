#include "tile/periphery.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tessera/core/error.hpp"
#include "tessera/tile/analog_layer.hpp"

namespace tessera::tile {
namespace {

// The next power of two that is not below the step; the zero point follows the wider grid.
void round_steps_up(quant::UniformQuantizer& quantizer, std::span<const float> values) {
  quant::UniformQuantizerState state = quantizer.state();
  for (std::size_t c = 0; c < state.delta.size(); ++c) {
    state.delta[c] = std::exp2(std::ceil(std::log2(state.delta[c])));
    if (!quantizer.symmetric()) {
      const float lowest = state.delta.size() > 1 ? values[c] : *std::min_element(values.begin(), values.end());
      state.zero_float[c] = -std::min(lowest, 0.0F) / state.delta[c];
    }
  }
  quantizer.set_state(std::move(state));
}

}  // namespace

quant::UniformQuantizer periphery_quantizer(const PeripheryQuantizationParameter& parameters,
                                            std::span<const float> values, const quant::UniformQuantizerState& range,
                                            const char* what) {
  quant::UniformQuantizerParameters q;
  q.n_bits = parameters.n_bits;
  q.method = parameters.symmetric ? quant::QMethod::symmetric_uniform : quant::QMethod::asymmetric_uniform;
  q.per_channel = parameters.per_column && values.size() > 1;
  quant::UniformQuantizer quantizer(q);
  if (!range.delta.empty()) {
    quantizer.set_state(range);
    return quantizer;
  }
  if (q.n_bits == 1 && parameters.symmetric && std::any_of(values.begin(), values.end(), [](float v) { return v < 0; }))
    throw ConfigError("pre_post.periph_quant.n_bits",
                      fmt::format("1 bit cannot hold the sign of a negative {} in a symmetric quantizer; use 2 bits or "
                                  "symmetric: false",
                                  what));
  if (q.per_channel) {
    quantizer.set_quant_range(values, values);
  } else {
    const auto [lowest, highest] = std::minmax_element(values.begin(), values.end());
    quantizer.set_quant_range(*lowest, *highest);
  }
  if (parameters.power_of_two) round_steps_up(quantizer, values);
  return quantizer;
}

QuantizedValues quantize_periphery(const quant::UniformQuantizer& quantizer, std::span<const float> values) {
  QuantizedValues result;
  result.values.resize(values.size());
  quantizer.forward(values, result.values);
  std::vector<float> codes(values.size());
  quantizer.to_integer_forward(values, codes);
  std::transform(codes.begin(), codes.end(), std::back_inserter(result.codes),
                 [](float code) { return static_cast<std::int32_t>(code); });
  result.step = quantizer.scale();
  result.zero_point = static_cast<std::int32_t>(quantizer.grid().zero_point);
  return result;
}

double sqnr_db(std::span<const float> exact, std::span<const float> quantized) {
  double signal = 0.0;
  double noise = 0.0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const double error = static_cast<double>(quantized[i]) - static_cast<double>(exact[i]);
    signal += static_cast<double>(exact[i]) * static_cast<double>(exact[i]);
    noise += error * error;
  }
  return noise > 0.0 ? 10.0 * std::log10(signal / noise) : std::numeric_limits<double>::infinity();
}

quant::QuantizationManagerParameters manager_parameters(const ActivationQuantConfig& config) {
  quant::QuantizationManagerParameters p;
  p.quantizer.n_bits = config.n_bits;
  p.quantizer.method = config.symmetric ? quant::QMethod::symmetric_uniform : quant::QMethod::asymmetric_uniform;
  quant::MSEEstimatorParams search;
  search.range_opt_method = config.golden_section ? quant::OptMethod::golden_section : quant::OptMethod::grid;
  search.num_candidates = config.num_candidates;
  search.range_margin = config.range_margin;
  switch (config.range_estimator) {
    case RangeEstimator::current_minmax:
      p.init = quant::RangeEstimators::current_minmax;
      p.init_params = quant::CurrentMinMaxEstimatorParams{.percentile = config.percentile};
      break;
    case RangeEstimator::allminmax:
      p.init = quant::RangeEstimators::allminmax;
      break;
    case RangeEstimator::running_minmax:
      p.init = quant::RangeEstimators::running_minmax;
      p.init_params = quant::RunningMinMaxEstimatorParams{.momentum = config.momentum};
      break;
    case RangeEstimator::MSE:
      p.init = quant::RangeEstimators::MSE;
      p.init_params = search;
      break;
    case RangeEstimator::cross_entropy:
      p.init = quant::RangeEstimators::cross_entropy;
      p.init_params = quant::CrossEntropyEstimatorParams{search};
      break;
  }
  return p;
}

}  // namespace tessera::tile
