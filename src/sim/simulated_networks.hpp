#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "layer_classes.hpp"
#include "tessera/sim/evaluate.hpp"
#include "tessera/sim/quantized_network.hpp"
#include "tessera/sim/spiking_network.hpp"

namespace tessera::sim {

/// Private: the networks that chips are put into (as given, quantized, of spiking neurons), and the float32 network
/// that they are compared with.
class SimulatedNetworks {
 public:
  /// ConfigError for a spiking network that has states of its own or whose outputs are to be recorded.
  SimulatedNetworks(const EvaluationRequest& common, Parallel parallel);

  /// The network of request t (the next one), shared with those before that have the same; its index.
  std::size_t add(const EvaluationRequest& request, const LayerClasses& classes, std::size_t t,
                  const Environment& environment);
  std::size_t count() const { return networks_.size(); }
  const nn::Executor& executor(std::size_t index) const;
  /// Null: the neurons do not spike.
  const SpikingNetwork* spiking(std::size_t index) const;
  /// The analog layers of a chip with the digital layers that sum up in their own way.
  nn::LinearOverrides overrides(std::size_t index, const AnalogNetwork& network) const;

  /// The network in float32, with neurons like those of the spiking networks.
  const nn::Executor& reference() const { return reference_ ? reference_->executor() : common_.executor; }
  bool is_spiking() const { return reference_.has_value(); }
  /// Time steps of an image; each is a sample for the executor.
  std::int64_t steps() const { return steps_; }
  /// Images over their time steps, as the networks take them.
  Tensor encoded(Tensor batch, std::int64_t first) const;
  /// One output for each image.
  Tensor decoded(Tensor output) const;

 private:
  struct Network {
    const EvaluationRequest* request = nullptr;
    std::size_t task = 0;  ///< the first that has it
    std::optional<QuantizedNetwork> quantized = std::nullopt;
    std::optional<SpikingNetwork> spiking = std::nullopt;
  };

  const EvaluationRequest& common_;
  Parallel parallel_;
  std::deque<Network> networks_;
  std::optional<SpikingNetwork> reference_;
  std::vector<Population> populations_;
  std::int64_t steps_ = 1;
};

}  // namespace tessera::sim
