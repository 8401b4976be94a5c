#pragma once
#include <cstdint>

#include "tessera/cost/breakdown.hpp"
#include "tessera/cost/components.hpp"
#include "tessera/cost/tile_design.hpp"

/// What one vector costs on one tile. All formulas, with their sources: docs/models/cost.md.
namespace tessera::cost {

/// What one vector does on one tile.
struct TileActions {
  // Of one round
  int drives = 0;              ///< times that the rows are driven
  double tick_sum = 0.0;       ///< longest pulses of all drives together, ticks; 1 for each bit plane
  int conversions = 0;         ///< C: per column
  double row_rises = 0.0;      ///< rising edges of a row line
  double conduction_ns = 0.0;  ///< t_on: how long a row's cells conduct, on average
  double switching = 0.0;      ///< how often a capacitive or bitline cell switches, on average

  double reads = 0.0;             ///< R: rounds times phases
  std::int64_t converters = 0;    ///< n_adc
  std::int64_t groups = 0;        ///< G: conversions of a converter one after another
  std::int64_t integrations = 0;  ///< G for a counting converter, which needs the rows driven for each; else 1

  // Of the whole vector
  double dac_conversions = 0.0;
  double row_pulses = 0.0;
  double adc_conversions = 0.0;
  double buffer_bits = 0.0;   ///< read or written
  double network_bits = 0.0;  ///< sent over a hop
};

/// Widths of the digital periphery, bits.
struct PeripheryWidths {
  int input = 0;        ///< b_in: a DAC code with its sign
  int output = 0;       ///< an ADC code
  int sum = 0;          ///< w_s: after digits and slices are added
  int accumulator = 0;  ///< w: after scale, tiles and bias
  int result = 0;       ///< b_out: what leaves the layer
};

struct TileCost {
  TileActions actions;
  EnergyBreakdown energy_fJ;  ///< of one vector; leakage: of this tile during its own vector
  TimeBreakdown time_ns;
  TimeBreakdown worst_time_ns;  ///< of a vector that takes design.worst_rounds
  AreaBreakdown area_um2;
};

/// ConfigError with keys of `cost:` for values out of range and combinations without meaning (bit-serial inputs with an
/// encoding that has no bit planes).
void validate(const TileDesign& design);

PeripheryWidths periphery_widths(const TileDesign& design);
TileActions tile_actions(const TileDesign& design, const ComponentValues& values);
AreaBreakdown tile_area(const TileDesign& design, const ComponentValues& values);
TileCost tile_cost(const TileDesign& design, const ComponentValues& values);

/// Energy of one conversion.
double adc_energy_fJ(const TileDesign& design, const ComponentValues& values);

/// The design with hop_mm set: a distance on the floor plan, which does not move with the uncertainty of the areas that
/// it was estimated from.
TileDesign with_hop(TileDesign design, const ComponentTable& table);

/// Programming all devices of a tile once.
struct ProgrammingCost {
  double energy_pJ = 0.0;
  double time_ns = 0.0;
};
/// n = N D devices, p = `pulses` + 1 with program-and-verify (measured), or without a value prog.pulses:
///     E = n p (prog.pulse_pJ + e_read),  t = n / parallel p (prog.pulse_ns + t_read),
/// one device read at v_read for a settling time and converted once.
ProgrammingCost programming_cost(const TileDesign& design, std::optional<double> pulses, const ComponentValues& values);

}  // namespace tessera::cost
