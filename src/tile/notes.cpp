#include "tessera/tile/notes.hpp"

#include <cmath>

#include "tessera/core/error.hpp"

namespace tessera::tile {
namespace {

const RpuParameters defaults;

class Notes {
 public:
  void add(std::string key, std::string message) { notes_.push_back({std::move(key), std::move(message)}); }

  /// Of a value that is not the default while `effective` is false.
  template <class T>
  void unless(bool effective, const char* key, const T& value, const T& default_value, const char* why) {
    if (!effective && value != default_value) add(key, fmt::format("has no effect: {}", why));
  }

  std::vector<ParameterNote> take() { return std::move(notes_); }

 private:
  std::vector<ParameterNote> notes_;
};

bool bounded(double bound) {
  return bound > 0.0 && std::isfinite(bound);
}

/// 2^n - 2 steps, as a converter of n bits has: 2, 6, 14.
bool of_whole_bits(double steps) {
  const double bits = std::log2(steps + 2.0);
  return bits == std::rint(bits);
}

void note_resolution(Notes& notes, const std::string& which, double bound, double resolution, bool stochastic) {
  constexpr double looks_like_bits = 16.0;
  const std::string key = "forward." + which + "_res";
  if (resolution > 0.0 && !bounded(bound)) {
    notes.add(key,
              fmt::format("has no effect: without a bound ({}_bound {}) there is no range to divide", which, bound));
  } else if (resolution < 0.0 && resolution != -1.0) {
    notes.add(key,
              fmt::format("{} turns the quantization off, as every value <= 0 does; n bits are 2^n - 2 or 1/(2^n - "
                          "2), and -1 says off",
                          resolution));
  } else if (resolution > 1.0 && resolution <= looks_like_bits && !of_whole_bits(resolution)) {
    const double top = std::max(1.0, std::rint(0.5 * resolution));
    notes.add(key, fmt::format("{0:g} is a number of steps: {1:g} levels; {0:g} bits would be {2:g}", resolution,
                               2.0 * top + 1.0, std::exp2(std::rint(resolution)) - 2.0));
  }
  if (stochastic && !(resolution > 0.0 && bounded(bound)))
    notes.add("forward." + which + "_sto_round", "has no effect: nothing is quantized");
}

void note_forward(Notes& notes, const IOParameters& io) {
  const IOParameters& d = defaults.forward;
  if (io.is_perfect || io.mv_type == AnalogMVType::IDEAL) {
    IOParameters plain = d;
    plain.is_perfect = io.is_perfect;
    plain.mv_type = io.mv_type;
    plain.out_scale = io.out_scale;
    if (io != plain) notes.add("forward", "is perfect: of its other fields only out_scale has an effect");
    return;
  }
  note_resolution(notes, "inp", io.inp_bound, io.inp_res, io.inp_sto_round);
  note_resolution(notes, "out", io.out_bound, io.out_res, io.out_sto_round);
  notes.unless(io.out_noise > 0.0, "forward.out_noise_std", io.out_noise_std, d.out_noise_std,
               "it is relative to out_noise, which is 0");
  notes.unless(io.w_noise_type != WeightNoiseType::NONE, "forward.w_noise", io.w_noise, d.w_noise,
               "w_noise_type is NONE");
  notes.unless(io.w_noise > 0.0, "forward.w_noise_type", io.w_noise_type, d.w_noise_type, "w_noise is 0");
  notes.unless(io.ir_drop > 0.0, "forward.ir_drop_g_ratio", io.ir_drop_g_ratio, d.ir_drop_g_ratio, "ir_drop is 0");
  notes.unless(io.out_nonlinearity > 0.0, "forward.out_nonlinearity_std", io.out_nonlinearity_std,
               d.out_nonlinearity_std, "out_nonlinearity is 0");
  notes.unless(io.out_nonlinearity > 0.0 || io.r_series > 0.0, "forward.slope_calibration", io.slope_calibration,
               d.slope_calibration, "out_nonlinearity and r_series are 0");
  notes.unless(io.v_offset_std > 0.0 || io.r_series > 0.0, "forward.v_offset_w_min", io.v_offset_w_min,
               d.v_offset_w_min, "v_offset_std and r_series are 0");
  const bool signs_apart =
      io.mv_type == AnalogMVType::POS_NEG_SEPARATE || io.mv_type == AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM;
  notes.unless(signs_apart, "forward.w_read_asymmetry_dtod", io.w_read_asymmetry_dtod, d.w_read_asymmetry_dtod,
               "it is that of negative inputs read apart; mv_type is not POS_NEG_SEPARATE or "
               "POS_NEG_SEPARATE_DIGITAL_SUM");
  notes.unless(io.mv_type == AnalogMVType::SPLIT_MODE, "forward.split_mode_bit_shift", io.split_mode_bit_shift,
               d.split_mode_bit_shift, "mv_type is not SPLIT_MODE");
  const bool managed = io.bound_management != BoundManagementType::NONE;
  const bool sums = io.noise_management == NoiseManagementType::ABS_MAX_NP_SUM;
  notes.unless(managed, "forward.max_bm_factor", io.max_bm_factor, d.max_bm_factor, "bound_management is NONE");
  notes.unless(managed || sums, "forward.max_bm_res", io.max_bm_res, d.max_bm_res, "bound_management is NONE");
  notes.unless(managed, "forward.bm_test_negative_bound", io.bm_test_negative_bound, d.bm_test_negative_bound,
               "bound_management is NONE");
  notes.unless(!managed || bounded(io.out_bound), "forward.bound_management", io.bound_management,
               BoundManagementType::NONE, "there is no out_bound to exceed");
  const bool limited =
      io.noise_management != NoiseManagementType::NONE && io.noise_management != NoiseManagementType::AVERAGE_ABS_MAX;
  notes.unless(limited, "forward.nm_thres", io.nm_thres, d.nm_thres, "noise_management is NONE or AVERAGE_ABS_MAX");
}

void note_mapping(Notes& notes, const MappingParameter& m) {
  const MappingParameter& d = defaults.mapping;
  const char* unscaled = "weight_scaling_omega is 0: weights are not scaled";
  const bool scaled = m.weight_scaling_omega > 0.0;
  notes.unless(scaled, "mapping.weight_scaling_columnwise", m.weight_scaling_columnwise, d.weight_scaling_columnwise,
               unscaled);
  notes.unless(scaled, "mapping.unit_scale_of_dead_outputs", m.unit_scale_of_dead_outputs, d.unit_scale_of_dead_outputs,
               unscaled);
  notes.unless(m.learn_out_scaling, "mapping.out_scaling_columnwise", m.out_scaling_columnwise,
               d.out_scaling_columnwise, "learn_out_scaling is false");
  notes.unless(!m.digital_bias, "mapping.bias_line_as_input", m.bias_line_as_input, d.bias_line_as_input,
               "digital_bias is true");
}

void note_fixed_point(Notes& notes, const RpuParameters& p) {
  if (!p.pre_post.fixed_point) return;
  const FixedPointParameter& f = *p.pre_post.fixed_point;
  const FixedPointParameter d{};
  const std::string key = "pre_post.fixed_point.";
  const auto unless = [&](bool effective, const char* name, auto value, auto default_value, const char* why) {
    notes.unless(effective, (key + name).c_str(), value, default_value, why);
  };
  unless(f.scale.exponent != ScaleExponent::none, "scale.exponent_bits", f.scale.exponent_bits, d.scale.exponent_bits,
         "scale.exponent is none");
  unless(!f.recompute_on_drift, "alpha.integer_bits", f.alpha.integer_bits, d.alpha.integer_bits,
         "recompute_on_drift is true: the factor is part of the scale");
  unless(!f.recompute_on_drift, "alpha.fraction_bits", f.alpha.fraction_bits, d.alpha.fraction_bits,
         "recompute_on_drift is true: the factor is part of the scale");
  unless(!f.output.range, "output.quantile", f.output.quantile, d.output.quantile, "output.range is a number");
  if (f.arithmetic != PeripheryArithmetic::binary16) return;
  const char* half = "arithmetic is binary16: scale, bias and sums have no widths of their own";
  unless(false, "scale.fraction_bits", f.scale.fraction_bits, d.scale.fraction_bits, half);
  unless(false, "scale.integer_bits", f.scale.integer_bits, d.scale.integer_bits, half);
  unless(false, "bias.fraction_bits", f.bias.fraction_bits, d.bias.fraction_bits, half);
  unless(false, "bias.integer_bits", f.bias.integer_bits, d.bias.integer_bits, half);
  unless(false, "accumulator.bits", f.accumulator.bits, d.accumulator.bits, half);
  unless(false, "product.cut", f.product.cut, d.product.cut, half);
}

void note_periphery(Notes& notes, const RpuParameters& p) {
  const InputRangeParameter& range = p.pre_post.input_range;
  notes.unless(range.enable, "pre_post.input_range.init_value", range.init_value,
               defaults.pre_post.input_range.init_value, "input_range.enable is false");
  const PeripheryQuantizationParameter& q = p.pre_post.periph_quant;
  const PeripheryQuantizationParameter& d = defaults.pre_post.periph_quant;
  const std::string key = "pre_post.periph_quant.";
  for (const auto& [name, value, default_value] : {std::tuple{"symmetric", q.symmetric, d.symmetric},
                                                   {"per_column", q.per_column, d.per_column},
                                                   {"power_of_two", q.power_of_two, d.power_of_two},
                                                   {"scale", q.scale, d.scale},
                                                   {"bias", q.bias, d.bias}})
    notes.unless(q.n_bits > 0, (key + name).c_str(), value, default_value, "n_bits is 0: nothing is quantized");
  if (q.n_bits > 0 && !q.scale && !q.bias) notes.add(key + "n_bits", "has no effect: scale and bias are both false");
  if (!p.act_quant_config) return;
  const ActivationQuantConfig& a = *p.act_quant_config;
  const ActivationQuantConfig none{};
  const auto of = [&](bool effective, const char* name, auto value, auto default_value, const char* why) {
    notes.unless(effective, (std::string("act_quant_config.") + name).c_str(), value, default_value, why);
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

std::vector<ParameterNote> notes(const RpuParameters& parameters) {
  Notes notes;
  if (parameters.crossbar) {
    for (const circuit::Remark& remark : circuit::remarks(*parameters.crossbar))
      notes.add("crossbar." + remark.key, remark.message);
    IOParameters forward = parameters.forward;
    forward.noise_management = defaults.forward.noise_management;  // calibrations and crossbars do without it
    if (forward != defaults.forward)
      notes.add("forward", "has no effect: `crossbar` has its own converters, cells and wires");
  } else {
    note_forward(notes, parameters.forward);
  }
  note_mapping(notes, parameters.mapping);
  note_periphery(notes, parameters);
  note_fixed_point(notes, parameters);
  return notes.take();
}

std::vector<std::string> training_only(const RpuParameters& parameters) {
  std::vector<std::string> keys;
  const auto add = [&](bool given, const char* key) {
    if (given) keys.emplace_back(key);
  };
  add(parameters.modifier.type != WeightModifierType::NONE && !parameters.modifier.enable_during_test, "modifier");
  add(parameters.clip.type != WeightClipType::NONE, "clip");
  add(parameters.remap.type != WeightRemapType::NONE, "remap");
  InputRangeParameter plain;
  plain.enable = parameters.pre_post.input_range.enable;
  plain.init_value = parameters.pre_post.input_range.init_value;
  plain.calibration_info = parameters.pre_post.input_range.calibration_info;
  add(parameters.pre_post.input_range != plain, "pre_post.input_range (learning)");
  add(parameters.pre_post.periph_quant.learn_quant_params, "pre_post.periph_quant.learn_quant_params");
  return keys;
}

}  // namespace tessera::tile
