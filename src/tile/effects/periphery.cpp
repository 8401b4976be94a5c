#include "tile/effects/law.hpp"

// Quantization of what is behind the ADC: scale, bias (tile/periphery.hpp), activations (module quant).
namespace tessera::tile {
namespace {

using P = PeripheryQuantizationParameter;

constexpr double max_bits = 24.0;  // float32 holds no wider code

void take_over(const AnalogParameters& from, AnalogParameters& to, bool scale, bool bias) {
  to.rpu.pre_post.periph_quant = from.rpu.pre_post.periph_quant;
  to.rpu.pre_post.periph_quant.scale &= scale;
  to.rpu.pre_post.periph_quant.bias &= bias;
}

constexpr Range bits = Range::between(0.0, max_bits);

// Of the activation quantizer; the map itself may be null.
std::vector<EffectKey> activation_keys() {
  return {{.key = "act_quant_config"},
          {.key = "act_quant_config.n_bits", .range = bits},
          {.key = "act_quant_config.momentum", .range = Range::between(0.0, 1.0)},
          {.key = "act_quant_config.percentile", .range = Range::between(0.0, 50.0)},
          {.key = "act_quant_config.num_candidates", .range = Range::between(1.0, 100000.0)},
          {.key = "act_quant_config.range_margin", .range = non_negative}};
}

void check_activations(const RpuParameters& p, EffectProblems& problems) {
  if (!p.act_quant_config) return;
  const ActivationQuantConfig& act = *p.act_quant_config;
  const double values[] = {static_cast<double>(act.n_bits), act.momentum, act.percentile.value_or(0.0),
                           static_cast<double>(act.num_candidates), act.range_margin};
  for (std::size_t k = 0; k < std::size(values); ++k) problems.check(activation_keys()[k + 1], values[k]);
}

void note_periphery(const RpuParameters& p, EffectNotes& notes) {
  const PeripheryQuantizationParameter& q = p.pre_post.periph_quant;
  const PeripheryQuantizationParameter& d = default_parameters.pre_post.periph_quant;
  const std::string key = "pre_post.periph_quant.";
  for (const auto& [name, value, default_value] : {std::tuple{"symmetric", q.symmetric, d.symmetric},
                                                   {"per_column", q.per_column, d.per_column},
                                                   {"power_of_two", q.power_of_two, d.power_of_two},
                                                   {"scale", q.scale, d.scale},
                                                   {"bias", q.bias, d.bias}})
    notes.unless(q.n_bits > 0, key + name, value, default_value, "n_bits is 0: nothing is quantized");
  if (q.n_bits > 0 && !q.scale && !q.bias) notes.add(key + "n_bits", "has no effect: scale and bias are both false");
}

void note_activations(const RpuParameters& p, EffectNotes& notes) {
  if (!p.act_quant_config) return;
  const ActivationQuantConfig& a = *p.act_quant_config;
  const ActivationQuantConfig none{};
  const auto of = [&](bool effective, const char* name, auto value, auto default_value, const char* why) {
    notes.unless(effective, std::string("act_quant_config.") + name, value, default_value, why);
  };
  if (a.n_bits <= 0) {
    of(false, "symmetric", a.symmetric, none.symmetric, "n_bits is 0: nothing is quantized");
    of(false, "range_estimator", a.range_estimator, none.range_estimator, "n_bits is 0: nothing is quantized");
    return;
  }
  const char* other = "it belongs to another range_estimator";
  const bool search = a.range_estimator == RangeEstimator::MSE || a.range_estimator == RangeEstimator::cross_entropy;
  of(a.range_estimator == RangeEstimator::running_minmax, "momentum", a.momentum, none.momentum, other);
  of(a.range_estimator == RangeEstimator::current_minmax, "percentile", a.percentile, none.percentile, other);
  of(search, "range_margin", a.range_margin, none.range_margin, other);
  of(search, "golden_section", a.golden_section, none.golden_section, other);
  of(search && !a.golden_section, "num_candidates", a.num_candidates, none.num_candidates,
     "only the grid of MSE and cross_entropy has candidates");
}

}  // namespace

std::vector<Effect> periphery() {
  return {
      {.name = "scale bits",
       .place = 90,
       .page = "tile_periphery.md",
       .law = "y = v Q(r m s)",
       .keys = {key<&P::n_bits>("n_bits", bits, {4.0, 1.0}), key<&P::symmetric>("symmetric", {}, {0.0}),
                key<&P::per_column>("per_column", {}, {1.0}), key<&P::power_of_two>("power_of_two", {}, {1.0}),
                key<&P::learn_quant_params>("learn_quant_params", {}, {1.0}),
                key<&P::init_learning_after>("init_learning_after", Range::at_least(1.0)),
                key<&P::scale>("scale", {}, {0.0})},
       .with_perfect_product = true,
       .is_on =
           [](const AnalogParameters& p) {
             return p.rpu.pre_post.periph_quant.n_bits > 0 && p.rpu.pre_post.periph_quant.scale;
           },
       .leave_out = [](AnalogParameters& p) { p.rpu.pre_post.periph_quant.scale = false; },
       .take_over = [](const AnalogParameters& from, AnalogParameters& to) { take_over(from, to, true, false); },
       .note = note_periphery,
       .needs = {{"input clip"}}},  // its range is part of the scale
      {.name = "bias bits",
       .place = 92,
       .page = "tile_periphery.md",
       .law = "y += Q(b)",
       .keys = {key<&P::bias>("bias", {}, {0.0})},
       .with_perfect_product = true,
       .is_on =
           [](const AnalogParameters& p) {
             return p.rpu.pre_post.periph_quant.n_bits > 0 && p.rpu.pre_post.periph_quant.bias;
           },
       .leave_out = [](AnalogParameters& p) { p.rpu.pre_post.periph_quant.bias = false; },
       .take_over = [](const AnalogParameters& from, AnalogParameters& to) { take_over(from, to, false, true); }},
      {.name = "activation quantizer",
       .place = 95,
       .page = "quantization.md",
       .law = "y = Q(y)",
       .keys = activation_keys(),
       .with_perfect_product = true,
       .is_on = [](const AnalogParameters& p) { return p.rpu.act_quant_config && p.rpu.act_quant_config->n_bits > 0; },
       .leave_out = [](AnalogParameters& p) { p.rpu.act_quant_config.reset(); },
       .take_over = [](const AnalogParameters& from,
                       AnalogParameters& to) { to.rpu.act_quant_config = from.rpu.act_quant_config; },
       .check = check_activations,
       .note = note_activations}};
}

}  // namespace tessera::tile
