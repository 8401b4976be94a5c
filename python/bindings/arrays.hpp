#pragma once
#include <span>

#include "bindings.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/tensor.hpp"

/// Arrays of NumPy on their way in and out.
namespace tessera::python {

using NumpyArray = nb::ndarray<nb::numpy, float>;
/// What a result is computed into: nothing is written before the values are.
using Buffer = AlignedVector<float>;

inline Shape shape_of(const FloatArray& x) {
  Shape shape;
  for (std::size_t i = 0; i < x.ndim(); ++i) shape.push_back(static_cast<std::int64_t>(x.shape(i)));
  return shape;
}

inline std::vector<std::size_t> sizes_of(const FloatArray& x) {
  std::vector<std::size_t> sizes;
  for (std::size_t i = 0; i < x.ndim(); ++i) sizes.push_back(x.shape(i));
  return sizes;
}

inline std::span<const float> values_of(const FloatArray& x) {
  return {x.data(), x.size()};
}

inline void require_same_shape(const FloatArray& x, const FloatArray& y, const char* what) {
  require<InputError>(shape_of(x) == shape_of(y), "{} has shape {}, not {}", what, to_string(shape_of(y)),
                      to_string(shape_of(x)));
}

/// [rows, columns]; a vector is one row.
inline ConstMatrixView matrix_of(const FloatArray& x, const char* what) {
  require<InputError>(x.ndim() == 1 || x.ndim() == 2, "{} has {} axes; it takes [vectors, values]", what, x.ndim());
  const auto columns = static_cast<std::int64_t>(x.shape(x.ndim() - 1));
  return {x.data(), x.ndim() == 2 ? static_cast<std::int64_t>(x.shape(0)) : 1, columns};
}

inline Tensor tensor_of(const FloatArray& x) {
  Tensor tensor(shape_of(x));
  std::copy(x.data(), x.data() + x.size(), tensor.data());
  return tensor;
}

/// An array of the shape of `x` that `body(values of x, its own values)` fills without the interpreter lock. `body` owns
/// what it uses: others may change objects of Python meanwhile.
template <class Body>
NumpyArray mapped(const FloatArray& x, const Body& body) {
  Buffer out(x.size());
  {
    const nb::gil_scoped_release released;
    body(values_of(x), std::span<float>(out));
  }
  return to_numpy(std::move(out), sizes_of(x));
}

/// [rows, columns] that `body(view)` fills without the interpreter lock.
template <class Body>
NumpyArray computed(std::int64_t rows, std::int64_t columns, const Body& body) {
  Buffer out(static_cast<std::size_t>(rows * columns));
  {
    const nb::gil_scoped_release released;
    body(MatrixView{out.data(), rows, columns});
  }
  return to_numpy(std::move(out), {static_cast<std::size_t>(rows), static_cast<std::size_t>(columns)});
}

inline NumpyArray to_numpy(const Matrix& matrix) {
  return to_numpy(std::vector<float>(matrix.values().begin(), matrix.values().end()),
                  {static_cast<std::size_t>(matrix.rows()), static_cast<std::size_t>(matrix.cols())});
}

}  // namespace tessera::python
