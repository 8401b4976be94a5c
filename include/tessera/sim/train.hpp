#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "tessera/core/messages.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/io/dataset.hpp"
#include "tessera/io/model_file.hpp"
#include "tessera/nn/graph.hpp"
#include "tessera/results/training_curves.hpp"
#include "tessera/sim/quantization_parameters.hpp"
#include "tessera/sim/run_parameters.hpp"
#include "tessera/sim/spiking_parameters.hpp"
#include "tessera/sim/training_parameters.hpp"

/// Learning: digital, then hardware-aware.
namespace tessera::sim {

/// What is trained on what. References must outlive the call.
struct TrainingRequest {
  io::Model model;  ///< where training starts: weights, and what is known of the analog layers
  const io::DataSet& data;
  const io::DataSet& validation;
  std::int64_t validation_batch_size = 128;  ///< never changes a result
  TrainingParameters parameters;
  std::uint64_t seed = 0;
  LayerResolver resolve;  ///< of the analog phase
  /// The network is trained with spiking neurons, in both phases; "float32" is then the spiking network with float32
  /// synapses.
  std::optional<SpikingParameters> spiking = std::nullopt;
  /// Digital low precision, in both phases; "float32" is then the quantized network without analog layers. Not together
  /// with spiking neurons.
  std::optional<QuantizationParameters> quantization = std::nullopt;
  std::string task_id;     ///< of everything that determines the result; a checkpoint of another task is refused
  std::string checkpoint;  ///< file; empty: none are written
};

struct TrainingResult {
  io::Model model;  ///< what is kept: weights, and ranges as `tessera run` uses them
  std::vector<results::TrainingEpoch> epochs;
  std::int64_t resumed_epochs = 0;  ///< of these, taken over from a checkpoint
  bool complete = false;            ///< false: cancelled; a checkpoint was written
};

/// Called after every epoch (with those so far); what was resumed comes first.
using EpochSink = std::function<void(const std::vector<results::TrainingEpoch>& epochs)>;

/// Trains. A step draws from stream addresses only: the order of an epoch and the variation of a sample from
/// (seed, epoch, sample), the noise of analog layers from (seed, layer, tile, step), chips of a validation from
/// (seed, epoch, chip). So the result is bit-identical for any thread count, and for a training that was interrupted
/// and resumed from its checkpoint.
///
/// Epochs are numbered through both phases. The analog phase begins with the weights that the digital one kept, and
/// with a fresh optimizer.
///
/// InputError where data and network do not fit, a network cannot be trained, or a checkpoint belongs to another task;
/// RunError, naming the node, where a value stops being finite.
TrainingResult train(const TrainingRequest& request, const EpochSink& sink, Parallel parallel,
                     const Environment& environment);

}  // namespace tessera::sim
