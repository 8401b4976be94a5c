#include "circuit/degenerate_sensitivity.hpp"

#include "tessera/circuit/cell_voltages.hpp"

namespace tessera::circuit::detail {
namespace {

// a - b of every cell of set k.
RealMatrix drops(const CellVoltages& solved, std::size_t k) {
  RealMatrix d = solved.input_node_V[k];
  for (std::size_t c = 0; c < d.values().size(); ++c) d.values()[c] -= solved.output_node_V[k].values()[c];
  return d;
}

}  // namespace

void degenerate_sensitivities(const Cells& cells, const Wires& wires, std::vector<NoiseSensitivity>& out,
                              Parallel parallel) {
  const std::int64_t p = cells.outputs(), n = cells.inputs();
  const std::vector<double> ones(static_cast<std::size_t>(n), 1.0);
  const CellVoltages all = cell_voltages(cells, wires, ones);
  for (std::size_t k = 0; k < out.size(); ++k) out[k].ones_drop = drops(all, k);
  parallel_for(parallel, n, [&](std::int64_t i) {
    std::vector<double> unit(static_cast<std::size_t>(n), 0.0);
    unit[static_cast<std::size_t>(i)] = 1.0;
    const CellVoltages solved = cell_voltages(cells, wires, unit);
    for (std::size_t k = 0; k < out.size(); ++k) {
      const RealMatrix d = drops(solved, k);
      for (std::int64_t j = 0; j < p; ++j) out[k].own_drop(j, i) = d(j, i);
    }
  });
  parallel_for(parallel, p, [&](std::int64_t j) {
    const std::vector<RealMatrix> adjoint = adjoint_drops(cells, wires, j);
    for (std::size_t k = 0; k < out.size(); ++k)
      for (std::int64_t i = 0; i < n; ++i) out[k].adjoint(j, i) = adjoint[k](j, i);
  });
}

void degenerate_gradient(const Cells& cells, const Wires& wires, ConstRealView matrix_gradient,
                         std::vector<RealMatrix>& out, Parallel parallel) {
  // dL/dG_c = sum_j L_c^j D_c(V = row j of the gradient).
  const std::int64_t p = cells.outputs();
  std::vector<std::vector<RealMatrix>> parts(static_cast<std::size_t>(p));
  parallel_for(parallel, p, [&](std::int64_t j) {
    const CellVoltages solved = cell_voltages(cells, wires, matrix_gradient.row_span(j));
    std::vector<RealMatrix> adjoint = adjoint_drops(cells, wires, j);
    for (std::size_t k = 0; k < adjoint.size(); ++k) {
      const RealMatrix d = drops(solved, k);
      for (std::size_t c = 0; c < d.values().size(); ++c) adjoint[k].values()[c] *= d.values()[c];
    }
    parts[static_cast<std::size_t>(j)] = std::move(adjoint);
  });
  for (const std::vector<RealMatrix>& part : parts)
    for (std::size_t k = 0; k < out.size(); ++k)
      for (std::size_t c = 0; c < out[k].values().size(); ++c) out[k].values()[c] += part[k].values()[c];
}

}  // namespace tessera::circuit::detail
