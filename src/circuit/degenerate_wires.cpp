#include "circuit/degenerate_wires.hpp"

#include <algorithm>
#include <vector>

#include "tessera/kernels/dense_factor.hpp"

namespace tessera::circuit::detail {
namespace {

/// A chain of nodes with conductances g[k] to fixed potentials, wire between neighbours, and `end` behind the last node
/// to ground. Factored from the first node on; only sums and quotients of positive numbers occur.
class Chain {
 public:
  Chain(std::span<const double> g, double wire_S, double end_S) : wire_(wire_S), pivot_(g.size()) {
    double ground = 0.0;  // conductance to ground of everything before this node, seen from it
    for (std::size_t k = 0; k < g.size(); ++k) {
      ground += g[k];
      const bool last = k + 1 == g.size();
      pivot_[k] = ground + (last ? end_S : wire_);
      if (!last) ground = ground * wire_ / pivot_[k];
    }
  }
  /// Node voltages for currents into the nodes, in place.
  void solve(std::span<double> current) const {
    const std::size_t n = pivot_.size();
    for (std::size_t k = 0; k + 1 < n; ++k) current[k + 1] += current[k] * wire_ / pivot_[k];
    current[n - 1] /= pivot_[n - 1];
    for (std::size_t k = n - 1; k-- > 0;) current[k] = (current[k] + wire_ * current[k + 1]) / pivot_[k];
  }

 private:
  double wire_;
  std::vector<double> pivot_;
};

/// All cells side by side, [outputs, sets * inputs]: set after set.
RealMatrix side_by_side(const Cells& cells) {
  const std::int64_t n = cells.inputs();
  RealMatrix big(cells.outputs(), cells.sets() * n);
  for (std::int64_t k = 0; k < cells.sets(); ++k)
    for (std::int64_t j = 0; j < cells.outputs(); ++j) std::copy_n(cells.set(k).row(j), n, big.view().row(j) + k * n);
  return big;
}

RealMatrix transposed(const RealMatrix& m) {
  RealMatrix t = RealMatrix::uninitialized(m.cols(), m.rows());
  for (std::int64_t r = 0; r < m.rows(); ++r)
    for (std::int64_t c = 0; c < m.cols(); ++c) t(c, r) = m(r, c);
  return t;
}

// x <- s^-1 x, s symmetric positive definite with a full upper triangle.
void solve_definite(RealMatrix s, RealMatrix& x) {
  require<RunError>(kernels::factor_cholesky(s.view()),
                    "the terminals and cells of a crossbar give no solvable circuit in double precision");
  kernels::solve_transposed(s.view(), x.view());
  kernels::solve_upper(s.view(), x.view());
}

// Every input line and every output line is one node: behind its terminal, or fixed.
RealMatrix terminals_only(const RealMatrix& big, double first, double end) {
  RealMatrix m = big;
  std::vector<double> divider(static_cast<std::size_t>(big.cols()), 1.0);  // input node over driver, outputs grounded
  if (first > 0.0) {
    std::vector<double> load(divider.size());
    for (std::int64_t j = 0; j < big.rows(); ++j)
      for (std::int64_t q = 0; q < big.cols(); ++q) load[static_cast<std::size_t>(q)] += big(j, q);
    for (std::size_t q = 0; q < load.size(); ++q) divider[q] = 1.0 / (1.0 + first * load[q]);
    for (std::int64_t j = 0; j < big.rows(); ++j)
      for (std::int64_t q = 0; q < big.cols(); ++q) m(j, q) *= divider[static_cast<std::size_t>(q)];
  }
  if (end == 0.0) return m;
  if (first == 0.0) {
    for (std::int64_t j = 0; j < m.rows(); ++j) {
      double load = 0.0;
      for (const double g : big.view().row_span(j)) load += g;
      for (double& g : m.view().row_span(j)) g /= 1.0 + end * load;
    }
    return m;
  }
  // end * (admittance of the output nodes); the diagonal is summed from its positive parts.
  RealMatrix s(m.rows(), m.rows());
  for (std::int64_t j = 0; j < m.rows(); ++j) {
    for (std::int64_t k = j; k < m.rows(); ++k) {
      double mutual = 0.0;
      for (std::int64_t q = 0; q < m.cols(); ++q) mutual += m(j, q) * big(k, q);
      s(j, k) = -end * first * mutual;
    }
    double load = 0.0;
    for (const double g : big.view().row_span(j)) load += g;
    s(j, j) += 1.0 + end * load;
  }
  solve_definite(std::move(s), m);
  return m;
}

// Output lines have wires, an input line is one node.
RealMatrix output_wires(const Cells& cells, const RealMatrix& big, double wire_S, double first, double end) {
  const std::int64_t n = cells.inputs(), lines = big.cols();
  RealMatrix m(big.rows(), lines);
  RealMatrix s(first > 0.0 ? lines : 0, first > 0.0 ? lines : 0);
  std::vector<double> total(static_cast<std::size_t>(n)), node(static_cast<std::size_t>(n));
  for (std::int64_t j = 0; j < big.rows(); ++j) {
    std::fill(total.begin(), total.end(), 0.0);
    for (std::int64_t q = 0; q < lines; ++q) total[static_cast<std::size_t>(q % n)] += big(j, q);
    const Chain chain(total, wire_S, 1.0 / end);
    std::fill(node.begin(), node.end(), 0.0);
    node.back() = 1.0 / end;
    chain.solve(node);  // adjoint: sense voltage 1
    for (std::int64_t q = 0; q < lines; ++q) m(j, q) = big(j, q) * node[static_cast<std::size_t>(q % n)];
    if (first == 0.0) continue;
    for (std::int64_t i = 0; i < n; ++i) {
      std::fill(node.begin(), node.end(), 0.0);
      node[static_cast<std::size_t>(i)] = 1.0;
      chain.solve(node);
      for (std::int64_t a = i; a < lines; a += n) {
        s(a, a) += big(j, a);
        for (std::int64_t b = 0; b < lines; ++b)
          s(a, b) -= big(j, a) * node[static_cast<std::size_t>(b % n)] * big(j, b);
      }
    }
  }
  if (first == 0.0) return m;
  for (std::int64_t a = 0; a < lines; ++a) {
    for (std::int64_t b = 0; b < lines; ++b) s(a, b) *= first;
    s(a, a) += 1.0;
  }
  RealMatrix columns = transposed(m);
  solve_definite(std::move(s), columns);
  return transposed(columns);
}

// Input lines have wires, an output line is one node.
RealMatrix input_wires(const RealMatrix& big, double wire_S, double first, double end) {
  const std::int64_t p = big.rows();
  RealMatrix m(p, big.cols());
  RealMatrix s(end > 0.0 ? p : 0, end > 0.0 ? p : 0);
  std::vector<double> g(static_cast<std::size_t>(p)), node(g.size());  // from the open end to the driver
  for (std::int64_t q = 0; q < big.cols(); ++q) {
    for (std::int64_t j = 0; j < p; ++j) g[static_cast<std::size_t>(p - 1 - j)] = big(j, q);
    const Chain chain(g, wire_S, 1.0 / first);
    std::fill(node.begin(), node.end(), 0.0);
    node.back() = 1.0 / first;
    chain.solve(node);
    for (std::int64_t j = 0; j < p; ++j) m(j, q) = big(j, q) * node[static_cast<std::size_t>(p - 1 - j)];
    if (end == 0.0) continue;
    for (std::int64_t j = 0; j < p; ++j) {
      std::fill(node.begin(), node.end(), 0.0);
      node[static_cast<std::size_t>(p - 1 - j)] = 1.0;
      chain.solve(node);
      s(j, j) += big(j, q);
      for (std::int64_t k = 0; k < p; ++k) s(j, k) -= big(j, q) * node[static_cast<std::size_t>(p - 1 - k)] * big(k, q);
    }
  }
  if (end == 0.0) return m;
  for (std::int64_t j = 0; j < p; ++j) {
    for (std::int64_t k = 0; k < p; ++k) s(j, k) *= end;
    s(j, j) += 1.0;
  }
  solve_definite(std::move(s), m);
  return m;
}

}  // namespace

RealMatrix degenerate_matrix(const Cells& cells, const Wires& wires) {
  const RealMatrix big = side_by_side(cells);
  const double first = wires.first_row_ohm(), end = wires.last_column_ohm();
  RealMatrix m = wires.row_ohm == 0.0 && wires.column_ohm == 0.0 ? terminals_only(big, first, end)
                 : wires.row_ohm == 0.0 ? output_wires(cells, big, 1.0 / wires.column_ohm, first, end)
                                        : input_wires(big, 1.0 / wires.row_ohm, first, end);
  if (!cells.interleaved()) return m;
  RealMatrix difference(cells.outputs(), cells.inputs());
  for (std::int64_t j = 0; j < cells.outputs(); ++j)
    for (std::int64_t i = 0; i < cells.inputs(); ++i) difference(j, i) = m(j, i) - m(j, cells.inputs() + i);
  return difference;
}

}  // namespace tessera::circuit::detail
