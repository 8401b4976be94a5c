#include "tessera/sim/spiking_parameters.hpp"

#include <cmath>

#include "leaky_parameters.hpp"

namespace tessera::sim {

quant::LeakyParameters leaky_parameters(const NeuronParameters& neurons, const std::string& key) {
  quant::LeakyParameters leaky = neurons.leaky;
  leaky.state_quant.reset();
  if (!neurons.state_quant) return leaky;
  leaky.state_quant = neurons.state_quant->levels;
  if (!neurons.state_quant->threshold && leaky.threshold.size() != 1)
    throw ConfigError(key + ".state_quant.threshold",
                      fmt::format("must be given, since the neurons have {} thresholds", leaky.threshold.size()));
  leaky.state_quant->threshold = neurons.state_quant->threshold.value_or(static_cast<double>(leaky.threshold.front()));
  return leaky;
}

void validate(const SpikingParameters& parameters) {
  std::vector<Problem> problems;
  const auto report = [&](const char* key, std::string message) {
    problems.push_back({.file = {}, .key = fmt::format("spiking.{}", key), .message = std::move(message)});
  };
  const auto check_neurons = [&](const NeuronParameters& neurons, const std::string& key) {
    try {
      quant::validate(leaky_parameters(neurons, key), key);
    } catch (const ConfigError& error) {
      problems.insert(problems.end(), error.problems().begin(), error.problems().end());
    }
  };
  if (parameters.steps < 1 || parameters.steps > 65536)
    report("steps", fmt::format("{} time steps; must be 1 to 65536", parameters.steps));
  if (parameters.replace.empty()) report("replace", "no operator or node whose place neurons take; e.g. [Relu]");
  check_neurons(parameters.neurons, "spiking.neurons");
  for (const auto& [name, neurons] : parameters.instances) check_neurons(neurons, "spiking.instances." + name);
  if (parameters.balance) {
    const double p = parameters.balance->percentile;
    if (!(p > 0.0 && p <= 100.0)) report("balance.percentile", fmt::format("{} must be > 0 and <= 100", p));
    if (parameters.balance->samples < 1) report("balance.samples", "must be >= 1");
  }
  if (!problems.empty()) throw ConfigError(std::move(problems));
}

}  // namespace tessera::sim
