#pragma once
#include <vector>

#include "tessera/circuit/cell_law.hpp"
#include "tessera/circuit/wires.hpp"

/// The circuit of one input vector, solved for all of its cells: with V0 the voltages without wires and Z the drop that
/// cell currents cause (four running sums along the lines), the cell voltages v satisfy
///
///     v + Z f(v) = V0,     f the current of each cell.
///
/// Newton's method; each step solves 1 + sqrt(f') Z sqrt(f'), symmetric and positive definite, by conjugate gradients
/// to rounding. Linear cells need one step. Any topology, any resistance (0 included), open cells.
namespace tessera::circuit {

/// Voltages at the two ends of every cell, [outputs, inputs], of each set (one, or two of interleaved pairs), and the
/// sensed currents.
struct CellVoltages {
  std::vector<RealMatrix> input_node_V;   ///< a(i, j): on the input (or supply) line
  std::vector<RealMatrix> output_node_V;  ///< b(i, j): on the output line; equal for both sets
  std::vector<double> current_A;          ///< per output
  int newton_steps = 0;
  int cg_iterations = 0;
};

/// `input` holds one voltage (input source) or gate (separate source: 0 closed, else open) per input. Throws InputError
/// if its size differs or a cell's voltage leaves the range in which its current rises; RunError if the iteration
/// does not converge.
CellVoltages cell_voltages(const Cells& cells, const Wires& wires, std::span<const double> input,
                           const CellLaw& law = LinearCell{});

/// Sensed currents [vectors, outputs] of nonlinear cells.
RealMatrix nonlinear_currents(const Cells& cells, const Wires& wires, ConstRealView inputs, const CellLaw& law,
                              Parallel parallel = {});

/// Voltages (output side minus input side) across every cell [outputs, inputs] of each set when all drivers are at 0
/// and only sense node `output` is at 1 V, cells linear: the adjoint of the sensed current. Input source.
std::vector<RealMatrix> adjoint_drops(const Cells& cells, const Wires& wires, std::int64_t output);

/// Currents [outputs] of CrossSim's model of signed gates: every open cell has a source v_i in series, on a supply line
/// held at 0 (a circuit that cannot be built; compat.gated_signed CROSSSIM). Separate source.
std::vector<double> series_source_currents(const Cells& cells, const Wires& wires, std::span<const double> v);

}  // namespace tessera::circuit
