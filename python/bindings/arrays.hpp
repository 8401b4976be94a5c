#pragma once
#include <memory>
#include <mutex>
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
  Tensor tensor = Tensor::uninitialized(shape_of(x));
  std::copy(x.data(), x.data() + x.size(), tensor.data());
  return tensor;
}

/// The values of an array that outlives the tensor, where they lie.
inline Tensor viewed(const FloatArray& x) {
  class Values final : public FloatSource {
   public:
    explicit Values(const float* values) : values_(values) {}
    const float* values() const override { return values_; }

   private:
    const float* values_;
  };
  return Tensor::from(shape_of(x), std::make_shared<const Values>(x.data()));
}

/// Memory of results that nobody holds any more. Pages of a new array are touched for the first time, which costs as much
/// as a cheap tile computes; those of a result that was dropped are there already.
class BufferPool {
 public:
  BufferPool() { free_.reserve(most); }

  /// Of `size` values that mean nothing.
  Buffer take(std::size_t size) {
    {
      const std::lock_guard lock(mutex_);
      for (Buffer& buffer : free_)
        if (buffer.size() == size) {
          Buffer taken = std::move(buffer);
          buffer = std::move(free_.back());
          free_.pop_back();
          return taken;
        }
    }
    return Buffer(size);
  }
  /// Keeps the last few of moderate size.
  void give_back(Buffer buffer) noexcept {
    if (buffer.size() > largest) return;
    const std::lock_guard lock(mutex_);
    if (free_.size() == most) free_.erase(free_.begin());
    free_.push_back(std::move(buffer));
  }

 private:
  static constexpr std::size_t most = 4, largest = std::size_t{4} << 20;

  std::mutex mutex_;
  std::vector<Buffer> free_;
};

/// A buffer of a pool, to which it goes back.
class PooledBuffer {
 public:
  PooledBuffer(std::shared_ptr<BufferPool> pool, std::size_t size)
      : pool_(std::move(pool)), buffer_(pool_->take(size)) {}
  ~PooledBuffer() { pool_->give_back(std::move(buffer_)); }
  PooledBuffer(const PooledBuffer&) = delete;
  PooledBuffer& operator=(const PooledBuffer&) = delete;
  float* data() { return buffer_.data(); }

 private:
  std::shared_ptr<BufferPool> pool_;
  Buffer buffer_;
};

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

/// [rows, columns], in memory of the pool, that `body(view)` fills without the interpreter lock.
template <class Body>
NumpyArray computed(const std::shared_ptr<BufferPool>& pool, std::int64_t rows, std::int64_t columns,
                    const Body& body) {
  auto held = std::make_unique<PooledBuffer>(pool, static_cast<std::size_t>(rows * columns));
  float* const data = held->data();
  {
    const nb::gil_scoped_release released;
    body(MatrixView{data, rows, columns});
  }
  const nb::capsule owner(held.release(), [](void* p) noexcept { delete static_cast<PooledBuffer*>(p); });
  const std::size_t shape[] = {static_cast<std::size_t>(rows), static_cast<std::size_t>(columns)};
  return NumpyArray(data, 2, shape, owner);
}

inline NumpyArray to_numpy(const Matrix& matrix) {
  return to_numpy(std::vector<float>(matrix.values().begin(), matrix.values().end()),
                  {static_cast<std::size_t>(matrix.rows()), static_cast<std::size_t>(matrix.cols())});
}

}  // namespace tessera::python
