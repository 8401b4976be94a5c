#include "arrays.hpp"
#include "bindings.hpp"
#include "tessera/core/error.hpp"
#include "tessera/nn/executor.hpp"
#include "tessera/sim/analog_network.hpp"
#include "tessera/spec/rpu_config.hpp"

namespace tessera::python {

namespace {

/// One linear layer as a network of its own, called "tile": the numbers are those of the command on such a network.
nn::Graph linear_graph(const FloatArray& weight, const std::optional<FloatArray>& bias) {
  require<InputError>(weight.ndim() == 2 && weight.size() > 0, "weight has shape {}; it takes [outputs, inputs]",
                      to_string(shape_of(weight)));
  const Shape shape = shape_of(weight);
  nn::Graph graph;
  graph.name = "tile";
  const auto constant = [&](const char* name, Shape extents, const FloatArray& values) {
    Tensor tensor(std::move(extents));
    std::copy(values.data(), values.data() + values.size(), tensor.data());
    return graph.add_value(name, std::move(tensor));
  };
  const nn::ValueId x = graph.add_value("x");
  graph.inputs.push_back({.value = x, .type = nn::ElementType::float32, .shape = {-1, shape[1]}, .batched = true});
  nn::Node node{.name = "tile",
                .op = "Gemm",
                .inputs = {x, constant("weight", shape, weight)},
                .outputs = {graph.add_value("y")},
                .attributes = {{"transB", std::int64_t{1}}}};
  if (bias) {
    require<InputError>(shape_of(*bias) == Shape{shape[0]}, "bias has shape {}, not {}", to_string(shape_of(*bias)),
                        to_string(Shape{shape[0]}));
    node.inputs.push_back(constant("bias", {shape[0]}, *bias));
  }
  graph.outputs = node.outputs;
  graph.nodes.push_back(std::move(node));
  nn::validate(graph);
  return graph;
}

/// A layer on tiles that is programmed and followed over time.
class Tile {
 public:
  Tile(const FloatArray& weight, const std::optional<FloatArray>& bias, const std::string& rpu_config,
       std::uint64_t seed, int threads)
      : executor_(linear_graph(weight, bias)),
        config_(spec::read_rpu_config(rpu_config)),
        seed_(seed),
        parallel_(threads > 0 ? Parallel{threads} : Parallel::all()) {
    program(0);
  }

  void program(std::uint32_t chip) {
    const nb::gil_scoped_release released;
    const sim::LayerResolver resolve = [this](const std::string&, const std::string&) {
      return sim::LayerParameters{true, config_.tile, spec::device_parameters(config_), config_.drift_compensation,
                                  config_.fault_map};
    };
    chip_.emplace(executor_, resolve, seed_, chip, parallel_);
    now_ = chip_->at(std::nullopt, 0, parallel_);
  }

  void drift(double time_s, std::uint32_t read) {
    require<InputError>(chip_->has_devices(), "a tile without a noise_model does not drift");
    const nb::gil_scoped_release released;
    now_ = chip_->at(time_s, read, parallel_);
  }

  const tile::AnalogLayer& layer() const { return now_.part(0, 0); }

  NumpyArray forward(const FloatArray& x, std::uint64_t first, std::uint32_t event) const {
    const ConstMatrixView in = matrix_of(x, "x");
    require<InputError>(in.cols == layer().inputs(), "x has {} values for each vector, the tile takes {}", in.cols,
                        layer().inputs());
    std::vector<float> out(static_cast<std::size_t>(in.rows * layer().outputs()));
    {
      const nb::gil_scoped_release released;
      layer().forward(in, {out.data(), in.rows, layer().outputs()},
                      {.first_vector = first, .parallel = parallel_, .event = event});
    }
    return to_numpy(std::move(out), {static_cast<std::size_t>(in.rows), static_cast<std::size_t>(layer().outputs())});
  }

  NumpyArray weights() const { return to_numpy(layer().logical_weights()); }

  nb::tuple read_weights(std::uint32_t event) const {
    tile::ReadWeights read;
    {
      const nb::gil_scoped_release released;
      read = layer().read_weights(event, parallel_);
    }
    const std::size_t size = read.bias.size();
    return nb::make_tuple(to_numpy(read.weight), to_numpy(std::move(read.bias), {size}));
  }

  nb::list conductances() const {
    nb::list tiles;
    for (std::int64_t t = 0; t < layer().tile_count(); ++t) {
      const device::ProgrammedState* state = chip_->programmed(0, 0, t);
      require<InputError>(state != nullptr, "a tile without a noise_model has no conductances");
      tiles.append(to_numpy(std::vector<float>(state->conductances.begin(), state->conductances.end()),
                            {static_cast<std::size_t>(state->devices), static_cast<std::size_t>(state->outputs()),
                             static_cast<std::size_t>(state->inputs())}));
    }
    return tiles;
  }

  nb::list report() const {
    nb::list tiles;
    for (std::int64_t t = 0; t < layer().tile_count(); ++t) {
      tile::TileReport report = layer().tile_report(t);
      nb::dict entry;
      entry["inputs"] = nb::make_tuple(report.place.first_input, report.place.first_input + report.place.inputs);
      entry["outputs"] = nb::make_tuple(report.place.first_output, report.place.first_output + report.place.outputs);
      entry["input_range"] = report.input_range;
      const auto add = [&]<class T>(const char* name, std::vector<T>& values) {
        const std::size_t size = values.size();
        entry[name] = to_numpy(std::move(values), {size});
      };
      add("mapping_scale", report.mapping_scale);
      add("scale", report.scale);
      add("quantized_scale", report.quantized_scale);
      add("scale_codes", report.scale_codes);
      add("scale_step", report.scale_step);
      add("alpha", report.alpha);
      entry["scale_zero_point"] = report.scale_zero_point;
      entry["scale_sqnr_db"] = report.scale_sqnr_db;
      tiles.append(entry);
    }
    return tiles;
  }

  std::int64_t inputs() const { return layer().inputs(); }
  std::int64_t outputs() const { return layer().outputs(); }
  bool has_devices() const { return chip_->has_devices(); }

 private:
  nn::Executor executor_;
  spec::RpuConfig config_;
  std::uint64_t seed_;
  Parallel parallel_;
  std::optional<sim::ProgrammedChip> chip_;
  sim::AnalogNetwork now_;
};

}  // namespace

void bind_tile(nb::module_& module) {
  nb::class_<Tile>(module, "Tile")
      .def(nb::init<const FloatArray&, const std::optional<FloatArray>&, const std::string&, std::uint64_t, int>(),
           "weight"_a, "bias"_a.none(), "rpu_config"_a, "seed"_a, "threads"_a)
      .def("program", &Tile::program, "chip"_a)
      .def("drift", &Tile::drift, "time_s"_a, "read"_a)
      .def("forward", &Tile::forward, "x"_a, "first_vector"_a, "event"_a)
      .def("weights", &Tile::weights)
      .def("read_weights", &Tile::read_weights, "event"_a)
      .def("conductances", &Tile::conductances)
      .def("report", &Tile::report)
      .def_prop_ro("inputs", &Tile::inputs)
      .def_prop_ro("outputs", &Tile::outputs)
      .def_prop_ro("has_devices", &Tile::has_devices);
}

}  // namespace tessera::python
