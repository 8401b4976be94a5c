#include "tessera/tile/notes.hpp"

#include <cmath>

#include "tessera/core/error.hpp"
#include "tessera/tile/effects.hpp"
#include "tile/effects/law.hpp"

namespace tessera::tile {
namespace {

/// 2^n - 2 steps, as a converter of n bits has: 2, 6, 14.
bool of_whole_bits(double steps) {
  const double bits = std::log2(steps + 2.0);
  return bits == std::rint(bits);
}

void note_mapping(EffectNotes& notes, const MappingParameter& m) {
  const MappingParameter& d = default_parameters.mapping;
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

bool is_perfect(const RpuParameters& p) {
  return !p.crossbar && (p.forward.is_perfect || p.forward.mv_type == AnalogMVType::IDEAL);
}

/// Sections of which nothing, or next to nothing, has an effect.
void note_sections(EffectNotes& notes, const RpuParameters& p) {
  const IOParameters& d = default_parameters.forward;
  if (p.crossbar) {
    for (const circuit::Remark& remark : circuit::remarks(*p.crossbar))
      notes.add("crossbar." + remark.key, remark.message);
    IOParameters forward = p.forward;
    forward.noise_management = d.noise_management;  // calibrations and crossbars do without it
    if (forward != d) notes.add("forward", "has no effect: `crossbar` has its own converters, cells and wires");
  } else if (is_perfect(p)) {
    IOParameters plain = d;
    plain.is_perfect = p.forward.is_perfect;
    plain.mv_type = p.forward.mv_type;
    plain.out_scale = p.forward.out_scale;
    if (p.forward != plain) notes.add("forward", "is perfect: of its other fields only out_scale has an effect");
  }
}

}  // namespace

void EffectNotes::converter(const std::string& which, double bound, double resolution, bool stochastic) {
  constexpr double looks_like_bits = 16.0;
  const std::string key = "forward." + which + "_res";
  if (resolution > 0.0 && !bounded(bound)) {
    add(key, fmt::format("has no effect: without a bound ({}_bound {}) there is no range to divide", which, bound));
  } else if (resolution < 0.0 && resolution != -1.0) {
    add(key, fmt::format("{} turns the quantization off, as every value <= 0 does; n bits are 2^n - 2 or 1/(2^n - "
                         "2), and -1 says off",
                         resolution));
  } else if (resolution > 1.0 && resolution <= looks_like_bits && !of_whole_bits(resolution)) {
    const double top = std::max(1.0, std::rint(0.5 * resolution));
    add(key, fmt::format("{0:g} is a number of steps: {1:g} levels; {0:g} bits would be {2:g}", resolution,
                         2.0 * top + 1.0, std::exp2(std::rint(resolution)) - 2.0));
  }
  if (stochastic && !(resolution > 0.0 && bounded(bound)))
    add("forward." + which + "_sto_round", "has no effect: nothing is quantized");
}

std::vector<ParameterNote> notes(const RpuParameters& parameters) {
  EffectNotes notes;
  note_sections(notes, parameters);
  for (const Effect& effect : effects()) {
    const bool acts =
        effect.with_perfect_product || (parameters.crossbar ? effect.on_crossbars : !is_perfect(parameters));
    if (effect.note != nullptr && acts) effect.note(parameters, notes);
  }
  note_mapping(notes, parameters.mapping);
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
