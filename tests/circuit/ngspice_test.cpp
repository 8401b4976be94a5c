// Question: does SPICE find the same currents on arrays that no file holds? Skipped where ngspice is not installed.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "circuit/golden_file.hpp"
#include "circuit/random_array.hpp"
#include "tessera/circuit/effective_matrix.hpp"
#include "tessera/circuit/ladder.hpp"

namespace tessera::circuit {
namespace {

using testing::random_cells;
using testing::relative_difference;

bool has_ngspice() {
  return std::system("ngspice --version > /dev/null 2>&1") == 0;
}

/// A netlist that grows; zero-ohm wires are one node under two names and must be given as such.
class Netlist {
 public:
  void resistor(const std::string& a, const std::string& b, double ohm) {
    text_ << "R" << count_++ << " " << a << " " << b << " " << fmt::format("{:.17g}", ohm) << "\n";
  }
  void source(const std::string& node, double volt) {
    text_ << "V" << node << " " << node << " 0 DC " << fmt::format("{:.17g}", volt) << "\n";
  }
  /// Currents into the sources of the nodes o0, o1, ...
  std::vector<double> solve(std::int64_t outputs) const {
    const std::filesystem::path folder = std::filesystem::temp_directory_path();
    const std::string name = (folder / fmt::format("tessera_ngspice_{}.cir", ::getpid())).string();
    {
      std::ofstream file(name);
      file << "* crossbar\n" << text_.str();
      file << ".options reltol=1e-12 abstol=1e-24 vntol=1e-18 gmin=1e-30 pivrel=1e-3 numdgt=17\n"
           << ".control\nset numdgt=17\nop\n";
      for (std::int64_t j = 0; j < outputs; ++j) file << "print i(vo" << j << ")\n";
      file << "quit\n.endc\n.end\n";
    }
    std::vector<double> currents(static_cast<std::size_t>(outputs), std::nan(""));
    FILE* pipe = ::popen(("ngspice -b " + name + " 2> /dev/null").c_str(), "r");
    char line[256];
    while (pipe != nullptr && std::fgets(line, sizeof line, pipe) != nullptr) {
      int output = 0;
      double value = 0.0;
      if (std::sscanf(line, "i(vo%d) = %lf", &output, &value) == 2 && output < outputs)
        currents[static_cast<std::size_t>(output)] = value;
    }
    if (pipe != nullptr) ::pclose(pipe);
    std::filesystem::remove(name);
    return currents;
  }

 private:
  std::ostringstream text_;
  int count_ = 0;
};

std::vector<double> by_ngspice(const Cells& cells, const Wires& wires, std::span<const double> input) {
  Netlist net;
  const std::int64_t p = cells.outputs(), n = cells.inputs();
  const auto a = [](std::int64_t k, std::int64_t i, std::int64_t j) { return fmt::format("a{}_{}_{}", k, i, j); };
  const auto b = [](std::int64_t i, std::int64_t j) { return fmt::format("b{}_{}", i, j); };
  for (std::int64_t j = 0; j < p; ++j) {
    for (std::int64_t i = 0; i + 1 < n; ++i) net.resistor(b(i, j), b(i + 1, j), wires.column_ohm);
    net.resistor(b(n - 1, j), fmt::format("o{}", j), wires.last_column_ohm());
    net.source(fmt::format("o{}", j), 0.0);
  }
  for (std::int64_t k = 0; k < cells.sets(); ++k) {
    const double sign = k == 0 ? 1.0 : -1.0;
    const bool rows = wires.current_from_input;
    for (std::int64_t line = 0; line < (rows ? n : p); ++line) {
      const std::string driver = fmt::format("d{}_{}", k, line);
      net.source(driver, sign * (rows ? input[static_cast<std::size_t>(line)] : wires.supply_V));
      net.resistor(driver, rows ? a(k, line, 0) : a(k, 0, line), wires.first_row_ohm());
      for (std::int64_t at = 0; at + 1 < (rows ? p : n); ++at)
        net.resistor(rows ? a(k, line, at) : a(k, at, line), rows ? a(k, line, at + 1) : a(k, at + 1, line),
                     wires.row_ohm);
    }
    for (std::int64_t j = 0; j < p; ++j)
      for (std::int64_t i = 0; i < n; ++i)
        if (rows || input[static_cast<std::size_t>(i)] != 0.0)
          net.resistor(a(k, i, j), b(i, j), 1.0 / cells.set(k)(j, i));
  }
  return net.solve(p);
}

TEST(Ngspice, FreshRandomArraysOfAllTopologies) {
  if (!has_ngspice()) GTEST_SKIP() << "ngspice is not installed (Debian package ngspice)";
  // Another array every day would be no regression test; another one for every shape and topology is.
  const std::vector<std::vector<std::int64_t>> shapes = {{1, 1}, {7, 13}, {12, 6}};
  std::uint32_t seed = 100;
  for (const auto& shape : shapes)
    for (const bool rows : {true, false})
      for (const bool pairs : {false, true}) {
        const RealMatrix g = random_cells(shape[0], shape[1], ++seed), h = random_cells(shape[0], shape[1], ++seed);
        const RealMatrix draw = random_cells(1, shape[1], ++seed);
        const Wires wires{.row_ohm = 1.0 + static_cast<double>(seed % 7),
                          .column_ohm = 0.5 + static_cast<double>(seed % 5),
                          .row_terminal_ohm = static_cast<double>(seed % 3),
                          .column_terminal_ohm = 25.0,
                          .current_from_input = rows,
                          .unselected = rows ? 0 : 4,
                          .supply_V = 0.25};
        RealMatrix input(1, shape[1]);
        for (std::int64_t i = 0; i < shape[1]; ++i)
          input(0, i) = rows ? 0.2 * std::cos(1e6 * draw(0, i)) : (draw(0, i) > 8e-6 || i == 0 ? 1.0 : 0.0);
        const Cells cells{g.view(), pairs ? h.view() : ConstRealView{}};
        const RealMatrix ours = rows ? multiply_rows(input.view(), effective_matrix(cells, wires).view())
                                     : GatedArray(cells, wires).currents(input.view());
        const RealMatrix theirs(1, shape[0], by_ngspice(cells, wires, input.values()));
        EXPECT_LT(relative_difference(ours, theirs), 1e-10) << shape[0] << "x" << shape[1] << rows << pairs;
      }
}

}  // namespace
}  // namespace tessera::circuit
