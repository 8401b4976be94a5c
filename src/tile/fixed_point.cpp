#include "tessera/tile/fixed_point.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "tessera/core/error.hpp"
#include "tessera/kernels/converter.hpp"

namespace tessera::tile {
namespace {

constexpr double out_of_reach = 1e15;  // beyond every code, and exact in doubles

struct Code {
  std::int64_t code = 0;
  bool saturated = false;
};

// fit(round_nearest_even(x 2^fraction_bits)), saturating.
Code stored(double x, int fraction_bits, const FixedPointFormat& format) {
  const kernels::CodeRange range = kernels::code_range(format.width(), format.is_signed);
  const double scaled = std::nearbyint(std::clamp(std::ldexp(x, fraction_bits), -out_of_reach, out_of_reach));
  const auto code = static_cast<std::int64_t>(scaled);
  const std::int64_t kept = std::clamp(code, range.low, range.high);
  return {kept, kept != code};
}

// The largest e for which none of the group saturates; 0 for a group of zeros.
int exponent_of(const ScaleFormat& scale, std::span<const double> group) {
  const int most = (1 << (scale.exponent_bits - 1)) - 1, least = -most - 1;
  if (std::all_of(group.begin(), group.end(), [](double m) { return m == 0.0; })) return 0;
  for (int e = most; e > least; --e)
    if (std::none_of(group.begin(), group.end(),
                     [&](double m) { return stored(m, scale.fraction_bits + e, format_of(scale)).saturated; }))
      return e;
  return least;
}

std::int64_t digits_sum(const IOParameters& io) {
  const double top = std::rint(1.0 / (2.0 * (io.inp_res > 1.0 ? 1.0 / io.inp_res : io.inp_res)));
  if (io.mv_type == AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM) return 2;
  if (io.mv_type == AnalogMVType::SPLIT_MODE) return 1 + (std::int64_t{1} << io.split_mode_bit_shift);
  if (io.mv_type != AnalogMVType::BIT_WISE) return 1;
  std::int64_t sum = 0;
  for (std::int64_t weight = 1; static_cast<double>(weight) <= top; weight *= 2) sum += weight;
  return sum;
}

}  // namespace

std::string FixedPointFormat::text() const {
  return fmt::format("Q({},{},{})", is_signed ? "s" : "u", integer_bits, fraction_bits);
}

FixedPointFormat format_of(const ScaleFormat& scale) {
  return {scale.integer_bits, scale.fraction_bits, scale.is_signed};
}
FixedPointFormat format_of(const BiasFormat& bias) {
  return {bias.integer_bits, bias.fraction_bits, bias.is_signed};
}
FixedPointFormat format_of(const AddFormat& add) {
  return {add.integer_bits, add.fraction_bits, false};
}

AdcCodes adc_codes(const IOParameters& io, double average) {
  const kernels::Converter adc = kernels::make_converter(io.out_bound, io.out_res);
  if (adc.step <= 0.0F) return {};
  return adc_codes(io, average,
                   {.step = static_cast<double>(adc.step),
                    .largest_code = static_cast<std::int64_t>(std::rint(adc.bound / adc.step)) * digits_sum(io),
                    .problem = {}});
}

AdcCodes adc_codes(const IOParameters& io, double average, const circuit::OutputGrid& grid) {
  AdcCodes codes;
  codes.adc_code = grid.largest_code;
  codes.largest_code = codes.adc_code;
  if (io.bound_management != BoundManagementType::NONE)
    for (std::int64_t g = 1; g <= io.max_bm_factor && codes.largest_code < (std::int64_t{1} << 40); g *= 2)
      codes.largest_code *= 2;
  double amplitude = 1.0;
  if (io.noise_management == NoiseManagementType::CONSTANT && io.nm_thres > 0.0) amplitude = io.nm_thres;
  if (io.noise_management == NoiseManagementType::AVERAGE_ABS_MAX) amplitude = average;
  codes.step = grid.step * io.out_scale * amplitude;
  return codes;
}

int accumulator_bits_needed(const FixedPointParameter& p, std::int64_t largest) {
  if (p.arithmetic == PeripheryArithmetic::binary16 || largest == 0) return 0;
  int code_bits = 0;
  while ((std::int64_t{1} << code_bits) <= largest && code_bits < 40) ++code_bits;
  return 1 + code_bits + p.scale.integer_bits + accumulator_fraction_bits(p);
}

float output_step(const OutputFormat& output, bool is_signed, double range) {
  constexpr int usual_bits = 8;
  const int bits = output.bits > 0 ? output.bits : usual_bits;
  double u = range / static_cast<double>(kernels::code_range(bits, is_signed).high);
  if (output.power_of_two) u = std::exp2(std::ceil(std::log2(u)));
  return static_cast<float>(u);
}

int accumulator_fraction_bits(const FixedPointParameter& p) {
  return p.accumulator.fraction_bits.value_or(std::max(p.scale.fraction_bits - p.product.cut, p.bias.fraction_bits));
}

kernels::FixedPointDatapath datapath_of(const FixedPointParameter& p, bool relu, bool output_signed) {
  kernels::FixedPointDatapath path;
  path.cut = p.product.cut;
  path.product_rounding = p.product.rounding;
  path.accumulator_bits = p.accumulator.bits;
  path.accumulator_overflow = p.accumulator.overflow;
  path.fraction_bits = accumulator_fraction_bits(p);
  path.relu = relu;
  path.output_bits = p.output.bits;
  path.output_signed = output_signed;
  path.output_rounding = p.output.rounding;
  path.output_overflow = p.output.overflow;
  return path;
}

StoredScale store_scale(const FixedPointParameter& p, std::span<const double> m, std::span<const float> alpha) {
  const FixedPointFormat format = format_of(p.scale);
  if (!p.scale.is_signed && std::any_of(m.begin(), m.end(), [](double v) { return v < 0.0; }))
    throw ConfigError("pre_post.fixed_point.scale.signed",
                      fmt::format("the multiplier of an output is negative, which the unsigned {} cannot hold; set "
                                  "signed: true",
                                  format.text()));
  StoredScale result;
  int common = 0;
  if (p.scale.exponent == ScaleExponent::per_tile) common = exponent_of(p.scale, m);
  const bool second = !p.recompute_on_drift && !alpha.empty();
  for (std::size_t i = 0; i < m.size(); ++i) {
    const int e = p.scale.exponent == ScaleExponent::per_column ? exponent_of(p.scale, m.subspan(i, 1)) : common;
    const Code code = stored(m[i], p.scale.fraction_bits + e, format);
    int fraction_bits = p.scale.fraction_bits + e;
    std::int64_t product = code.code;
    if (second) {
      const FixedPointFormat of_alpha{p.alpha.integer_bits, p.alpha.fraction_bits, false};
      const Code factor = stored(static_cast<double>(alpha[i]), p.alpha.fraction_bits, of_alpha);
      product *= factor.code;
      fraction_bits += p.alpha.fraction_bits;
      result.saturated += factor.saturated ? 1 : 0;
    }
    result.saturated += code.saturated ? 1 : 0;
    result.mantissa.push_back(code.code);
    result.code.push_back(product);
    result.exponent.push_back(e);
    result.shift.push_back(fraction_bits - p.product.cut - accumulator_fraction_bits(p));
    result.value.push_back(std::ldexp(static_cast<double>(product), -fraction_bits));
  }
  return result;
}

StoredBias store_bias(const FixedPointParameter& p, std::span<const double> bias) {
  const FixedPointFormat format = format_of(p.bias);
  if (!p.bias.is_signed && std::any_of(bias.begin(), bias.end(), [](double v) { return v < 0.0; }))
    throw ConfigError("pre_post.fixed_point.bias.signed",
                      fmt::format("the bias of an output is negative, which the unsigned {} cannot hold; set "
                                  "signed: true",
                                  format.text()));
  StoredBias result;
  const int drop = p.bias.fraction_bits - accumulator_fraction_bits(p);
  const FixedPointRounding rounding = p.product.rounding == FixedPointRounding::stochastic
                                          ? FixedPointRounding::nearest_even  // a constant is not drawn anew
                                          : p.product.rounding;
  for (const double b : bias) {
    const Code code = stored(b, p.bias.fraction_bits, format);
    result.saturated += code.saturated ? 1 : 0;
    result.code.push_back(code.code);
    const kernels::WideInteger aligned = kernels::round_shift(code.code, drop, rounding);
    constexpr kernels::WideInteger most = kernels::WideInteger{1} << 62;
    result.aligned.push_back(static_cast<std::int64_t>(std::clamp(aligned, -most, most)));
    result.value.push_back(std::ldexp(static_cast<double>(code.code), -p.bias.fraction_bits));
  }
  return result;
}

namespace {

// Ferro et al., ISCAS 2024 (arXiv 2402.07549): unsigned scale of 1 integer and 7 fraction bits, offset of 7 and 1,
// int8 in and out; the accumulator is wide enough never to overflow.
FixedPointParameter nmpu_ferro2024() {
  return {};
}

// Integer-only inference as of Jacob et al., CVPR 2018: a multiplier of 32 bits with a shift, rounded to nearest, and
// an accumulator of 32 bits.
FixedPointParameter int8_int32() {
  FixedPointParameter p;
  p.scale = {.integer_bits = 0, .fraction_bits = 31, .exponent = ScaleExponent::per_column, .exponent_bits = 6};
  p.bias = {.integer_bits = 15, .fraction_bits = 16};
  p.product.rounding = FixedPointRounding::half_up;
  p.accumulator = {.bits = 32, .fraction_bits = 16};
  p.output.rounding = FixedPointRounding::half_away;
  return p;
}

// Scale, bias and sums in binary16; the output code is that of the others.
FixedPointParameter fp16() {
  FixedPointParameter p;
  p.arithmetic = PeripheryArithmetic::binary16;
  p.output.rounding = FixedPointRounding::nearest_even;
  return p;
}

const std::map<std::string, FixedPointParameter (*)()> layouts = {
    {"nmpu_ferro2024", nmpu_ferro2024}, {"int8_int32", int8_int32}, {"fp16", fp16}};

}  // namespace

const std::vector<std::string>& fixed_point_presets() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const auto& [name, make] : layouts) all.push_back(name);
    return all;
  }();
  return names;
}

FixedPointParameter fixed_point_preset(const std::string& name) {
  const auto found = layouts.find(name);
  if (found == layouts.end())
    throw ConfigError("pre_post.fixed_point.preset", fmt::format("no fixed-point format is called '{}'; there are {}",
                                                                 name, fmt::join(fixed_point_presets(), ", ")));
  return found->second();
}

}  // namespace tessera::tile
