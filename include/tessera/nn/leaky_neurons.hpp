#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "tessera/nn/training.hpp"
#include "tessera/quant/leaky.hpp"

/// Spiking neurons in training.
namespace tessera::nn {

/// What a population hands on: its spikes, or its state U after each step (membrane readout).
enum class LeakyOutput { spikes, state };

struct TrainableLeakyParameters {
  quant::LeakyParameters neurons;
  std::int64_t steps = 1;  ///< T >= 1
  LeakyOutput output = LeakyOutput::spikes;
  bool learn_beta = false;
  bool learn_threshold = false;
  std::uint64_t seed = 0;  ///< of the draws of stochastic surrogates (SSO)
};

/// Leaky neurons unrolled over time (quant/leaky.hpp; quantization reference G.4), as a transform of values [N T, ...]
/// whose first axis holds the T steps of each of N samples, sample-major. U is 0 before the first step. Gradients pass
/// back through all T steps: through the spikes by the surrogate derivative (straight-through where its type says so),
/// through the state by beta and the reset rule, and not through the reset decision. Learned values of beta and
/// threshold are parameters "beta" and "threshold" of kind neuron. ConfigError for parameters out of range; InputError
/// for a first axis that T does not divide.
std::shared_ptr<TrainableTransform> trainable_leaky(TrainableLeakyParameters parameters);

}  // namespace tessera::nn
