#pragma once
#include <cstdint>

/// The loops of the number formats over contiguous values. Output may be the input; no other overlap. `words` null:
/// nearest.
namespace tessera::quant::loops {

struct FixedConstants {
  float to_units;    // 2^fl
  float from_units;  // 2^-fl
  float low;         // bounds; infinite without clamp
  float high;
  bool double_rounding;
};
void fixed_point(const FixedConstants& c, const float* x, const std::uint32_t* words, float* y, std::int64_t count);
void fixed_point_half_away(const FixedConstants& c, const float* x, float* y, std::int64_t count);

/// Bit pattern of the largest magnitude; a NaN counts as larger than infinity. 0 for no values.
std::uint32_t largest_magnitude_bits(const float* x, std::int64_t count);

struct BlockConstants {
  float base;              // 6 * 2^E
  std::uint32_t exponent;  // bits of 2^E
  std::uint32_t top;       // bits of the largest representable magnitude
  int dropped;             // mantissa bits that are rounded away
  float shrink;            // applied before and undone after, for blocks whose base would overflow
  float grow;
};
void block_floating_point(const BlockConstants& c, const float* x, const std::uint32_t* words, float* y,
                          std::int64_t count);

struct BlockNearestConstants {
  float rounder;  // adding and subtracting it rounds to a multiple of step, ties to even
  float step;
  float half_step;
  std::uint32_t exponent;  // bits of 2^E
  std::uint32_t top;       // bits of the largest representable magnitude
  float shrink;            // a power of two, applied before and undone after: keeps the rounder within float32
  float grow;
};
/// To nearest, rounded once.
void block_nearest(const BlockNearestConstants& c, const float* x, float* y, std::int64_t count);

struct FloatConstants {
  std::uint32_t smallest_normal;  // bits of 2^e_min; 0: no subnormals
  std::uint32_t beyond;           // magnitudes with bits above this become `top`
  std::uint32_t top;
  int dropped;
  bool propagate_nan;
  bool double_rounding;     // of subnormals to nearest
  float subnormal_rounder;  // adding and subtracting it rounds to the subnormal quantum, ties to even
  float quantum;
  float half_quantum;  // NaN where float32 has none
};
void floating_point(const FloatConstants& c, const float* x, const std::uint32_t* words, float* y, std::int64_t count);

struct HardwareConstants {
  std::uint32_t smallest_normal;  // bits of 2^e_min
  std::uint32_t largest;          // bits of the largest finite number
  std::uint32_t overflow;         // bits of what lies beyond
  float subnormal_rounder;        // adding and subtracting it rounds to the subnormal quantum
  int dropped;
  bool signed_zero;
};
void hardware_float(const HardwareConstants& c, const float* x, const std::uint32_t* words, float* y,
                    std::int64_t count);

void integer_number(float low, float high, const float* x, const std::uint32_t* words, float* y, std::int64_t count);

}  // namespace tessera::quant::loops
