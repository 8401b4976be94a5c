#include <algorithm>
#include <new>

#include "circuit/macro_model.hpp"
#include "circuit/memory.hpp"

namespace tessera::circuit::detail {
namespace {

constexpr std::int64_t per_vector = 8;  // values: every matrix begins on a cache line
constexpr std::int64_t first_chunk = std::int64_t{1} << 16, largest_chunk = std::int64_t{1} << 22;
constexpr std::align_val_t chunk_alignment{large_page_bytes};

}  // namespace

void Storage::Release::operator()(double* data) const {
  ::operator delete(data, chunk_alignment);
}

Storage::Piece Storage::fresh(std::int64_t size) {
  if (rest_.size < size) {
    const std::int64_t grown = std::min(largest_chunk, first_chunk << std::min<std::size_t>(chunks_.size(), 16));
    const std::int64_t values = std::max(grown, size);
    const std::size_t bytes = static_cast<std::size_t>(values) * sizeof(double);
    chunks_.emplace_back(static_cast<double*>(::operator new(bytes, chunk_alignment)));
    prefer_large_pages(chunks_.back().get(), bytes);
    rest_ = {chunks_.back().get(), values};
  }
  const Piece piece{rest_.data, size};
  rest_ = {rest_.data + size, rest_.size - size};
  return piece;
}

RealView Storage::take(std::int64_t rows, std::int64_t cols) {
  const std::int64_t wanted = (rows * cols + per_vector - 1) / per_vector * per_vector;
  auto best = free_.end();
  for (auto it = free_.begin(); it != free_.end(); ++it)
    if (it->size >= wanted && it->size <= 4 * wanted && (best == free_.end() || it->size < best->size)) best = it;
  Piece piece;
  if (best != free_.end()) {
    piece = *best;
    *best = free_.back();
    free_.pop_back();
  } else {
    piece = fresh(wanted);
    sizes_[piece.data] = piece.size;
  }
  return {piece.data, rows, cols, cols};
}

void Storage::give(ConstRealView matrix) {
  const auto found = sizes_.find(matrix.data);
  if (found == sizes_.end()) return;  // another thread's
  free_.push_back({const_cast<double*>(matrix.data), found->second});
}

}  // namespace tessera::circuit::detail
