#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tessera/circuit/core_tile.hpp"
#include "tessera/kernels/fixed_point.hpp"
#include "tessera/tile/parameters.hpp"

/// From real scales and biases to the integers that a fixed-point periphery stores (docs/models/tile_fixed_point.md).
namespace tessera::tile {

/// i integer and f fraction bits.
struct FixedPointFormat {
  int integer_bits = 0;
  int fraction_bits = 0;
  bool is_signed = true;

  int width() const { return integer_bits + fraction_bits + (is_signed ? 1 : 0); }
  std::string text() const;  ///< "Q(s,7,1)"
};
FixedPointFormat format_of(const ScaleFormat& scale);
FixedPointFormat format_of(const BiasFormat& bias);
FixedPointFormat format_of(const AddFormat& add);

/// Codes of the ADC: a value is a times `step`; |a| <= largest_code, bound management and digits included. Without
/// them the largest code is `adc_code`.
struct AdcCodes {
  double step = 0.0;
  std::int64_t largest_code = 0;
  std::int64_t adc_code = 0;
};
/// Of a legal configuration (validate()); `average` is the stored scale of AVERAGE_ABS_MAX.
AdcCodes adc_codes(const IOParameters& io, double average);
/// The same for codes that are not of `forward`'s ADC, but of converters inside the tile.
AdcCodes adc_codes(const IOParameters& io, double average, const circuit::OutputGrid& grid);
/// Width of the accumulator that holds one product of a code up to `largest`, 0 where none does (binary16).
int accumulator_bits_needed(const FixedPointParameter& parameters, std::int64_t largest);

/// u, the step of an output code for a range: range / (2^(bits-1) - 1) signed, range / (2^bits - 1) unsigned; bits = 0
/// counts as 8. Rounded up to a power of two if asked. The float32 nearest to it.
float output_step(const OutputFormat& output, bool is_signed, double range);
/// F, the fraction bits of the accumulator.
int accumulator_fraction_bits(const FixedPointParameter& parameters);
kernels::FixedPointDatapath datapath_of(const FixedPointParameter& parameters, bool relu, bool output_signed);

/// The stored multipliers of one tile.
struct StoredScale {
  std::vector<std::int64_t> code;      ///< M, or without recompute_on_drift M times the code of alpha
  std::vector<std::int64_t> mantissa;  ///< M alone
  std::vector<std::int32_t> exponent;  ///< e per output; 0 without an exponent
  std::vector<std::int32_t> shift;     ///< fraction bits of a product behind the cut, minus the accumulator's
  std::vector<double> value;           ///< what M stands for (with alpha), in output codes per ADC code
  std::int64_t saturated = 0;          ///< multipliers that did not fit
};
/// `m`: output codes per ADC code, without alpha if that is a multiplier of its own. ConfigError for a negative
/// multiplier in an unsigned format.
StoredScale store_scale(const FixedPointParameter& parameters, std::span<const double> m, std::span<const float> alpha);

struct StoredBias {
  std::vector<std::int64_t> code;
  std::vector<std::int64_t> aligned;  ///< in the accumulator's unit; bits that fall off are rounded as a product's
  std::vector<double> value;          ///< in output codes
  std::int64_t saturated = 0;
};
/// `bias` in output codes. ConfigError for a negative bias in an unsigned format.
StoredBias store_bias(const FixedPointParameter& parameters, std::span<const double> bias);

/// Names of the shipped formats: nmpu_ferro2024, int8_int32, fp16.
const std::vector<std::string>& fixed_point_presets();
/// ConfigError for a name that is none.
FixedPointParameter fixed_point_preset(const std::string& name);

}  // namespace tessera::tile
