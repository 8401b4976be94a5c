#pragma once
#include "tessera/config/type.hpp"
#include "tessera/io/data_parameters.hpp"
#include "tessera/sim/run_parameters.hpp"
#include "tessera/sim/training_parameters.hpp"
#include "tessera/spec/run_config.hpp"

/// Key tables of everything in a configuration but `rpu_config`.
namespace tessera::spec {

config::Type<sim::ModelParameters> model_parameters();
config::Type<io::DataParameters> data_parameters();
config::Type<sim::EvaluationParameters> evaluation_parameters();
config::Type<OutputParameters> output_parameters();
config::Type<sim::InputCalibration> calibration_parameters();
config::Type<SweepParameters> sweep_parameters();
config::Type<SearchSection> search_section();
config::Type<sim::TrainingParameters> training_parameters();

}  // namespace tessera::spec
