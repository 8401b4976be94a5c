#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tessera/quant/leaky.hpp"

/// How a network is run with spiking neurons. Plain values, filled by module spec from YAML or by hand.
namespace tessera::sim {

/// How an input value x becomes a sequence over the time steps t = 0..T-1.
enum class SpikeEncoding {
  direct,  ///< a constant current: x at every step
  rate,    ///< Bernoulli: 1 with probability clip(x, 0, 1) at every step, drawn by (seed, sample, t, element); else 0
  latency  ///< one spike of size 1 at t = rne((1 - clip(x, 0, 1)) (T - 1)); none where x <= 0
};
inline constexpr std::array<const char*, 3> spike_encoding_names{"direct", "rate", "latency"};

/// How the network's outputs over time become the numbers that are compared with a label.
enum class SpikeDecoding {
  spike_count,    ///< neurons behind the last layer; how often each fires
  membrane_mean,  ///< neurons behind the last layer; the mean of their state U
  current_mean    ///< no neurons there: the mean of the last layer's output
};
inline constexpr std::array<const char*, 3> spike_decoding_names{"spike_count", "membrane_mean", "current_mean"};

/// State quantization of a neuron; without a threshold of its own it takes the neuron's.
struct NeuronStateQuant {
  quant::StateQuantParameters levels;  ///< `levels.threshold` is replaced unless `threshold` is given
  std::optional<double> threshold = std::nullopt;

  bool operator==(const NeuronStateQuant&) const = default;
};

/// One population of neurons. `leaky.state_quant` is not used: `state_quant` is.
struct NeuronParameters {
  quant::LeakyParameters leaky{.beta = {1.0F}, .spike_grad = {}};
  std::optional<NeuronStateQuant> state_quant = std::nullopt;
  bool learn_beta = false;       ///< in training; so `leaky.spike_grad` too
  bool learn_threshold = false;  ///< in training

  bool operator==(const NeuronParameters&) const = default;
};

/// Thresholds from data. For every population, lambda is the percentile of the activations (of all units together, the
/// nearest rank) that the float32 network has in its place on the first `samples` samples; then
///     threshold = lambda * threshold,    graded_spikes_factor = lambda * graded_spikes_factor.
/// A neuron without leak that resets by subtraction then passes on its activation as spike rate times spike size, so
/// weights and biases need no change (threshold balancing: Diehl et al. 2015; percentile: Rueckauer et al. 2017).
struct BalanceParameters {
  double percentile = 99.9;    ///< (0, 100]
  std::int64_t samples = 256;  ///< >= 1

  bool operator==(const BalanceParameters&) const = default;
};

struct SpikingParameters {
  std::int64_t steps = 25;  ///< time steps T per sample, 1..65536
  SpikeEncoding encoding = SpikeEncoding::direct;
  SpikeDecoding decoding = SpikeDecoding::spike_count;
  std::vector<std::string> replace{"Relu"};  ///< operators, or names of nodes, whose place neurons take; not empty
  NeuronParameters neurons;                  ///< of every population
  /// By population: the name of the node that was replaced, or output_population. In place of `neurons`.
  std::map<std::string, NeuronParameters> instances;
  std::optional<BalanceParameters> balance = std::nullopt;

  bool operator==(const SpikingParameters&) const = default;
};

/// The name of the neurons that a decoding puts behind the last layer.
inline constexpr const char* output_population = "output_neurons";

/// ConfigError with everything out of range; keys start with "spiking".
void validate(const SpikingParameters& parameters);

}  // namespace tessera::sim
