#include "tessera/kernels/channel_converter.hpp"

#include <algorithm>

#include "tessera/core/error.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/channel_converter.cpp"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "hwy/highway.h"
// after highway.h
#include "kernels/vectors-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels {
namespace HWY_NAMESPACE {
namespace {

HWY_INLINE std::int64_t total(V counts) {
  HWY_ALIGN float lane[lanes];
  hn::Store(counts, D(), lane);
  std::int64_t sum = 0;
  for (const float count : lane) sum += static_cast<std::int64_t>(count);
  return sum;
}

// The law of DacBlock, with true divisions: a range is met once per pixel, so its reciprocal is not worth keeping.
template <bool kCount>
bool convert_channels_counting(const ChannelConversion& c, std::span<const float> x, float* out,
                               ConversionCounts* counts) {
  const D d;
  const V zero = hn::Zero(d), one = hn::Set(d, 1.0F), scale = hn::Set(d, c.scale), step = hn::Set(d, c.converter.step);
  const float outside = 2.0F * (c.converter.bound + c.converter.step);  // clipped whatever it is
  const V far = hn::Set(d, outside), far_low = hn::Set(d, -outside);
  const V bound = hn::Set(d, c.converter.bound), bound_low = hn::Set(d, -c.converter.bound);
  const V negative_factor = hn::Set(d, c.negative_factor);
  const bool scaled = c.scale != 1.0F, stepped = c.converter.step > 0.0F, asymmetric = c.negative_factor != 1.0F;
  V poison = zero, peak = zero;
  const auto channels = static_cast<std::int64_t>(c.ranges.size());
  const auto values = static_cast<std::int64_t>(x.size());
  for (std::int64_t first = 0; first < values; first += channels) {
    V range_clipped = zero, clipped = zero;
    for_vectors(channels, [&](const auto& at, std::int64_t i) TESSERA_LOOP_BODY {
      const V range = at.load(c.ranges.data() + i);
      V t = at.load(x.data() + first + i);
      poison = hn::MulAdd(t, zero, poison);
      if constexpr (kCount) range_clipped = hn::Add(range_clipped, hn::IfThenElseZero(hn::Gt(hn::Abs(t), range), one));
      t = hn::Min(hn::Max(t, hn::Neg(range)), range);
      // Lanes behind the last channel have no range.
      t = hn::Div(hn::Add(t, zero), hn::IfThenElse(hn::Gt(range, zero), range, one));
      if (scaled) t = hn::Mul(t, scale);
      if (stepped) {
        if (scaled) t = hn::Min(hn::Max(t, far_low), far);
        const V q = hn::Div(hn::Add(t, zero), step);
        t = hn::Mul(step, hn::CopySign(hn::Round(q), q));
      }
      if constexpr (kCount) clipped = hn::Add(clipped, hn::IfThenElseZero(hn::Gt(hn::Abs(t), bound), one));
      t = hn::Min(hn::Max(t, bound_low), bound);
      if constexpr (kCount) peak = hn::Max(peak, hn::Abs(t));
      if (asymmetric) t = hn::IfThenElse(hn::Lt(t, zero), hn::Mul(t, negative_factor), t);
      at.store(t, out + first + i);
    });
    if constexpr (kCount) {
      counts->range_clipped += total(range_clipped);
      counts->clipped += total(clipped);
    }
  }
  if constexpr (kCount) counts->peak = std::max(counts->peak, hn::GetLane(hn::MaxOfLanes(d, peak)));
  return hn::AllTrue(d, hn::Eq(poison, poison));
}

bool convert_channels(const ChannelConversion& c, std::span<const float> x, float* z, ConversionCounts* counts) {
  return counts != nullptr ? convert_channels_counting<true>(c, x, z, counts)
                           : convert_channels_counting<false>(c, x, z, nullptr);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tessera::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {

HWY_EXPORT(convert_channels);

bool convert_channels(const ChannelConversion& conversion, std::span<const float> x, std::span<float> z,
                      ConversionCounts* counts) {
  require<InputError>(!conversion.ranges.empty() && x.size() == z.size() && x.size() % conversion.ranges.size() == 0,
                      "{} and {} values are not pixels of {} channels", x.size(), z.size(), conversion.ranges.size());
  return HWY_DYNAMIC_DISPATCH(convert_channels)(conversion, x, z.data(), counts);
}

}  // namespace tessera::kernels
#endif
