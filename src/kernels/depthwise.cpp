#include "tessera/kernels/depthwise.hpp"

#include <cmath>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/depthwise.cpp"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "hwy/highway.h"

#include "tessera/core/error.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels::detail {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_NATIVE_FMA

// kPixels neighbours, kVectors vectors of channels from `c` on, in registers while the taps pass.
template <int kPixels, int kVectors, bool kMasked, class D, class M>
HWY_INLINE void pixels_of(D d, M mask, std::span<const DepthwiseTap> taps, std::int64_t step, std::int64_t channels,
                          std::int64_t p, std::int64_t c, const float* bias, const Limits& limits,
                          float* HWY_RESTRICT y) {
  using V = hn::Vec<D>;
  constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
  const auto load = [&](const float* from) {
    if constexpr (kMasked)
      return hn::MaskedLoad(mask, d, from);
    else
      return hn::LoadU(d, from);
  };
  V acc[kPixels][kVectors];
#pragma GCC unroll 4
  for (int i = 0; i < kPixels; ++i)
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) acc[i][v] = hn::Zero(d);
  for (const DepthwiseTap& tap : taps) {
    const float* HWY_RESTRICT x = tap.pixel + p * step + c;
    V weight[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) weight[v] = load(tap.weight + c + v * lanes);
#pragma GCC unroll 4
    for (int i = 0; i < kPixels; ++i)
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) acc[i][v] = hn::MulAdd(load(x + i * step + v * lanes), weight[v], acc[i][v]);
  }
  const bool limited = limits.any();
  const V low = hn::Set(d, limits.low), high = hn::Set(d, limits.high);
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) {
    const V shift = bias != nullptr ? load(bias + c + v * lanes) : hn::Zero(d);
#pragma GCC unroll 4
    for (int i = 0; i < kPixels; ++i) {
      V value = bias != nullptr ? hn::Add(acc[i][v], shift) : acc[i][v];
      if (limited) {
        value = hn::IfThenElse(hn::Lt(value, low), low, value);
        value = hn::IfThenElse(hn::Gt(value, high), high, value);
      }
      float* HWY_RESTRICT to = y + (p + i) * channels + c + v * lanes;
      if constexpr (kMasked)
        hn::BlendedStore(value, mask, d, to);
      else
        hn::StoreU(value, d, to);
    }
  }
}

template <int kVectors, bool kMasked, class D>
HWY_INLINE void line_of(D d, std::span<const DepthwiseTap> taps, std::int64_t step, std::int64_t channels,
                        std::int64_t pixels, std::int64_t c, const float* bias, const Limits& limits, float* y) {
  const auto mask = hn::FirstN(d, static_cast<std::size_t>(channels - c));
  std::int64_t p = 0;
  for (; p + 4 <= pixels; p += 4) pixels_of<4, kVectors, kMasked>(d, mask, taps, step, channels, p, c, bias, limits, y);
  for (; p < pixels; ++p) pixels_of<1, kVectors, kMasked>(d, mask, taps, step, channels, p, c, bias, limits, y);
}

void depthwise_line(std::span<const DepthwiseTap> taps, std::int64_t step, std::int64_t channels, std::int64_t pixels,
                    const float* bias, const Limits& limits, float* y) {
  const hn::CappedTag<float, 16> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t c = 0;
  for (; c + 16 <= channels; c += 16)  // whole lines of the cache
    line_of<16 / hn::MaxLanes(d), false>(d, taps, step, channels, pixels, c, bias, limits, y);
  for (; c + lanes <= channels; c += lanes) line_of<1, false>(d, taps, step, channels, pixels, c, bias, limits, y);
  if (c < channels) line_of<1, true>(d, taps, step, channels, pixels, c, bias, limits, y);
}

#else  // no fused multiply-add: exact by the C library's

void depthwise_line(std::span<const DepthwiseTap> taps, std::int64_t step, std::int64_t channels, std::int64_t pixels,
                    const float* bias, const Limits& limits, float* y) {
  for (std::int64_t p = 0; p < pixels; ++p)
    for (std::int64_t c = 0; c < channels; ++c) {
      float acc = 0.0F;
      for (const DepthwiseTap& tap : taps) acc = std::fma(tap.pixel[p * step + c], tap.weight[c], acc);
      if (bias != nullptr) acc += bias[c];
      y[p * channels + c] = limits(acc);
    }
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace tessera::kernels::detail
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {
namespace detail {
HWY_EXPORT(depthwise_line);
template <class... Args>
void best_depthwise_line(Args&&... args) {
  HWY_DYNAMIC_DISPATCH(depthwise_line)(std::forward<Args>(args)...);
}
}  // namespace detail

void depthwise_pixels(std::span<const DepthwiseTap> taps, std::int64_t step, std::int64_t channels, std::int64_t pixels,
                      std::span<const float> bias, const Limits& limits, float* y) {
  TESSERA_EXPECT(bias.empty() || static_cast<std::int64_t>(bias.size()) == channels);
  if (channels == 0 || pixels == 0) return;
  detail::best_depthwise_line(taps, step, channels, pixels, bias.empty() ? nullptr : bias.data(), limits, y);
}

}  // namespace tessera::kernels
#endif
