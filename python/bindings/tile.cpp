#include <algorithm>
#include <chrono>
#include <limits>

#include "arrays.hpp"
#include "bindings.hpp"
#include "tessera/config/emit.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/kernels/transpose.hpp"
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
  const nn::ValueId x = graph.add_value("x");
  graph.inputs.push_back({.value = x, .type = nn::ElementType::float32, .shape = {-1, shape[1]}, .batched = true});
  nn::Node node{.name = "tile",
                .op = "Gemm",
                .inputs = {x, graph.add_value("weight", tensor_of(weight))},
                .outputs = {graph.add_value("y")},
                .attributes = {{"transB", std::int64_t{1}}}};
  if (bias) {
    require<InputError>(shape_of(*bias) == Shape{shape[0]}, "bias has shape {}, not {}", to_string(shape_of(*bias)),
                        to_string(Shape{shape[0]}));
    node.inputs.push_back(graph.add_value("bias", tensor_of(*bias)));
  }
  graph.outputs = node.outputs;
  graph.nodes.push_back(std::move(node));
  nn::validate(graph);
  return graph;
}

/// A programmed chip, and how it is found at one moment.
struct Moment {
  std::shared_ptr<const sim::ProgrammedChip> chip;
  sim::AnalogNetwork now;

  const tile::AnalogLayer& layer() const { return now.part(0, 0); }
};
using Snapshot = std::shared_ptr<const Moment>;

/// A layer on tiles that is programmed and followed over time. Calls that run without the interpreter lock keep the
/// moment that they began with.
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

  void program(std::uint32_t repeat) { program(repeat, {}); }

  /// Ranges of activation quantizers (act_quant_config) from a batch of vectors.
  void estimate_ranges(const FloatArray& x) {
    require<InputError>(x.ndim() == 2 && x.shape(0) > 0, "x has shape {}; it takes [vectors, values]",
                        to_string(shape_of(x)));
    std::vector<Tensor> batches;
    batches.push_back(tensor_of(x));
    program(repeat_, batches);
  }

  void drift(double time_s, std::uint32_t read) {
    const std::shared_ptr<const sim::ProgrammedChip> chip = moment_->chip;
    require<InputError>(chip->has_devices(), "a tile without a noise_model does not drift");
    Snapshot made;
    {
      const nb::gil_scoped_release released;
      made = std::make_shared<const Moment>(Moment{chip, chip->at(time_s, read, parallel_)});
    }
    moment_ = std::move(made);
  }

  NumpyArray forward(const FloatArray& x, std::uint64_t first, std::uint32_t event) const {
    const Snapshot moment = moment_;
    const tile::AnalogLayer& layer = moment->layer();
    const ConstMatrixView in = matrix_of(x, "x");
    require<InputError>(in.cols == layer.inputs(), "x has {} values for each vector, the tile takes {}", in.cols,
                        layer.inputs());
    return computed(pool_, in.rows, layer.outputs(), [&](MatrixView y) {
      layer.forward(in, y, {.first_vector = first, .parallel = parallel_, .event = event});
    });
  }

  /// A vector in each column: [inputs, vectors], for tile @ x.
  NumpyArray forward_columns(const FloatArray& x) const {
    const Snapshot moment = moment_;
    const tile::AnalogLayer& layer = moment->layer();
    require<InputError>(x.ndim() == 2 && static_cast<std::int64_t>(x.shape(0)) == layer.inputs(),
                        "x has shape {}; tile @ x takes [{}, vectors]", to_string(shape_of(x)), layer.inputs());
    const ConstMatrixView columns = matrix_of(x, "x");
    // Vectors that a thread takes up stay in its cache; rows a little apart do not fall upon each other there.
    const std::int64_t apart = columns.rows + 16, few = 60;
    const std::int64_t most = columns.cols < few * parallel_.threads ? std::max<std::int64_t>(1, columns.cols) : few;
    return computed(pool_, columns.cols, layer.outputs(), [&](MatrixView y) {
      parallel_for_blocks(parallel_, columns.cols, most, [&](std::int64_t, std::int64_t first, std::int64_t end) {
        PooledBuffer rows(pool_, static_cast<std::size_t>(apart * most));
        const MatrixView vectors(rows.data(), end - first, columns.rows, apart);
        kernels::transpose(columns.cols_from(first, end - first), vectors);
        layer.forward(vectors, y.rows_from(first, end - first),
                      {.first_vector = static_cast<std::uint64_t>(first), .parallel = parallel_});
      });
    });
  }

  /// Seconds of a forward pass in C++ alone, the smallest of `calls`: what calls from Python are measured against.
  double forward_seconds(const FloatArray& x, int calls) const {
    const Snapshot moment = moment_;
    const ConstMatrixView in = matrix_of(x, "x");
    Buffer out(static_cast<std::size_t>(in.rows * moment->layer().outputs()));
    const nb::gil_scoped_release released;
    double least = std::numeric_limits<double>::infinity();
    for (int i = 0; i < calls; ++i) {
      const auto start = std::chrono::steady_clock::now();
      moment->layer().forward(in, {out.data(), in.rows, moment->layer().outputs()}, {.parallel = parallel_});
      least = std::min(least, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    return least;
  }

  NumpyArray weights() const { return to_numpy(moment_->layer().logical_weights()); }

  nb::tuple read_weights(std::uint32_t event) const {
    const Snapshot moment = moment_;
    tile::ReadWeights read;
    {
      const nb::gil_scoped_release released;
      read = moment->layer().read_weights(event, parallel_);
    }
    const std::size_t size = read.bias.size();
    return nb::make_tuple(to_numpy(read.weight), to_numpy(std::move(read.bias), {size}));
  }

  nb::list conductances() const {
    nb::list tiles;
    for (std::int64_t t = 0; t < moment_->layer().tile_count(); ++t) {
      const device::ProgrammedState* state = moment_->chip->programmed(0, 0, t);
      require<InputError>(state != nullptr, "a tile without a noise_model has no conductances");
      tiles.append(to_numpy(std::vector<float>(state->conductances.begin(), state->conductances.end()),
                            {static_cast<std::size_t>(state->devices), static_cast<std::size_t>(state->outputs()),
                             static_cast<std::size_t>(state->inputs())}));
    }
    return tiles;
  }

  nb::list report() const {
    nb::list tiles;
    for (std::int64_t t = 0; t < moment_->layer().tile_count(); ++t) {
      tile::TileReport report = moment_->layer().tile_report(t);
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

  std::int64_t inputs() const { return moment_->layer().inputs(); }
  std::int64_t outputs() const { return moment_->layer().outputs(); }
  bool has_devices() const { return moment_->chip->has_devices(); }
  std::string resolved() const { return config::to_yaml(spec::to_node(config_)); }

 private:
  void program(std::uint32_t repeat, const std::vector<Tensor>& batches) {
    const sim::LayerResolver resolve = [config = config_](const std::string&, const std::string&) {
      return sim::LayerParameters{{.rpu = config.tile,
                                   .device = spec::device_parameters(config),
                                   .drift_compensation = config.drift_compensation,
                                   .fault_map = config.fault_map}};
    };
    Snapshot made;
    {
      const nb::gil_scoped_release released;
      auto chip = std::make_shared<sim::ProgrammedChip>(executor_, resolve, sim::ChipRequest{seed_, repeat, parallel_});
      if (!batches.empty()) chip->estimate_activation_ranges(executor_, batches);
      sim::AnalogNetwork now = chip->at(std::nullopt, 0, parallel_);
      made = std::make_shared<const Moment>(Moment{std::move(chip), std::move(now)});
    }
    moment_ = std::move(made);
    repeat_ = repeat;
  }

  nn::Executor executor_;
  spec::RpuConfig config_;
  std::uint64_t seed_;
  Parallel parallel_;
  std::uint32_t repeat_ = 0;
  Snapshot moment_;
  std::shared_ptr<BufferPool> pool_ = std::make_shared<BufferPool>();
};

}  // namespace

void bind_tile(nb::module_& module) {
  nb::class_<Tile>(module, "Tile")
      .def(nb::init<const FloatArray&, const std::optional<FloatArray>&, const std::string&, std::uint64_t, int>(),
           "weight"_a, "bias"_a.none(), "rpu_config"_a, "seed"_a, "threads"_a)
      .def("program", nb::overload_cast<std::uint32_t>(&Tile::program), "repeat"_a)
      .def("estimate_ranges", &Tile::estimate_ranges, "x"_a)
      .def("drift", &Tile::drift, "time_s"_a, "read"_a)
      .def("forward", &Tile::forward, "x"_a, "first_vector"_a, "event"_a)
      .def("forward_columns", &Tile::forward_columns, "x"_a)
      .def("forward_seconds", &Tile::forward_seconds, "x"_a, "calls"_a)
      .def("weights", &Tile::weights)
      .def("read_weights", &Tile::read_weights, "event"_a)
      .def("conductances", &Tile::conductances)
      .def("report", &Tile::report)
      .def("resolved", &Tile::resolved)
      .def_prop_ro("inputs", &Tile::inputs)
      .def_prop_ro("outputs", &Tile::outputs)
      .def_prop_ro("has_devices", &Tile::has_devices);
}

}  // namespace tessera::python
