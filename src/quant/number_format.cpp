#include "tessera/quant/number_format.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "quant/number_loops.hpp"
#include "tessera/quant/uniform_quantizer.hpp"

namespace tessera::quant {

const char* to_string(Rounding rounding) {
  return rounding == Rounding::nearest ? "nearest" : "stochastic";
}

namespace {

constexpr int float_bias = 127;
constexpr int float_mantissa = 23;

std::uint32_t bits_of(double value) {
  return std::bit_cast<std::uint32_t>(static_cast<float>(value));
}

loops::FixedConstants constants_of(const FixedPoint& p) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const FixedPointRange range = fixed_point_range(p);
  return {static_cast<float>(std::ldexp(1.0, p.fl)), static_cast<float>(std::ldexp(1.0, -p.fl)),
          p.clamp ? range.t_min : -infinity, p.clamp ? range.t_max : infinity, p.double_rounding};
}

loops::BlockConstants constants_of(const BlockFloatingPoint& p, std::uint32_t largest_bits) {
  // From 2^126 on, 6 * 2^E overflows: such a block is rounded at 2^-8 of its size.
  constexpr int shrink_exponent = 8;
  const std::uint32_t field = largest_bits >> float_mantissa;
  const bool huge = field >= static_cast<std::uint32_t>(126 + float_bias);
  const std::uint32_t exponent = (field - (huge ? shrink_exponent : 0)) << float_mantissa;
  const std::uint32_t mantissa = p.wl > 2 ? ((1u << (p.wl - 2)) - 1u) << (float_mantissa - (p.wl - 2)) : 0u;
  return {6.0f * std::bit_cast<float>(exponent),
          exponent,
          exponent | mantissa,
          float_mantissa - p.wl,
          huge ? static_cast<float>(std::ldexp(1.0, -shrink_exponent)) : 1.0f,
          huge ? static_cast<float>(std::ldexp(1.0, shrink_exponent)) : 1.0f};
}

// Of blocks that are rounded once. The largest magnitude is brought near 1.
loops::BlockNearestConstants nearest_constants_of(const BlockFloatingPoint& p, std::uint32_t largest_bits) {
  constexpr int far = 60;
  const auto largest = static_cast<double>(std::bit_cast<float>(largest_bits));
  if (largest == 0.0) return {0.0f, 0.0f, 1.0f, 0u, 0u, 1.0f, 1.0f};
  const int exponent = std::ilogb(largest);
  const int shift = exponent > far ? -far : (exponent < -far ? far : 0);
  const double leading = std::ldexp(1.0, exponent + shift);
  const double step = std::ldexp(leading, 2 - p.wl);
  return {static_cast<float>(1.5 * std::ldexp(step, float_mantissa)),
          static_cast<float>(step),
          static_cast<float>(0.5 * step),
          bits_of(leading),
          bits_of(std::max(2.0 * leading - step, leading)),
          static_cast<float>(std::ldexp(1.0, shift)),
          static_cast<float>(std::ldexp(1.0, -shift))};
}

loops::FloatConstants constants_of(const FloatingPoint& p) {
  const int e_min = -((1 << (p.exp - 1)) - 2), e_max = 1 << (p.exp - 1);
  loops::FloatConstants c{};
  c.dropped = float_mantissa - p.man;
  c.propagate_nan = p.nan == NanRule::propagate;
  c.smallest_normal = e_min >= 1 - float_bias ? static_cast<std::uint32_t>(e_min + float_bias) << float_mantissa : 0u;
  const auto field = static_cast<std::uint32_t>(std::min(e_max + float_bias, 255)) << float_mantissa;
  const std::uint32_t mantissa = 0x7fffffu;
  c.beyond = field | mantissa;  // for exp >= 8 nothing lies beyond
  c.top = field | (mantissa >> c.dropped << c.dropped);
  c.double_rounding = p.double_rounding;
  const double quantum = std::ldexp(1.0, e_min - p.man);
  c.subnormal_rounder = static_cast<float>(std::ldexp(quantum, float_mantissa));
  c.quantum = static_cast<float>(quantum);
  c.half_quantum = static_cast<float>(0.5 * quantum);
  if (c.half_quantum == 0.0f) c.half_quantum = std::numeric_limits<float>::quiet_NaN();
  return c;
}

loops::HardwareConstants constants_of(const HardwareFloat& p) {
  loops::HardwareConstants c{};
  const int e_min = 1 - p.bias;
  c.dropped = float_mantissa - p.man;
  c.smallest_normal = bits_of(std::ldexp(1.0, e_min));
  c.largest = bits_of(p.largest());
  c.subnormal_rounder = static_cast<float>(std::ldexp(1.0, e_min - p.man + float_mantissa));
  c.signed_zero = p.codes != SpecialCodes::negative_zero_nan;
  if (p.saturate || p.codes == SpecialCodes::none) {
    c.overflow = c.largest;
  } else if (p.codes == SpecialCodes::ieee) {
    c.overflow = bits_of(std::numeric_limits<double>::infinity());
  } else {
    c.overflow = bits_of(std::numeric_limits<double>::quiet_NaN());
  }
  return c;
}

// Calls run(begin, count, words) for pieces of [first, first + count); words is null without draws.
template <class Run>
void for_pieces(std::int64_t first, std::int64_t count, const RandomDraws* draws, Run&& run) {
  if (draws == nullptr) {
    run(first, count, nullptr);
    return;
  }
  constexpr std::int64_t piece = 2048;
  alignas(64) std::array<std::uint32_t, piece> words;
  for (std::int64_t at = first; at < first + count; at += piece) {
    const std::int64_t n = std::min(piece, first + count - at);
    random::fill_bits(draws->stream, draws->event, draws->first + static_cast<std::uint64_t>(at),
                      std::span(words).first(static_cast<std::size_t>(n)));
    run(at, n, words.data());
  }
}

// Stochastic with words or draws, nearest with neither.
void block_quantize(const BlockFloatingPoint& p, const Shape& shape, const float* x, const std::uint32_t* words,
                    float* y, std::int64_t count, const RandomDraws* draws) {
  require<InputError>(p.dim >= 0 || count > 0,
                      "a tensor without elements has no largest value to share an exponent; "
                      "use dim >= 0 or skip it");
  const ChannelLayout layout = p.dim >= 0 ? channel_layout(shape, p.dim) : ChannelLayout{1, 1, count};
  for (std::int64_t c = 0; c < layout.channels; ++c) {
    std::uint32_t largest = 0;
    for (std::int64_t o = 0; o < layout.outer; ++o) {
      largest =
          std::max(largest, loops::largest_magnitude_bits(x + (o * layout.channels + c) * layout.inner, layout.inner));
    }
    const bool finite = largest < 0x7f800000u;
    const loops::BlockConstants constants = finite ? constants_of(p, largest) : loops::BlockConstants{};
    const bool once = finite && words == nullptr && draws == nullptr && !p.double_rounding;
    const auto nearest = once ? nearest_constants_of(p, largest) : loops::BlockNearestConstants{};
    for (std::int64_t o = 0; o < layout.outer; ++o) {
      const std::int64_t at = (o * layout.channels + c) * layout.inner;
      if (once) {
        loops::block_nearest(nearest, x + at, y + at, layout.inner);
      } else if (words != nullptr && finite) {
        loops::block_floating_point(constants, x + at, words + at, y + at, layout.inner);
      } else if (finite) {
        for_pieces(at, layout.inner, draws, [&](std::int64_t begin, std::int64_t n, const std::uint32_t* drawn) {
          loops::block_floating_point(constants, x + begin, drawn, y + begin, n);
        });
      } else {
        std::fill_n(y + at, layout.inner, std::numeric_limits<float>::quiet_NaN());
      }
    }
  }
}

// Runs a format over contiguous values; words null: nearest.
void run(const Number& number, const Shape& shape, const float* x, const std::uint32_t* words, float* y,
         std::int64_t count) {
  if (const auto* fixed = std::get_if<FixedPoint>(&number)) {
    loops::fixed_point(constants_of(*fixed), x, words, y, count);
  } else if (const auto* block = std::get_if<BlockFloatingPoint>(&number)) {
    block_quantize(*block, shape, x, words, y, count, nullptr);
  } else if (const auto* floating = std::get_if<FloatingPoint>(&number)) {
    loops::floating_point(constants_of(*floating), x, words, y, count);
  } else if (const auto* hardware = std::get_if<HardwareFloat>(&number)) {
    loops::hardware_float(constants_of(*hardware), x, words, y, count);
  } else if (const auto* integer = std::get_if<IntegerNumber>(&number)) {
    const double low = integer->is_signed ? -std::ldexp(1.0, integer->bits - 1) : 0.0;
    const double high = std::ldexp(1.0, integer->is_signed ? integer->bits - 1 : integer->bits) - 1.0;
    loops::integer_number(static_cast<float>(low), static_cast<float>(high), x, words, y, count);
  } else if (x != y) {
    std::copy_n(x, count, y);
  }
}

void check_sizes(const Shape& shape, std::size_t x, std::size_t y) {
  require<InputError>(x == y && static_cast<std::int64_t>(x) == element_count(shape),
                      "number format given {} values and room for {} for a tensor of shape {}", x, y,
                      tessera::to_string(shape));
}

}  // namespace

double HardwareFloat::largest() const {
  const int top_exponent = (1 << exp) - 1 - bias - (codes == SpecialCodes::ieee ? 1 : 0);
  const double last = std::ldexp(1.0, -man);
  return std::ldexp(2.0 - last - (codes == SpecialCodes::nan_only ? last : 0.0), top_exponent);
}

double HardwareFloat::smallest() const {
  return std::ldexp(1.0, 1 - bias - man);
}

FixedPointRange fixed_point_range(const FixedPoint& p) {
  const double unit = std::ldexp(1.0, -p.fl), half = std::ldexp(1.0, p.wl - p.fl - 1);
  const auto low = static_cast<float>(p.symmetric ? -half + unit : -half);
  return {low, static_cast<float>(half - unit)};
}

void quantize_nearest(const Number& number, const Shape& shape, std::span<const float> x, std::span<float> y) {
  check_sizes(shape, x.size(), y.size());
  run(number, shape, x.data(), nullptr, y.data(), static_cast<std::int64_t>(x.size()));
}

Tensor quantize_nearest(const Number& number, const Tensor& x) {
  Tensor y = Tensor::uninitialized(x.shape());
  quantize_nearest(number, x.shape(), x.values(), y.values());
  return y;
}

void quantize_with_words(const Number& number, const Shape& shape, std::span<const float> x,
                         std::span<const std::uint32_t> words, std::span<float> y) {
  check_sizes(shape, x.size(), y.size());
  require<InputError>(words.size() == x.size(), "stochastic rounding of {} values given {} random words", x.size(),
                      words.size());
  run(number, shape, x.data(), words.data(), y.data(), static_cast<std::int64_t>(x.size()));
}

void quantize_stochastic(const Number& number, const Shape& shape, std::span<const float> x, std::span<float> y,
                         const RandomDraws& draws) {
  check_sizes(shape, x.size(), y.size());
  if (std::holds_alternative<std::monostate>(number)) {
    quantize_nearest(number, shape, x, y);
    return;
  }
  const auto count = static_cast<std::int64_t>(x.size());
  if (const auto* block = std::get_if<BlockFloatingPoint>(&number)) {
    block_quantize(*block, shape, x.data(), nullptr, y.data(), count, &draws);
    return;
  }
  for_pieces(0, count, &draws, [&](std::int64_t at, std::int64_t n, const std::uint32_t* words) {
    run(number, shape, x.data() + at, words, y.data() + at, n);
  });
}

Tensor quantize_stochastic(const Number& number, const Tensor& x, const RandomDraws& draws) {
  Tensor y = Tensor::uninitialized(x.shape());
  quantize_stochastic(number, x.shape(), x.values(), y.values(), draws);
  return y;
}

void quantize(const Number& number, Rounding rounding, const Shape& shape, std::span<const float> x, std::span<float> y,
              const RandomDraws& draws) {
  if (rounding == Rounding::nearest) {
    quantize_nearest(number, shape, x, y);
  } else {
    quantize_stochastic(number, shape, x, y, draws);
  }
}

void accumulate(const Number& number, Rounding rounding, const Shape& shape, std::span<const float> x,
                std::span<float> sum, const RandomDraws& draws) {
  check_sizes(shape, x.size(), sum.size());
  for (std::size_t i = 0; i < x.size(); ++i) sum[i] += x[i];
  quantize(number, rounding, shape, sum, sum, draws);
}

void fixed_point_quantize_half_away(const FixedPoint& number, std::span<const float> x, std::span<float> y) {
  TESSERA_EXPECT(x.size() == y.size());
  loops::fixed_point_half_away(constants_of(number), x.data(), y.data(), static_cast<std::int64_t>(x.size()));
}

namespace {

void clamp_mask(FixedPoint number, std::span<const float> x, const std::uint32_t* words, std::span<std::uint8_t> mask) {
  TESSERA_EXPECT(x.size() == mask.size());
  const FixedPointRange range = fixed_point_range(number);
  number.clamp = false;
  std::vector<float> rounded(x.size());
  loops::fixed_point(constants_of(number), x.data(), words, rounded.data(), static_cast<std::int64_t>(x.size()));
  for (std::size_t i = 0; i < x.size(); ++i) mask[i] = rounded[i] < range.t_min || rounded[i] > range.t_max ? 1 : 0;
}

}  // namespace

void fixed_point_clamp_mask(const FixedPoint& number, std::span<const float> x, std::span<std::uint8_t> mask) {
  clamp_mask(number, x, nullptr, mask);
}

void fixed_point_clamp_mask(const FixedPoint& number, std::span<const float> x, std::span<const std::uint32_t> words,
                            std::span<std::uint8_t> mask) {
  TESSERA_EXPECT(x.size() == words.size());
  clamp_mask(number, x, words.data(), mask);
}

}  // namespace tessera::quant
