#include "kernels/dense_simd.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/lane_elimination_simd.cpp"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels::detail {
namespace HWY_NAMESPACE {
namespace lane_elimination_lanes {
namespace hn = hwy::HWY_NAMESPACE;

using D8 = hn::CappedTag<double, 8>;
constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(D8()));
constexpr std::int64_t lane_width = eliminate_lanes;
constexpr int pivots_together = 4;

// kRows rows from row i on, entries j >= i, less what kPivots pivot rows contribute: row[j] -= sum_s f_s pivot_s[j].
// Rows that begin together share the loads of the pivots.
template <int kRows, int kPivots>
HWY_INLINE void eliminate_rows(double* base, std::int64_t n, std::int64_t q, std::int64_t i,
                               const hn::Vec<D8>* inverse) {
  const D8 d;
  const double* HWY_RESTRICT pivot[kPivots];
  double* HWY_RESTRICT row[kRows];
  hn::Vec<D8> f[kRows][kPivots];
  for (int s = 0; s < kPivots; ++s) pivot[s] = base + (q + s) * n * lane_width;
  for (int r = 0; r < kRows; ++r) {
    row[r] = base + (i + r) * n * lane_width;
    for (int s = 0; s < kPivots; ++s) f[r][s] = hn::Mul(hn::Load(d, pivot[s] + (i + r) * lane_width), inverse[s]);
  }
  const auto entry = [&](int r, std::int64_t j) {
    auto value = hn::Load(d, row[r] + j * lane_width);
    for (int s = 0; s < kPivots; ++s) value = hn::NegMulAdd(f[r][s], hn::Load(d, pivot[s] + j * lane_width), value);
    hn::Store(value, d, row[r] + j * lane_width);
  };
  for (int r = 0; r < kRows; ++r)
    for (std::int64_t j = i + r; j < i + kRows - 1; ++j) entry(r, j);
  for (std::int64_t j = i + kRows - 1; j < n; ++j) {
    hn::Vec<D8> p[kPivots];
#pragma GCC unroll 4
    for (int s = 0; s < kPivots; ++s) p[s] = hn::Load(d, pivot[s] + j * lane_width);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      auto value = hn::Load(d, row[r] + j * lane_width);
#pragma GCC unroll 4
      for (int s = 0; s < kPivots; ++s) value = hn::NegMulAdd(f[r][s], p[s], value);
      hn::Store(value, d, row[r] + j * lane_width);
    }
  }
}

template <int kPivots>
void eliminate_pivots(double* base, std::int64_t n, std::int64_t q) {
  const D8 d;
  hn::Vec<D8> inverse[kPivots];
  for (int s = 0; s < kPivots; ++s) {
    const double* HWY_RESTRICT pivot = base + (q + s) * n * lane_width;
    inverse[s] = hn::Div(hn::Set(d, 1.0), hn::Load(d, pivot + (q + s) * lane_width));
    for (std::int64_t i = q + s + 1; i < q + kPivots; ++i) {
      const auto f = hn::Mul(hn::Load(d, pivot + i * lane_width), inverse[s]);
      double* HWY_RESTRICT row = base + i * n * lane_width;
      for (std::int64_t j = i; j < n; ++j)
        hn::Store(hn::NegMulAdd(f, hn::Load(d, pivot + j * lane_width), hn::Load(d, row + j * lane_width)), d,
                  row + j * lane_width);
    }
  }
  std::int64_t i = q + kPivots;
  for (; i + 4 <= n; i += 4) eliminate_rows<4, kPivots>(base, n, q, i, inverse);
  for (; i < n; ++i) eliminate_rows<1, kPivots>(base, n, q, i, inverse);
}

void eliminate(double* y, std::int64_t n, std::int64_t count) {
  for (std::int64_t part = 0; part < lane_width; part += lanes) {
    std::int64_t q = 0;
    for (; q + pivots_together <= count; q += pivots_together) eliminate_pivots<pivots_together>(y + part, n, q);
    for (; q < count; ++q) eliminate_pivots<1>(y + part, n, q);
  }
}

}  // namespace lane_elimination_lanes

void lane_elimination(double* y, std::int64_t n, std::int64_t count) {
  lane_elimination_lanes::eliminate(y, n, count);
}

}  // namespace HWY_NAMESPACE
}  // namespace tessera::kernels::detail
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels::detail {
HWY_EXPORT(lane_elimination);

LaneElimination lane_elimination() {
  return HWY_DYNAMIC_DISPATCH(lane_elimination);
}
}  // namespace tessera::kernels::detail
#endif
