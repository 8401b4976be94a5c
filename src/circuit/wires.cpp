#include "tessera/circuit/wires.hpp"

#include <cmath>

namespace tessera::circuit {

double Wires::first_row_ohm() const {
  const bool longer = !current_from_input && selected == SelectedRows::bottom;
  return row_ohm * static_cast<double>(longer ? unselected + 1 : 1) + row_terminal_ohm;
}

double Wires::last_column_ohm() const {
  const bool longer = !current_from_input && selected == SelectedRows::top;
  return column_ohm * static_cast<double>(longer ? unselected + 1 : 1) + column_terminal_ohm;
}

void find_problems(const Wires& wires, const std::string& prefix, std::vector<Problem>& problems) {
  const auto report = [&](const char* name, std::string message) {
    Problem problem;
    problem.key = prefix + name;
    problem.message = std::move(message);
    problems.push_back(std::move(problem));
  };
  const auto resistance = [&](double ohm, const char* name) {
    if (ohm >= 0.0 && std::isfinite(ohm)) return;
    report(name, fmt::format("a wire of {} ohm is none; give a finite resistance >= 0", ohm));
  };
  resistance(wires.row_ohm, "Rp_row");
  resistance(wires.column_ohm, "Rp_col");
  resistance(wires.row_terminal_ohm, "Rp_row_terminal");
  resistance(wires.column_terminal_ohm, "Rp_col_terminal");
  if (wires.unselected < 0)
    report("unselected", fmt::format("{} unselected lines; give a number >= 0", wires.unselected));
  if (!std::isfinite(wires.supply_V))
    report("supply_V", fmt::format("a supply of {} V; give a number", wires.supply_V));
}

void check_array(const Cells& cells, const Wires& wires) {
  require<InputError>(cells.outputs() > 0 && cells.inputs() > 0, "a crossbar of {} outputs and {} inputs has no cells",
                      cells.outputs(), cells.inputs());
  for (std::int64_t k = 0; k < cells.sets(); ++k) {
    const ConstRealView g = cells.set(k);
    require<InputError>(g.rows == cells.outputs() && g.cols == cells.inputs(),
                        "the cells of an interleaved pair are {}x{} and {}x{}; they must be as many", cells.outputs(),
                        cells.inputs(), g.rows, g.cols);
    for (std::int64_t j = 0; j < g.rows; ++j)
      for (std::int64_t i = 0; i < g.cols; ++i)
        require<InputError>(g(j, i) >= 0.0 && std::isfinite(g(j, i)),
                            "the cell of output {}, input {} has a conductance of {} (it must be finite and >= 0)", j,
                            i, g(j, i));
  }
  std::vector<Problem> problems;
  find_problems(wires, "", problems);
  if (!problems.empty()) throw ConfigError(std::move(problems));
}

}  // namespace tessera::circuit
