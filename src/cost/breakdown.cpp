#include "tessera/cost/breakdown.hpp"

namespace tessera::cost {

std::string_view name_of(EnergyComponent component) {
  static constexpr std::array<std::string_view, energy_component_count> names = {
      "array",     "row_lines", "column_lines",    "dac",        "sample_hold",      "adc",
      "shift_add", "scale",     "bias_accumulate", "activation", "noise_management", "digital_mac",
      "buffer",    "network",   "control",         "static"};
  return names[static_cast<std::size_t>(component)];
}

std::string_view name_of(AreaComponent component) {
  static constexpr std::array<std::string_view, area_component_count> names = {
      "array", "row_drivers", "dac", "adc", "sample_hold", "digital", "buffer", "control"};
  return names[static_cast<std::size_t>(component)];
}

}  // namespace tessera::cost
