#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "tessera/core/tensor.hpp"
#include "tessera/random/stream.hpp"

/// Number formats with few bits, simulated in float32 (quantization reference, section F).
///
/// FixedPoint, BlockFloatingPoint and FloatingPoint are QPyTorch's, but that they round once: its CPU path adds a shift
/// in float32 first, which is a rounding of its own. `double_rounding` gives its bits. HardwareFloat and
/// IntegerNumber are the formats that processors have, with their own rounding, overflow and NaN rules; named_number()
/// knows them by name.
///
/// Every function is elementwise (but for the maximum of a block), may work in place, accepts empty input (blocks of
/// the whole tensor excepted, as documented there), and gives the same bits on every instruction set.
namespace tessera::quant {

enum class Rounding { nearest, stochastic };
const char* to_string(Rounding rounding);

/// wl bits of which fl are fractional: multiples of 2^-fl between -2^(wl-fl-1) and 2^(wl-fl-1) - 2^-fl (F.2).
/// With a = x 2^fl and u uniform on [0, 1):
///     nearest:  y = rne(a) 2^-fl        stochastic:  y = (floor(a) + 1[u >= 1 - (a - floor(a))]) 2^-fl
/// ties to even, P(up) = fraction of a, numbers of the format stay. Then the clamp; NaN stays NaN.
/// double_rounding: y = rne((a + r) - 0.5) 2^-fl, r = 0.5 or u and a + r rounded to float32: the one float above a =
/// 0.5 rounds to 0, odd integers 2^23 < |a| < 2^24 move up by one, and stochastically odd numbers may go down by one.
struct FixedPoint {
  int wl = 8;              ///< word length, 1..32
  int fl = 4;              ///< fractional bits, -64..64; 0 or less: integers or coarser
  bool clamp = true;       ///< limit to the representable range; else only the precision is simulated
  bool symmetric = false;  ///< leave out the most negative number
  bool double_rounding = false;

  bool operator==(const FixedPoint&) const = default;
};

/// wl-bit mantissas under one exponent per block (F.3). With 2^E the largest magnitude of the block, mantissa cleared:
/// multiples of 2^(E+2-wl) within +-(2^(E+1) - 2^(E+2-wl)); nearest rounds half up, stochastic has P(up) = fraction.
/// wl = 1: {-2^E, 0, 2^E}. A block that holds a NaN or an infinity becomes NaN. Zeros give +0.
/// double_rounding: values are rounded to 2^(E-21) first, so that some just below half a step go up. Stochastic
/// rounding always does: what is below 2^(E-22) never goes up.
struct BlockFloatingPoint {
  int wl = 8;    ///< 1..22
  int dim = -1;  ///< -1: the whole tensor is one block; d >= 0: one block per index of dimension d
  bool double_rounding = false;

  bool operator==(const BlockFloatingPoint&) const = default;
};

/// What a format without NaN codes does with a NaN.
enum class NanRule {
  propagate,  ///< stays NaN, so that it is noticed
  as_bits     ///< QPyTorch: its bit pattern is rounded as if it were a number (for exp < 8 it becomes +-the maximum)
};

/// Sign, exp exponent bits, man mantissa bits, all codes finite (F.4): exponents -(2^(exp-1) - 2) .. 2^(exp-1), beyond
/// which values saturate (infinities too while exp < 8; for exp = 8 values may round up to infinity), subnormals of
/// quantum 2^(e_min - man). Nearest rounds half away from zero; stochastic has P(away from zero) = dropped fraction
/// (subnormal fractions to 2^-23 of the smallest normal number). Subnormal results of zero are +0. man = 23 keeps the
/// mantissa. QPyTorch rounds subnormals twice, to float32 beside the smallest normal number and from there: values just
/// below half a quantum may go up, and for man = 22 and 23 ties need not go away from zero. `double_rounding` does so.
struct FloatingPoint {
  int exp = 5;   ///< 1..9 (9: no limits within float32)
  int man = 10;  ///< 0..23
  NanRule nan = NanRule::propagate;
  bool double_rounding = false;  ///< of subnormals to nearest, as QPyTorch (docs/models/peer_defects.md)

  bool operator==(const FloatingPoint&) const = default;
};

/// What the largest codes of a hardware format stand for.
enum class SpecialCodes {
  ieee,              ///< top exponent: infinity and NaNs (fp16, bfloat16, fp8_e5m2)
  nan_only,          ///< only the all-ones code is NaN, no infinity (OCP fp8_e4m3)
  none,              ///< every code is a number (OCP fp6, fp4)
  negative_zero_nan  ///< the code of -0 is the NaN, no infinity, no -0 (fnuz formats)
};

/// A format as processors implement it. Nearest rounds ties to even; stochastic has P(away) = dropped fraction
/// (subnormal fractions to 2^-23 of the smallest normal number). Gradual underflow; the sign of zero is kept (fnuz:
/// +0). Beyond the largest number (after rounding, or for infinite input):
///     saturate or SpecialCodes::none: +-largest;   ieee: +-infinity;   else NaN.
/// NaN stays NaN.
struct HardwareFloat {
  int exp = 5;                              ///< exponent bits, 2..8
  int man = 10;                             ///< mantissa bits, 1..23
  int bias = 15;                            ///< exponent e is stored as e + bias, smallest normal exponent 1 - bias
  SpecialCodes codes = SpecialCodes::ieee;  ///< of the largest codes
  bool saturate = false;                    ///< overflow gives the largest number

  /// The largest finite and the smallest positive number.
  double largest() const;
  double smallest() const;
  bool operator==(const HardwareFloat&) const = default;
};

/// Integers: nearest (ties to even) or stochastic, saturating at [-2^(bits-1), 2^(bits-1) - 1] or [0, 2^bits - 1].
/// NaN, which integers cannot hold and processors turn into anything, stays NaN; zeros give +0.
struct IntegerNumber {
  int bits = 8;  ///< 1..24 (signed: 2..24)
  bool is_signed = true;

  bool operator==(const IntegerNumber&) const = default;
};

/// A format, or none (monostate): float32 is left as it is.
using Number =
    std::variant<std::monostate, FixedPoint, BlockFloatingPoint, FloatingPoint, HardwareFloat, IntegerNumber>;

/// Throws ConfigError naming every value out of range.
void validate(const Number& number, const std::string& key = "format");
/// "fixed(wl=8, fl=4)" and so on; "float32" for none.
std::string to_string(const Number& number);

/// The formats known by name:
///   fp32 (none), tf32, bfloat16, fp16, fp8_e5m2, fp8_e4m3 (overflow gives infinity resp. NaN; "_sat" saturates),
///   fp8_e5m2fnuz, fp8_e4m3fnuz, fp6_e3m2, fp6_e2m3, fp4_e2m1, int2, int3, int4, int8, int16, uint1, uint2, uint4,
///   uint8, uint16.
const std::vector<std::string>& number_names();
/// ConfigError with the nearest name when there is no such format.
Number named_number(const std::string& name, const std::string& key = "format");

/// Where stochastic rounding takes its random words from: word i of element first + i.
struct RandomDraws {
  random::Stream stream;
  std::uint32_t event = 0;
  std::uint64_t first = 0;
};

/// Rounds to nearest. `shape` matters for block formats with dim >= 0 only. InputError: a block dimension the tensor
/// lacks, an empty tensor as one block, a count that does not fill the shape.
void quantize_nearest(const Number& number, const Shape& shape, std::span<const float> x, std::span<float> y);
Tensor quantize_nearest(const Number& number, const Tensor& x);

/// Rounds stochastically. Element i takes the word of address draws.first + i, of which it uses the top bits: 24 as a
/// uniform number (fixed point, integers), the number of dropped bits otherwise.
void quantize_stochastic(const Number& number, const Shape& shape, std::span<const float> x, std::span<float> y,
                         const RandomDraws& draws);
Tensor quantize_stochastic(const Number& number, const Tensor& x, const RandomDraws& draws);
/// The same with the words given.
void quantize_with_words(const Number& number, const Shape& shape, std::span<const float> x,
                         std::span<const std::uint32_t> words, std::span<float> y);

/// Either, as asked.
void quantize(const Number& number, Rounding rounding, const Shape& shape, std::span<const float> x, std::span<float> y,
              const RandomDraws& draws);

/// One step of an accumulator that holds a low-precision number: sum = quantize(sum + x), the sum in float32.
void accumulate(const Number& number, Rounding rounding, const Shape& shape, std::span<const float> x,
                std::span<float> sum, const RandomDraws& draws);

/// Nearest fixed point as QPyTorch's CUDA kernel rounds it: half away from zero.
void fixed_point_quantize_half_away(const FixedPoint& number, std::span<const float> x, std::span<float> y);
/// 1 where nearest (or, with words, stochastic) fixed point lies strictly outside the representable range, whatever
/// number.clamp says.
void fixed_point_clamp_mask(const FixedPoint& number, std::span<const float> x, std::span<std::uint8_t> mask);
void fixed_point_clamp_mask(const FixedPoint& number, std::span<const float> x, std::span<const std::uint32_t> words,
                            std::span<std::uint8_t> mask);
/// The representable range of a fixed-point format.
struct FixedPointRange {
  float t_min;
  float t_max;
};
FixedPointRange fixed_point_range(const FixedPoint& number);

/// Formats of the tensors of one layer; none: float32.
struct LayerFormats {
  Number weight;
  Number activation;    ///< the layer's output
  Number accumulation;  ///< partial sums, as they are added up
  Rounding rounding = Rounding::nearest;

  bool operator==(const LayerFormats&) const = default;
};
void validate(const LayerFormats& formats, const std::string& key = "formats");

}  // namespace tessera::quant
