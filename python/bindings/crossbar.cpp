#include "tessera/circuit/crossbar.hpp"

#include <algorithm>

#include "bindings.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"

namespace tessera::python {

namespace {

using circuit::Crossbar;
using circuit::RealMatrix;
/// float64, C-contiguous: circuits are solved in double precision.
using RealArray = nb::ndarray<const double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using RealNumpy = nb::ndarray<nb::numpy, double>;

circuit::ConstRealView view_of(const RealArray& x) {
  const auto rows = static_cast<std::int64_t>(x.shape(0)), columns = static_cast<std::int64_t>(x.shape(1));
  return {x.data(), rows, columns, columns};
}

RealNumpy numpy_of(const RealMatrix& m) {
  return to_numpy(std::vector<double>(m.values().begin(), m.values().end()),
                  {static_cast<std::size_t>(m.rows()), static_cast<std::size_t>(m.cols())});
}

circuit::CellLaw law_of(const std::string& name, double k) {
  if (name == "linear") return circuit::LinearCell{};
  if (name == "cubic") return circuit::CubicCell{k};
  if (name == "rram_milo") return circuit::RramMiloCell{};
  throw ConfigError("cells", fmt::format("there is no law '{}' of cells; known are linear, cubic and rram_milo", name));
}

circuit::SelectedRows selected_of(const std::string& name) {
  if (name == "top") return circuit::SelectedRows::top;
  if (name == "bottom") return circuit::SelectedRows::bottom;
  throw ConfigError("selected", fmt::format("selected is '{}'; it takes top or bottom", name));
}

/// An array with its wires; calls run without the interpreter lock.
class Array {
 public:
  Array(const RealArray& positive, const std::optional<RealArray>& negative, const std::map<std::string, double>& ohm,
        bool gated, std::int64_t unselected, const std::string& selected, double supply, const std::string& cells,
        double k, int threads)
      : parallel_(threads > 0 ? Parallel{threads} : Parallel::all()) {
    const circuit::Wires wires{.row_ohm = ohm.at("row"),
                               .column_ohm = ohm.at("column"),
                               .row_terminal_ohm = ohm.at("row_terminal"),
                               .column_terminal_ohm = ohm.at("column_terminal"),
                               .current_from_input = !gated,
                               .unselected = unselected,
                               .selected = selected_of(selected),
                               .supply_V = supply};
    const circuit::CellLaw law = law_of(cells, k);
    RealMatrix plus(view_of(positive)), minus;
    if (negative) minus = RealMatrix(view_of(*negative));
    const nb::gil_scoped_release released;
    crossbar_ = std::make_shared<const Crossbar>(std::move(plus), std::move(minus), wires, law, parallel_);
  }

  RealNumpy currents(const RealArray& x) const {
    RealMatrix out;
    {
      const nb::gil_scoped_release released;
      out = crossbar_->currents(view_of(x), parallel_);
    }
    return numpy_of(out);
  }

  nb::tuple node_voltages(const std::vector<double>& x) const {
    circuit::CellVoltages nodes;
    {
      const nb::gil_scoped_release released;
      nodes = crossbar_->node_voltages(x);
    }
    nb::list input_nodes;
    for (const RealMatrix& m : nodes.input_node_V) input_nodes.append(numpy_of(m));
    return nb::make_tuple(input_nodes, numpy_of(nodes.output_node_V.front()));
  }

  std::optional<RealNumpy> effective_matrix() const {
    if (!crossbar_->effective_matrix()) return std::nullopt;
    return numpy_of(*crossbar_->effective_matrix());
  }

  std::int64_t inputs() const { return crossbar_->inputs(); }
  std::int64_t outputs() const { return crossbar_->outputs(); }

 private:
  Parallel parallel_;
  std::shared_ptr<const Crossbar> crossbar_;
};

}  // namespace

void bind_crossbar(nb::module_& module) {
  nb::class_<Array>(module, "Crossbar")
      .def(nb::init<const RealArray&, const std::optional<RealArray>&, const std::map<std::string, double>&, bool,
                    std::int64_t, const std::string&, double, const std::string&, double, int>(),
           "positive"_a, "negative"_a.none(), "ohm"_a, "gated"_a, "unselected"_a, "selected"_a, "supply"_a, "cells"_a,
           "k"_a, "threads"_a)
      .def("currents", &Array::currents, "x"_a)
      .def("node_voltages", &Array::node_voltages, "x"_a)
      .def("effective_matrix", &Array::effective_matrix)
      .def_prop_ro("inputs", &Array::inputs)
      .def_prop_ro("outputs", &Array::outputs);
}

}  // namespace tessera::python
