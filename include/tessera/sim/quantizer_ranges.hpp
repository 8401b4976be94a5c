#pragma once
#include <map>
#include <string>

#include "tessera/io/model_file.hpp"
#include "tessera/sim/stored_ranges.hpp"

/// Ranges of the digital quantizers of `quantization:` and their way into model files.
namespace tessera::sim {

/// A range, and what it was found under.
struct QuantizerRange {
  RangeLaw law;
  quant::UniformQuantizerState state;
  bool operator==(const QuantizerRange&) const = default;
};

/// By name of a node, then by tensor: "input", "output", or "weight", which is known only where training learned it.
using QuantizerRanges = std::map<std::string, std::map<std::string, QuantizerRange>>;

/// Adds them to what a model file keeps of its nodes: "quantization.output" = bits, method (0 symmetric, 1 asymmetric),
/// domain (0 linear, 1 log), signed, number of steps, steps, zero points; and, of ranges that were not learned,
/// "quantizer_bounds.output" = lower, then upper bounds; "quantizer_law.output" = to_numbers(law).
void add_numbers(const QuantizerRanges& ranges, std::map<std::string, io::LayerNumbers>& calibration);

/// Whether a number of a node is one of these.
bool is_quantizer_range(const std::string& name);

/// Those of a model file. InputError, naming the node, for numbers that add_numbers() cannot have written.
QuantizerRanges read_quantizer_ranges(const std::map<std::string, io::LayerNumbers>& calibration);

/// The range of a node's tensor for the quantizer that is asked for: without steps where none is known; the reason of a
/// refusal names both.
FittedRange fitted_range(const QuantizerRanges& ranges, const std::string& node, const std::string& tensor,
                         const quant::QuantizationManagerParameters& asked);

}  // namespace tessera::sim
