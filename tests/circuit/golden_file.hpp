#pragma once
#include <cstdlib>
#include <string>

#include "circuit/modern_hdf5.hpp"
#include "tessera/circuit/wires.hpp"
#include "tessera/h5/file.hpp"

/// What the golden tests of this folder share: crossbar.h5 and its arrays.
namespace tessera::circuit::testing {

inline h5::File golden_file() {
  const char* folder = std::getenv("TESSERA_GOLDEN_DIR");
  static const ReadableCopy copy((folder != nullptr ? folder : TESSERA_SOURCE_DIR + "/tests/data/golden") +
                                 "/crossbar.h5");
  return h5::File::open(copy.path());
}

inline RealMatrix read_matrix(const h5::Group& group, const std::string& name) {
  const h5::Dataset data = group.dataset(name);
  return {data.shape()[0], data.shape()[1], data.read<double>()};
}

inline double number(const h5::Group& group, const std::string& name, double otherwise) {
  if (!group.has_attribute(name)) return otherwise;
  return group.attribute<double>(name);
}

/// An array as the file describes it.
struct GoldenArray {
  RealMatrix positive, negative, inputs;
  Wires wires;

  explicit GoldenArray(const h5::Group& group) : positive(read_matrix(group, "G")), inputs(read_matrix(group, "V_in")) {
    const std::string topology =
        group.has_attribute("topology") ? group.attribute<std::string>("topology") : "input_source";
    if (group.contains("G_neg")) negative = read_matrix(group, "G_neg");
    wires.row_ohm = number(group, "R_row", 0.0);
    wires.column_ohm = number(group, "R_col", 0.0);
    wires.row_terminal_ohm = number(group, "R_row_terminal", 0.0);
    wires.column_terminal_ohm = number(group, "R_col_terminal", 0.0);
    wires.current_from_input = topology.starts_with("input_source");
    if (group.has_attribute("n_unselected")) wires.unselected = group.attribute<std::int64_t>("n_unselected");
    if (group.has_attribute("selected_rows") && group.attribute<std::string>("selected_rows") == "bottom")
      wires.selected = SelectedRows::bottom;
    wires.supply_V = number(group, "v_supply", 1.0);
  }
  Cells cells() const { return {positive.view(), negative.rows() > 0 ? negative.view() : ConstRealView{}}; }
};

inline double largest(const RealMatrix& m) {
  double worst = 0.0;
  for (const double v : m.values()) worst = std::max(worst, std::abs(v));
  return worst;
}

/// Largest difference over the largest value of `expected`.
inline double relative_difference(const RealMatrix& m, const RealMatrix& expected) {
  double worst = 0.0;
  for (std::size_t c = 0; c < m.values().size(); ++c)
    worst = std::max(worst, std::abs(m.values()[c] - expected.values()[c]));
  return worst / std::max(largest(expected), 1e-300);
}

}  // namespace tessera::circuit::testing
