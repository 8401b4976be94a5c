#include "tessera/circuit/crossbar.hpp"

#include "tessera/circuit/effective_matrix.hpp"

namespace tessera::circuit {

Crossbar::Crossbar(RealMatrix conductances_S, const Wires& wires, const CellLaw& law, Parallel parallel)
    : Crossbar(std::move(conductances_S), RealMatrix(), wires, law, parallel) {}

Crossbar::Crossbar(RealMatrix positive_S, RealMatrix negative_S, const Wires& wires, const CellLaw& law,
                   Parallel parallel)
    : positive_(std::move(positive_S)), negative_(std::move(negative_S)), wires_(wires), law_(law) {
  check_array(cells(), wires);
  if (!std::holds_alternative<LinearCell>(law)) return;
  if (wires.current_from_input)
    matrix_ = circuit::effective_matrix(cells(), wires, parallel);
  else
    gated_ = std::make_shared<const GatedArray>(cells(), wires);
}

Cells Crossbar::cells() const {
  return {positive_.view(), negative_.rows() > 0 ? negative_.view() : ConstRealView{}};
}

RealMatrix Crossbar::currents(ConstRealView inputs, Parallel parallel) const {
  if (matrix_) return multiply_rows(inputs, matrix_->view(), parallel);
  if (gated_) return gated_->currents(inputs, parallel);
  return nonlinear_currents(cells(), wires_, inputs, law_, parallel);
}

CellVoltages Crossbar::node_voltages(std::span<const double> input) const {
  return cell_voltages(cells(), wires_, input, law_);
}

}  // namespace tessera::circuit
