#include "tessera/circuit/core_tile.hpp"

#include <algorithm>
#include <cmath>

#include "circuit/input_slices.hpp"
#include "circuit/line_currents.hpp"
#include "tessera/circuit/adc_range.hpp"

namespace tessera::circuit {
namespace {

using namespace detail;

template <class T>
using Owning = std::conditional_t<std::is_same_v<T, float>, Matrix, RealMatrix>;

/// Lines whose currents meet before a converter, and that converter.
struct Branch {
  /// Subtracted in the array: the second from the first. Shared by tiles that differ in their converters only.
  std::vector<std::shared_ptr<const LineCurrents>> lines;
  std::optional<Converters> converters;
  double sign = 1.0;
};

/// One weight slice.
struct Slice {
  std::vector<Branch> branches;  ///< added digitally with their signs
};

template <class T>
void accumulate(BasicMatrixView<T> sum, BasicMatrixView<const T> part, double factor) {
  const T f = static_cast<T>(factor);
  for (std::int64_t r = 0; r < sum.rows; ++r)
    for (std::int64_t j = 0; j < sum.cols; ++j) sum(r, j) += f * part(r, j);
}

}  // namespace

void TileCounts::add(const TileCounts& other) {
  if (slices.size() < other.slices.size()) slices.resize(other.slices.size());
  for (std::size_t s = 0; s < other.slices.size(); ++s) slices[s].add(other.slices[s]);
  line_clipped += other.line_clipped;
  activity = activity || other.activity;
  code_sum += other.code_sum;
  bit_sum += other.bit_sum;
}

struct CoreTile::Implementation {
  CrossbarParameters parameters;
  WeightLimits limits;
  InputConverter input;
  std::int64_t inputs = 0, outputs = 0, lines = 0;
  std::vector<Slice> slices;
  random::Address address;
  random::Stream noise, rounding;
  bool calibrated = true;
  bool baseline = false;
  bool two_passes = false;  ///< gates: positive inputs, then negative ones

  Implementation(const CrossbarParameters& p, const WeightLimits& l) : parameters(p), limits(l), input(p) {}

  void build_slice(const SliceCells& cells, int index, Precision precision, Parallel parallel);
  void build_converters(std::span<const ConverterSetting> settings);
  template <class T>
  void clip(BasicMatrixView<T> currents, TileCounts* counts) const;
  /// The currents in front of a branch's converter for one input slice.
  template <class T>
  void branch_currents(const Branch& branch, BasicMatrixView<const T> v, ConversionDraws draws, BasicMatrixView<T> out,
                       TileCounts* counts) const;
  template <class T>
  void convert_branch(const Branch& branch, std::size_t slice, std::uint32_t event, BasicMatrixView<const T> v,
                      const CallAddress& call, BasicMatrixView<T> sum, TileCounts* counts) const;
  template <class T, class Visit>
  void input_slices(BasicMatrixView<const T> v, const Visit& visit) const;
  double share_factor(std::size_t slice) const;
  OutputGrid output_grid() const;
  template <class T>
  void recombine(std::size_t slice, BasicMatrixView<const T> u, std::span<const double> sums, RealView y) const;
  template <class T>
  void multiply(BasicMatrixView<const T> x, BasicMatrixView<T> y, const CallAddress& call, TileCounts* counts) const;
};

void CoreTile::Implementation::build_slice(const SliceCells& cells, int index, Precision precision, Parallel parallel) {
  Wires wires = normalised_wires(parameters, inputs);
  const auto& off = parameters.array.parasitics.disable_slices;
  if (std::find(off.begin(), off.end(), index) != off.end())
    wires = Wires{.current_from_input = wires.current_from_input};
  Slice slice;
  const auto add_line = [&](double sign, ArrayCells array, bool separate) {
    if (slice.branches.empty() || slice.branches.back().sign != sign) slice.branches.push_back({{}, {}, sign});
    slice.branches.back().lines.push_back(
        std::make_shared<const LineCurrents>(parameters, std::move(array), separate, wires, precision, parallel));
  };
  if (!parameters.has_pairs()) {
    add_line(1.0, {cells.positive, {}}, false);
  } else if (parameters.core.balanced.interleaved_posneg) {
    add_line(1.0, {cells.positive, cells.negative}, false);
  } else if (parameters.subtracts_in_array() && parameters.array.Icol_max == 0.0) {
    add_line(1.0, {cells.positive, cells.negative}, true);
  } else {
    add_line(1.0, {cells.positive, {}}, false);
    add_line(parameters.subtracts_in_array() ? 1.0 : -1.0, {cells.negative, {}}, false);
  }
  slices.push_back(std::move(slice));
}

void CoreTile::Implementation::build_converters(std::span<const ConverterSetting> settings) {
  const AdcParameters& asked = parameters.adc;
  if (!asked.converts()) return;
  const bool waits = asked.waits_for_calibration();
  const auto complete = [&](const ConverterSetting& s) { return !asked.wants_optimal_levels() || s.levels.size() > 1; };
  calibrated = !waits || (!settings.empty() && std::all_of(settings.begin(), settings.end(), complete));
  if (!calibrated) return;
  require<InputError>(!waits || settings.size() == slices.size(),
                      "settings for the converters of {} weight slices do not fit {} slices", settings.size(),
                      slices.size());
  for (std::size_t s = 0; s < slices.size(); ++s) {
    AdcParameters adc = asked;
    if (adc.wants_optimal_levels() && waits && !settings[s].levels.empty()) adc.levels = settings[s].levels;
    const bool range_found = waits && asked.adc_range_option == AdcRangeOption::CALIBRATED &&
                             asked.calibrated_range.empty() && !asked.has_listed_levels();
    AdcRange range = range_found ? settings[s].range : converter_range(parameters, inputs, static_cast<int>(s));
    if (asked.model == AdcModel::SignMagnitudeADC && range_found) {
      const double end = std::max(std::abs(range.low), std::abs(range.high));
      range = {-end, end};
    }
    for (Branch& branch : slices[s].branches)
      branch.converters.emplace(adc, parameters.compat, range, lines, address,
                                static_cast<std::uint32_t>(2 * s) + (branch.sign < 0.0 ? 1U : 0U));
  }
}

template <class T>
void CoreTile::Implementation::clip(BasicMatrixView<T> currents, TileCounts* counts) const {
  if (!(parameters.array.Icol_max > 0.0)) return;
  const T limit = static_cast<T>(parameters.array.Icol_max);
  std::int64_t clipped = 0;
  for (std::int64_t r = 0; r < currents.rows; ++r)
    for (T& i : currents.row_span(r)) {
      clipped += i > limit || i < -limit ? 1 : 0;
      i = std::clamp(i, -limit, limit);
    }
  if (counts != nullptr) counts->line_clipped += clipped;
}

template <class T>
void CoreTile::Implementation::branch_currents(const Branch& branch, BasicMatrixView<const T> v, ConversionDraws draws,
                                               BasicMatrixView<T> out, TileCounts* counts) const {
  branch.lines[0]->run(v, draws, out);
  clip(out, counts);
  if (branch.lines.size() == 1) return;
  Owning<T> other(out.rows, out.cols);
  draws.event ^= 1U << 30;
  branch.lines[1]->run(v, draws, other.view());
  clip(other.view(), counts);
  accumulate(out, BasicMatrixView<const T>(other.view()), -1.0);
}

// Calls visit(k, passes' sign, v_k) for every input slice and, of signed gates, for positive and negative inputs.
template <class T, class Visit>
void CoreTile::Implementation::input_slices(BasicMatrixView<const T> v, const Visit& visit) const {
  if (!parameters.dac.input_bitslicing) {
    visit(0, 1.0, v);
    return;
  }
  Owning<T> part(v.rows, v.cols);
  for (int pass = 0; pass < (two_passes ? 2 : 1); ++pass)
    for (int k = 0; k < input.slices(); ++k) {
      input.slice(v, k, part.view());
      const double sign = pass == 0 ? 1.0 : -1.0;
      if (two_passes)
        for (T& x : part.values()) x = std::max(static_cast<T>(sign) * x, T{0});
      visit(k, sign, BasicMatrixView<const T>(part.view()));
    }
}

template <class T>
void CoreTile::Implementation::convert_branch(const Branch& branch, std::size_t slice, std::uint32_t event,
                                              BasicMatrixView<const T> v, const CallAddress& call,
                                              BasicMatrixView<T> sum, TileCounts* counts) const {
  const bool each = parameters.adc.adc_per_ibit;
  Owning<T> current(v.rows, lines);
  std::array<Owning<T>, 2> held;  // charge of the positive and the negative pass
  const auto convert = [&](BasicMatrixView<T> values, std::uint32_t at) {
    ConversionCounts* const met = counts != nullptr ? &counts->slices[slice] : nullptr;
    if (met != nullptr) met->observe(BasicMatrixView<const T>(values));
    if (branch.converters) branch.converters->convert(values, {rounding, event + at, call.first_vector}, met);
  };
  input_slices<T>(v, [&](int k, double pass, BasicMatrixView<const T> part) {
    const std::uint32_t at = static_cast<std::uint32_t>(k) + (pass < 0.0 ? 128U : 0U);
    branch_currents(branch, part, {noise, event + at, call.first_vector}, current.view(), counts);
    if (baseline) {
      const double g0 = parameters.device.g0();
      for (std::int64_t r = 0; r < part.rows; ++r) {
        double total = 0.0;
        for (std::int64_t i = 0; i < part.cols; ++i) total += static_cast<double>(part(r, i));
        for (T& value : current.view().row_span(r)) value -= static_cast<T>(g0 * total);
      }
    }
    if (each) {
      convert(current.view(), at);
      accumulate(sum, BasicMatrixView<const T>(current.view()), pass * branch.sign * input.weight(k));
    } else {
      Owning<T>& charge = held[pass < 0.0 ? 1 : 0];
      if (charge.rows() == 0) charge = Owning<T>(v.rows, lines);
      accumulate(charge.view(), BasicMatrixView<const T>(current.view()), input.weight(k));
    }
  });
  for (std::size_t pass = 0; !each && pass < 2; ++pass) {
    if (held[pass].rows() == 0) continue;
    convert(held[pass].view(), pass == 0 ? 0U : 128U);
    accumulate(sum, BasicMatrixView<const T>(held[pass].view()), pass == 0 ? branch.sign : -branch.sign);
  }
}

// Adds a slice's share of u (section "BITSLICED" and its kin above) to y.
template <class T>
void CoreTile::Implementation::recombine(std::size_t slice, BasicMatrixView<const T> u, std::span<const double> sums,
                                         RealView y) const {
  const double g0 = parameters.device.g0(), factor = share_factor(slice);
  double offset = 0.0;  // share = factor (I - I_unit) - offset sum v
  if (parameters.core.style == CoreStyle::OFFSET) {
    const double range = offset_range(parameters);
    offset = factor * ((1.0 - range) + 0.5 * range - (baseline ? g0 : 0.0));
  } else if (parameters.core.style == CoreStyle::BITSLICED) {
    const double half = std::exp2(parameters.core.weight_bits - 1);
    offset = parameters.has_pairs() || baseline ? 0.0 : factor * g0;
    if (!parameters.has_pairs() && slice == 0) offset += half / (half - 1.0);
  }
  const bool unit = parameters.has_unit_column();
  for (std::int64_t r = 0; r < y.rows; ++r) {
    const double taken = unit ? factor * static_cast<double>(u(r, 0)) : offset * sums[static_cast<std::size_t>(r)];
    const T* from = u.row(r) + (unit ? 1 : 0);
    for (std::int64_t j = 0; j < y.cols; ++j) y(r, j) += factor * static_cast<double>(from[j]) - taken;
  }
}

// A slice's share of u, without what its digital offset takes: factor (I - I_unit).
double CoreTile::Implementation::share_factor(std::size_t slice) const {
  const double gr = 1.0 - parameters.device.g0();
  if (parameters.core.style == CoreStyle::OFFSET) return 2.0 / offset_range(parameters);
  if (parameters.core.style != CoreStyle::BITSLICED) return 1.0 / gr;
  const double half = std::exp2(parameters.core.weight_bits - 1), s = parameters.slice_bits();
  return (std::exp2(s) - 1.0) * std::exp2(s * static_cast<double>(slice)) / (half - 1.0) / gr;
}

template <class T>
void CoreTile::Implementation::multiply(BasicMatrixView<const T> x, BasicMatrixView<T> y, const CallAddress& call,
                                        TileCounts* counts) const {
  require<InputError>(x.cols == inputs && y.cols == outputs && x.rows == y.rows,
                      "a block of {}x{} inputs and {}x{} outputs does not fit a tile of {} inputs and {} outputs",
                      x.rows, x.cols, y.rows, y.cols, inputs, outputs);
  if (!calibrated)
    throw ConfigError("xbar.adc.mvm.calibrated_range",
                      "the converters have no range yet; run tessera calibrate and use the model it writes, give one "
                      "pair per weight slice, or choose adc_range_option: MAX");
  if (counts != nullptr && counts->slices.size() < slices.size()) counts->slices.resize(slices.size());
  Owning<T> v(x.rows, x.cols), u(x.rows, lines);
  input.convert(x, v.view());
  if (counts != nullptr && counts->activity)
    input.count_codes(BasicMatrixView<const T>(v.view()), counts->code_sum, counts->bit_sum);
  std::vector<double> sums(static_cast<std::size_t>(x.rows), 0.0);
  for (std::int64_t r = 0; r < x.rows; ++r) {
    for (std::int64_t i = 0; i < x.cols; ++i) sums[static_cast<std::size_t>(r)] += static_cast<double>(v(r, i));
  }
  RealMatrix total(y.rows, y.cols);  // an offset cancels most of a sum: float32 would show
  for (std::size_t s = 0; s < slices.size(); ++s) {
    std::fill(u.values().begin(), u.values().end(), T{0});
    for (std::size_t b = 0; b < slices[s].branches.size(); ++b) {
      const auto event = static_cast<std::uint32_t>((call.pass << 16) | ((2 * s + b) << 8));
      convert_branch<T>(slices[s].branches[b], s, event, v.view(), call, u.view(), counts);
    }
    recombine<T>(s, u.view(), sums, total.view());
  }
  const double scale = limits.scale() * input.output_scale();
  for (std::int64_t r = 0; r < y.rows; ++r)
    for (std::int64_t j = 0; j < y.cols; ++j) y(r, j) = static_cast<T>(scale * total(r, j));
}

OutputGrid CoreTile::Implementation::output_grid() const {
  const AdcParameters& adc = parameters.adc;
  if (!adc.converts()) return {.problem = "its crossbar has no ADC"};
  if (!calibrated) return {.problem = "the ADC of its crossbar has no range yet"};
  if (adc.has_listed_levels() || adc.wants_optimal_levels())
    return {.problem = "the levels of its crossbar's ADC are not evenly spaced"};
  if (!parameters.has_pairs() && !parameters.has_unit_column())
    return {.problem =
                "its crossbar subtracts a sum of inputs (core.offset.style: DIGITAL_OFFSET), which is no multiple of "
                "an ADC's step; use UNIT_COLUMN_SUBTRACTION or pairs of cells"};
  const double first = adc.adc_per_ibit ? input.weight(0) : 1.0;
  double digits = 0.0;
  for (int k = 0; adc.adc_per_ibit && k < input.slices(); ++k) digits += input.weight(k) / first;
  if (!adc.adc_per_ibit) digits = 1.0;
  const double passes = two_passes ? 2.0 : 1.0, top = std::exp2(adc.bits) - 1.0;
  std::vector<double> unit, most;  // by slice
  for (std::size_t s = 0; s < slices.size(); ++s) {
    const Converters& converters = *slices[s].branches.front().converters;
    const double low = 2.0 * converters.lowest() / converters.step();  // in half steps
    const bool cancels = slices[s].branches.size() > 1 || parameters.has_unit_column() || two_passes;
    if (!cancels && std::fabs(low - std::rint(low)) > 1e-5)
      return {.problem = fmt::format(
                  "the range of its crossbar's ADC begins at {:g}, no multiple of half its step {:g}; use a "
                  "symmetric range (SignMagnitudeADC), or one from 0",
                  converters.lowest(), converters.step())};
    const bool halves = !cancels && std::lrint(low) % 2 != 0;
    unit.push_back(share_factor(s) * first * converters.step() * (halves ? 0.5 : 1.0));
    most.push_back(passes * digits *
                   (cancels ? top : std::max(std::fabs(low), std::fabs(low + 2.0 * top)) * (halves ? 1.0 : 0.5)));
  }
  const double smallest = *std::min_element(unit.begin(), unit.end());
  double largest = 0.0;
  for (std::size_t s = 0; s < unit.size(); ++s) {
    const double ratio = unit[s] / smallest;
    if (std::fabs(ratio - std::rint(ratio)) > 1e-5 * ratio)
      return {.problem = fmt::format(
                  "a step of weight slice {} of its crossbar is worth {:g} of another's, no whole number; give "
                  "the slices ranges that are equal or differ by powers of two",
                  s, ratio)};
    largest += std::rint(ratio) * most[s];
  }
  return {
      .step = limits.scale() * input.output_scale() * smallest, .largest_code = std::llrint(largest), .problem = {}};
}

CoreTile::CoreTile(const CoreTile& other) : implementation_(std::make_unique<Implementation>(*other.implementation_)) {}
CoreTile& CoreTile::operator=(const CoreTile& other) {
  implementation_ = std::make_unique<Implementation>(*other.implementation_);
  return *this;
}
CoreTile::~CoreTile() = default;
CoreTile::CoreTile(CoreTile&&) noexcept = default;
CoreTile& CoreTile::operator=(CoreTile&&) noexcept = default;

CoreTile::CoreTile(const CrossbarParameters& parameters, const CellState& state, const WeightLimits& limits,
                   const random::Address& address, Precision precision, Parallel parallel)
    : implementation_(std::make_unique<Implementation>(parameters, limits)) {
  Implementation& own = *implementation_;
  own.inputs = state.slices.front().positive.cols();
  own.lines = state.slices.front().positive.rows();
  own.outputs = own.lines - (parameters.has_unit_column() ? 1 : 0);
  own.noise = random::Stream(address, random::Purpose::cell_read_noise);
  own.rounding = random::Stream(address, random::Purpose::converter_rounding);
  own.baseline = subtracts_baseline(parameters);
  own.two_passes = !parameters.array.parasitics.current_from_input && parameters.array.parasitics.enable &&
                   parameters.dac.is_signed && parameters.compat.gated_signed == GatedSigned::TWO_PASS;
  own.address = address;
  for (std::size_t s = 0; s < state.slices.size(); ++s)
    own.build_slice(state.slices[s], static_cast<int>(s), precision, parallel);
  own.build_converters({});
}

std::int64_t CoreTile::inputs() const {
  return implementation_->inputs;
}
std::int64_t CoreTile::outputs() const {
  return implementation_->outputs;
}
std::int64_t CoreTile::bytes() const {
  std::int64_t sum = 0;
  for (const Slice& slice : implementation_->slices)
    for (const Branch& branch : slice.branches)
      for (const auto& lines : branch.lines) sum += lines->bytes();
  return sum;
}

void CoreTile::multiply(ConstMatrixView x, MatrixView y, const CallAddress& call, TileCounts* counts) const {
  implementation_->multiply(x, y, call, counts);
}
void CoreTile::multiply(ConstRealView x, RealView y, const CallAddress& call, TileCounts* counts) const {
  implementation_->multiply(x, y, call, counts);
}

CoreTile CoreTile::with_converters(std::span<const ConverterSetting> settings) const {
  CoreTile tile(*this);
  tile.implementation_->build_converters(settings);
  return tile;
}

OutputGrid CoreTile::output_grid() const {
  return implementation_->output_grid();
}
bool CoreTile::calibrated() const {
  return implementation_->calibrated;
}

}  // namespace tessera::circuit
