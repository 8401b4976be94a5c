#include "tile/effects/law.hpp"

// What happens in tiles that are circuits, mechanism by mechanism; the laws are module circuit's.
namespace tessera::tile {
namespace {

using circuit::AdcParameters;
using circuit::CrossbarParameters;

/// Finite gains above this are no error in float32.
constexpr double ideal_gain_db = 300.0;

bool gated(const CrossbarParameters& c) {
  return c.array.parasitics.enable && !c.array.parasitics.current_from_input;
}
bool sliced(const CrossbarParameters& c) {
  return c.core.style == circuit::CoreStyle::BITSLICED;
}

template <bool (*test)(const CrossbarParameters&)>
bool on(const AnalogParameters& p) {
  return p.rpu.crossbar && test(*p.rpu.crossbar);
}
template <bool (*test)(const CrossbarParameters&)>
bool when(const RpuParameters& p) {
  return p.crossbar && test(*p.crossbar);
}
template <void (*change)(CrossbarParameters&)>
void leave(AnalogParameters& p) {
  if (p.rpu.crossbar) change(*p.rpu.crossbar);
}
template <void (*copy)(const CrossbarParameters&, CrossbarParameters&)>
void take(const AnalogParameters& from, AnalogParameters& to) {
  if (from.rpu.crossbar && to.rpu.crossbar) copy(*from.rpu.crossbar, *to.rpu.crossbar);
}

/// One mechanism of the crossbar.
template <bool (*test)(const CrossbarParameters&), void (*change)(CrossbarParameters&),
          void (*copy)(const CrossbarParameters&, CrossbarParameters&)>
Effect mechanism(const std::string& name, int place, const std::string& page, const std::string& law,
                 const std::string& key, std::vector<EffectNeed> needs) {
  needs.insert(needs.begin(), EffectNeed{"input clip"});
  return {.name = name,
          .place = place,
          .page = page,
          .law = law,
          .keys = {{.key = "crossbar." + key}},
          .on_crossbars = true,
          .is_on = on<test>,
          .leave_out = leave<change>,
          .take_over = take<copy>,
          .needs = std::move(needs)};
}

// --- inputs and weights -----------------------------------------------------------------------------------------------

bool has_dac(const CrossbarParameters& c) {
  return c.dac.quantizes() || c.dac.input_bitslicing || c.core.inputs.clipping;
}
// Slices of inputs are what gates open on and what a converter sees one by one.
void no_dac(CrossbarParameters& c) {
  if (gated(c)) c.array.parasitics = {};
  if (c.adc.adc_per_ibit) c.adc = {};
  c.dac = {.is_signed = c.dac.is_signed};
  c.core.inputs.clipping = false;
}
void copy_dac(const CrossbarParameters& from, CrossbarParameters& to) {
  to.dac = from.dac;
  to.core.inputs.clipping = from.core.inputs.clipping;
}

bool has_levels(const CrossbarParameters& c) {
  return sliced(c) || c.device.cell_bits > 0;
}
// Ranges of converters are those of weight slices and of steps between levels.
void no_levels(CrossbarParameters& c) {
  if (sliced(c) || c.adc.adc_range_option == circuit::AdcRangeOption::GRANULAR) c.adc = {};
  if (sliced(c)) {
    c.core.style = circuit::CoreStyle::BALANCED;
    c.array.parasitics.disable_slices.clear();
  }
  c.device.cell_bits = 0;
}
void copy_levels(const CrossbarParameters& from, CrossbarParameters& to) {
  to.core.style = from.core.style;
  to.device.cell_bits = from.device.cell_bits;
}
bool needs_levels(const CrossbarParameters& c) {
  return sliced(c) || c.adc.adc_range_option == circuit::AdcRangeOption::GRANULAR;
}

// --- cells and array --------------------------------------------------------------------------------------------------

bool has_cell_errors(const CrossbarParameters& c) {
  return c.device.programming_error.active() || c.device.drift_error.active();
}
void no_cell_errors(CrossbarParameters& c) {
  c.device.programming_error = c.device.drift_error = {};
}
void copy_cell_errors(const CrossbarParameters& from, CrossbarParameters& to) {
  to.device.programming_error = from.device.programming_error;
  to.device.drift_error = from.device.drift_error;
}

bool has_nonlinear_cells(const CrossbarParameters& c) {
  return c.device.nonlinear_IV.active();
}
void no_nonlinear_cells(CrossbarParameters& c) {
  c.device.nonlinear_IV = {};
}
void copy_nonlinear_cells(const CrossbarParameters& from, CrossbarParameters& to) {
  to.device.nonlinear_IV = from.device.nonlinear_IV;
}

bool has_wires(const CrossbarParameters& c) {
  return c.array.parasitics.enable && !circuit::normalised_wires(c, 1).ideal();
}
void no_wires(CrossbarParameters& c) {
  c.array.parasitics = {};
  c.compensate = circuit::Compensation::none;
}
void copy_wires(const CrossbarParameters& from, CrossbarParameters& to) {
  to.array.parasitics = from.array.parasitics;
  if (!sliced(to)) to.array.parasitics.disable_slices.clear();
  to.compensate = from.compensate;
}
bool disables_slices(const CrossbarParameters& c) {
  return !c.array.parasitics.disable_slices.empty();
}

bool has_read_noise(const CrossbarParameters& c) {
  return c.device.read_noise.active();
}
void no_read_noise(CrossbarParameters& c) {
  c.device.read_noise = {};
}
void copy_read_noise(const CrossbarParameters& from, CrossbarParameters& to) {
  to.device.read_noise = from.device.read_noise;
}

bool has_line_limit(const CrossbarParameters& c) {
  return c.array.Icol_max > 0.0;
}
void no_line_limit(CrossbarParameters& c) {
  c.array.Icol_max = 0.0;
}
void copy_line_limit(const CrossbarParameters& from, CrossbarParameters& to) {
  to.array.Icol_max = from.array.Icol_max;
}

// --- converters -------------------------------------------------------------------------------------------------------

bool has_adc(const CrossbarParameters& c) {
  return c.adc.converts();
}
bool converts_slices(const CrossbarParameters& c) {
  return c.adc.adc_per_ibit;
}
void no_adc(CrossbarParameters& c) {
  c.adc = {};
}
void no_mismatch(CrossbarParameters& c) {
  c.adc.sigma_capacitor = c.adc.sigma_C1 = c.adc.sigma_C2 = c.adc.sigma_Cpar = 0.0;
}
void no_offsets(CrossbarParameters& c) {
  c.adc.sigma_comparator = 0.0;
}
void exact_gain(CrossbarParameters& c) {
  if (c.adc.is_circuit()) c.adc.gain_db = ideal_gain_db;
}
void no_inl(CrossbarParameters& c) {
  c.adc.inl.clear();
}
void copy_adc(const CrossbarParameters& from, CrossbarParameters& to) {
  to.adc = from.adc;
  no_mismatch(to);
  no_offsets(to);
  exact_gain(to);
  no_inl(to);
}

bool has_mismatch(const CrossbarParameters& c) {
  const AdcParameters& a = c.adc;
  return a.converts() && a.is_circuit() &&
         (a.sigma_capacitor > 0.0 || a.sigma_C1 > 0.0 || a.sigma_C2 > 0.0 || a.sigma_Cpar > 0.0);
}
void copy_mismatch(const CrossbarParameters& from, CrossbarParameters& to) {
  to.adc.sigma_capacitor = from.adc.sigma_capacitor;
  to.adc.sigma_C1 = from.adc.sigma_C1;
  to.adc.sigma_C2 = from.adc.sigma_C2;
  to.adc.sigma_Cpar = from.adc.sigma_Cpar;
}
bool has_offsets(const CrossbarParameters& c) {
  return c.adc.converts() && c.adc.is_circuit() && c.adc.sigma_comparator > 0.0;
}
void copy_offsets(const CrossbarParameters& from, CrossbarParameters& to) {
  to.adc.sigma_comparator = from.adc.sigma_comparator;
}
bool has_finite_gain(const CrossbarParameters& c) {
  return c.adc.converts() && c.adc.is_circuit() && c.adc.gain_db < ideal_gain_db;
}
void copy_gain(const CrossbarParameters& from, CrossbarParameters& to) {
  to.adc.gain_db = from.adc.gain_db;
}
bool has_inl(const CrossbarParameters& c) {
  return c.adc.converts() && !c.adc.inl.empty();
}
void copy_inl(const CrossbarParameters& from, CrossbarParameters& to) {
  to.adc.inl = from.adc.inl;
}

}  // namespace

std::vector<Effect> crossbar() {
  const std::string cores = "crossbar_cores.md", wires = "crossbar_wires.md", cells = "crossbar_devices.md",
                    converters = "crossbar_converters.md";
  const EffectNeed adc{"crossbar ADC"};
  return {
      mechanism<has_dac, no_dac, copy_dac>("crossbar DAC", 27, cores, "v = Q(x f / (max - min)), digits of v",
                                           "xbar.dac.mvm", {}),
      mechanism<has_levels, no_levels, copy_levels>("crossbar weights", 28, cores,
                                                    "Q = rint(w (2^(B-1) - 1)) in slices; levels of cells",
                                                    "core.weight_bits", {}),
      mechanism<has_cell_errors, no_cell_errors, copy_cell_errors>(
          "cell errors", 33, cells, "g -> programmed, drifted g", "xbar.device.programming_error", {}),
      mechanism<has_nonlinear_cells, no_nonlinear_cells, copy_nonlinear_cells>(
          "nonlinear cells", 41, cells, "I = G V + c2 V^2 + c3 V^3", "xbar.device.nonlinear_IV", {}),
      mechanism<has_wires, no_wires, copy_wires>(
          "wires", 42, wires, "I = M V, M the effective matrix", "xbar.array.parasitics",
          {{"crossbar DAC", when<gated>}, {"crossbar weights", when<disables_slices>}}),
      mechanism<has_read_noise, no_read_noise, copy_read_noise>(
          "cell read noise", 51, cells, "g + sigma(g) xi in every read", "xbar.device.read_noise", {}),
      mechanism<has_line_limit, no_line_limit, copy_line_limit>(
          "line saturation", 62, cores, "I = clamp(I, -Icol_max, Icol_max)", "xbar.array.Icol_max", {}),
      mechanism<has_adc, no_adc, copy_adc>(
          "crossbar ADC", 81, converters, "I -> nearest level within the range of its slice", "xbar.adc.mvm",
          {{"crossbar DAC", when<converts_slices>}, {"crossbar weights", when<needs_levels>}}),
      mechanism<has_mismatch, no_mismatch, copy_mismatch>(
          "ADC capacitor mismatch", 82, converters, "C -> C + sigma sqrt(C) xi", "xbar.adc.mvm.sigma_capacitor", {adc}),
      mechanism<has_offsets, no_offsets, copy_offsets>(
          "ADC comparator offset", 83, converters, "V > T becomes V > T - o", "xbar.adc.mvm.sigma_comparator", {adc}),
      mechanism<has_finite_gain, exact_gain, copy_gain>("ADC amplifier gain", 84, converters,
                                                        "L -> L / (1 + 1/(A beta))", "xbar.adc.mvm.gain_db", {adc}),
      mechanism<has_inl, no_inl, copy_inl>("ADC nonlinearity", 86, converters,
                                           "threshold of code c moved by inl_c steps", "xbar.adc.mvm.inl", {adc})};
}

}  // namespace tessera::tile
