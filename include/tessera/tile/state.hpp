#pragma once
#include <cstdint>
#include <vector>

#include "tessera/circuit/parameters.hpp"
#include "tessera/quant/uniform_quantizer.hpp"

/// What a layer has learned from data or training, apart from its weights: input ranges, learned output scales and the
/// ranges of its quantizers. Plain values: saved with a model, and carried from one programmed chip to the next.
namespace tessera::tile {

struct TileState {
  float input_range = 0.0F;              ///< r > 0; meaningless while input ranges are off
  std::int64_t input_range_updates = 0;  ///< batches that went into r (quantization reference D.3)
  std::vector<float> mapping_scale;      ///< m, kept while weights were trained; empty: follows from the weights
  std::vector<float> output_scale;       ///< learned output scale s: empty, 1 value, or one per output
  quant::UniformQuantizerState scale_quantizer;   ///< of the merged scale; empty: follows the current values
  quant::UniformQuantizerState output_quantizer;  ///< activation quantizer of the tile; empty: no range yet
  float noise_management_average = 0.0F;          ///< AVERAGE_ABS_MAX; 0: no vector was averaged

  bool operator==(const TileState&) const = default;
};

struct LayerState {
  std::vector<TileState> tiles;
  quant::UniformQuantizerState bias_quantizer;    ///< empty: follows the current values
  quant::UniformQuantizerState output_quantizer;  ///< after accumulation (arrays of several tiles)
  /// Of crossbars, by weight slice: what calibration found for their converters; empty: nothing.
  std::vector<circuit::ConverterSetting> converters;
  float output_range = 0.0F;           ///< of the fixed-point periphery's output code; 0: none yet
  float output_quantile = 1.0F;        ///< of the magnitudes, that output_range was taken at
  std::int64_t periphery_updates = 0;  ///< training forwards seen by the periphery's ranges; beyond
                                       ///< init_learning_after they are learned (and it stays there)

  bool operator==(const LayerState&) const = default;
};

}  // namespace tessera::tile
