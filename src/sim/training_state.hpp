#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tessera/io/model_file.hpp"
#include "tessera/nn/optimizer.hpp"
#include "tessera/results/training_curves.hpp"

namespace tessera::sim {

/// The best model of a phase so far.
struct BestModel {
  double score = 0.0;  ///< larger is better
  std::int64_t epoch = 0;
  nn::Graph graph;
  std::map<std::string, io::LayerNumbers> calibration;
};

/// What a training is at the end of an epoch, but for the network itself: plain values.
struct TrainingState {
  bool analog = false;           ///< phase
  std::int64_t phase_epoch = 0;  ///< epochs finished in the phase
  std::int64_t phase_steps = 0;  ///< steps done in it
  std::int64_t total_steps = 0;  ///< ... in the training: the address of noise
  std::int64_t stale = 0;        ///< validations since the best
  std::vector<results::TrainingEpoch> epochs;
  nn::OptimizerState optimizer;
  std::optional<BestModel> best;  ///< of the phase
};

/// The state as numbers of a model file whose graph is the network's.
io::LayerNumbers to_numbers(const TrainingState& state);
/// InputError for numbers that to_numbers() cannot have written; `graph` is that of the same file.
TrainingState training_state(const io::LayerNumbers& numbers, const nn::Graph& graph);

}  // namespace tessera::sim
