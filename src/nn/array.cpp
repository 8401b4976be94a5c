#include "array.hpp"

#include <algorithm>
#include <cstring>

#include "tessera/kernels/transpose.hpp"

namespace tessera::nn {

Shape physical_shape(const Shape& shape, Layout layout) {
  if (layout == Layout::natural || shape.size() < 3) return shape;
  Shape result = shape;
  std::rotate(result.begin() + 1, result.begin() + 2, result.end());
  return result;
}

std::int64_t physical_axis(std::int64_t axis, std::int64_t rank, Layout layout) {
  if (layout == Layout::natural || rank < 3 || axis == 0) return axis;
  return axis == 1 ? rank - 1 : axis - 1;
}

bool layouts_coincide(const Shape& shape) {
  if (shape.size() < 3 || shape[1] == 1) return true;
  return std::all_of(shape.begin() + 2, shape.end(), [](std::int64_t extent) { return extent == 1; });
}

namespace {

void transpose(const float* from, float* to, std::int64_t rows, std::int64_t cols) {
  kernels::transpose({from, rows, cols}, {to, cols, rows});
}

void transpose(const std::int64_t* from, std::int64_t* to, std::int64_t rows, std::int64_t cols) {
  constexpr std::int64_t block = 16;
  for (std::int64_t r0 = 0; r0 < rows; r0 += block)
    for (std::int64_t c0 = 0; c0 < cols; c0 += block) {
      const std::int64_t r1 = std::min(rows, r0 + block), c1 = std::min(cols, c0 + block);
      for (std::int64_t r = r0; r < r1; ++r)
        for (std::int64_t c = c0; c < c1; ++c) to[c * rows + r] = from[r * cols + c];
    }
}

template <class T>
void convert(const T* from, T* to, const Shape& shape, Layout source, Parallel parallel) {
  const std::int64_t channels = shape[1];
  std::int64_t positions = 1;
  for (std::size_t i = 2; i < shape.size(); ++i) positions *= shape[i];
  const std::int64_t size = channels * positions;
  parallel_for(parallel, shape[0], [&](std::int64_t n) {
    if (source == Layout::natural)
      transpose(from + n * size, to + n * size, channels, positions);
    else
      transpose(from + n * size, to + n * size, positions, channels);
  });
}

}  // namespace

void convert_layout(const Array& from, const Array& to, Parallel parallel) {
  TESSERA_EXPECT(from.shape == to.shape && from.type == to.type);
  if (from.layout == to.layout || layouts_coincide(from.shape))
    std::memcpy(to.data, from.data, static_cast<std::size_t>(from.size() * element_bytes(from.type)));
  else if (from.is_float())
    convert(from.floats(), to.floats(), from.shape, from.layout, parallel);
  else
    convert(from.integers(), to.integers(), from.shape, from.layout, parallel);
}

Tensor to_natural(const Activation& activation) {
  if (activation.layout == Layout::natural) return activation.values;
  const Shape& shape = activation.values.shape();
  Tensor result = Tensor::uninitialized(shape);
  convert_layout({.layout = activation.layout, .shape = shape, .data = const_cast<float*>(activation.values.data())},
                 {.shape = shape, .data = result.data()}, {});
  return result;
}

Array array_of(const Constant& constant) {
  if (const auto* tensor = std::get_if<Tensor>(&constant))
    return {.type = ElementType::float32, .shape = tensor->shape(), .data = const_cast<float*>(tensor->data())};
  const auto& integers = std::get<IntTensor>(constant);
  return {
      .type = ElementType::int64, .shape = integers.shape, .data = const_cast<std::int64_t*>(integers.values.data())};
}

Constant constant_of(const Array& array) {
  const auto count = static_cast<std::size_t>(array.size());
  if (array.is_float()) return Tensor(array.shape, std::span<const float>(array.floats(), count));
  return IntTensor{array.shape, {array.integers(), array.integers() + count}};
}

std::int64_t normal_axis(std::int64_t axis, std::int64_t rank, const std::string& what) {
  require<InputError>(axis >= -rank && axis < rank, "{}: axis {} is out of range for rank {}", what, axis, rank);
  return axis < 0 ? axis + rank : axis;
}

Shape strides_of(const Shape& shape) {
  Shape strides(shape.size(), 1);
  for (std::size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

Shape broadcast_shape(std::span<const Shape> shapes, const std::string& what) {
  std::size_t rank = 0;
  for (const Shape& shape : shapes) rank = std::max(rank, shape.size());
  Shape result(rank, 1);
  for (const Shape& shape : shapes)
    for (std::size_t i = 0; i < shape.size(); ++i) {
      std::int64_t& extent = result[rank - shape.size() + i];
      require<InputError>(shape[i] == extent || shape[i] == 1 || extent == 1, "{}: shape {} does not broadcast to {}",
                          what, to_string(shape), to_string(result));
      if (extent == 1) extent = shape[i];
    }
  return result;
}

}  // namespace tessera::nn
