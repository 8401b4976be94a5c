#pragma once
#include <map>
#include <string>
#include <vector>

#include "tessera/nn/graph.hpp"

/// Tessera's own model file: HDF5 that holds a graph, its weights, and what calibration or training found about it
/// (docs/formats/model.md). Weights carry checksums.
namespace tessera::io {

/// Numbers that belong to a layer beside its weights, by name: "input_range", "output_quantizer.delta", ... Module io
/// only keeps them; sim knows what they mean.
using LayerNumbers = std::map<std::string, std::vector<double>>;

struct Model {
  nn::Graph graph;
  std::map<std::string, LayerNumbers> calibration;  ///< by name of a node
  std::map<std::string, std::string> notes;         ///< free text: where the model comes from, how it was trained
  LayerNumbers progress = {};                       ///< what a training in progress needs to continue; else empty
};

/// Writes the file under its name only when it is complete. InputError for a graph that is not valid (nn::validate), or
/// calibration of a node that it does not have; RunError where writing fails.
void write_model(const Model& model, const std::string& path);
/// The exact model that was written. InputError if the file is missing, damaged, no model file, of another major
/// version, or its graph is not valid or holds NaN.
Model read_model(const std::string& path);

/// Model::calibration alone.
std::map<std::string, LayerNumbers> read_calibration(const std::string& path);

/// The graph alone.
void save_model(const nn::Graph& graph, const std::string& path);
nn::Graph load_model(const std::string& path);

}  // namespace tessera::io
