#pragma once
#include <vector>

#include "circuit/rectangle.hpp"

/// Private: admittance matrices of rectangles over their ports, and their merging.
namespace tessera::circuit::detail {

/// Current into port p for port voltages v: sum_q y[p][q] v[q].
struct MacroModel {
  Ports ports = {};
  RealMatrix y = {};
};

/// What eliminating the joint nodes leaves behind: with S = u^T u their own block and C their coupling to the ports of
/// the union, coupling = u^-T C. Their voltages are -u^-1 coupling v.
struct Elimination {
  RealMatrix u;
  RealMatrix coupling;
};

/// The leaves `rectangles` (none of them to be cut further), several at a time.
std::vector<MacroModel> leaf_models(const Network& network, const std::vector<Rectangle>& rectangles);

/// The sum of the joint's blocks and the coupling, eliminated.
Elimination eliminate_joint(const MacroModel& a, const MacroModel& b, const Join& join, Parallel parallel);

/// Y' = diag(Ya, Yb) - C S^-1 C^T over the ports of the union.
MacroModel merged(const MacroModel& a, const MacroModel& b, const Join& join, const Elimination& e, Parallel parallel);

/// The same, of which only the rows of the bottom ports and the columns of the left ports are wanted.
RealMatrix merged_bottom_left(const MacroModel& a, const MacroModel& b, const Join& join, const Elimination& e,
                              Parallel parallel);

}  // namespace tessera::circuit::detail
