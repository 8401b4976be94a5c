#pragma once
#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// The coefficients of the cost model: one table that the formulas, the schema and docs/models/cost.md share.
///
/// Every coefficient has a nominal value and the ends of an interval, independent of the others'. Sources are given in
/// short: MUR = B. Murmann, ADC Performance Survey 1997-2025 (BSD-3-Clause, (c) 2022 Boris Murmann), quantile
/// regression of 68 converters; HOR = M. Horowitz, ISSCC 2014, fig. 1.1.9; ALA = Aladdin's 40 nm table and HLB =
/// component tables, both as in Accelergy's hwcomponents-library (MIT, (c) 2025 Tanner Andrulis); ZIG = zigzag-imc
/// (BSD-3-Clause, (c) 2023 MICAS, KU Leuven); CIM = reference values of mit-emze/cimloop (MIT); EST = an estimate of
/// this project. docs/models/cost.md has the licences' texts.
namespace tessera::cost {

enum class Component : std::size_t {
  adc_sar_k1_fJ,
  adc_sar_k2_fJ,
  adc_sar_corner_GSps,
  adc_walden_fJ,
  adc_count_fJ,
  adc_count_ns,
  adc_comparator_fJ,
  line_cap_fF,
  driver_overhead,
  dac_pwm_tick_fJ,
  dac_volt_fF_bit,
  digital_add_fJ_bit,
  digital_mul_fJ_bit2,
  digital_reg_fJ_bit,
  digital_fp32_mul_fJ,
  digital_fp32_add_fJ,
  cell_cap_fF,
  sh_cap_fF,
  sram_fJ_bit_8kB,
  noc_wire_fJ_bit_mm,
  noc_router_fJ_bit,
  control_fraction,
  static_mW_mm2,
  cell_area_F2,
  cell_sram_F2,
  area_driver_um2,
  area_pwm_um2_bit,
  area_reg_um2_bit,
  area_volt_dac_um2_8b,
  area_adc_um2_8b,
  area_adc_per_bit,
  area_count_um2,
  area_comparator_um2,
  area_sh_um2,
  area_mul_um2_bit2,
  area_add_um2_bit,
  area_fp32_um2,
  area_sram_um2_bit,
  area_overhead,
  prog_pulse_pJ,
  prog_pulses,
  prog_pulse_ns,
  prog_parallel,
  activity_g_mean,
  activity_x_mean,
  activity_bit_density,
};
inline constexpr std::size_t component_count = 46;

/// low <= nominal <= high, none negative.
struct Coefficient {
  double low = 0.0;
  double nominal = 0.0;
  double high = 0.0;

  bool operator==(const Coefficient&) const = default;
};

/// A row of the table: the value holds at `node_nm` (0: no node) and moves to another one as `scaling` says.
struct ComponentRow {
  Component component;
  std::string_view key;  ///< "adc.sar.k1_fJ"
  Coefficient value;
  std::string_view unit;
  double node_nm;
  std::string_view scaling;
  std::string_view source;
};

/// The built-in table, in the order of Component.
std::span<const ComponentRow> component_rows();

/// The component called `key`; none if there is no such row.
std::optional<Component> find_component(std::string_view key);
/// Keys of all rows, for messages with the nearest one.
std::vector<std::string> component_keys();

/// A number for every component: nominal values, or some at an end of their interval.
struct ComponentValues {
  std::array<double, component_count> value{};

  double operator[](Component component) const { return value[static_cast<std::size_t>(component)]; }
  double& operator[](Component component) { return value[static_cast<std::size_t>(component)]; }
};

/// The table in force: the built-in one with what a process or a user replaces.
struct ComponentTable {
  std::array<Coefficient, component_count> row{};

  ComponentTable();  ///< the built-in values
  const Coefficient& operator[](Component component) const { return row[static_cast<std::size_t>(component)]; }
  Coefficient& operator[](Component component) { return row[static_cast<std::size_t>(component)]; }
  ComponentValues nominal() const;
  ComponentValues low() const;

  bool operator==(const ComponentTable&) const = default;
};

/// ConfigError with the key unless 0 <= low <= nominal <= high, all finite.
void validate(const std::string& key, const Coefficient& coefficient);

}  // namespace tessera::cost
