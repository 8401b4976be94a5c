#include "quant/number_loops.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "quant/dispatch.hpp"

// Nearest and stochastic versions of a loop are one template over whether words are given, so that the compiler sees no
// branch inside. Comparisons are written so that a NaN fails them and passes through.
namespace tessera::quant::loops {

namespace {

constexpr std::uint32_t sign_bit = 0x80000000u;
constexpr std::uint32_t magnitude_mask = 0x7fffffffu;
constexpr std::uint32_t exponent_mask = 0x7f800000u;

TESSERA_QUANT_INLINE std::uint32_t bits_of(float v) {
  return std::bit_cast<std::uint32_t>(v);
}
TESSERA_QUANT_INLINE float float_of(std::uint32_t b) {
  return std::bit_cast<float>(b);
}

TESSERA_QUANT_INLINE float clip(float v, float low, float high) {
  v = v < low ? low : v;
  return v > high ? high : v;
}

// The top 24 bits as a multiple of 2^-24 in [0, 1).
TESSERA_QUANT_INLINE float unit_interval(std::uint32_t word) {
  return static_cast<float>(static_cast<std::int32_t>(word >> 8)) * 0x1p-24f;
}

// 1 for negative values, else 0: a comparison that the compiler can vectorise although comparisons may trap.
TESSERA_QUANT_INLINE float is_negative(float v) {
  return static_cast<float>(static_cast<std::int32_t>(bits_of(v) >> 31));
}

// Drops mantissa bits of a pattern, adding `increment` (below 2^dropped) first.
TESSERA_QUANT_INLINE std::uint32_t round_bits(std::uint32_t pattern, std::uint32_t increment, std::uint32_t keep) {
  return (pattern + increment) & keep;
}

struct Dropping {
  std::uint32_t keep;   // mask of the kept bits
  std::uint32_t half;   // half a unit of the last kept bit
  std::uint32_t lower;  // half - 1, for ties to even
  std::uint32_t last;   // the last kept bit; 0 when nothing is dropped
  int shift;            // a word shifted right by this is below 2^dropped
};

TESSERA_QUANT_INLINE Dropping dropping(int dropped) {
  const std::uint32_t unit = 1u << dropped;
  return {~(unit - 1u), unit >> 1, dropped > 0 ? (unit >> 1) - 1u : 0u, dropped > 0 ? unit : 0u, 32 - dropped};
}

// A shift by 32 (nothing dropped) must give 0.
TESSERA_QUANT_INLINE std::uint32_t random_increment(std::uint32_t word, int shift) {
  return (word >> 1) >> (shift - 1);
}

template <bool stochastic, bool twice>
TESSERA_QUANT_INLINE void fixed_point_loop(const FixedConstants& c, const float* x, const std::uint32_t* words,
                                           float* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float a = x[i] * c.to_units;
    float units = std::nearbyint(a);
    if constexpr (stochastic && !twice) {
      const float below = units - is_negative(a - units);
      units = below + 1.0f - is_negative(unit_interval(words[i]) - (1.0f - (a - below)));
    } else if constexpr (stochastic) {
      const float shifted = a + unit_interval(words[i]);
      units = static_cast<float>(std::nearbyint(static_cast<double>(shifted) - 0.5));
    } else if constexpr (twice) {
      units = std::nearbyint((a + 0.5f) - 0.5f);  // equal to the difference in double: tested
    }
    y[i] = clip(units * c.from_units, c.low, c.high);
  }
}

template <bool stochastic>
TESSERA_QUANT_INLINE void block_loop(const BlockConstants& c, const float* x, const std::uint32_t* words, float* y,
                                     std::int64_t count) {
  const Dropping d = dropping(c.dropped);
  const float base = c.base, shrink = c.shrink, grow = c.grow;
  const std::uint32_t exponent = c.exponent, top = c.top;
  for (std::int64_t i = 0; i < count; ++i) {
    const float rebased = x[i] * shrink + base;
    const std::uint32_t increment = stochastic ? random_increment(words[i], d.shift) : d.half;
    const std::uint32_t rounded = bits_of(float_of(round_bits(bits_of(rebased), increment, d.keep)) - base);
    const bool too_large = (rounded & exponent_mask) > exponent;
    y[i] = float_of(too_large ? ((rounded & sign_bit) | top) : rounded) * grow;
  }
}

// Subnormals to nearest are rounded once, at their quantum; stochastically, or `beside_normal`, as numbers beside the
// smallest normal one, of whose mantissa bits are dropped.
template <bool stochastic, bool beside_normal>
TESSERA_QUANT_INLINE void floating_point_loop(const FloatConstants& c, const float* x, const std::uint32_t* words,
                                              float* y, std::int64_t count) {
  const Dropping d = dropping(c.dropped);
  const std::uint32_t smallest = c.smallest_normal, beyond = c.beyond, top = c.top;
  const std::uint32_t nan_from = c.propagate_nan ? exponent_mask : magnitude_mask;
  const float rounder = c.subnormal_rounder, quantum = c.quantum, half_quantum = c.half_quantum;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint32_t pattern = bits_of(x[i]);
    const std::uint32_t sign = pattern & sign_bit, magnitude = pattern & magnitude_mask;
    const bool subnormal = magnitude < smallest;
    const float shift = float_of(sign | (subnormal ? smallest : 0u));  // of the sign of x, so that x + 0 is x
    const std::uint32_t increment = stochastic ? random_increment(words[i], d.shift) : d.half;
    const std::uint32_t rounded = round_bits(bits_of(x[i] + shift), increment, d.keep);
    const std::uint32_t limited = (rounded & magnitude_mask) > beyond ? (sign | top) : rounded;
    std::uint32_t small = bits_of(float_of(rounded) - shift);
    if constexpr (!beside_normal) {
      const float size = float_of(magnitude);
      const float even = (size + rounder) - rounder;
      const float away = even + (size - even == half_quantum ? quantum : 0.0f);
      small = bits_of(away) | (away > 0.0f ? sign : 0u);
    }
    const std::uint32_t result = subnormal ? small : limited;
    y[i] = float_of(magnitude > nan_from ? pattern : result);
  }
}

template <bool stochastic>
TESSERA_QUANT_INLINE void hardware_loop(const HardwareConstants& c, const float* x, const std::uint32_t* words,
                                        float* y, std::int64_t count) {
  const Dropping d = dropping(c.dropped);
  const std::uint32_t smallest = c.smallest_normal, largest = c.largest, overflow = c.overflow;
  const std::uint32_t zero_sign = c.signed_zero ? 0u : sign_bit;
  const float rounder = stochastic ? float_of(c.smallest_normal) : c.subnormal_rounder;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint32_t pattern = bits_of(x[i]);
    const std::uint32_t sign = pattern & sign_bit, magnitude = pattern & magnitude_mask;
    const bool subnormal = magnitude < smallest;
    const std::uint32_t word_increment = stochastic ? random_increment(words[i], d.shift) : 0u;
    const std::uint32_t increment = stochastic ? word_increment : d.lower + ((magnitude & d.last) != 0u ? 1u : 0u);
    const std::uint32_t tiny = bits_of(float_of(magnitude) + rounder);
    const std::uint32_t small =
        bits_of(float_of(stochastic ? round_bits(tiny, word_increment, d.keep) : tiny) - rounder);
    const std::uint32_t normal = round_bits(magnitude, increment, d.keep);
    const std::uint32_t rounded = subnormal ? small : normal;
    const std::uint32_t limited = rounded > largest ? overflow : rounded;
    const std::uint32_t kept_sign = limited == 0u ? sign & ~zero_sign : sign;
    y[i] = float_of(magnitude > exponent_mask ? pattern : (limited | kept_sign));
  }
}

template <bool stochastic>
TESSERA_QUANT_INLINE void integer_loop(float low, float high, const float* x, const std::uint32_t* words, float* y,
                                       std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    float rounded = std::nearbyint(x[i]);
    if constexpr (stochastic) {
      const float below = rounded - is_negative(x[i] - rounded);
      rounded = below + is_negative(unit_interval(words[i]) - (x[i] - below));
    }
    y[i] = clip(rounded, low, high) + 0.0f;
  }
}

}  // namespace

TESSERA_QUANT_CLONES void fixed_point(const FixedConstants& c, const float* x, const std::uint32_t* words, float* y,
                                      std::int64_t count) {
  if (c.double_rounding)
    words == nullptr ? fixed_point_loop<false, true>(c, x, words, y, count)
                     : fixed_point_loop<true, true>(c, x, words, y, count);
  else
    words == nullptr ? fixed_point_loop<false, false>(c, x, words, y, count)
                     : fixed_point_loop<true, false>(c, x, words, y, count);
}

TESSERA_QUANT_CLONES void fixed_point_half_away(const FixedConstants& c, const float* x, float* y, std::int64_t count) {
  constexpr float below_half = 0x1.fffffep-2f;
  for (std::int64_t i = 0; i < count; ++i) {
    const float a = x[i] * c.to_units;
    y[i] = clip(std::trunc(a + std::copysign(below_half, a)) * c.from_units, c.low, c.high);
  }
}

TESSERA_QUANT_CLONES std::uint32_t largest_magnitude_bits(const float* x, std::int64_t count) {
  std::int32_t largest = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    largest = std::max(largest, static_cast<std::int32_t>(bits_of(x[i]) & magnitude_mask));
  }
  return static_cast<std::uint32_t>(largest);
}

TESSERA_QUANT_CLONES void block_floating_point(const BlockConstants& c, const float* x, const std::uint32_t* words,
                                               float* y, std::int64_t count) {
  words == nullptr ? block_loop<false>(c, x, words, y, count) : block_loop<true>(c, x, words, y, count);
}

TESSERA_QUANT_CLONES void block_nearest(const BlockNearestConstants& c, const float* x, float* y, std::int64_t count) {
  const float rounder = c.rounder, step = c.step, half_step = c.half_step, shrink = c.shrink, grow = c.grow;
  const std::uint32_t exponent = c.exponent, top = c.top;
  for (std::int64_t i = 0; i < count; ++i) {
    const float v = x[i] * shrink;
    const float even = (v + rounder) - rounder;
    const std::uint32_t rounded = bits_of(even + (v - even == half_step ? step : 0.0f));
    const bool too_large = (rounded & exponent_mask) > exponent;
    y[i] = float_of(too_large ? ((rounded & sign_bit) | top) : rounded) * grow;
  }
}

TESSERA_QUANT_CLONES void floating_point(const FloatConstants& c, const float* x, const std::uint32_t* words, float* y,
                                         std::int64_t count) {
  if (words != nullptr) return floating_point_loop<true, true>(c, x, words, y, count);
  if (c.double_rounding) return floating_point_loop<false, true>(c, x, words, y, count);
  floating_point_loop<false, false>(c, x, words, y, count);
}

TESSERA_QUANT_CLONES void hardware_float(const HardwareConstants& c, const float* x, const std::uint32_t* words,
                                         float* y, std::int64_t count) {
  words == nullptr ? hardware_loop<false>(c, x, words, y, count) : hardware_loop<true>(c, x, words, y, count);
}

TESSERA_QUANT_CLONES void integer_number(float low, float high, const float* x, const std::uint32_t* words, float* y,
                                         std::int64_t count) {
  words == nullptr ? integer_loop<false>(low, high, x, words, y, count)
                   : integer_loop<true>(low, high, x, words, y, count);
}

}  // namespace tessera::quant::loops
