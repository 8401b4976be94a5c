#include "kernels/product_simd.hpp"

#include <cmath>

#include "tessera/kernels/product.hpp"
#include "tessera/kernels/reference.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/product_simd.cpp"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "hwy/highway.h"
// after highway.h
#include "kernels/ir_drop-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels::detail {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_NATIVE_FMA

template <int kRows, int kVectors, class D, class V>
HWY_INLINE void store_limited(D d, const PanelProduct& p, const V (&sum)[kRows][kVectors], const float* bias,
                              float* HWY_RESTRICT y, std::int64_t outputs) {
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
  const V low = hn::Set(d, p.limits->low), high = hn::Set(d, p.limits->high);
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    const std::int64_t left = outputs - v * lanes;
    if (left <= 0) return;
    const auto mask = hn::FirstN(d, static_cast<std::size_t>(left));  // all lanes if there are more
    const V b = bias == nullptr ? hn::Zero(d) : hn::MaskedLoad(mask, d, bias + v * lanes);
#pragma GCC unroll 32
    for (int r = 0; r < kRows; ++r) {
      V value = bias == nullptr ? sum[r][v] : hn::Add(sum[r][v], b);
      value = hn::IfThenElse(hn::Lt(value, low), low, value);
      value = hn::IfThenElse(hn::Gt(value, high), high, value);
      if (left >= lanes)
        hn::StoreU(value, d, y + r * p.y_stride + v * lanes);
      else
        hn::BlendedStore(value, mask, d, y + r * p.y_stride + v * lanes);
    }
  }
}

// kRows vectors times kVectors SIMD vectors of outputs, all accumulators in registers, k in order.
template <int kRows, int kVectors, int kWidth, bool kMagnitudes, class D>
HWY_INLINE void micro_kernel(D d, const PanelProduct& p, std::int64_t row, std::int64_t first) {
  using V = hn::Vec<D>;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
  V sum[kRows][kVectors];
#pragma GCC unroll 32
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::Zero(d);

  const float* HWY_RESTRICT w = p.panel + first;
  // Rows are addressed as one pointer per three rows plus 0, 1 or 2 strides: twelve pointers would not fit the
  // registers.
  constexpr int kTriples = (kRows + 2) / 3;
  const std::int64_t x_stride = p.x_stride;
  const float* x[kTriples];
#pragma GCC unroll 4
  for (int t = 0; t < kTriples; ++t) x[t] = p.x + (row + 3 * t) * x_stride;
  const std::int64_t width = kWidth > 0 ? kWidth : p.width;
  for (std::int64_t k = 0; k < p.inputs; ++k) {
    V weight[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      weight[v] = hn::LoadU(d, w + v * lanes);
      if constexpr (kMagnitudes) weight[v] = hn::Abs(weight[v]);
    }
    w += width;
#pragma GCC unroll 32
    for (int r = 0; r < kRows; ++r) {
      const V value = hn::Set(d, x[r / 3][r % 3 * x_stride]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::MulAdd(value, weight[v], sum[r][v]);
    }
#pragma GCC unroll 4
    for (int t = 0; t < kTriples; ++t) ++x[t];
  }

  if (p.limits != nullptr) {
    const float* bias = p.bias == nullptr ? nullptr : p.bias + first;
    return store_limited<kRows, kVectors>(d, p, sum, bias, p.y + row * p.y_stride + first, p.outputs - first);
  }
  float* HWY_RESTRICT y = p.y + row * p.y_stride + first;
  const float* bias = p.bias == nullptr ? nullptr : p.bias + first;
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    const std::int64_t left = p.outputs - first - v * lanes;
    if (left >= lanes) {
      const V b = bias == nullptr ? hn::Zero(d) : hn::LoadU(d, bias + v * lanes);
#pragma GCC unroll 32
      for (int r = 0; r < kRows; ++r)
        hn::StoreU(bias == nullptr ? sum[r][v] : hn::Add(sum[r][v], b), d, y + r * p.y_stride + v * lanes);
    } else if (left > 0) {
      const auto mask = hn::FirstN(d, static_cast<std::size_t>(left));
      HWY_ALIGN float padded[hn::MaxLanes(D())] = {};
      if (bias != nullptr)
        for (std::int64_t i = 0; i < left; ++i) padded[i] = bias[v * lanes + i];
      const V b = hn::Load(d, padded);
#pragma GCC unroll 32
      for (int r = 0; r < kRows; ++r)
        hn::BlendedStore(bias == nullptr ? sum[r][v] : hn::Add(sum[r][v], b), mask, d, y + r * p.y_stride + v * lanes);
    }
  }
}

template <int kRows, int kVectors, int kWidth, bool kMagnitudes, class D>
HWY_NOINLINE void rows_from(D d, const PanelProduct& p, std::int64_t row, std::int64_t first, std::int64_t rows) {
  if (rows == kRows) {
    micro_kernel<kRows, kVectors, kWidth, kMagnitudes>(d, p, row, first);
  } else if constexpr (kRows > 1) {
    rows_from<kRows - 1, kVectors, kWidth, kMagnitudes>(d, p, row, first, rows);
  }
}

// All vectors in groups of nearly equal size: a small group at the end would wait for memory instead of computing.
template <int kVectors, int kWidth, bool kMagnitudes, class D>
HWY_INLINE void all_rows(D d, const PanelProduct& p, std::int64_t first) {
  // Accumulators, weights and one broadcast value have to fit into the register file.
  constexpr int kRows = HWY_TARGET <= HWY_AVX3 ? 12 : (kVectors == 1 ? 8 : 6);
  const std::int64_t groups = (p.rows + kRows - 1) / kRows;
  const std::int64_t size = p.rows / groups;
  const std::int64_t larger = p.rows % groups;
  std::int64_t row = 0;
  for (std::int64_t g = 0; g < groups; ++g) {
    const std::int64_t rows = size + (g < larger ? 1 : 0);
    rows_from<kRows, kVectors, kWidth, kMagnitudes>(d, p, row, first, rows);
    row += rows;
  }
}

template <bool kMagnitudes>
HWY_INLINE void panel_product_of(const PanelProduct& p) {
  const hn::CappedTag<float, 16> full;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(full));
  std::int64_t first = 0;
  if (p.width == 32) {  // most of the work: a constant stride leaves one register more for the rows
    for (; first < 32; first += 2 * lanes) all_rows<2, 32, kMagnitudes>(full, p, first);
    return;
  }
  if constexpr (lanes < 16) {
    for (; first + 2 * lanes <= p.width; first += 2 * lanes) all_rows<2, 0, kMagnitudes>(full, p, first);
  }
  for (; first + lanes <= p.width; first += lanes) all_rows<1, 0, kMagnitudes>(full, p, first);
  if constexpr (lanes > 8) {
    const hn::CappedTag<float, 8> half;
    for (; first < p.width; first += 8) all_rows<1, 0, kMagnitudes>(half, p, first);
  }
}

void panel_product(const PanelProduct& p) {
  p.magnitudes ? panel_product_of<true>(p) : panel_product_of<false>(p);
}

// v = sum w x with what a physical column adds to it, in one sweep over the weights: per row and vector of outputs
//   sum += w x;  first += sum;  second += first;  current += |w| |x|;  variance += |w| x^2.
// Prefix sums weigh input j of n by (n - j) and (n - j)(n - j + 1)/2, so the position factor of IR drop,
// sum w x (1 - (1 - j/n)^2), costs two additions and no multiplication: adders are idle in a product.
template <int kRows, bool kIrDrop, bool kVariance, class D>
HWY_NOINLINE void companion_rows(D d, const CompanionProduct& c, std::int64_t row, std::int64_t first,
                                 std::int64_t rows) {
  if (rows != kRows) {
    if constexpr (kRows > 1) companion_rows<kRows - 1, kIrDrop, kVariance>(d, c, row, first, rows);
    return;
  }
  using V = hn::Vec<D>;
  const PanelProduct& p = c.product;
  V sum[kRows];
  V prefix[kRows];
  V second[kRows];
  V current[kRows];
  V variance[kRows];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) sum[r] = prefix[r] = second[r] = current[r] = variance[r] = hn::Zero(d);

  const std::int64_t stride = p.x_stride;
  const std::int64_t width = p.width;
  const float* HWY_RESTRICT w = p.panel + first;
  const float* HWY_RESTRICT x = p.x + row * stride;
  const float* HWY_RESTRICT magnitude = kIrDrop ? c.magnitude + row * stride : nullptr;
  const float* HWY_RESTRICT square = kVariance ? c.square + row * stride : nullptr;
  for (std::int64_t k = 0; k < p.inputs; ++k) {
    const V weight = hn::LoadU(d, w);
    const V size = hn::Abs(weight);
    w += width;
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      sum[r] = hn::MulAdd(hn::Set(d, x[r * stride]), weight, sum[r]);
      if constexpr (kIrDrop) {
        prefix[r] = hn::Add(prefix[r], sum[r]);
        second[r] = hn::Add(second[r], prefix[r]);
        current[r] = hn::MulAdd(hn::Set(d, magnitude[r * stride]), size, current[r]);
      }
      if constexpr (kVariance) variance[r] = hn::MulAdd(hn::Set(d, square[r * stride]), size, variance[r]);
    }
    ++x;
    if constexpr (kIrDrop) ++magnitude;
    if constexpr (kVariance) ++square;
  }

  const float n = static_cast<float>(p.inputs);
  const V inverse = hn::Set(d, 1.0F / (n * n));
  const std::int64_t left = p.outputs - first;
  const auto mask = hn::FirstN(d, static_cast<std::size_t>(left));  // all lanes if there are more
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    V v = sum[r];
    if constexpr (kIrDrop)
      v = after_ir_drop(d, v, prefix[r], second[r], current[r], inverse, c.n_over_g, c.ir_drop_scale);
    const std::int64_t at = (row + r) * p.y_stride + first;
    hn::BlendedStore(v, mask, d, p.y + at);
    if constexpr (kVariance) hn::BlendedStore(variance[r], mask, d, c.variance + at);
  }
}

template <bool kIrDrop, bool kVariance, class D>
HWY_INLINE void companion_all_rows(D d, const CompanionProduct& c, std::int64_t first) {
  constexpr int kSums = 1 + (kIrDrop ? 3 : 0) + (kVariance ? 1 : 0);
  constexpr int kRegisters = HWY_TARGET <= HWY_AVX3 ? 26 : 12;
  constexpr int kRows = kRegisters / kSums < 8 ? kRegisters / kSums : 8;
  const std::int64_t groups = (c.product.rows + kRows - 1) / kRows;
  const std::int64_t size = c.product.rows / groups;
  const std::int64_t larger = c.product.rows % groups;
  std::int64_t row = 0;
  for (std::int64_t g = 0; g < groups; ++g) {
    const std::int64_t rows = size + (g < larger ? 1 : 0);
    companion_rows<kRows, kIrDrop, kVariance>(d, c, row, first, rows);
    row += rows;
  }
}

template <bool kIrDrop, bool kVariance>
HWY_INLINE void companion_product_of(const CompanionProduct& c) {
  const hn::CappedTag<float, 16> full;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(full));
  std::int64_t first = 0;
  for (; first + lanes <= c.product.width; first += lanes) companion_all_rows<kIrDrop, kVariance>(full, c, first);
  if constexpr (lanes > 8) {
    const hn::CappedTag<float, 8> half;
    for (; first < c.product.width; first += 8) companion_all_rows<kIrDrop, kVariance>(half, c, first);
  }
}

void companion_product(const CompanionProduct& c) {
  if (!c.ir_drop) return companion_product_of<false, true>(c);
  if (c.variance == nullptr) return companion_product_of<true, false>(c);
  if constexpr (HWY_TARGET <= HWY_AVX3) return companion_product_of<true, true>(c);
  // Five sums of two rows fill sixteen registers, and wait for each other: apart, three and twelve rows do not.
  companion_product_of<true, false>(c);
  PanelProduct variance = c.product;
  variance.x = c.square;
  variance.y = c.variance;
  panel_product_of<true>(variance);
}

#else  // no fused multiply-add: exact by the C library's, one output at a time

void panel_product(const PanelProduct& p) {
  for (std::int64_t r = 0; r < p.rows; ++r) {
    for (std::int64_t i = 0; i < p.outputs; ++i) {
      float sum = 0.0F;
      for (std::int64_t k = 0; k < p.inputs; ++k) {
        const float w = p.panel[k * p.width + i];
        sum = std::fma(p.x[r * p.x_stride + k], p.magnitudes ? std::fabs(w) : w, sum);
      }
      const float y = p.bias == nullptr ? sum : sum + p.bias[i];
      p.y[r * p.y_stride + i] = p.limits == nullptr ? y : (*p.limits)(y);
    }
  }
}

void companion_product(const CompanionProduct& c) {
  const PanelProduct& p = c.product;
  const float n = static_cast<float>(p.inputs);
  const float inverse = 1.0F / (n * n);
  for (std::int64_t r = 0; r < p.rows; ++r) {
    for (std::int64_t i = 0; i < p.outputs; ++i) {
      float sum = 0.0F;
      float prefix = 0.0F;
      float second = 0.0F;
      float current = 0.0F;
      float variance = 0.0F;
      for (std::int64_t k = 0; k < p.inputs; ++k) {
        const float w = p.panel[k * p.width + i];
        sum = std::fma(p.x[r * p.x_stride + k], w, sum);
        if (c.ir_drop) {
          prefix += sum;
          second += prefix;
          current = std::fma(c.magnitude[r * p.x_stride + k], std::fabs(w), current);
        }
        if (c.variance != nullptr) variance = std::fma(c.square[r * p.x_stride + k], std::fabs(w), variance);
      }
      if (c.ir_drop) {
        const float far = ((second + second) - prefix) * inverse;
        const float a = c.n_over_g * current;
        const float drop = c.ir_drop_scale * reference::ir_drop(a);
        sum = sum - drop * (sum - far);
      }
      p.y[r * p.y_stride + i] = sum;
      if (c.variance != nullptr) c.variance[r * p.y_stride + i] = variance;
    }
  }
}

#endif

const char* target_name() {
  return hwy::TargetName(HWY_TARGET);
}

}  // namespace HWY_NAMESPACE
}  // namespace tessera::kernels::detail
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {
namespace detail {
HWY_EXPORT(panel_product);
HWY_EXPORT(companion_product);
HWY_EXPORT(target_name);

CompanionFunction companion_function() {
  return HWY_DYNAMIC_DISPATCH(companion_product);
}
PanelFunction panel_function() {
  return HWY_DYNAMIC_DISPATCH(panel_product);
}
const char* dispatched_target_name() {
  return HWY_DYNAMIC_DISPATCH(target_name)();
}
}  // namespace detail

const char* instruction_set() {
  return detail::dispatched_target_name();
}
}  // namespace tessera::kernels
#endif
