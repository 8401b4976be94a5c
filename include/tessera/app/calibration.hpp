#pragma once
#include <memory>
#include <string>

#include "tessera/io/model_file.hpp"
#include "tessera/nn/executor.hpp"
#include "tessera/sim/layer_calibration.hpp"
#include "tessera/sim/quantizer_ranges.hpp"

namespace tessera::app {

struct CalibrationResult {
  /// The network with the ranges found: io::write_model() gives a file that `model.file` takes.
  io::Model model;
  std::string source;  ///< how and from what they were found
  std::shared_ptr<const nn::Executor> executor;
  sim::NetworkCalibration layers;   ///< of analog layers; empty without any
  sim::QuantizerRanges quantizers;  ///< of digital activations; empty without any
};

}  // namespace tessera::app
