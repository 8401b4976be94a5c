#pragma once
#include <cstdint>
#include <optional>
#include <vector>

/// What a layer has learned from data or training, apart from its weights: input ranges, learned output scales and the
/// ranges of its quantizers. Plain values: saved with a model, and carried from one programmed chip to the next.
namespace tessera::tile {

/// Range of a uniform quantizer (quantization reference A.2): step and, if asymmetric, the unrounded zero point.
struct QuantizerRange {
  float delta = 0.0F;
  float zero_float = 0.0F;  ///< asymmetric only
  bool is_signed = false;   ///< symmetric only

  bool operator==(const QuantizerRange&) const = default;
};

/// Running estimate of an activation range: extremes in use and whether any data was seen.
struct RangeEstimate {
  bool seen = false;
  float minimum = 0.0F;
  float maximum = 0.0F;

  bool operator==(const RangeEstimate&) const = default;
};

struct TileState {
  float input_range = 0.0F;                 ///< r > 0; meaningless while input ranges are off
  std::int64_t input_range_updates = 0;     ///< batches that went into r (quantization reference D.3)
  std::vector<float> output_scale;          ///< learned output scale s: empty, 1 value, or one per output
  std::vector<QuantizerRange> scale_range;  ///< empty: not fixed; 1 value, or one per output
  RangeEstimate output_estimate;            ///< of the tile's activation quantizer
  float noise_management_average = 0.0F;    ///< AVERAGE_ABS_MAX; 0: no vector was averaged

  bool operator==(const TileState&) const = default;
};

struct LayerState {
  std::vector<TileState> tiles;
  std::vector<QuantizerRange> bias_range;  ///< empty: not fixed; 1 value, or one per output
  RangeEstimate output_estimate;           ///< of the quantizer after accumulation (arrays of several tiles)
  std::int64_t periphery_updates = 0;      ///< training forwards that estimated the periphery's ranges

  bool operator==(const LayerState&) const = default;
};

}  // namespace tessera::tile
