#include "tessera/circuit/parameters.hpp"

#include <algorithm>
#include <cmath>

#include "tessera/circuit/cell_law.hpp"
#include "tessera/core/problems.hpp"

namespace tessera::circuit {
namespace {

void not_negative(Problems& checks, double value, const std::string& key, const char* unit) {
  checks.require(value >= 0.0 && std::isfinite(value), key, "{}{} has no meaning; give a finite value >= 0", value,
                 unit);
}

void check_core(const CrossbarParameters& p, Problems& checks) {
  const CoreParameters& core = p.core;
  checks.require(core.rows_max >= 0, "core.rows_max", "{} inputs; give a size, or 0 for no limit", core.rows_max);
  checks.require(core.cols_max >= 0, "core.cols_max", "{} outputs; give a size, or 0 for no limit", core.cols_max);
  checks.require(core.weight_bits >= 0 && core.weight_bits <= 24, "core.weight_bits",
                 "{} bits; float32 weights have 0 (not quantized) to 24", core.weight_bits);
  if (core.style == CoreStyle::BITSLICED) {
    const int n = core.bit_sliced.num_slices;
    checks.require(n >= 1, "core.bit_sliced.num_slices", "{} slices; give at least 1", n);
    checks.require(core.weight_bits >= 2, "core.weight_bits",
                   "a bit-sliced core slices an integer: give 2 to 24 bits (here {})", core.weight_bits);
    const int magnitude = core.bit_sliced.style == BitSlicedStyle::BALANCED ? core.weight_bits - 1 : core.weight_bits;
    if (n >= 1 && core.weight_bits >= 2)
      checks.require(p.slice_bits() * (n - 1) < std::max(magnitude, 1), "core.bit_sliced.num_slices",
                     "{} slices of {} bits leave nothing for the last one of {} bits; use fewer slices", n,
                     p.slice_bits(), magnitude);
  }
  checks.require(!(core.style == CoreStyle::BALANCED || core.style == CoreStyle::BITSLICED) ||
                     !core.balanced.interleaved_posneg || core.balanced.subtract_current_in_xbar,
                 "core.balanced.interleaved_posneg",
                 "interleaved pairs share an output line, so their currents meet in the array; set "
                 "subtract_current_in_xbar: true");
  const WeightMapping& w = core.weights;
  const bool limits = w.min.has_value() || w.max.has_value();
  checks.require(w.percentile.has_value() != limits, "core.mapping.weights.percentile",
                 "give either a percentile or min and max{}", limits ? " (percentile: null with limits)" : "");
  if (w.percentile)
    checks.require(*w.percentile > 0.0 && std::isfinite(*w.percentile), "core.mapping.weights.percentile",
                   "{}; give a fraction in (0, 1) or a head room >= 1", *w.percentile);
  if (limits) {
    checks.require(w.min.has_value() && w.max.has_value(),
                   w.min ? "core.mapping.weights.max" : "core.mapping.weights.min", "both limits are needed");
    if (w.min && w.max)
      checks.require(*w.min < *w.max && std::isfinite(*w.min) && std::isfinite(*w.max), "core.mapping.weights.min",
                     "[{}, {}] is no range", *w.min, *w.max);
  }
  for (const auto& [list, key] : {std::pair{&w.row_partition_priority, "core.mapping.weights.row_partition_priority"},
                                  std::pair{&w.col_partition_priority, "core.mapping.weights.col_partition_priority"}})
    for (const int d : *list) checks.require(d >= 1, key, "{} divides no array; give integers >= 1", d);
  const InputMapping& x = core.inputs;
  checks.require(x.min < x.max && std::isfinite(x.min) && std::isfinite(x.max), "core.mapping.inputs.mvm.min",
                 "[{}, {}] is no range", x.min, x.max);
  if (x.percentile)
    checks.require(*x.percentile > 0.0 && std::isfinite(*x.percentile), "core.mapping.inputs.mvm.percentile",
                   "{}; give a fraction in (0, 1) or a head room >= 1", *x.percentile);
}

void check_device(const CrossbarParameters& p, Problems& checks) {
  const CellParameters& d = p.device;
  const std::string key = "xbar.device.";
  checks.require(d.cell_bits >= 0 && d.cell_bits <= 16, key + "cell_bits", "{} bits; give 0 (continuous) to 16",
                 d.cell_bits);
  checks.require(d.Rmin > 0.0 && std::isfinite(d.Rmin), key + "Rmin", "{} ohm; give a finite resistance > 0", d.Rmin);
  checks.require(d.infinite_on_off_ratio || d.Rmax > d.Rmin, key + "Rmax",
                 "Rmax = {} ohm must be above Rmin = {} ohm (or set infinite_on_off_ratio)", d.Rmax, d.Rmin);
  checks.require(d.Vread > 0.0 && std::isfinite(d.Vread), key + "Vread", "{} V; give a voltage > 0", d.Vread);
  not_negative(checks, d.time, key + "time", " days");
  checks.require(p.core.style != CoreStyle::OFFSET || d.cell_bits != 1, key + "cell_bits",
                 "an offset core needs a level for weight 0 between two others; use 2 bits or more");
  for (const auto& [error, name] :
       {std::pair{&d.read_noise, "read_noise"}, std::pair{&d.programming_error, "programming_error"},
        std::pair{&d.drift_error, "drift_error"}}) {
    not_negative(checks, error->magnitude, key + name + ".magnitude", "");
    if (!error->active()) continue;
    const bool measured = error->model >= ErrorModel::PCMJoshi;
    if (name == std::string("read_noise"))
      checks.require(!measured || error->model == ErrorModel::SONOS, key + name + ".model",
                     "the measured data of this device has no read noise; use a Normal.. or Uniform.. law or SONOS");
    if (name == std::string("drift_error"))
      checks.require(!measured || error->model == ErrorModel::SONOS, key + name + ".model",
                     "the measured data of this device has no drift; use SONOS or a Normal.. or Uniform.. law, or "
                     "noise_model of rpu_config");
  }
  if (d.nonlinear_IV.active()) {
    const CellLaw law =
        d.nonlinear_IV.model == CellLawModel::CubicDevice ? CellLaw(CubicCell{}) : CellLaw(RramMiloCell{});
    checks.require(d.Vread <= voltage_limit(law), key + "Vread",
                   "{} V is beyond the range of the nonlinear law, which is known up to {} V", d.Vread,
                   voltage_limit(law));
  }
}

void check_array_parameters(const CrossbarParameters& p, Problems& checks) {
  not_negative(checks, p.array.Icol_max, "xbar.array.Icol_max", "");
  const ParasiticsParameters& wires = p.array.parasitics;
  const std::string key = "xbar.array.parasitics.";
  std::vector<Problem> wire_problems;
  find_problems(Wires{.row_ohm = wires.Rp_row,
                      .column_ohm = wires.Rp_col,
                      .row_terminal_ohm = wires.Rp_row_terminal,
                      .column_terminal_ohm = wires.Rp_col_terminal},
                key, wire_problems);
  for (Problem& problem : wire_problems) checks.add(problem.key, std::move(problem.message));
  if (!wires.current_from_input)
    checks.require(p.dac.input_bitslicing && p.dac.slice_size == 1, key + "current_from_input",
                   "gates know on and off only: a separate source needs input_bitslicing with slice_size 1");
  for (const int slice : wires.disable_slices)
    checks.require(slice >= 0 && slice < p.slices(), key + "disable_slices", "slice {} of {} does not exist", slice,
                   p.slices());
}

void check_dac(const CrossbarParameters& p, Problems& checks) {
  const DacParameters& dac = p.dac;
  const std::string key = "xbar.dac.mvm.";
  const double low = p.core.inputs.min, high = p.core.inputs.max;
  checks.require(dac.bits >= 0 && dac.bits <= 24, key + "bits", "{} bits; give 0 (none) to 24", dac.bits);
  if (dac.input_bitslicing) {
    checks.require(dac.bits > 0, key + "bits", "input_bitslicing needs bits to slice; give the DAC bits");
    checks.require(dac.slice_size >= 1, key + "slice_size", "slices of {} bits; give at least 1", dac.slice_size);
    checks.require(dac.bits == 0 || dac.magnitude_bits() >= 1, key + "bits",
                   "a signed DAC of 1 bit has no magnitude to slice");
    checks.require(!(dac.model == DacModel::QuantizerDAC && dac.is_signed), key + "model",
                   "a signed QuantizerDAC has no level 0 and its steps are no digits; slice a SignMagnitudeDAC");
  }
  if (dac.model == DacModel::SignMagnitudeDAC) {
    checks.require(dac.is_signed, key + "signed", "a SignMagnitudeDAC is signed; use QuantizerDAC for unsigned inputs");
    checks.require(low == -high, "core.mapping.inputs.mvm.min",
                   "a SignMagnitudeDAC needs a symmetric range; [{}, {}] is none", low, high);
    checks.require(dac.bits != 1, key + "bits", "a SignMagnitudeDAC of 1 bit knows 0 only");
  }
  if (dac.model == DacModel::QuantizerDAC && !dac.is_signed)
    checks.require(low >= 0.0, "core.mapping.inputs.mvm.min", "an unsigned QuantizerDAC has no negative limit ({})",
                   low);
}

void check_ranges(const CrossbarParameters& p, Problems& checks) {
  const AdcParameters& adc = p.adc;
  const std::string key = "xbar.adc.mvm.calibrated_range";
  const bool wanted = adc.converts() && adc.adc_range_option == AdcRangeOption::CALIBRATED;
  if (wanted && !adc.calibrated_range.empty())
    checks.require(adc.calibrated_range.size() == static_cast<std::size_t>(p.slices()), key,
                   "{} ranges for {} weight slice{}; give one per slice, LSB slice first", adc.calibrated_range.size(),
                   p.slices(), p.slices() == 1 ? "" : "s");
  for (const AdcRange& range : adc.calibrated_range) {
    checks.require(range.low < range.high && std::isfinite(range.low) && std::isfinite(range.high), key,
                   "[{}, {}] is no range", range.low, range.high);
    if (wanted && adc.model == AdcModel::SignMagnitudeADC)
      checks.require(range.low == -range.high, key, "a SignMagnitudeADC needs a symmetric range; [{}, {}] is none",
                     range.low, range.high);
  }
}

void check_adc(const CrossbarParameters& p, Problems& checks) {
  const AdcParameters& adc = p.adc;
  const std::string key = "xbar.adc.mvm.";
  checks.require(adc.bits >= 0 && adc.bits <= (adc.is_circuit() ? 16 : 24), key + "bits",
                 "{} bits; give 0 (none) to {}", adc.bits, adc.is_circuit() ? 16 : 24);
  checks.require(!adc.adc_per_ibit || p.dac.input_bitslicing, key + "adc_per_ibit",
                 "converting every input slice needs input_bitslicing");
  checks.require(adc.adc_range_option != AdcRangeOption::GRANULAR || adc.adc_per_ibit, key + "adc_range_option",
                 "GRANULAR steps exist for single input slices only: set adc_per_ibit");
  if (adc.adc_range_option == AdcRangeOption::GRANULAR && adc.converts() &&
      p.compat.adc_range_rule == AdcRangeRule::INTENT)
    checks.require(p.core.style == CoreStyle::BITSLICED || p.device.cell_bits > 0, key + "adc_range_option",
                   "GRANULAR needs currents that come in steps: bit-sliced weights or cell_bits");
  if (adc.model == AdcModel::SignMagnitudeADC) {
    checks.require(adc.is_signed, key + "signed", "a SignMagnitudeADC is signed");
    checks.require(adc.bits != 1, key + "bits", "a SignMagnitudeADC of 1 bit knows 0 only");
  }
  checks.require(!adc.stochastic_rounding || adc.model == AdcModel::QuantizerADC ||
                     adc.model == AdcModel::SignMagnitudeADC || adc.model == AdcModel::IdealADC,
                 key + "stochastic_rounding", "a circuit decides, it does not draw; use QuantizerADC");
  checks.require(!adc.is_circuit() || adc.bits == 0 || adc.bits >= 2, key + "bits",
                 "a converter circuit of 1 bit is a comparator; give 2 bits or more");
  checks.require(std::isfinite(adc.gain_db), key + "gain_db", "{} dB is no gain", adc.gain_db);
  checks.require(adc.group_size >= 1, key + "group_size", "{} outputs share no converter; give at least 1",
                 adc.group_size);
  for (const auto& [value, name] :
       {std::pair{adc.sigma_capacitor, "sigma_capacitor"}, std::pair{adc.sigma_comparator, "sigma_comparator"},
        std::pair{adc.sigma_C1, "sigma_C1"}, std::pair{adc.sigma_C2, "sigma_C2"},
        std::pair{adc.sigma_Cpar, "sigma_Cpar"}})
    not_negative(checks, value, key + name, "");
  check_ranges(p, checks);
  const bool even = adc.model == AdcModel::QuantizerADC;
  if (const auto* levels = std::get_if<std::vector<double>>(&adc.levels); levels != nullptr && !levels->empty()) {
    checks.require(even, key + "levels", "levels of its own belong to a QuantizerADC");
    checks.require(levels->size() >= 2 && adc.bits >= 1 && adc.bits <= 24 &&
                       levels->size() <= std::size_t{1} << static_cast<unsigned>(std::clamp(adc.bits, 1, 24)),
                   key + "levels", "{} levels for {} bits; give 2 to 2^bits", levels->size(), adc.bits);
    checks.require(std::is_sorted(levels->begin(), levels->end(), std::less_equal<>{}) &&
                       std::all_of(levels->begin(), levels->end(), [](double v) { return std::isfinite(v); }),
                   key + "levels", "levels must be finite and ascend");
    checks.require(p.slices() == 1, key + "levels", "one list of levels serves one weight slice, not {}", p.slices());
  }
  if (std::holds_alternative<OptimalLevels>(adc.levels))
    checks.require(even, key + "levels", "levels of its own belong to a QuantizerADC");
  if (!adc.inl.empty()) {
    checks.require(even, key + "inl", "a table of nonlinearity belongs to a QuantizerADC");
    checks.require(
        adc.bits >= 1 && adc.bits <= 16 && adc.inl.size() == std::size_t{1} << static_cast<unsigned>(adc.bits),
        key + "inl", "{} values for {} bits; give one per code (at most 16 bits)", adc.inl.size(), adc.bits);
    checks.require(std::all_of(adc.inl.begin(), adc.inl.end(), [](double v) { return std::isfinite(v); }), key + "inl",
                   "nonlinearities must be finite");
  }
}

}  // namespace

int CrossbarParameters::slice_bits() const {
  const int n = core.bit_sliced.num_slices, bits = core.weight_bits;
  if (core.style != CoreStyle::BITSLICED || n < 1) return bits;
  if (bits % n == 0) return bits / n;
  const int stored = core.bit_sliced.style == BitSlicedStyle::BALANCED ? bits - 1 : bits;
  return (stored + n - 1) / n;
}

bool CrossbarParameters::has_pairs() const {
  return core.style == CoreStyle::BALANCED ||
         (core.style == CoreStyle::BITSLICED && core.bit_sliced.style == BitSlicedStyle::BALANCED);
}

bool CrossbarParameters::has_unit_column() const {
  return !has_pairs() && core.offset.style == OffsetStyle::UNIT_COLUMN_SUBTRACTION;
}

bool CrossbarParameters::subtracts_in_array() const {
  return has_pairs() && (core.balanced.subtract_current_in_xbar || core.balanced.interleaved_posneg);
}

void find_problems(const CrossbarParameters& parameters, std::vector<Problem>& problems) {
  Problems checks;
  check_core(parameters, checks);
  check_device(parameters, checks);
  check_array_parameters(parameters, checks);
  check_dac(parameters, checks);
  check_adc(parameters, checks);
  checks.require(parameters.compensate == Compensation::none ||
                     (parameters.array.parasitics.current_from_input && !parameters.device.nonlinear_IV.active()),
                 "compensate", "wires can be made up for with an input source and linear cells only");
  const SimulationParameters& s = parameters.simulation;
  checks.require(s.Niters_max_parasitics >= 1, "simulation.Niters_max_parasitics", "{} iterations; give at least 1",
                 s.Niters_max_parasitics);
  checks.require(s.Verr_th_mvm > 0.0, "simulation.Verr_th_mvm", "{}; give a tolerance > 0", s.Verr_th_mvm);
  checks.require(s.relaxation_gamma > 0.0 && s.relaxation_gamma <= 1.0, "simulation.relaxation_gamma",
                 "{}; give a step in (0, 1]", s.relaxation_gamma);
  for (Problem& problem : checks.take()) problems.push_back(std::move(problem));
}

void validate(const CrossbarParameters& parameters) {
  std::vector<Problem> problems;
  find_problems(parameters, problems);
  if (!problems.empty()) throw ConfigError(std::move(problems));
}

Wires normalised_wires(const CrossbarParameters& p, std::int64_t inputs) {
  const ParasiticsParameters& wires = p.array.parasitics;
  if (!wires.enable) return Wires{.current_from_input = wires.current_from_input};
  const double unit = 1.0 / p.device.Rmin;
  const std::int64_t lines = std::max(p.core.rows_max, inputs);
  return Wires{.row_ohm = wires.Rp_row * unit,
               .column_ohm = wires.Rp_col * unit,
               .row_terminal_ohm = wires.Rp_row_terminal * unit,
               .column_terminal_ohm = wires.Rp_col_terminal * unit,
               .current_from_input = wires.current_from_input,
               .unselected = wires.current_from_input ? 0 : lines - inputs,
               .selected = wires.selected_rows};
}

}  // namespace tessera::circuit
