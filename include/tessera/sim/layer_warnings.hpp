#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "tessera/sim/analog_network.hpp"
#include "tessera/sim/run_parameters.hpp"
#include "tessera/tile/statistics.hpp"

/// What of a layer makes its result worthless, said while it is simulated.
namespace tessera::sim {

/// Shares from which on a layer is reported. An input range that was found clips a few permille of its inputs (three
/// standard deviations: 0.27 %), and training lets it shrink while less than 5 % are clipped
/// (input_range.input_min_percentage); an ADC whose bound fits saturates as rarely.
inline constexpr double initial_range_clip_share = 0.01;  ///< of a range that nothing was found about
inline constexpr double range_clip_share = 0.1;           ///< of any range
inline constexpr double saturation_share = 0.1;           ///< of the ADC conversions that gave the results

/// Samples that are counted where statistics are off: the first ones, on the first chip at the first time.
inline constexpr std::int64_t watched_samples = 64;

enum class LayerTrouble {
  initial_range,
  clipped_inputs,
  saturated_outputs,
  overflowing_sums,     ///< of a fixed-point periphery, from saturation_share on
  overflowing_outputs,  ///< likewise
  saturated_sums,       ///< likewise, of an Add of codes in front of the layer
  saturated_scales      ///< more than scale.saturation_warning says
};

struct LayerWarning {
  LayerTrouble trouble = LayerTrouble::clipped_inputs;
  std::string layer;
  double share = 0.0;
  std::string text;  ///< layer, figure, remedy
};

/// At most one about inputs, one about outputs and three about the fixed-point periphery. Digital layers, and counts of
/// nothing, give none.
std::vector<LayerWarning> layer_warnings(const std::string& layer, const LayerParameters& parameters,
                                         const tile::LayerStatistics& counts);

/// Layers of a chip whose stored multipliers saturate in more columns than
/// pre_post.fixed_point.scale.saturation_warning, and Adds whose multipliers saturate.
std::vector<LayerWarning> scale_warnings(const std::vector<nn::LinearLayer>& layers, const ProgrammedChip& chip);

}  // namespace tessera::sim
