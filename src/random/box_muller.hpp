#pragma once
#include <bit>
#include <cmath>
#include <cstdint>

/// The Gaussian transform, step by step in float32, without fused operations. The scalar functions here are the
/// definition; the vector code in fill.cpp performs the same operations in the same order.
namespace tessera::random {

/// -2 ln(u) of u = x 2^-32, x in (0, 2^32]: x = m 2^e with m in [sqrt(1/2), sqrt(2)), then
///     (e - 32) (-2 ln 2) + y Q(y),   y = m - 1,   y Q(y) ~ -2 ln(1 + y).
/// Q is minimax in relative error: 1.8e-7 before rounding.
namespace minus_two_log {
inline constexpr std::int32_t sqrt_half_bits = 0x3F3504F3;
inline constexpr std::int32_t scale_bits = 32 << 23;
inline constexpr std::int32_t mantissa_mask = 0x007FFFFF;
inline constexpr float per_octave = -1.38629436F;
inline constexpr float q0 = -0x1.000000p+1F;
inline constexpr float q1 = 0x1.00006cp+0F;
inline constexpr float q2 = -0x1.5558f2p-1F;
inline constexpr float q3 = 0x1.ff6974p-2F;
inline constexpr float q4 = -0x1.97b204p-2F;
inline constexpr float q5 = 0x1.6121b8p-2F;
inline constexpr float q6 = -0x1.4b5b88p-2F;
inline constexpr float q7 = 0x1.9cfb70p-3F;
}  // namespace minus_two_log

/// sin and cos of (pi/4) t, |t| <= 1: t S(t^2) and C(t^2), minimax in relative error 2.8e-8 and 3.9e-8 before rounding.
namespace octant {
inline constexpr float word_to_t = 0x1p-31F;
inline constexpr std::uint32_t half_quadrant = 1U << 29;
inline constexpr std::uint32_t odd_quadrant = 1U << 30;
inline constexpr std::uint32_t sign = 1U << 31;
inline constexpr float s1 = 0x1.921fb6p-1F;
inline constexpr float s3 = -0x1.4abc24p-4F;
inline constexpr float s5 = 0x1.4680a4p-9F;
inline constexpr float s7 = -0x1.33198ep-15F;
inline constexpr float c0 = 1.0F;
inline constexpr float c2 = -0x1.3bd39cp-2F;
inline constexpr float c4 = 0x1.03b058p-6F;
inline constexpr float c6 = -0x1.4e78bep-12F;
}  // namespace octant

/// r^2 = -2 ln((word + 0.5) 2^-32).
inline float radius_squared(std::uint32_t word) {
  namespace p = minus_two_log;
  const float x = static_cast<float>(word) + 0.5F;
  const std::int32_t bits = std::bit_cast<std::int32_t>(x) - (p::sqrt_half_bits + p::scale_bits);
  const float octaves = static_cast<float>(bits >> 23);
  const float y = std::bit_cast<float>((bits & p::mantissa_mask) + p::sqrt_half_bits) - 1.0F;
  float q = p::q7;
  q = q * y + p::q6;
  q = q * y + p::q5;
  q = q * y + p::q4;
  q = q * y + p::q3;
  q = q * y + p::q2;
  q = q * y + p::q1;
  q = q * y + p::q0;
  return octaves * p::per_octave + q * y;
}

struct SinCos {
  float sin;
  float cos;
};

/// sin and cos of 2 pi word 2^-32. The two top bits (rounded) choose the quadrant, the others the angle within it.
inline SinCos sin_cos_turn(std::uint32_t word) {
  namespace p = octant;
  const float t = static_cast<float>(static_cast<std::int32_t>(word << 2)) * p::word_to_t;
  const std::uint32_t quadrant = word + p::half_quadrant;
  const float t2 = t * t;
  const float sin = (((p::s7 * t2 + p::s5) * t2 + p::s3) * t2 + p::s1) * t;
  const float cos = ((p::c6 * t2 + p::c4) * t2 + p::c2) * t2 + p::c0;
  const bool swap = (quadrant & p::odd_quadrant) != 0;
  const auto with_sign = [](float value, std::uint32_t sign_bit) {
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) ^ (sign_bit & p::sign));
  };
  return {with_sign(swap ? cos : sin, quadrant), with_sign(swap ? sin : cos, quadrant ^ (quadrant << 1))};
}

/// The pair (r cos, r sin) of one word for the radius and one for the angle.
struct NormalPair {
  float first;
  float second;
};

inline NormalPair box_muller(std::uint32_t radius_word, std::uint32_t angle_word) {
  const float r = std::sqrt(radius_squared(radius_word));
  const SinCos direction = sin_cos_turn(angle_word);
  return {r * direction.cos, r * direction.sin};
}

}  // namespace tessera::random
