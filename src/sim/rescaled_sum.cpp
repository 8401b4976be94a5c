#include "rescaled_sum.hpp"

#include <algorithm>
#include <cmath>

#include "tessera/kernels/fixed_point.hpp"

namespace tessera::sim {
namespace {

using kernels::FixedPointRounding;

// To the nearest integer, ties to even, for |x| < 2^51; a loop of it is one of vectors.
double nearest(double x) {
  constexpr double shifter = 6755399441055744.0;  // 1.5 2^52
  return (x + shifter) - shifter;
}
double floor_of(double x) {
  const double r = nearest(x);
  return r > x ? r - 1.0 : r;
}

// Sums of products of at most 24 bits of code and 26 bits of multiplier are exact in double precision.
constexpr double exact_code = 16777216.0;  // float32 holds no larger codes apart
constexpr std::int64_t exact_multiplier = std::int64_t{1} << 26;

}  // namespace

RescaledSum::RescaledSum(const CodeSum& sum) : sum_(sum) {}

void RescaledSum::add(std::span<const float> a, std::span<const float> b, std::span<float> y) const {
  const double per_a = 1.0 / static_cast<double>(sum_.operand_step[0]),
               per_b = 1.0 / static_cast<double>(sum_.operand_step[1]);
  const auto m_a = static_cast<double>(sum_.multiplier[0]), m_b = static_cast<double>(sum_.multiplier[1]);
  const int f = sum_.format.fraction_bits;
  const double unit = std::ldexp(1.0, -f), largest = static_cast<double>(sum_.largest_code);
  const auto step = static_cast<double>(sum_.step);
  const auto code_of = [](float value, double per_unit) {
    return nearest(std::clamp(static_cast<double>(value) * per_unit, -exact_code, exact_code));
  };
  std::int64_t saturated = 0;
  const auto put = [&](std::size_t i, double code) {
    const double kept = std::clamp(code, -largest, largest);
    saturated += kept != code ? 1 : 0;
    y[i] = static_cast<float>(kept * step);
  };
  const bool narrow = std::max(sum_.multiplier[0], sum_.multiplier[1]) <= exact_multiplier;
  if (narrow &&
      (sum_.format.rounding == FixedPointRounding::half_up || sum_.format.rounding == FixedPointRounding::truncate)) {
    const double more = sum_.format.rounding == FixedPointRounding::half_up ? 0.5 : 0.0;
    for (std::size_t i = 0; i < y.size(); ++i)
      put(i, floor_of((code_of(a[i], per_a) * m_a + code_of(b[i], per_b) * m_b) * unit + more));
  } else {
    for (std::size_t i = 0; i < y.size(); ++i) {
      const auto wide = [](double code) { return static_cast<kernels::WideInteger>(code); };
      const kernels::WideInteger s =
          wide(code_of(a[i], per_a)) * sum_.multiplier[0] + wide(code_of(b[i], per_b)) * sum_.multiplier[1];
      put(i, static_cast<double>(kernels::round_shift(s, f, sum_.format.rounding)));
    }
  }
  outputs_ += static_cast<std::int64_t>(y.size());
  saturated_ += saturated;
}

}  // namespace tessera::sim
