#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tessera/io/dataset.hpp"
#include "tessera/io/model_file.hpp"
#include "tessera/nn/executor.hpp"
#include "tessera/sim/spiking_parameters.hpp"

/// Networks of spiking neurons, with their synapses in float32, digital low precision or on analog tiles.
namespace tessera::sim {

/// Neurons in one place of the network.
struct Population {
  std::string name;          ///< of the node they replace, or output_population
  std::int64_t units = 0;    ///< neurons per sample
  bool emits_spikes = true;  ///< false: their state is read out (membrane_mean)
  NeuronParameters neurons;  ///< before balancing
};

/// The populations of a network in network order. ConfigError names operators and nodes that are not there, with the
/// nearest name; InputError a network that cannot be unrolled over time: recurrent layers, one without a batch, values
/// whose samples do not lie along the first axis.
std::vector<Population> spiking_populations(const nn::Executor& network, const SpikingParameters& parameters);

/// The same with thresholds and spike sizes from data (BalanceParameters), where asked for. `network` is the float32
/// network. InputError names a population without a positive activation.
std::vector<Population> balanced_populations(const nn::Executor& network, const SpikingParameters& parameters,
                                             const io::DataSet& data, Parallel parallel);

/// `parameters` with the decays and thresholds that a trained model holds beside its graph (io::Model::calibration), in
/// place of the configured ones. ConfigError where learned thresholds would be balanced again.
SpikingParameters with_learned_neurons(SpikingParameters parameters,
                                       const std::map<std::string, io::LayerNumbers>& calibration);

/// How often a population fired. Sums of integers: no batch size or thread count changes them.
struct SpikeCounts {
  std::int64_t samples = 0;
  std::int64_t spikes = 0;  ///< over all samples, units and steps
  std::int64_t silent = 0;  ///< units, counted for every sample, that never fired

  void operator+=(const SpikeCounts& other);
  bool operator==(const SpikeCounts&) const = default;
};

/// A network with neurons in place of activation functions, unrolled over time: its executor takes T = steps() samples
/// per image, image-major, and every population runs through the T steps of each image, beginning with U = 0. What a
/// weighted layer sees at step t of image i is its sample i T + t, so noise is new at every step.
///
///     encoded = network.encode(images, first_image)             [N, ...] -> [N T, ...]
///     outputs = network.executor().run(encoded, {.first_sample = first_image * T, ...})
///     scores  = network.decode(outputs)                         [N T, ...] -> [N, ...]
///
/// A final Softmax or LogSoftmax is left out of the steps and applied to the decoded scores.
class SpikingNetwork {
 public:
  /// `network` may hold transforms, which come along (digital low precision). `quantize_state` false: without
  /// state_quant, as the reference that state quantization is measured against. ConfigError where units and the number
  /// of betas or thresholds do not fit.
  SpikingNetwork(const nn::Executor& network, const SpikingParameters& parameters,
                 const std::vector<Population>& populations, bool quantize_state, std::uint64_t seed);

  const nn::Executor& executor() const { return *executor_; }
  std::int64_t steps() const { return parameters_.steps; }
  /// Those that emit spikes.
  const std::vector<std::string>& spiking() const { return spiking_; }

  Tensor encode(const Tensor& images, std::uint64_t first_image, Parallel parallel) const;
  Tensor decode(const Tensor& outputs) const;

 private:
  SpikingParameters parameters_;
  std::uint64_t seed_ = 0;
  std::string final_operator_;  ///< Softmax, LogSoftmax or none
  std::vector<std::string> spiking_;
  std::unique_ptr<nn::Executor> executor_;
};

/// Of the spikes that a transform wrote.
SpikeCounts count_spikes(const nn::TransformCall& call, std::int64_t steps);

/// The mean over the `steps` values of each image: [N T, ...] -> [N, ...], whatever the layout.
nn::Activation mean_over_steps(const nn::Activation& values, std::int64_t steps);

}  // namespace tessera::sim
