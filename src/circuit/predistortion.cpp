#include "tessera/circuit/predistortion.hpp"

#include <algorithm>
#include <cmath>

#include "tessera/circuit/effective_matrix.hpp"

namespace tessera::circuit {
namespace {

constexpr int most_iterations = 40;

double squared_error(const RealMatrix& wanted, const RealMatrix& found) {
  double sum = 0.0;
  for (std::size_t c = 0; c < wanted.values().size(); ++c) sum += std::pow(wanted.values()[c] - found.values()[c], 2);
  return sum;
}

/// One array, or the two of an interleaved pair, driven towards `wanted` by `step`.
template <class Effective, class Step>
void iterate(std::vector<RealMatrix>& cells, const RealMatrix& wanted, Predistortion& report,
             const Effective& effective, const Step& step) {
  RealMatrix m = effective(cells);
  double best = squared_error(wanted, m);
  report.before += best;
  ++report.iterations;
  std::vector<RealMatrix> kept = cells;
  for (int k = 0; k < most_iterations && best > 0.0; ++k) {
    step(cells, m);
    m = effective(cells);
    ++report.iterations;
    const double error = squared_error(wanted, m);
    if (!(error < best * (1.0 - 1e-3))) break;
    best = error;
    kept = cells;
  }
  cells = std::move(kept);
  report.remaining += best;
}

}  // namespace

Predistortion predistort(const SliceCells& target, bool interleaved, const Wires& wires, double g0, Parallel parallel) {
  Predistortion report;
  const auto limited = [g0](double g) { return std::clamp(g, g0, 1.0); };
  if (interleaved) {
    RealMatrix wanted = target.positive;
    for (std::size_t c = 0; c < wanted.values().size(); ++c) wanted.values()[c] -= target.negative.values()[c];
    std::vector<RealMatrix> cells = {target.positive, target.negative};
    iterate(
        cells, wanted, report,
        [&](const std::vector<RealMatrix>& g) {
          return effective_matrix({g[0].view(), g[1].view()}, wires, parallel);
        },
        [&](std::vector<RealMatrix>& g, const RealMatrix& m) {
          for (std::size_t c = 0; c < wanted.values().size(); ++c) {
            const double missing = wanted.values()[c] - m.values()[c];
            const std::size_t set = wanted.values()[c] >= 0.0 ? 0 : 1;
            g[set].values()[c] = limited(g[set].values()[c] + (set == 0 ? missing : -missing));
          }
        });
    report.cells = {std::move(cells[0]), std::move(cells[1])};
  } else {
    const auto alone = [&](const RealMatrix& wanted) {
      std::vector<RealMatrix> cells = {wanted};
      if (wanted.rows() == 0) return RealMatrix();
      iterate(
          cells, wanted, report,
          [&](const std::vector<RealMatrix>& g) { return effective_matrix({g[0].view()}, wires, parallel); },
          [&](std::vector<RealMatrix>& g, const RealMatrix& m) {
            for (std::size_t c = 0; c < wanted.values().size(); ++c)
              if (m.values()[c] > 0.0)
                g[0].values()[c] = limited(g[0].values()[c] * wanted.values()[c] / m.values()[c]);
          });
      return std::move(cells[0]);
    };
    report.cells = {alone(target.positive), alone(target.negative)};
  }
  double count = 0.0, ends = 0.0;
  for (const RealMatrix* g : {&report.cells.positive, &report.cells.negative})
    for (const double v : g->values()) {
      count += 1.0;
      ends += v <= g0 || v >= 1.0 ? 1.0 : 0.0;
    }
  report.before = std::sqrt(report.before / count);
  report.remaining = std::sqrt(report.remaining / count);
  report.at_limit = ends / count;
  return report;
}

}  // namespace tessera::circuit
