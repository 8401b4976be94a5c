#include "sim/written_layer.hpp"

#include <cmath>

#include "tessera/core/error.hpp"

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
  const tile::LayerState& known = layer.state();
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
  state.converters = known.converters;
  state.output_range = known.output_range;
  state.output_quantile = known.output_quantile;
  result.set_output_code(layer.fused_relu(), layer.output_signed());
  result.set_state(state);
  if (device == nullptr) return result;
  chip.seed = seed_of(layer.address(), written);
  for (std::int64_t t = 0; t < result.tile_count(); ++t) {
    chip.tile = static_cast<std::uint32_t>(t);
    const device::ProgrammedState state_of_tile =
        device::program(*device, result.device_targets(t).view(), chip, Parallel{1});
    result.set_devices(t, device::programmed_weights(*device, state_of_tile, Parallel{1}).view());
  }
  return result;
}

namespace {

/// Whether the outputs of a written weight count positions.
bool outputs_are_positions(const device::RetentionParameters& retention, std::int64_t outputs, std::int64_t inputs,
                           std::int64_t readers) {
  if (retention.positions != device::WrittenPositions::automatic)
    return retention.positions == device::WrittenPositions::outputs;
  require<InputError>(
      (outputs == readers) != (inputs == readers),
      "written_retention: a matrix of {} outputs and {} inputs is read by {} vectors, which does not say "
      "which of both are positions; give positions: outputs (queries x keys) or inputs (attention x "
      "values)",
      outputs, inputs, readers);
  return outputs == readers;
}

}  // namespace

void read_leaking(
    const tile::AnalogLayer& written, const device::RetentionParameters& retention, std::uint64_t number,
    std::int64_t readers,
    const std::function<void(const tile::AnalogLayer& layer, std::int64_t first, std::int64_t count)>& read) {
  const bool by_outputs = outputs_are_positions(retention, written.outputs(), written.inputs(), readers);
  random::Address chip = written.address();
  chip.seed = seed_of(written.address(), number);
  std::vector<Matrix> held, constants;
  for (std::int64_t t = 0; t < written.tile_count(); ++t) {
    chip.tile = static_cast<std::uint32_t>(t);
    held.push_back(written.tile_weights(t));
    constants.push_back(device::time_constants(retention, held.back().rows(), held.back().cols(), chip));
  }
  tile::AnalogLayer layer = written;
  const std::int64_t each = retention.causal ? 1 : readers;
  for (std::int64_t reader = 0; reader < readers; reader += each) {
    for (std::int64_t t = 0; t < written.tile_count(); ++t) {
      const Matrix& from = held[static_cast<std::size_t>(t)];
      const Matrix& tau = constants[static_cast<std::size_t>(t)];
      const tile::TilePlace place = written.place(t);
      Matrix leaked = Matrix::uninitialized(from.rows(), from.cols());
      for (std::int64_t o = 0; o < from.rows(); ++o)
        for (std::int64_t k = 0; k < from.cols(); ++k) {
          const std::int64_t position = by_outputs ? place.first_output + o : place.first_input + k;
          const double age = device::age_of(retention, position, reader, readers);
          leaked(o, k) = age < 0.0 ? 0.0F
                                   : static_cast<float>(static_cast<double>(from(o, k)) *
                                                        std::exp(-age / static_cast<double>(tau(o, k))));
        }
      layer.set_tile_weights(t, leaked.view());
    }
    read(layer, reader, each);
  }
}

}  // namespace tessera::sim
