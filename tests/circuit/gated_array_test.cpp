// Question: are the vectorised ladders of gated arrays their definition, with and without noise?
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "circuit/random_array.hpp"
#include "tessera/circuit/core_tile.hpp"
#include "tessera/circuit/ladder.hpp"

namespace tessera::circuit {
namespace {

using testing::random_cells;

Matrix random_gates(std::int64_t vectors, std::int64_t inputs) {
  const RealMatrix draw = random_cells(vectors, inputs, 77);
  Matrix gates(vectors, inputs);
  for (std::size_t c = 0; c < gates.values().size(); ++c) gates.values()[c] = draw.values()[c] > 1e-5 ? 1.0F : 0.0F;
  std::fill_n(gates.view().row(1), inputs, 0.0F);
  return gates;
}

TEST(GatedArray, VectorisedLaddersAreTheDefinition) {
  std::uint32_t seed = 40;
  for (const auto& [outputs, inputs] : {std::pair{1, 1}, std::pair{17, 9}, std::pair{40, 130}})
    for (const bool pairs : {false, true})
      for (const Wires& wires : {Wires{.row_ohm = 3.0, .column_ohm = 5.0, .current_from_input = false},
                                 Wires{.column_ohm = 20.0, .current_from_input = false},
                                 Wires{.row_ohm = 100.0,
                                 .column_ohm = 0.5,
                                 .row_terminal_ohm = 7.0,
                                 .column_terminal_ohm = 30.0,
                                 .current_from_input = false,
                                 .unselected = 3,
                                 .supply_V = 0.2}}) {
        const RealMatrix g = random_cells(outputs, inputs, ++seed), h = random_cells(outputs, inputs, ++seed);
        const Cells cells{g.view(), pairs ? h.view() : ConstRealView{}};
        const Matrix gates = random_gates(5, inputs);
        RealMatrix wide(5, inputs);
        std::copy(gates.values().begin(), gates.values().end(), wide.values().begin());
        const RealMatrix exact = GatedArray(cells, wires).currents(wide.view());
        double largest = 0.0;
        for (const double i : exact.values()) largest = std::max(largest, std::abs(i));
        for (const bool definition : {true, false}) {
          Matrix found(5, outputs);
          GatedArray(cells, wires, definition).add_currents(gates.view(), -1.0F, found.view());
          for (std::size_t c = 0; c < found.values().size(); ++c)
            EXPECT_NEAR(static_cast<double>(found.values()[c]), -exact.values()[c], (pairs ? 2e-7 : 2e-6) * largest)
                << outputs << "x" << inputs << pairs;
        }
      }
}

TEST(GatedArray, NoisyGatesDrawTheSameInEitherPrecision) {
  RealMatrix w(6, 20), x(4, 20);
  const RealMatrix draw = random_cells(10, 20, 5);
  for (std::size_t c = 0; c < w.values().size(); ++c) w.values()[c] = std::cos(1e6 * draw.values()[c]);
  for (std::size_t c = 0; c < x.values().size(); ++c) x.values()[c] = std::sin(1e6 * draw.values()[c + 100]);
  Matrix single_x(4, 20);
  std::copy(x.values().begin(), x.values().end(), single_x.values().begin());
  for (const bool interleaved : {false, true}) {
    CrossbarParameters p;
    p.core.balanced.interleaved_posneg = interleaved;
    p.dac = {.model = DacModel::SignMagnitudeDAC, .bits = 4, .input_bitslicing = true};
    p.array.parasitics = {.enable = true, .Rp_row = 5.0, .Rp_col = 5.0, .current_from_input = false};
    const CellState state = program_cells(p, w.view(), {});
    const auto product = [&](Precision precision) {
      RealMatrix y(4, 6);
      CoreTile(p, state, {}, {}, precision).multiply(x.view(), y.view(), {});
      return y;
    };
    const RealMatrix quiet = product(Precision::real);
    p.device.read_noise = {true, ErrorModel::NormalProportionalDevice, 0.05};
    const RealMatrix real = product(Precision::real);
    Matrix single(4, 6);
    CoreTile(p, state, {}, {}, Precision::single).multiply(single_x.view(), single.view(), {});
    double noise = 0.0, difference = 0.0;
    for (std::size_t c = 0; c < real.values().size(); ++c) {
      noise = std::max(noise, std::abs(real.values()[c] - quiet.values()[c]));
      difference = std::max(difference, std::abs(static_cast<double>(single.values()[c]) - real.values()[c]));
    }
    EXPECT_GT(noise, 0.01) << interleaved;
    EXPECT_LT(difference, 1e-4) << interleaved;
  }
}

}  // namespace
}  // namespace tessera::circuit
