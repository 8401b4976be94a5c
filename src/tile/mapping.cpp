#include "tessera/tile/mapping.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::tile {

std::vector<std::int64_t> split_sizes(std::int64_t n, std::int64_t maximum) {
  if (maximum <= 0 || n <= maximum) return {n};
  const std::int64_t parts = (n + maximum - 1) / maximum;
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(parts), n / parts);
  for (std::int64_t p = 0; p < n % parts; ++p) ++sizes[static_cast<std::size_t>(p)];
  return sizes;
}

std::vector<TilePlace> place_tiles(std::int64_t outputs, std::int64_t inputs, const MappingParameter& mapping) {
  std::vector<TilePlace> places;
  TilePlace place;
  for (const std::int64_t input_part : split_sizes(inputs, mapping.max_input_size)) {
    place.inputs = input_part;
    place.first_output = 0;
    for (const std::int64_t output_part : split_sizes(outputs, mapping.max_output_size)) {
      place.outputs = output_part;
      places.push_back(place);
      place.first_output += output_part;
    }
    place.first_input += input_part;
  }
  return places;
}

std::vector<float> mapping_scales(ConstMatrixView weight, const MappingParameter& mapping) {
  if (mapping.weight_scaling_omega <= 0.0) return {};
  const auto omega = static_cast<float>(mapping.weight_scaling_omega);
  const auto scale_of = [&](float largest) { return largest / omega; };
  std::vector<float> row_max(static_cast<std::size_t>(weight.rows), 0.0F);
  for (std::int64_t i = 0; i < weight.rows; ++i)
    for (std::int64_t k = 0; k < weight.cols; ++k) {
      float& largest = row_max[static_cast<std::size_t>(i)];
      largest = std::max(largest, std::fabs(weight(i, k)));
    }
  if (!mapping.weight_scaling_columnwise) {
    const auto largest = std::max_element(row_max.begin(), row_max.end());
    return {scale_of(largest == row_max.end() ? 0.0F : *largest)};
  }
  std::transform(row_max.begin(), row_max.end(), row_max.begin(), scale_of);
  return row_max;
}

std::vector<bool> live_outputs(ConstMatrixView weight) {
  std::vector<bool> live(static_cast<std::size_t>(weight.rows));
  for (std::int64_t i = 0; i < weight.rows; ++i) {
    const std::span<const float> row = weight.row_span(i);
    live[static_cast<std::size_t>(i)] = std::any_of(row.begin(), row.end(), [](float w) { return w != 0.0F; });
  }
  return live;
}

void rescale_dead_outputs(ConstMatrixView weight, std::vector<float>& scales) {
  const std::vector<bool> live = live_outputs(weight);
  float smallest = 0.0F;
  for (std::size_t i = 0; i < live.size(); ++i)
    if (live[i] && (smallest <= 0.0F || scales[i] < smallest)) smallest = scales[i];
  if (smallest <= 0.0F) return;
  for (std::size_t i = 0; i < live.size(); ++i)
    if (!live[i]) scales[i] = smallest;
}

void fill_open_scales(std::span<std::vector<float>> scales, const MappingParameter& mapping) {
  const auto smallest = [](const std::vector<float>& values, float so_far) {
    for (const float v : values)
      if (v > 0.0F && (so_far <= 0.0F || v < so_far)) so_far = v;
    return so_far;
  };
  float of_layer = 0.0F;
  if (!mapping.unit_scale_of_dead_outputs)
    for (const std::vector<float>& tile : scales) of_layer = smallest(tile, of_layer);
  if (of_layer <= 0.0F) of_layer = 1.0F;
  for (std::vector<float>& tile : scales) {
    const float of_tile = mapping.unit_scale_of_dead_outputs ? 0.0F : smallest(tile, 0.0F);
    std::replace_if(
        tile.begin(), tile.end(), [](float v) { return v <= 0.0F; }, of_tile > 0.0F ? of_tile : of_layer);
  }
}

}  // namespace tessera::tile
