#pragma once
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tessera/config/document.hpp"
#include "tessera/core/error.hpp"
#include "tessera/cost/technology.hpp"
#include "tessera/cost/tile_cost.hpp"

/// Designs as the golden file and the validation file describe them.
namespace tessera::cost {

inline config::Node read_json(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw InputError("cannot read " + path);
  std::stringstream text;
  text << file.rdbuf();
  return config::parse(text.str(), {.name = path, .directory = {}});
}

inline std::string golden_file() {
  const char* folder = std::getenv("TESSERA_GOLDEN_DIR");
  return (folder != nullptr ? std::string(folder) : std::string(TESSERA_SOURCE_DIR) + "/tests/data/golden") +
         "/cost_examples.json";
}

inline const config::Node& at(const config::Node& node, const std::string& key) {
  const config::Node* found = node.find(key);
  if (found == nullptr) throw InputError("the file has no key " + key);
  return *found;
}

inline double number(const config::Node& node) {
  return std::stod(node.scalar);
}

/// Keys that are absent or null keep what the design has.
class DesignReader {
 public:
  explicit DesignReader(const config::Node& node) : node_(node) {}

  TileDesign read() {
    TileDesign d;
    real("node", d.node_nm);
    d.supply_V = nominal_supply_V(d.node_nm);
    real("vdd", d.supply_V);
    d.v_supply_V = d.v_cell_V = d.v_line_V = d.supply_V;
    integer("rows", d.rows);
    integer("cols", d.columns);
    d.built_rows = d.rows;
    d.built_columns = d.columns;
    integer("phys_rows", d.built_rows);
    integer("phys_cols", d.built_columns);
    integer("n_in", d.input_codes);
    double n_out = 127.0;
    real("n_out", n_out);
    d.adc_bits = std::log2(2.0 * n_out + 1.0);
    real("adc_bits", d.adc_bits);
    word("mv_type", d.mv_type,
         {{"IDEAL", tile::AnalogMVType::IDEAL},
          {"ONE_PASS", tile::AnalogMVType::ONE_PASS},
          {"POS_NEG_SEPARATE", tile::AnalogMVType::POS_NEG_SEPARATE},
          {"POS_NEG_SEPARATE_DIGITAL_SUM", tile::AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM},
          {"SPLIT_MODE", tile::AnalogMVType::SPLIT_MODE},
          {"BIT_WISE", tile::AnalogMVType::BIT_WISE}});
    integer("split_bits", d.split_bits);
    real("rounds", d.rounds);
    word("dac", d.dac,
         {{"pwm", DacType::pwm},
          {"pulse_count", DacType::pulse_count},
          {"voltage", DacType::voltage},
          {"bit_serial", DacType::bit_serial}});
    word("cell", d.cell,
         {{"resistive", CellType::resistive}, {"capacitive", CellType::capacitive}, {"bitline", CellType::bitline}});
    integer("devices", d.devices);
    real("g_max", d.g_max_uS);
    real("g_mean", d.conductance_mean);
    real("x_mean", d.input_mean);
    real("bit_density", d.bit_density);
    real("v_read", d.v_read_V);
    real("v_supply", d.v_supply_V);
    integer("cap_bits", d.cell_bits);
    real("v_cell", d.v_cell_V);
    real("v_line", d.v_line_V);
    real("tick_ns", d.tick_ns);
    real("settle_ns", d.settle_ns);
    real("on_ns", d.on_ns);
    word("plane_steps", d.plane_steps, {{"one", PlaneSteps::one}, {"binary", PlaneSteps::binary}});
    real("row_activity", d.row_activity);
    word("adc", d.adc,
         {{"sar", AdcType::sar},
          {"walden", AdcType::walden},
          {"counting", AdcType::counting},
          {"flash", AdcType::flash},
          {"fixed", AdcType::fixed}});
    real("adc_fJ", d.adc_fJ);
    real("adc_um2", d.adc_um2);
    real("adc_msps", d.rate_MSps);
    integer("mux", d.columns_per_converter);
    real("enob_loss", d.enob_loss);
    integer("phases", d.phases);
    flag("overlap", d.overlap);
    integer("row_tiles", d.row_tiles);
    d.scale_bits = d.bias_bits = d.activation_bits = 8;
    integer("scale_bits", d.scale_bits);
    integer("bias_bits", d.bias_bits);
    flag("power_of_two", d.power_of_two);
    integer("act_bits", d.activation_bits);
    flag("shift_add", d.shift_add_only);
    flag("noise_mgmt", d.noise_management);
    double extra = 0.0;
    real("extra_fJ_col", extra);
    if (extra != 0.0) throw InputError("extra_fJ_col is no part of the model");
    integer("digital_lanes", d.lanes);
    real("clock_ghz", d.clock_GHz);
    real("buffer_kb", d.buffer_kB);
    real("access_kb", d.access_kB);
    real("read_factor", d.input_reads);
    real("write_in", d.input_writes);
    real("noc_mm", d.hop_mm);
    flag("noc", d.networked);
    flag("digital_periphery", d.periphery);
    flag("buffers", d.buffered);
    flag("control", d.controlled);
    real("cell_um2", d.cell_um2);
    real("adc_calibration", d.adc_energy_factor);
    integer("lines_per_row", d.lines_per_row);
    flag("static", leaks);
    for (const config::Node::Entry& entry : node_.entries)
      if (std::find(known_.begin(), known_.end(), entry.key) == known_.end())
        throw InputError("the test does not know the key " + entry.key);
    return d;
  }

  bool leaks = true;

 private:
  const config::Node* given(const std::string& key) {
    known_.push_back(key);
    const config::Node* found = node_.find(key);
    return found != nullptr && !found->is_null() ? found : nullptr;
  }
  void real(const std::string& key, double& value) {
    if (const config::Node* found = given(key)) value = number(*found);
  }
  void real(const std::string& key, std::optional<double>& value) {
    if (const config::Node* found = given(key)) value = number(*found);
  }
  template <class Integer>
  void integer(const std::string& key, Integer& value) {
    if (const config::Node* found = given(key)) value = static_cast<Integer>(std::llround(number(*found)));
  }
  void flag(const std::string& key, bool& value) {
    if (const config::Node* found = given(key)) value = found->scalar == "true";
  }
  template <class Word>
  void word(const std::string& key, Word& value, const std::vector<std::pair<std::string, Word>>& words) {
    const config::Node* found = given(key);
    if (found == nullptr) return;
    for (const auto& [name, meaning] : words)
      if (name == found->scalar) {
        value = meaning;
        return;
      }
    throw InputError("the test does not know " + key + " " + found->scalar);
  }

  const config::Node& node_;
  std::vector<std::string> known_;
};

}  // namespace tessera::cost
