#include "tessera/sim/layer_warnings.hpp"

#include <algorithm>

#include "tessera/core/error.hpp"
#include "tessera/sim/layer_calibration.hpp"

namespace tessera::sim {

namespace {

/// "0.1", or "0.1 to 0.3" over the tiles of a layer.
std::string ranges_text(const LayerParameters& parameters) {
  double low = parameters.rpu.pre_post.input_range.init_value, high = low;
  bool first = true;
  for (std::size_t p = 0; parameters.calibration && p < parameters.calibration->parts.size(); ++p)
    for (const tile::TileState& tile : parameters.calibration->parts[p].state.tiles) {
      const auto range = static_cast<double>(tile.input_range);
      low = first ? range : std::min(low, range);
      high = first ? range : std::max(high, range);
      first = false;
    }
  return low == high ? fmt::format("{:.4g}", low) : fmt::format("{:.4g} to {:.4g}", low, high);
}

std::string percent(double share) {
  return fmt::format("{:.{}f} %", 100.0 * share, share < 0.1 ? 1 : 0);
}

}  // namespace

std::vector<LayerWarning> layer_warnings(const std::string& layer, const LayerParameters& parameters,
                                         const tile::LayerStatistics& counts) {
  std::vector<LayerWarning> warnings;
  if (!parameters.analog) return warnings;
  const double clipped = counts.input_clip_fraction(), saturated = counts.adc_saturation_fraction();
  const bool found = parameters.calibration && parameters.calibration->input_range_found;
  if (parameters.rpu.pre_post.input_range.enable && !found && clipped >= initial_range_clip_share) {
    warnings.push_back({LayerTrouble::initial_range, layer, clipped,
                        fmt::format("layer '{}': {} of its inputs lie outside its input range {}, which is only the "
                                    "initial value; find ranges with tessera calibrate or train, or set "
                                    "rpu_config.pre_post.input_range.init_value",
                                    layer, percent(clipped), ranges_text(parameters))});
  } else if (clipped >= range_clip_share) {
    warnings.push_back({LayerTrouble::clipped_inputs, layer, clipped,
                        fmt::format("layer '{}': {} of its inputs lie outside its input range {}; calibrate again on "
                                    "data like these (calibration.type MAX, or a larger quantile)",
                                    layer, percent(clipped), ranges_text(parameters))});
  }
  if (saturated >= saturation_share && parameters.rpu.crossbar)
    warnings.push_back(
        {LayerTrouble::saturated_outputs, layer, saturated,
         fmt::format("layer '{}': {} of the conversions of its crossbars lie beyond the converters' range; "
                     "calibrate again (calibration.converter_range MAX), widen rpu_config.crossbar.xbar."
                     "adc.mvm.calibrated_range, or choose adc_range_option: MAX",
                     layer, percent(saturated))});
  else if (saturated >= saturation_share)
    warnings.push_back(
        {LayerTrouble::saturated_outputs, layer, saturated,
         fmt::format("layer '{}': {} of its ADC conversions saturate at out_bound {:g}; raise "
                     "rpu_config.forward.out_bound, lower rpu_config.mapping.weight_scaling_omega, or repeat "
                     "such vectors (rpu_config.forward.bound_management: ITERATIVE)",
                     layer, percent(saturated), parameters.rpu.forward.out_bound)});
  return warnings;
}

}  // namespace tessera::sim
