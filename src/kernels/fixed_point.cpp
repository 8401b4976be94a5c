#include "tessera/kernels/fixed_point.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <type_traits>

#include "kernels/fixed_point_lanes.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/fixed_point.cpp"
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

/// Integers of one type in vectors, `N` of them for a part of a vector of floats.
template <class DI>
struct Steps {
  using I = hn::TFromD<DI>;
  using VI = hn::Vec<DI>;
  DI d;
  const FixedPointDatapath& path;
  const FixedPointColumns& columns;
  Rounder<I> cut, align, output;
  int left = 0;  // where all columns have the same shift
  VI sum_low, sum_high, output_low, output_high, output_mask;
  bool same_shift;

  HWY_INLINE Steps(const FixedPointDatapath& p, const FixedPointColumns& c, int right, int to_left)
      : path(p),
        columns(c),
        cut(p.cut, p.product_rounding),
        align(right, p.product_rounding),
        output(std::max(p.fraction_bits, 0), p.output_rounding),
        left(to_left),
        same_shift(c.same_shift) {
    const CodeRange sum = code_range(p.accumulator_bits, true);
    sum_low = hn::Set(d, static_cast<I>(sum.low));
    sum_high = hn::Set(d, static_cast<I>(sum.high));
    const CodeRange out = code_range(std::max(p.output_bits, 1), p.output_signed);
    output_low = hn::Set(d, static_cast<I>(out.low));
    output_high = hn::Set(d, static_cast<I>(out.high));
    output_mask = hn::Set(d, static_cast<I>(p.output_signed ? -1 : out.high));
  }

  HWY_INLINE VI rounded(VI x, const Rounder<I>& r) const {
    if (r.shift <= 0) return x;
    VI t = hn::Add(x, hn::Set(d, r.base));
    if (r.negative != 0) t = hn::Add(t, hn::And(hn::Set(d, r.negative), hn::BroadcastSignBit(x)));
    if (r.even != 0) t = hn::Add(t, hn::And(hn::Set(d, r.even), hn::ShiftRightSame(x, r.shift)));
    return hn::ShiftRightSame(t, r.shift);
  }

  static HWY_INLINE const I* of(const FixedPointColumns::Column& column) {
    if constexpr (sizeof(I) == 4)
      return column.narrow.data();
    else
      return column.wide.data();
  }

  HWY_INLINE VI aligned(VI q, std::int64_t i) const {
    if (same_shift) {
      q = rounded(q, align);
      return left > 0 ? hn::ShiftLeftSame(q, left) : q;
    }
    const VI right = hn::LoadU(d, of(columns.right) + i);
    VI t = hn::Add(q, hn::LoadU(d, of(columns.base) + i));
    t = hn::Add(t, hn::And(hn::LoadU(d, of(columns.negative) + i), hn::BroadcastSignBit(q)));
    t = hn::Add(t, hn::And(hn::LoadU(d, of(columns.even) + i), hn::Shr(q, right)));
    return hn::Shl(hn::Shr(t, right), hn::LoadU(d, of(columns.left) + i));
  }

  HWY_INLINE VI cut_off(VI product) const { return rounded(product, cut); }
  HWY_INLINE VI output_code(VI s) const {
    return path.fraction_bits < 0 ? hn::ShiftLeftSame(s, -path.fraction_bits) : rounded(s, output);
  }
  HWY_INLINE VI fit_sum(VI s) const {
    if (path.accumulator_overflow == FixedPointOverflow::saturate) return hn::Min(hn::Max(s, sum_low), sum_high);
    const int unused = static_cast<int>(8 * sizeof(I)) - path.accumulator_bits;
    return hn::ShiftRightSame(hn::ShiftLeftSame(s, unused), unused);
  }
  HWY_INLINE VI fit_output(VI o) const {
    if (path.output_overflow == FixedPointOverflow::saturate) return hn::Min(hn::Max(o, output_low), output_high);
    if (!path.output_signed) return hn::And(o, output_mask);
    const int unused = static_cast<int>(8 * sizeof(I)) - path.output_bits;
    return hn::ShiftRightSame(hn::ShiftLeftSame(o, unused), unused);
  }
};

/// The same in doubles, in which integers below 2^52 and their halves are exact: shifts are products with powers of two.
/// Vectors without 64-bit integer arithmetic of their own are much faster so. Saturating only.
template <class DR>
struct RealSteps {
  using VI = hn::Vec<DR>;
  DR d;
  const FixedPointDatapath& path;
  const FixedPointColumns& columns;
  VI cut_factor, output_factor, sum_low, sum_high, output_low, output_high;

  HWY_INLINE RealSteps(const FixedPointDatapath& p, const FixedPointColumns& c) : path(p), columns(c) {
    const CodeRange sum = code_range(p.accumulator_bits, true);
    const CodeRange out = code_range(std::max(p.output_bits, 1), p.output_signed);
    cut_factor = hn::Set(d, std::ldexp(1.0, -p.cut));
    output_factor = hn::Set(d, std::ldexp(1.0, -p.fraction_bits));
    sum_low = hn::Set(d, static_cast<double>(sum.low));
    sum_high = hn::Set(d, static_cast<double>(sum.high));
    output_low = hn::Set(d, static_cast<double>(out.low));
    output_high = hn::Set(d, static_cast<double>(out.high));
  }

  HWY_INLINE VI to_integer(VI x, FixedPointRounding rounding) const {
    const VI half = hn::Set(d, 0.5);
    switch (rounding) {
      case FixedPointRounding::half_up:
        return hn::Floor(hn::Add(x, half));
      case FixedPointRounding::half_away:
        return hn::CopySign(hn::Floor(hn::Add(hn::Abs(x), half)), x);
      case FixedPointRounding::truncate:
        return hn::Floor(x);
      case FixedPointRounding::toward_zero:
        return hn::Trunc(x);
      default:
        return hn::Round(x);
    }
  }
  HWY_INLINE VI cut_off(VI product) const {
    return path.cut > 0 ? to_integer(hn::Mul(product, cut_factor), path.product_rounding) : product;
  }
  static HWY_INLINE const double* of(const FixedPointColumns::Column& column) { return column.real.data(); }
  HWY_INLINE VI aligned(VI q, std::int64_t i) const {
    return to_integer(hn::Mul(q, hn::LoadU(d, of(columns.factor) + i)), path.product_rounding);
  }
  HWY_INLINE VI fit_sum(VI s) const { return hn::Min(hn::Max(s, sum_low), sum_high); }
  HWY_INLINE VI output_code(VI s) const { return to_integer(hn::Mul(s, output_factor), path.output_rounding); }
  HWY_INLINE VI fit_output(VI o) const { return hn::Min(hn::Max(o, output_low), output_high); }
};

template <class DI>
struct Tally {
  using VI = hn::Vec<DI>;
  VI product, sum, out;
  std::size_t sums = 0, outputs = 0;
  HWY_INLINE Tally() { product = sum = out = hn::Zero(DI()); }
  HWY_INLINE void add_to(FixedPointCounts& counts) const {
    const auto peak = [](VI v) { return static_cast<std::int64_t>(hn::GetLane(hn::MaxOfLanes(DI(), v))); };
    counts +=
        {static_cast<std::int64_t>(sums), static_cast<std::int64_t>(outputs), peak(product), peak(sum), peak(out)};
  }
};

/// Codes a to outputs o (or the accumulator's value); columns i to i + lanes. Without the last tile: the state is kept.
template <bool kCount, class DI, class StepsOf>
HWY_INLINE hn::Vec<DI> through(const StepsOf& step, const FixedPointBlock& b, hn::Vec<DI> a, std::int64_t i,
                               hn::TFromD<DI>* state, Tally<DI>& tally) {
  const DI d;
  using VI = hn::Vec<DI>;
  const VI product = hn::Mul(a, hn::LoadU(d, step.of(step.columns.multiplier) + i));
  if constexpr (kCount) tally.product = hn::Max(tally.product, hn::Abs(product));
  VI s = step.aligned(step.cut_off(product), i);
  if (!b.first) s = hn::Add(s, hn::LoadU(d, state + i));
  const auto fitted = [&](VI sum) TESSERA_LOOP_BODY {
    const VI kept = step.fit_sum(sum);
    if constexpr (kCount) {
      tally.sums += hn::CountTrue(d, hn::Ne(kept, sum));
      tally.sum = hn::Max(tally.sum, hn::Abs(kept));
    }
    return kept;
  };
  s = fitted(s);
  if (step.columns.has_bias) s = fitted(hn::Add(s, hn::LoadU(d, step.of(step.columns.bias) + i)));
  if (!b.last) {
    hn::StoreU(s, d, state + i);
    return s;
  }
  if (b.bias != nullptr) s = fitted(hn::Add(s, hn::LoadU(d, step.of(*b.bias) + i)));
  if (step.path.relu) s = hn::Max(s, hn::Zero(d));
  VI o = s;
  if (step.path.output_bits > 0) {
    const VI rounded = step.output_code(s);
    o = step.fit_output(rounded);
    if constexpr (kCount) tally.outputs += hn::CountTrue(d, hn::Ne(o, rounded));
  }
  if constexpr (kCount) tally.out = hn::Max(tally.out, hn::Abs(o));
  return o;
}

using DNarrow = hn::Rebind<std::int32_t, D>;
#if HWY_TARGET == HWY_SCALAR  // one lane has no halves
using DWide = hn::Rebind<std::int64_t, DNarrow>;
#else
using DHalf = hn::Half<DNarrow>;
using DWide = hn::Rebind<std::int64_t, DHalf>;
#endif

HWY_INLINE hn::Vec<DNarrow> codes_of(V v, V codes_per_unit, hn::Vec<DNarrow> largest, hn::Vec<DNarrow> smallest) {
  return hn::Min(hn::Max(hn::NearestInt(hn::Mul(v, codes_per_unit)), smallest), largest);
}

template <bool kCount>
void narrow_block(const FixedPointBlock& b) {
  const DNarrow d;
  const Steps<DNarrow> step(*b.datapath, *b.columns, b.columns->right.narrow[0], b.columns->left.narrow[0]);
  const V scale = hn::Set(D(), b.codes_per_unit), u = hn::Set(D(), b.output_step);
  const auto largest = hn::Set(d, b.largest_code), smallest = hn::Set(d, -b.largest_code);
  Tally<DNarrow> tally;
  for (std::int64_t r = 0; r < b.v.rows; ++r) {
    const float* v = b.v.data + r * b.v.stride;
    float* y = b.last ? b.y.data + r * b.y.stride : nullptr;
    std::int32_t* state = b.narrow_sums == nullptr ? nullptr : b.narrow_sums + r * padded_columns(b.v.cols);
    for_vectors(b.v.cols, [&](const auto& at, std::int64_t i) TESSERA_LOOP_BODY {
      const auto o =
          through<kCount, DNarrow>(step, b, codes_of(at.load(v + i), scale, largest, smallest), i, state, tally);
      if (b.last) at.store(hn::Mul(hn::ConvertTo(D(), o), u), y + i);
    });
  }
  if constexpr (kCount) tally.add_to(*b.counts);
}

/// `DI`: 64-bit integers, or doubles; `state`: the accumulators of a row.
template <bool kCount, class DI, class StepsOf>
void wide_rows(const FixedPointBlock& b, const StepsOf& step, hn::TFromD<DI>* sums) {
  const DNarrow d;
  const DI di;
  const hn::Rebind<double, DI> dd;
  const hn::Rebind<float, DI> df;
  const V scale = hn::Set(D(), b.codes_per_unit);
  const double unit = static_cast<double>(b.output_step);
  const auto u = hn::Set(dd, b.datapath->output_bits > 0 ? unit : std::ldexp(unit, -b.datapath->fraction_bits));
  const auto largest = hn::Set(d, b.largest_code), smallest = hn::Set(d, -b.largest_code);
  const auto in_units = [&](hn::Vec<DI> o) TESSERA_LOOP_BODY {
    if constexpr (std::is_same_v<hn::TFromD<DI>, double>)
      return hn::DemoteTo(df, hn::Mul(hn::Add(o, hn::Zero(dd)), u));  // no negative zero
    else
      return hn::DemoteTo(df, hn::Mul(hn::ConvertTo(dd, o), u));
  };
  Tally<DI> tally;
  for (std::int64_t r = 0; r < b.v.rows; ++r) {
    const float* v = b.v.data + r * b.v.stride;
    float* y = b.last ? b.y.data + r * b.y.stride : nullptr;
    auto* state = sums == nullptr ? nullptr : sums + r * padded_columns(b.v.cols);
    for_vectors(b.v.cols, [&](const auto& at, std::int64_t i) TESSERA_LOOP_BODY {
      const auto a = codes_of(at.load(v + i), scale, largest, smallest);
#if HWY_TARGET == HWY_SCALAR
      const auto all = through<kCount, DI>(step, b, hn::PromoteTo(di, a), i, state, tally);
      if (b.last) at.store(in_units(all), y + i);
#else
      const DHalf half;
      const auto each = static_cast<std::int64_t>(hn::Lanes(di));
      const auto low = through<kCount, DI>(step, b, hn::PromoteTo(di, hn::LowerHalf(half, a)), i, state, tally);
      const auto high = through<kCount, DI>(step, b, hn::PromoteTo(di, hn::UpperHalf(half, a)), i + each, state, tally);
      if (b.last) at.store(hn::Combine(D(), in_units(high), in_units(low)), y + i);
#endif
    });
  }
  if constexpr (kCount) tally.add_to(*b.counts);
}

template <bool kCount>
void wide_block(const FixedPointBlock& b) {
  wide_rows<kCount, DWide>(b,
                           Steps<DWide>(*b.datapath, *b.columns, static_cast<int>(b.columns->right.wide[0]),
                                        static_cast<int>(b.columns->left.wide[0])),
                           b.wide_sums);
}

template <bool kCount>
void real_block(const FixedPointBlock& b) {
  using DReal = hn::Rebind<double, DWide>;
  wide_rows<kCount, DReal>(b, RealSteps<DReal>(*b.datapath, *b.columns), b.real_sums);
}

void fixed_point_block(const FixedPointBlock& b) {
  if (b.lanes == FixedPointLanes::int32)
    b.counts != nullptr ? narrow_block<true>(b) : narrow_block<false>(b);
  else if (b.lanes == FixedPointLanes::real64)
    b.counts != nullptr ? real_block<true>(b) : real_block<false>(b);
  else
    b.counts != nullptr ? wide_block<true>(b) : wide_block<false>(b);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tessera::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {

HWY_EXPORT(fixed_point_block);

void run_fixed_point(const FixedPointBlock& block) {
  if (block.lanes == FixedPointLanes::scalar) return fixed_point_scalar(block);
  HWY_DYNAMIC_DISPATCH(fixed_point_block)(block);
}

}  // namespace tessera::kernels
#endif
