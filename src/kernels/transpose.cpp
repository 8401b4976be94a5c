#include "tessera/kernels/transpose.hpp"

#include <algorithm>

#include "tessera/core/error.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/transpose.cpp"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR
constexpr std::int64_t square = 1;

HWY_INLINE void transpose_square(const float* from, std::int64_t, float* to, std::int64_t) {
  *to = *from;
}
#else
constexpr std::int64_t square = 4;  // wider ones would not move the values faster

HWY_INLINE void transpose_square(const float* from, std::int64_t from_stride, float* to, std::int64_t to_stride) {
  const hn::FixedTag<float, square> d;
  const auto a = hn::LoadU(d, from), b = hn::LoadU(d, from + from_stride), c = hn::LoadU(d, from + 2 * from_stride),
             e = hn::LoadU(d, from + 3 * from_stride);
  const auto ab0 = hn::InterleaveLower(d, a, b), ab1 = hn::InterleaveUpper(d, a, b);
  const auto ce0 = hn::InterleaveLower(d, c, e), ce1 = hn::InterleaveUpper(d, c, e);
  hn::StoreU(hn::ConcatLowerLower(d, ce0, ab0), d, to);
  hn::StoreU(hn::ConcatUpperUpper(d, ce0, ab0), d, to + to_stride);
  hn::StoreU(hn::ConcatLowerLower(d, ce1, ab1), d, to + 2 * to_stride);
  hn::StoreU(hn::ConcatUpperUpper(d, ce1, ab1), d, to + 3 * to_stride);
}
#endif

// Sixteen rows at a time: whole lines of the cache are written one after the other.
void transpose(const ConstMatrixView& from, const MatrixView& to) {
  const std::int64_t whole_columns = from.cols / square * square;
  for (std::int64_t first = 0; first < from.rows; first += 16) {
    const std::int64_t last = std::min(from.rows, first + 16), whole = first + (last - first) / square * square;
    for (std::int64_t c = 0; c < whole_columns; c += square)
      for (std::int64_t r = first; r < whole; r += square)
        transpose_square(from.data + r * from.stride + c, from.stride, to.data + c * to.stride + r, to.stride);
    for (std::int64_t r = first; r < last; ++r)
      for (std::int64_t c = r < whole ? whole_columns : 0; c < from.cols; ++c)
        to.data[c * to.stride + r] = from.data[r * from.stride + c];
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tessera::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {

HWY_EXPORT(transpose);

void transpose(ConstMatrixView from, MatrixView to) {
  require<InputError>(from.rows == to.cols && from.cols == to.rows, "the transpose of {}x{} is not {}x{}", from.rows,
                      from.cols, to.rows, to.cols);
  HWY_DYNAMIC_DISPATCH(transpose)(from, to);
}

}  // namespace tessera::kernels
#endif
