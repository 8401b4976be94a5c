// Crossbar arrays as text on standard input, their currents and node voltages on standard output: what scripts/validate holds
// against circuits that others solved.
//
//   in:   arrays; for each: inputs outputs row_ohm column_ohm, the devices' resistances (ohm, inputs x outputs, "inf": open),
//         the inputs' voltages (V)
//   out:  for each array a line of `outputs` sensed currents (A), then inputs x outputs voltages on the input lines, then on
//         the output lines (V), with 17 digits
#include <cmath>
#include <iomanip>
#include <iostream>
#include <string>
#include <vector>

#include "tessera/circuit/crossbar.hpp"

namespace {

using tessera::circuit::RealMatrix;

double number() {
  std::string word;
  if (!(std::cin >> word)) throw std::runtime_error("the input ends in the middle of an array");
  return std::stod(word);
}

void print(const RealMatrix& nodes) {  // [outputs, inputs]
  for (std::int64_t i = 0; i < nodes.cols(); ++i)
    for (std::int64_t j = 0; j < nodes.rows(); ++j) std::cout << nodes(j, i) << ' ';
  std::cout << '\n';
}

void solve() {
  const auto inputs = static_cast<std::int64_t>(number()), outputs = static_cast<std::int64_t>(number());
  const double row_ohm = number(), column_ohm = number();
  RealMatrix g(outputs, inputs);
  for (std::int64_t i = 0; i < inputs; ++i)
    for (std::int64_t j = 0; j < outputs; ++j) g(j, i) = 1.0 / number();
  RealMatrix volts(1, inputs);
  for (double& v : volts.values()) v = number();
  const tessera::circuit::Crossbar crossbar(g, {.row_ohm = row_ohm, .column_ohm = column_ohm});
  const RealMatrix currents = crossbar.currents(volts.view());
  for (const double i : currents.values()) std::cout << i << ' ';
  std::cout << '\n';
  const tessera::circuit::CellVoltages nodes = crossbar.node_voltages(volts.values());
  print(nodes.input_node_V.front());
  print(nodes.output_node_V.front());
}

}  // namespace

int main() {
  try {
    std::cout << std::setprecision(17);
    const auto arrays = static_cast<int>(number());
    for (int a = 0; a < arrays; ++a) solve();
  } catch (const std::exception& error) {
    std::cerr << "solve_arrays: " << error.what() << '\n';
    return 1;
  }
}
