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
    slice = predistort(slice, parameters.core.balanced.interleaved_posneg, wires, parameters.device.g0()).cells;
    for (RealMatrix* g : {&slice.positive, &slice.negative})
      for (double& v : g->values()) v = nearest_level(parameters.device, v);
  }
}

}  // namespace

CellState program_cells(const CrossbarParameters& parameters, ConstRealView w, const random::Address& address) {
  CellState state{weight_cells(parameters, w)};
  const CellParameters& cell = parameters.device;
  if (parameters.compensate == Compensation::wires && parameters.array.parasitics.enable)
    compensate_wires(parameters, w.cols, state);
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
