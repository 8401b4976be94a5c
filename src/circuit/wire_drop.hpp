#pragma once
#include <span>
#include <vector>

#include "tessera/circuit/wires.hpp"

/// Private: voltages that the currents of the cells drop along the wires, in O(cells).
namespace tessera::circuit::detail {

/// Values per cell are [set][output][input] in one piece.
class WireDrop {
 public:
  WireDrop(std::int64_t sets, std::int64_t outputs, std::int64_t inputs, const Wires& wires);

  /// From driver to input node, set by set.
  void along_inputs(std::span<const double> current, std::span<double> drop) const;
  /// From output node to sense node: [output][input], the same for all sets.
  void along_outputs(std::span<const double> current, std::span<double> rise) const;
  /// Both: what a cell's voltage loses.
  void total(std::span<const double> current, std::span<double> drop) const;

  std::size_t size() const { return static_cast<std::size_t>(sets_ * outputs_ * inputs_); }

 private:
  std::int64_t sets_, outputs_, inputs_;
  Wires wires_;
};

}  // namespace tessera::circuit::detail
