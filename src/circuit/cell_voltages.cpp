#include "tessera/circuit/cell_voltages.hpp"

#include <algorithm>
#include <cmath>

#include "circuit/wire_drop.hpp"

namespace tessera::circuit {
namespace {

using Values = std::vector<double>;

double dot(const Values& a, const Values& b) {
  double sum = 0.0;
  for (std::size_t c = 0; c < a.size(); ++c) sum += a[c] * b[c];
  return sum;
}

double largest(const Values& a) {
  double worst = 0.0;
  for (const double v : a) worst = std::max(worst, std::abs(v));
  return worst;
}

/// x with (1 + s Z s) x = b. Rounding ends the iteration: it stops when the residual has not fallen for a while.
int conjugate_gradients(const detail::WireDrop& wires, const Values& s, const Values& b, Values& x) {
  const std::size_t n = b.size();
  Values r = b, p = b, q(n), scaled(n);
  x.assign(n, 0.0);
  double rr = dot(r, r), best = rr;
  const double target = 1e-34 * rr;
  int iterations = 0, since_best = 0;
  while (rr > target && since_best < 50) {
    for (std::size_t c = 0; c < n; ++c) scaled[c] = s[c] * p[c];
    wires.total(scaled, q);
    for (std::size_t c = 0; c < n; ++c) q[c] = p[c] + s[c] * q[c];
    const double alpha = rr / dot(p, q);
    for (std::size_t c = 0; c < n; ++c) {
      x[c] += alpha * p[c];
      r[c] -= alpha * q[c];
    }
    const double next = dot(r, r);
    for (std::size_t c = 0; c < n; ++c) p[c] = r[c] + next / rr * p[c];
    rr = next;
    since_best = rr < 0.5 * best ? 0 : since_best + 1;
    best = std::min(best, rr);
    ++iterations;
  }
  return iterations;
}

/// A cell's law, continued with its slope where its current would fall, so that the iteration has one solution.
struct RisingCurve {
  CellCurve curve;
  double low = 0.0, high = 0.0;

  explicit RisingCurve(const CellCurve& c) : curve(c) {
    std::tie(low, high) = c.rising_range();
    low *= 1.0 - 1e-6;
    high *= 1.0 - 1e-6;
  }
  double slope(double v) const { return std::max(curve.slope(std::clamp(v, low, high)), 0.0); }
  double current(double v) const {
    const double inside = std::clamp(v, low, high);
    return v == inside ? curve.current(v) : curve.current(inside) + curve.slope(inside) * (v - inside);
  }
};

class CellSolver {
 public:
  CellSolver(const Cells& cells, const Wires& wires, Values bias, const Values& gates, const CellLaw& law)
      : wires_(cells.sets(), cells.outputs(), cells.inputs(), wires), inputs_(cells.inputs()), bias_(std::move(bias)) {
    curves_.reserve(bias_.size());
    for (std::int64_t k = 0; k < cells.sets(); ++k)
      for (std::int64_t j = 0; j < cells.outputs(); ++j)
        for (std::int64_t i = 0; i < inputs_; ++i)
          curves_.emplace_back(gates[static_cast<std::size_t>(i)] != 0.0 ? cell_curve(law, cells.set(k)(j, i))
                                                                         : CellCurve{});
  }

  /// Cell voltages and currents.
  void solve(CellVoltages& counts) {
    voltage_ = bias_;
    Values slope(bias_.size()), x, step(bias_.size());
    Values residual = residual_of(voltage_);
    double error = largest(residual);
    const double scale = std::max(largest(bias_), 1e-300);
    for (; counts.newton_steps < 60 && error > 1e-15 * scale; ++counts.newton_steps) {
      for (std::size_t c = 0; c < slope.size(); ++c) slope[c] = std::sqrt(curves_[c].slope(voltage_[c]));
      Values right(residual.size());
      for (std::size_t c = 0; c < right.size(); ++c) right[c] = slope[c] * residual[c];
      counts.cg_iterations += conjugate_gradients(wires_, slope, right, x);
      // dv + Z f' dv = residual, and f' dv = slope x.
      for (std::size_t c = 0; c < x.size(); ++c) x[c] *= slope[c];
      wires_.total(x, step);
      for (std::size_t c = 0; c < step.size(); ++c) step[c] = residual[c] - step[c];
      double length = 1.0, next_error = 0.0;
      Values next, next_residual;
      for (int halving = 0; halving < 30; ++halving, length *= 0.5) {
        next = voltage_;
        for (std::size_t c = 0; c < next.size(); ++c) next[c] += length * step[c];
        next_residual = residual_of(next);
        next_error = largest(next_residual);
        if (next_error < error) break;
      }
      if (!(next_error < error)) break;  // rounding
      voltage_.swap(next);
      residual.swap(next_residual);
      error = next_error;
    }
    require<RunError>(error < 1e-10 * scale,
                      "the nonlinear cells of a crossbar were not solved: after {} Newton steps {} V remain",
                      counts.newton_steps, error);
    check_range();
  }

  const Values& bias() const { return bias_; }
  const Values& voltage() const { return voltage_; }
  const detail::WireDrop& wires() const { return wires_; }
  Values currents() const {
    Values current(voltage_.size());
    for (std::size_t c = 0; c < current.size(); ++c) current[c] = curves_[c].current(voltage_[c]);
    return current;
  }

 private:
  Values residual_of(const Values& v) const {
    Values current(v.size()), residual(v.size());
    for (std::size_t c = 0; c < v.size(); ++c) current[c] = curves_[c].current(v[c]);
    wires_.total(current, residual);
    for (std::size_t c = 0; c < v.size(); ++c) residual[c] = bias_[c] - residual[c] - v[c];
    return residual;
  }
  void check_range() const {
    for (std::size_t c = 0; c < voltage_.size(); ++c) {
      const RisingCurve& curve = curves_[c];
      const auto cell = static_cast<std::int64_t>(c);
      require<InputError>(
          voltage_[c] >= curve.low && voltage_[c] <= curve.high,
          "the cell of output {}, input {} is at {:.4g} V, outside {:.4g} .. {:.4g} V where the current "
          "of its nonlinear law rises; lower Vread",
          cell / inputs_, cell % inputs_, voltage_[c], curve.low, curve.high);
    }
  }

  detail::WireDrop wires_;
  std::int64_t inputs_;
  Values bias_, voltage_;
  std::vector<RisingCurve> curves_;
};

// V0 of every cell.
Values bias_voltages(const Cells& cells, const Wires& wires, std::span<const double> input) {
  Values bias;
  bias.reserve(static_cast<std::size_t>(cells.sets() * cells.outputs() * cells.inputs()));
  for (std::int64_t k = 0; k < cells.sets(); ++k) {
    const double sign = k == 0 ? 1.0 : -1.0;
    for (std::int64_t j = 0; j < cells.outputs(); ++j)
      for (const double v : input) bias.push_back(sign * (wires.current_from_input ? v : wires.supply_V));
  }
  return bias;
}

Values all_open(std::int64_t inputs) {
  return Values(static_cast<std::size_t>(inputs), 1.0);
}

Values line_sums(const Cells& cells, const Values& current) {
  const auto count = static_cast<std::size_t>(cells.outputs() * cells.inputs());
  Values sums(static_cast<std::size_t>(cells.outputs()), 0.0);
  for (std::size_t c = 0; c < current.size(); ++c)
    sums[c % count / static_cast<std::size_t>(cells.inputs())] += current[c];
  return sums;
}

void check_input(const Cells& cells, std::span<const double> input) {
  require<InputError>(static_cast<std::int64_t>(input.size()) == cells.inputs(),
                      "{} voltages do not fit an array of {} inputs", input.size(), cells.inputs());
  for (const double v : input) require<InputError>(std::isfinite(v), "an input voltage is {}", v);
}

}  // namespace

CellVoltages cell_voltages(const Cells& cells, const Wires& wires, std::span<const double> input, const CellLaw& law) {
  check_array(cells, wires);
  check_input(cells, input);
  const Values gates = wires.current_from_input ? all_open(cells.inputs()) : Values(input.begin(), input.end());
  CellSolver solver(cells, wires, bias_voltages(cells, wires, input), gates, law);
  CellVoltages result;
  solver.solve(result);
  const Values current = solver.currents();
  const std::int64_t count = cells.outputs() * cells.inputs();
  Values drop(current.size()), rise(static_cast<std::size_t>(count));
  solver.wires().along_inputs(current, drop);
  solver.wires().along_outputs(current, rise);
  for (std::int64_t k = 0; k < cells.sets(); ++k) {
    RealMatrix node(cells.outputs(), cells.inputs());
    for (std::int64_t c = 0; c < count; ++c) {
      const auto at = static_cast<std::size_t>(k * count + c);
      node.values()[static_cast<std::size_t>(c)] = solver.bias()[at] - drop[at];
    }
    result.input_node_V.push_back(std::move(node));
    result.output_node_V.emplace_back(cells.outputs(), cells.inputs(), rise);
  }
  result.current_A = line_sums(cells, current);
  return result;
}

RealMatrix nonlinear_currents(const Cells& cells, const Wires& wires, ConstRealView inputs, const CellLaw& law,
                              Parallel parallel) {
  RealMatrix out(inputs.rows, cells.outputs());
  parallel_for(parallel, inputs.rows, [&](std::int64_t r) {
    const CellVoltages solved = cell_voltages(cells, wires, inputs.row_span(r), law);
    std::copy(solved.current_A.begin(), solved.current_A.end(), out.view().row(r));
  });
  return out;
}

std::vector<RealMatrix> adjoint_drops(const Cells& cells, const Wires& wires, std::int64_t output) {
  check_array(cells, wires);
  require<InputError>(wires.current_from_input && output >= 0 && output < cells.outputs(),
                      "adjoint drops exist for the outputs of arrays with an input source");
  const std::int64_t count = cells.outputs() * cells.inputs();
  Values bias(static_cast<std::size_t>(cells.sets() * count), 0.0);
  for (std::int64_t k = 0; k < cells.sets(); ++k)
    std::fill_n(bias.begin() + k * count + output * cells.inputs(), cells.inputs(), 1.0);
  CellSolver solver(cells, wires, std::move(bias), all_open(cells.inputs()), LinearCell{});
  CellVoltages counts;
  solver.solve(counts);
  std::vector<RealMatrix> drops;
  for (std::int64_t k = 0; k < cells.sets(); ++k)
    drops.emplace_back(
        cells.outputs(), cells.inputs(),
        std::span(solver.voltage()).subspan(static_cast<std::size_t>(k * count), static_cast<std::size_t>(count)));
  return drops;
}

std::vector<double> series_source_currents(const Cells& cells, const Wires& wires, std::span<const double> v) {
  check_input(cells, v);
  Values bias;
  for (std::int64_t k = 0; k < cells.sets(); ++k)
    for (std::int64_t j = 0; j < cells.outputs(); ++j)
      for (const double volt : v) bias.push_back(k == 0 ? volt : -volt);
  CellSolver solver(cells, wires, std::move(bias), Values(v.begin(), v.end()), LinearCell{});
  CellVoltages counts;
  solver.solve(counts);
  return line_sums(cells, solver.currents());
}

}  // namespace tessera::circuit
