#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"

/// Float32 storage: aligned, contiguous, row-major. Views carry no ownership and are passed by value.
namespace tessera {

using Shape = std::vector<std::int64_t>;

/// Product of the extents; 1 for a scalar (empty shape).
std::int64_t element_count(const Shape& shape);
/// "2x3x4"; "scalar" for an empty shape.
std::string to_string(const Shape& shape);

/// Memory on a 64-byte boundary, out of a larger block: a freed one serves the next request of its size, where a system's
/// aligned allocation looks for more than that, and left 2 KB of holes for a tile of nine weights.
void* allocate_aligned(std::size_t bytes);
void free_aligned(void* p);

/// Allocates on 64-byte boundaries and leaves floats uninitialised on resize, so that large buffers cost nothing.
template <class T>
struct AlignedAllocator {
  using value_type = T;
  AlignedAllocator() = default;
  template <class U>
  AlignedAllocator(const AlignedAllocator<U>&) {}  // NOLINT(google-explicit-constructor): allocators convert
  T* allocate(std::size_t n) { return static_cast<T*>(allocate_aligned(n * sizeof(T))); }
  void deallocate(T* p, std::size_t) { free_aligned(p); }
  template <class U>
  void construct(U* p) {
    ::new (static_cast<void*>(p)) U;
  }
  template <class U, class... Args>
  void construct(U* p, Args&&... args) {
    ::new (static_cast<void*>(p)) U(std::forward<Args>(args)...);
  }
  friend bool operator==(const AlignedAllocator&, const AlignedAllocator&) { return true; }
};

template <class T>
using AlignedVector = std::vector<T, AlignedAllocator<T>>;

/// `rows` vectors of `cols` contiguous values; row r starts at data + r*stride, stride >= cols.
template <class T>
struct BasicMatrixView {
  T* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;

  BasicMatrixView() = default;
  BasicMatrixView(T* p, std::int64_t r, std::int64_t c) : BasicMatrixView(p, r, c, c) {}
  BasicMatrixView(T* p, std::int64_t r, std::int64_t c, std::int64_t s) : data(p), rows(r), cols(c), stride(s) {}
  /// A writable view is also a read-only one.
  operator BasicMatrixView<const T>() const { return {data, rows, cols, stride}; }  // NOLINT

  T* row(std::int64_t r) const {
    TESSERA_EXPECT(r >= 0 && r < rows);
    return data + r * stride;
  }
  std::span<T> row_span(std::int64_t r) const { return {row(r), static_cast<std::size_t>(cols)}; }
  T& operator()(std::int64_t r, std::int64_t c) const {
    TESSERA_EXPECT(c >= 0 && c < cols);
    return row(r)[c];
  }
  BasicMatrixView rows_from(std::int64_t first, std::int64_t count) const {
    TESSERA_EXPECT(first >= 0 && count >= 0 && first + count <= rows);
    return {data + first * stride, count, cols, stride};
  }
  BasicMatrixView cols_from(std::int64_t first, std::int64_t count) const {
    TESSERA_EXPECT(first >= 0 && count >= 0 && first + count <= cols);
    return {data + first, rows, count, stride};
  }
};
using MatrixView = BasicMatrixView<float>;
using ConstMatrixView = BasicMatrixView<const float>;

/// Owning row-major float32 matrix, zero-initialised.
class Matrix {
 public:
  Matrix() = default;
  Matrix(std::int64_t rows, std::int64_t cols);
  Matrix(std::int64_t rows, std::int64_t cols, std::span<const float> values);
  explicit Matrix(ConstMatrixView view);
  static Matrix uninitialized(std::int64_t rows, std::int64_t cols);

  std::int64_t rows() const { return rows_; }
  std::int64_t cols() const { return cols_; }
  float* data() { return data_.data(); }
  const float* data() const { return data_.data(); }
  MatrixView view() { return {data_.data(), rows_, cols_}; }
  ConstMatrixView view() const { return {data_.data(), rows_, cols_}; }
  std::span<float> values() { return data_; }
  std::span<const float> values() const { return data_; }
  float& operator()(std::int64_t r, std::int64_t c) { return view()(r, c); }
  float operator()(std::int64_t r, std::int64_t c) const { return view()(r, c); }

 private:
  std::int64_t rows_ = 0;
  std::int64_t cols_ = 0;
  AlignedVector<float> data_;
};

/// Floats that a tensor has no memory of its own for: they lie in a mapped file, or are made when they are first read.
class FloatSource {
 public:
  virtual ~FloatSource() = default;
  /// The same values at the same place in every call, from any thread, for as long as the source lives.
  virtual const float* values() const = 0;
  /// Values [first, first + to.size()), without anything being kept for the next call.
  virtual void copy(std::int64_t first, std::span<float> to) const;
  /// Nobody reads the values soon: memory that can be had again is given back. Pointers stay valid.
  virtual void forget() const {}
};

/// Row-major float32 tensor of any rank, zero-initialised. It owns its values, or reads those of a source until it is
/// written to for the first time; copies share the source.
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(Shape shape);
  Tensor(Shape shape, std::span<const float> values);
  static Tensor uninitialized(Shape shape);
  /// `source` has element_count(shape) values and is not null.
  static Tensor from(Shape shape, std::shared_ptr<const FloatSource> source);

  const Shape& shape() const { return shape_; }
  std::int64_t rank() const { return static_cast<std::int64_t>(shape_.size()); }
  std::int64_t dim(std::int64_t axis) const { return shape_.at(static_cast<std::size_t>(axis)); }
  std::int64_t size() const {
    return source_ == nullptr ? static_cast<std::int64_t>(data_.size()) : element_count(shape_);
  }
  float* data() {
    if (source_ != nullptr) take_over();
    return data_.data();
  }
  const float* data() const { return source_ == nullptr ? data_.data() : source_->values(); }
  std::span<float> values() { return {data(), static_cast<std::size_t>(size())}; }
  std::span<const float> values() const { return {data(), static_cast<std::size_t>(size())}; }
  /// Whether the values lie in memory of this tensor alone.
  bool owns_values() const { return source_ == nullptr; }
  /// Values [first, first + to.size()): of large tensors, without making values() of all.
  void copy(std::int64_t first, std::span<float> to) const;
  /// FloatSource::forget(); nothing happens to values that are owned.
  void forget() const {
    if (source_ != nullptr) source_->forget();
  }
  /// The same values under another shape of equal element count; InputError otherwise.
  Tensor reshaped(Shape shape) &&;
  Tensor reshaped(Shape shape) const&;

 private:
  /// Copies the values of the source into memory of its own.
  void take_over();

  Shape shape_ = {0};
  AlignedVector<float> data_;
  std::shared_ptr<const FloatSource> source_ = nullptr;
};

}  // namespace tessera
