#include "tessera/circuit/ladder.hpp"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace tessera::circuit {
namespace {

RealMatrix input_major(ConstRealView g) {
  RealMatrix m = RealMatrix::uninitialized(g.cols, g.rows);
  for (std::int64_t j = 0; j < g.rows; ++j)
    for (std::int64_t i = 0; i < g.cols; ++i) m(i, j) = g(j, i);
  return m;
}

double largest(const Cells& cells) {
  double g = 0.0;
  for (std::int64_t s = 0; s < cells.sets(); ++s)
    for (std::int64_t j = 0; j < cells.outputs(); ++j)
      for (std::int64_t i = 0; i < cells.inputs(); ++i) g = std::max(g, cells.set(s)(j, i));
  return g > 0.0 ? g : 1.0;
}

/// The part of one output line of pairs between the present input and the sense node: symmetric port admittance over
/// (supply +, supply -, output) and the sensed current per port voltage.
struct ThreePort {
  std::array<std::array<double, 3>, 3> y{};
  std::array<double, 3> sensed{};

  explicit ThreePort(double sense_S) {
    y[2][2] = sense_S;
    sensed[2] = sense_S;
  }
  void add_cell(std::size_t supply, double g) {
    y[supply][supply] += g;
    y[2][2] += g;
    y[supply][2] -= g;
    y[2][supply] -= g;
  }
  void add_series(std::size_t port, double ohm) {
    if (ohm == 0.0) return;
    const double f = ohm / (1.0 + ohm * y[port][port]);
    const std::array<double, 3> row = y[port];
    const double h = sensed[port];
    for (std::size_t a = 0; a < 3; ++a) {
      sensed[a] -= f * h * row[a];
      for (std::size_t b = 0; b < 3; ++b) y[a][b] -= f * row[a] * row[b];
    }
  }
  /// For +supply and -supply, the upper end of the output line open.
  double current(double supply) const {
    const double open = sensed[2] / y[2][2];
    return supply * ((sensed[0] - open * y[2][0]) - (sensed[1] - open * y[2][1]));
  }
};

}  // namespace

GatedArray::GatedArray(const Cells& cells, const Wires& wires, bool definition)
    : wires_(wires),
      outputs_(cells.outputs()),
      inputs_(cells.inputs()),
      three_wired_(cells.interleaved() && wires.last_column_ohm() > 0.0) {
  check_array(cells, wires);
  if (wires.current_from_input)
    throw ConfigError("current_from_input", "gates need a separate source (current_from_input: false)");
  // Wires in units of the lowest cell resistance: currents of any array are then within the range of float32.
  const double unit = largest(cells);
  const kernels::LadderWires ladder{wires.row_ohm * unit, wires.column_ohm * unit, wires.first_row_ohm() * unit,
                                    wires.last_column_ohm() * unit, wires.supply_V * unit};
  if (three_wired_) {
    const kernels::LadderWires as_given{wires.row_ohm, wires.column_ohm, wires.first_row_ohm(), wires.last_column_ohm(),
                                        wires.supply_V};
    pairs_.emplace(cells.positive, cells.negative, as_given);
  } else if (kernels::PackedLadder::representable(inputs_, ladder)) {
    for (std::int64_t s = 0; s < cells.sets(); ++s) packed_.emplace_back(cells.set(s), unit, ladder);
  }
  if (!definition && (pairs_ || !packed_.empty())) return;
  positive_ = input_major(cells.positive);
  if (cells.interleaved()) negative_ = input_major(cells.negative);
}

void GatedArray::add_currents(ConstMatrixView gates, float sign, MatrixView out) const {
  if (pairs_) pairs_->add_currents(gates, sign, out);
  for (std::size_t s = 0; s < packed_.size(); ++s) packed_[s].add_currents(gates, s == 0 ? sign : -sign, out);
  if (pairs_ || !packed_.empty()) return;
  RealMatrix wide = RealMatrix::uninitialized(gates.rows, gates.cols);
  for (std::int64_t r = 0; r < gates.rows; ++r) std::copy_n(gates.row(r), gates.cols, wide.view().row(r));
  const RealMatrix exact = currents(wide.view());
  for (std::int64_t r = 0; r < out.rows; ++r)
    for (std::int64_t j = 0; j < out.cols; ++j) out(r, j) += sign * static_cast<float>(exact(r, j));
}

std::int64_t GatedArray::bytes() const {
  std::int64_t sum = static_cast<std::int64_t>(positive_.values().size_bytes() + negative_.values().size_bytes());
  for (const kernels::PackedLadder& ladder : packed_) sum += ladder.bytes();
  return sum + (pairs_ ? pairs_->bytes() : 0);
}

void GatedArray::two_wires(const RealMatrix& cells, const std::vector<std::int64_t>& active, double sign,
                           std::span<double> out) const {
  const double rs_step = wires_.row_ohm, ro_step = wires_.column_ohm;
  const std::size_t lines = out.size();
  // Until a line has its first conducting active cell, its rb is below zero.
  std::vector<double> rd(lines), rs(lines), rb(lines, -1.0);
  std::int64_t last = 0;
  for (const std::int64_t i : active) {
    const double rows = static_cast<double>(i - last);
    last = i;
    const double start = wires_.first_row_ohm() + static_cast<double>(i) * rs_step;
    const double* g = cells.view().row(i);
    for (std::size_t j = 0; j < lines; ++j) {
      if (rb[j] >= 0.0) {
        const double s = rs[j] + rows * rs_step;
        const double b = rb[j] + rows * ro_step;
        const double t = 1.0 / (1.0 + g[j] * (s + b));
        const double q = s * t;
        rd[j] += g[j] * b * q;
        rs[j] = q;
        rb[j] = b * t;
      } else if (g[j] > 0.0) {
        rd[j] = start;
        rb[j] = 1.0 / g[j];
      }
    }
  }
  const double rest = static_cast<double>(inputs() - 1 - last) * ro_step + wires_.last_column_ohm();
  for (std::size_t j = 0; j < lines; ++j)
    if (rb[j] >= 0.0) out[j] += sign * wires_.supply_V / (rd[j] + rb[j] + rest);
}

void GatedArray::three_wires(const std::vector<std::int64_t>& active, std::span<double> out) const {
  for (std::size_t j = 0; j < out.size(); ++j) {
    const auto line = static_cast<std::int64_t>(j);
    ThreePort port(1.0 / wires_.last_column_ohm());
    std::int64_t at = inputs() - 1;
    const auto climb = [&](std::int64_t to) {
      const double rows = static_cast<double>(at - to);
      port.add_series(0, rows * wires_.row_ohm);
      port.add_series(1, rows * wires_.row_ohm);
      port.add_series(2, rows * wires_.column_ohm);
      at = to;
    };
    for (std::size_t a = active.size(); a-- > 0;) {
      climb(active[a]);
      port.add_cell(0, positive_(at, line));
      port.add_cell(1, negative_(at, line));
    }
    climb(0);
    port.add_series(0, wires_.first_row_ohm());
    port.add_series(1, wires_.first_row_ohm());
    out[j] = port.current(wires_.supply_V);
  }
}

RealMatrix GatedArray::currents(ConstRealView gates, Parallel parallel) const {
  TESSERA_EXPECT(positive_.rows() == inputs_);
  require<InputError>(gates.cols == inputs(), "{} gates do not fit an array of {} inputs", gates.cols, inputs());
  RealMatrix out(gates.rows, outputs());
  parallel_for(parallel, gates.rows, [&](std::int64_t r) {
    std::vector<std::int64_t> active;
    for (std::int64_t i = 0; i < gates.cols; ++i)
      if (gates(r, i) != 0.0) active.push_back(i);
    if (active.empty()) return;
    const std::span<double> row = out.view().row_span(r);
    if (three_wired_) {
      three_wires(active, row);
      return;
    }
    two_wires(positive_, active, 1.0, row);
    if (negative_.rows() > 0) two_wires(negative_, active, -1.0, row);  // the output line is ground
  });
  return out;
}

}  // namespace tessera::circuit
