#include "tessera/cost/design.hpp"

#include <algorithm>
#include <cmath>

#include "cost/crossbar_design.hpp"
#include "tessera/core/error.hpp"
#include "tessera/cost/technology.hpp"
#include "tessera/tile/crossbar_engine.hpp"
#include "tessera/tile/fixed_point.hpp"
#include "tessera/tile/mapping.hpp"
#include "tile_laws.hpp"

namespace tessera::cost {

namespace {

using tile::AnalogMVType;
using tile::NoiseManagementType;

std::int64_t code_of_bits(int bits) {
  return (std::int64_t{1} << (bits - 1)) - 1;
}

ConfigError not_built(const char* quantizer, const char* key) {
  return ConfigError(fmt::format("assume.{}", key),
                     fmt::format("rpu_config.forward.{} is off, and what is not there has no cost; set it, or say with "
                                 "cost.assume.{} how many bits stand for it",
                                 quantizer, key));
}

/// The widths of a fixed-point periphery. Its multiplier brings ADC codes to output codes, so that the output takes a
/// rounding and a register and no multiplier of its own.
void describe_fixed_point(TileDesign& d, const tile::FixedPointParameter& p) {
  for (const auto& [exact, stage] :
       {std::pair(p.scale.exact, "scale"), std::pair(p.bias.exact, "bias"), std::pair(p.product.exact, "product"),
        std::pair(p.accumulator.exact, "accumulator"), std::pair(p.output.exact, "output")})
    if (exact)
      throw ConfigError(fmt::format("rpu_config.pre_post.fixed_point.{}.exact", stage),
                        "computes with real numbers, which no hardware does: it has no cost; set it to false");
  d.power_of_two = true;
  const int code = p.output.bits > 0 ? p.output.bits : p.accumulator.bits;
  if (p.arithmetic == tile::PeripheryArithmetic::binary16) {  // as float32: an upper bound
    d.activation_bits = code;
    return;
  }
  const int alpha = p.recompute_on_drift ? 0 : p.alpha.integer_bits + p.alpha.fraction_bits;
  d.scale_bits = tile::format_of(p.scale).width() + alpha;
  d.bias_bits = tile::format_of(p.bias).width();
  d.accumulator_bits = p.accumulator.bits;
  d.activation_bits = code;
}

/// Hardware of the layer but for the size of the tile.
TileDesign hardware_of(const HardwareParameters& hardware, const tile::RpuParameters& rpu,
                       const LayerSurroundings& surroundings) {
  TileDesign d;
  d.node_nm = hardware.technology;
  d.supply_V = hardware.supply_V.value_or(nominal_supply_V(hardware.technology));
  const ConverterCodes codes = converter_codes(hardware, rpu);
  d.input_codes = codes.input;
  d.adc_bits = codes.output_bits;
  d.mv_type = rpu.forward.mv_type;
  d.split_bits = rpu.forward.split_mode_bit_shift;
  d.phases = hardware.phases;
  d.rounds = surroundings.activity.rounds;
  d.worst_rounds = most_rounds(rpu.forward);
  d.input_mean = surroundings.activity.input_mean;
  d.bit_density = surroundings.activity.bit_density;
  d.conductance_mean = surroundings.activity.conductance_mean;

  const ArrayParameters& array = hardware.array;
  d.cell = array.cell;
  d.devices = array.devices;
  d.cell_bits = array.bits;
  d.g_max_uS = array.g_max_uS.value_or(surroundings.g_max_uS);
  d.v_read_V = array.v_read_V;
  d.v_supply_V = array.v_supply_V.value_or(d.supply_V);
  d.v_cell_V = array.v_cell_V.value_or(d.supply_V);
  d.cell_um2 = array.cell_um2;

  d.dac = hardware.dac.type;
  d.tick_ns = hardware.dac.tick_ns;
  d.settle_ns = hardware.dac.settle_ns;
  d.on_ns = hardware.dac.on_ns;
  d.row_activity = hardware.dac.row_activity;
  d.plane_steps = hardware.dac.plane_steps;
  d.v_line_V = hardware.dac.v_line_V.value_or(d.supply_V);
  d.lines_per_row = hardware.dac.lines_per_row;

  d.adc = hardware.adc.type;
  d.columns_per_converter = hardware.adc.columns;
  d.rate_MSps = hardware.adc.rate_MSps;
  d.enob_loss = hardware.adc.enob_loss;
  d.adc_fJ = hardware.adc.energy_fJ;
  d.adc_um2 = hardware.adc.area_um2;

  const tile::PeripheryQuantizationParameter& quantized = rpu.pre_post.periph_quant;
  d.periphery = hardware.digital.periphery;
  d.scale_bits = quantized.scale ? std::max(quantized.n_bits, 0) : 0;
  d.bias_bits = quantized.bias ? std::max(quantized.n_bits, 0) : 0;
  d.power_of_two = quantized.power_of_two;
  d.activation_bits = rpu.act_quant_config && rpu.act_quant_config->n_bits > 0 ? rpu.act_quant_config->n_bits
                                                                               : surroundings.next_input_bits;
  if (rpu.pre_post.fixed_point) describe_fixed_point(d, *rpu.pre_post.fixed_point);
  const NoiseManagementType management = rpu.forward.noise_management;
  d.noise_management = management == NoiseManagementType::ABS_MAX || management == NoiseManagementType::MAX ||
                       management == NoiseManagementType::ABS_MAX_NP_SUM;
  d.lanes = hardware.digital.lanes;
  d.clock_GHz = hardware.digital.clock_GHz;
  d.overlap = hardware.overlap;

  d.buffered = hardware.buffer.has_value();
  if (hardware.buffer) {
    d.buffer_kB = hardware.buffer->size_kB;
    d.access_kB = hardware.buffer->access_kB;
  }
  d.networked = hardware.network.has_value();
  if (hardware.network) d.hop_mm = hardware.network->hop_mm;
  if (rpu.crossbar) describe_crossbar(d, *rpu.crossbar);
  return d;
}

}  // namespace

std::int64_t largest_code(double resolution) {
  if (resolution <= 0.0) return 0;
  const double steps = resolution > 1.0 ? resolution : 1.0 / resolution;
  return static_cast<std::int64_t>(std::floor(0.5 * steps + 1e-6));
}

int code_bits(std::int64_t largest) {
  return largest > 0 ? bits_of_codes(2.0 * static_cast<double>(largest) + 1.0) : 0;
}

ConverterCodes converter_codes(const HardwareParameters& hardware, const tile::RpuParameters& rpu) {
  if (rpu.crossbar) return crossbar_codes(hardware, *rpu.crossbar);
  const tile::IOParameters& forward = rpu.forward;
  const bool ideal = forward.is_perfect;
  std::int64_t input = ideal || forward.inp_bound <= 0.0 ? 0 : largest_code(forward.inp_res);
  std::int64_t output = ideal || forward.out_bound <= 0.0 ? 0 : largest_code(forward.out_res);
  if (input == 0) {
    if (!hardware.assume.inp_bits) throw not_built("inp_res", "inp_bits");
    input = code_of_bits(*hardware.assume.inp_bits);
  }
  if (output == 0) {
    if (!hardware.assume.out_bits) throw not_built("out_res", "out_bits");
    output = code_of_bits(*hardware.assume.out_bits);
  }
  return {input, std::log2(2.0 * static_cast<double>(output) + 1.0)};
}

std::vector<TileGroup> tile_groups(const HardwareParameters& hardware, const tile::RpuParameters& given,
                                   const ProductShape& product, const LayerSurroundings& surroundings) {
  const tile::RpuParameters rpu = tile::with_crossbar_tiles(given);
  const std::int64_t unit_column = rpu.crossbar && rpu.crossbar->has_unit_column() ? 1 : 0;
  const std::vector<tile::TilePlace> places = tile::place_tiles(product.outputs, product.inputs, rpu.mapping);
  const auto column_tiles =
      static_cast<std::int64_t>(tile::split_sizes(product.outputs, rpu.mapping.max_output_size).size());
  const bool analog_bias = product.bias && !rpu.mapping.digital_bias && places.size() == 1;
  TileDesign common = hardware_of(hardware, rpu, surroundings);
  common.row_tiles = static_cast<std::int64_t>(places.size()) / column_tiles;
  common.input_writes = 1.0 / static_cast<double>(column_tiles);
  const double all_inputs = product.vectors * static_cast<double>(product.inputs);
  const double read = product.values > 0.0 && all_inputs > 0.0 ? product.values / all_inputs : 1.0;
  common.input_reads = read / static_cast<double>(column_tiles);

  std::vector<TileGroup> groups;
  for (const tile::TilePlace& place : places) {
    TileDesign tile = common;
    tile.rows = place.inputs + (analog_bias ? 1 : 0);
    tile.columns = place.outputs + unit_column;
    const auto built = [&](std::size_t axis, int maximum, std::int64_t used) {
      if (!hardware.tile.empty()) return hardware.tile[axis];
      const std::int64_t lines = maximum > 0 ? maximum + (axis == 1 ? unit_column : 0) : 0;
      return std::max(lines, used);
    };
    tile.built_rows = built(0, rpu.mapping.max_input_size, tile.rows);
    tile.built_columns = built(1, rpu.mapping.max_output_size, tile.columns);
    const auto same = [&](const TileGroup& group) {
      return group.tile.rows == tile.rows && group.tile.columns == tile.columns;
    };
    if (const auto found = std::find_if(groups.begin(), groups.end(), same); found != groups.end())
      ++found->count;
    else
      groups.push_back({tile, 1});
  }
  validate(groups.front().tile);
  return groups;
}

double most_rounds(const tile::IOParameters& forward) {
  if (forward.bound_management == tile::BoundManagementType::NONE || forward.is_perfect || forward.out_bound <= 0.0)
    return 1.0;
  // The scale doubles while it is within both limits.
  double limit = forward.max_bm_factor;
  if (forward.inp_res > 0.0) {
    const double step = 2.0 * forward.inp_bound * (forward.inp_res > 1.0 ? 1.0 / forward.inp_res : forward.inp_res);
    if (step > 0.0) limit = std::min(limit, forward.max_bm_res / step);
  }
  // One, and one for every power of two from 1 up to the limit.
  return limit >= 1.0 ? 2.0 + static_cast<double>(std::ilogb(limit)) : 1.0;
}

}  // namespace tessera::cost
