#include "bindings.hpp"
#include "tessera/core/version.hpp"

NB_MODULE(_core, module) {
  namespace python = tessera::python;
  module.doc() = "The engine behind the package tessera.";
  module.attr("__version__") = tessera::version();
  python::bind_errors(module);
  python::bind_crossbar(module);
  python::bind_learning(module);
  python::bind_network(module);
  python::bind_quant(module);
  python::bind_simulation(module);
  python::bind_tile(module);
}
