#pragma once
#include <map>
#include <string>

#include "tessera/nn/graph.hpp"

/// Weights back into the ONNX file they came from.
namespace tessera::io {

/// Writes to `path` the ONNX file `source` with the weights of `graph`, which was imported from `source` and has
/// learned since. `notes` take the place of the file's metadata. Everything else (operators, names, shapes) stays.
///
/// InputError if `source` is no ONNX file, or the written file would not be imported as `graph`: its weights are not
/// initialisers of the file (computed, folded, scaled by an attribute) or are of another type; such a network is kept
/// in a model file (write_model). RunError where writing fails. The file appears under its name only when it is
/// complete.
void write_onnx_weights(const std::string& source, const nn::Graph& graph,
                        const std::map<std::string, std::string>& notes, const std::string& path);

}  // namespace tessera::io
