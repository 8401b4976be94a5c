#include "sim/written_layer.hpp"

namespace tessera::sim {

namespace {

/// A seed for matrix `written`: two words of a stream of the chip that programming itself draws nothing from (its event
/// is 0).
std::uint64_t seed_of(const random::Address& chip, std::uint64_t written) {
  const random::Stream stream(chip, random::Purpose::programming);
  constexpr std::uint32_t event = 1;
  return (std::uint64_t{random::bits(stream, event, 2 * written)} << 32U) |
         random::bits(stream, event, 2 * written + 1);
}

}  // namespace

tile::AnalogLayer written_layer(const tile::AnalogLayer& layer, ConstMatrixView weight,
                                const device::DeviceParameters* device, std::uint64_t written) {
  random::Address chip = layer.address();
  tile::AnalogLayer result(layer.parameters(), weight, {}, chip);
  const tile::LayerState known = layer.state();
  tile::LayerState state = result.state();
  for (std::size_t t = 0; t < state.tiles.size(); ++t) {
    const tile::TileState& tile = known.tiles[t];
    state.tiles[t].input_range = tile.input_range;
    state.tiles[t].input_range_updates = tile.input_range_updates;
    state.tiles[t].output_scale = tile.output_scale;
    state.tiles[t].output_quantizer = tile.output_quantizer;
    state.tiles[t].noise_management_average = tile.noise_management_average;
  }
  state.output_quantizer = known.output_quantizer;
  state.output_range = known.output_range;
  state.output_quantile = known.output_quantile;
  result.set_output_code(layer.fused_relu(), layer.output_signed());
  result.set_state(state);
  if (device == nullptr) return result;
  chip.seed = seed_of(layer.address(), written);
  for (std::int64_t t = 0; t < result.tile_count(); ++t) {
    chip.tile = static_cast<std::uint32_t>(t);
    const device::ProgrammedState state_of_tile =
        device::program(*device, result.target_tile_weights(t).view(), chip, Parallel{1});
    result.set_tile_weights(t, device::programmed_weights(*device, state_of_tile, Parallel{1}).view());
  }
  return result;
}

}  // namespace tessera::sim
