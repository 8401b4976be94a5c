#include "conductance_activity.hpp"

#include <cmath>

#include "tessera/device/life_cycle.hpp"

namespace tessera::sim {

std::optional<double> conductance_mean(const ProgrammedChip& chip, const AnalogNetwork& network, std::size_t layer,
                                       std::optional<double> time_s, std::uint32_t read, Parallel parallel) {
  double sum = 0.0;
  double weights = 0.0;
  // Of a crossbar per cell, pairs twice: its slices are columns of their own.
  const auto& crossbar = network.part(layer, 0).parameters().crossbar;
  const double cells = crossbar && crossbar->has_pairs() ? 2.0 : 1.0;
  for (std::size_t p = 0; p < network.part_count(layer); ++p) {
    const device::DeviceParameters* devices = chip.devices(layer, p);
    for (std::int64_t t = 0; t < network.part(layer, p).tile_count(); ++t) {
      if (devices != nullptr) {
        const device::ProgrammedState& state = *chip.programmed(layer, p, t);
        const double g_max = device::g_max(device::converter(devices->noise_model));
        const auto count = static_cast<double>(state.weight_count());
        sum += count * static_cast<double>(state.devices) *
               device::mean_conductance(*devices, state, time_s, read, parallel) / g_max;
        weights += count;
        continue;
      }
      const Matrix tile = crossbar ? network.part(layer, p).device_targets(t) : network.part(layer, p).tile_weights(t);
      for (const float w : tile.values()) sum += static_cast<double>(std::fabs(w));
      weights += static_cast<double>(tile.rows() * tile.cols());
    }
  }
  if (weights == 0.0 || sum == 0.0) return std::nullopt;
  return cells * sum / weights;
}

}  // namespace tessera::sim
