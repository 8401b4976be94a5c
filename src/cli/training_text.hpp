#pragma once
#include <ostream>
#include <string>
#include <vector>

#include "tessera/results/training_curves.hpp"
#include "tessera/sim/training_parameters.hpp"

namespace tessera::cli {

/// A row for every epoch.
void print_training_summary(std::ostream& out, const std::vector<results::TrainingEpoch>& epochs,
                            const sim::TrainingParameters& parameters, const std::string& name);

}  // namespace tessera::cli
