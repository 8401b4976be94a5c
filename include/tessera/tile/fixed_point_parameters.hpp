#pragma once
#include <optional>

#include "tessera/kernels/fixed_point.hpp"

/// Parameters of the fixed-point periphery: digital logic behind the ADC in integers, every width given
/// (docs/models/tile_fixed_point.md). A format of i integer and f fraction bits, sign not counted, has codes c for the
/// values c 2^-f: 0 <= c < 2^(i+f), with a sign -2^(i+f) <= c < 2^(i+f); i or f may be negative.
namespace tessera::tile {

using kernels::FixedPointOverflow;
using kernels::FixedPointRounding;

/// Whether multipliers share a power of two: for each group the largest e for which none of them saturates.
enum class ScaleExponent { none, per_tile, per_column };
/// A bias is added once per output, behind all tiles, or in K equal parts, one per tile.
enum class BiasPlace { array, tile };
enum class Signedness { automatic, is_signed, is_unsigned };
/// Where the range of an output that no number gives is from: the largest magnitudes in data, or the range of the
/// quantizer that act_quant_config describes, learned, stored, or estimated as it says.
enum class OutputRangeSource { data, act_quant_config };
/// What multiplies and adds: integers of the formats below, or binary16 numbers, rounded after every operation.
enum class PeripheryArithmetic { fixed_point, binary16 };

/// The multiplier M of an output: output codes per ADC code.
struct ScaleFormat {
  int integer_bits = 1;
  int fraction_bits = 7;
  bool is_signed = false;
  ScaleExponent exponent = ScaleExponent::none;  ///< M = round(m 2^(fraction_bits + e))
  int exponent_bits = 5;                         ///< of e, with its sign
  bool exact = false;                            ///< real numbers instead, to tell the costs apart
  /// More saturated multipliers than this fraction of a layer's are warned of.
  double saturation_warning = 0.01;

  bool operator==(const ScaleFormat&) const = default;
};

/// The bias of an output, in output codes.
struct BiasFormat {
  int integer_bits = 7;
  int fraction_bits = 1;
  bool is_signed = true;
  BiasPlace at = BiasPlace::array;
  bool exact = false;

  bool operator==(const BiasFormat&) const = default;
};

/// What is dropped of a product before it is added.
struct ProductFormat {
  int cut = 0;                                                 ///< bits
  FixedPointRounding rounding = FixedPointRounding::truncate;  ///< of the cut, and of aligning to the accumulator
  bool exact = false;

  bool operator==(const ProductFormat&) const = default;
};

struct AccumulatorFormat {
  int bits = 24;  ///< with the sign
  FixedPointOverflow overflow = FixedPointOverflow::saturate;
  std::optional<int> fraction_bits = {};  ///< none: the larger of scale.fraction_bits - cut and bias.fraction_bits
  bool exact = false;

  bool operator==(const AccumulatorFormat&) const = default;
};

/// The output code o, whose step u is the unit of everything above.
struct OutputFormat {
  int bits = 8;  ///< 0: the accumulator is read as it is (u is that of 8 bits)
  FixedPointRounding rounding = FixedPointRounding::half_up;
  FixedPointOverflow overflow = FixedPointOverflow::saturate;
  Signedness is_signed = Signedness::automatic;  ///< automatic: unsigned behind a fused ReLU
  std::optional<double> range = {};              ///< largest magnitude; none: from data, calibrated
  OutputRangeSource init_from = OutputRangeSource::data;
  double quantile = 1.0;      ///< of a batch's magnitudes but zeros that the range is; 1: the largest
  bool power_of_two = false;  ///< u rounded up to a power of two
  bool fuse_relu = true;      ///< a ReLU that alone takes the output is part of it
  bool exact = false;

  bool operator==(const OutputFormat&) const = default;
};

/// Of the second multiplier, with recompute_on_drift: false.
struct AlphaFormat {
  int integer_bits = 2;
  int fraction_bits = 6;

  bool operator==(const AlphaFormat&) const = default;
};

/// An Add that brings codes of two steps to the step of the DAC behind it: o = fit(round((a M_a + b M_b) 2^-fraction_bits)),
/// M = fit(round_nearest_even(u / u' 2^fraction_bits)) unsigned, fit to the codes of that DAC.
struct AddFormat {
  int integer_bits = 1;
  int fraction_bits = 7;
  FixedPointRounding rounding = FixedPointRounding::half_up;

  bool operator==(const AddFormat&) const = default;
};

struct FixedPointParameter {
  PeripheryArithmetic arithmetic = PeripheryArithmetic::fixed_point;
  ScaleFormat scale;
  BiasFormat bias;
  ProductFormat product;
  AccumulatorFormat accumulator;
  OutputFormat output;
  bool recompute_on_drift = true;  ///< drift compensation changes M; false: it is a multiplier of its own, `alpha`
  AlphaFormat alpha;
  AddFormat add;      ///< of an Add in front of the layer
  bool chain = true;  ///< input ranges follow the step of the layers in front, so that codes pass unconverted
  bool fold_batch_normalization = true;

  bool operator==(const FixedPointParameter&) const = default;
};

}  // namespace tessera::tile
