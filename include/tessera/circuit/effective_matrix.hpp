#pragma once
#include "tessera/circuit/wires.hpp"

/// Exact IR drop at the cost of a product. With linear cells and an input source the array is a linear network whose
/// inputs are voltages, so that the sensed currents are
///
///     I = M V,     M [outputs, inputs] the effective conductance matrix,
///
/// which is computed once when the cells are programmed. Every cell with its left and lower wire segment is a
/// four-terminal network; neighbouring rectangles are merged by eliminating the nodes of their common border,
///
///     Y' = diag(Ya, Yb) - C S^-1 C^T,     M = -Y[bottom ports, left ports] of the whole array
///
/// (nested dissection with the terminals kept). About 36 n^3 operations for n x n cells. There is no tolerance and no
/// iteration: the result is that of an exact solution to about 1e-13 of the largest current, for open cells, shorts,
/// zero-ohm segments and terminals. Cut and order are fixed: the bits do not depend on the thread count.
///
/// Interleaved pairs: M = M+ - M-.     All resistances 0: M = G.     Not interleaved: 0 <= M <= G.
namespace tessera::circuit {

/// M [outputs, inputs]. Throws InputError for cells or an array that do not fit (see check_array) or do not fit into
/// memory, ConfigError for wires that are none or a separate source (whose currents are not linear in gates: see
/// ladder.hpp).
RealMatrix effective_matrix(const Cells& cells, const Wires& wires, Parallel parallel = {});

/// Bytes that effective_matrix needs at most, for `sets` conductances per crossing.
double effective_matrix_bytes(std::int64_t outputs, std::int64_t inputs, std::int64_t sets);

}  // namespace tessera::circuit
