// Question: are the currents of every stored array those of SPICE and of the long-double nodal solver?
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "circuit/golden_file.hpp"
#include "tessera/circuit/cell_voltages.hpp"
#include "tessera/circuit/effective_matrix.hpp"
#include "tessera/circuit/ladder.hpp"

namespace tessera::circuit {
namespace {

using testing::GoldenArray;
using testing::relative_difference;

RealMatrix currents(const GoldenArray& array) {
  if (!array.wires.current_from_input) return GatedArray(array.cells(), array.wires).currents(array.inputs.view());
  return multiply_rows(array.inputs.view(), effective_matrix(array.cells(), array.wires).view());
}

TEST(WiresGolden, EveryArrayAgreesWithSpice) {
  const h5::File file = testing::golden_file();
  const h5::Group group = file.group("spice");
  int cases = 0;
  for (const std::string& name : group.group_names()) {
    const h5::Group one = group.group(name);
    const GoldenArray array(one);
    // Pairs behind supplies a thousand million times the output line: what is sensed is a difference of nearly equal
    // currents, in the judges too.
    const bool cancelling = !array.wires.current_from_input && array.cells().interleaved() &&
                            array.wires.row_ohm > 1e9 * array.wires.column_ohm && array.wires.column_ohm > 0.0;
    const double tolerance = cancelling ? 1e-9 : 1e-11;
    EXPECT_LT(relative_difference(currents(array), testing::read_matrix(one, "I_out")), tolerance) << name;
    ++cases;
  }
  EXPECT_GE(cases, 1);
}

TEST(WiresGolden, CellVoltagesGiveTheSameCurrents) {
  const h5::File file = testing::golden_file();
  const h5::Group group = file.group("spice");
  for (const std::string& name : group.group_names()) {
    const h5::Group one = group.group(name);
    const GoldenArray array(one);
    const RealMatrix solved = nonlinear_currents(array.cells(), array.wires, array.inputs.view(), LinearCell{});
    EXPECT_LT(relative_difference(solved, testing::read_matrix(one, "I_out")), 1e-8) << name;
  }
}

TEST(WiresGolden, EveryNonlinearArrayAgreesWithSpice) {
  const h5::File file = testing::golden_file();
  const h5::Group group = file.group("nonlinear");
  int cases = 0;
  for (const std::string& name : group.group_names()) {
    const h5::Group one = group.group(name);
    const GoldenArray array(one);
    ASSERT_EQ(one.attribute<std::string>("law"), "I=G*(v-k*v^3)");
    const CubicCell law{one.attribute<double>("k")};
    EXPECT_LT(relative_difference(nonlinear_currents(array.cells(), array.wires, array.inputs.view(), law),
                                  testing::read_matrix(one, "I_out")),
              1e-9)
        << name;
    ++cases;
  }
  EXPECT_GE(cases, 1);
}

}  // namespace
}  // namespace tessera::circuit
