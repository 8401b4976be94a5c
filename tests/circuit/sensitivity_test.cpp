// Question: are sensitivities, noise and gradients through wires those of the circuit?
#include "tessera/circuit/sensitivity.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "circuit/golden_file.hpp"
#include "circuit/random_array.hpp"
#include "tessera/circuit/crossbar.hpp"
#include "tessera/circuit/effective_matrix.hpp"

namespace tessera::circuit {
namespace {

using testing::largest;
using testing::random_cells;
using testing::relative_difference;

TEST(NoiseGolden, EveryCaseAgrees) {
  const h5::File file = testing::golden_file();
  const h5::Group all = file.group("noise");
  int cases = 0;
  for (const std::string& name : all.group_names()) {
    const h5::Group group = all.group(name);
    const testing::GoldenArray array(group);
    const RealMatrix sigma = testing::read_matrix(group, "sigma_G"), std_I = testing::read_matrix(group, "std_I");
    EXPECT_LT(relative_difference(effective_matrix(array.cells(), array.wires), testing::read_matrix(group, "M")),
              1e-11);
    const NoiseSensitivity s = FactoredArray(array.cells(), array.wires).noise_sensitivities().front();
    EXPECT_LT(relative_difference(s.adjoint, testing::read_matrix(group, "adjoint_own")), 1e-9) << name;
    const Crossbar crossbar(array.positive, array.wires);
    NoiseMatrices matrices;
    matrices.add(s, sigma.view());
    const RealMatrix mean_field = noise_deviations(matrices, array.inputs.view());
    for (std::int64_t v = 0; v < array.inputs.rows(); ++v) {
      const CellVoltages nodes = crossbar.node_voltages(array.inputs.view().row_span(v));
      for (std::int64_t j = 0; j < sigma.rows(); ++j) {
        double variance = 0.0;
        for (std::int64_t i = 0; i < sigma.cols(); ++i)
          variance +=
              std::pow(sigma(j, i) * s.adjoint(j, i) * (nodes.input_node_V[0](j, i) - nodes.output_node_V[0](j, i)), 2);
        EXPECT_NEAR(std::sqrt(variance) / std_I(v, j), 1.0, 1e-3) << name;
        EXPECT_NEAR(mean_field(v, j) / std_I(v, j), 1.0, 3e-2) << name;
      }
    }
    ++cases;
  }
  EXPECT_GE(cases, 1);
}

// Both ways to the sensitivities: the descent through the merges, and conjugate gradients for every line.
TEST(Sensitivity, TheDescentAgreesWithTheCircuitOfEachLine) {
  const RealMatrix g = random_cells(13, 22, 31), h = random_cells(13, 22, 32);
  const Wires wires{.row_ohm = 3.0, .column_ohm = 5.0, .row_terminal_ohm = 40.0, .column_terminal_ohm = 10.0};
  for (const bool pairs : {false, true}) {
    const Cells cells{g.view(), pairs ? h.view() : ConstRealView{}};
    const auto sensitivities = FactoredArray(cells, wires).noise_sensitivities({2});
    ASSERT_EQ(sensitivities.size(), pairs ? 2U : 1U);
    std::vector<double> unit(22, 0.0);
    unit[9] = 1.0;
    const CellVoltages one = cell_voltages(cells, wires, unit);
    const CellVoltages all = cell_voltages(cells, wires, std::vector<double>(22, 1.0));
    for (std::size_t k = 0; k < sensitivities.size(); ++k)
      for (std::int64_t j = 0; j < 13; ++j) {
        EXPECT_NEAR(sensitivities[k].own_drop(j, 9), one.input_node_V[k](j, 9) - one.output_node_V[k](j, 9), 1e-12);
        for (std::int64_t i = 0; i < 22; ++i) {
          EXPECT_NEAR(sensitivities[k].adjoint(j, i), adjoint_drops(cells, wires, j)[k](j, i), 1e-12);
          EXPECT_NEAR(sensitivities[k].ones_drop(j, i), all.input_node_V[k](j, i) - all.output_node_V[k](j, i), 1e-12);
        }
      }
  }
}

// dL/dG against central differences of L = sum c_ji M_ji, for tree and degenerate wires.
TEST(Sensitivity, TheGradientIsThatOfTheEffectiveMatrix) {
  RealMatrix g = random_cells(11, 9, 41);
  const RealMatrix h = random_cells(11, 9, 42);
  RealMatrix c(11, 9);
  for (std::size_t e = 0; e < c.values().size(); ++e) c.values()[e] = std::sin(static_cast<double>(3 * e + 1));
  const auto loss = [&](const Cells& cells, const Wires& wires) {
    const RealMatrix m = effective_matrix(cells, wires);
    double sum = 0.0;
    for (std::size_t e = 0; e < m.values().size(); ++e) sum += c.values()[e] * m.values()[e];
    return sum;
  };
  for (const double row : {30.0, 0.0})
    for (const bool pairs : {false, true}) {
      const Wires wires{.row_ohm = row, .column_ohm = 50.0, .row_terminal_ohm = 100.0, .column_terminal_ohm = 20.0};
      const Cells cells{g.view(), pairs ? h.view() : ConstRealView{}};
      const RealMatrix gradient = FactoredArray(cells, wires).conductance_gradient(c.view()).front();
      for (const auto& [j, i] : {std::pair{0, 0}, std::pair{4, 7}, std::pair{10, 8}, std::pair{7, 2}}) {
        const double before = g(j, i), step = 1e-3 * before;
        g(j, i) = before + step;
        const double above = loss(cells, wires);
        g(j, i) = before - step;
        const double below = loss(cells, wires);
        g(j, i) = before;
        EXPECT_NEAR(gradient(j, i), (above - below) / (2.0 * step), 1e-6 * largest(gradient)) << row << pairs;
      }
    }
}

}  // namespace
}  // namespace tessera::circuit
