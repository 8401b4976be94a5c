#include "tessera/tile/fixed_point.hpp"

#include <cmath>

#include "tile/effects/law.hpp"

// The fixed-point periphery, stage by stage. Left out means in real numbers; without any stage it is off.
namespace tessera::tile {
namespace {

using P = FixedPointParameter;

bool& exact_scale(P& p) {
  return p.scale.exact;
}
bool& exact_bias(P& p) {
  return p.bias.exact;
}
bool& exact_product(P& p) {
  return p.product.exact;
}
bool& exact_accumulator(P& p) {
  return p.accumulator.exact;
}
bool& exact_output(P& p) {
  return p.output.exact;
}
using Flag = bool& (*)(P&);
constexpr Flag all_flags[] = {exact_scale, exact_bias, exact_product, exact_accumulator, exact_output};

template <Flag flag>
void leave_out(AnalogParameters& a) {
  std::optional<P>& p = a.rpu.pre_post.fixed_point;
  if (!p) return;
  flag(*p) = true;
  bool none = true;
  for (const Flag other : all_flags) none = none && other(*p);
  if (none) p.reset();
}

template <Flag flag>
void take_over(const AnalogParameters& from, AnalogParameters& to) {
  if (!from.rpu.pre_post.fixed_point) return;
  P given = *from.rpu.pre_post.fixed_point;
  std::optional<P>& p = to.rpu.pre_post.fixed_point;
  if (!p) {
    p = given;
    for (const Flag other : all_flags) other(*p) = true;
  }
  flag(*p) = flag(given);
}

template <Flag flag>
bool acts(const AnalogParameters& a) {
  if (!a.rpu.pre_post.fixed_point) return false;
  P p = *a.rpu.pre_post.fixed_point;
  return !flag(p);
}

bool cuts(const AnalogParameters& a) {
  if (!acts<exact_product>(a)) return false;
  const P& p = *a.rpu.pre_post.fixed_point;
  return p.product.cut > 0 || p.scale.exponent != ScaleExponent::none || p.accumulator.fraction_bits ||
         p.arithmetic == PeripheryArithmetic::binary16 || !p.recompute_on_drift;
}

bool codes(const AnalogParameters& a) {
  return acts<exact_output>(a) && a.rpu.pre_post.fixed_point->output.bits > 0;
}

constexpr int widest = 32;
constexpr Range bits = Range::between(-64.0, 64.0);

const std::string section = "pre_post.fixed_point.";

// Keys of numbers with their ranges; the rest are switches and words. The map itself may be null.
struct NumberKey {
  const char* name;
  Range range;
  double (*of)(const P&);
};
const NumberKey scale_numbers[] = {
    {"scale.integer_bits", bits, [](const P& p) { return static_cast<double>(p.scale.integer_bits); }},
    {"scale.fraction_bits", bits, [](const P& p) { return static_cast<double>(p.scale.fraction_bits); }},
    {"scale.exponent_bits", Range::between(1.0, 6.0),
     [](const P& p) { return static_cast<double>(p.scale.exponent_bits); }},
    {"scale.saturation_warning", Range::between(0.0, 1.0), [](const P& p) { return p.scale.saturation_warning; }},
    {"alpha.integer_bits", bits, [](const P& p) { return static_cast<double>(p.alpha.integer_bits); }},
    {"alpha.fraction_bits", bits, [](const P& p) { return static_cast<double>(p.alpha.fraction_bits); }}};
const NumberKey bias_numbers[] = {
    {"bias.integer_bits", bits, [](const P& p) { return static_cast<double>(p.bias.integer_bits); }},
    {"bias.fraction_bits", bits, [](const P& p) { return static_cast<double>(p.bias.fraction_bits); }}};
const NumberKey product_numbers[] = {
    {"product.cut", Range::between(0.0, 62.0), [](const P& p) { return static_cast<double>(p.product.cut); }}};
const NumberKey accumulator_numbers[] = {
    {"accumulator.bits", Range::between(2.0, 62.0), [](const P& p) { return static_cast<double>(p.accumulator.bits); }},
    {"accumulator.fraction_bits", bits,
     [](const P& p) { return static_cast<double>(p.accumulator.fraction_bits.value_or(0)); }}};
const NumberKey output_numbers[] = {
    {"output.bits", Range::between(0.0, 32.0), [](const P& p) { return static_cast<double>(p.output.bits); }},
    {"add.integer_bits", bits, [](const P& p) { return static_cast<double>(p.add.integer_bits); }},
    {"add.fraction_bits", bits, [](const P& p) { return static_cast<double>(p.add.fraction_bits); }},
    {"output.range", Range::above(0.0), [](const P& p) { return p.output.range.value_or(1.0); }},
    {"output.quantile", Range::between(0.5, 1.0), [](const P& p) { return p.output.quantile; }}};

std::vector<EffectKey> keys_of(std::span<const NumberKey> numbers, std::initializer_list<const char*> others) {
  std::vector<EffectKey> keys;
  for (const NumberKey& number : numbers) keys.push_back({.key = section + number.name, .range = number.range});
  for (const char* other : others) keys.push_back({.key = section + other});
  return keys;
}

void check_numbers(const P& p, std::span<const NumberKey> numbers, EffectProblems& problems) {
  for (const NumberKey& number : numbers)
    problems.check({.key = section + number.name, .range = number.range}, number.of(p));
}

void check_format(const FixedPointFormat& format, const std::string& key, const char* what, EffectProblems& problems) {
  problems.expect(format.width() >= 1 && format.width() <= widest, section + key,
                  fmt::format("{} {} is {} bits wide with {}; widths are 1 to {}", what, format.text(), format.width(),
                              format.is_signed ? "its sign" : "no sign", widest));
}

// What the codes come from: without these there is nothing to multiply.
void check_codes(const RpuParameters& p, EffectProblems& problems) {
  const IOParameters& io = p.forward;
  const std::string needs = "the fixed-point periphery (pre_post.fixed_point) ";
  problems.expect(p.pre_post.periph_quant.n_bits <= 0, section.substr(0, section.size() - 1),
                  "together with periph_quant.n_bits > 0 describes the same hardware twice; set one of them to null or "
                  "0");
  const bool quantized = p.act_quant_config && p.act_quant_config->n_bits > 0;
  const OutputFormat& output = p.pre_post.fixed_point->output;
  if (output.init_from == OutputRangeSource::data) {
    problems.expect(!quantized, "act_quant_config.n_bits",
                    needs +
                        "has an output code already (output.bits): a second quantizer of the output has no place; "
                        "output.init_from: act_quant_config takes its range");
  } else {
    problems.expect(quantized, section + "output.init_from",
                    "takes the range of the output's quantizer, but act_quant_config has none; give it n_bits");
    problems.expect(!output.range, section + "output.range",
                    "gives the range of the output as a number, and output.init_from takes it from act_quant_config; "
                    "leave one of them out");
  }
  if (p.crossbar) {  // which has converters of its own
    problems.expect(p.crossbar->adc.converts(), "crossbar.xbar.adc.mvm.model",
                    needs + "multiplies codes of an ADC; give the crossbar one with a model and bits");
    return;
  }
  problems.expect(!io.is_perfect && io.mv_type != AnalogMVType::IDEAL, "forward.is_perfect",
                  needs + "multiplies codes of an ADC; a perfect product has none");
  const bool converts = io.out_res > 0.0 && bounded(io.out_bound);
  problems.expect(converts, "forward.out_res",
                  needs + "multiplies codes of an ADC; give it levels (out_res > 0) and a bound (out_bound > 0)");
  problems.expect(io.noise_management == NoiseManagementType::NONE ||
                      io.noise_management == NoiseManagementType::CONSTANT ||
                      io.noise_management == NoiseManagementType::AVERAGE_ABS_MAX,
                  "forward.noise_management",
                  "scales every vector by its own values (ABS_MAX, MAX, ABS_MAX_NP_SUM), which the static multiplier "
                  "of a fixed-point periphery cannot follow; use NONE, CONSTANT, or AVERAGE_ABS_MAX with a stored "
                  "average");
  problems.expect(io.bound_management != BoundManagementType::ITERATIVE_WORST_CASE, "forward.bound_management",
                  "ITERATIVE_WORST_CASE rescales by no power of two, which a fixed-point periphery cannot shift by; "
                  "use NONE or ITERATIVE");
  if (!converts) return;
  const double steps = 0.5 * (io.out_res > 1.0 ? io.out_res : 1.0 / io.out_res);
  problems.expect(std::fabs(steps - std::rint(steps)) <= 1e-6 * steps, "forward.out_res",
                  "leaves the ADC's bound half way between two codes; a fixed-point periphery needs an even number of "
                  "steps (n bits: 2^n - 2)");
  constexpr std::int64_t most = std::int64_t{1} << 20;
  problems.expect(adc_codes(io, 1.0).largest_code < most, "forward.out_res",
                  fmt::format("codes of the ADC reach {} (digits and max_bm_factor included); a fixed-point periphery "
                              "takes less than {}",
                              adc_codes(io, 1.0).largest_code, most));
}

void check(const RpuParameters& rpu, EffectProblems& problems) {
  if (!rpu.pre_post.fixed_point) return;
  const P& p = *rpu.pre_post.fixed_point;
  for (const std::span<const NumberKey> numbers :
       {std::span<const NumberKey>(scale_numbers), std::span<const NumberKey>(bias_numbers),
        std::span<const NumberKey>(product_numbers), std::span<const NumberKey>(accumulator_numbers),
        std::span<const NumberKey>(output_numbers)})
    check_numbers(p, numbers, problems);
  check_format(format_of(p.scale), "scale.fraction_bits", "a scale of", problems);
  check_format(format_of(p.bias), "bias.fraction_bits", "a bias of", problems);
  check_format(format_of(p.add), "add.fraction_bits", "a multiplier of an Add of", problems);
  problems.expect(p.add.rounding != FixedPointRounding::stochastic, section + "add.rounding",
                  "an Add belongs to no tile, whose random numbers stochastic rounding would take; choose another");
  if (!p.recompute_on_drift)
    check_format({p.alpha.integer_bits, p.alpha.fraction_bits, false}, "alpha.fraction_bits", "a factor of", problems);
  problems.expect(p.output.bits != 1 || p.output.is_signed == Signedness::is_unsigned, section + "output.bits",
                  "1 bit with a sign has no code above 0; use 2 bits or signed: false");
  check_codes(rpu, problems);
  if (p.arithmetic == PeripheryArithmetic::binary16) return;
  const std::int64_t adc = rpu.crossbar ? 0 : adc_codes(rpu.forward, 1.0).adc_code;
  const int needed = accumulator_bits_needed(p, adc);
  problems.expect(p.accumulator.bits >= needed, section + "accumulator.bits",
                  fmt::format("{} bits are narrower than one product: {} bits of the ADC's code with its sign, {} "
                              "integer bits of the scale and {} fraction bits of the accumulator are {}",
                              p.accumulator.bits, needed - p.scale.integer_bits - accumulator_fraction_bits(p),
                              p.scale.integer_bits, accumulator_fraction_bits(p), needed));
  int code_bits = 0;
  while ((std::int64_t{1} << code_bits) <= adc && code_bits < 40) ++code_bits;
  constexpr int most = 62;
  const int product = code_bits + 1 + format_of(p.scale).width() +
                      (p.recompute_on_drift ? 0 : p.alpha.integer_bits + p.alpha.fraction_bits);
  problems.expect(product <= most, section + "alpha.fraction_bits",
                  fmt::format("code, scale and alpha multiply to {} bits; at most {} are computed", product, most));
}

std::vector<EffectNeed> needs() {
  std::vector<EffectNeed> all = analog_needs();
  all.push_back({"crossbar ADC", [](const RpuParameters& p) { return p.crossbar.has_value(); }});
  all.push_back({"ADC clip"});
  all.push_back({"ADC rounding"});
  return all;
}

void note_fixed_point(const RpuParameters& p, EffectNotes& notes) {
  if (!p.pre_post.fixed_point) return;
  const FixedPointParameter& f = *p.pre_post.fixed_point;
  const FixedPointParameter d{};
  const std::string key = section;
  const auto unless = [&](bool effective, const char* name, auto value, auto default_value, const char* why) {
    notes.unless(effective, key + name, value, default_value, why);
  };
  unless(f.scale.exponent != ScaleExponent::none, "scale.exponent_bits", f.scale.exponent_bits, d.scale.exponent_bits,
         "scale.exponent is none");
  unless(!f.recompute_on_drift, "alpha.integer_bits", f.alpha.integer_bits, d.alpha.integer_bits,
         "recompute_on_drift is true: the factor is part of the scale");
  unless(!f.recompute_on_drift, "alpha.fraction_bits", f.alpha.fraction_bits, d.alpha.fraction_bits,
         "recompute_on_drift is true: the factor is part of the scale");
  unless(!f.output.range, "output.quantile", f.output.quantile, d.output.quantile, "output.range is a number");
  unless(f.output.init_from == OutputRangeSource::data, "output.quantile", f.output.quantile, d.output.quantile,
         "output.init_from is act_quant_config, whose range_estimator decides");
  unless(f.chain, "add.integer_bits", f.add.integer_bits, d.add.integer_bits, "chain is false");
  unless(f.chain, "add.fraction_bits", f.add.fraction_bits, d.add.fraction_bits, "chain is false");
  if (f.arithmetic != PeripheryArithmetic::binary16) return;
  const char* half = "arithmetic is binary16: scale, bias and sums have no widths of their own";
  unless(false, "scale.fraction_bits", f.scale.fraction_bits, d.scale.fraction_bits, half);
  unless(false, "scale.integer_bits", f.scale.integer_bits, d.scale.integer_bits, half);
  unless(false, "bias.fraction_bits", f.bias.fraction_bits, d.bias.fraction_bits, half);
  unless(false, "bias.integer_bits", f.bias.integer_bits, d.bias.integer_bits, half);
  unless(false, "accumulator.bits", f.accumulator.bits, d.accumulator.bits, half);
  unless(false, "product.cut", f.product.cut, d.product.cut, half);
}

}  // namespace

std::vector<Effect> fixed_point() {
  const std::string page = "tile_fixed_point.md";
  std::vector<Effect> all = {
      {.name = "scale format",
       .place = 100,
       .page = page,
       .law = "p = a M, M = fit(round(m 2^f))",
       .keys = keys_of(scale_numbers, {"arithmetic", "scale.signed", "scale.exponent", "scale.exact",
                                       "recompute_on_drift", "chain", "fold_batch_normalization"}),
       .is_on = acts<exact_scale>,
       .leave_out = leave_out<exact_scale>,
       .take_over = take_over<exact_scale>,
       .check = check,
       .note = note_fixed_point,
       .needs = needs()},
      {.name = "product cut",
       .place = 102,
       .page = page,
       .law = "q = round(p >> cut)",
       .keys = keys_of(product_numbers, {"product.rounding", "product.exact"}),
       .is_on = cuts,
       .leave_out = leave_out<exact_product>,
       .take_over = take_over<exact_product>,
       .needs = needs()},
      {.name = "accumulator",
       .place = 104,
       .page = page,
       .law = "s = fit(s + q), tile by tile",
       .keys = keys_of(accumulator_numbers, {"accumulator.overflow", "accumulator.exact"}),
       .is_on = acts<exact_accumulator>,
       .leave_out = leave_out<exact_accumulator>,
       .take_over = take_over<exact_accumulator>,
       .needs = needs()},
      {.name = "bias format",
       .place = 106,
       .page = page,
       .law = "s = fit(s + B), B = fit(round(b / u 2^f))",
       .keys = keys_of(bias_numbers, {"bias.signed", "bias.at", "bias.exact"}),
       .is_on = acts<exact_bias>,
       .leave_out = leave_out<exact_bias>,
       .take_over = take_over<exact_bias>,
       .needs = needs()},
      {.name = "output code",
       .place = 108,
       .page = page,
       .law = "y = u fit(round(max(s, 0) 2^-F))",
       .keys = keys_of(output_numbers, {"output.rounding", "output.overflow", "output.signed", "output.init_from",
                                        "output.power_of_two", "output.fuse_relu", "output.exact", "add.rounding"}),
       .is_on = codes,
       .leave_out = leave_out<exact_output>,
       .take_over = take_over<exact_output>,
       .needs = needs()}};
  for (Effect& effect : all) effect.on_crossbars = true;
  return all;
}

}  // namespace tessera::tile
