#include "crossbar_tables.hpp"

#include "crossbar_converter_tables.hpp"
#include "ranges.hpp"
#include "tessera/config/document.hpp"
#include "tessera/config/section.hpp"

namespace tessera::spec {

namespace {

using namespace circuit;
using config::choice;
using config::Node;
using config::Range;
using config::Report;
using config::Section;
using config::Type;

Type<PartitionStrategy> partition_strategy() {
  return choice<PartitionStrategy>(
      {{"MAX", PartitionStrategy::MAX, {"1"}}, {"EQUAL", PartitionStrategy::EQUAL, {"2"}}});
}

Type<WeightMapping> weight_mapping() {
  using P = WeightMapping;
  return Section<P>("CrossbarWeightMapping", "Limits of the weights: what becomes the largest conductance.")
      .field("clipping", &P::clipping, {.help = "clip weights to the limits"})
      .field("percentile", &P::percentile,
             {.help = "below 1: quantile of the weights; from 1 on: head room over the largest; null: min and max"})
      .field("min", &P::min, {.help = "with max, in place of percentile"})
      .field("max", &P::max, {.help = "with min, in place of percentile"})
      .field("row_partition_priority", &P::row_partition_priority, {.help = "divisors of cols_max tried first"})
      .field("col_partition_priority", &P::col_partition_priority, {.help = "divisors of rows_max tried first"})
      .field("row_partition_strategy", &P::row_partition_strategy, partition_strategy(), {.help = "of the outputs"})
      .field("col_partition_strategy", &P::col_partition_strategy, partition_strategy(), {.help = "of the inputs"});
}

Type<InputMapping> input_mapping() {
  using P = InputMapping;
  const Type<P> mvm = Section<P>("CrossbarInputLimits", "The inputs that drive the lines with full voltage.")
                          .field("min", &P::min, {.help = "of the inputs behind pre_post.input_range"})
                          .field("max", &P::max, {.help = "of the inputs behind pre_post.input_range"})
                          .field("percentile", &P::percentile, {.help = "not for networks; calibrate instead"})
                          .field("clipping", &P::clipping, {.help = "clip inputs to the limits without DAC bits too"});
  return Section<P>("CrossbarInputMapping", "Limits of the inputs by operation.")
      .group("mvm", mvm)
      .unused("vmm", "the transposed product of the peer")
      .unused("match", "copies mvm to vmm in the peer");
}

Type<CoreParameters> core_keys() {
  using P = CoreParameters;
  const Type<P> mapping = Section<P>("CrossbarMapping", "From numbers to conductances and voltages.")
                              .field("weights", &P::weights, weight_mapping())
                              .field("inputs", &P::inputs, input_mapping());
  const Type<BalancedParameters> balanced =
      Section<BalancedParameters>("CrossbarBalanced", "Pairs of cells per weight.")
          .field("style", &BalancedParameters::style,
                 choice<BalancedStyle>(
                     {{"ONE_SIDED", BalancedStyle::ONE_SIDED, {"1"}}, {"TWO_SIDED", BalancedStyle::TWO_SIDED, {"2"}}}),
                 {.help = "one cell of a pair stays off, or both move"})
          .field("interleaved_posneg", &BalancedParameters::interleaved_posneg,
                 {.help = "both cells on one output line, the second driven with the opposite voltage"})
          .field("subtract_current_in_xbar", &BalancedParameters::subtract_current_in_xbar,
                 {.help = "before the converter; false: each line has its own conversions"});
  const Type<BitSlicedParameters> sliced =
      Section<BitSlicedParameters>("CrossbarBitSliced", "Digits of the weights in arrays of their own.")
          .field("style", &BitSlicedParameters::style,
                 choice<BitSlicedStyle>(
                     {{"BALANCED", BitSlicedStyle::BALANCED, {"1"}}, {"OFFSET", BitSlicedStyle::OFFSET, {"3"}}}),
                 {.help = "sign and magnitude on pairs, or an offset integer"})
          .field("num_slices", &BitSlicedParameters::num_slices,
                 {.range = Range::between(1.0, 24.0), .help = "arrays"});
  const Type<OffsetParameters> offset =
      Section<OffsetParameters>("CrossbarOffset", "How the offset of single cells is subtracted.")
          .field("style", &OffsetParameters::style,
                 choice<OffsetStyle>({{"DIGITAL_OFFSET", OffsetStyle::DIGITAL_OFFSET, {"1"}},
                                      {"UNIT_COLUMN_SUBTRACTION", OffsetStyle::UNIT_COLUMN_SUBTRACTION, {"2"}}}),
                 {.help = "digitally, or by an output line of its own"});
  return Section<P>("CrossbarCore", "How weights are represented by cells.")
      .field("style", &P::style,
             choice<CoreStyle>({{"BALANCED", CoreStyle::BALANCED, {"1"}},
                                {"BITSLICED", CoreStyle::BITSLICED, {"2"}},
                                {"OFFSET", CoreStyle::OFFSET, {"3"}}}),
             {.help = "pairs, digits, or single cells around an offset"})
      .field("rows_max", &P::rows_max, {.range = non_negative, .help = "inputs of an array; 0: mapping.max_input_size"})
      .field("cols_max", &P::cols_max,
             {.range = non_negative, .help = "outputs of an array; 0: mapping.max_output_size"})
      .field("weight_bits", &P::weight_bits,
             {.unit = "bit", .range = Range::between(0.0, 24.0), .help = "of bit-sliced weights"})
      .field("balanced", &P::balanced, balanced)
      .field("bit_sliced", &P::bit_sliced, sliced)
      .field("offset", &P::offset, offset)
      .group("mapping", mapping)
      .unused("complex_matrix", "complex matrices of the peer")
      .unused("complex_input", "complex matrices of the peer");
}

Type<ErrorParameters> error_keys() {
  using P = ErrorParameters;
  using M = ErrorModel;
  return Section<P>("CrossbarCellError", "An effect on conductances; docs/models/crossbar_devices.md.")
      .field("enable", &P::enable, {.help = "whether it acts"})
      .field("model", &P::model,
             choice<M>({{"IdealDevice", M::IdealDevice},
                        {"NormalIndependentDevice", M::NormalIndependentDevice},
                        {"UniformIndependentDevice", M::UniformIndependentDevice},
                        {"NormalProportionalDevice", M::NormalProportionalDevice},
                        {"UniformProportionalDevice", M::UniformProportionalDevice},
                        {"NormalInverseProportionalDevice", M::NormalInverseProportionalDevice},
                        {"UniformInverseProportionalDevice", M::UniformInverseProportionalDevice},
                        {"PCMJoshi", M::PCMJoshi},
                        {"RRAMMilo", M::RRAMMilo},
                        {"RRAMWan", M::RRAMWan},
                        {"SONOS", M::SONOS}}),
             {.help = "law"})
      .field("magnitude", &P::magnitude, {.range = non_negative, .help = "of the Normal.. and Uniform.. laws"});
}

Type<CellParameters> device_keys() {
  using P = CellParameters;
  const Type<NonlinearParameters> nonlinear =
      Section<NonlinearParameters>("CrossbarNonlinearIV", "Current of a cell over its voltage.")
          .field("enable", &NonlinearParameters::enable, {.help = "whether it acts"})
          .field("model", &NonlinearParameters::model,
                 choice<CellLawModel>({{"IdealDevice", CellLawModel::IdealDevice},
                                       {"CubicDevice", CellLawModel::CubicDevice},
                                       {"RRAMMilo", CellLawModel::RRAMMilo}}),
                 {.help = "law"})
          .unused("magnitude", "no law of this kind has one");
  return Section<P>("CrossbarDevice", "The cells.")
      .field("cell_bits", &P::cell_bits,
             {.unit = "bit", .range = Range::between(0.0, 16.0), .help = "levels of a cell; 0: continuous"})
      .field("Rmin", &P::Rmin, {.unit = "ohm", .range = positive, .help = "of a fully-on cell"})
      .field("Rmax", &P::Rmax, {.unit = "ohm", .range = positive, .help = "of an off cell"})
      .field("Vread", &P::Vread, {.unit = "V", .range = positive, .help = "voltage of a full input"})
      .field("time", &P::time, {.unit = "d", .range = non_negative, .help = "after programming"})
      .field("infinite_on_off_ratio", &P::infinite_on_off_ratio, {.help = "off cells conduct nothing"})
      .field("clip_conductance", &P::clip_conductance, {.help = "errors stay within Rmin and Rmax"})
      .field("read_noise", &P::read_noise, error_keys())
      .field("programming_error", &P::programming_error, error_keys())
      .field("drift_error", &P::drift_error, error_keys())
      .field("nonlinear_IV", &P::nonlinear_IV, nonlinear);
}

Type<circuit::ArrayParameters> array_keys() {
  using W = ParasiticsParameters;
  const Type<W> wires =
      Section<W>("CrossbarParasitics", "The wires of an array, solved exactly; docs/models/crossbar_wires.md.")
          .field("enable", &W::enable, {.help = "whether wires have resistance"})
          .field("Rp_row", &W::Rp_row,
                 {.unit = "ohm", .range = non_negative, .help = "per segment of an input (or supply) line"})
          .field("Rp_col", &W::Rp_col, {.unit = "ohm", .range = non_negative, .help = "per segment of an output line"})
          .field("Rp_row_terminal", &W::Rp_row_terminal,
                 {.unit = "ohm", .range = non_negative, .help = "between driver and first segment"})
          .field("Rp_col_terminal", &W::Rp_col_terminal,
                 {.unit = "ohm", .range = non_negative, .help = "between last segment and sense node"})
          .field("current_from_input", &W::current_from_input,
                 {.help = "false: inputs only open and close cells, a supply line carries the current"})
          .field("selected_rows", &W::selected_rows,
                 choice<SelectedRows>({{"top", SelectedRows::top}, {"bottom", SelectedRows::bottom}}),
                 {.help = "where the used lines of a gated array lie: far from the sense node, or near it"})
          .field("disable_slices", &W::disable_slices, {.help = "weight slices whose wires are ideal"});
  return Section<circuit::ArrayParameters>("CrossbarArray", "The array around the cells.")
      .field("Icol_max", &circuit::ArrayParameters::Icol_max,
             {.range = non_negative, .help = "saturation of a line, in currents of one fully-on cell; 0: none"})
      .field("parasitics", &circuit::ArrayParameters::parasitics, wires);
}

Type<SimulationParameters> simulation_keys() {
  using P = SimulationParameters;
  const std::string numerics = "a matter of the peer's numerics";
  Section<P> section("CrossbarSimulation", "How the wires are solved.");
  section
      .field("solver", &P::solver,
             choice<Solver>({{"EXACT", Solver::EXACT}, {"CG", Solver::CG}, {"FIXED_POINT", Solver::FIXED_POINT}}),
             {.help = "EXACT; CG and FIXED_POINT (the peer's) solve every vector and are for comparison"})
      .field("Niters_max_parasitics", &P::Niters_max_parasitics,
             {.range = Range::at_least(1.0), .help = "FIXED_POINT: iterations before the step is reduced"})
      .field("Verr_th_mvm", &P::Verr_th_mvm, {.range = positive, .help = "FIXED_POINT: tolerance"})
      .field("relaxation_gamma", &P::relaxation_gamma,
             {.range = Range{.low = 0.0, .high = 1.0, .low_open = true}, .help = "FIXED_POINT: first step"});
  for (const char* key : {"Verr_matmul_criterion", "disable_fast_balanced", "disable_fast_matmul",
                          "disable_fast_nonlinear_IV", "fast_balanced", "fast_matmul", "useGPU", "gpu_id",
                          "multistage_parasitics", "hide_convergence_msg", "convolution", "analytics"})
    section.unused(key, numerics);
  return section;
}

template <class E>
Type<E> either(const char* ours, E intent, E peer) {
  return choice<E>({{ours, intent}, {"CROSSSIM", peer}});
}

Type<CompatParameters> compat_keys() {
  using P = CompatParameters;
  return Section<P>("CrossbarCompat", "Where the circuit and the peer differ: CROSSSIM takes the peer's side.")
      .field("adc_range_rule", &P::adc_range_rule, either("INTENT", AdcRangeRule::INTENT, AdcRangeRule::CROSSSIM),
             {.help = "ranges of MAX and GRANULAR, span of converter circuits"})
      .field("cdac_gain", &P::cdac_gain, either("FEEDBACK", CdacGain::FEEDBACK, CdacGain::CROSSSIM),
             {.help = "gain and load of capacitor arrays"})
      .field("ramp_code", &P::ramp_code, either("FIRST_CROSSING", RampCode::FIRST_CROSSING, RampCode::CROSSSIM),
             {.help = "CROSSSIM: the nearest level"})
      .field("gated_signed", &P::gated_signed, either("TWO_PASS", GatedSigned::TWO_PASS, GatedSigned::CROSSSIM),
             {.help = "signed inputs of gated arrays; CROSSSIM: a source in series with every cell"})
      .field("sar_capacitors", &P::sar_capacitors,
             either("PER_GROUP", SarCapacitors::PER_GROUP, SarCapacitors::CROSSSIM),
             {.help = "CROSSSIM: one draw for all converters"})
      .field("partition_sizes", &P::partition_sizes,
             either("DIFFER_BY_ONE", PartitionSizes::DIFFER_BY_ONE, PartitionSizes::CROSSSIM),
             {.help = "of EQUAL tiles of a single matrix; networks are cut by `mapping`"});
}

Type<CrossbarParameters> crossbar_keys() {
  using P = CrossbarParameters;
  const Type<P> xbar = Section<P>("CrossbarXbar", "Cells, array and converters.")
                           .field("device", &P::device, device_keys())
                           .field("array", &P::array, array_keys())
                           .field("dac", &P::dac, crossbar_dac())
                           .field("adc", &P::adc, crossbar_adc());
  return Section<P>(
             "CrossbarParameters",
             "Tiles as circuits in place of `forward`: CrossSim's parameter tree, or the path of a CrossSim JSON "
             "file. docs/guide/crossbars.md")
      .field("core", &P::core, core_keys())
      .group("xbar", xbar)
      .field("simulation", &P::simulation, simulation_keys())
      .field("compat", &P::compat, compat_keys())
      .field("compensate", &P::compensate,
             choice<Compensation>({{"none", Compensation::none}, {"wires", Compensation::wires}}),
             {.help = "wires: program conductances such that the array with wires computes the wanted weights, as far "
                      "as the range allows"});
}

}  // namespace

Type<std::optional<CrossbarParameters>> crossbar_parameters() {
  const auto keys = config::optional(crossbar_keys());
  const Type<std::string> path = config::path();
  auto info = std::make_shared<config::TypeInfo>(*keys.info);
  info->scalar_allowed = true;
  info->element = path.info;
  return {
      info,
      [keys, path](const Node& node, const std::string& key, std::optional<CrossbarParameters>& value, Report& report) {
        if (!node.is_scalar()) {
          keys.read(node, key, value, report);
          return;
        }
        std::string file;
        path.read(node, key, file, report);
        if (file.empty()) return;
        try {
          value.emplace();
          keys.read(config::load(file), key, value, report);
        } catch (const Error& error) {
          report.problem(node.position, key, error.what());
        }
      },
      keys};
}

}  // namespace tessera::spec
