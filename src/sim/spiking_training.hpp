#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tessera/io/model_file.hpp"
#include "tessera/nn/training.hpp"
#include "tessera/sim/spiking_network.hpp"

namespace tessera::sim {

/// A spiking network as it learns: unrolled over time (SpikingNetwork), its neurons differentiated by their surrogate
/// through all steps. What is learned belongs to the network as it was before, with activation functions: weights stay
/// in its graph, learned decays and thresholds beside it (with_learned_neurons).
class SpikingTraining {
 public:
  /// ConfigError where thresholds come from data (spiking.balance), or a threshold is learned that the levels of
  /// state_quant follow; else as SpikingNetwork.
  SpikingTraining(const nn::Graph& graph, const nn::ExecutorOptions& options, const SpikingParameters& parameters,
                  std::uint64_t seed);

  const nn::Executor& unrolled() const { return network_->executor(); }
  void give_neurons(nn::TrainingNetwork& network) const;

  /// [N, ...] -> [N T, ...]; a rate code is drawn anew at every step of the training.
  Tensor encode(const Tensor& batch, std::uint64_t step, Parallel parallel) const;
  /// [N T, ...] -> [N, ...], without the network's final Softmax.
  Tensor decode(const Tensor& outputs) const;
  /// The gradient of decode(): of the scores -> of the outputs.
  Tensor decode_gradient(const Tensor& d_scores) const;

  /// The graph that this was made of, with the weights of `trained`, which is unrolled().graph() after learning.
  nn::Graph rolled(const nn::Graph& trained) const;
  /// Learned decays and thresholds, by node.
  void store_neurons(const std::vector<nn::TrainedParameter>& parameters, const SpikingParameters& asked,
                     std::map<std::string, io::LayerNumbers>& calibration) const;

 private:
  nn::Graph graph_;
  SpikingParameters parameters_;
  std::vector<Population> populations_;
  std::uint64_t seed_;
  std::unique_ptr<SpikingNetwork> network_;
};

}  // namespace tessera::sim
