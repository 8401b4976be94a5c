#pragma once
#include "tessera/circuit/sensitivity.hpp"

/// Private: sensitivities of arrays without resistance along some lines, cell voltages by conjugate gradients.
namespace tessera::circuit::detail {

void degenerate_sensitivities(const Cells& cells, const Wires& wires, std::vector<NoiseSensitivity>& out,
                              Parallel parallel);
void degenerate_gradient(const Cells& cells, const Wires& wires, ConstRealView matrix_gradient,
                         std::vector<RealMatrix>& out, Parallel parallel);

}  // namespace tessera::circuit::detail
