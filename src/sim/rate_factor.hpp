#pragma once
#include "tessera/nn/training.hpp"
#include "tessera/sim/training_parameters.hpp"

namespace tessera::sim {

/// What multiplies the learning rate of a kind of parameter.
double rate_factor(const RateFactors& factors, nn::ParameterKind kind);

}  // namespace tessera::sim
