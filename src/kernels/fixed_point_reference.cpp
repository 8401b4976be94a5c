#include <algorithm>

#include "tessera/core/error.hpp"
#include "tessera/kernels/fixed_point.hpp"

namespace tessera::kernels {
namespace {

constexpr WideInteger wide_one = 1;

WideInteger magnitude_of(WideInteger x) {
  return x < 0 ? -x : x;
}

void raise_peak(std::int64_t& peak, WideInteger x) {
  peak = std::max(peak, static_cast<std::int64_t>(std::min(magnitude_of(x), (wide_one << 62))));
}

}  // namespace

WideInteger round_shift(WideInteger x, int shift, FixedPointRounding rounding, std::uint32_t word) {
  if (shift <= 0) return x * (wide_one << -shift);
  const WideInteger unit = wide_one << shift;
  const WideInteger floor = x >> shift;  // arithmetic
  const WideInteger rest = x - floor * unit;
  bool up = false;
  switch (rounding) {
    case FixedPointRounding::nearest_even:
      up = 2 * rest > unit || (2 * rest == unit && (floor & 1) != 0);
      break;
    case FixedPointRounding::half_up:
      up = 2 * rest >= unit;
      break;
    case FixedPointRounding::half_away:
      up = 2 * rest > unit || (2 * rest == unit && x > 0);
      break;
    case FixedPointRounding::truncate:
      break;
    case FixedPointRounding::toward_zero:
      up = x < 0 && rest != 0;
      break;
    case FixedPointRounding::stochastic: {
      const WideInteger u =
          shift >= 32 ? static_cast<WideInteger>(word) << (shift - 32) : static_cast<WideInteger>(word >> (32 - shift));
      up = rest + u >= unit;
      break;
    }
  }
  return floor + (up ? 1 : 0);
}

std::int64_t fit(WideInteger x, int bits, bool is_signed, FixedPointOverflow overflow) {
  const CodeRange range = code_range(bits, is_signed);
  if (x >= range.low && x <= range.high) return static_cast<std::int64_t>(x);
  if (overflow == FixedPointOverflow::saturate) return x < 0 ? range.low : range.high;
  const WideInteger period = wide_one << bits;
  WideInteger low_bits = x % period;
  if (low_bits < 0) low_bits += period;
  return static_cast<std::int64_t>(low_bits > range.high ? low_bits - period : low_bits);
}

FixedPointCounts& FixedPointCounts::operator+=(const FixedPointCounts& other) {
  sums_overflowed += other.sums_overflowed;
  outputs_overflowed += other.outputs_overflowed;
  product_peak = std::max(product_peak, other.product_peak);
  sum_peak = std::max(sum_peak, other.sum_peak);
  output_peak = std::max(output_peak, other.output_peak);
  return *this;
}

namespace reference {

std::int64_t fixed_point_output(const FixedPointDatapath& datapath, std::span<const FixedPointTerm> terms,
                                std::int64_t bias, std::span<const FixedPointWords> words, FixedPointCounts* counts) {
  std::int64_t s = 0;
  FixedPointCounts seen;
  const auto add = [&](WideInteger term) {
    const WideInteger sum = static_cast<WideInteger>(s) + term;
    s = fit(sum, datapath.accumulator_bits, true, datapath.accumulator_overflow);
    if (s != sum) ++seen.sums_overflowed;
    raise_peak(seen.sum_peak, s);
  };
  for (std::size_t k = 0; k < terms.size(); ++k) {
    const FixedPointTerm& term = terms[k];
    const FixedPointWords word = words.empty() ? FixedPointWords() : words[k];
    const WideInteger product = static_cast<WideInteger>(term.code) * term.multiplier;
    raise_peak(seen.product_peak, product);
    const WideInteger kept = round_shift(product, datapath.cut, datapath.product_rounding, word.cut);
    add(round_shift(kept, term.shift, datapath.product_rounding, word.align));
    if (term.bias != 0) add(term.bias);
  }
  if (bias != 0) add(bias);
  const std::int64_t r = datapath.relu ? std::max<std::int64_t>(s, 0) : s;
  std::int64_t o = r;
  if (datapath.output_bits > 0) {
    const WideInteger rounded = round_shift(r, datapath.fraction_bits, datapath.output_rounding,
                                            words.empty() ? 0 : words[terms.size() - 1].output);
    o = fit(rounded, datapath.output_bits, datapath.output_signed, datapath.output_overflow);
    if (o != rounded) ++seen.outputs_overflowed;
  }
  raise_peak(seen.output_peak, o);
  if (counts != nullptr) *counts += seen;
  return o;
}

}  // namespace reference

}  // namespace tessera::kernels
