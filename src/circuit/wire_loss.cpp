#include <algorithm>
#include <utility>

#include "tessera/circuit/cell_voltages.hpp"
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

void add(RealMatrix& sum, const RealMatrix& part, std::int64_t first_row, double factor) {
  for (std::int64_t j = 0; j < sum.rows(); ++j)
    for (std::int64_t i = 0; i < sum.cols(); ++i) sum(j, i) += factor * part(j + first_row, i);
}

// Of every cell the share of its line's current while all gates are open, per supply voltage.
SliceCells all_gates_open(const SliceCells& slice, bool interleaved, const Wires& wires) {
  SliceCells open = slice;
  const std::vector<double> gates(static_cast<std::size_t>(slice.positive.cols()), 1.0);
  const auto conducting = [&](RealMatrix& g, const CellVoltages& nodes, std::size_t set) {
    const double supply = set == 0 ? wires.supply_V : -wires.supply_V;
    for (std::size_t c = 0; c < g.values().size(); ++c)
      g.values()[c] *= (nodes.input_node_V[set].values()[c] - nodes.output_node_V[0].values()[c]) / supply;
  };
  if (interleaved) {
    const CellVoltages nodes = cell_voltages({slice.positive.view(), slice.negative.view()}, wires, gates);
    conducting(open.positive, nodes, 0);
    conducting(open.negative, nodes, 1);
    return open;
  }
  for (RealMatrix* g : {&open.positive, &open.negative})
    if (g->rows() > 0) conducting(*g, cell_voltages({g->view()}, wires, gates), 0);
  return open;
}

// Adds what the wires take of the cells of a slice; `effective` becomes what is left of them.
void add_slice(const CrossbarParameters& parameters, const SliceCells& slice, const Wires& wires, WireLoss& loss,
               SliceCells& effective, Parallel parallel) {
  const std::int64_t first = parameters.has_unit_column() ? 1 : 0;
  const bool interleaved = slice.negative.rows() > 0 && parameters.core.balanced.interleaved_posneg;
  if (wires.ideal()) return;
  if (wires.current_from_input && interleaved) {
    RealMatrix difference = slice.positive;
    const RealMatrix m = effective_matrix({slice.positive.view(), slice.negative.view()}, wires, parallel);
    for (std::size_t c = 0; c < m.values().size(); ++c) {
      const double wanted = slice.positive.values()[c] - slice.negative.values()[c];
      difference.values()[c] = wanted >= 0.0 ? wanted - m.values()[c] : m.values()[c] - wanted;
    }
    add(loss.lost, difference, first, 1.0);
    return;
  }
  if (wires.current_from_input) {
    for (RealMatrix* g : {&effective.positive, &effective.negative})
      if (g->rows() > 0) *g = effective_matrix({g->view()}, wires, parallel);
  } else {
    effective = all_gates_open(slice, interleaved, wires);
  }
  for (const auto& [g, m] :
       {std::pair{&slice.positive, &effective.positive}, std::pair{&slice.negative, &effective.negative}}) {
    if (g->rows() == 0) continue;
    add(loss.lost, *g, first, 1.0);
    add(loss.lost, *m, first, -1.0);
  }
}

}  // namespace

CrossbarParameters without_converters(CrossbarParameters p) {
  p.dac = {.is_signed = p.dac.is_signed};
  p.adc = {};
  p.device.read_noise = {};
  p.device.nonlinear_IV = {};
  p.core.inputs.clipping = false;
  p.array.Icol_max = 0.0;
  return p;
}

RealMatrix stored_weights(const CrossbarParameters& parameters, const CellState& state) {
  CrossbarParameters bare = without_converters(parameters);
  bare.array = {};
  return response(bare, state, {}, {});
}

RealMatrix computed_weights(const CrossbarParameters& parameters, const CellState& state,
                            const random::Address& address, Parallel parallel) {
  if (!parameters.array.parasitics.current_from_input) return stored_weights(parameters, state);
  return response(without_converters(parameters), state, address, parallel);
}

WireLoss wire_loss(const CrossbarParameters& parameters, const CellState& state, const random::Address& address,
                   Parallel parallel) {
  const Wires wires = normalised_wires(parameters, state.slices.front().positive.cols());
  const RealMatrix ideal = stored_weights(parameters, state);
  WireLoss loss{0.0, 0.0, RealMatrix(ideal.rows(), ideal.cols()), RealMatrix(ideal.rows(), ideal.cols())};
  const auto& off = parameters.array.parasitics.disable_slices;
  CellState effective = state;
  for (std::size_t s = 0; s < state.slices.size(); ++s) {
    for (const RealMatrix* g : {&state.slices[s].positive, &state.slices[s].negative})
      if (g->rows() > 0) add(loss.carried, *g, parameters.has_unit_column() ? 1 : 0, 1.0);
    if (std::find(off.begin(), off.end(), static_cast<int>(s)) == off.end())
      add_slice(parameters, state.slices[s], wires, loss, effective.slices[s], parallel);
  }
  const RealMatrix real = wires.current_from_input ? computed_weights(parameters, state, address, parallel)
                                                   : stored_weights(parameters, effective);
  for (std::size_t c = 0; c < ideal.values().size(); ++c) {
    const double w = ideal.values()[c], difference = real.values()[c] - w;
    loss.signal += w * w;
    loss.error += difference * difference;
  }
  return loss;
}

}  // namespace tessera::circuit
