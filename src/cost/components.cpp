#include "tessera/cost/components.hpp"

#include <algorithm>
#include <cmath>

#include "tessera/core/error.hpp"

namespace tessera::cost {

namespace {

using enum Component;

constexpr std::array<ComponentRow, component_count> built_in = {{
    {adc_sar_k1_fJ,
     "adc.sar.k1_fJ",
     {80.2, 207.7, 478.6},
     "fJ/bit",
     28.0,
     "F (V/Vnom)^2",
     "MUR single-channel SAR 2008-2025 <=130 nm <=2 GS/s (68 designs); ZIG uses 100 fF V^2/bit"},
    {adc_sar_k2_fJ,
     "adc.sar.k2_fJ",
     {0.00274, 0.00438, 0.0089},
     "fJ",
     28.0,
     "none (thermal noise)",
     "MUR same fit; ZIG uses 0.001 fF V^2"},
    {adc_sar_corner_GSps,
     "adc.sar.corner_GSps",
     {1.0, 1.0, 1.0},
     "GS/s",
     28.0,
     "none",
     "MUR speed corner; best fit of 1 / 3 / infinity"},
    {adc_walden_fJ,
     "adc.walden_fJ",
     {5.43, 17.7, 34.3},
     "fJ/step",
     28.0,
     "none",
     "MUR quartiles of P/(fs 2^ENOB) of the same 68 designs"},
    {adc_count_fJ,
     "adc.count_fJ",
     {40.0, 100.0, 200.0},
     "fJ/count",
     14.0,
     "F (V/Vnom)^2",
     "EST split of HERMES-Core 10.5 TOPS/W (12.5 nJ per MVM over 256 columns; about half in the ADC)"},
    {adc_count_ns,
     "adc.count_ns",
     {0.3, 0.3, 0.3},
     "ns/count",
     14.0,
     "none (override)",
     "HERMES-Core title: 300 ps/LSB (Khaddam-Aljameh JSSC 2022)"},
    {adc_comparator_fJ, "adc.comparator_fJ", {3.0, 10.0, 40.0}, "fJ/decision", 45.0, "digital", "EST"},
    {line_cap_fF,
     "line.cap_fF",
     {0.2, 0.35, 0.8},
     "fF/cell",
     28.0,
     "F",
     "ZIG unit_cap 0.7 fF per gate and half of it per cell on a line"},
    {driver_overhead, "driver.overhead", {0.2, 0.5, 1.5}, "1", 0.0, "none", "EST tapered buffer chain"},
    {dac_pwm_tick_fJ,
     "dac.pwm_tick_fJ",
     {0.3, 2.0, 8.0},
     "fJ/tick",
     45.0,
     "digital",
     "ALA comparator 29.5 fJ/32 b (8 b: 7.4 fJ); HLB TIMELY DTC 37.5 fJ per 8 b at 65 nm (0.3 fJ/tick)"},
    {dac_volt_fF_bit, "dac.volt_fF_bit", {20.0, 50.0, 150.0}, "fF/bit", 0.0, "V^2", "ZIG dac_energy_k0 = 50 fF"},
    {digital_add_fJ_bit,
     "digital.add_fJ_bit",
     {3.0, 3.5, 7.0},
     "fJ/bit",
     45.0,
     "digital",
     "HOR 8 b 30 fJ and 32 b 100 fJ; ALA 210 fJ/32 b"},
    {digital_mul_fJ_bit2,
     "digital.mul_fJ_bit2",
     {2.0, 3.1, 12.0},
     "fJ/bit^2",
     45.0,
     "digital",
     "HOR 8 b 200 fJ and 32 b 3.1 pJ; ALA 12.7 pJ/32 b"},
    {digital_reg_fJ_bit,
     "digital.reg_fJ_bit",
     {2.0, 5.0, 10.0},
     "fJ/bit",
     45.0,
     "digital",
     "ALA 9 fJ at 40 nm; EST lower"},
    {digital_fp32_mul_fJ, "digital.fp32_mul_fJ", {2500.0, 3700.0, 5000.0}, "fJ", 45.0, "digital", "HOR"},
    {digital_fp32_add_fJ, "digital.fp32_add_fJ", {600.0, 900.0, 1500.0}, "fJ", 45.0, "digital", "HOR"},
    {cell_cap_fF,
     "cell.cap_fF",
     {1.0, 2.0, 6.0},
     "fF/bit cell",
     0.0,
     "V^2",
     "CIM jia (2 fF) and wang (2 fF C-2C unit with 4 fF bridge)"},
    {sh_cap_fF, "sh.cap_fF", {5.0, 20.0, 100.0}, "fF", 0.0, "V^2", "EST; HLB ISAAC sample and hold below 1 fJ"},
    {sram_fJ_bit_8kB,
     "sram.fJ_bit_8kB",
     {78.0, 156.0, 312.0},
     "fJ/bit",
     45.0,
     "digital x sqrt(size / 8 kB)",
     "HOR 64 b: 10 pJ (8 kB) 20 pJ (32 kB) 100 pJ (1 MB)"},
    {noc_wire_fJ_bit_mm,
     "noc.wire_fJ_bit_mm",
     {60.0, 100.0, 200.0},
     "fJ/bit/mm",
     45.0,
     "F (V/0.9)^2",
     "EST 0.2 fF/um and half toggling"},
    {noc_router_fJ_bit,
     "noc.router_fJ_bit",
     {40.0, 120.0, 300.0},
     "fJ/bit",
     45.0,
     "digital",
     "HLB ISAAC router 20.7 pJ/256 b at 32 nm"},
    {control_fraction, "control.fraction", {0.05, 0.15, 0.5}, "1", 0.0, "none", "CIM wang 4 % misc; EST upper"},
    {static_mW_mm2, "static.mW_mm2", {0.05, 0.5, 5.0}, "mW/mm2", 22.0, "1/F", "EST leakage of logic and SRAM"},
    {cell_area_F2,
     "cell.area_F2",
     {30.0, 100.0, 250.0},
     "F^2/device",
     0.0,
     "F^2",
     "CIM wan cell 125.7 F^2 (1T1R 130 nm); EST"},
    {cell_sram_F2,
     "cell.sram_F2",
     {300.0, 1000.0, 2000.0},
     "F^2/bit",
     0.0,
     "F^2",
     "compute cells: jia CIM 2.91 mm2/590 k = 1170 F^2; wang MAC 46 % = 1800 F^2; IMAGINE 187 kB/mm2 = 1380 F^2 "
     "(macro); 6T alone 162 F^2 (ZIG 0.127 um2 at 28 nm)"},
    {area_driver_um2,
     "area.driver_um2",
     {5.0, 30.0, 120.0},
     "um2/line",
     28.0,
     "F",
     "CIM wan array drivers 21 % of the core"},
    {area_pwm_um2_bit,
     "area.pwm_um2_bit",
     {6.0, 12.0, 25.0},
     "um2/bit",
     45.0,
     "area",
     "HOR adder 4.3 um2/bit; ALA register 6 um2/bit"},
    {area_reg_um2_bit, "area.reg_um2_bit", {3.0, 6.0, 9.0}, "um2/bit", 45.0, "area", "ALA 5.98 um2 at 40 nm"},
    {area_volt_dac_um2_8b,
     "area.volt_dac_um2_8b",
     {300.0, 740.0, 1500.0},
     "um2",
     28.0,
     "F",
     "CIM wang DAC 30 % of 0.124 mm2 over 64 rows at 22 nm"},
    {area_adc_um2_8b,
     "area.adc_um2_8b",
     {600.0, 1050.0, 2100.0},
     "um2",
     28.0,
     "F",
     "in-memory ADCs: ISAAC 1200 (32 nm); wang 1007 (22 nm); jia 1941 (65 nm); ZIG fit 2085 (28 nm). MUR median of "
     "stand-alone ADCs: 6000"},
    {area_adc_per_bit, "area.adc_per_bit", {1.84, 1.84, 1.84}, "1/bit", 0.0, "none", "ZIG 2 x 10^-0.0369"},
    {area_count_um2,
     "area.count_um2",
     {400.0, 1000.0, 1500.0},
     "um2",
     14.0,
     "F",
     "EST 4 um pitch (HERMES-Core abstract) x 250 um: 40 % of its 0.63 mm2"},
    {area_comparator_um2, "area.comparator_um2", {5.0, 20.0, 50.0}, "um2", 28.0, "F", "EST"},
    {area_sh_um2, "area.sh_um2", {1.0, 5.0, 45.0}, "um2", 28.0, "F", "HLB NeuRRAM sampler 45 um2 at 130 nm"},
    {area_mul_um2_bit2,
     "area.mul_um2_bit2",
     {3.4, 4.4, 6.2},
     "um2/bit^2",
     45.0,
     "area",
     "HOR 8 b 282 um2 and 32 b 3495 um2; ALA 6350/32 b"},
    {area_add_um2_bit, "area.add_um2_bit", {4.3, 4.3, 8.7}, "um2/bit", 45.0, "area", "HOR 32 b 137 um2; ALA 278 um2"},
    {area_fp32_um2,
     "area.fp32_um2",
     {8000.0, 11900.0, 16000.0},
     "um2",
     45.0,
     "area",
     "HOR FP32 multiplier 7700 and adder 4184"},
    {area_sram_um2_bit,
     "area.sram_um2_bit",
     {0.4, 0.6, 1.2},
     "um2/bit",
     45.0,
     "area",
     "EST 6T cell 0.37 um2 with periphery"},
    {area_overhead, "area.overhead", {0.1, 0.3, 1.0}, "1", 0.0, "none", "EST control routing decoupling"},
    {prog_pulse_pJ,
     "prog.pulse_pJ",
     {5.0, 50.0, 500.0},
     "pJ/pulse",
     0.0,
     "none",
     "EST PCM RESET 0.3 mA 1.5 V 100 ns = 45 pJ; CIM ISAAC cell file 8 pJ alternative for ReRAM SET"},
    {prog_pulses,
     "prog.pulses",
     {5.0, 10.0, 30.0},
     "1",
     0.0,
     "none",
     "EST closed loop; measured by Tessera with program_and_verify"},
    {prog_pulse_ns,
     "prog.pulse_ns",
     {100.0, 1000.0, 10000.0},
     "ns",
     0.0,
     "none",
     "EST PCM SET about 1 us; NeuRRAM SET 8.5 us (CIM wan cell file)"},
    {prog_parallel,
     "prog.parallel",
     {1.0, 1.0, 1.0},
     "devices",
     0.0,
     "none",
     "devices of a tile written at once (override; a row-parallel scheme writes cols)"},
    {activity_g_mean,
     "activity.g_mean",
     {0.1, 0.2, 0.4},
     "g_max",
     0.0,
     "none",
     "EST mean of g+ + g- over g_max of one weight; measured by Tessera when devices are simulated"},
    {activity_x_mean,
     "activity.x_mean",
     {0.1, 0.25, 0.5},
     "full scale",
     0.0,
     "none",
     "EST mean |DAC code| over the largest code; measured by Tessera"},
    {activity_bit_density,
     "activity.bit_density",
     {0.2, 0.35, 0.5},
     "1",
     0.0,
     "none",
     "EST mean fraction of ones over the bit planes of a DAC code; measured by Tessera"},
}};

constexpr bool in_order() {
  for (std::size_t i = 0; i < built_in.size(); ++i)
    if (static_cast<std::size_t>(built_in[i].component) != i) return false;
  return true;
}
static_assert(in_order(), "rows stand in the order of Component");

}  // namespace

std::span<const ComponentRow> component_rows() {
  return built_in;
}

std::optional<Component> find_component(std::string_view key) {
  for (const ComponentRow& row : built_in)
    if (row.key == key) return row.component;
  return std::nullopt;
}

std::vector<std::string> component_keys() {
  std::vector<std::string> keys;
  for (const ComponentRow& row : built_in) keys.emplace_back(row.key);
  return keys;
}

ComponentTable::ComponentTable() {
  for (std::size_t i = 0; i < row.size(); ++i) row[i] = built_in[i].value;
}

ComponentValues ComponentTable::nominal() const {
  ComponentValues values;
  for (std::size_t i = 0; i < row.size(); ++i) values.value[i] = row[i].nominal;
  return values;
}

ComponentValues ComponentTable::low() const {
  ComponentValues values;
  for (std::size_t i = 0; i < row.size(); ++i) values.value[i] = row[i].low;
  return values;
}

void validate(const std::string& key, const Coefficient& coefficient) {
  const auto [low, nominal, high] = coefficient;
  if (!std::isfinite(low) || !std::isfinite(nominal) || !std::isfinite(high))
    throw ConfigError(key, "low, nominal and high must be finite numbers");
  if (low < 0.0) throw ConfigError(key, fmt::format("{:g} is negative; energies, times and areas are at least 0", low));
  if (low > nominal || nominal > high)
    throw ConfigError(
        key, fmt::format("low {:g}, nominal {:g}, high {:g}: low must not be above nominal, nor nominal above high",
                         low, nominal, high));
}

}  // namespace tessera::cost
