#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <utility>
#include <vector>

/// What all bindings share. The Python side (python/tessera/*.py) gives names, defaults and documentation; here are
/// only thin functions on plain values and arrays. Everything that computes releases the interpreter lock.
namespace tessera::python {

namespace nb = nanobind;
using namespace nb::literals;

/// float32, C-contiguous, of any shape: what reaches C++ was converted on the Python side.
using FloatArray = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;

/// A NumPy array that owns `values`.
template <class T, class Allocator>
nb::ndarray<nb::numpy, T> to_numpy(std::vector<T, Allocator> values, const std::vector<std::size_t>& shape) {
  using Values = std::vector<T, Allocator>;
  auto held = std::make_unique<Values>(std::move(values));
  T* const data = held->data();
  const nb::capsule owner(held.release(), [](void* p) noexcept { delete static_cast<Values*>(p); });
  return nb::ndarray<nb::numpy, T>(data, shape.size(), shape.data(), owner);
}

void bind_crossbar(nb::module_& module);
void bind_errors(nb::module_& module);
void bind_learning(nb::module_& module);
void bind_network(nb::module_& module);
void bind_quant(nb::module_& module);
void bind_simulation(nb::module_& module);
void bind_tile(nb::module_& module);

}  // namespace tessera::python
