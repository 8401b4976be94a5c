#pragma once
#include <map>
#include <string>

#include "tessera/io/model_file.hpp"
#include "tessera/quant/uniform_quantizer.hpp"

/// Ranges of the digital quantizers of `quantization:` and their way into model files.
namespace tessera::sim {

/// A range, and the quantizer that it was found for: number of bits, symmetry and domain of the step.
struct QuantizerRange {
  quant::UniformQuantizerParameters quantizer;
  quant::UniformQuantizerState state;
  bool operator==(const QuantizerRange&) const = default;
};

/// By name of a node, then by tensor: "input", "output", or "weight", which is known only where training learned it.
using QuantizerRanges = std::map<std::string, std::map<std::string, QuantizerRange>>;

/// Adds them to what a model file keeps of its nodes: "quantization.output" = bits, method (0 symmetric, 1 asymmetric),
/// domain (0 linear, 1 log), signed, number of steps, steps, zero points.
void add_numbers(const QuantizerRanges& ranges, std::map<std::string, io::LayerNumbers>& calibration);

/// Whether a number of a node is one of these.
bool is_quantizer_range(const std::string& name);

/// Those of a model file. InputError, naming the node, for numbers that add_numbers() cannot have written.
QuantizerRanges read_quantizer_ranges(const std::map<std::string, io::LayerNumbers>& calibration);

}  // namespace tessera::sim
