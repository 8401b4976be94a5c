#pragma once
#include "circuit/rectangle.hpp"

/// Private: arrays some of whose lines have no resistance per segment, so that their nodes fall together.
namespace tessera::circuit::detail {

/// M for row_ohm = 0 or column_ohm = 0; the sets of an interleaved array already subtracted.
RealMatrix degenerate_matrix(const Cells& cells, const Wires& wires);

}  // namespace tessera::circuit::detail
