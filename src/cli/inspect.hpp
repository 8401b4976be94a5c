#pragma once
#include <ostream>
#include <string>
#include <vector>

#include "tessera/app/inspect.hpp"
#include "tessera/core/messages.hpp"

namespace tessera::cli {

/// Layers with operator, shapes, tiles at 512x512, parameters and MACs of a model file.
void inspect_model(const std::string& path, const std::vector<app::InputShape>& shapes, std::ostream& out,
                   const Environment& environment);
/// Provenance, axes, scores and layers of a result file.
void inspect_results(const std::string& path, std::ostream& out);
/// What a configuration simulates: model, data, and one line per layer.
void inspect_config(const std::string& path, const std::vector<std::string>& overrides, std::ostream& out,
                    const Environment& environment);

}  // namespace tessera::cli
