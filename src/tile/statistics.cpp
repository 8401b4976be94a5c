#include "tessera/tile/statistics.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::tile {
namespace {

double fraction(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0.0;
}

}  // namespace

LayerStatistics LayerStatistics::blank() const {
  LayerStatistics counts;
  counts.activity = activity;
  counts.only_activity = only_activity;
  for (const circuit::ConversionCounts& slice : converters) counts.converters.push_back(slice.blank());
  return counts;
}

void LayerStatistics::add(const kernels::CodeSums& sums) {
  dac_code_sum += sums.codes;
  dac_bit_sum += sums.ones;
}

LayerStatistics& LayerStatistics::operator+=(const LayerStatistics& other) {
  vectors += other.vectors;
  inputs += other.inputs;
  inputs_clipped += other.inputs_clipped;
  dac_conversions += other.dac_conversions;
  dac_clipped += other.dac_clipped;
  adc_conversions += other.adc_conversions;
  adc_saturated += other.adc_saturated;
  tile_vectors += other.tile_vectors;
  bound_management_rounds += other.bound_management_rounds;
  bound_management_failed += other.bound_management_failed;
  activity = activity || other.activity;
  dac_code_sum += other.dac_code_sum;
  dac_bit_sum += other.dac_bit_sum;
  fixed_point_outputs += other.fixed_point_outputs;
  fixed_point += other.fixed_point;
  code_sums += other.code_sums;
  code_sums_saturated += other.code_sums_saturated;
  dac_peak = std::max(dac_peak, other.dac_peak);
  adc_peak = std::max(adc_peak, other.adc_peak);
  line_clipped += other.line_clipped;
  if (converters.size() < other.converters.size()) converters.resize(other.converters.size());
  for (std::size_t s = 0; s < other.converters.size(); ++s) converters[s].add(other.converters[s]);
  return *this;
}

double LayerStatistics::input_clip_fraction() const {
  return fraction(inputs_clipped, inputs);
}
double LayerStatistics::dac_clip_fraction() const {
  return fraction(dac_clipped, dac_conversions);
}
double LayerStatistics::adc_saturation_fraction() const {
  return fraction(adc_saturated, adc_conversions);
}
double LayerStatistics::sum_overflow_fraction() const {
  return fraction(fixed_point.sums_overflowed, fixed_point_outputs);
}
double LayerStatistics::output_overflow_fraction() const {
  return fraction(fixed_point.outputs_overflowed, fixed_point_outputs);
}
double LayerStatistics::code_sum_saturation_fraction() const {
  return fraction(code_sums_saturated, code_sums);
}
double LayerStatistics::mean_bound_management_rounds() const {
  return fraction(bound_management_rounds, tile_vectors);
}
double LayerStatistics::mean_dac_code(std::int64_t largest_code) const {
  return fraction(dac_code_sum, dac_conversions * largest_code);
}
double LayerStatistics::mean_dac_bits(int planes) const {
  return fraction(dac_bit_sum, dac_conversions * planes);
}

double effective_bits(double peak, double step) {
  return step > 0.0 ? std::log2(2.0 * peak / step + 1.0) : 0.0;
}

}  // namespace tessera::tile
