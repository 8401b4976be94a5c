#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tessera/cost/components.hpp"
#include "tessera/cost/network_cost.hpp"
#include "tessera/cost/tile_design.hpp"

/// The `cost:` section: what the hardware is built like. Bits, encodings, mapping and periphery are those of the
/// `rpu_config`. Plain values; validate() once, then constant.
namespace tessera::cost {

struct ArrayParameters {
  CellType cell = CellType::resistive;
  int devices = 2;                   ///< per weight; >= 1
  int bits = 1;                      ///< of a weight in SRAM cells; >= 1
  std::optional<double> g_max_uS;    ///< none: that of the noise model, or 25
  double v_read_V = 0.2;             ///< > 0
  std::optional<double> v_supply_V;  ///< what delivers the current of resistive cells; none: the supply
  std::optional<double> v_cell_V;    ///< swing of SRAM cells; none: the supply
  std::optional<double> cell_um2;    ///< of a weight; none: cell.area_F2 or cell.sram_F2

  bool operator==(const ArrayParameters&) const = default;
};

struct DacParameters {
  DacType type = DacType::pwm;
  double tick_ns = 1.0;                ///< of a pulse's length, > 0
  double settle_ns = 10.0;             ///< of a voltage or a bit plane, > 0
  std::optional<double> on_ns;         ///< of which the cells conduct; none: all
  std::optional<double> row_activity;  ///< rises of a row per drive; none: as the encoding has it
  PlaneSteps plane_steps = PlaneSteps::one;
  std::optional<double> v_line_V;  ///< none: the supply
  int lines_per_row = 1;

  bool operator==(const DacParameters&) const = default;
};

struct AdcParameters {
  AdcType type = AdcType::sar;
  std::int64_t columns = 8;  ///< per converter
  double rate_MSps = 100.0;
  double enob_loss = 0.5;           ///< nominal minus effective bits
  std::optional<double> energy_fJ;  ///< of a conversion, instead of the law; type fixed needs it
  std::optional<double> area_um2;   ///< of a converter, instead of the law

  bool operator==(const AdcParameters&) const = default;
};

struct DigitalParameters {
  bool periphery = true;    ///< false: tiles hand out their codes
  std::int64_t lanes = 16;  ///< columns of a tile scaled at a time
  double clock_GHz = 1.0;
  std::int64_t digital_lanes = 256;  ///< multiply-accumulates of digital layers at a time

  bool operator==(const DigitalParameters&) const = default;
};

struct BufferParameters {
  double size_kB = 32.0;
  std::optional<double> access_kB;  ///< size of what is accessed; none: size_kB

  bool operator==(const BufferParameters&) const = default;
};

struct InterconnectParameters {
  std::optional<double> hop_mm;  ///< none: the edge of a tile

  bool operator==(const InterconnectParameters&) const = default;
};

/// What stands for a quantizer that is off: it has no hardware.
struct AssumedBits {
  std::optional<int> inp_bits;
  std::optional<int> out_bits;

  bool operator==(const AssumedBits&) const = default;
};

/// Of one layer: may differ between layers of a network.
struct HardwareParameters {
  double technology = 22.0;        ///< nm
  std::optional<double> supply_V;  ///< none: the node's
  std::vector<std::int64_t> tile;  ///< rows and columns built; empty: the mapping's maxima
  ArrayParameters array;
  DacParameters dac;
  AdcParameters adc;
  DigitalParameters digital;
  std::optional<BufferParameters> buffer = BufferParameters{};               ///< none: not counted
  std::optional<InterconnectParameters> network = InterconnectParameters{};  ///< none: not counted
  int phases = 1;
  bool overlap = false;
  AssumedBits assume;

  bool operator==(const HardwareParameters&) const = default;
};

/// Where x, d, g and R come from: the run, or the component table.
enum class Activity { measured, assumed };

struct CalibrationFactors {
  double energy = 1.0;
  double area = 1.0;

  bool operator==(const CalibrationFactors&) const = default;
};

using ComponentRows = std::vector<std::pair<std::string, Coefficient>>;

struct CostParameters {
  HardwareParameters hardware;
  Pipeline pipeline = Pipeline::none;
  bool gated = false;                                        ///< tiles leak only while their layer works
  std::vector<std::pair<std::string, std::int64_t>> copies;  ///< pattern of layer names -> copies of its tiles
  std::optional<Activity> activity;                          ///< none: measured where there are data
  std::optional<int> weight_bits;                            ///< of what TOPS/W per bit are normalised to
  double calibrations_per_day = 0.0;                         ///< drift compensation read-outs
  std::optional<double> inferences_per_programming;          ///< none: programming is not amortised
  std::string component_table;                               ///< file of rows over the built-in table; empty: none
  ComponentRows file_rows;                                   ///< what that file holds
  ComponentRows components;                                  ///< over both
  CalibrationFactors calibration;

  bool operator==(const CostParameters&) const = default;
};

/// ConfigError with keys relative to `cost:` for values out of range.
void validate(const CostParameters& parameters);
void validate(const HardwareParameters& parameters);

/// The built-in table with the rows of the file, and those of `components` over both. ConfigError for an unknown
/// component, with the nearest name, and for values without order.
ComponentTable component_table(const CostParameters& parameters);
/// Checks rows: problems have keys "<prefix>.<component>".
void validate(const ComponentRows& rows, const std::string& prefix);

/// One line about a node outside the technology table, where the last slope goes on; "" inside.
std::string technology_warning(const HardwareParameters& parameters);

/// Published macros and a generic one: structure only, as far as it is known. `calibration` makes the model meet the
/// chip; leave it at 1 to compare designs on an equal footing.
std::vector<std::string> preset_names();
/// ConfigError, with the nearest name, for a preset that does not exist.
CostParameters preset(const std::string& name);
/// What the preset is, and what its `rpu_config` must say.
std::string preset_description(const std::string& name);

}  // namespace tessera::cost
