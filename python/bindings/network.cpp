#include <nanobind/stl/pair.h>

#include "arrays.hpp"
#include "bindings.hpp"
#include "observers.hpp"
#include "tessera/app/inspect.hpp"
#include "tessera/app/simulation.hpp"
#include "tessera/core/error.hpp"
#include "tree.hpp"

namespace tessera::python {

namespace {

Tensor tensor_of(const FloatArray& x) {
  Tensor tensor(shape_of(x));
  std::copy(x.data(), x.data() + x.size(), tensor.data());
  return tensor;
}

/// A network in memory.
class Network {
 public:
  explicit Network(const std::string& path)
      : graph_(std::make_shared<const nn::Graph>(app::read_network(path))) {}

  const std::string& name() const { return graph_->name; }

  /// (name, operator, inputs, outputs, parameters, tiles of 512x512) of each weighted layer.
  nb::list layers() const {
    const nn::Executor executor(*graph_);
    nb::list list;
    for (std::size_t l = 0; l < executor.layers().size(); ++l) {
      const nn::LinearLayer& layer = executor.layers()[l];
      nb::dict entry;
      entry["name"] = layer.name;
      entry["op"] = graph_->nodes[static_cast<std::size_t>(layer.node)].op;
      entry["inputs"] = layer.parts.front().weight.cols();
      entry["outputs"] = layer.parts.front().weight.rows();
      entry["parts"] = layer.parts.size();
      try {
        const app::LayerSize size = app::layer_size(executor, l, tile::MappingParameter{});
        entry["parameters"] = size.parameters;
        entry["macs"] = size.macs;
        entry["tiles"] = size.tiles;
      } catch (const InputError&) {  // the extents of a sample are open
        for (const char* key : {"parameters", "macs", "tiles"}) entry[key] = nb::none();
      }
      list.append(entry);
    }
    return list;
  }

  /// (tree, exception that stopped it or None)
  nb::tuple simulate(const app::Simulation& simulation, const FloatArray& x, std::vector<std::int32_t> labels,
                     const std::string& file, int threads, nb::object progress, nb::object message) const {
    Observers observers(threads, std::move(progress), std::move(message));
    app::RunOptions options{.file = file, .given = {.network = graph_, .data = std::nullopt}};
    options.given.data.emplace(tensor_of(x), std::move(labels));
    const app::RunResult result =
        observers.run([&](const app::Execution& execution) { return simulation.run(options, execution); });
    return nb::make_tuple(to_tree(result.file), observers.stopped_by());
  }

 private:
  std::shared_ptr<const nn::Graph> graph_;
};

}  // namespace

void bind_network(nb::module_& module) {
  nb::class_<Network>(module, "Network")
      .def(nb::init<const std::string&>(), "path"_a)
      .def_prop_ro("name", &Network::name)
      .def("layers", &Network::layers)
      .def("simulate", &Network::simulate, "simulation"_a, "x"_a, "labels"_a, "file"_a, "threads"_a,
           "progress"_a.none(), "message"_a.none());
}

}  // namespace tessera::python
