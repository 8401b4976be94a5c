#include "tessera/cost/tile_cost.hpp"

#include <cmath>

#include "tessera/core/error.hpp"
#include "tessera/cost/technology.hpp"
#include "tile_laws.hpp"

namespace tessera::cost {

namespace {

constexpr double line_node_nm = 28.0;  // of line.cap_fF and of analog areas

double squared(double value) {
  return value * value;
}

/// What the digital blocks of one tile spend, with the energies of a bit at the tile's node and supply.
class PeripheryEnergy {
 public:
  PeripheryEnergy(const TileDesign& design, const ComponentValues& values, double factor)
      : design_(design), values_(values), widths_(periphery_widths(design)), factor_(factor) {}

  void add_to(EnergyBreakdown& energy, const TileActions& actions) const {
    using enum EnergyComponent;
    const bool adds =
        design_.periphery ? actions.conversions * design_.phases * design_.weight_slices > 1 : design_.shift_add_only;
    if (adds) energy[shift_add] = actions.adc_conversions * widths_.sum * (add() + reg()) * factor_;
    if (!design_.periphery) return;
    const auto columns = static_cast<double>(design_.columns);
    energy[scale] = columns * scale_column() * factor_;
    energy[bias_accumulate] = columns * bias_column() * factor_;
    // The quantizer of each tile, and with several the one of their sum.
    const auto row_tiles = static_cast<double>(design_.row_tiles);
    const double quantizers = design_.row_tiles == 1 ? 1.0 : 1.0 + 1.0 / row_tiles;
    if (design_.activation_bits > 0) energy[activation] = columns * activation_column() * quantizers * factor_;
    if (design_.noise_management)
      energy[noise_management] =
          (static_cast<double>(design_.rows) * (widths_.input * add() + squared(widths_.input) * mul()) +
           columns * widths_.sum * widths_.input * mul()) *
          factor_;
  }

 private:
  double add() const { return values_[Component::digital_add_fJ_bit]; }
  double mul() const { return values_[Component::digital_mul_fJ_bit2]; }
  double reg() const { return values_[Component::digital_reg_fJ_bit]; }
  double fp32_mul() const { return values_[Component::digital_fp32_mul_fJ]; }
  double fp32_add() const { return values_[Component::digital_fp32_add_fJ]; }
  bool float32() const { return design_.scale_bits <= 0; }

  double scale_column() const {
    if (float32()) return fp32_mul() + 32.0 * reg();
    return widths_.sum * design_.scale_bits * mul() + design_.scale_bits * reg();
  }
  double bias_column() const {
    const auto row_tiles = static_cast<double>(design_.row_tiles);
    if (float32()) return fp32_add() + 32.0 * reg() / row_tiles;
    return widths_.accumulator * (add() + reg()) + design_.bias_bits * reg() / row_tiles;
  }
  double activation_column() const {
    double energy = design_.activation_bits * reg();
    energy += float32() ? 64.0 * add() : 2.0 * widths_.accumulator * add();
    if (!design_.power_of_two)
      energy += float32() ? fp32_mul() : static_cast<double>(widths_.accumulator * design_.scale_bits) * mul();
    return energy;
  }

  const TileDesign& design_;
  const ComponentValues& values_;
  PeripheryWidths widths_;
  double factor_;
};

void add_analog(const TileDesign& design, const ComponentValues& values, const TileActions& actions, double factor,
                EnergyBreakdown& energy) {
  using enum EnergyComponent;
  const auto rows = static_cast<double>(design.rows);
  const auto columns = static_cast<double>(design.columns);
  const auto slices = static_cast<double>(design.weight_slices);
  const double cells = rows * columns * slices;
  const double line_fF = values[Component::line_cap_fF] * design.node_nm / line_node_nm;
  const auto integrations = static_cast<double>(actions.integrations);
  const double reads = actions.reads;
  switch (design.cell) {
    case CellType::resistive: {
      const double g = design.conductance_mean.value_or(values[Component::activity_g_mean]);
      energy[array] = cells * design.g_max_uS * g * design.v_read_V * design.v_supply_V * actions.conduction_ns * reads;
      energy[column_lines] = columns * slices * static_cast<double>(design.built_rows) * design.devices / 2.0 *
                             line_fF * design.v_read_V * design.supply_V * actions.conversions * reads;
      break;
    }
    case CellType::capacitive:
      energy[array] = cells * design.cell_bits * values[Component::cell_cap_fF] * squared(design.v_cell_V) *
                      actions.switching * reads;
      break;
    case CellType::bitline:
      energy[array] = cells * design.cell_bits * line_fF * squared(design.v_cell_V) * actions.switching * reads;
      break;
  }
  energy[row_lines] = actions.row_pulses * static_cast<double>(design.built_columns) * slices * design.devices / 2.0 *
                      line_fF * design.lines_per_row * squared(design.v_line_V) *
                      (1.0 + values[Component::driver_overhead]);

  const double tick = values[Component::dac_pwm_tick_fJ] * factor;
  const PeripheryWidths widths = periphery_widths(design);
  double drive = 0.0;
  if (design.dac == DacType::voltage)
    drive = actions.drives * widths.input * values[Component::dac_volt_fF_bit] * squared(design.supply_V);
  else if (design.dac == DacType::pwm && !sends_planes(design))
    drive = integrations * actions.tick_sum * tick;
  else if (design.dac == DacType::pulse_count && !sends_planes(design))
    drive = actions.tick_sum * design.input_mean.value_or(values[Component::activity_x_mean]) * tick;
  energy[dac] = actions.dac_conversions * (drive + widths.input * values[Component::digital_reg_fJ_bit] * factor);

  if (design.adc != AdcType::counting)
    energy[sample_hold] = actions.adc_conversions * values[Component::sh_cap_fF] * squared(design.supply_V);
  energy[adc] = actions.adc_conversions * adc_energy_fJ(design, values);
}

}  // namespace

double adc_energy_fJ(const TileDesign& design, const ComponentValues& values) {
  if (design.adc_fJ) return *design.adc_fJ * design.adc_energy_factor;
  const double bits = std::max(design.adc_bits - design.enob_loss, 0.5);
  const double supply = squared(design.supply_V / nominal_supply_V(design.node_nm));
  double energy = 0.0;
  switch (design.adc) {
    case AdcType::sar:
      energy = (values[Component::adc_sar_k1_fJ] * bits * design.node_nm / 28.0 * supply +
                values[Component::adc_sar_k2_fJ] * std::exp2(2.0 * bits)) *
               (1.0 + design.rate_MSps / 1e3 / values[Component::adc_sar_corner_GSps]);
      break;
    case AdcType::walden:
      energy = values[Component::adc_walden_fJ] * std::exp2(bits);
      break;
    case AdcType::counting:
      energy = values[Component::adc_count_fJ] * std::exp2(design.adc_bits) * design.node_nm / 14.0 * supply;
      break;
    case AdcType::flash:
      energy = values[Component::adc_comparator_fJ] * (std::exp2(design.adc_bits) - 1.0) *
               digital_energy_factor(design.node_nm, design.supply_V);
      break;
    case AdcType::fixed:
      throw ConfigError("adc.energy_fJ", "an ADC of type fixed needs the energy of a conversion");
  }
  return energy * design.adc_energy_factor;
}

TileCost tile_cost(const TileDesign& design, const ComponentValues& values) {
  using enum EnergyComponent;
  const double factor = digital_energy_factor(design.node_nm, design.supply_V);
  TileCost cost;
  cost.actions = tile_actions(design, values);
  cost.time_ns = tile_time(design, cost.actions, values);
  cost.worst_time_ns = worst_tile_time(design, cost.actions, values);
  cost.area_um2 = tile_area(design, values);
  const double area_mm2 = cost.area_um2.total() * 1e-6;

  EnergyBreakdown& energy = cost.energy_fJ;
  add_analog(design, values, cost.actions, factor, energy);
  PeripheryEnergy(design, values, factor).add_to(energy, cost.actions);
  const double size_kB = design.access_kB.value_or(design.buffer_kB);
  energy[buffer] = cost.actions.buffer_bits * values[Component::sram_fJ_bit_8kB] * std::sqrt(size_kB / 8.0) * factor;
  const double hop_mm = design.hop_mm.value_or(std::sqrt(area_mm2));
  energy[network] = cost.actions.network_bits * (values[Component::noc_wire_fJ_bit_mm] * design.node_nm / 45.0 *
                                                     squared(design.supply_V / 0.9) * hop_mm +
                                                 values[Component::noc_router_fJ_bit] * factor);
  if (design.controlled) energy[control] = values[Component::control_fraction] * energy.total();
  energy[leakage] = leakage_fJ(design.node_nm, area_mm2, cost.time_ns.vector_ns, values);
  return cost;
}

double leakage_fJ(double node_nm, double area_mm2, double time_ns, const ComponentValues& values) {
  return values[Component::static_mW_mm2] * 22.0 / node_nm * area_mm2 * time_ns * 1e3;
}

TileDesign with_hop(TileDesign design, const ComponentTable& table) {
  if (!design.hop_mm) design.hop_mm = std::sqrt(tile_area(design, table.nominal()).total() * 1e-6);
  return design;
}

ProgrammingCost programming_cost(const TileDesign& design, std::optional<double> pulses,
                                 const ComponentValues& values) {
  const double devices = static_cast<double>(design.rows * design.columns) * design.devices;
  const double repeats = pulses ? *pulses + 1.0 : values[Component::prog_pulses];
  const double g = design.conductance_mean.value_or(values[Component::activity_g_mean]) / 2.0;
  const double conducted = design.cell == CellType::resistive
                               ? design.g_max_uS * g * design.v_read_V * design.v_supply_V * design.settle_ns
                               : 0.0;
  const double read_pJ = (conducted + adc_energy_fJ(design, values)) * 1e-3;
  const double read_ns =
      design.settle_ns + (design.adc == AdcType::counting ? values[Component::adc_count_ns] * std::exp2(design.adc_bits)
                                                          : 1e3 / design.rate_MSps);
  return {devices * repeats * (values[Component::prog_pulse_pJ] + read_pJ),
          devices / values[Component::prog_parallel] * repeats * (values[Component::prog_pulse_ns] + read_ns)};
}

}  // namespace tessera::cost
