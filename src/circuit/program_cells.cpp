#include <algorithm>

#include "tessera/circuit/core_tile.hpp"
#include "tessera/circuit/device_error.hpp"
#include "tessera/circuit/predistortion.hpp"

namespace tessera::circuit {
namespace {

void compensate_wires(const CrossbarParameters& parameters, std::int64_t inputs, CellState& state) {
  const Wires wires = normalised_wires(parameters, inputs);
  const auto& off = parameters.array.parasitics.disable_slices;
  for (std::size_t s = 0; s < state.slices.size(); ++s) {
    if (std::find(off.begin(), off.end(), static_cast<int>(s)) != off.end()) continue;
    SliceCells& slice = state.slices[s];
    Predistortion found = predistort(slice, parameters.core.balanced.interleaved_posneg, wires, parameters.device.g0());
    const double cells = static_cast<double>(slice.positive.values().size() + slice.negative.values().size());
    state.compensation.cells += cells;
    state.compensation.before += cells * found.before * found.before;
    state.compensation.remaining += cells * found.remaining * found.remaining;
    state.compensation.at_limit += cells * found.at_limit;
    slice = std::move(found.cells);
    for (RealMatrix* g : {&slice.positive, &slice.negative})
      for (double& v : g->values()) v = nearest_level(parameters.device, v);
  }
}

}  // namespace

CellState target_cells(const CrossbarParameters& parameters, ConstRealView w) {
  CellState state{weight_cells(parameters, w)};
  if (parameters.compensate == Compensation::wires && parameters.array.parasitics.enable)
    compensate_wires(parameters, w.cols, state);
  return state;
}

RealMatrix stacked(const CellState& state) {
  std::int64_t rows = 0;
  for (const SliceCells& slice : state.slices) rows += slice.positive.rows() + slice.negative.rows();
  RealMatrix all = RealMatrix::uninitialized(rows, state.slices.front().positive.cols());
  double* at = all.values().data();
  for (const SliceCells& slice : state.slices)
    for (const RealMatrix* g : {&slice.positive, &slice.negative})
      at = std::copy(g->values().begin(), g->values().end(), at);
  return all;
}

CellState unstacked(ConstRealView cells, const CellState& like) {
  CellState state = like;
  std::int64_t row = 0;
  for (SliceCells& slice : state.slices)
    for (RealMatrix* g : {&slice.positive, &slice.negative}) {
      require<InputError>(row + g->rows() <= cells.rows && (g->rows() == 0 || g->cols() == cells.cols),
                          "{}x{} conductances do not fit the arrays of the tile", cells.rows, cells.cols);
      for (std::int64_t j = 0; j < g->rows(); ++j, ++row) std::copy_n(cells.row(row), cells.cols, g->view().row(j));
    }
  require<InputError>(row == cells.rows, "{}x{} conductances do not fit the arrays of the tile", cells.rows,
                      cells.cols);
  return state;
}

CellState program_cells(const CrossbarParameters& parameters, ConstRealView w, const random::Address& address) {
  CellState state = target_cells(parameters, w);
  const CellParameters& cell = parameters.device;
  const random::Stream programming(address, random::Purpose::cell_programming);
  const random::Stream drift(address, random::Purpose::cell_drift);
  std::uint32_t array = 0;
  for (SliceCells& slice : state.slices)
    for (RealMatrix* g : {&slice.positive, &slice.negative}) {
      if (g->rows() > 0 && cell.programming_error.active())
        apply_error(cell.programming_error, ErrorSlot::programming_error, cell, 0.0, programming, array, g->values());
      // Right after programming, the drift law stands for the programming error where there is no other.
      if (g->rows() > 0 && cell.drift_error.active() && (cell.time > 0.0 || !cell.programming_error.active()))
        apply_error(cell.drift_error, ErrorSlot::drift_error, cell, cell.time, drift, array, g->values());
      ++array;
    }
  return state;
}

}  // namespace tessera::circuit
