#pragma once
#include <string>

#include "tessera/results/training_curves.hpp"
#include "tessera/sim/train.hpp"
#include "tessera/spec/run_config.hpp"

namespace tessera::app {

struct TrainingOptions {
  std::string file = {};    ///< model file; "": none is written, and no checkpoint
  std::string curves = {};  ///< file of the curves, written after every epoch; "": none
  std::string onnx = {};    ///< a copy of the ONNX file model.file with the trained weights; "": none
  bool fresh = false;       ///< start anew even if a checkpoint is there
  std::int64_t limit = 0;   ///< most training samples instead of training.data.limit; 0: as configured
};

struct TrainingResult {
  spec::RunConfig config;
  /// As sim::train() gives it. Not complete: cancelled; with a file, "<file>.checkpoint" continues to the same bits.
  sim::TrainingResult training;
  results::TrainingCurves curves;
};

}  // namespace tessera::app
