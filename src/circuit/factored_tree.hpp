#pragma once
#include <memory>

#include "circuit/macro_model.hpp"

/// Private: the tree of merges with what elimination leaves behind, for descents.
namespace tessera::circuit::detail {

/// A rectangle of a few cells: node voltages are port voltages or -inner * (port voltages).
struct LeafNodes {
  Rectangle rectangle;
  Ports ports;
  std::int64_t sets = 1;
  RealMatrix inner;  ///< [inner nodes, ports]

  /// Voltages at the ends of a cell for port voltages [ports, right-hand sides] and `inner_voltage` = -inner * v.
  const double* input_node(std::int64_t row, std::int64_t col, std::int64_t set, ConstRealView ports_voltage,
                           ConstRealView inner_voltage) const;
  const double* output_node(std::int64_t row, std::int64_t col, ConstRealView ports_voltage,
                            ConstRealView inner_voltage) const;
  std::int64_t inner_inputs() const;
  std::int64_t input_columns() const { return rectangle.cols() - (ports.size(Side::right) > 0 ? 1 : 0); }
};

struct TreeNode {
  Rectangle rectangle;
  Cut cut = Cut::none;
  Ports ports;
  Join join;                ///< of a merge
  Elimination elimination;  ///< of a merge
  LeafNodes leaf;           ///< of a leaf
  std::array<std::unique_ptr<TreeNode>, 2> parts;
};

/// A tree and the memory of its matrices.
struct FactoredTree {
  std::unique_ptr<TreeNode> root;
  std::vector<std::unique_ptr<Storage>> memory;
};
FactoredTree factored_tree(const Network& network, Parallel parallel);

/// Voltages at the ports of a part for those of the union, v [ports, n], and of the joint nodes, joint [joined, n].
RealMatrix part_voltages(const TreeNode& node, int part, ConstRealView v, ConstRealView joint);

}  // namespace tessera::circuit::detail
