#include "sim/rate_factor.hpp"

namespace tessera::sim {

double rate_factor(const RateFactors& factors, nn::ParameterKind kind) {
  switch (kind) {
    case nn::ParameterKind::weight:
      return factors.weight;
    case nn::ParameterKind::bias:
      return factors.bias;
    case nn::ParameterKind::normalization:
      return factors.normalization;
    case nn::ParameterKind::neuron:
      return factors.neuron;
    case nn::ParameterKind::input_range:
      return factors.input_range;
    case nn::ParameterKind::output_scale:
      return factors.output_scale;
    case nn::ParameterKind::quantizer_range:
      return factors.quantizer_range;
  }
  return 1.0;
}

}  // namespace tessera::sim
