#pragma once
#include <cstdint>
#include <map>
#include <string>

#include "tessera/quant/number_format.hpp"
#include "tessera/quant/quantization_config.hpp"
#include "tessera/sim/quantizer_ranges.hpp"

/// Digital low precision of a whole network. Plain values, filled by module spec from YAML or by hand.
namespace tessera::sim {

/// Number formats (fixed, block or floating point) of the tensors of layers. Precedence as for ranges: exclusions over
/// instances over types over the default, whole entries.
struct FormatMap {
  quant::LayerFormats default_formats;                   ///< every weighted layer
  std::map<std::string, quant::LayerFormats> module;     ///< by layer type, as in QuantizationMap
  std::map<std::string, quant::LayerFormats> instances;  ///< by name
  bool operator==(const FormatMap&) const = default;
};

/// On what the ranges of activations are estimated: the first `batches` * `batch_size` samples of the data set, in
/// batches of `batch_size`, whatever the batch size of the run.
struct CalibrationParameters {
  std::int64_t batches = 4;      ///< >= 1
  std::int64_t batch_size = 64;  ///< >= 1
  bool operator==(const CalibrationParameters&) const = default;
};

struct QuantizationParameters {
  quant::QuantizationMap map;
  bool append_default_conversions = false;  ///< map.default_qconfig for Linear, Conv2d, LayerNorm, Embedding
  FormatMap formats;
  CalibrationParameters calibration;
  QuantizerRanges ranges = {};  ///< known beforehand (from a model file) and used as they are
  bool operator==(const QuantizationParameters&) const = default;
};

/// ConfigError with everything out of range; keys start with "quantization".
void validate(const QuantizationParameters& parameters);

/// The formats of one layer; `weighted`: whether the default applies to it.
quant::LayerFormats resolve_formats(const QuantizationParameters& parameters, const std::string& name,
                                    const std::string& type, bool weighted);

}  // namespace tessera::sim
