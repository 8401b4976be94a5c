#include "tessera/kernels/channel_product.hpp"

#include <algorithm>
#include <cmath>

#include "tessera/core/error.hpp"
#include "tessera/kernels/reference.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/channel_product.cpp"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "hwy/highway.h"
// after highway.h
#include "kernels/ir_drop-inl.hpp"

#ifndef TESSERA_KERNELS_CHANNEL_PRODUCT
#define TESSERA_KERNELS_CHANNEL_PRODUCT
namespace tessera::kernels::detail {

/// One panel of the weights.
struct ChannelPanel {
  const float* panel;     // panel[k * width + c]
  std::int64_t width;     // of a row of the panel
  std::int64_t channels;  // to be computed, at most width
  const ChannelWindows* x;
  std::int64_t first_channel;  // of the panel, in a pixel
  MatrixView y;
  MatrixView variance;  // no rows: not wanted
  bool ir_drop;
  float n_over_g;
  float ir_drop_scale;
};

}  // namespace tessera::kernels::detail
#endif

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels::detail {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_NATIVE_FMA

// The sums of companion_rows() in product_simd.cpp, for kPixels windows and one vector of channels from `c` on.
template <int kPixels, bool kIrDrop, bool kVariance, bool kMasked, class D, class M>
HWY_INLINE void windows_of(D d, M mask, const ChannelPanel& p, const float* HWY_RESTRICT x, std::int64_t row,
                           std::int64_t c) {
  using V = hn::Vec<D>;
  const auto load = [&](const float* from) {
    if constexpr (kMasked)
      return hn::MaskedLoad(mask, d, from);
    else
      return hn::LoadU(d, from);
  };
  V sum[kPixels], prefix[kPixels], second[kPixels], current[kPixels], variance[kPixels];
#pragma GCC unroll 8
  for (int i = 0; i < kPixels; ++i) sum[i] = prefix[i] = second[i] = current[i] = variance[i] = hn::Zero(d);
  const float* HWY_RESTRICT w = p.panel + c;
  const std::int64_t step = p.x->step;
  for (const std::int64_t tap : p.x->taps) {
    const V weight = load(w);
    const V size = hn::Abs(weight);
    w += p.width;
#pragma GCC unroll 8
    for (int i = 0; i < kPixels; ++i) {
      const V t = load(x + tap + i * step + c);
      sum[i] = hn::MulAdd(t, weight, sum[i]);
      if constexpr (kIrDrop) {
        prefix[i] = hn::Add(prefix[i], sum[i]);
        second[i] = hn::Add(second[i], prefix[i]);
        current[i] = hn::MulAdd(hn::Abs(t), size, current[i]);
      }
      if constexpr (kVariance) variance[i] = hn::MulAdd(hn::Mul(t, t), size, variance[i]);
    }
  }
  const auto store = [&](V value, float* to) {
    if constexpr (kMasked)
      hn::BlendedStore(value, mask, d, to);
    else
      hn::StoreU(value, d, to);
  };
  const float n = static_cast<float>(p.x->taps.size());
  const V inverse = hn::Set(d, 1.0F / (n * n));
#pragma GCC unroll 8
  for (int i = 0; i < kPixels; ++i) {
    V v = sum[i];
    if constexpr (kIrDrop)
      v = after_ir_drop(d, v, prefix[i], second[i], current[i], inverse, p.n_over_g, p.ir_drop_scale);
    store(v, p.y.data + (row + i) * p.y.stride + c);
    if constexpr (kVariance) store(variance[i], p.variance.data + (row + i) * p.variance.stride + c);
  }
}

template <bool kIrDrop, bool kVariance, bool kMasked, class D>
HWY_INLINE void channels_of(D d, const ChannelPanel& p, std::int64_t c) {
  constexpr int kSums = 1 + (kIrDrop ? 3 : 0) + (kVariance ? 1 : 0);
  constexpr int kRegisters = HWY_TARGET <= HWY_AVX3 ? 24 : 12;
  constexpr int kPixels = kRegisters / kSums < 4 ? kRegisters / kSums : 4;
  const auto mask = hn::FirstN(d, static_cast<std::size_t>(p.channels - c));
  std::int64_t row = 0;
  for (const WindowRun& run : p.x->runs) {
    const float* x = run.first + p.first_channel;
    std::int64_t i = 0;
    for (; i + kPixels <= run.count; i += kPixels, row += kPixels, x += kPixels * p.x->step)
      windows_of<kPixels, kIrDrop, kVariance, kMasked>(d, mask, p, x, row, c);
    for (; i < run.count; ++i, ++row, x += p.x->step) windows_of<1, kIrDrop, kVariance, kMasked>(d, mask, p, x, row, c);
  }
}

template <bool kIrDrop, bool kVariance>
HWY_INLINE void panel_of(const ChannelPanel& p) {
  const hn::CappedTag<float, 16> d;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(d));
  std::int64_t c = 0;
  for (; c + lanes <= p.channels; c += lanes) channels_of<kIrDrop, kVariance, false>(d, p, c);
  if (c < p.channels) channels_of<kIrDrop, kVariance, true>(d, p, c);
}

void channel_panel(const ChannelPanel& p) {
  if (!p.ir_drop)
    p.variance.rows == 0 ? panel_of<false, false>(p) : panel_of<false, true>(p);
  else
    p.variance.rows == 0 ? panel_of<true, false>(p) : panel_of<true, true>(p);
}

#else  // no fused multiply-add: exact by the C library's, one output at a time

void channel_panel(const ChannelPanel& p) {
  const float n = static_cast<float>(p.x->taps.size());
  const float inverse = 1.0F / (n * n);
  std::int64_t row = 0;
  for (const WindowRun& run : p.x->runs)
    for (std::int64_t i = 0; i < run.count; ++i, ++row)
      for (std::int64_t c = 0; c < p.channels; ++c) {
        const float* x = run.first + p.first_channel + i * p.x->step + c;
        const float* w = p.panel + c;
        float sum = 0.0F, prefix = 0.0F, second = 0.0F, current = 0.0F, variance = 0.0F;
        for (const std::int64_t tap : p.x->taps) {
          const float t = x[tap];
          sum = std::fma(t, *w, sum);
          prefix += sum;
          second += prefix;
          current = std::fma(std::fabs(t), std::fabs(*w), current);
          variance = std::fma(t * t, std::fabs(*w), variance);
          w += p.width;
        }
        if (p.ir_drop) {
          const float far = ((second + second) - prefix) * inverse;
          const float drop = p.ir_drop_scale * reference::ir_drop(p.n_over_g * current);
          sum = sum - drop * (sum - far);
        }
        p.y(row, c) = sum;
        if (p.variance.rows > 0) p.variance.row(row)[c] = variance;
      }
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace tessera::kernels::detail
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {
namespace detail {
HWY_EXPORT(channel_panel);

void multiply_panel(const ChannelPanel& panel) {
  HWY_DYNAMIC_DISPATCH(channel_panel)(panel);
}
}  // namespace detail

void multiply_channels(const Companions& companions, const PackedMatrix& weight, const ChannelWindows& x,
                       std::int64_t first_channel, MatrixView y) {
  std::int64_t windows = 0;
  for (const WindowRun& run : x.runs) windows += run.count;
  const MatrixView& variance = companions.variance;
  require<InputError>(std::ssize(x.taps) == weight.inputs() && y.rows == windows && y.cols == weight.outputs() &&
                          (variance.rows == 0 || (variance.rows == y.rows && variance.cols == y.cols)),
                      "{} windows of {} taps, {} channels of {} inputs and {}x{} outputs do not fit", windows,
                      x.taps.size(), weight.outputs(), weight.inputs(), y.rows, y.cols);
  for (std::int64_t p = 0; p < weight.panel_count(); ++p) {
    const std::int64_t first = p * PackedMatrix::panel_outputs;
    const std::int64_t channels = std::min(PackedMatrix::panel_outputs, weight.outputs() - first);
    const detail::ChannelPanel panel{.panel = weight.panel(p),
                                     .width = weight.panel_width(p),
                                     .channels = channels,
                                     .x = &x,
                                     .first_channel = first_channel + first,
                                     .y = y.cols_from(first, channels),
                                     .variance = variance.rows > 0 ? variance.cols_from(first, channels) : variance,
                                     .ir_drop = companions.ir_drop,
                                     .n_over_g = companions.n_over_g,
                                     .ir_drop_scale = companions.ir_drop_scale};
    detail::multiply_panel(panel);
  }
}

}  // namespace tessera::kernels
#endif
