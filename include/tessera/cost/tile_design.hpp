#pragma once
#include <cstdint>
#include <optional>

#include "tessera/tile/parameters.hpp"

/// One tile as hardware: everything that the cost formulas need to know about it. Widths follow from the `rpu_config`
/// (design.hpp makes designs from it); what a converter or a cell is built like, from `cost:`.
namespace tessera::cost {

/// Resistive: PCM or ReRAM pairs that conduct. Capacitive: SRAM that shares charge. Bitline: SRAM that discharges a
/// line.
enum class CellType { resistive, capacitive, bitline };
/// What drives a row: a pulse as long as the code, as many pulses as the code, a voltage, or the code bit by bit.
enum class DacType { pwm, pulse_count, voltage, bit_serial };
/// The law of a converter's energy: docs/models/cost.md, "ADC". Counting: ramp or oscillator, integrates while the rows
/// are driven.
enum class AdcType { sar, walden, counting, flash, fixed };
/// How long the planes of bit-serial inputs take: one settling time each, or twice as many for each higher bit.
enum class PlaneSteps { one, binary };

struct TileDesign {
  double node_nm = 22.0;
  double supply_V = 0.0;                           ///< > 0
  std::int64_t rows = 0, columns = 0;              ///< used lines: N, D
  std::int64_t built_rows = 0, built_columns = 0;  ///< built lines: N_p, D_p; at least those used

  // What a vector goes through
  std::int64_t input_codes = 127;  ///< n_in: largest DAC code of one sign
  double adc_bits = 8.0;           ///< beta = log2(2 n_out + 1)
  tile::AnalogMVType mv_type = tile::AnalogMVType::ONE_PASS;
  int split_bits = 3;  ///< m of SPLIT_MODE
  int slice_bits = 1;  ///< bits of an input plane: circuit-level crossbars may send several at a time
  /// Slices that hold a weight's digits in columns of their own, which share rows and converters; each conversion of
  /// each slice is shifted and added.
  int weight_slices = 1;
  int weight_slice_bits = 0;  ///< bits that the sum over slices is wider than a conversion, for each further slice
  double rounds = 1.0;        ///< mean bound-management rounds
  double worst_rounds = 1.0;  ///< most of them
  int phases = 1;             ///< reads of four-phase chips count all analog and converter terms so often

  // Activity; none: that of the component table (activity.*)
  std::optional<double> input_mean;        ///< x: mean |code| over the largest one
  std::optional<double> bit_density;       ///< d: mean fraction of ones in a bit plane
  std::optional<double> conductance_mean;  ///< g: mean of g+ + g- over g_max

  CellType cell = CellType::resistive;
  int devices = 2;    ///< per weight
  int cell_bits = 1;  ///< capacitive, bitline: bits of a weight
  double g_max_uS = 25.0;
  double v_read_V = 0.2;
  double v_supply_V = 0.0;  ///< what delivers the current
  double v_cell_V = 0.0;    ///< swing of a capacitive or bitline cell
  std::optional<double> cell_um2;

  DacType dac = DacType::pwm;
  double tick_ns = 1.0;                ///< of pwm and pulse_count
  double settle_ns = 10.0;             ///< of a voltage or a bit plane
  std::optional<double> on_ns;         ///< how long cells conduct of it; none: settle_ns
  std::optional<double> row_activity;  ///< rises of a row line per drive instead of the encoding's
  double v_line_V = 0.0;
  int lines_per_row = 1;
  PlaneSteps plane_steps = PlaneSteps::one;

  AdcType adc = AdcType::sar;
  std::int64_t columns_per_converter = 8;  ///< M
  double rate_MSps = 100.0;
  double enob_loss = 0.5;          ///< bits
  std::optional<double> adc_fJ;    ///< of a conversion, instead of the law
  std::optional<double> adc_um2;   ///< of a converter, instead of the law
  double adc_energy_factor = 1.0;  ///< times the law: a converter that is known to be better or worse

  // Digital periphery
  bool periphery = true;        ///< scale, bias, accumulation and activation quantizer of the tile
  bool shift_add_only = false;  ///< without periphery: phases are still added up
  int scale_bits = 0;           ///< s; 0: float32. Fixed point: width of the stored multiplier
  int bias_bits = 0;            ///< t_b; 0: float32
  int accumulator_bits = 0;     ///< fixed point: width of the sums; 0: as wide as they need
  int activation_bits = 0;      ///< b_act: output codes; 0: none
  bool power_of_two = false;    ///< the activation quantizer shifts; fixed point: the output step is in the multiplier
  bool noise_management = false;  ///< a scale taken from every vector
  std::int64_t row_tiles = 1;     ///< T_r: tiles whose outputs are summed
  std::int64_t lanes = 16;        ///< columns processed at a time
  double clock_GHz = 1.0;
  bool overlap = false;  ///< drive, conversion and periphery of successive vectors at the same time

  // Surroundings
  bool buffered = true;
  double buffer_kB = 32.0;          ///< built
  std::optional<double> access_kB;  ///< size of what is accessed; none: buffer_kB
  double input_writes = 1.0;        ///< of an input into the buffer, per vector: 1 / T_c
  double input_reads = 1.0;         ///< of an input's value from memory, per vector: U / (P N_layer T_c)
  bool networked = true;
  std::optional<double> hop_mm;  ///< none: sqrt(area of the tile)
  bool controlled = true;        ///< control as a share of energy and area
};

}  // namespace tessera::cost
