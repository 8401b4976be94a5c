#include <algorithm>
#include <cmath>

#include "tile/analog_layer_impl.hpp"

// What the devices of a tile are to hold, and what they hold.
namespace tessera::tile {

Matrix AnalogLayer::tile_weights(std::int64_t t) const {
  return impl_->tile(t).product.engine()->weights();
}

Matrix AnalogLayer::target_tile_weights(std::int64_t t) const {
  const LayerTile& tile = impl_->tile(t);
  if (!tile.target_weights.empty()) return tile.target_weights.matrix();
  return tile.target ? tile.target->weights() : tile.product.engine()->weights();
}

void AnalogLayer::set_tile_weights(std::int64_t t, ConstMatrixView weights) {
  LayerTile& tile = impl_->tile(t);
  require<InputError>(weights.rows == tile.product.outputs() && weights.cols == tile.product.inputs(),
                      "weights of {}x{} do not fit a tile of {}x{}", weights.rows, weights.cols, tile.product.outputs(),
                      tile.product.inputs());
  for (std::int64_t i = 0; i < weights.rows; ++i)
    for (const float w : weights.row_span(i)) require<InputError>(std::isfinite(w), "a tile weight is not finite");
  if (!tile.target && tile.target_weights.empty()) tile.target = tile.product.engine();
  tile.product.set_weights(weights);
}

Matrix AnalogLayer::device_targets(std::int64_t t) const {
  const LayerTile& tile = impl_->tile(t);
  Matrix cells = (tile.target ? tile.target : tile.product.engine())->cells();
  return cells.rows() > 0 ? cells : target_tile_weights(t);
}

void AnalogLayer::set_devices(std::int64_t t, ConstMatrixView values, const SharedMatrix& targets) {
  LayerTile& tile = impl_->tile(t);
  const std::shared_ptr<const Engine> target = tile.target ? tile.target : tile.product.engine();
  const std::shared_ptr<const Engine> programmed = target->with_cells(values);
  if (!programmed) {
    if (!targets.empty()) {
      tile.target_weights = targets;
      tile.target.reset();
    }
    return set_tile_weights(t, values);
  }
  tile.target = target;
  tile.product.set_engine(programmed);
}

bool AnalogLayer::converters_calibrated() const {
  return std::all_of(impl_->tiles.begin(), impl_->tiles.end(),
                     [](const LayerTile& tile) { return tile.product.engine()->calibrated(); });
}

std::optional<circuit::WireLoss> AnalogLayer::wire_loss(std::int64_t t, Parallel parallel) const {
  return impl_->tile(t).product.engine()->wire_loss(parallel);
}

circuit::CompensationLoss AnalogLayer::compensation_loss(std::int64_t t) const {
  return impl_->tile(t).product.engine()->compensation_loss();
}

}  // namespace tessera::tile
