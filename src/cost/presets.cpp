#include <algorithm>
#include <array>

#include "tessera/core/error.hpp"
#include "tessera/cost/parameters.hpp"

namespace tessera::cost {

namespace {

struct Preset {
  const char* name;
  const char* description;
  CostParameters (*make)();
};

CostParameters with_tile(double technology, std::int64_t rows, std::int64_t columns) {
  CostParameters p;
  p.hardware.technology = technology;
  p.hardware.tile = {rows, columns};
  return p;
}

CostParameters generic_22nm() {
  return with_tile(22.0, 512, 512);
}

CostParameters hermes_14nm() {
  CostParameters p = with_tile(14.0, 256, 256);
  p.hardware.array.devices = 4;
  p.hardware.adc.type = AdcType::counting;
  p.hardware.adc.columns = 1;
  p.hardware.digital.lanes = 8;
  p.hardware.overlap = true;
  p.calibration = {.energy = 1.271, .area = 1.676};
  return p;
}

CostParameters aon_cim_14nm() {
  CostParameters p = with_tile(14.0, 1024, 512);
  p.hardware.adc.type = AdcType::counting;
  p.hardware.adc.columns = 4;
  p.hardware.digital.lanes = 128;
  p.hardware.overlap = true;
  p.calibration.energy = 2.391;
  return p;
}

CostParameters isaac_32nm() {
  CostParameters p = with_tile(32.0, 128, 128);
  p.hardware.supply_V = 0.9;
  p.hardware.array = {.devices = 1,
                      .g_max_uS = 750.0,
                      .v_read_V = 0.2,
                      .v_supply_V = 0.2,
                      .v_cell_V = std::nullopt,
                      .cell_um2 = 0.0015};
  p.hardware.dac.type = DacType::bit_serial;
  p.hardware.dac.settle_ns = 100.0;
  p.hardware.dac.on_ns = 1.0;
  p.hardware.adc.columns = 128;
  p.hardware.adc.rate_MSps = 1280.0;
  p.hardware.buffer = BufferParameters{.size_kB = 1.0, .access_kB = 16.0};
  p.hardware.overlap = true;
  p.calibration = {.energy = 0.402, .area = 0.127};
  return p;
}

CostParameters neurram_130nm() {
  CostParameters p = with_tile(130.0, 128, 256);
  p.hardware.supply_V = 1.8;
  p.hardware.array = {
      .devices = 2, .g_max_uS = 40.0, .v_read_V = 0.5, .v_supply_V = 0.5, .v_cell_V = std::nullopt, .cell_um2 = 4.25};
  p.hardware.dac.type = DacType::bit_serial;
  p.hardware.dac.settle_ns = 270.0;
  p.hardware.dac.on_ns = 10.0;
  p.hardware.dac.row_activity = 1.0;
  p.hardware.dac.plane_steps = PlaneSteps::binary;
  p.hardware.dac.v_line_V = 1.3;
  p.hardware.dac.lines_per_row = 2;
  p.hardware.adc.columns = 1;
  p.hardware.adc.rate_MSps = 0.5556;
  p.calibration.energy = 0.711;
  return p;
}

CostParameters charge_65nm() {
  CostParameters p = with_tile(65.0, 2304, 256);
  p.hardware.supply_V = 0.85;
  p.hardware.array.cell = CellType::capacitive;
  p.hardware.dac.type = DacType::bit_serial;
  p.hardware.dac.settle_ns = 1350.0;
  p.hardware.adc.columns = 1;
  p.hardware.adc.rate_MSps = 2.9;
  p.hardware.overlap = true;
  p.calibration = {.energy = 0.805, .area = 0.844};
  return p;
}

CostParameters charge_22nm() {
  CostParameters p = with_tile(22.0, 64, 16);
  p.hardware.supply_V = 0.7;
  p.hardware.array.cell = CellType::capacitive;
  p.hardware.array.bits = 8;
  p.hardware.array.cell_um2 = 30.976;
  p.hardware.dac.type = DacType::voltage;
  p.hardware.dac.settle_ns = 6.9;
  p.hardware.adc.columns = 1;
  p.hardware.adc.rate_MSps = 144.9275;
  p.hardware.overlap = true;
  p.calibration = {.energy = 1.348, .area = 1.137};
  return p;
}

CostParameters bitline_7nm() {
  CostParameters p = with_tile(7.0, 64, 16);
  p.hardware.supply_V = 0.8;
  p.hardware.array.cell = CellType::bitline;
  p.hardware.array.devices = 8;
  p.hardware.array.bits = 4;
  p.hardware.dac.type = DacType::pulse_count;
  p.hardware.dac.tick_ns = 0.1833;
  p.hardware.adc.type = AdcType::flash;
  p.hardware.adc.columns = 1;
  p.hardware.adc.rate_MSps = 363.6364;
  p.calibration = {.energy = 1.597, .area = 1.168};
  return p;
}

CostParameters bitline_22nm() {
  CostParameters p = with_tile(22.0, 1024, 512);
  p.hardware.supply_V = 0.8;
  p.hardware.array.cell = CellType::bitline;
  p.hardware.array.bits = 2;
  p.hardware.dac.tick_ns = 0.35;
  p.hardware.adc.columns = 1;
  p.hardware.adc.rate_MSps = 45.0;
  p.calibration = {.energy = 1.025, .area = 2.222};
  return p;
}

constexpr std::array<Preset, 9> presets = {{
    {"generic_22nm", "PCM or ReRAM pairs, pulse-width inputs, one SAR converter for eight columns", generic_22nm},
    {"hermes_14nm", "14 nm PCM 8T4R; Khaddam-Aljameh et al., JSSC 57 (2022) 1027", hermes_14nm},
    {"aon_cim_14nm", "14 nm PCM 1024x512, a design study; Zhou et al., arXiv 2111.06503", aon_cim_14nm},
    {"isaac_32nm", "32 nm ReRAM, a design study; Shafiee et al., ISCA 2016; needs mv_type BIT_WISE", isaac_32nm},
    {"neurram_130nm", "130 nm ReRAM; Wan et al., Nature 608 (2022) 504; needs mv_type ONE_PASS", neurram_130nm},
    {"charge_65nm", "65 nm SRAM, charge; Jia et al., JSSC 55 (2020) 2609; bit-serial inputs", charge_65nm},
    {"charge_22nm", "22 nm SRAM, charge; Wang et al., JSSC 58 (2023) 1037", charge_22nm},
    {"bitline_7nm", "7 nm SRAM, bit line; Sinangil et al., JSSC 56 (2021) 188; needs mv_type ONE_PASS", bitline_7nm},
    {"bitline_22nm", "22 nm SRAM, current; Papistas et al., CICC 2021", bitline_22nm},
}};

const Preset& find_preset(const std::string& name) {
  const auto* const found =
      std::find_if(presets.begin(), presets.end(), [&](const Preset& preset) { return name == preset.name; });
  if (found != presets.end()) return *found;
  const std::vector<std::string> names = preset_names();
  const std::string near = nearest_word(name, names);
  throw ConfigError("preset", near.empty()
                                  ? fmt::format("unknown preset '{}'; there are {}", name, fmt::join(names, ", "))
                                  : fmt::format("unknown preset '{}'; did you mean '{}'?", name, near));
}

}  // namespace

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const Preset& preset : presets) names.emplace_back(preset.name);
  return names;
}

CostParameters preset(const std::string& name) {
  return find_preset(name).make();
}

std::string preset_description(const std::string& name) {
  return find_preset(name).description;
}

}  // namespace tessera::cost
