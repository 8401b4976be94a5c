#include "cost/crossbar_design.hpp"

#include <cmath>

#include "tessera/core/error.hpp"

namespace tessera::cost {

namespace {

using circuit::CoreStyle;
using circuit::CrossbarParameters;

ConfigError crossbar_without(const char* converter, const char* key) {
  return ConfigError(fmt::format("assume.{}", key),
                     fmt::format("rpu_config.crossbar.xbar.{}.mvm has no bits, and what is not there has no cost; set "
                                 "its model and bits, or say with cost.assume.{} how many bits stand for it",
                                 converter, key));
}

/// Lines that are converted for every weight and slice: both of a pair if they do not meet before the converter.
int converted_lines(const CrossbarParameters& crossbar) {
  return crossbar.has_pairs() && !crossbar.subtracts_in_array() ? 2 : 1;
}

}  // namespace

ConverterCodes crossbar_codes(const HardwareParameters& hardware, const CrossbarParameters& crossbar) {
  ConverterCodes codes;
  const circuit::DacParameters& dac = crossbar.dac;
  if (!dac.quantizes() && !hardware.assume.inp_bits) throw crossbar_without("dac", "inp_bits");
  const int magnitude = dac.quantizes() ? dac.magnitude_bits() : *hardware.assume.inp_bits - 1;
  codes.input = (std::int64_t{1} << std::max(magnitude, 1)) - 1;
  const circuit::AdcParameters& adc = crossbar.adc;
  if (!adc.converts() && !hardware.assume.out_bits) throw crossbar_without("adc", "out_bits");
  codes.output_bits = adc.converts() ? adc.bits : *hardware.assume.out_bits;
  if (adc.model == circuit::AdcModel::SignMagnitudeADC)
    codes.output_bits = std::log2(std::exp2(codes.output_bits) - 1.0);
  return codes;
}

void describe_crossbar(TileDesign& d, const CrossbarParameters& crossbar) {
  d.rounds = d.worst_rounds = 1.0;
  d.noise_management = false;
  d.g_max_uS = 1e6 / crossbar.device.Rmin;
  d.v_read_V = crossbar.device.Vread;

  const int lines = converted_lines(crossbar);
  d.weight_slices = crossbar.slices() * lines;
  d.weight_slice_bits = crossbar.core.style == CoreStyle::BITSLICED ? crossbar.slice_bits() : 0;
  const bool two_cells = crossbar.core.style == CoreStyle::BALANCED || crossbar.has_pairs();
  d.devices = two_cells && lines == 1 ? 2 : 1;
  if (crossbar.core.style == CoreStyle::BALANCED && crossbar.core.balanced.interleaved_posneg) d.lines_per_row = 2;

  // Signed inputs open gates in two passes, each with its conversions.
  if (!crossbar.array.parasitics.current_from_input && crossbar.dac.is_signed) d.phases *= 2;

  const bool digits = crossbar.dac.input_bitslicing;
  d.mv_type = digits && crossbar.adc.adc_per_ibit ? tile::AnalogMVType::BIT_WISE : tile::AnalogMVType::ONE_PASS;
  d.slice_bits = digits ? crossbar.dac.slice_size : 1;
  if (digits && d.mv_type == tile::AnalogMVType::ONE_PASS && d.dac != DacType::bit_serial)
    throw ConfigError("dac.type",
                      "rpu_config.crossbar.xbar.dac.mvm.input_bitslicing sends inputs digit by digit and adds them as "
                      "charge; set cost.dac.type to bit_serial");
  if (!digits && d.dac == DacType::bit_serial)
    throw ConfigError("dac.type",
                      "bit_serial sends inputs digit by digit, but rpu_config.crossbar sends them at once; set "
                      "xbar.dac.mvm.input_bitslicing, or cost.dac.type to pwm or voltage");
}

}  // namespace tessera::cost
