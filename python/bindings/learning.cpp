#include "arrays.hpp"
#include "bindings.hpp"
#include "tessera/spec/rpu_config.hpp"
#include "tessera/tile/learning.hpp"

namespace tessera::python {

namespace {

/// A layer on tiles that learns, for modules of torch: values and gradients by name, forward and backward passes.
class LearningTile {
 public:
  LearningTile(const FloatArray& weight, const std::optional<FloatArray>& bias, const std::string& rpu_config,
               std::uint64_t seed, std::uint32_t layer, int threads)
      : parallel_(threads > 0 ? Parallel{threads} : Parallel::all()) {
    const ConstMatrixView w = matrix_of(weight, "weight");
    layer_ = tile::LearningLayer(spec::read_rpu_config(rpu_config).tile, w,
                                 bias ? values_of(*bias) : std::span<const float>{},
                                 random::Address{.seed = seed, .layer = layer});
  }

  /// What an optimizer changes.
  nb::dict values() {
    nb::dict values;
    for (const tile::LearnedValue& value : layer_.values())
      values[value.name.c_str()] = to_numpy(std::vector<float>(value.value.begin(), value.value.end()),
                                            {value.value.size()});
    return values;
  }

  /// What an optimizer made of it; names that are left out stay.
  void set_values(const std::map<std::string, FloatArray>& values) {
    for (const tile::LearnedValue& own : layer_.values()) {
      const auto given = values.find(own.name);
      if (given == values.end()) continue;
      require<InputError>(given->second.size() == own.value.size(), "{} has {} values, not {}", own.name,
                          given->second.size(), own.value.size());
      std::copy_n(given->second.data(), own.value.size(), own.value.begin());
    }
    layer_.updated();
    evaluated_.reset();
  }

  NumpyArray forward(const FloatArray& x, bool training, std::uint64_t batch, std::uint64_t first_vector) {
    const ConstMatrixView in = checked(x);
    std::vector<float> out(static_cast<std::size_t>(in.rows * layer_.outputs()));
    const MatrixView y{out.data(), in.rows, layer_.outputs()};
    {
      const nb::gil_scoped_release released;
      if (training) {
        layer_.begin_batch(batch);
        layer_.forward(in, y, {.first_vector = first_vector, .parallel = parallel_});
        evaluated_.reset();
      } else {
        if (!evaluated_) evaluated_.emplace(layer_.analog_layer());
        evaluated_->forward(in, y, {.first_vector = first_vector, .parallel = parallel_});
      }
    }
    return to_numpy(std::move(out), {static_cast<std::size_t>(in.rows), static_cast<std::size_t>(layer_.outputs())});
  }

  /// (gradient of x, gradients of the values by name) of the forward pass with the same arguments.
  nb::tuple backward(const FloatArray& x, const FloatArray& dy, std::uint64_t batch, std::uint64_t first_vector) {
    const ConstMatrixView in = checked(x), gradient = matrix_of(dy, "grad_y");
    std::vector<float> out(static_cast<std::size_t>(in.rows * in.cols));
    {
      const nb::gil_scoped_release released;
      layer_.zero_gradients();
      layer_.begin_batch(batch);
      layer_.backward(in, gradient, {out.data(), in.rows, in.cols},
                      {.first_vector = first_vector, .parallel = parallel_});
    }
    nb::dict gradients;
    for (const tile::LearnedValue& value : layer_.values())
      gradients[value.name.c_str()] = to_numpy(std::vector<float>(value.gradient.begin(), value.gradient.end()),
                                               {value.gradient.size()});
    return nb::make_tuple(
        to_numpy(std::move(out), {static_cast<std::size_t>(in.rows), static_cast<std::size_t>(in.cols)}), gradients);
  }

 private:
  ConstMatrixView checked(const FloatArray& x) const {
    const ConstMatrixView in = matrix_of(x, "x");
    require<InputError>(in.cols == layer_.inputs(), "x has {} values for each vector, the layer takes {}", in.cols,
                        layer_.inputs());
    return in;
  }

  tile::LearningLayer layer_;
  std::optional<tile::AnalogLayer> evaluated_;  ///< the present values, until they change
  Parallel parallel_;
};

}  // namespace

void bind_learning(nb::module_& module) {
  nb::class_<LearningTile>(module, "LearningTile")
      .def(nb::init<const FloatArray&, const std::optional<FloatArray>&, const std::string&, std::uint64_t,
                    std::uint32_t, int>(),
           "weight"_a, "bias"_a.none(), "rpu_config"_a, "seed"_a, "layer"_a, "threads"_a)
      .def("values", &LearningTile::values)
      .def("set_values", &LearningTile::set_values, "values"_a)
      .def("forward", &LearningTile::forward, "x"_a, "training"_a, "batch"_a, "first_vector"_a)
      .def("backward", &LearningTile::backward, "x"_a, "grad_y"_a, "batch"_a, "first_vector"_a);
}

}  // namespace tessera::python
