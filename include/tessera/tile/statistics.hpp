#pragma once
#include <cstdint>
#include <vector>

#include "tessera/circuit/converters.hpp"
#include "tessera/kernels/code_sums.hpp"
#include "tessera/kernels/fixed_point.hpp"

/// What happened inside a layer during forward passes. Integer counts and maxima only, so that adding up pieces in any
/// order or any split of the data gives the same numbers.
namespace tessera::tile {

struct LayerStatistics {
  bool activity = false;             ///< whether dac_code_sum and dac_bit_sum are counted; before the first pass
  bool only_activity = false;        ///< nothing else is but conversions, products and rounds; likewise
  std::int64_t vectors = 0;          ///< vectors seen by the layer
  std::int64_t inputs = 0;           ///< values seen by the input ranges of all tiles (0 if input ranges are off)
  std::int64_t inputs_clipped = 0;   ///< of these, outside [-r, r]
  std::int64_t dac_conversions = 0;  ///< values converted by the DACs of all tiles, bound-management rounds included
  std::int64_t dac_clipped = 0;      ///< of these, outside the DAC's range after scaling
  std::int64_t adc_conversions =
      0;  ///< values converted by the ADCs of all tiles and passes, in the rounds that gave the results
  std::int64_t adc_saturated = 0;            ///< of these, beyond out_bound
  std::int64_t tile_vectors = 0;             ///< vectors times tiles: analog products, without repetitions
  std::int64_t bound_management_rounds = 0;  ///< analog products in all; minus tile_vectors = repetitions
  std::int64_t bound_management_failed = 0;  ///< vector-tile pairs still saturated when the rounds were used up
  std::int64_t dac_code_sum = 0;             ///< sum of |n| over the DAC codes n, in all tiles and rounds
  std::int64_t dac_bit_sum = 0;              ///< sum of the ones in |n|
  /// Of crossbars, by weight slice: what their converters met, or would meet where there are none.
  std::vector<circuit::ConversionCounts> converters = {};
  std::int64_t line_clipped = 0;         ///< currents of crossbar lines beyond Icol_max
  std::int64_t fixed_point_outputs = 0;  ///< values that left the fixed-point periphery
  kernels::FixedPointCounts fixed_point = {};
  std::int64_t code_sums = 0;            ///< values that an Add of codes in front of the layer gave it
  std::int64_t code_sums_saturated = 0;  ///< of these, beyond the codes of its DAC
  float dac_peak = 0.0F;                 ///< largest |DAC output| before noise, in DAC units (full scale = inp_bound)
  float adc_peak = 0.0F;                 ///< largest |ADC output|, in ADC units (full scale = out_bound)

  /// Whether clipped, saturated and largest values are counted.
  bool counts_values() const { return !only_activity; }
  /// Nothing counted yet, counting the same.
  LayerStatistics blank() const;
  void add(const kernels::CodeSums& sums);
  LayerStatistics& operator+=(const LayerStatistics& other);
  bool operator==(const LayerStatistics&) const = default;

  /// Each 0 where nothing was counted.
  double input_clip_fraction() const;
  double dac_clip_fraction() const;
  double adc_saturation_fraction() const;
  double sum_overflow_fraction() const;     ///< additions of the fixed-point periphery that overflowed, per output
  double output_overflow_fraction() const;  ///< outputs beyond their code
  double code_sum_saturation_fraction() const;
  double mean_bound_management_rounds() const;            ///< 1 = no vector was repeated
  double mean_dac_code(std::int64_t largest_code) const;  ///< mean |n| over the largest code
  double mean_dac_bits(int planes) const;                 ///< mean fraction of ones in the planes of |n|
};

/// Bits of a converter that are in use when its largest output is `peak`: log2(2 peak / step + 1); 0 for step <= 0.
double effective_bits(double peak, double step);

}  // namespace tessera::tile
