#include <algorithm>

#include "tessera/circuit/core_tile.hpp"
#include "tessera/circuit/effective_matrix.hpp"

namespace tessera::circuit {
namespace {

/// The tile as a linear map of its inputs; limits of 1.
RealMatrix response(const CrossbarParameters& parameters, const CellState& state, const random::Address& address,
                    Parallel parallel) {
  const CoreTile tile(parameters, state, {}, address, Precision::real, parallel);
  RealMatrix identity(tile.inputs(), tile.inputs()), columns(tile.inputs(), tile.outputs());
  for (std::int64_t i = 0; i < tile.inputs(); ++i) identity(i, i) = 1.0;
  tile.multiply(identity.view(), columns.view(), {});
  RealMatrix weights = RealMatrix::uninitialized(tile.outputs(), tile.inputs());
  for (std::int64_t j = 0; j < tile.outputs(); ++j)
    for (std::int64_t i = 0; i < tile.inputs(); ++i) weights(j, i) = columns(i, j);
  return weights;
}

CrossbarParameters without_converters(CrossbarParameters p) {
  p.dac = {.is_signed = p.dac.is_signed};
  p.adc = {};
  p.device.read_noise = {};
  p.device.nonlinear_IV = {};
  p.core.inputs.clipping = false;
  p.array.Icol_max = 0.0;
  return p;
}

void add(RealMatrix& sum, const RealMatrix& part, std::int64_t first_row, double factor) {
  for (std::int64_t j = 0; j < sum.rows(); ++j)
    for (std::int64_t i = 0; i < sum.cols(); ++i) sum(j, i) += factor * part(j + first_row, i);
}

}  // namespace

RealMatrix stored_weights(const CrossbarParameters& parameters, const CellState& state) {
  CrossbarParameters bare = without_converters(parameters);
  bare.array = {};
  return response(bare, state, {}, {});
}

std::optional<WireLoss> wire_loss(const CrossbarParameters& parameters, const CellState& state,
                                  const random::Address& address, Parallel parallel) {
  const Wires wires = normalised_wires(parameters, state.slices.front().positive.cols());
  if (!wires.current_from_input) return std::nullopt;
  const RealMatrix ideal = stored_weights(parameters, state);
  const RealMatrix real = response(without_converters(parameters), state, address, parallel);
  WireLoss loss{0.0, 0.0, RealMatrix(ideal.rows(), ideal.cols()), RealMatrix(ideal.rows(), ideal.cols())};
  for (std::size_t c = 0; c < ideal.values().size(); ++c) {
    const double w = ideal.values()[c], difference = real.values()[c] - w;
    loss.signal += w * w;
    loss.error += difference * difference;
  }
  const std::int64_t first = parameters.has_unit_column() ? 1 : 0;
  const auto& off = parameters.array.parasitics.disable_slices;
  for (std::size_t s = 0; s < state.slices.size(); ++s) {
    const SliceCells& slice = state.slices[s];
    const bool solved = !wires.ideal() && std::find(off.begin(), off.end(), static_cast<int>(s)) == off.end();
    const bool pair = slice.negative.rows() > 0, interleaved = pair && parameters.core.balanced.interleaved_posneg;
    for (const RealMatrix* g : {&slice.positive, &slice.negative})
      if (g->rows() > 0) add(loss.carried, *g, first, 1.0);
    if (!solved) continue;
    if (interleaved) {
      RealMatrix difference = slice.positive;
      const RealMatrix m = effective_matrix({slice.positive.view(), slice.negative.view()}, wires, parallel);
      for (std::size_t c = 0; c < m.values().size(); ++c) {
        const double wanted = slice.positive.values()[c] - slice.negative.values()[c];
        difference.values()[c] = wanted >= 0.0 ? wanted - m.values()[c] : m.values()[c] - wanted;
      }
      add(loss.lost, difference, first, 1.0);
      continue;
    }
    for (const RealMatrix* g : {&slice.positive, &slice.negative}) {
      if (g->rows() == 0) continue;
      add(loss.lost, *g, first, 1.0);
      add(loss.lost, effective_matrix({g->view()}, wires, parallel), first, -1.0);
    }
  }
  return loss;
}

}  // namespace tessera::circuit
