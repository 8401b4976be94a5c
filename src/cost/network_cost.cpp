#include "tessera/cost/network_cost.hpp"

#include <algorithm>
#include <cmath>

#include "tessera/core/error.hpp"
#include "tessera/cost/technology.hpp"
#include "tile_laws.hpp"

namespace tessera::cost {

namespace {

constexpr double bits_per_kB = 8192.0;
constexpr double smallest_weight_memory_kB = 0.5;

double fill_time(const LayerDesign& layer, double interval_ns, double vector_ns, double sum_ns) {
  return std::ceil(layer.vectors / static_cast<double>(layer.copies)) * interval_ns + (vector_ns - interval_ns) +
         sum_ns;
}

/// Energies without leakage, which needs the time of the whole network.
LayerCost analog_layer(const LayerDesign& layer, const ComponentValues& values) {
  LayerCost cost;
  cost.actions.vectors = layer.vectors;
  cost.actions.macs = layer.operations / 2.0;
  double interval = 0.0, vector = 0.0, worst_interval = 0.0, worst_vector = 0.0, sum_ns = 0.0;
  double used = 0.0, built = 0.0;
  for (const TileGroup& group : layer.tiles) {
    TileCost tile = tile_cost(group.tile, values);
    const double times = layer.vectors * static_cast<double>(group.count);
    tile.energy_fJ[EnergyComponent::leakage] = 0.0;
    cost.energy_fJ += (tile.energy_fJ *= times);
    cost.area_um2 += (tile.area_um2 *= static_cast<double>(group.count * layer.copies));
    cost.tiles += group.count * layer.copies;
    cost.actions.tile_vectors += times;
    cost.actions.dac_conversions += times * tile.actions.dac_conversions;
    cost.actions.row_pulses += times * tile.actions.row_pulses;
    cost.actions.adc_conversions += times * tile.actions.adc_conversions;
    cost.actions.buffer_bits += times * tile.actions.buffer_bits;
    cost.actions.network_bits += times * tile.actions.network_bits;
    interval = std::max(interval, tile.time_ns.interval_ns);
    vector = std::max(vector, tile.time_ns.vector_ns);
    worst_interval = std::max(worst_interval, tile.worst_time_ns.interval_ns);
    worst_vector = std::max(worst_vector, tile.worst_time_ns.vector_ns);
    sum_ns = std::max(sum_ns, bits_of_codes(static_cast<double>(group.tile.row_tiles)) / group.tile.clock_GHz);
    used += static_cast<double>(group.count) * static_cast<double>(group.tile.rows * group.tile.columns);
    built += static_cast<double>(group.count) * static_cast<double>(group.tile.built_rows * group.tile.built_columns);
  }
  cost.latency_ns = fill_time(layer, interval, vector, sum_ns);
  cost.worst_latency_ns = fill_time(layer, worst_interval, worst_vector, sum_ns);
  cost.utilization = built > 0.0 ? used / built : 0.0;
  return cost;
}

LayerCost digital_layer(const LayerDesign& layer, const ComponentValues& values) {
  LayerCost cost;
  cost.actions.vectors = layer.vectors;
  cost.actions.macs = layer.operations / 2.0;
  if (!layer.digital) return cost;
  const DigitalCost digital = digital_cost(*layer.digital, values);
  cost.energy_fJ = digital.energy_fJ;
  cost.latency_ns = cost.worst_latency_ns = digital.time_ns;
  return cost;
}

}  // namespace

DigitalCost digital_cost(const DigitalDesign& design, const ComponentValues& values) {
  const double factor = digital_energy_factor(design.node_nm, design.supply_V);
  const double reg = values[Component::digital_reg_fJ_bit];
  const bool float32 = design.activation_bits <= 0 || design.weight_bits <= 0;
  const double activation_bits = float32 ? 32.0 : design.activation_bits;
  const double weight_bits = float32 ? 32.0 : design.weight_bits;
  double mac = values[Component::digital_fp32_mul_fJ] + values[Component::digital_fp32_add_fJ] + 32.0 * reg;
  if (!float32) {
    const double sum_bits = activation_bits + weight_bits + bits_of_codes(static_cast<double>(design.fan_in));
    mac = activation_bits * weight_bits * values[Component::digital_mul_fJ_bit2] +
          sum_bits * values[Component::digital_add_fJ_bit] + sum_bits * reg;
  }
  DigitalCost cost;
  cost.energy_fJ[EnergyComponent::digital_mac] = design.macs * mac * factor;
  if (design.buffered) {
    const auto bit = [&](double size_kB) {
      return values[Component::sram_fJ_bit_8kB] * std::sqrt(size_kB / 8.0) * factor;
    };
    const double stored = design.weights * weight_bits;
    const double moved = (design.input_uses + design.inputs + design.outputs) * activation_bits;
    cost.energy_fJ[EnergyComponent::buffer] =
        stored * bit(std::max(stored / bits_per_kB, smallest_weight_memory_kB)) + moved * bit(design.buffer_kB);
  }
  cost.time_ns = design.macs / (static_cast<double>(design.lanes) * design.clock_GHz);
  return cost;
}

NetworkDesign prepared(NetworkDesign design, const ComponentTable& table) {
  std::vector<Problem> problems;
  for (LayerDesign& layer : design.layers)
    for (TileGroup& group : layer.tiles) {
      try {
        validate(group.tile);
        group.tile = with_hop(group.tile, table);
      } catch (const ConfigError& error) {
        for (Problem problem : error.problems()) {
          problem.message += fmt::format(" (layer '{}')", layer.name);
          problems.push_back(std::move(problem));
        }
        break;
      }
    }
  if (!problems.empty()) throw ConfigError(std::move(problems));
  return design;
}

NetworkCost network_cost(const NetworkDesign& design, const ComponentValues& values) {
  NetworkCost cost;
  double slowest = 0.0;
  for (const LayerDesign& layer : design.layers) {
    LayerCost made = layer.tiles.empty() ? digital_layer(layer, values) : analog_layer(layer, values);
    cost.latency_ns += made.latency_ns;
    cost.worst_latency_ns += made.worst_latency_ns;
    slowest = std::max(slowest, made.latency_ns);
    cost.operations += layer.operations;
    cost.bit_operations += layer.bit_operations;
    cost.layers.push_back(made);
  }
  cost.interval_ns = design.pipeline == Pipeline::layers ? slowest : cost.latency_ns;
  for (std::size_t i = 0; i < cost.layers.size(); ++i) {
    LayerCost& layer = cost.layers[i];
    const LayerDesign& described = design.layers[i];
    layer.energy_fJ *= design.energy_calibration;
    if (!described.tiles.empty()) {
      const double time_ns = design.gated ? layer.latency_ns : cost.interval_ns;
      layer.energy_fJ[EnergyComponent::leakage] =
          leakage_fJ(described.tiles.front().tile.node_nm, layer.area_um2.total() * 1e-6, time_ns, values);
    }
    layer.area_um2 *= design.area_calibration;
    cost.energy_fJ += layer.energy_fJ;
    cost.area_um2 += layer.area_um2;
  }
  return cost;
}

NetworkEstimate network_estimate(const NetworkDesign& design, const ComponentTable& table) {
  const auto quantities = [&](const ComponentValues& values) {
    const NetworkCost cost = network_cost(design, values);
    std::vector<double> all{cost.energy_J(), cost.area_mm2()};
    for (const LayerCost& layer : cost.layers) all.push_back(layer.energy_fJ.total() * 1e-15);
    return all;
  };
  NetworkEstimate estimate;
  estimate.nominal = network_cost(design, table.nominal());
  const Ends ends = at_ends(table, quantities);
  const std::vector<Interval> found = intervals(ends, quantities(table.low()));
  const auto ends_of = [&](std::size_t q) {
    EndValues values{ends.nominal[q], {}, {}};
    for (std::size_t c = 0; c < component_count; ++c) {
      values.low.push_back(ends.low[c][q]);
      values.high.push_back(ends.high[c][q]);
    }
    return values;
  };
  estimate.energy_ends_J = ends_of(0);
  estimate.area_ends_mm2 = ends_of(1);
  estimate.energy_J = found[0];
  estimate.area_mm2 = found[1];
  estimate.layer_energy_J.assign(found.begin() + 2, found.end());
  estimate.tops_per_W = reversed(estimate.nominal.operations * 1e-12, estimate.energy_J);
  estimate.tops_per_mm2 = reversed(estimate.nominal.tops(), estimate.area_mm2);
  return estimate;
}

RelativeCost relative_cost(const NetworkDesign& design, const NetworkDesign& reference, const ComponentTable& table) {
  const auto quantities = [&](const ComponentValues& values) {
    const NetworkCost ours = network_cost(design, values);
    const NetworkCost theirs = network_cost(reference, values);
    const auto ratio = [](double a, double b) { return b > 0.0 ? a / b : 1.0; };
    return std::vector<double>{ratio(ours.energy_J(), theirs.energy_J()), ratio(ours.area_mm2(), theirs.area_mm2())};
  };
  const std::vector<Interval> found = intervals(table, quantities, false);
  return {found[0], found[1]};
}

}  // namespace tessera::cost
