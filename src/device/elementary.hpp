#pragma once
#include <bit>
#include <cmath>
#include <cstdint>

/// Elementary functions that plain loops over float32 vectorise, with equal bits on every machine. The double versions
/// are the library's; the laws are templates over the type.
namespace tessera::device::elementary {

/// condition ? a : b. The float version has no branch that a compiler could turn into control flow, which would keep
/// the loop around it from being vectorised.
inline float select(bool condition, float a, float b) {
  const std::int32_t mask = -static_cast<std::int32_t>(condition);
  return std::bit_cast<float>((std::bit_cast<std::int32_t>(a) & mask) | (std::bit_cast<std::int32_t>(b) & ~mask));
}
inline double select(bool condition, double a, double b) {
  return condition ? a : b;
}

template <class T>
T at_least(T x, T low) {
  return select(x < low, low, x);
}
template <class T>
T at_most(T x, T high) {
  return select(x > high, high, x);
}

/// Natural logarithm of a positive normal number, relative error below 3e-7 (absolute near 1).
inline float log(float x) {
  constexpr std::int32_t sqrt_half_bits = 0x3F3504F3;
  const std::int32_t bits = std::bit_cast<std::int32_t>(x) - sqrt_half_bits;
  const float octaves = static_cast<float>(bits >> 23);
  const float y = std::bit_cast<float>((bits & 0x007FFFFF) + sqrt_half_bits) - 1.0F;
  // Minimax of ln(1 + y) / y on [sqrt(1/2) - 1, sqrt(2) - 1].
  float q = -0x1.9cfb70p-4F;
  q = q * y + 0x1.4b5b88p-3F;
  q = q * y - 0x1.6121b8p-3F;
  q = q * y + 0x1.97b204p-3F;
  q = q * y - 0x1.ff6974p-3F;
  q = q * y + 0x1.5558f2p-2F;
  q = q * y - 0x1.00006cp-1F;
  q = q * y + 1.0F;
  return octaves * 0.693147181F + q * y;
}
inline double log(double x) {
  return std::log(x);
}

/// e^x for |x| <= 87 (clamped beyond), relative error below 2e-7.
inline float exp(float x) {
  x = at_most(at_least(x, -87.0F), 87.0F);
  constexpr float round_to_integer = 0x1.8p23F;
  const float shifted = x * 1.44269504F + round_to_integer;
  const float n = shifted - round_to_integer;
  // ln 2 in two parts, so that the reduced argument keeps its digits.
  const float y = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  float p = 1.9875691500e-4F;
  p = p * y + 1.3981999507e-3F;
  p = p * y + 8.3334519073e-3F;
  p = p * y + 4.1665795894e-2F;
  p = p * y + 1.6666665459e-1F;
  p = p * y + 5.0000001201e-1F;
  p = (p * y) * y + y + 1.0F;
  const std::int32_t exponent = static_cast<std::int32_t>(n);
  return std::bit_cast<float>(std::bit_cast<std::int32_t>(p) + exponent * (1 << 23));
}
inline double exp(double x) {
  return std::exp(x);
}

inline float log10(float x) {
  return log(x) * 0.434294482F;
}
inline double log10(double x) {
  return std::log10(x);
}

inline float abs(float x) {
  return std::bit_cast<float>(std::bit_cast<std::int32_t>(x) & 0x7FFFFFFF);
}
inline double abs(double x) {
  return std::abs(x);
}

template <class T>
T clamp(T x, T low, T high) {
  return at_most(at_least(x, low), high);
}

}  // namespace tessera::device::elementary
