#pragma once
#include <cstdint>
#include <span>

#include "tessera/nn/executor.hpp"
#include "tessera/nn/graph.hpp"

/// Tensors during evaluation: a shape, a type and borrowed memory.
namespace tessera::nn {

struct Array {
  ElementType type = ElementType::float32;
  Layout layout = Layout::natural;
  Shape shape;  ///< logical
  void* data = nullptr;

  bool is_float() const { return type == ElementType::float32; }
  std::int64_t size() const { return element_count(shape); }
  std::int64_t rank() const { return static_cast<std::int64_t>(shape.size()); }
  std::int64_t dim(std::int64_t axis) const { return shape[static_cast<std::size_t>(axis)]; }
  float* floats() const {
    TESSERA_EXPECT(is_float());
    return static_cast<float*>(data);
  }
  std::int64_t* integers() const {
    TESSERA_EXPECT(!is_float());
    return static_cast<std::int64_t*>(data);
  }
};

/// Bytes of one element in memory: 4 for floats, 8 for integers.
inline std::int64_t element_bytes(ElementType type) {
  return type == ElementType::float32 ? 4 : 8;
}

/// The extents as they lie in memory: axis 1 last for channels_last.
Shape physical_shape(const Shape& shape, Layout layout);

/// Position in memory order of a logical axis of a tensor of this rank.
std::int64_t physical_axis(std::int64_t axis, std::int64_t rank, Layout layout);

/// Copies an array into another layout. `to` has the same logical shape.
void convert_layout(const Array& from, const Array& to, Parallel parallel);

/// Whether both layouts of this shape are the same bytes (one channel, or one position).
bool layouts_coincide(const Shape& shape);

/// Borrowed views of constants. The constant must outlive the array.
Array array_of(const Constant& constant);
/// A copy of an array's values (natural layout only).
Constant constant_of(const Array& array);

/// axis + rank for a negative axis; InputError (with `what`) if it is out of [-rank, rank).
std::int64_t normal_axis(std::int64_t axis, std::int64_t rank, const std::string& what);

/// Row-major strides in elements.
Shape strides_of(const Shape& shape);

/// The shape to which all broadcast (NumPy rule); InputError with `what` if they do not.
Shape broadcast_shape(std::span<const Shape> shapes, const std::string& what);

}  // namespace tessera::nn
