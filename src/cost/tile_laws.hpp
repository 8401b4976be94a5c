#pragma once
#include <array>

#include "tessera/cost/tile_cost.hpp"

namespace tessera::cost {

/// How the rows are driven for one round.
struct Drives {
  int count = 0;
  int conversions = 0;            ///< per column
  std::array<double, 2> ticks{};  ///< longest pulse of each drive
  bool planes = false;            ///< one bit plane per drive
  bool signs = false;             ///< positive and negative inputs one after the other

  double tick_sum() const;
};

/// ceil(log2(count)).
int bits_of_codes(double count);
bool sends_planes(const TileDesign& design);
/// B: planes of the largest code.
int input_planes(const TileDesign& design);
Drives drives_of(const TileDesign& design);

TimeBreakdown tile_time(const TileDesign& design, const TileActions& actions, const ComponentValues& values);
/// Of an area during a time.
double leakage_fJ(double node_nm, double area_mm2, double time_ns, const ComponentValues& values);
TimeBreakdown worst_tile_time(const TileDesign& design, const TileActions& actions, const ComponentValues& values);

}  // namespace tessera::cost
