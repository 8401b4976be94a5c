#include "tessera/core/tensor.hpp"

#include <algorithm>

namespace tessera {

namespace {

std::size_t checked_count(std::int64_t rows, std::int64_t cols) {
  require<InputError>(rows >= 0 && cols >= 0, "negative matrix size {}x{}", rows, cols);
  return static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols);
}

constexpr std::size_t alignment = 64;

}  // namespace

void* allocate_aligned(std::size_t bytes) {
  auto* const block = static_cast<unsigned char*>(::operator new(bytes + alignment));
  const auto shift = static_cast<unsigned char>(alignment - reinterpret_cast<std::uintptr_t>(block) % alignment);
  block[shift - 1] = shift;
  return block + shift;
}

void free_aligned(void* p) {
  auto* const first = static_cast<unsigned char*>(p);
  ::operator delete(first - first[-1]);
}

std::int64_t element_count(const Shape& shape) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) {
    require<InputError>(extent >= 0, "negative extent in shape {}", to_string(shape));
    require<InputError>(!__builtin_mul_overflow(count, extent, &count), "shape {} is too large", to_string(shape));
  }
  return count;
}

std::string to_string(const Shape& shape) {
  return shape.empty() ? "scalar" : fmt::format("{}", fmt::join(shape, "x"));
}

Matrix Matrix::uninitialized(std::int64_t rows, std::int64_t cols) {
  Matrix result;
  result.data_.resize(checked_count(rows, cols));
  result.rows_ = rows;
  result.cols_ = cols;
  return result;
}

Matrix::Matrix(std::int64_t rows, std::int64_t cols) : Matrix(uninitialized(rows, cols)) {
  std::fill(data_.begin(), data_.end(), 0.0F);
}

Matrix::Matrix(std::int64_t rows, std::int64_t cols, std::span<const float> values)
    : Matrix(uninitialized(rows, cols)) {
  require<InputError>(values.size() == data_.size(), "{} values given for a {}x{} matrix", values.size(), rows, cols);
  std::copy(values.begin(), values.end(), data_.begin());
}

Matrix::Matrix(ConstMatrixView source) : Matrix(uninitialized(source.rows, source.cols)) {
  for (std::int64_t r = 0; r < rows_; ++r) std::copy_n(source.row(r), cols_, data_.data() + r * cols_);
}

Tensor Tensor::uninitialized(Shape shape) {
  Tensor result;
  result.data_.resize(static_cast<std::size_t>(element_count(shape)));
  result.shape_ = std::move(shape);
  return result;
}

Tensor::Tensor(Shape shape) : Tensor(uninitialized(std::move(shape))) {
  std::fill(data_.begin(), data_.end(), 0.0F);
}

Tensor::Tensor(Shape shape, std::span<const float> values) : Tensor(uninitialized(std::move(shape))) {
  require<InputError>(values.size() == data_.size(), "{} values given for shape {}", values.size(), to_string(shape_));
  std::copy(values.begin(), values.end(), data_.begin());
}

Tensor Tensor::from(Shape shape, std::shared_ptr<const FloatSource> source) {
  TESSERA_EXPECT(source != nullptr);
  Tensor result;
  result.shape_ = std::move(shape);
  result.source_ = std::move(source);
  return result;
}

void FloatSource::copy(std::int64_t first, std::span<float> to) const {
  std::copy_n(values() + first, to.size(), to.begin());
}

void Tensor::copy(std::int64_t first, std::span<float> to) const {
  TESSERA_EXPECT(first >= 0 && first + std::ssize(to) <= size());
  if (source_ != nullptr)
    source_->copy(first, to);
  else
    std::copy_n(data_.data() + first, to.size(), to.begin());
}

void Tensor::take_over() {
  const float* from = source_->values();
  data_.assign(from, from + element_count(shape_));
  source_ = nullptr;
}

Tensor Tensor::reshaped(Shape shape) && {
  require<InputError>(element_count(shape) == size(), "cannot reshape {} to {}", to_string(shape_), to_string(shape));
  Tensor result;
  result.shape_ = std::move(shape);
  result.data_ = std::move(data_);
  result.source_ = std::move(source_);
  shape_ = {0};
  data_.clear();
  return result;
}

Tensor Tensor::reshaped(Shape shape) const& {
  Tensor copy = *this;
  return std::move(copy).reshaped(std::move(shape));
}

}  // namespace tessera
