// Question: is the effective matrix that of the circuit, for random shapes, cells and wires?
#include "tessera/circuit/effective_matrix.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "circuit/golden_file.hpp"
#include "circuit/random_array.hpp"
#include "tessera/circuit/cell_voltages.hpp"
#include "tessera/kernels/dense_factor.hpp"

namespace tessera::circuit {
namespace {

using testing::largest;
using testing::random_cells;
using testing::relative_difference;

/// An independent way to M: block elimination along the outputs, whose state is the admittance of everything behind
/// the present output's input nodes (2 n^4 operations).
RealMatrix by_block_elimination(const RealMatrix& g, const Wires& wires) {
  const std::int64_t p = g.rows(), n = g.cols();
  const auto inverse = [](const RealMatrix& a) {
    RealMatrix u = a, x(a.rows(), a.rows());
    for (std::int64_t i = 0; i < a.rows(); ++i) x(i, i) = 1.0;
    EXPECT_TRUE(kernels::factor_cholesky(u.view()));
    kernels::solve_transposed(u.view(), x.view());
    kernels::solve_upper(u.view(), x.view());
    return x;
  };
  const double column = 1.0 / wires.column_ohm, end = 1.0 / wires.last_column_ohm();
  RealMatrix m(p, n), behind(n, n);
  for (std::int64_t j = p - 1; j >= 0; --j) {
    RealMatrix line(n, n);  // output line j alone: chain to the sense node, cells to the input nodes
    for (std::int64_t i = 0; i < n; ++i) {
      line(i, i) = g(j, i) + (i + 1 < n ? column : end) + (i > 0 ? column : 0.0);
      if (i + 1 < n) line(i, i + 1) = line(i + 1, i) = -column;
    }
    const RealMatrix solved = inverse(line);
    const double driver = 1.0 / (j == 0 ? wires.first_row_ohm() : wires.row_ohm);
    RealMatrix x = behind;
    for (std::int64_t a = 0; a < n; ++a) {
      x(a, a) += g(j, a) + driver;
      for (std::int64_t b = 0; b < n; ++b) x(a, b) -= g(j, a) * solved(a, b) * g(j, b);
    }
    const RealMatrix node = inverse(x);
    for (std::int64_t i = 0; i < n; ++i) m(j, i) = end * solved(n - 1, i) * g(j, i);
    const RealMatrix before = m;
    for (std::int64_t k = j; k < p; ++k)
      for (std::int64_t i = 0; i < n; ++i) {
        double sum = 0.0;
        for (std::int64_t a = 0; a < n; ++a) sum += before(k, a) * node(a, i);
        m(k, i) = sum * driver;
      }
    for (std::int64_t a = 0; a < n; ++a)
      for (std::int64_t b = 0; b < n; ++b) behind(a, b) = (a == b ? driver : 0.0) - driver * driver * node(a, b);
  }
  return m;
}

TEST(EffectiveMatrix, EqualsBlockEliminationOnRandomShapes) {
  const std::vector<std::vector<std::int64_t>> shapes = {{1, 1},  {1, 20},  {20, 1},  {3, 9},    {9, 8},   {17, 5},
                                                         {8, 33}, {41, 23}, {70, 66}, {37, 130}, {150, 90}};
  std::uint32_t seed = 0;
  for (const auto& shape : shapes) {
    const RealMatrix g = random_cells(shape[0], shape[1], ++seed);
    const Wires wires{.row_ohm = 1.7, .column_ohm = 0.6, .row_terminal_ohm = 11.0, .column_terminal_ohm = 4.0};
    EXPECT_LT(relative_difference(effective_matrix({g.view()}, wires), by_block_elimination(g, wires)), 1e-11)
        << shape[0] << "x" << shape[1];
  }
}

TEST(EffectiveMatrix, WithoutResistanceIsTheConductanceMatrix) {
  const RealMatrix g = random_cells(13, 29, 3), h = random_cells(13, 29, 4);
  EXPECT_EQ(relative_difference(effective_matrix({g.view()}, {}), g), 0.0);
  const RealMatrix pair = effective_matrix({g.view(), h.view()}, {});
  for (std::int64_t j = 0; j < 13; ++j)
    for (std::int64_t i = 0; i < 29; ++i) EXPECT_EQ(pair(j, i), g(j, i) - h(j, i));
}

TEST(EffectiveMatrix, DegenerateWiresAreTheLimitOfSmallOnes) {
  const RealMatrix g = random_cells(12, 19, 5), h = random_cells(12, 19, 6);
  constexpr double tiny = 1e-4;  // ohm: drops of 1e-6, far above the rounding of 1e4 S beside 1e-6 S
  for (const bool pairs : {false, true}) {
    const Cells cells{g.view(), pairs ? h.view() : ConstRealView{}};
    for (int kind = 1; kind < 16; ++kind) {
      const Wires wires{.row_ohm = (kind & 1) != 0 ? 2.0 : 0.0,
                        .column_ohm = (kind & 2) != 0 ? 3.0 : 0.0,
                        .row_terminal_ohm = (kind & 4) != 0 ? 30.0 : 0.0,
                        .column_terminal_ohm = (kind & 8) != 0 ? 50.0 : 0.0};
      Wires close = wires;
      close.row_ohm = std::max(close.row_ohm, tiny);
      close.column_ohm = std::max(close.column_ohm, tiny);
      EXPECT_LT(relative_difference(effective_matrix(cells, wires), effective_matrix(cells, close)), 1e-5) << kind;
    }
  }
}

TEST(EffectiveMatrix, IsReciprocal) {
  const RealMatrix g = random_cells(21, 34, 7);
  const Wires wires{.row_ohm = 1.5, .column_ohm = 0.4, .row_terminal_ohm = 20.0, .column_terminal_ohm = 3.0};
  const RealMatrix m = effective_matrix({g.view()}, wires);
  RealMatrix turned(34, 21);
  for (std::int64_t j = 0; j < 21; ++j)
    for (std::int64_t i = 0; i < 34; ++i) turned(33 - i, 20 - j) = g(j, i);
  const Wires swapped{.row_ohm = 0.4, .column_ohm = 1.5, .row_terminal_ohm = 3.0, .column_terminal_ohm = 20.0};
  const RealMatrix other = effective_matrix({turned.view()}, swapped);
  for (std::int64_t j = 0; j < 21; ++j)
    for (std::int64_t i = 0; i < 34; ++i) EXPECT_NEAR(other(33 - i, 20 - j), m(j, i), 1e-12 * largest(m));
}

TEST(EffectiveMatrix, LiesBetweenZeroAndTheConductances) {
  const RealMatrix g = random_cells(50, 40, 8);
  const RealMatrix m = effective_matrix({g.view()}, {.row_ohm = 2.0, .column_ohm = 5.0});
  for (std::size_t c = 0; c < m.values().size(); ++c) {
    EXPECT_GE(m.values()[c], 0.0);
    EXPECT_LE(m.values()[c], g.values()[c]);
  }
}

TEST(EffectiveMatrix, AShortLetsCurrentSneakButNeverMoreThanTheLinesCarry) {
  RealMatrix g = random_cells(50, 40, 8);
  g(3, 7) = 0.0;
  g(30, 12) = 100.0;
  const RealMatrix m = effective_matrix({g.view()}, {.row_ohm = 2.0, .column_ohm = 5.0});
  EXPECT_GT(m(3, 7), 0.0);  // through other cells
  for (std::int64_t i = 0; i < 40; ++i) {
    double with = 0.0, without = 0.0;
    for (std::int64_t j = 0; j < 50; ++j) {
      EXPECT_GE(m(j, i), 0.0);
      with += m(j, i);
      without += g(j, i);
    }
    EXPECT_LE(with, without);  // Rayleigh: wires only lower the admittance of an input line
  }
}

TEST(EffectiveMatrix, BitsDoNotDependOnTheThreads) {
  const RealMatrix g = random_cells(150, 210, 9), h = random_cells(150, 210, 10);
  const Wires wires{.row_ohm = 1.0, .column_ohm = 1.0};
  for (const bool pairs : {false, true}) {
    const Cells cells{g.view(), pairs ? h.view() : ConstRealView{}};
    EXPECT_EQ(relative_difference(effective_matrix(cells, wires, {1}), effective_matrix(cells, wires, {2})), 0.0);
  }
}

TEST(EffectiveMatrix, RefusesWhatIsNoArray) {
  const RealMatrix g = random_cells(4, 5, 11);
  EXPECT_THROW(effective_matrix({g.view()}, {.row_ohm = -1.0}), ConfigError);
  EXPECT_THROW(effective_matrix({g.view()}, {.column_ohm = std::nan("")}), ConfigError);
  EXPECT_THROW(effective_matrix({g.view()}, {.current_from_input = false}), ConfigError);
  RealMatrix negative = g;
  negative(2, 3) = -1e-6;
  EXPECT_THROW(effective_matrix({negative.view()}, {}), InputError);
  EXPECT_THROW(effective_matrix({g.view(), random_cells(5, 4, 1).view()}, {}), InputError);
  EXPECT_THROW(effective_matrix({ConstRealView{}}, {}), InputError);
  const double one = 1e-5;
  const ConstRealView huge(&one, std::int64_t{1} << 20, std::int64_t{1} << 20, 0);
  EXPECT_THROW(effective_matrix({huge}, {.row_ohm = 1.0, .column_ohm = 1.0}), InputError);
  EXPECT_GT(effective_matrix_bytes(huge.rows, huge.cols, 1), 1e13);
}

TEST(CellVoltages, AgreeWithTheEffectiveMatrix) {
  const RealMatrix g = random_cells(24, 31, 12), h = random_cells(24, 31, 13);
  const Wires wires{.row_ohm = 3.0, .column_ohm = 2.0, .row_terminal_ohm = 5.0, .column_terminal_ohm = 1.0};
  RealMatrix v(1, 31);
  for (std::int64_t i = 0; i < 31; ++i) v(0, i) = std::sin(1.0 + static_cast<double>(i));
  for (const bool pairs : {false, true}) {
    const Cells cells{g.view(), pairs ? h.view() : ConstRealView{}};
    const CellVoltages nodes = cell_voltages(cells, wires, v.values());
    const RealMatrix expected = multiply_rows(v.view(), effective_matrix(cells, wires).view());
    EXPECT_LT(relative_difference({1, 24, nodes.current_A}, expected), 1e-12);
    // Kirchhoff at the sense node: the last segment carries the line's current.
    for (std::int64_t j = 0; j < 24; ++j)
      EXPECT_NEAR(nodes.output_node_V[0](j, 30) / wires.last_column_ohm(), expected(0, j), 1e-12 * largest(expected));
  }
}

}  // namespace
}  // namespace tessera::circuit
