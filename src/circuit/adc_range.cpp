#include "tessera/circuit/adc_range.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::circuit {
namespace {

AdcRange peer_range(const CrossbarParameters& p, std::int64_t inputs, bool granular) {
  const bool is_signed = p.dac.is_signed, sliced = p.core.style == CoreStyle::BITSLICED;
  const double n = static_cast<double>(inputs), codes = std::exp2(p.adc.bits);
  double kappa = 1.0;
  if (p.dac.bits > 0) {
    const double magnitudes = std::exp2(p.dac.magnitude_bits());
    kappa = magnitudes / (magnitudes - 1.0);
  }
  const double digits = std::exp2(p.slice_bits());
  const bool sliced_balanced = sliced && p.core.bit_sliced.style == BitSlicedStyle::BALANCED;
  const bool two_sided =
      is_signed || sliced_balanced || (p.core.style == CoreStyle::BALANCED && p.core.balanced.subtract_current_in_xbar);
  if (granular) {
    const double t = sliced ? kappa / (digits - 1.0) : std::exp2(-p.core.weight_bits) * kappa;
    if (two_sided) return {-t * (codes / 2.0 - 1.0), t * (codes / 2.0 - 1.0)};
    return {0.0, t * (codes - 1.0)};
  }
  if (sliced && !sliced_balanced) {
    const double a = (codes - (is_signed ? 2.0 : 1.0)) / codes;
    const double y = std::exp2(std::rint(std::log2(n))) * digits / (digits - 1.0) * kappa * a;
    return {is_signed ? -y : 0.0, y};
  }
  return {two_sided ? -n : 0.0, n};
}

/// The smallest difference between currents of one line, or 0 if they are continuous.
double current_step(const CrossbarParameters& p) {
  if (!p.dac.input_bitslicing || !p.adc.adc_per_ibit) return 0.0;
  const double range = 1.0 - p.device.g0();
  const double digit = std::exp2(std::min(p.dac.slice_size, p.dac.magnitude_bits())) - 1.0;
  if (p.core.style == CoreStyle::BITSLICED) return range / (std::exp2(p.slice_bits()) - 1.0) / digit;
  return p.device.cell_bits > 0 ? range / (std::exp2(p.device.cell_bits) - 1.0) / digit : 0.0;
}

double full_scale(const CrossbarParameters& p) {
  const InputMapping& x = p.core.inputs;
  const double f = (p.dac.is_signed ? 2.0 : 1.0) / (x.max - x.min);
  return std::max(std::abs(f * x.min), std::abs(f * x.max));
}

AdcRange intended_range(const CrossbarParameters& p, std::int64_t inputs, bool granular) {
  const bool negative = p.core.inputs.min < 0.0 || p.subtracts_in_array();
  const bool two_sided = p.adc.is_signed && (negative || p.adc.model == AdcModel::SignMagnitudeADC);
  const double codes = std::exp2(p.adc.bits);
  const bool symmetric = p.adc.model == AdcModel::SignMagnitudeADC;
  const double positive_codes = two_sided ? codes / 2.0 - 1.0 : codes - 1.0;
  const double cell = p.subtracts_in_array() || subtracts_baseline(p) ? 1.0 - p.device.g0() : 1.0;
  const double high = static_cast<double>(inputs) * cell * full_scale(p);
  const double t = current_step(p);
  const bool steps = t > 0.0 && !p.adc.is_circuit() && (granular || p.subtracts_in_array() || p.device.g0() == 0.0);
  if (!steps)
    return granular ? AdcRange{two_sided ? -t * codes / 2.0 : 0.0, t * (two_sided ? codes / 2.0 : codes)}
                    : AdcRange{two_sided ? -high : 0.0, high};
  const double step = granular ? t : t * std::max(1.0, std::ceil(high / (t * positive_codes) - 1e-9));
  if (!two_sided) return {0.0, step * positive_codes};
  return {-step * (symmetric ? positive_codes : positive_codes + 1.0), step * positive_codes};
}

}  // namespace

bool subtracts_baseline(const CrossbarParameters& p) {
  return p.adc.converts() && p.adc.adc_range_option == AdcRangeOption::GRANULAR &&
         p.compat.adc_range_rule == AdcRangeRule::INTENT && !p.subtracts_in_array() && p.device.g0() > 0.0;
}

AdcRange converter_range(const CrossbarParameters& p, std::int64_t inputs, int slice) {
  if (p.adc.adc_range_option == AdcRangeOption::CALIBRATED) {
    if (p.adc.has_listed_levels()) {
      const auto& levels = std::get<std::vector<double>>(p.adc.levels);
      return {levels.front(), levels.back()};
    }
    if (static_cast<std::size_t>(slice) >= p.adc.calibrated_range.size())
      throw ConfigError("xbar.adc.mvm.calibrated_range",
                        "the converters have no calibrated range; run tessera calibrate, give the ranges, or choose "
                        "adc_range_option: MAX");
    return p.adc.calibrated_range[static_cast<std::size_t>(slice)];
  }
  const bool granular = p.adc.adc_range_option == AdcRangeOption::GRANULAR;
  return p.compat.adc_range_rule == AdcRangeRule::CROSSSIM ? peer_range(p, inputs, granular)
                                                           : intended_range(p, inputs, granular);
}

}  // namespace tessera::circuit
