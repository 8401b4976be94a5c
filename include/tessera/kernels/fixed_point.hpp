#pragma once
#include <cstdint>
#include <span>

#include "tessera/core/tensor.hpp"

/// The integer datapath behind an ADC: codes times stored multipliers, summed over tiles in an accumulator of finite
/// width, cut to the code of the next layer's input (docs/models/tile_fixed_point.md). All instruction sets give the
/// integers of the scalar text below.
namespace tessera::kernels {

/// What becomes of the bits that are dropped. With x in units of what is kept:
///     nearest_even  to the nearest, ties to even         truncate     floor(x): the bits are simply dropped
///     half_up       floor(x + 1/2), an adder's rounding  toward_zero  sign(x) floor(|x|)
///     half_away     sign(x) floor(|x| + 1/2)             stochastic   floor(x + u), u uniform on [0, 1)
enum class FixedPointRounding { nearest_even, half_up, half_away, truncate, toward_zero, stochastic };
/// What becomes of values beyond a width: the nearest code, or the low bits (two's complement).
enum class FixedPointOverflow { saturate, wrap };

/// Wide enough for every product, shifted as far as any format asks.
__extension__ using WideInteger = __int128;

/// Smallest and largest code of a width of 1 to 63 bits; the width of signed codes counts the sign.
struct CodeRange {
  std::int64_t low = 0;
  std::int64_t high = 0;
};
constexpr CodeRange code_range(int bits, bool is_signed) {
  const std::int64_t values = std::int64_t{1} << (is_signed ? bits - 1 : bits);
  return {is_signed ? -values : 0, values - 1};
}

/// x 2^-shift, rounded; a negative shift is exact. `word` decides for stochastic: u = word 2^-32. |shift| <= 100 and
/// |x| 2^max(0, -shift) < 2^126.
WideInteger round_shift(WideInteger x, int shift, FixedPointRounding rounding, std::uint32_t word = 0);
/// x as a code of that width.
std::int64_t fit(WideInteger x, int bits, bool is_signed, FixedPointOverflow overflow);

/// What the accumulator and the output of a layer are built like.
struct FixedPointDatapath {
  int cut = 0;  ///< bits of a product dropped before it is aligned; 0 to 62
  FixedPointRounding product_rounding = FixedPointRounding::truncate;  ///< of the cut, and of aligning to the right
  int accumulator_bits = 24;                                           ///< signed; 2 to 62
  FixedPointOverflow accumulator_overflow = FixedPointOverflow::saturate;
  int fraction_bits = 7;  ///< of the accumulator; may be negative
  bool relu = false;
  int output_bits = 8;  ///< 0: the accumulator is read as it is
  bool output_signed = true;
  FixedPointRounding output_rounding = FixedPointRounding::half_up;
  FixedPointOverflow output_overflow = FixedPointOverflow::saturate;

  bool operator==(const FixedPointDatapath&) const = default;
};

/// Random words of one output, for stochastic rounding.
struct FixedPointWords {
  std::uint32_t cut = 0;
  std::uint32_t align = 0;
  std::uint32_t output = 0;
};

/// What one tile adds to an output.
struct FixedPointTerm {
  std::int64_t code = 0;        ///< a, of the ADC
  std::int64_t multiplier = 0;  ///< M
  int shift = 0;                ///< fraction bits of a M behind the cut, minus those of the accumulator
  std::int64_t bias = 0;        ///< of the tile, in the accumulator's unit; added behind the product
};

/// Largest magnitudes of the stages, and how often they did not fit.
struct FixedPointCounts {
  std::int64_t sums_overflowed = 0;     ///< additions whose result did not fit the accumulator
  std::int64_t outputs_overflowed = 0;  ///< outputs that did not fit their code
  std::int64_t product_peak = 0;        ///< |a M|
  std::int64_t sum_peak = 0;            ///< |s| behind the accumulator's fit, in its unit
  std::int64_t output_peak = 0;         ///< |o|; of the accumulator's value without an output code

  FixedPointCounts& operator+=(const FixedPointCounts& other);
  bool operator==(const FixedPointCounts&) const = default;
};

namespace reference {

/// One output, in the order of the hardware: for every tile q = round(a M >> cut), aligned, s = fit(s + q), then the
/// tile's bias; last the layer's: s = fit(s + bias); r = max(s, 0) with relu; o = fit(round(r 2^-F)). The result is o,
/// or r without an output code.
std::int64_t fixed_point_output(const FixedPointDatapath& datapath, std::span<const FixedPointTerm> terms,
                                std::int64_t bias, std::span<const FixedPointWords> words = {},
                                FixedPointCounts* counts = nullptr);

}  // namespace reference

/// Which numbers hold everything that can occur: integers, or doubles, in which integers below 2^52 are exact. The
/// results do not depend on it.
enum class FixedPointLanes { int32, real64, int64, scalar };

/// The numbers of a tile's columns in vectors of whichever lanes; made once.
struct FixedPointColumns {
  std::int64_t columns = 0;
  bool same_shift = true;  ///< for all columns
  bool has_bias = false;   ///< of the tile
  struct Column {          ///< by lane type; padded with zeros to whole vectors
    AlignedVector<std::int32_t> narrow;
    AlignedVector<std::int64_t> wide;
    AlignedVector<double> real;
  };
  Column multiplier, right, left, base, negative, even, bias;
  Column factor;  ///< 2^(left - right), real only
};

/// The layer's bias per column, in the accumulator's unit (empty: none), padded.
FixedPointColumns::Column pack_fixed_point_bias(std::span<const std::int64_t> bias);
/// `bias` is the tile's: empty: none. InputError if sizes differ.
FixedPointColumns pack_fixed_point(const FixedPointDatapath& datapath, std::span<const std::int64_t> multiplier,
                                   std::span<const std::int32_t> shift, std::span<const std::int64_t> bias);
/// The narrowest lanes that a tile with codes up to `largest_code` needs; `bias`: largest magnitude of the layer's.
FixedPointLanes lanes_of(const FixedPointDatapath& datapath, const FixedPointColumns& columns,
                         std::int64_t largest_code, std::int64_t bias);

/// A tile's part of a block of vectors: y = o u for the last tile of an output, the accumulator's state for others.
struct FixedPointBlock {
  const FixedPointDatapath* datapath = nullptr;
  const FixedPointColumns* columns = nullptr;
  FixedPointLanes lanes = FixedPointLanes::scalar;
  ConstMatrixView v;            ///< the ADC's values; a = rint(fl(v codes_per_unit)), clamped to the largest code
  float codes_per_unit = 1.0F;  ///< 1 / step
  std::int32_t largest_code = 127;
  bool first = true;                                ///< tile of the output
  bool last = true;                                 ///< tile of the output: bias, relu and output code follow
  const FixedPointColumns::Column* bias = nullptr;  ///< of the layer; null: none
  MatrixView y;                                     ///< last: receives the outputs; may be the memory of v
  float output_step = 1.0F;                         ///< u
  std::int32_t* narrow_sums = nullptr;              ///< rows x padded columns; int32 lanes, several tiles
  double* real_sums = nullptr;                      ///< likewise, real64
  std::int64_t* wide_sums = nullptr;                ///< likewise, other lanes
  std::span<const FixedPointWords> words = {};      ///< rows x columns; stochastic rounding (scalar lanes) only
  FixedPointCounts* counts = nullptr;               ///< added to, if given
};
void run_fixed_point(const FixedPointBlock& block);

/// Columns of the accumulator's state: whole vectors.
constexpr std::int64_t padded_columns(std::int64_t columns) {
  return (columns + 15) / 16 * 16;
}

}  // namespace tessera::kernels
