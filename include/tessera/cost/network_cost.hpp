#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tessera/cost/tile_cost.hpp"
#include "tessera/cost/uncertainty.hpp"

/// What one inference costs on all tiles of a network.
namespace tessera::cost {

/// Equal tiles of a layer.
struct TileGroup {
  TileDesign tile;
  std::int64_t count = 1;
};

/// A layer that stays digital: multiply-accumulates on lanes of integer or float32 units, weights read once per
/// inference from an SRAM of their size (at least 0.5 kB), inputs read once per use and written once, outputs written.
struct DigitalDesign {
  double node_nm = 22.0;
  double supply_V = 0.0;
  double macs = 0.0;        ///< per inference
  std::int64_t fan_in = 1;  ///< products of a sum
  int activation_bits = 0;  ///< 0: float32
  int weight_bits = 0;      ///< 0: float32
  double weights = 0.0;     ///< read once
  double input_uses = 0.0;  ///< values read, each as often as it is used
  double inputs = 0.0;      ///< values written once
  double outputs = 0.0;
  std::int64_t lanes = 256;
  double clock_GHz = 1.0;
  double buffer_kB = 32.0;
  bool buffered = true;
};

struct LayerDesign {
  std::string name;
  std::vector<TileGroup> tiles;          ///< empty: digital
  std::optional<DigitalDesign> digital;  ///< of a digital layer
  double vectors = 1.0;                  ///< P: per inference and tile
  std::int64_t copies = 1;               ///< of all its tiles, which share the vectors
  double operations = 0.0;               ///< 2 P inputs outputs
  double bit_operations = 0.0;           ///< operations x bits of an input x bits of a weight; 0: no such bits
};

enum class Pipeline { none, layers };

struct NetworkDesign {
  std::vector<LayerDesign> layers;
  Pipeline pipeline = Pipeline::none;
  bool gated = false;               ///< tiles leak only while their layer works
  double energy_calibration = 1.0;  ///< multiplies dynamic energy, after all
  double area_calibration = 1.0;    ///< multiplies area, after all
};

/// The digital part of a layer, fJ and ns.
struct DigitalCost {
  EnergyBreakdown energy_fJ;
  double time_ns = 0.0;
};
DigitalCost digital_cost(const DigitalDesign& design, const ComponentValues& values);

/// What happens in a layer during one inference.
struct LayerActions {
  double vectors = 0.0;
  double tile_vectors = 0.0;
  double dac_conversions = 0.0;
  double row_pulses = 0.0;
  double adc_conversions = 0.0;
  double macs = 0.0;  ///< multiply-accumulates of the layer
  double buffer_bits = 0.0;
  double network_bits = 0.0;
};

struct LayerCost {
  EnergyBreakdown energy_fJ;  ///< of one inference, leakage included
  AreaBreakdown area_um2;     ///< of all tiles and copies
  LayerActions actions;
  double latency_ns = 0.0;
  double worst_latency_ns = 0.0;
  std::int64_t tiles = 0;    ///< with copies
  double utilization = 0.0;  ///< used cells over built ones; 0 for a digital layer
};

struct NetworkCost {
  std::vector<LayerCost> layers;
  EnergyBreakdown energy_fJ;  ///< of one inference: the sum over layers
  AreaBreakdown area_um2;
  double operations = 0.0;      ///< 1 multiply-accumulate = 2 operations
  double bit_operations = 0.0;  ///< the same, each as many as the bits of its input times those of its weight
  double latency_ns = 0.0;
  double worst_latency_ns = 0.0;  ///< if every vector took the most bound-management rounds
  double interval_ns = 0.0;       ///< between inferences

  double energy_J() const { return energy_fJ.total() * 1e-15; }
  double latency_s() const { return latency_ns * 1e-9; }
  double interval_s() const { return interval_ns * 1e-9; }
  double area_mm2() const { return area_um2.total() * 1e-6; }
  /// bit_operations / operations: what raw efficiencies are multiplied by, and divided by 64 for operations of 8 x 8 bits.
  double bits_of_operation() const { return operations > 0.0 ? bit_operations / operations : 0.0; }
  double tops() const { return interval_ns > 0.0 ? operations / interval_ns * 1e-3 : 0.0; }
  double tops_per_W() const { return energy_fJ.total() > 0.0 ? operations / energy_fJ.total() * 1e3 : 0.0; }
  double tops_per_mm2() const { return area_mm2() > 0.0 ? tops() / area_mm2() : 0.0; }
  double edp_Js() const { return energy_J() * latency_s(); }
};

/// Checks every tile (ConfigError, naming the layer) and fixes the hops: what network_cost() takes.
NetworkDesign prepared(NetworkDesign design, const ComponentTable& table);

/// Of a prepared design.
NetworkCost network_cost(const NetworkDesign& design, const ComponentValues& values);

/// The same with intervals.
struct NetworkEstimate {
  NetworkCost nominal;
  Interval energy_J;
  Interval area_mm2;
  Interval tops_per_W;
  Interval tops_per_mm2;
  std::vector<Interval> layer_energy_J;
  EndValues energy_ends_J;  ///< with one coefficient at an end
  EndValues area_ends_mm2;
};
NetworkEstimate network_estimate(const NetworkDesign& design, const ComponentTable& table);

/// Two designs with common coefficients: the ratio of `design` to `reference` evaluated at the same ends, which is far
/// narrower than the ratio of two intervals.
struct RelativeCost {
  Interval energy;
  Interval area;
};
RelativeCost relative_cost(const NetworkDesign& design, const NetworkDesign& reference, const ComponentTable& table);

}  // namespace tessera::cost
