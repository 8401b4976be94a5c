#include "sim/simulated_networks.hpp"

namespace tessera::sim {

SimulatedNetworks::SimulatedNetworks(const EvaluationRequest& common, Parallel parallel)
    : common_(common), parallel_(parallel) {
  if (!common.spiking) return;
  if (!common.executor.graph().states.empty())
    throw ConfigError("model.state", "a spiking network has its own states; leave model.state out");
  if (!common.record_network_outputs.empty())
    throw ConfigError("output.record.outputs",
                      "outputs of spiking networks are counts over time steps; record predictions or a tensor instead");
  populations_ = balanced_populations(common.executor, *common.spiking, common.data, parallel);
  reference_.emplace(common.executor, *common.spiking, populations_, false, common.seed);
  steps_ = common.spiking->steps;
}

std::size_t SimulatedNetworks::add(const EvaluationRequest& request, const LayerClasses& classes, std::size_t t,
                                   const Environment& environment) {
  const auto is_like = [&](const Network& other) {
    bool alike = other.request->quantization == request.quantization;
    if (request.quantization) alike = alike && other.request->seed == request.seed;
    for (std::size_t l = 0; l < common_.executor.layers().size() && request.quantization; ++l)
      alike = alike && classes.parameters(other.task, l).analog == classes.parameters(t, l).analog;
    return alike;
  };
  for (std::size_t index = 0; index < networks_.size(); ++index)
    if (is_like(networks_[index])) return index;
  Network& network = networks_.emplace_back();
  network.request = &request;
  network.task = t;
  if (request.quantization) {
    network.quantized.emplace(request.executor, *request.quantization, request.resolve, request.data, request.seed,
                              parallel_);
    for (const std::string& note : network.quantized->notes()) environment.note(note);
  }
  if (request.spiking) {
    if (network.quantized && network.quantized->has_ranges())
      throw ConfigError("spiking",
                        "activations cannot have quantizers with ranges in a spiking network; give the neurons a "
                        "state_quant, and quantize weights only");
    const nn::Executor& inner = network.quantized ? network.quantized->executor() : request.executor;
    network.spiking.emplace(inner, *request.spiking, populations_, true, request.seed);
  }
  return networks_.size() - 1;
}

const nn::Executor& SimulatedNetworks::executor(std::size_t index) const {
  const Network& network = networks_[index];
  if (network.spiking) return network.spiking->executor();
  return network.quantized ? network.quantized->executor() : common_.executor;
}

const SpikingNetwork* SimulatedNetworks::spiking(std::size_t index) const {
  return networks_[index].spiking ? &*networks_[index].spiking : nullptr;
}

nn::LinearOverrides SimulatedNetworks::overrides(std::size_t index, const AnalogNetwork& network) const {
  nn::LinearOverrides overrides = network.overrides();
  const std::optional<QuantizedNetwork>& quantized = networks_[index].quantized;
  for (std::size_t l = 0; quantized && l < overrides.size(); ++l)
    if (overrides[l].empty()) overrides[l] = quantized->accumulators()[l];
  return overrides;
}

Tensor SimulatedNetworks::encoded(Tensor batch, std::int64_t first) const {
  if (!reference_) return batch;
  return reference_->encode(batch, static_cast<std::uint64_t>(first), parallel_);
}

Tensor SimulatedNetworks::decoded(Tensor output) const {
  return reference_ ? reference_->decode(output) : std::move(output);
}

}  // namespace tessera::sim
