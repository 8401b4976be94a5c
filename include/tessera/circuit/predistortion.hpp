#pragma once
#include "tessera/circuit/weight_cells.hpp"

/// Conductances that make up for the wires (`compensate: wires`): cells G for which the effective matrix M(G) of the
/// array with its wires is the wanted matrix T as far as the range of the cells allows. Fixed point on the cells,
///
///     g <- clamp(g T / M(g), g0, 1)    (interleaved pairs: the cell that carries the weight moves by T - M(g)),
///
/// from g = T, until nothing improves; the best iterate is kept. Wires only take away, so cells that are wanted
/// fully on stay short of it: give the weights head room (core.mapping.weights.percentile > 1) and repeat. Input
/// source, linear cells.
namespace tessera::circuit {

struct Predistortion {
  SliceCells cells;
  double before = 0.0;     ///< root mean square of T - M over all cells, uncompensated, in units of a fully-on cell
  double remaining = 0.0;  ///< the same with the cells found
  double at_limit = 0.0;   ///< fraction of cells at the ends of their range
  int iterations = 0;      ///< effective matrices computed
};

/// `target` in units of a fully-on cell, wires in units of its resistance. Throws as effective_matrix.
Predistortion predistort(const SliceCells& target, bool interleaved, const Wires& wires, double g0,
                         Parallel parallel = {});

}  // namespace tessera::circuit
