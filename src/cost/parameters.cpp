#include "tessera/cost/parameters.hpp"

#include <cmath>

#include "tessera/core/problems.hpp"
#include "tessera/cost/technology.hpp"

namespace tessera::cost {

namespace {

class CostProblems : public Problems {
 public:
  using Problems::not_negative;
  void positive(const std::optional<double>& value, const std::string& key, const char* unit) {
    if (value) require(std::isfinite(*value) && *value > 0.0, key, "must be above 0{}, is {:g}", unit, *value);
  }
  void not_negative(const std::optional<double>& value, const std::string& key) {
    if (value) not_negative(*value, key);
  }
  void at_least_one(std::int64_t value, const std::string& key) {
    require(value >= 1, key, "must be at least 1, is {}", value);
  }
};

void check(const AssumedBits& assume, CostProblems& problems) {
  for (const auto& [bits, key] : {std::pair{assume.inp_bits, "assume.inp_bits"}, {assume.out_bits, "assume.out_bits"}})
    problems.require(!bits || (*bits >= 2 && *bits <= 24), key, "a converter has 2 to 24 bits, one of them the sign");
}

}  // namespace

void validate(const HardwareParameters& p) {
  CostProblems problems;
  problems.positive(p.technology, "technology", " nm");
  problems.positive(p.supply_V, "supply_V", " V");
  problems.require(p.tile.empty() || p.tile.size() == 2, "tile", "is a pair: rows, columns");
  for (const std::int64_t lines : p.tile) problems.at_least_one(lines, "tile");
  problems.at_least_one(p.array.devices, "array.devices");
  problems.at_least_one(p.array.bits, "array.bits");
  problems.positive(p.array.g_max_uS, "array.g_max_uS", " uS");
  problems.positive(p.array.v_read_V, "array.v_read_V", " V");
  problems.positive(p.array.v_supply_V, "array.v_supply_V", " V");
  problems.positive(p.array.v_cell_V, "array.v_cell_V", " V");
  problems.positive(p.array.cell_um2, "array.cell_um2", " um2");
  problems.positive(p.dac.tick_ns, "dac.tick_ns", " ns");
  problems.positive(p.dac.settle_ns, "dac.settle_ns", " ns");
  problems.not_negative(p.dac.on_ns, "dac.on_ns");
  problems.not_negative(p.dac.row_activity, "dac.row_activity");
  problems.positive(p.dac.v_line_V, "dac.v_line_V", " V");
  problems.at_least_one(p.dac.lines_per_row, "dac.lines_per_row");
  problems.at_least_one(p.adc.columns, "adc.columns");
  problems.positive(p.adc.rate_MSps, "adc.rate_MSps", " MS/s");
  problems.not_negative(p.adc.enob_loss, "adc.enob_loss");
  problems.not_negative(p.adc.energy_fJ, "adc.energy_fJ");
  problems.not_negative(p.adc.area_um2, "adc.area_um2");
  problems.require(p.adc.type != AdcType::fixed || p.adc.energy_fJ, "adc.energy_fJ",
                   "adc.type fixed needs the energy of a conversion");
  problems.at_least_one(p.digital.lanes, "digital.lanes");
  problems.positive(p.digital.clock_GHz, "digital.clock_GHz", " GHz");
  problems.at_least_one(p.digital.digital_lanes, "digital.digital_lanes");
  if (p.buffer) {
    problems.positive(p.buffer->size_kB, "buffer.size_kB", " kB");
    problems.positive(p.buffer->access_kB, "buffer.access_kB", " kB");
  }
  if (p.network) problems.not_negative(p.network->hop_mm, "network.hop_mm");
  problems.at_least_one(p.phases, "phases");
  check(p.assume, problems);
  problems.throw_if_any();
}

void validate(const ComponentRows& rows, const std::string& prefix) {
  CostProblems problems;
  for (const auto& [key, coefficient] : rows) {
    const std::string full = fmt::format("{}.{}", prefix, key);
    if (!find_component(key)) {
      const std::string near = nearest_word(key, component_keys());
      problems.expect(false, full,
                      near.empty() ? std::string("unknown component; `tessera cost --table` lists them")
                                   : fmt::format("unknown component; did you mean '{}'?", near));
      continue;
    }
    problems.collect("", [&, value = coefficient] { validate(full, value); });
  }
  problems.throw_if_any();
}

void validate(const CostParameters& p) {
  CostProblems problems;
  problems.collect("", [&] { validate(p.hardware); });
  problems.collect("", [&] { validate(p.file_rows, "component_table"); });
  problems.collect("", [&] { validate(p.components, "components"); });
  for (const auto& [pattern, count] : p.copies) problems.at_least_one(count, "copies." + pattern);
  problems.require(!p.weight_bits || (*p.weight_bits >= 1 && *p.weight_bits <= 32), "weight_bits",
                   "a weight has 1 to 32 bits");
  problems.not_negative(p.calibrations_per_day, "calibrations_per_day");
  problems.positive(p.inferences_per_programming, "inferences_per_programming", "");
  problems.positive(p.calibration.energy, "calibration.energy", "");
  problems.positive(p.calibration.area, "calibration.area", "");
  problems.throw_if_any();
}

ComponentTable component_table(const CostParameters& parameters) {
  validate(parameters.file_rows, "component_table");
  validate(parameters.components, "components");
  ComponentTable table;
  for (const ComponentRows* rows : {&parameters.file_rows, &parameters.components})
    for (const auto& [key, coefficient] : *rows) table[*find_component(key)] = coefficient;
  return table;
}

std::string technology_warning(const HardwareParameters& parameters) {
  if (parameters.technology >= smallest_node_nm && parameters.technology <= largest_node_nm) return {};
  return fmt::format(
      "cost.technology {:g} nm is outside the technology table ({:g} to {:g} nm): its last slope goes on",
      parameters.technology, smallest_node_nm, largest_node_nm);
}

}  // namespace tessera::cost
