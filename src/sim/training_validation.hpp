#pragma once
#include <optional>

#include "tessera/core/messages.hpp"
#include "tessera/io/dataset.hpp"
#include "tessera/nn/executor.hpp"
#include "tessera/results/training_curves.hpp"
#include "tessera/sim/run_parameters.hpp"
#include "tessera/sim/spiking_network.hpp"
#include "tessera/sim/training_parameters.hpp"

namespace tessera::sim {

/// How well a network does after an epoch. Data with labels: accuracy and cross-entropy; with targets: mean squared
/// error as the loss.
class Validator {
 public:
  Validator(const io::DataSet& data, std::int64_t batch_size, std::uint64_t seed,
            const ValidationParameters& parameters, Shape input_shape);

  /// In float32; with `spiking`, the network of spiking neurons with float32 synapses. False when cancelled, here and
  /// below.
  bool reference(const nn::Executor& executor, const std::optional<SpikingParameters>& spiking,
                 results::TrainingEpoch& record, Parallel parallel, const Environment& environment) const;
  /// On chips programmed for this epoch alone, so that no epoch is chosen for the luck of its chips.
  bool chips(const nn::Executor& executor, const std::optional<SpikingParameters>& spiking,
             const LayerResolver& resolve, std::int64_t epoch, results::TrainingEpoch& record, Parallel parallel,
             const Environment& environment) const;

 private:
  struct Score {
    double accuracy = results::missing;
    double loss = results::missing;
  };
  bool score(const nn::Executor& executor, const std::optional<SpikingNetwork>& spiking,
             const nn::LinearOverrides* overrides, Score& score, Parallel parallel,
             const Environment& environment) const;

  const io::DataSet& data_;
  std::int64_t batch_size_;
  std::uint64_t seed_;
  const ValidationParameters& parameters_;
  Shape input_shape_;
};

/// Larger is better: mean accuracy over chips and times (float32 in digital epochs); without labels minus the loss.
double validation_score(const results::TrainingEpoch& record, bool has_labels);

}  // namespace tessera::sim
