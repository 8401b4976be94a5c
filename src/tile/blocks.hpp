#pragma once
#include <vector>

#include "tessera/core/tensor.hpp"

/// Private: helpers on the blocks of values that pass through a tile.
namespace tessera::tile {

/// The first rows x cols values of a buffer, which grows if it must; what it held is lost then.
inline MatrixView view(AlignedVector<float>& buffer, std::int64_t rows, std::int64_t cols) {
  if (static_cast<std::int64_t>(buffer.size()) < rows * cols) {
    buffer.clear();  // nothing worth copying
    buffer.resize(static_cast<std::size_t>(rows * cols));
  }
  return {buffer.data(), rows, cols};
}

/// The first n elements of a vector, which grows if it must.
template <class T>
T* sized(std::vector<T>& buffer, std::int64_t n) {
  if (static_cast<std::int64_t>(buffer.size()) < n) buffer.resize(static_cast<std::size_t>(n));
  return buffer.data();
}

/// to = f(from), element by element; to may be from.
template <class F>
void transform(ConstMatrixView from, MatrixView to, F&& f) {
  for (std::int64_t r = 0; r < from.rows; ++r) {
    const float* in = from.data + r * from.stride;
    float* out = to.data + r * to.stride;
    for (std::int64_t c = 0; c < from.cols; ++c) out[c] = f(in[c]);
  }
}

}  // namespace tessera::tile
