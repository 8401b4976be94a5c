#pragma once
#include <ostream>
#include <string>
#include <vector>

#include "tessera/results/training_curves.hpp"
#include "tessera/sim/training_parameters.hpp"

namespace tessera::cli {

/// The last of the epochs in one line: "epoch 3/10 analog: loss 0.1234, accuracy 97.1 %, validation 96.2 %, 12 s".
std::string epoch_line(const std::vector<results::TrainingEpoch>& epochs, const sim::TrainingParameters& parameters);

/// What a model file keeps about its training, in one line.
std::string training_note(const std::vector<results::TrainingEpoch>& epochs, const sim::TrainingParameters& parameters);

/// A row for every epoch.
void print_training_summary(std::ostream& out, const std::vector<results::TrainingEpoch>& epochs,
                            const sim::TrainingParameters& parameters, const std::string& name);

}  // namespace tessera::cli
