#include "cli/calibration_text.hpp"

#include <algorithm>
#include <cmath>

#include "cli/text_table.hpp"
#include "tessera/core/format.hpp"

namespace tessera::cli {

namespace {

std::string range_text(const sim::LayerCalibration& layer) {
  float smallest = std::numeric_limits<float>::infinity(), largest = 0.0F;
  for (const sim::PartCalibration& part : layer.parts)
    for (const tile::TileState& tile : part.state.tiles) {
      smallest = std::min(smallest, tile.input_range);
      largest = std::max(largest, tile.input_range);
    }
  return smallest == largest ? fmt::format("{:.4g}", largest) : fmt::format("{:.4g} to {:.4g}", smallest, largest);
}

bool has_activation_ranges(const sim::LayerCalibration& layer) {
  return std::any_of(layer.parts.begin(), layer.parts.end(), [](const sim::PartCalibration& part) {
    return !part.state.output_quantizer.delta.empty() ||
           std::any_of(part.state.tiles.begin(), part.state.tiles.end(),
                       [](const tile::TileState& tile) { return !tile.output_quantizer.delta.empty(); });
  });
}

/// "[-1.2, 3.4]", by weight slice.
std::string converters_text(const sim::LayerCalibration& layer) {
  std::string text;
  for (const circuit::ConverterSetting& setting : layer.parts.front().state.converters)
    text += fmt::format("{}[{:.3g}, {:.3g}]{}", text.empty() ? "" : " ", setting.range.low, setting.range.high,
                        setting.levels.empty() ? "" : fmt::format(", {} levels", setting.levels.size()));
  return text.empty() ? "none" : text;
}

std::string percent_or_dash(double fraction) {
  return std::isnan(fraction) ? "-" : format_percent(fraction, 3);
}

}  // namespace

std::string calibration_table(const std::vector<nn::LinearLayer>& layers, const sim::NetworkCalibration& calibration) {
  TextTable table;
  table.add_column("layer", TextTable::Align::left);
  table.add_column("found by", TextTable::Align::left);
  for (const char* heading : {"tiles", "input range", "clipped in", "output peak", "saturated out"})
    table.add_column(heading);
  table.add_column("activation range", TextTable::Align::left);
  const bool converters = std::any_of(calibration.begin(), calibration.end(), [](const auto& entry) {
    return !entry.second->parts.front().state.converters.empty();
  });
  if (converters) table.add_column("crossbar converters, by slice", TextTable::Align::left);
  for (const nn::LinearLayer& layer : layers) {
    const auto found = calibration.find(layer.name);
    if (found == calibration.end()) continue;
    const sim::LayerCalibration& known = *found->second;
    std::size_t tiles = 0;
    for (const sim::PartCalibration& part : known.parts) tiles += part.places.size();
    std::vector<std::string> row{layer.name,
                                 known.type ? sim::to_string(*known.type) : "training",
                                 fmt::format("{}", tiles),
                                 range_text(known),
                                 percent_or_dash(known.input_clip_fraction),
                                 std::isnan(known.output_peak) ? "-" : fmt::format("{:.3g}", known.output_peak),
                                 percent_or_dash(known.adc_saturation_fraction),
                                 has_activation_ranges(known) ? "yes" : "none"};
    if (converters) row.push_back(converters_text(known));
    table.add_row(row);
  }
  return table.text();
}

std::string quantizer_table(const sim::QuantizerRanges& ranges) {
  TextTable table;
  for (const char* heading : {"digital quantizer", "of its"}) table.add_column(heading, TextTable::Align::left);
  for (const char* heading : {"bits", "from", "to"}) table.add_column(heading);
  for (const auto& [node, tensors] : ranges)
    for (const auto& [tensor, range] : tensors) {
      quant::UniformQuantizer quantizer(range.law.quantizer);
      quantizer.set_state(range.state);
      const std::vector<float> low = quantizer.x_min(), high = quantizer.x_max();
      table.add_row({node, tensor, fmt::format("{}", range.law.quantizer.n_bits),
                     fmt::format("{:.4g}", *std::ranges::min_element(low)),
                     fmt::format("{:.4g}", *std::ranges::max_element(high))});
    }
  return table.text();
}

std::string calibration_summary(const sim::NetworkCalibration& calibration) {
  std::map<std::string, int> layers;
  for (const auto& [name, layer] : calibration) ++layers[layer->type ? sim::to_string(*layer->type) : "training"];
  std::vector<std::string> parts;
  for (const auto& [type, count] : layers)
    parts.push_back(fmt::format("{} ({} {})", type, count, count == 1 ? "layer" : "layers"));
  return fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace tessera::cli
