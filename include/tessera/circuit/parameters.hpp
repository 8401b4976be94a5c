#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "tessera/circuit/wires.hpp"

/// The parameter tree of a circuit-level crossbar: names, enumerators and defaults are CrossSim 3.2.0's, so that its
/// JSON files are read as they are. Plain data; validate() names every value and combination that has no meaning.
/// docs/guide/crossbars.md lists what is the same as in the peer and what differs on purpose.
namespace tessera::circuit {

enum class CoreStyle { BALANCED, BITSLICED, OFFSET };
enum class BalancedStyle { ONE_SIDED, TWO_SIDED };
enum class BitSlicedStyle { BALANCED, OFFSET };
enum class OffsetStyle { DIGITAL_OFFSET, UNIT_COLUMN_SUBTRACTION };
enum class PartitionStrategy { MAX, EQUAL };

/// Pairs of cells per weight: g+ and g- in [g0, 1].
struct BalancedParameters {
  BalancedStyle style = BalancedStyle::ONE_SIDED;
  bool interleaved_posneg = false;       ///< both cells of a pair on one output line, the second driven with -v
  bool subtract_current_in_xbar = true;  ///< before the converter; false: each line has its own conversions
  bool operator==(const BalancedParameters&) const = default;
};

/// Digits of the weight's integer in separate arrays.
struct BitSlicedParameters {
  BitSlicedStyle style = BitSlicedStyle::BALANCED;
  int num_slices = 2;
  bool operator==(const BitSlicedParameters&) const = default;
};

/// One cell per weight around a midpoint, which is subtracted digitally or by a converted line of its own.
struct OffsetParameters {
  OffsetStyle style = OffsetStyle::DIGITAL_OFFSET;
  bool operator==(const OffsetParameters&) const = default;
};

/// Limits of the weights: percentile q >= 1: q max|W|; q < 1: the larger magnitude of the quantiles q and 1 - q; or min
/// and max.
struct WeightMapping {
  bool clipping = true;
  std::optional<double> percentile = 1.0;
  std::optional<double> min = {};
  std::optional<double> max = {};
  std::vector<int> row_partition_priority = {};
  std::vector<int> col_partition_priority = {};
  PartitionStrategy row_partition_strategy = PartitionStrategy::EQUAL;
  PartitionStrategy col_partition_strategy = PartitionStrategy::EQUAL;
  bool operator==(const WeightMapping&) const = default;
};

/// Limits of the inputs, which become the DAC's full scale.
struct InputMapping {
  double min = -1.0;
  double max = 1.0;
  std::optional<double> percentile = {};  ///< limits from calibration
  bool clipping = false;                  ///< clip without DAC bits too
  bool operator==(const InputMapping&) const = default;
};

struct CoreParameters {
  CoreStyle style = CoreStyle::BALANCED;
  std::int64_t rows_max = 0;  ///< inputs of an array; 0: no limit
  std::int64_t cols_max = 0;  ///< outputs of an array; 0: no limit
  int weight_bits = 0;        ///< of the integer that is sliced
  BalancedParameters balanced = {};
  BitSlicedParameters bit_sliced = {};
  OffsetParameters offset = {};
  WeightMapping weights = {};  ///< key `mapping.weights`
  InputMapping inputs = {};    ///< key `mapping.inputs.mvm`
  bool operator==(const CoreParameters&) const = default;
};

enum class ErrorModel {
  IdealDevice,
  NormalIndependentDevice,
  UniformIndependentDevice,
  NormalProportionalDevice,
  UniformProportionalDevice,
  NormalInverseProportionalDevice,
  UniformInverseProportionalDevice,
  PCMJoshi,
  RRAMMilo,
  RRAMWan,
  SONOS
};

/// One effect on conductances (device_error.hpp).
struct ErrorParameters {
  bool enable = false;
  ErrorModel model = ErrorModel::IdealDevice;
  double magnitude = 0.0;
  bool active() const { return enable && model != ErrorModel::IdealDevice; }
  bool operator==(const ErrorParameters&) const = default;
};

enum class CellLawModel { IdealDevice, CubicDevice, RRAMMilo };

struct NonlinearParameters {
  bool enable = false;
  CellLawModel model = CellLawModel::IdealDevice;
  bool active() const { return enable && model != CellLawModel::IdealDevice; }
  bool operator==(const NonlinearParameters&) const = default;
};

struct CellParameters {
  int cell_bits = 0;     ///< 2^cell_bits levels; 0: continuous
  double Rmin = 1000.0;  ///< ohm
  double Rmax = 10000.0;
  double Vread = 0.1;                  ///< V
  double time = 0.0;                   ///< days after programming
  bool infinite_on_off_ratio = false;  ///< g0 = 0 whatever Rmax
  bool clip_conductance = false;       ///< after errors: to [g0, 1] instead of [0, inf)
  ErrorParameters read_noise = {};
  ErrorParameters programming_error = {};
  ErrorParameters drift_error = {};
  NonlinearParameters nonlinear_IV = {};
  /// Lowest conductance over the highest.
  double g0() const { return infinite_on_off_ratio ? 0.0 : Rmin / Rmax; }
  bool operator==(const CellParameters&) const = default;
};

struct ParasiticsParameters {
  bool enable = false;
  double Rp_row = 0.0;  ///< ohm per segment
  double Rp_col = 0.0;
  double Rp_row_terminal = 0.0;
  double Rp_col_terminal = 0.0;
  bool current_from_input = true;
  SelectedRows selected_rows = SelectedRows::top;
  std::vector<int> disable_slices = {};  ///< weight slices whose wires are ideal
  bool operator==(const ParasiticsParameters&) const = default;
};

struct ArrayParameters {
  double Icol_max = 0.0;  ///< line current, in units of one fully-on cell at full input; 0: no limit
  ParasiticsParameters parasitics = {};
  bool operator==(const ArrayParameters&) const = default;
};

enum class DacModel { IdealDAC, QuantizerDAC, SignMagnitudeDAC };

struct DacParameters {
  DacModel model = DacModel::IdealDAC;
  int bits = 0;
  bool is_signed = true;  ///< key `signed`
  bool input_bitslicing = false;
  int slice_size = 1;
  bool quantizes() const { return model != DacModel::IdealDAC && bits > 0; }
  /// Bits of the magnitude.
  int magnitude_bits() const { return is_signed ? bits - 1 : bits; }
  bool operator==(const DacParameters&) const = default;
};

enum class AdcModel { IdealADC, QuantizerADC, SignMagnitudeADC, RampADC, SarADC, PipelineADC, CyclicADC };
enum class AdcRangeOption { CALIBRATED, MAX, GRANULAR };

struct AdcRange {
  double low = 0.0;
  double high = 0.0;
  bool operator==(const AdcRange&) const = default;
};

/// `levels: optimal`: found by Lloyd-Max from calibrated column currents.
struct OptimalLevels {
  bool operator==(const OptimalLevels&) const = default;
};
/// Values of the codes, ascending, in normalised current; empty: evenly spaced.
using AdcLevels = std::variant<std::vector<double>, OptimalLevels>;

/// What calibration found for the converters of one weight slice.
struct ConverterSetting {
  AdcRange range = {};
  std::vector<double> levels = {};  ///< values of the codes with `levels: optimal`; empty: evenly spaced
  bool operator==(const ConverterSetting&) const = default;
};

struct AdcParameters {
  AdcModel model = AdcModel::IdealADC;
  int bits = 0;
  bool is_signed = true;  ///< key `signed`
  bool stochastic_rounding = false;
  bool adc_per_ibit = false;  ///< convert every input slice
  AdcRangeOption adc_range_option = AdcRangeOption::CALIBRATED;
  std::vector<AdcRange> calibrated_range = {};  ///< one, or one per weight slice, LSB slice first
  double gain_db = 100.0;
  double sigma_capacitor = 0.0;   ///< relative, of the unit capacitor (ramp, SAR)
  double sigma_comparator = 0.0;  ///< relative to half the range
  bool symmetric_cdac = true;     ///< ramp
  bool split_cdac = true;         ///< SAR
  int group_size = 8;             ///< outputs that share a converter (SAR, pipeline, cyclic)
  double sigma_C1 = 0.0;          ///< pipeline, cyclic
  double sigma_C2 = 0.0;
  double sigma_Cpar = 0.0;
  AdcLevels levels = {};
  std::vector<double> inl = {};  ///< integral nonlinearity of every code's lower threshold, LSB; code 0 unused
  bool converts() const { return model != AdcModel::IdealADC && bits > 0; }
  bool is_circuit() const { return model >= AdcModel::RampADC; }
  /// Are the levels those of a list?
  bool has_listed_levels() const {
    const auto* list = std::get_if<std::vector<double>>(&levels);
    return list != nullptr && !list->empty();
  }
  bool wants_optimal_levels() const { return std::holds_alternative<OptimalLevels>(levels); }
  /// Is a range or are levels left to calibration?
  bool waits_for_calibration() const {
    return converts() && (wants_optimal_levels() || (adc_range_option == AdcRangeOption::CALIBRATED &&
                                                     calibrated_range.empty() && !has_listed_levels()));
  }
  bool operator==(const AdcParameters&) const = default;
};

enum class Solver {
  EXACT,       ///< effective matrix, ladders
  CG,          ///< conjugate gradients for every vector
  FIXED_POINT  ///< the peer's iteration, for tests only
};

struct SimulationParameters {
  Solver solver = Solver::EXACT;
  int Niters_max_parasitics = 100;  ///< FIXED_POINT
  double Verr_th_mvm = 1e-3;        ///< FIXED_POINT
  double relaxation_gamma = 1.0;    ///< FIXED_POINT
  bool operator==(const SimulationParameters&) const = default;
};

enum class AdcRangeRule { INTENT, CROSSSIM };
enum class CdacGain { FEEDBACK, CROSSSIM };
enum class RampCode { FIRST_CROSSING, CROSSSIM };
enum class GatedSigned { TWO_PASS, CROSSSIM };
enum class SarCapacitors { PER_GROUP, CROSSSIM };
enum class PartitionSizes { DIFFER_BY_ONE, CROSSSIM };

/// Where the circuit and the peer differ, the circuit is the default.
struct CompatParameters {
  AdcRangeRule adc_range_rule = AdcRangeRule::INTENT;       ///< ranges of MAX and GRANULAR, span of circuit converters
  CdacGain cdac_gain = CdacGain::FEEDBACK;                  ///< gain and load of capacitive converters
  RampCode ramp_code = RampCode::FIRST_CROSSING;            ///< CROSSSIM: the nearest level
  GatedSigned gated_signed = GatedSigned::TWO_PASS;         ///< CROSSSIM: a source of its own in series with every cell
  SarCapacitors sar_capacitors = SarCapacitors::PER_GROUP;  ///< CROSSSIM: one draw for all groups
  PartitionSizes partition_sizes = PartitionSizes::DIFFER_BY_ONE;  ///< of EQUAL; CROSSSIM: the last tile takes the rest
  bool operator==(const CompatParameters&) const = default;
};

/// What programming aims at.
enum class Compensation {
  none,
  wires  ///< conductances such that the effective matrix is the wanted one as far as the range allows
};

struct CrossbarParameters {
  CoreParameters core = {};
  CellParameters device = {};  ///< key `xbar.device`
  ArrayParameters array = {};  ///< key `xbar.array`
  DacParameters dac = {};      ///< key `xbar.dac.mvm`
  AdcParameters adc = {};      ///< key `xbar.adc.mvm`
  SimulationParameters simulation = {};
  CompatParameters compat = {};
  Compensation compensate = Compensation::none;
  bool operator==(const CrossbarParameters&) const = default;

  /// Weight slices: 1 unless bit-sliced.
  int slices() const { return core.style == CoreStyle::BITSLICED ? core.bit_sliced.num_slices : 1; }
  /// Cells per weight: arrays of all slices, pairs counted twice.
  int cells_per_weight() const { return slices() * (has_pairs() ? 2 : 1); }
  /// Bits of every slice but the last, which takes the rest.
  int slice_bits() const;
  /// Are the two cells of a pair in arrays (or on lines) of their own?
  bool has_pairs() const;
  /// An output line whose converted current is subtracted from the others.
  bool has_unit_column() const;
  /// Do both lines of a pair meet before the converter?
  bool subtracts_in_array() const;
};

/// Appends every problem with its key relative to `crossbar` (e.g. "xbar.adc.mvm.calibrated_range").
void find_problems(const CrossbarParameters& parameters, std::vector<Problem>& problems);
/// Throws ConfigError with every problem.
void validate(const CrossbarParameters& parameters);

/// What deserves a word although it is allowed, e.g. a signed QuantizerDAC, for which 0 is no level, or a value that
/// nothing reads. Keys as in find_problems().
struct Remark {
  std::string key;
  std::string message;
};
std::vector<Remark> remarks(const CrossbarParameters& parameters);

/// The wires of arrays with these parameters and `inputs` used of rows_max lines, in units of Rmin; supply 1.
Wires normalised_wires(const CrossbarParameters& parameters, std::int64_t inputs);

}  // namespace tessera::circuit
