#pragma once
#include <vector>

#include "circuit/rectangle.hpp"

/// Private: admittance matrices of rectangles over their ports, and their merging.
namespace tessera::circuit::detail {

/// Current into port p for port voltages v: sum_q y[p][q] v[q]. y is symmetric; only its upper triangle is kept.
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

/// Storage that merges of one thread use again: fresh pages cost more than the arithmetic of small merges.
class Storage {
 public:
  RealMatrix take(std::int64_t rows, std::int64_t cols);
  void give(RealMatrix&& matrix);

 private:
  std::vector<AlignedVector<double>> free_;
};

/// The leaves `rectangles` (none of them to be cut further), several at a time.
std::vector<MacroModel> leaf_models(const Network& network, const std::vector<Rectangle>& rectangles);

/// The sum of the joint's blocks and the coupling, eliminated. The joint's ports are the first of both parts.
Elimination eliminate_joint(const MacroModel& a, const MacroModel& b, const Join& join, Storage& storage,
                            Parallel parallel);

/// Y' = diag(Ya, Yb) - C S^-1 C^T over the ports of the union.
MacroModel merged(const MacroModel& a, const MacroModel& b, const Join& join, const Elimination& e, Storage& storage,
                  Parallel parallel);

/// The same of the whole array, of which only the rows of the left ports and the columns of the bottom ports are
/// wanted.
RealMatrix merged_left_bottom(const MacroModel& a, const MacroModel& b, const Join& join, const Elimination& e,
                              Parallel parallel);

}  // namespace tessera::circuit::detail
