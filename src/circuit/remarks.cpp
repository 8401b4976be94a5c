#include <cmath>

#include "tessera/circuit/parameters.hpp"

namespace tessera::circuit {
namespace {

void range_remarks(const AdcParameters& adc, std::vector<Remark>& found) {
  const auto& ranges = adc.calibrated_range;
  const bool used = adc.converts() && adc.adc_range_option == AdcRangeOption::CALIBRATED;
  if (!used && !ranges.empty())
    found.push_back({"xbar.adc.mvm.calibrated_range",
                     adc.converts() ? "has no effect: adc_range_option is not CALIBRATED"
                                    : "has no effect: nothing is converted (bits 0 or model IdealADC)"});
  for (std::size_t k = 1; used && k < ranges.size(); ++k) {
    const double octaves = std::log2((ranges[k].high - ranges[k].low) / (ranges[0].high - ranges[0].low));
    if (std::abs(octaves - std::rint(octaves)) > 1e-6) {
      found.push_back({"xbar.adc.mvm.calibrated_range",
                       "the ranges of the slices are not powers of two apart, so shift-and-add needs multipliers"});
      break;
    }
  }
}

}  // namespace

std::vector<Remark> remarks(const CrossbarParameters& p) {
  std::vector<Remark> found;
  if (p.dac.model == DacModel::QuantizerDAC && p.dac.bits > 0 && p.dac.is_signed)
    found.push_back({"xbar.dac.mvm.model",
                     "a signed QuantizerDAC has no level at 0 (every zero input becomes half a step); SignMagnitudeDAC "
                     "has one"});
  if (p.dac.model == DacModel::IdealDAC && p.dac.bits > 0 && !p.dac.input_bitslicing)
    found.push_back({"xbar.dac.mvm.bits", "has no effect: an IdealDAC does not quantize"});
  if (p.adc.model == AdcModel::IdealADC && p.adc.bits > 0)
    found.push_back({"xbar.adc.mvm.bits", "has no effect: an IdealADC does not quantize"});
  range_remarks(p.adc, found);
  const ParasiticsParameters& wires = p.array.parasitics;
  if (!wires.enable &&
      (wires.Rp_row > 0.0 || wires.Rp_col > 0.0 || wires.Rp_row_terminal > 0.0 || wires.Rp_col_terminal > 0.0))
    found.push_back({"xbar.array.parasitics", "resistances have no effect: enable is false"});
  if (p.compensate == Compensation::wires && !wires.enable)
    found.push_back({"compensate", "has no effect: xbar.array.parasitics.enable is false"});
  for (const auto& [error, name] :
       {std::pair{&p.device.programming_error, "programming_error"}, std::pair{&p.device.drift_error, "drift_error"},
        std::pair{&p.device.read_noise, "read_noise"}})
    if (!error->enable && error->model != ErrorModel::IdealDevice)
      found.push_back({std::string("xbar.device.") + name, "has no effect: enable is false"});
  if (p.core.style == CoreStyle::BITSLICED && p.device.cell_bits > 0 && p.device.cell_bits < p.slice_bits())
    found.push_back({"xbar.device.cell_bits",
                     fmt::format("cells of {} bits hold slices of {}: digits are rounded to the levels that there are",
                                 p.device.cell_bits, p.slice_bits())});
  return found;
}

}  // namespace tessera::circuit
