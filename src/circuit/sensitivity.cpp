#include "tessera/circuit/sensitivity.hpp"

#include <algorithm>
#include <cmath>

#include "circuit/degenerate_sensitivity.hpp"
#include "circuit/factored_tree.hpp"
#include "tessera/circuit/cell_voltages.hpp"
#include "tessera/circuit/effective_matrix.hpp"
#include "tessera/kernels/dense_factor.hpp"

namespace tessera::circuit {
namespace {

using namespace detail;

RealMatrix columns(ConstRealView v, std::int64_t first, std::int64_t count) {
  return RealMatrix(v.cols_from(first, count));
}

RealMatrix side_by_side(const RealMatrix& a, const RealMatrix& b, const RealMatrix& c) {
  RealMatrix m = RealMatrix::uninitialized(a.rows(), a.cols() + b.cols() + c.cols());
  for (std::int64_t r = 0; r < a.rows(); ++r) {
    double* row = std::copy_n(a.view().row(r), a.cols(), m.view().row(r));
    row = std::copy_n(b.view().row(r), b.cols(), row);
    std::copy_n(c.view().row(r), c.cols(), row);
  }
  return m;
}

// -a v for a [inner, ports].
RealMatrix minus_product(ConstRealView a, ConstRealView v, Parallel parallel) {
  RealMatrix out(a.rows, v.cols);
  kernels::subtract_product(kernels::transposed(a), v, out.view(), kernels::Triangle::all, parallel);
  return out;
}

// Voltages of the joint nodes.
RealMatrix joint_voltages(const TreeNode& node, ConstRealView v, Parallel parallel) {
  RealMatrix joint = minus_product(node.elimination.coupling, v, parallel);
  kernels::solve_upper(node.elimination.u, joint.view(), parallel);
  return joint;
}

/// Right-hand sides of a rectangle: adjoints of its outputs, units at its inputs, ones at all inputs.
void descend_noise(const TreeNode& node, const RealMatrix& v, std::vector<NoiseSensitivity>& out, Parallel parallel) {
  const Rectangle& r = node.rectangle;
  const std::int64_t adjoints = r.cols(), units = r.rows();
  if (node.cut == Cut::none) {
    const RealMatrix inner = minus_product(node.leaf.inner.view(), v.view(), {});
    for (std::size_t k = 0; k < out.size(); ++k)
      for (std::int64_t row = 0; row < units; ++row)
        for (std::int64_t col = 0; col < adjoints; ++col) {
          const double* a = node.leaf.input_node(row, col, static_cast<std::int64_t>(k), v.view(), inner.view());
          const double* b = node.leaf.output_node(row, col, v.view(), inner.view());
          const std::int64_t j = r.col0 + col, i = r.row0 + row;
          out[k].adjoint(j, i) = b[col] - a[col];
          out[k].own_drop(j, i) = a[adjoints + row] - b[adjoints + row];
          out[k].ones_drop(j, i) = a[adjoints + units] - b[adjoints + units];
        }
    return;
  }
  const RealMatrix joint = joint_voltages(node, v.view(), parallel);
  for (int part = 0; part < 2; ++part) {
    const Rectangle& half = node.parts[static_cast<std::size_t>(part)]->rectangle;
    const RealMatrix all = part_voltages(node, part, v.view(), joint.view());
    const RealMatrix own = side_by_side(columns(all.view(), half.col0 - r.col0, half.cols()),
                                        columns(all.view(), adjoints + half.row0 - r.row0, half.rows()),
                                        columns(all.view(), adjoints + units, 1));
    descend_noise(*node.parts[static_cast<std::size_t>(part)], own, out, parallel);
  }
}

/// dL/dY over the ports of a rectangle, downwards: voltages are T v with T = [1; -S^-1 C], so dL/dY of the parts is
/// T (dL/dY) T^T.
void descend_gradient(const TreeNode& node, const RealMatrix& gradient, std::vector<RealMatrix>& out,
                      Parallel parallel) {
  const auto transposed = [](const RealMatrix& m) {
    RealMatrix t = RealMatrix::uninitialized(m.cols(), m.rows());
    for (std::int64_t a = 0; a < m.rows(); ++a)
      for (std::int64_t b = 0; b < m.cols(); ++b) t(b, a) = m(a, b);
    return t;
  };
  if (node.cut == Cut::none) {
    const Rectangle& r = node.rectangle;
    const RealMatrix inner = minus_product(node.leaf.inner.view(), gradient.view(), {});  // rows of T (dL/dY)
    const std::int64_t p = gradient.rows();
    RealMatrix identity(p, p);
    for (std::int64_t q = 0; q < p; ++q) identity(q, q) = 1.0;
    const RealMatrix inner_identity = minus_product(node.leaf.inner.view(), identity.view(), {});
    for (std::size_t k = 0; k < out.size(); ++k)
      for (std::int64_t row = 0; row < r.rows(); ++row)
        for (std::int64_t col = 0; col < r.cols(); ++col) {
          const auto set = static_cast<std::int64_t>(k);
          const double* a = node.leaf.input_node(row, col, set, gradient.view(), inner.view());
          const double* b = node.leaf.output_node(row, col, gradient.view(), inner.view());
          const double* ta = node.leaf.input_node(row, col, set, identity.view(), inner_identity.view());
          const double* tb = node.leaf.output_node(row, col, identity.view(), inner_identity.view());
          double sum = 0.0;
          for (std::int64_t q = 0; q < p; ++q) sum += (a[q] - b[q]) * (ta[q] - tb[q]);
          out[k](r.col0 + col, r.row0 + row) = sum;
        }
    return;
  }
  // (1) rows: T g, over the ports and the joint; (2) columns: (T g) T^T.
  const RealMatrix joint_rows = joint_voltages(node, gradient.view(), parallel);
  for (int part = 0; part < 2; ++part) {
    const RealMatrix rows = part_voltages(node, part, gradient.view(), joint_rows.view());
    const RealMatrix turned = transposed(rows);
    const RealMatrix joint_columns = joint_voltages(node, turned.view(), parallel);
    const RealMatrix own = part_voltages(node, part, turned.view(), joint_columns.view());
    descend_gradient(*node.parts[static_cast<std::size_t>(part)], transposed(own), out, parallel);
  }
}

}  // namespace

struct FactoredArray::Implementation {
  RealMatrix positive, negative;
  Cells cells;
  Wires wires;
  FactoredTree tree;  ///< none for degenerate wires, which are solved by conjugate gradients
};

FactoredArray::~FactoredArray() = default;
FactoredArray::FactoredArray(FactoredArray&&) noexcept = default;
FactoredArray& FactoredArray::operator=(FactoredArray&&) noexcept = default;

FactoredArray::FactoredArray(const Cells& cells, const Wires& wires, Parallel parallel)
    : implementation_(std::make_unique<Implementation>()) {
  check_array(cells, wires);
  if (!wires.current_from_input)
    throw ConfigError("current_from_input", "sensitivities through wires exist for an input source only");
  implementation_->positive = RealMatrix(cells.positive);
  if (cells.interleaved()) implementation_->negative = RealMatrix(cells.negative);
  implementation_->cells = {implementation_->positive.view(),
                            cells.interleaved() ? implementation_->negative.view() : ConstRealView{}};
  implementation_->wires = wires;
  if (wires.row_ohm > 0.0 && wires.column_ohm > 0.0)
    implementation_->tree = factored_tree(Network(implementation_->cells, wires), parallel);
}

std::vector<NoiseSensitivity> FactoredArray::noise_sensitivities(Parallel parallel) const {
  const Cells& cells = implementation_->cells;
  const std::int64_t p = cells.outputs(), n = cells.inputs(), sets = cells.sets();
  std::vector<NoiseSensitivity> out;
  for (std::int64_t k = 0; k < sets; ++k) out.push_back({RealMatrix(p, n), RealMatrix(p, n), RealMatrix(p, n)});
  if (!implementation_->tree.root) {
    degenerate_sensitivities(cells, implementation_->wires, out, parallel);
    return out;
  }
  const Ports& ports = implementation_->tree.root->ports;
  RealMatrix v(ports.count(), p + n + 1);
  for (std::int64_t j = 0; j < p; ++j) v(ports.at(Side::bottom) + j, j) = 1.0;
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t k = 0; k < sets; ++k) {
      const double sign = k == 0 ? 1.0 : -1.0;
      v(ports.at(Side::left) + sets * i + k, p + i) = sign;
      v(ports.at(Side::left) + sets * i + k, p + n) = sign;
    }
  descend_noise(*implementation_->tree.root, v, out, parallel);
  return out;
}

std::vector<RealMatrix> FactoredArray::conductance_gradient(ConstRealView matrix_gradient, Parallel parallel) const {
  const Cells& cells = implementation_->cells;
  const std::int64_t p = cells.outputs(), n = cells.inputs(), sets = cells.sets();
  require<InputError>(matrix_gradient.rows == p && matrix_gradient.cols == n,
                      "a gradient of {}x{} does not fit an array of {}x{}", matrix_gradient.rows, matrix_gradient.cols,
                      p, n);
  std::vector<RealMatrix> out;
  for (std::int64_t k = 0; k < sets; ++k) out.emplace_back(p, n);
  if (!implementation_->tree.root) {
    degenerate_gradient(cells, implementation_->wires, matrix_gradient, out, parallel);
    return out;
  }
  const Ports& ports = implementation_->tree.root->ports;
  RealMatrix gradient(ports.count(), ports.count());
  for (std::int64_t j = 0; j < p; ++j)
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t k = 0; k < sets; ++k)
        gradient(ports.at(Side::bottom) + j, ports.at(Side::left) + sets * i + k) =
            (k == 0 ? -1.0 : 1.0) * matrix_gradient(j, i);
  descend_gradient(*implementation_->tree.root, gradient, out, parallel);
  return out;
}

void NoiseMatrices::add(const NoiseSensitivity& sensitivity, ConstRealView sigma) {
  if (square.rows() == 0) {
    square = RealMatrix(sigma.rows, sigma.cols);
    mixed = RealMatrix(sigma.rows, sigma.cols);
    mean.assign(static_cast<std::size_t>(sigma.rows), 0.0);
  }
  for (std::int64_t j = 0; j < sigma.rows; ++j)
    for (std::int64_t i = 0; i < sigma.cols; ++i) {
      const double s = std::pow(sigma(j, i) * sensitivity.adjoint(j, i), 2);
      const double d = sensitivity.own_drop(j, i), e = sensitivity.ones_drop(j, i) - d;
      square(j, i) += s * d * d;
      mixed(j, i) += 2.0 * s * d * e;
      mean[static_cast<std::size_t>(j)] += s * e * e;
    }
}

RealMatrix noise_deviations(const NoiseMatrices& noise, ConstRealView voltages) {
  RealMatrix squares(voltages);
  for (double& v : squares.values()) v *= v;
  RealMatrix variance = multiply_rows(squares.view(), noise.square.view());
  const RealMatrix mixed = multiply_rows(voltages, noise.mixed.view());
  for (std::int64_t r = 0; r < voltages.rows; ++r) {
    double mean = 0.0;
    for (const double v : voltages.row_span(r)) mean += v / static_cast<double>(voltages.cols);
    for (std::int64_t j = 0; j < variance.cols(); ++j)
      variance(r, j) = std::sqrt(
          std::max(variance(r, j) + mean * mixed(r, j) + mean * mean * noise.mean[static_cast<std::size_t>(j)], 0.0));
  }
  return variance;
}

}  // namespace tessera::circuit
