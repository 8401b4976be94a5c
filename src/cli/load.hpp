#pragma once
#include <string>
#include <vector>

#include "tessera/core/messages.hpp"
#include "tessera/nn/executor.hpp"
#include "tessera/sim/run_parameters.hpp"
#include "tessera/spec/layers.hpp"

namespace tessera::cli {

/// The whole text of a file; InputError if it cannot be read.
std::string read_text_file(const std::string& path);

/// Reads an ONNX or native model, by what is in the file.
nn::Graph load_model(const std::string& path, const Environment& environment);

/// Reads and prepares a network for samples of this shape.
nn::Executor load_executor(const sim::ModelParameters& model, const Shape& sample_shape,
                           const Environment& environment);

std::vector<spec::LayerName> layer_names(const nn::Executor& executor);

}  // namespace tessera::cli
