#include <algorithm>
#include <cmath>

#include "tessera/sim/recording.hpp"
#include "tessera/tile/crossbar_engine.hpp"

namespace tessera::sim {

namespace {

/// Sums over tiles by place in an array.
struct LossMap {
  circuit::RealMatrix carried, lost;

  void add(const circuit::WireLoss& loss) {
    const std::int64_t rows = std::max(carried.rows(), loss.carried.rows());
    const std::int64_t cols = std::max(carried.cols(), loss.carried.cols());
    for (auto [sum, part] : {std::pair{&carried, &loss.carried}, std::pair{&lost, &loss.lost}}) {
      circuit::RealMatrix wider(rows, cols);
      for (const circuit::RealMatrix* from : {static_cast<const circuit::RealMatrix*>(sum), part})
        for (std::int64_t j = 0; j < from->rows(); ++j)
          for (std::int64_t i = 0; i < from->cols(); ++i) wider(j, i) += (*from)(j, i);
      *sum = std::move(wider);
    }
  }
};

}  // namespace

void add_crossbars(results::LayerHardware& record, const AnalogNetwork& network, std::size_t layer, bool wires,
                   Parallel parallel) {
  LossMap map;
  double signal = 0.0, error = 0.0;
  circuit::CompensationLoss left;
  for (std::size_t p = 0; p < network.part_count(layer); ++p) {
    const tile::AnalogLayer& part = network.part(layer, p);
    if (!part.parameters().crossbar) continue;
    for (std::int64_t t = 0; t < part.tile_count(); ++t) {
      const tile::CrossbarCount count = tile::crossbar_count(*part.parameters().crossbar, part.place(t));
      record.arrays += count.arrays;
      record.converters += count.converters;
      if (!wires) continue;
      const std::optional<circuit::WireLoss> loss = part.wire_loss(t, parallel);
      if (!loss) continue;
      signal += loss->signal;
      error += loss->error;
      map.add(*loss);
      const circuit::CompensationLoss of_tile = part.compensation_loss(t);
      left.cells += of_tile.cells;
      left.before += of_tile.before;
      left.remaining += of_tile.remaining;
      left.at_limit += of_tile.at_limit;
    }
  }
  if (map.carried.rows() == 0) return;
  record.ir_drop_db = 10.0 * std::log10(signal / error);
  if (left.cells > 0.0) {
    record.compensation_before = std::sqrt(left.before / left.cells);
    record.compensation_remaining = std::sqrt(left.remaining / left.cells);
    record.compensation_at_limit = left.at_limit / left.cells;
  }
  record.map_outputs = map.carried.rows();
  record.map_inputs = map.carried.cols();
  for (std::size_t c = 0; c < map.carried.values().size(); ++c)
    record.ir_drop_map.push_back(static_cast<float>(map.lost.values()[c] / map.carried.values()[c]));
}

}  // namespace tessera::sim
