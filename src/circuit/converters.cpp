#include "tessera/circuit/converters.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::circuit {
namespace {

// Nearest integer, ties to even, of |v| below 2^22 (float) or 2^51 (double); needs no instruction beyond addition.
float nearest_integer(float v) {
  constexpr float shift = 12582912.0F;  // 1.5 * 2^23
  return (v + shift) - shift;
}
double nearest_integer(double v) {
  constexpr double shift = 6755399441055744.0;  // 1.5 * 2^52
  return (v + shift) - shift;
}

std::vector<double> normals(const random::Stream& stream, std::uint32_t event, std::int64_t count, double sigma) {
  std::vector<float> z(static_cast<std::size_t>(count));
  random::fill_normal(stream, event, 0, z);
  std::vector<double> scaled(z.size());
  std::transform(z.begin(), z.end(), scaled.begin(), [sigma](float v) { return sigma * static_cast<double>(v); });
  return scaled;
}

}  // namespace

Converters::Converters(const AdcParameters& adc, const CompatParameters& compat, const AdcRange& range,
                       std::int64_t outputs, const random::Address& address, std::uint32_t index)
    : adc_(adc), range_(range) {
  if (!adc.converts()) return;
  const double codes = std::exp2(adc.bits);
  if (adc.is_circuit()) {
    const bool peer = compat.adc_range_rule == AdcRangeRule::CROSSSIM;
    half_ = peer ? std::max(std::abs(range.low), std::abs(range.high)) : 0.5 * (range.high - range.low);
    centre_ = peer ? 0.0 : 0.5 * (range.low + range.high);
    step_ = 2.0 * half_ / codes;
    gain_ = amplifier_gain(adc.gain_db);
    draw_mismatch(compat, address, index, outputs);
    return;
  }
  const bool magnitude = adc.model == AdcModel::SignMagnitudeADC;
  step_ = (range.high - range.low) / (magnitude ? codes - 2.0 : codes - 1.0);
  if (adc.has_listed_levels()) {
    values_ = std::get<std::vector<double>>(adc.levels);
    range_ = {values_.front(), values_.back()};
    step_ = (range_.high - range_.low) / static_cast<double>(values_.size() - 1);
  } else if (!adc.inl.empty()) {
    for (std::size_t c = 0; c < adc.inl.size(); ++c) values_.push_back(range.low + step_ * static_cast<double>(c));
  }
  for (std::size_t c = 1; c < values_.size(); ++c) {
    const double moved = adc.inl.size() == values_.size() ? adc.inl[c] * step_ : 0.0;
    const double threshold = 0.5 * (values_[c - 1] + values_[c]) + moved;
    thresholds_.push_back(thresholds_.empty() ? threshold : std::max(threshold, thresholds_.back()));
  }
}

void Converters::draw_mismatch(const CompatParameters& compat, const random::Address& address, std::uint32_t index,
                               std::int64_t outputs) {
  const random::Stream capacitors(address, random::Purpose::converter_capacitors);
  const random::Stream comparators(address, random::Purpose::converter_offsets);
  const std::int64_t bits = adc_.bits, deviates = bits + 1;
  if (adc_.model == AdcModel::RampADC) {
    const std::vector<double> z = normals(capacitors, index, deviates, adc_.sigma_capacitor);
    ramp_ = std::make_shared<RampTable>(adc_.symmetric_cdac ? signed_levels(z, adc_.bits, gain_, compat.cdac_gain)
                                                            : unsigned_levels(z, adc_.bits, gain_, compat.cdac_gain),
                                        compat.ramp_code);
    ramp_offsets_ = normals(comparators, index, outputs, adc_.sigma_comparator);
    return;
  }
  const std::int64_t count = (outputs + adc_.group_size - 1) / adc_.group_size;
  groups_.resize(static_cast<std::size_t>(count));
  if (adc_.model == AdcModel::SarADC) {
    const std::vector<double> z = normals(capacitors, index, count * deviates, adc_.sigma_capacitor);
    const std::vector<double> offsets = normals(comparators, index, count, adc_.sigma_comparator);
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      const std::size_t own = compat.sar_capacitors == SarCapacitors::PER_GROUP ? g : 0;
      const std::span<const double> draw(z.data() + own * static_cast<std::size_t>(deviates),
                                         static_cast<std::size_t>(deviates));
      groups_[g].levels = adc_.split_cdac ? split_levels(draw, adc_.bits, gain_)
                                          : signed_levels(draw, adc_.bits, gain_, compat.cdac_gain);
      groups_[g].offsets = {offsets[g]};
    }
    return;
  }
  const bool cyclic = adc_.model == AdcModel::CyclicADC;
  const std::int64_t stages = cyclic ? 1 : bits - 1;
  const std::vector<double> z = normals(capacitors, index, count * stages * 3, 1.0);
  const std::int64_t offset_count = 2 * stages + 1;
  const std::vector<double> offsets = normals(comparators, index, count * offset_count, adc_.sigma_comparator);
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    Group& group = groups_[g];
    for (std::int64_t n = 0; n + 1 < bits; ++n) {
      const auto s = static_cast<std::size_t>(cyclic ? 0 : n);
      const double* draw = z.data() + 3 * (g * static_cast<std::size_t>(stages) + s);
      const double* offset = offsets.data() + g * static_cast<std::size_t>(offset_count) + 2 * s;
      group.stages.push_back({.C1 = 1.0 + adc_.sigma_C1 * draw[0],
                              .C2 = 1.0 + adc_.sigma_C2 * draw[1],
                              .Cpar = adc_.sigma_Cpar * draw[2]});
      group.offsets.insert(group.offsets.end(), {offset[0], offset[1]});
    }
    group.offsets.push_back(offsets[(g + 1) * static_cast<std::size_t>(offset_count) - 1]);
  }
}

double Converters::table_value(double current) const {
  const auto at = std::lower_bound(thresholds_.begin(), thresholds_.end(), current) - thresholds_.begin();
  return values_[static_cast<std::size_t>(at)];
}

double Converters::circuit_value(double current, std::int64_t output) const {
  const double x = (std::clamp(current, range_.low, range_.high) - centre_) / half_;
  std::int64_t code = 0;
  if (ramp_) {
    code = ramp_->code(x, ramp_offsets_[static_cast<std::size_t>(output)]);
  } else {
    const Group& group = groups_[static_cast<std::size_t>(output / adc_.group_size)];
    code = adc_.model == AdcModel::SarADC ? sar_code(group.levels, adc_.bits, x, group.offsets.front())
                                          : pipeline_code(group.stages, group.offsets, adc_.bits, gain_, x);
  }
  const double codes = std::exp2(adc_.bits);
  return centre_ + half_ * (2.0 * static_cast<double>(code) + 1.0 - codes) / codes;
}

template <class T>
void Converters::uniform_row(std::span<T> row, std::span<const float> uniform) const {
  const T low = static_cast<T>(range_.low), high = static_cast<T>(range_.high), step = static_cast<T>(step_);
  const T inverse = static_cast<T>(1.0 / step_);
  if (uniform.empty()) {
    for (T& v : row) v = low + step * nearest_integer((std::min(std::max(v, low), high) - low) * inverse);
    return;
  }
  for (std::size_t j = 0; j < row.size(); ++j) {
    const T position = (std::min(std::max(row[j], low), high) - low) * inverse;
    const T whole = std::floor(position);
    row[j] = low + step * (whole + (static_cast<T>(uniform[j]) < position - whole ? T{1} : T{0}));
  }
}

// Codes of converted values: positions in the list, or steps above the lowest value.
template <class T>
void Converters::count_codes(std::span<const T> row, ConversionCounts& met) const {
  const int shift = std::max(0, adc_.bits - ConversionCounts::most_code_bits);
  const double lowest = this->lowest();
  const double last = static_cast<double>((std::int64_t{1} << static_cast<unsigned>(adc_.bits)) - 1);
  for (const T v : row) {
    double code = 0.0;
    if (values_.empty()) {
      code = std::rint((static_cast<double>(v) - lowest) / step_);
    } else {
      const auto at = std::lower_bound(values_.begin(), values_.end(), static_cast<double>(v) - 1e-6 * step_);
      code = static_cast<double>(at - values_.begin());
    }
    ++met.codes[static_cast<std::size_t>(std::clamp(code, 0.0, last)) >> static_cast<unsigned>(shift)];
  }
}

template <class T>
void Converters::convert_block(BasicMatrixView<T> currents, const ConversionDraws& draws,
                               ConversionCounts* counts) const {
  if (!adc_.converts()) return;
  std::vector<float> uniform(adc_.stochastic_rounding ? static_cast<std::size_t>(currents.cols) : 0);
  ConversionCounts met;
  met.conversions = currents.rows * currents.cols;
  if (counts != nullptr)
    met.codes.assign(std::size_t{1} << static_cast<unsigned>(std::min(adc_.bits, ConversionCounts::most_code_bits)), 0);
  for (std::int64_t r = 0; r < currents.rows; ++r) {
    const std::span<T> row = currents.row_span(r);
    if (counts != nullptr)
      for (const T v : row) {
        met.below += static_cast<double>(v) < range_.low ? 1 : 0;
        met.above += static_cast<double>(v) > range_.high ? 1 : 0;
      }
    if (!values_.empty()) {
      for (T& v : row) v = static_cast<T>(table_value(static_cast<double>(v)));
    } else if (adc_.is_circuit()) {
      for (std::int64_t j = 0; j < currents.cols; ++j)
        row[static_cast<std::size_t>(j)] =
            static_cast<T>(circuit_value(static_cast<double>(row[static_cast<std::size_t>(j)]), j));
    } else {
      if (!uniform.empty())
        random::fill_uniform(
            draws.stream, draws.event,
            (draws.first_vector + static_cast<std::uint64_t>(r)) * static_cast<std::uint64_t>(currents.cols), uniform);
      uniform_row(row, std::span<const float>(uniform));
    }
    if (counts != nullptr) count_codes(std::span<const T>(row), met);
  }
  if (counts != nullptr) counts->add(met);
}

void Converters::convert(MatrixView currents, const ConversionDraws& draws, ConversionCounts* counts) const {
  convert_block(currents, draws, counts);
}
void Converters::convert(RealView currents, const ConversionDraws& draws, ConversionCounts* counts) const {
  convert_block(currents, draws, counts);
}

}  // namespace tessera::circuit
