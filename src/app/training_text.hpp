#pragma once
#include <string>
#include <vector>

#include "tessera/results/training_curves.hpp"
#include "tessera/sim/training_parameters.hpp"

namespace tessera::app {

/// The last of the epochs in one line: "epoch 3/10 analog: loss 0.1234, accuracy 97.1 %, validation 96.2 %, 12 s".
std::string epoch_line(const std::vector<results::TrainingEpoch>& epochs, const sim::TrainingParameters& parameters);

/// What a model file keeps about its training, in one line.
std::string training_note(const std::vector<results::TrainingEpoch>& epochs, const sim::TrainingParameters& parameters);

/// Mean accuracy of the chips at the last time; NaN where no chip was measured.
double last_validation(const results::TrainingEpoch& epoch, const sim::TrainingParameters& parameters);

/// " after 1 h 00 min": when chips are validated; "" right after programming.
std::string validation_time_text(const sim::TrainingParameters& parameters);

}  // namespace tessera::app
