#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "tessera/circuit/real_matrix.hpp"

/// The wires of a crossbar array as a circuit.
///
/// Conductances are matrices [output][input]. Output line j is sensed at 0 V behind input n-1; input line i is driven
/// at output 0. Drivers are ideal. Input source (cells carry the input's current):
///
///     D(i)--Rrow+Rrt--a(i,0)--Rrow--a(i,1)-- ... --a(i,p-1)  (open end)     every a(i,j)--G[j][i]--b(i,j)
///     b(0,j)--Rcol--b(1,j)-- ... --b(n-1,j)--Rcol+Rct--O(j) = 0 V           b(0,j) is an open end
///
/// Separate source (an input only opens and closes the cells of its line; Rrow is then the resistance per segment of
/// the supply line that runs along output line j and is driven at input 0):
///
///     D(j) = supply--Rrow+Rrt--a(0,j)--Rrow--a(1,j)-- ... --a(n-1,j)        a(i,j)--G[j][i]--b(i,j) where x_i != 0
///
/// Interleaved: two input (or supply) lines, the second one driven with the opposite voltage, whose cells G and G_neg
/// share the output line and its nodes b(i,j): one output segment per pair.
///
/// Source: the netlists agree with CrossSim 3.2.0 iterated to convergence (except its misplaced row terminal) and with
/// ngspice 39; docs/models/crossbar_wires.md.
namespace tessera::circuit {

/// Where the used cells lie in an array with unselected lines (separate source only).
enum class SelectedRows {
  top,    ///< far from the sense node: the last output segment becomes Rcol (u + 1) + Rct
  bottom  ///< near it: the first supply segment becomes Rrow (u + 1) + Rrt
};

struct Wires {
  double row_ohm = 0.0;              ///< Rrow, per segment of an input (or supply) line
  double column_ohm = 0.0;           ///< Rcol, per segment of an output line
  double row_terminal_ohm = 0.0;     ///< Rrt, between a driver and the first segment
  double column_terminal_ohm = 0.0;  ///< Rct, between the last segment and the sense node
  bool current_from_input = true;    ///< input source; false: separate source
  std::int64_t unselected = 0;       ///< u, unselected lines (separate source)
  SelectedRows selected = SelectedRows::top;
  double supply_V = 1.0;  ///< of the supply lines (separate source)

  bool ideal() const {
    return row_ohm == 0.0 && column_ohm == 0.0 && row_terminal_ohm == 0.0 && column_terminal_ohm == 0.0;
  }
  /// Between a driver and the first cell, ohm: Rrow + Rrt, unselected lines included.
  double first_row_ohm() const;
  /// Between the last cell and the sense node, ohm: Rcol + Rct, unselected lines included.
  double last_column_ohm() const;
  bool operator==(const Wires&) const = default;
};

/// Appends what is wrong: resistances or counts that are negative or not finite. Keys are prefix + "Rp_row", ...
void find_problems(const Wires& wires, const std::string& prefix, std::vector<Problem>& problems);

/// The cells of one array: G, and of interleaved pairs G_neg (else empty), in the unit 1/ohm of the wires.
struct Cells {
  ConstRealView positive;
  ConstRealView negative = {};

  bool interleaved() const { return negative.rows > 0; }
  std::int64_t sets() const { return interleaved() ? 2 : 1; }
  ConstRealView set(std::int64_t k) const { return k == 0 ? positive : negative; }
  std::int64_t outputs() const { return positive.rows; }
  std::int64_t inputs() const { return positive.cols; }
};

/// Throws InputError if the array is empty, the two sets differ in shape, or a conductance is negative or not finite;
/// ConfigError for the wires.
void check_array(const Cells& cells, const Wires& wires);

}  // namespace tessera::circuit
