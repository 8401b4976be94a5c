#pragma once
#include "tessera/core/error.hpp"
#include "tessera/sim/spiking_parameters.hpp"

namespace tessera::sim {

/// The parameters of the neuron model, state quantization included. ConfigError where it needs one threshold and the
/// neurons have several.
quant::LeakyParameters leaky_parameters(const NeuronParameters& neurons, const std::string& key);

}  // namespace tessera::sim
