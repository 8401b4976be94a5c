#pragma once
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "tessera/quant/number_format.hpp"
#include "tessera/quant/number_quantizer.hpp"

/// Values and short names for the tests of number formats.
namespace tessera::quant::number_test {

inline constexpr float infinity = std::numeric_limits<float>::infinity();
inline constexpr float nan = std::numeric_limits<float>::quiet_NaN();
inline const random::Stream stream({.seed = 77}, random::Purpose::test);

inline std::vector<float> nearest(const Number& number, const std::vector<float>& x) {
  std::vector<float> y(x.size());
  quantize_nearest(number, {static_cast<std::int64_t>(x.size())}, x, y);
  return y;
}

inline float nearest(const Number& number, float x) {
  return nearest(number, std::vector<float>{x})[0];
}

inline std::vector<float> stochastic(const Number& number, const std::vector<float>& x, std::uint32_t event = 0) {
  std::vector<float> y(x.size());
  quantize_stochastic(number, {static_cast<std::int64_t>(x.size())}, x, y, {stream, event, 0});
  return y;
}

/// Float patterns of every exponent and sign with few or many mantissa bits, so that ties are common.
inline std::vector<float> patterns(std::size_t count) {
  std::vector<std::uint32_t> words(count);
  random::fill_bits(stream, 99, 0, words);
  std::vector<float> x;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t mask = i % 3 == 0 ? 0xffffffffu : i % 3 == 1 ? 0xfff80000u : 0xffffe000u;
    const float v = std::bit_cast<float>((words[i] & mask) ^ (i % 5 == 0 ? 1u : 0u));
    if (std::isfinite(v)) x.push_back(v);
  }
  return x;
}

/// Values within a few binades of 1.
inline std::vector<float> moderate(std::size_t count, float spread = 4.0f) {
  std::vector<float> x(count);
  random::fill_normal(stream, 98, 0, x);
  for (float& v : x) v *= spread;
  return x;
}

inline const std::vector<Number>& every_format() {
  static const std::vector<Number> formats = [] {
    std::vector<Number> list{FixedPoint{8, 4},    FixedPoint{8, 4, true, true}, FixedPoint{6, 0},
                             FixedPoint{3, 2},    FloatingPoint{5, 2},          FloatingPoint{4, 3},
                             FloatingPoint{8, 7}, FloatingPoint{2, 0},          FloatingPoint{9, 6}};
    for (const std::string& name : number_names()) list.push_back(named_number(name));
    return list;
  }();
  return formats;
}

}  // namespace tessera::quant::number_test
