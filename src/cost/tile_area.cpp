#include <algorithm>
#include <cmath>

#include "tessera/cost/technology.hpp"
#include "tile_laws.hpp"

namespace tessera::cost {

namespace {

constexpr double buffer_bits_per_kB = 8192.0;

double cell_um2(const TileDesign& design, const ComponentValues& values) {
  if (design.cell_um2) return *design.cell_um2;
  const double square_um2 = design.node_nm * design.node_nm * 1e-6;
  if (design.cell == CellType::resistive) return values[Component::cell_area_F2] * square_um2 * design.devices;
  return values[Component::cell_sram_F2] * square_um2 * design.cell_bits;
}

double dac_um2(const TileDesign& design, const ComponentValues& values, int input_bits) {
  switch (design.dac) {
    case DacType::voltage:
      return values[Component::area_volt_dac_um2_8b] * input_bits / 8.0 * design.node_nm / 28.0;
    case DacType::bit_serial:
      return values[Component::area_reg_um2_bit] * input_bits * logic_area_factor(design.node_nm);
    case DacType::pwm:
    case DacType::pulse_count:
      break;
  }
  return values[Component::area_pwm_um2_bit] * input_bits * logic_area_factor(design.node_nm);
}

double adc_um2(const TileDesign& design, const ComponentValues& values) {
  if (design.adc_um2) return *design.adc_um2;
  switch (design.adc) {
    case AdcType::counting:
      return values[Component::area_count_um2] * design.node_nm / 14.0;
    case AdcType::flash:
      return values[Component::area_comparator_um2] * (std::exp2(design.adc_bits) - 1.0) * design.node_nm / 28.0;
    case AdcType::sar:
    case AdcType::walden:
    case AdcType::fixed:
      break;
  }
  return values[Component::area_adc_um2_8b] * std::pow(values[Component::area_adc_per_bit], design.adc_bits - 8.0) *
         design.node_nm / 28.0;
}

/// In um2 at 45 nm.
double digital_um2(const TileDesign& design, const ComponentValues& values, const TileActions& actions) {
  const PeripheryWidths widths = periphery_widths(design);
  const double add = values[Component::area_add_um2_bit];
  const double reg = values[Component::area_reg_um2_bit];
  const auto columns = static_cast<double>(design.built_columns);
  if (!design.periphery)
    return design.shift_add_only ? widths.sum * (static_cast<double>(actions.converters) * add + columns * reg) : 0.0;
  double lane = values[Component::area_fp32_um2];
  const int scale = design.scale_bits;
  if (scale > 0) {
    double multiplier = widths.sum * scale;
    if (design.activation_bits > 0 && !design.power_of_two) multiplier += (widths.sum + scale) * scale;
    lane = multiplier * values[Component::area_mul_um2_bit2] + 2.0 * (widths.sum + scale) * (add + reg);
  }
  const double stored = (scale > 0 ? scale : 32) + (design.bias_bits > 0 ? design.bias_bits : 32) + widths.sum;
  return static_cast<double>(std::min(design.lanes, design.built_columns)) * lane + columns * stored * reg;
}

}  // namespace

AreaBreakdown tile_area(const TileDesign& design, const ComponentValues& values) {
  using enum AreaComponent;
  const double logic = logic_area_factor(design.node_nm);
  const TileActions actions = tile_actions(design, values);
  const auto rows = static_cast<double>(design.built_rows);
  const auto columns = static_cast<double>(design.built_columns * design.weight_slices);
  AreaBreakdown area;
  area[array] = rows * columns * cell_um2(design, values);
  area[row_drivers] = rows * values[Component::area_driver_um2] * design.node_nm / 28.0 * design.lines_per_row;
  area[dac] = rows * dac_um2(design, values, periphery_widths(design).input);
  area[adc] = static_cast<double>(actions.converters) * adc_um2(design, values);
  if (design.columns_per_converter > 1 && design.adc != AdcType::counting)
    area[sample_hold] = columns * values[Component::area_sh_um2] * design.node_nm / 28.0;
  area[digital] = digital_um2(design, values, actions) * logic;
  if (design.buffered)
    area[buffer] = design.buffer_kB * buffer_bits_per_kB * values[Component::area_sram_um2_bit] * logic;
  if (design.controlled) area[control] = values[Component::area_overhead] * area.total();
  return area;
}

}  // namespace tessera::cost
