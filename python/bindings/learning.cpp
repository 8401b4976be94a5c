#include <mutex>

#include "arrays.hpp"
#include "bindings.hpp"
#include "tessera/spec/rpu_config.hpp"
#include "tessera/tile/learning.hpp"

namespace tessera::python {

namespace {

/// A layer on tiles that learns, for modules of torch: values and gradients by name, forward and backward passes. Calls
/// from several threads wait for each other.
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
    std::vector<std::pair<std::string, std::vector<float>>> found;
    {
      const nb::gil_scoped_release released;
      const std::lock_guard lock(mutex_);
      for (const tile::LearnedValue& value : layer_.values())
        found.emplace_back(value.name, std::vector<float>(value.value.begin(), value.value.end()));
    }
    nb::dict values;
    for (auto& [name, value] : found) {
      const std::size_t size = value.size();
      values[name.c_str()] = to_numpy(std::move(value), {size});
    }
    return values;
  }

  /// What an optimizer made of it; names that are left out stay.
  void set_values(const std::map<std::string, FloatArray>& values) {
    const nb::gil_scoped_release released;
    const std::lock_guard lock(mutex_);
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

  /// With learned output scales: what a digital layer computes with.
  NumpyArray logical_weights() {
    const nb::gil_scoped_release released;
    Matrix weights;
    {
      const std::lock_guard lock(mutex_);
      weights = layer_.analog_layer().logical_weights();
    }
    const nb::gil_scoped_acquire acquired;
    return to_numpy(weights);
  }

  NumpyArray forward(const FloatArray& x, bool training, std::uint64_t batch, std::uint64_t first_vector) {
    const ConstMatrixView in = checked(x);
    return computed(pool_, in.rows, layer_.outputs(), [&](MatrixView y) {
      const std::lock_guard lock(mutex_);
      const tile::ForwardCall call{.first_vector = first_vector, .parallel = parallel_};
      if (training) {
        layer_.begin_batch(batch);
        layer_.forward(in, y, call);
        evaluated_.reset();
        return;
      }
      if (!evaluated_) evaluated_.emplace(layer_.analog_layer());
      evaluated_->forward(in, y, call);
    });
  }

  /// (gradient of x, gradients of the values by name) of the forward pass with the same arguments.
  nb::tuple backward(const FloatArray& x, const FloatArray& dy, std::uint64_t batch, std::uint64_t first_vector) {
    const ConstMatrixView in = checked(x), gradient = matrix_of(dy, "grad_y");
    std::map<std::string, std::vector<float>> found;
    NumpyArray dx = computed(pool_, in.rows, in.cols, [&](MatrixView out) {
      const std::lock_guard lock(mutex_);
      layer_.zero_gradients();
      layer_.begin_batch(batch);
      layer_.backward(in, gradient, out, {.first_vector = first_vector, .parallel = parallel_});
      for (const tile::LearnedValue& value : layer_.values())
        found.emplace(value.name, std::vector<float>(value.gradient.begin(), value.gradient.end()));
    });
    nb::dict gradients;
    for (auto& [name, values] : found) {
      const std::size_t size = values.size();
      gradients[name.c_str()] = to_numpy(std::move(values), {size});
    }
    return nb::make_tuple(std::move(dx), gradients);
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
  std::shared_ptr<BufferPool> pool_ = std::make_shared<BufferPool>();
  std::mutex mutex_;  ///< taken without the interpreter lock
};

}  // namespace

void bind_learning(nb::module_& module) {
  nb::class_<LearningTile>(module, "LearningTile")
      .def(nb::init<const FloatArray&, const std::optional<FloatArray>&, const std::string&, std::uint64_t,
                    std::uint32_t, int>(),
           "weight"_a, "bias"_a.none(), "rpu_config"_a, "seed"_a, "layer"_a, "threads"_a)
      .def("values", &LearningTile::values)
      .def("set_values", &LearningTile::set_values, "values"_a)
      .def("logical_weights", &LearningTile::logical_weights)
      .def("forward", &LearningTile::forward, "x"_a, "training"_a, "batch"_a, "first_vector"_a)
      .def("backward", &LearningTile::backward, "x"_a, "grad_y"_a, "batch"_a, "first_vector"_a);
}

}  // namespace tessera::python
