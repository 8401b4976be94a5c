#include <nanobind/stl/pair.h>

#include "arrays.hpp"
#include "bindings.hpp"
#include "observers.hpp"
#include "tessera/app/inspect.hpp"
#include "tessera/app/simulation.hpp"
#include "tessera/core/error.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/io/model_file.hpp"
#include "tessera/io/onnx_import.hpp"
#include "tree.hpp"

namespace tessera::python {

namespace {

using Calibration = std::map<std::string, io::LayerNumbers>;

/// A network in memory.
class Network {
 public:
  explicit Network(io::Model model)
      : graph_(std::make_shared<const nn::Graph>(std::move(model.graph))),
        calibration_(std::move(model.calibration)),
        notes_(std::move(model.notes)) {}

  static Network read(const std::string& path, nb::object message) {
    Observers observers(0, nb::none(), std::move(message));
    return observers.run([&](const app::Execution& execution) {
      return Network(h5::is_hdf5(path) ? io::read_model(path)
                                       : io::Model{io::import_onnx(path, execution.environment), {}, {}});
    });
  }

  static Network parse(const nb::bytes& onnx, const std::string& name, nb::object message) {
    Observers observers(0, nb::none(), std::move(message));
    const std::span<const char> bytes(onnx.c_str(), onnx.size());
    return observers.run([&](const app::Execution& execution) {
      return Network(io::Model{io::import_onnx_bytes(bytes, name, ".", execution.environment), {}, {}});
    });
  }

  void save(const std::string& path) const { io::write_model({*graph_, calibration_, notes_}, path); }

  /// What calibration or training found, by layer, as a model file has it.
  const Calibration& calibration() const { return calibration_; }
  void set_calibration(Calibration calibration) { calibration_ = std::move(calibration); }

  const std::string& name() const { return graph_->name; }

  /// Of each weighted layer. Sizes are None where the extents of a sample are open.
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
      } catch (const InputError&) {
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
    app::RunOptions options{.file = file,
                            .given = {.network = graph_, .calibration = calibration_, .data = std::nullopt}};
    options.given.data.emplace(viewed(x), std::move(labels));
    const app::RunResult result =
        observers.run([&](const app::Execution& execution) { return simulation.run(options, execution); });
    return nb::make_tuple(to_tree(result.file), observers.stopped_by());
  }

 private:
  std::shared_ptr<const nn::Graph> graph_;
  Calibration calibration_;
  std::map<std::string, std::string> notes_;
};

}  // namespace

void bind_network(nb::module_& module) {
  nb::class_<Network>(module, "Network")
      .def_static("read", &Network::read, "path"_a, "message"_a.none())
      .def_static("parse", &Network::parse, "onnx"_a, "name"_a, "message"_a.none())
      .def("save", &Network::save, "path"_a)
      .def_prop_ro("name", &Network::name)
      .def_prop_rw("calibration", &Network::calibration, &Network::set_calibration)
      .def("layers", &Network::layers)
      .def("simulate", &Network::simulate, "simulation"_a, "x"_a, "labels"_a, "file"_a, "threads"_a,
           "progress"_a.none(), "message"_a.none());
}

}  // namespace tessera::python
