#include "tessera/kernels/converter.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/converter.cpp"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "hwy/highway.h"
// after highway.h
#include "kernels/vectors-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

// Correctly rounded division by a constant without the divider: Markstein's correction of a faithful quotient. With
// hi + lo = 1/d to twice the precision, q = fma(v, hi, v lo) is within one ulp, and fma(fma(-q, d, v), hi, q) is the
// rounded quotient unless the remainder underflows (|v| below about 1e-30). Where that could be seen, `exact` divides.
// The quotient of -0 is +0, everywhere.
struct Divisor {
  V d;
  V hi;
  V lo;
  bool exact;

  HWY_INLINE Divisor(float divisor, bool divide) : exact(divide || divisor < 1e-15F || divisor > 1e15F) {
    const D tag;
    const double reciprocal = 1.0 / static_cast<double>(divisor);
    const float high = static_cast<float>(reciprocal);
    d = hn::Set(tag, divisor);
    hi = hn::Set(tag, high);
    lo = hn::Set(tag, static_cast<float>(reciprocal - static_cast<double>(high)));
  }
  HWY_INLINE V divide(V v) const {
#if HWY_NATIVE_FMA
    if (exact) return hn::Div(hn::Add(v, hn::Zero(D())), d);
    const V q = hn::MulAdd(v, hi, hn::Mul(v, lo));
    return hn::MulAdd(hn::NegMulAdd(q, d, v), hi, q);
#else
    return hn::Div(hn::Add(v, hn::Zero(D())), d);
#endif
  }
};

// Values beyond this are clipped whatever they are; limiting them first keeps quotients finite.
HWY_INLINE float far_outside(const Converter& c) {
  return 2.0F * (c.bound + c.step);
}

// To the nearest integer, ties to even; keeps the sign of what becomes zero.
HWY_INLINE V rounded(V q) {
#if HWY_NATIVE_FMA
  return hn::Round(q);
#else
  return hn::CopySign(hn::Round(q), q);
#endif
}

struct DacConstants {
  V range, range_low, step, bound, bound_low, far, far_low, noise_std, negative_factor, half;
  Divisor by_range, by_step;
  HWY_INLINE explicit DacConstants(const DacBlock& b)
      : by_range(b.range > 0 ? b.range : 1.0F, b.converter.step <= 0.0F),
        by_step(b.converter.step > 0 ? b.converter.step : 1.0F, false) {
    const D d;
    range = hn::Set(d, b.range);
    range_low = hn::Set(d, -b.range);
    step = hn::Set(d, b.converter.step);
    bound = hn::Set(d, b.converter.bound);
    bound_low = hn::Set(d, -b.converter.bound);
    far = hn::Set(d, far_outside(b.converter));
    far_low = hn::Set(d, -far_outside(b.converter));
    noise_std = hn::Set(d, b.noise_std);
    negative_factor = hn::Set(d, b.negative_factor);
    half = hn::Set(d, 0.5F);
  }
};

struct DacSums {
  V poison;  // NaN as soon as an input is not finite
  V peak;
  V range_clipped;  // per lane; exact as long as a block has fewer than 2^24 vectors of lanes
  V clipped;
};

HWY_INLINE std::int64_t total(V counts) {
  HWY_ALIGN float lane[lanes];
  hn::Store(counts, D(), lane);
  std::int64_t sum = 0;
  for (const float count : lane) sum += static_cast<std::int64_t>(count);
  return sum;
}

template <bool kRange, bool kScale, bool kStep, bool kCount>
HWY_INLINE void dac_span(const DacBlock& b, const DacConstants& c, std::int64_t row, const float* HWY_RESTRICT x,
                         float* HWY_RESTRICT z, std::int64_t first_draw, std::int64_t n, DacSums& sums) {
  const D d;
  const V scale = hn::Set(d, kScale ? b.scale[row] : 1.0F);
  const V zero = hn::Zero(d);
  const V one = hn::Set(d, 1.0F);
  for_vectors(n, [&](const auto& at, std::int64_t i) TESSERA_LOOP_BODY {
    V t = at.load(x + i);
    sums.poison = hn::MulAdd(t, zero, sums.poison);
    if constexpr (kRange) {
      if constexpr (kCount)
        sums.range_clipped = hn::Add(sums.range_clipped, hn::IfThenElseZero(hn::Gt(hn::Abs(t), c.range), one));
      t = hn::Min(hn::Max(t, c.range_low), c.range);
      t = c.by_range.divide(t);
    }
    if constexpr (kScale) t = hn::Mul(t, scale);
    if constexpr (kStep) {
      if constexpr (!kRange || kScale) t = hn::Min(hn::Max(t, c.far_low), c.far);
      V q = c.by_step.divide(t);
      if (b.dither != nullptr) q = hn::Add(q, hn::Sub(at.load(b.dither + first_draw + i), c.half));
      t = hn::Mul(c.step, rounded(q));
    }
    if constexpr (kCount) sums.clipped = hn::Add(sums.clipped, hn::IfThenElseZero(hn::Gt(hn::Abs(t), c.bound), one));
    t = hn::Min(hn::Max(t, c.bound_low), c.bound);
    if constexpr (kCount) sums.peak = hn::Max(sums.peak, hn::Abs(t));
    if (b.noise != nullptr) t = hn::Add(t, hn::Mul(c.noise_std, at.load(b.noise + first_draw + i)));
    if (b.negative_factor != 1.0F) t = hn::IfThenElse(hn::Lt(t, zero), hn::Mul(t, c.negative_factor), t);
    at.store(t, z + i);
  });
}

template <bool kRange, bool kScale, bool kStep, bool kCount>
HWY_INLINE bool dac_block(const DacBlock& b) {
  const D d;
  const DacConstants constants(b);
  DacSums sums;
  sums.poison = sums.peak = sums.range_clipped = sums.clipped = hn::Zero(d);
  const std::int64_t cols = b.x.cols;
  if (!kScale && b.x.stride == cols && b.z.stride == cols) {
    dac_span<kRange, kScale, kStep, kCount>(b, constants, 0, b.x.data, b.z.data, 0, b.x.rows * cols, sums);
  } else {
    for (std::int64_t r = 0; r < b.x.rows; ++r)
      dac_span<kRange, kScale, kStep, kCount>(b, constants, r, b.x.data + r * b.x.stride, b.z.data + r * b.z.stride,
                                              r * cols, cols, sums);
  }
  if constexpr (kCount) {
    b.counts->range_clipped += total(sums.range_clipped);
    b.counts->clipped += total(sums.clipped);
    const float peak = hn::GetLane(hn::MaxOfLanes(d, sums.peak));
    if (peak > b.counts->peak) b.counts->peak = peak;
  }
  return hn::AllTrue(d, hn::Eq(sums.poison, sums.poison));
}

template <bool kRange, bool kScale, bool kStep>
HWY_INLINE bool dac_counted(const DacBlock& b) {
  return b.counts != nullptr ? dac_block<kRange, kScale, kStep, true>(b) : dac_block<kRange, kScale, kStep, false>(b);
}
template <bool kRange, bool kScale>
HWY_INLINE bool dac_stepped(const DacBlock& b) {
  return b.converter.step > 0.0F ? dac_counted<kRange, kScale, true>(b) : dac_counted<kRange, kScale, false>(b);
}
template <bool kRange>
HWY_INLINE bool dac_scaled(const DacBlock& b) {
  return b.scale != nullptr ? dac_stepped<kRange, true>(b) : dac_stepped<kRange, false>(b);
}
bool convert_inputs(const DacBlock& b) {
  return b.range > 0.0F ? dac_scaled<true>(b) : dac_scaled<false>(b);
}

struct AdcConstants {
  V step, bound, bound_low, far, far_low, noise_std, variance_factor, half;
  Divisor by_step;
  HWY_INLINE explicit AdcConstants(const AdcBlock& b) : by_step(b.converter.step > 0 ? b.converter.step : 1.0F, false) {
    const D d;
    step = hn::Set(d, b.converter.step);
    bound = hn::Set(d, b.converter.bound);
    bound_low = hn::Set(d, -b.converter.bound);
    far = hn::Set(d, far_outside(b.converter));
    far_low = hn::Set(d, -far_outside(b.converter));
    noise_std = hn::Set(d, b.noise_std);
    variance_factor = hn::Set(d, b.variance_factor);
    half = hn::Set(d, 0.5F);
  }
};

enum class Noise { none, common, per_output, with_variance };

template <Noise kNoise, bool kStep, bool kAffine, bool kCount>
HWY_INLINE void adc_row(const AdcBlock& b, const AdcConstants& c, std::int64_t r, V& block_peak) {
  const D d;
  const std::int64_t cols = b.v.cols;
  const float* v = b.v.data + r * b.v.stride;
  float* y = b.y.data + r * b.y.stride;
  const float* noise = b.noise + (kNoise == Noise::none ? 0 : r * cols);
  const float* dither = b.dither == nullptr ? nullptr : b.dither + r * cols;
  const V scale = hn::Set(d, b.row_scale == nullptr ? 1.0F : b.row_scale[r]);
  std::size_t above = 0;
  std::size_t below = 0;
  V peak = hn::Zero(d);
  for_vectors(cols, [&](const auto& at, std::int64_t i) TESSERA_LOOP_BODY {
    V t = at.load(v + i);
    if constexpr (kNoise == Noise::common) t = hn::Add(t, hn::Mul(c.noise_std, at.load(noise + i)));
    if constexpr (kNoise == Noise::per_output) t = hn::Add(t, hn::Mul(at.load(b.noise_stds + i), at.load(noise + i)));
    if constexpr (kNoise == Noise::with_variance) {
      const V std = b.noise_stds == nullptr ? c.noise_std : at.load(b.noise_stds + i);
      const V read = hn::Mul(c.variance_factor, at.load(b.variance + r * cols + i));
      t = hn::Add(t, hn::Mul(hn::Sqrt(hn::Add(hn::Mul(std, std), read)), at.load(noise + i)));
    }
    if constexpr (kStep) {
      V q = c.by_step.divide(hn::Min(hn::Max(t, c.far_low), c.far));
      if (dither != nullptr) q = hn::Add(q, hn::Sub(at.load(dither + i), c.half));
      t = hn::Mul(c.step, rounded(q));
    }
    if constexpr (kCount) {
      above += hn::CountTrue(d, hn::Gt(t, c.bound));
      below += hn::CountTrue(d, hn::Lt(t, c.bound_low));
    }
    t = hn::Min(hn::Max(t, c.bound_low), c.bound);
    if constexpr (kCount) {
      peak = hn::Max(peak, hn::Abs(t));
    }
    t = hn::Mul(t, scale);
    if constexpr (kAffine) {
      if (b.column_scale != nullptr) t = hn::Mul(t, at.load(b.column_scale + i));
      if (b.bias != nullptr) t = hn::Add(t, at.load(b.bias + i));
    }
    at.store(t, y + i);
  });
  if constexpr (kCount) {
    b.above[r] = static_cast<std::int32_t>(above);
    b.below[r] = static_cast<std::int32_t>(below);
    block_peak = hn::Max(block_peak, peak);
    if (b.peaks != nullptr) b.peaks[r] = hn::GetLane(hn::MaxOfLanes(d, peak));
  }
}

template <Noise kNoise, bool kStep, bool kAffine>
HWY_INLINE void adc_block(const AdcBlock& b) {
  const D d;
  const AdcConstants constants(b);
  V peak = hn::Zero(d);
  if (b.above == nullptr) {
    for (std::int64_t r = 0; r < b.v.rows; ++r) adc_row<kNoise, kStep, kAffine, false>(b, constants, r, peak);
    return;
  }
  for (std::int64_t r = 0; r < b.v.rows; ++r) adc_row<kNoise, kStep, kAffine, true>(b, constants, r, peak);
  if (b.block_peak != nullptr) *b.block_peak = hn::GetLane(hn::MaxOfLanes(d, peak));
}
template <Noise kNoise, bool kStep>
HWY_INLINE void adc_scaled(const AdcBlock& b) {
  const bool affine = b.column_scale != nullptr || b.bias != nullptr;
  affine ? adc_block<kNoise, kStep, true>(b) : adc_block<kNoise, kStep, false>(b);
}
template <Noise kNoise>
HWY_INLINE void adc_stepped(const AdcBlock& b) {
  b.converter.step > 0.0F ? adc_scaled<kNoise, true>(b) : adc_scaled<kNoise, false>(b);
}
void convert_outputs(const AdcBlock& b) {
  if (b.noise == nullptr)
    adc_stepped<Noise::none>(b);
  else if (b.variance != nullptr)
    adc_stepped<Noise::with_variance>(b);
  else if (b.noise_stds == nullptr)
    adc_stepped<Noise::common>(b);
  else
    adc_stepped<Noise::per_output>(b);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tessera::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {

HWY_EXPORT(convert_inputs);
HWY_EXPORT(convert_outputs);

namespace {

// The step of a converter whose K-th code is the bound. Rounding bound / K alone may leave fl(K step) beside the bound,
// and a top code above it would count as clipped.
float step_of_top_code(float bound, float codes) {
  const auto nearest = static_cast<float>(static_cast<double>(bound) / static_cast<double>(codes));
  const float below = std::nextafter(nearest, 0.0F);
  for (const float step : {nearest, std::nextafter(nearest, bound), below})
    if (codes * step == bound) return step;
  return codes * nearest < bound ? nearest : below;
}

}  // namespace

Converter make_converter(double bound, double resolution) {
  constexpr double float_accuracy = 1e-6;  // of a resolution that was written or stored with seven digits
  constexpr double most_codes = 1 << 24;
  Converter converter;
  if (bound <= 0.0 || !std::isfinite(bound)) return converter;
  converter.bound = static_cast<float>(bound);
  if (resolution <= 0.0) return converter;
  const double steps = resolution > 1.0 ? resolution : 1.0 / resolution;  // over the full range
  const double top = std::rint(0.5 * steps);
  const bool whole = top >= 1.0 && top < most_codes && std::fabs(0.5 * steps - top) <= float_accuracy * top;
  converter.step = whole ? step_of_top_code(converter.bound, static_cast<float>(top))
                         : static_cast<float>(2.0 * static_cast<double>(converter.bound) / steps);
  return converter;
}

bool convert_inputs(const DacBlock& block) {
  return HWY_DYNAMIC_DISPATCH(convert_inputs)(block);
}

bool convert_inputs(const InputConversion& conversion, std::span<const float> x, std::span<float> z) {
  const auto n = static_cast<std::int64_t>(x.size());
  DacBlock block;
  block.x = {x.data(), 1, n};
  block.z = {z.data(), 1, n};
  block.range = conversion.range;
  block.scale = conversion.scale != 1.0F ? &conversion.scale : nullptr;
  block.converter = conversion.converter;
  block.negative_factor = conversion.negative_factor;
  return convert_inputs(block);
}

namespace {

constexpr std::int64_t widest_vector = 16;

// Rows shorter than vectors leave lanes idle: as many rows as end with a whole vector are taken for one, with what
// belongs to a column repeated. Returns how many rows of the block were converted.
std::int64_t convert_joined_rows(const AdcBlock& block) {
  constexpr std::int64_t longest = 32;
  const std::int64_t cols = block.v.cols, joined = widest_vector / std::gcd(cols, widest_vector);
  const std::int64_t rows = block.v.rows / joined;
  const bool contiguous = block.v.stride == cols && block.y.stride == cols;
  if (joined == 1 || cols > longest || rows < 4 || !contiguous || block.above != nullptr || block.row_scale != nullptr)
    return 0;
  std::array<float, 3 * longest * widest_vector> repeated;
  float* next = repeated.data();
  const auto repeat = [&](const float*& values) {
    if (values == nullptr) return;
    const float* first = next;
    for (std::int64_t i = 0; i < joined; ++i) next = std::copy_n(values, cols, next);
    values = first;
  };
  AdcBlock long_rows = block;
  long_rows.v = {block.v.data, rows, joined * cols};
  long_rows.y = {block.y.data, rows, joined * cols};
  repeat(long_rows.noise_stds);
  repeat(long_rows.column_scale);
  repeat(long_rows.bias);
  HWY_DYNAMIC_DISPATCH(convert_outputs)(long_rows);
  return rows * joined;
}

// Some rows of a block.
AdcBlock part_of(const AdcBlock& block, std::int64_t first, std::int64_t count) {
  AdcBlock part = block;
  part.v = block.v.rows_from(first, count);
  part.y = block.y.rows_from(first, count);
  for (const float** values : {&part.noise, &part.variance, &part.dither})
    if (*values != nullptr) *values += first * block.v.cols;
  return part;
}

// Short rows that lie apart at their destination, as those of a depthwise convolution do, are converted side by side
// and then put there. Returns whether they were.
bool convert_scattered_rows(const AdcBlock& block) {
  constexpr std::int64_t longest = 8, piece = 512;
  const std::int64_t cols = block.v.cols, rows = block.v.rows;
  if (cols > longest || rows < widest_vector || block.v.stride != cols || block.y.stride == cols ||
      block.above != nullptr || block.row_scale != nullptr)
    return false;
  std::array<float, longest * piece> together;
  for (std::int64_t first = 0; first < rows; first += piece) {
    AdcBlock part = part_of(block, first, std::min(piece, rows - first));
    const MatrixView to = part.y;
    part.y = {together.data(), to.rows, cols};
    convert_outputs(part);
    for (std::int64_t r = 0; r < to.rows; ++r)
      for (std::int64_t c = 0; c < cols; ++c)
        to.data[r * to.stride + c] = together[static_cast<std::size_t>(r * cols + c)];
  }
  return true;
}

}  // namespace

void convert_outputs(const AdcBlock& block) {
  if (convert_scattered_rows(block)) return;
  const std::int64_t done = convert_joined_rows(block), left = block.v.rows - done;
  if (done == 0) return HWY_DYNAMIC_DISPATCH(convert_outputs)(block);
  if (left == 0) return;
  HWY_DYNAMIC_DISPATCH(convert_outputs)(part_of(block, done, left));
}

}  // namespace tessera::kernels
#endif
