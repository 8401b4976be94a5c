#include <limits>

#include "tessera/kernels/converter.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/line_values.cpp"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "hwy/highway.h"
// after highway.h
#include "kernels/vectors-inl.hpp"

// What is computed of lines and columns beside the conversions: squares and magnitudes, read noise, largest values.
HWY_BEFORE_NAMESPACE();
namespace tessera::kernels {
namespace HWY_NAMESPACE {
namespace {

void add_read_noise(const MatrixView& v, const ConstMatrixView& variance, const float* noise, float factor) {
  const D d;
  const V f = hn::Set(d, factor);
  for (std::int64_t r = 0; r < v.rows; ++r) {
    float* row = v.data + r * v.stride;
    const float* s = variance.data + r * variance.stride;
    const float* xi = noise + r * v.cols;
    for_vectors(v.cols, [&](const auto& at, std::int64_t i) TESSERA_LOOP_BODY {
      const V std = hn::Mul(f, hn::Sqrt(at.load(s + i)));
      at.store(hn::Add(at.load(row + i), hn::Mul(std, at.load(xi + i))), row + i);
    });
  }
}

// Calls body(first element, elements) for the rows of z, or once for all if they lie one after the other.
template <class Body>
HWY_INLINE void for_runs(const ConstMatrixView& z, const Body& body) {
  if (z.stride == z.cols) {
    body(0, z.rows * z.cols);
  } else {
    for (std::int64_t r = 0; r < z.rows; ++r) body(r * z.stride, z.cols);
  }
}

bool square_inputs(const ConstMatrixView& z, float* square) {
  const D d;
  V lowest = hn::Zero(d);
  for_runs(z, [&](std::int64_t first, std::int64_t n) TESSERA_LOOP_BODY {
    for_vectors(n, [&](const auto& at, std::int64_t i) TESSERA_LOOP_BODY {
      const V t = at.load(z.data + first + i);
      lowest = hn::Min(lowest, t);
      at.store(hn::Mul(t, t), square + first + i);
    });
  });
  return !hn::AllFalse(d, hn::Lt(lowest, hn::Zero(d)));
}

void input_magnitudes(const ConstMatrixView& z, float* magnitude) {
  for_runs(z, [&](std::int64_t first, std::int64_t n) TESSERA_LOOP_BODY {
    for_vectors(n, [&](const auto& at, std::int64_t i)
                       TESSERA_LOOP_BODY { at.store(hn::Abs(at.load(z.data + first + i)), magnitude + first + i); });
  });
}

void row_abs_max(const ConstMatrixView& x, float* out) {
  const D d;
  for (std::int64_t r = 0; r < x.rows; ++r) {
    const float* row = x.data + r * x.stride;
    V peak = hn::Zero(d);
    V poison = hn::Zero(d);
    for_vectors(x.cols, [&](const auto& at, std::int64_t i) TESSERA_LOOP_BODY {
      const V t = at.load(row + i);
      peak = hn::Max(peak, hn::Abs(t));
      poison = hn::MulAdd(t, hn::Zero(d), poison);
    });
    out[r] = hn::GetLane(hn::MaxOfLanes(d, peak));
    if (!hn::AllTrue(d, hn::Eq(poison, poison))) out[r] = std::numeric_limits<float>::quiet_NaN();
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tessera::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {

HWY_EXPORT(add_read_noise);
HWY_EXPORT(row_abs_max);
HWY_EXPORT(square_inputs);
HWY_EXPORT(input_magnitudes);

bool square_inputs(ConstMatrixView z, MatrixView square) {
  return HWY_DYNAMIC_DISPATCH(square_inputs)(z, square.data);
}

void input_magnitudes(ConstMatrixView z, MatrixView magnitude) {
  HWY_DYNAMIC_DISPATCH(input_magnitudes)(z, magnitude.data);
}

void add_read_noise(MatrixView v, ConstMatrixView variance, const float* noise, float factor) {
  HWY_DYNAMIC_DISPATCH(add_read_noise)(v, variance, noise, factor);
}

void row_abs_max(ConstMatrixView x, std::span<float> out) {
  HWY_DYNAMIC_DISPATCH(row_abs_max)(x, out.data());
}

}  // namespace tessera::kernels
#endif
