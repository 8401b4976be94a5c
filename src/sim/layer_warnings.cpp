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
  if (const double overflow = counts.sum_overflow_fraction(); overflow >= saturation_share)
    warnings.push_back({LayerTrouble::overflowing_sums, layer, overflow,
                        fmt::format("layer '{}': {} overflows of the fixed-point accumulator per output; raise "
                                    "rpu_config.pre_post.fixed_point.accumulator.bits",
                                    layer, percent(overflow))});
  if (const double overflow = counts.output_overflow_fraction(); overflow >= saturation_share)
    warnings.push_back({LayerTrouble::overflowing_outputs, layer, overflow,
                        fmt::format("layer '{}': {} of its outputs are beyond their fixed-point code; calibrate again, "
                                    "or raise rpu_config.pre_post.fixed_point.output.range",
                                    layer, percent(overflow))});
  if (const double beyond = counts.code_sum_saturation_fraction(); beyond >= saturation_share)
    warnings.push_back(
        {LayerTrouble::saturated_sums, layer, beyond,
         fmt::format("layer '{}': {} of the values of the Add in front of it are beyond the codes of its "
                     "DAC; calibrate again, or raise rpu_config.pre_post.input_range.init_value",
                     layer, percent(beyond))});
  return warnings;
}

std::vector<LayerWarning> scale_warnings(const std::vector<nn::LinearLayer>& layers, const ProgrammedChip& chip) {
  std::vector<LayerWarning> warnings;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    std::int64_t saturated = 0, columns = 0;
    double accepted = 1.0;
    std::string format;
    for (std::size_t p = 0; p < chip.part_count(l); ++p) {
      const tile::AnalogLayer& part = chip.layer(l, p);
      if (!(part.output_step() > 0.0F)) continue;
      const tile::ScaleFormat& scale = part.parameters().pre_post.fixed_point->scale;
      if (scale.exact || part.parameters().pre_post.fixed_point->arithmetic == tile::PeripheryArithmetic::binary16)
        continue;
      accepted = scale.saturation_warning;
      format = tile::format_of(scale).text();
      for (std::int64_t t = 0; t < part.tile_count(); ++t) {
        saturated += part.fixed_point_report(t).scale.saturated;
        columns += part.place(t).outputs;
      }
    }
    const double share = columns > 0 ? static_cast<double>(saturated) / static_cast<double>(columns) : 0.0;
    if (share <= accepted) continue;
    warnings.push_back({LayerTrouble::saturated_scales, layers[l].name, share,
                        fmt::format("layer '{}': {} of its multipliers do not fit {}; give "
                                    "rpu_config.pre_post.fixed_point.scale more integer_bits, an exponent, or a larger "
                                    "output.range",
                                    layers[l].name, percent(share), format)});
  }
  for (const CodeSum& sum : chip.code_sums()) {
    if (sum.saturated == 0) continue;
    warnings.push_back(
        {LayerTrouble::saturated_scales, layers[sum.layer].name, 0.5 * sum.saturated,
         fmt::format("layer '{}': {} of the two multipliers of the Add in front of it do not fit {}: its operands have "
                     "steps {:.4g} and {:.4g}, its DAC {:.4g}; give rpu_config.pre_post.fixed_point.add more "
                     "integer_bits",
                     layers[sum.layer].name, sum.saturated, tile::format_of(sum.format).text(),
                     static_cast<double>(sum.operand_step[0]), static_cast<double>(sum.operand_step[1]),
                     static_cast<double>(sum.step))});
  }
  return warnings;
}

}  // namespace tessera::sim
