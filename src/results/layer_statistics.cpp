#include "tessera/results/layer_statistics.hpp"

#include <algorithm>

namespace tessera::results {
namespace {

using Point = const LayerPoint&;
using P = Presence;
using F = StatisticFormat;

constexpr LayerStatistic layer_rows[] = {
    {"sqnr_db", "dB", "signal to error power of the output against float32", P::statistics,
     [](Point p) { return p.cumulative.sqnr_db; }, "SQNR (dB)", F::decibel},
    {"mse", "1", "mean squared error of the output against float32", P::statistics,
     [](Point p) { return p.cumulative.mse; }},
    {"cosine", "1", "cosine similarity of the output to float32", P::statistics,
     [](Point p) { return p.cumulative.cosine; }, "cosine", F::number},
    {"sqnr_db_isolated", "dB", "signal to error power with float32 inputs to this layer", P::analog_statistics,
     [](Point p) { return p.isolated.sqnr_db; }, "SQNR alone (dB)", F::decibel},
    {"mse_isolated", "1", "mean squared error with float32 inputs to this layer", P::analog_statistics,
     [](Point p) { return p.isolated.mse; }},
    {"cosine_isolated", "1", "cosine similarity with float32 inputs to this layer", P::analog_statistics,
     [](Point p) { return p.isolated.cosine; }},
    {"input_clip_fraction", "1", "fraction of inputs outside the input range", P::analog_counts,
     [](Point p) { return p.input_clip_fraction; }, "inputs clipped", F::fraction},
    {"dac_clip_fraction", "1", "fraction of scaled inputs outside the DAC's range", P::analog_counts,
     [](Point p) { return p.dac_clip_fraction; }, "DAC clipped", F::fraction},
    {"adc_saturation_fraction", "1", "fraction of analog outputs beyond the ADC's bound", P::analog_counts,
     [](Point p) { return p.adc_saturation_fraction; }, "ADC saturated", F::fraction},
    {"bound_management_rounds", "1", "mean number of products per vector and tile", P::analog_counts,
     [](Point p) { return p.bound_management_rounds; }, "rounds", F::number},
    {"bound_management_failed_fraction", "1", "fraction of products still saturated at the end", P::analog_counts,
     [](Point p) { return p.bound_management_failed_fraction; }, "rounds failed", F::fraction},
    {"dac_effective_bits", "bit", "bits of the DAC that the largest input uses", P::analog_counts,
     [](Point p) { return p.dac_effective_bits; }, "DAC bits used", F::number},
    {"adc_effective_bits", "bit", "bits of the ADC that the largest output uses", P::analog_counts,
     [](Point p) { return p.adc_effective_bits; }, "ADC bits used", F::number},
    {"sum_overflow_fraction", "1", "overflows of the accumulator per output", P::fixed_point_counts,
     [](Point p) { return p.sum_overflow_fraction; }, "sums overflowed", F::fraction},
    {"output_overflow_fraction", "1", "fraction of outputs beyond their code", P::fixed_point_counts,
     [](Point p) { return p.output_overflow_fraction; }, "outputs overflowed", F::fraction},
    {"add_saturation_fraction", "1",
     "fraction of the values of an Add of codes in front of the layer beyond the codes of its DAC",
     P::fixed_point_counts, [](Point p) { return p.add_saturation_fraction; }, "sums in front saturated", F::fraction},
    {"product_effective_bits", "bit", "bits that the largest product uses", P::fixed_point_counts,
     [](Point p) { return p.product_effective_bits; }, "product bits used", F::number},
    {"sum_effective_bits", "bit", "bits of the accumulator that the largest sum uses", P::fixed_point_counts,
     [](Point p) { return p.sum_effective_bits; }, "sum bits used", F::number},
    {"output_effective_bits", "bit", "bits of the output code that the largest output uses", P::fixed_point_counts,
     [](Point p) { return p.output_effective_bits; }, "output bits used", F::number},
};

constexpr SliceStatistic slice_rows[] = {
    {"slice_saturation_fraction", "1", "fraction of the conversions of a weight slice beyond the converters' range",
     &SliceCounts::saturation_fraction},
    {"slice_codes_used", "1", "converter codes that occurred over all codes", &SliceCounts::codes_used},
    {"slice_current_lowest", "1", "lowest current in front of the converters, in currents of a fully-on cell",
     &SliceCounts::current_lowest},
    {"slice_current_highest", "1", "highest current in front of the converters, in currents of a fully-on cell",
     &SliceCounts::current_highest},
};

}  // namespace

std::span<const LayerStatistic> layer_statistics() {
  return layer_rows;
}

const LayerStatistic& layer_statistic(std::string_view name) {
  const auto* const row = std::find_if(std::begin(layer_rows), std::end(layer_rows),
                                       [&](const LayerStatistic& r) { return r.name == name; });
  require<InputError>(row != std::end(layer_rows), "there is no statistic '{}' of layers", name);
  return *row;
}

std::span<const SliceStatistic> slice_statistics() {
  return slice_rows;
}

}  // namespace tessera::results
