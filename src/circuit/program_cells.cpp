#include "tessera/circuit/core_tile.hpp"
#include "tessera/circuit/device_error.hpp"

namespace tessera::circuit {

CellState program_cells(const CrossbarParameters& parameters, ConstRealView w, const random::Address& address) {
  CellState state{weight_cells(parameters, w)};
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
