#include <algorithm>
#include <cmath>
#include <numeric>

#include "tessera/sim/recording.hpp"

namespace tessera::sim {

namespace {

void add_counts(std::vector<std::int64_t>& sum, const std::vector<std::int64_t>& counts) {
  sum.resize(counts.size(), 0);
  for (std::size_t i = 0; i < counts.size(); ++i) sum[i] += counts[i];
}

/// The target conductances of a tile, device after device.
AlignedVector<float> target_conductances(const device::ConductanceConverter& cells,
                                         const device::ProgrammedState& state) {
  AlignedVector<float> conductances(state.conductances.size());
  const auto count = static_cast<std::size_t>(state.weight_count());
  for (std::int64_t d = 0; d < state.devices; ++d)
    device::to_conductances(cells, state.conversion, d, state.target.values(),
                            std::span(conductances).subspan(static_cast<std::size_t>(d) * count, count));
  return conductances;
}

}  // namespace

results::LayerProgramming programming_record(const ProgrammedChip& chip, std::size_t layer, Parallel parallel) {
  results::LayerProgramming record;
  Moments error;
  double pulses = 0.0, unconverged = 0.0, stuck = 0.0, devices = 0.0;
  for (std::size_t p = 0; p < chip.part_count(layer); ++p) {
    const device::DeviceParameters& parameters = *chip.devices(layer, p);
    const device::ConductanceConverter cells = device::converter(parameters.noise_model);
    record.g_max = device::g_max(cells);
    for (std::int64_t t = 0; t < chip.tile_count(layer, p); ++t) {
      const device::ProgrammedState& state = *chip.programmed(layer, p, t);
      const auto count = static_cast<double>(state.conductances.size());
      error.merge(device::programming_error(parameters, state, parallel));
      pulses += state.mean_pulses * count;
      unconverged += state.unconverged_fraction * count;
      stuck += static_cast<double>(std::count_if(state.faults.begin(), state.faults.end(),
                                                 [](device::Fault fault) { return fault != device::Fault::none; }));
      devices += count;
      add_counts(record.histogram,
                 device::conductance_histogram(state.conductances, record.g_max, results::conductance_bins));
      add_counts(record.target_histogram, device::conductance_histogram(target_conductances(cells, state), record.g_max,
                                                                        results::conductance_bins));
    }
  }
  record.error_mean = error.mean();
  record.error_std = error.standard_deviation();
  record.pulses = pulses / devices;
  record.unconverged_fraction = unconverged / devices;
  record.stuck_fraction = stuck / devices;
  return record;
}

results::LayerWeights weights_record(const AnalogNetwork& network, std::size_t layer) {
  results::LayerWeights record;
  ErrorMeasures read, compensated;
  for (std::size_t p = 0; p < network.part_count(layer); ++p) {
    const tile::AnalogLayer& part = network.part(layer, p);
    for (std::int64_t t = 0; t < part.tile_count(); ++t) {
      const Matrix target = part.target_tile_weights(t);
      Matrix weights = part.tile_weights(t);
      read.add(target.values(), weights.values());
      std::vector<float> alpha = part.tile_report(t).alpha;
      if (alpha.empty()) alpha = {1.0F};
      alpha.resize(static_cast<std::size_t>(weights.rows()), alpha.front());
      for (std::int64_t i = 0; i < weights.rows(); ++i)
        for (float& w : weights.view().row_span(i)) w *= alpha[static_cast<std::size_t>(i)];
      compensated.add(target.values(), weights.values());
      const double sum = std::accumulate(alpha.begin(), alpha.end(), 0.0);
      record.alpha.push_back(static_cast<float>(sum / static_cast<double>(alpha.size())));
      record.column_alpha.insert(record.column_alpha.end(), alpha.begin(), alpha.end());
    }
  }
  record.gain = read.sum_reference_squared > 0.0 ? read.sum_product / read.sum_reference_squared : results::missing;
  record.error = std::sqrt(compensated.mse());
  record.sqnr_db = compensated.sqnr_db();
  return record;
}

}  // namespace tessera::sim
