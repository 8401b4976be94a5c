// Question: does an array whose cells are moved compute the wanted matrix in spite of its wires?
#include "tessera/circuit/predistortion.hpp"

#include <gtest/gtest.h>

#include "circuit/golden_file.hpp"
#include "tessera/circuit/analog_core.hpp"
#include "tessera/circuit/effective_matrix.hpp"
#include "tessera/random/stream.hpp"

namespace tessera::circuit {
namespace {

RealMatrix uniforms(std::int64_t rows, std::int64_t cols, double low, double high, std::uint32_t event) {
  RealMatrix m(rows, cols);
  const random::Stream stream({.seed = 37}, random::Purpose::test);
  for (std::size_t c = 0; c < m.values().size(); ++c)
    m.values()[c] = low + (high - low) * static_cast<double>(random::uniform(stream, event, c));
  return m;
}

TEST(Predistortion, CellsWithinTheRangeComputeTheWantedMatrix) {
  const Wires wires{.row_ohm = 2e-4, .column_ohm = 2e-4};  // 2 ohm beside 10 kohm
  const RealMatrix wanted = uniforms(32, 32, 0.1, 0.7, 1);
  const Predistortion found = predistort({wanted, {}}, false, wires, 0.01);
  EXPECT_GT(found.before, 0.01);
  EXPECT_LT(found.remaining, 1e-3 * found.before);
  EXPECT_EQ(found.at_limit, 0.0);
  EXPECT_LT(testing::relative_difference(effective_matrix({found.cells.positive.view()}, wires), wanted), 1e-3);
}

TEST(Predistortion, WhatTheRangeForbidsIsReported) {
  const Wires wires{.row_ohm = 2e-3, .column_ohm = 2e-3};
  const Predistortion found = predistort({uniforms(32, 32, 0.5, 1.0, 2), {}}, false, wires, 0.01);
  EXPECT_LT(found.remaining, found.before);
  EXPECT_GT(found.remaining, 0.05 * found.before);
  EXPECT_GT(found.at_limit, 0.1);
}

TEST(Predistortion, CoresGetTheirAccuracyBack) {
  const RealMatrix w = uniforms(24, 32, -1.0, 1.0, 3), x = uniforms(6, 32, -1.0, 1.0, 4);
  const RealMatrix ideal = multiply_rows(x.view(), w.view());
  for (const bool interleaved : {false, true}) {
    CrossbarParameters p;
    p.core.balanced.interleaved_posneg = interleaved;
    p.core.weights.percentile = 1.5;  // head room
    p.device.Rmin = 1e4;
    p.device.Rmax = 1e6;
    p.array.parasitics = {.enable = true, .Rp_row = 3.0, .Rp_col = 3.0};
    const double lost = testing::relative_difference(AnalogCore(p, w.view()).multiply(x.view()), ideal);
    p.compensate = Compensation::wires;
    const double left = testing::relative_difference(AnalogCore(p, w.view()).multiply(x.view()), ideal);
    EXPECT_GT(lost, 0.01) << interleaved;
    EXPECT_LT(left, 0.1 * lost) << interleaved;
  }
}

}  // namespace
}  // namespace tessera::circuit
