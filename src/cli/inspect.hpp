#pragma once
#include <ostream>
#include <string>
#include <vector>

#include "tessera/core/messages.hpp"
#include "tessera/core/tensor.hpp"

namespace tessera::cli {

/// Layers with operator, shapes, tiles at 512x512, parameters and MACs of a model file.
void inspect_model(const std::string& path, const std::vector<Shape>& sample_shapes, std::ostream& out,
                   const Environment& environment);
/// Provenance, axes, scores and layers of a result file.
void inspect_results(const std::string& path, std::ostream& out);
/// What a configuration simulates: model, data, and one line per layer.
void inspect_config(const std::string& path, const std::vector<std::string>& overrides, std::ostream& out,
                    const Environment& environment);

}  // namespace tessera::cli
