// Question: do vectorised ladders carry the currents of the definition, whatever the split of vectors and lines?
#include "tessera/kernels/ladder.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/kernels/pair_ladder.hpp"
#include "tessera/random/stream.hpp"

namespace tessera::kernels {
namespace {

float draw(std::uint32_t event, std::size_t c) {
  return random::uniform(random::Stream({.seed = 5}, random::Purpose::test), event, c);
}

// The recursion of circuit/ladder.hpp in double precision, line by line.
double current(ConstDoubleView g, const LadderWires& w, const float* gates, std::int64_t j) {
  double rd = 0.0, rs = 0.0, rb = -1.0;
  std::int64_t last = 0;
  for (std::int64_t i = 0; i < g.cols; ++i) {
    if (gates[i] == 0.0F) continue;
    const double rows = static_cast<double>(i - last), cell = g(j, i);
    last = i;
    if (rb < 0.0) {
      if (cell == 0.0) continue;
      rd = w.first_row + static_cast<double>(i) * w.row_step;
      rb = 1.0 / cell;
      continue;
    }
    const double s = rs + rows * w.row_step, b = rb + rows * w.column_step, t = 1.0 / (1.0 + cell * (s + b));
    rd += cell * b * s * t;
    rs = s * t;
    rb = b * t;
  }
  return rb < 0.0 ? 0.0 : w.supply / (rd + rb + static_cast<double>(g.cols - 1 - last) * w.column_step + w.last_column);
}

TEST(Ladder, EqualsTheDefinition) {
  for (const auto& [outputs, inputs] : {std::pair{1, 1}, std::pair{5, 9}, std::pair{64, 40}, std::pair{131, 257}})
    for (const auto& [ohm, ratio] : {std::pair{0.0, 1.0}, std::pair{1e-4, 2.0}, std::pair{0.02, 1.0},
                                     std::pair{0.02, 2.0}, std::pair{1e4, 1.0}, std::pair{1e4, 0.1}})
      for (const float off : {0.01F, 0.0F}) {
        SCOPED_TRACE(fmt::format("{}x{}, {}, off {}", outputs, inputs, ohm, off));
        std::vector<double> values(static_cast<std::size_t>(outputs * inputs));
        const DoubleView g(values.data(), outputs, inputs);
        Matrix gates(7, inputs), out(7, outputs);
        constexpr double unit = 2.5;
        for (std::size_t c = 0; c < values.size(); ++c)
          values[c] = unit * static_cast<double>(draw(1, c) < 0.4F ? off : draw(2, c));
        for (std::size_t c = 0; c < gates.values().size(); ++c) gates.values()[c] = draw(3, c) < 0.5F ? 0.0F : -2.0F;
        std::fill_n(gates.view().row(3), inputs, 0.0F);
        const LadderWires wires{ohm, ratio * ohm, 3.0 * ohm, 4.0 * ohm, 0.7};
        std::vector<double> relative = values;
        for (double& v : relative) v /= unit;
        const ConstDoubleView in_units(relative.data(), outputs, inputs);
        const PackedLadder ladder(g, unit, wires);
        ladder.add_currents(std::as_const(gates).view(), -1.0F, out.view());
        for (std::int64_t r = 0; r < 7; ++r)
          for (std::int64_t j = 0; j < outputs; ++j) {
            const double exact = -current(in_units, wires, gates.view().row(r), j);
            EXPECT_NEAR(out(r, j), exact, 2e-6 * std::fabs(exact)) << r << " " << j;
          }
        for (const std::int64_t row : {0, 6}) {
          Matrix one(1, outputs);
          ladder.add_currents(std::as_const(gates).view().rows_from(row, 1), -1.0F, one.view());
          for (std::int64_t j = 0; j < outputs; ++j) EXPECT_EQ(one(0, j), out(row, j));
        }
      }
}

TEST(Ladder, RefusesOtherShapes) {
  const std::vector<double> cells(12, 0.5);
  const ConstDoubleView view(cells.data(), 3, 4);
  const PackedLadder ladder(view, 1.0, {});
  Matrix out(2, 3);
  EXPECT_THROW(ladder.add_currents(Matrix(2, 5).view(), 1.0F, out.view()), InputError);
  EXPECT_THROW(ladder.add_currents(Matrix(3, 4).view(), 1.0F, out.view()), InputError);
  EXPECT_THROW(PackedPairLadder(view, view, {}), InputError);
  EXPECT_THROW(PackedPairLadder(view, ConstDoubleView(cells.data(), 4, 3), {.last_column = 1.0}), InputError);
}

}  // namespace
}  // namespace tessera::kernels
