#include "tessera/kernels/fixed_point.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <type_traits>

#include "tessera/core/error.hpp"

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

// x 2^-shift, rounded: an offset that depends on x, then an arithmetic shift.
//     offset = base + (x < 0 ? negative : 0) + (even & (x >> shift))
template <class I>
struct Rounder {
  int shift = 0;
  I base = 0, negative = 0, even = 0;

  Rounder(int bits, FixedPointRounding rounding) : shift(bits) {
    if (bits <= 0) return;
    const I half = static_cast<I>(I{1} << (bits - 1));
    switch (rounding) {
      case FixedPointRounding::nearest_even:
        base = static_cast<I>(half - 1);
        even = 1;
        break;
      case FixedPointRounding::half_up:
        base = half;
        break;
      case FixedPointRounding::half_away:
        base = half;
        negative = -1;
        break;
      case FixedPointRounding::toward_zero:
        negative = static_cast<I>((half - 1) + half);
        break;
      default:
        break;
    }
  }
};

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
template <bool kCount, class DI>
HWY_INLINE hn::Vec<DI> through(const Steps<DI>& step, const FixedPointBlock& b, hn::Vec<DI> a, std::int64_t i,
                               hn::TFromD<DI>* state, Tally<DI>& tally) {
  const DI d;
  using VI = hn::Vec<DI>;
  const VI product = hn::Mul(a, hn::LoadU(d, step.of(step.columns.multiplier) + i));
  if constexpr (kCount) tally.product = hn::Max(tally.product, hn::Abs(product));
  VI s = step.aligned(step.rounded(product, step.cut), i);
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
    const VI rounded =
        step.path.fraction_bits < 0 ? hn::ShiftLeftSame(s, -step.path.fraction_bits) : step.rounded(s, step.output);
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
      const auto o = through<kCount>(step, b, codes_of(at.load(v + i), scale, largest, smallest), i, state, tally);
      if (b.last) at.store(hn::Mul(hn::ConvertTo(D(), o), u), y + i);
    });
  }
  if constexpr (kCount) tally.add_to(*b.counts);
}

template <bool kCount>
void wide_block(const FixedPointBlock& b) {
  const DNarrow d;
  const DWide dw;
  const hn::Rebind<double, DWide> dd;
  const hn::Rebind<float, DWide> df;
  const Steps<DWide> step(*b.datapath, *b.columns, static_cast<int>(b.columns->right.wide[0]),
                          static_cast<int>(b.columns->left.wide[0]));
  const V scale = hn::Set(D(), b.codes_per_unit);
  const double unit = static_cast<double>(b.output_step);
  const auto u = hn::Set(dd, b.datapath->output_bits > 0 ? unit : std::ldexp(unit, -b.datapath->fraction_bits));
  const auto largest = hn::Set(d, b.largest_code), smallest = hn::Set(d, -b.largest_code);
  Tally<DWide> tally;
  for (std::int64_t r = 0; r < b.v.rows; ++r) {
    const float* v = b.v.data + r * b.v.stride;
    float* y = b.last ? b.y.data + r * b.y.stride : nullptr;
    std::int64_t* state = b.wide_sums == nullptr ? nullptr : b.wide_sums + r * padded_columns(b.v.cols);
    for_vectors(b.v.cols, [&](const auto& at, std::int64_t i) TESSERA_LOOP_BODY {
      const auto a = codes_of(at.load(v + i), scale, largest, smallest);
      const auto in_units = [&](hn::Vec<DWide> o)
                                TESSERA_LOOP_BODY { return hn::DemoteTo(df, hn::Mul(hn::ConvertTo(dd, o), u)); };
#if HWY_TARGET == HWY_SCALAR
      const auto all = through<kCount>(step, b, hn::PromoteTo(dw, a), i, state, tally);
      if (b.last) at.store(in_units(all), y + i);
#else
      const DHalf half;
      const auto each = static_cast<std::int64_t>(hn::Lanes(dw));
      const auto low = through<kCount>(step, b, hn::PromoteTo(dw, hn::LowerHalf(half, a)), i, state, tally);
      const auto high = through<kCount>(step, b, hn::PromoteTo(dw, hn::UpperHalf(half, a)), i + each, state, tally);
      if (b.last) at.store(hn::Combine(D(), in_units(high), in_units(low)), y + i);
#endif
    });
  }
  if constexpr (kCount) tally.add_to(*b.counts);
}

void fixed_point_block(const FixedPointBlock& b) {
  if (b.lanes == FixedPointLanes::int32)
    b.counts != nullptr ? narrow_block<true>(b) : narrow_block<false>(b);
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

namespace {

constexpr std::int64_t most_narrow = std::int64_t{1} << 30;
constexpr std::int64_t most_wide = std::int64_t{1} << 61;
constexpr int most_left = 60, most_right = 100;  // beyond, nothing changes

std::int64_t magnitude(std::int64_t x) {
  return x < 0 ? -x : x;
}

template <class I>
void put_rounding(FixedPointColumns& packed, AlignedVector<I> FixedPointColumns::Column::*lanes, std::size_t i,
                  FixedPointRounding rounding) {
  using HWY_NAMESPACE::Rounder;
  const auto right = static_cast<int>(packed.right.wide[i]);
  if (right >= static_cast<int>(8 * sizeof(I)) - 1) return;  // other lanes then
  const Rounder<I> rounder(right, rounding);
  (packed.base.*lanes)[i] = rounder.base;
  (packed.negative.*lanes)[i] = rounder.negative;
  (packed.even.*lanes)[i] = rounder.even;
}

FixedPointColumns::Column zeros(std::int64_t columns) {
  const auto n = static_cast<std::size_t>(padded_columns(columns));
  FixedPointColumns::Column column;
  column.narrow.assign(n, 0);
  column.wide.assign(n, 0);
  return column;
}

void put(FixedPointColumns::Column& column, std::size_t i, std::int64_t value) {
  column.wide[i] = value;
  column.narrow[i] = magnitude(value) < most_narrow ? static_cast<std::int32_t>(value) : 0;  // other lanes then
}

/// The same steps, output by output.
void run_scalar(const FixedPointBlock& b) {
  const FixedPointDatapath& path = *b.datapath;
  const double u = path.output_bits > 0 ? static_cast<double>(b.output_step)
                                        : std::ldexp(static_cast<double>(b.output_step), -path.fraction_bits);
  FixedPointDatapath open = path;  // of a tile that is not the last: the accumulator's state
  open.output_bits = 0;
  open.relu = false;
  for (std::int64_t r = 0; r < b.v.rows; ++r)
    for (std::int64_t i = 0; i < b.v.cols; ++i) {
      const auto c = static_cast<std::size_t>(i);
      const auto code = static_cast<std::int64_t>(std::rint(b.v(r, i) * b.codes_per_unit));
      std::int64_t unused = 0;
      std::int64_t& state = b.wide_sums == nullptr ? unused : b.wide_sums[r * padded_columns(b.v.cols) + i];
      const FixedPointColumns& columns = *b.columns;
      // The state passes the accumulator once more, unchanged: it is the bias of a term without product.
      FixedPointTerm terms[2];
      terms[0].bias = b.first ? 0 : state;
      terms[1] = {std::clamp<std::int64_t>(code, -b.largest_code, b.largest_code), columns.multiplier.wide[c],
                  static_cast<int>(columns.right.wide[c] - columns.left.wide[c]), columns.bias.wide[c]};
      FixedPointWords words[2];
      if (!b.words.empty()) words[1] = b.words[static_cast<std::size_t>(r * b.v.cols + i)];
      const std::int64_t bias = b.last && b.bias != nullptr ? b.bias->wide[c] : 0;
      FixedPointCounts seen;
      const std::int64_t o = reference::fixed_point_output(
          b.last ? path : open, terms, bias,
          b.words.empty() ? std::span<const FixedPointWords>() : std::span<const FixedPointWords>(words), &seen);
      if (!b.last) seen.output_peak = 0;
      if (b.counts != nullptr) *b.counts += seen;
      if (b.last)
        b.y(r, i) = static_cast<float>(static_cast<double>(o) * u);
      else
        state = o;
    }
}

}  // namespace

FixedPointColumns::Column pack_fixed_point_bias(std::span<const std::int64_t> bias) {
  FixedPointColumns::Column column = zeros(static_cast<std::int64_t>(bias.size()));
  for (std::size_t i = 0; i < bias.size(); ++i) put(column, i, bias[i]);
  return column;
}

FixedPointColumns pack_fixed_point(const FixedPointDatapath& datapath, std::span<const std::int64_t> multiplier,
                                   std::span<const std::int32_t> shift, std::span<const std::int64_t> bias) {
  require<InputError>(multiplier.size() == shift.size() && (bias.empty() || bias.size() == shift.size()),
                      "multipliers, shifts and biases of {}, {} and {} columns do not fit each other",
                      multiplier.size(), shift.size(), bias.size());
  FixedPointColumns packed;
  packed.columns = static_cast<std::int64_t>(shift.size());
  packed.has_bias = std::any_of(bias.begin(), bias.end(), [](std::int64_t b) { return b != 0; });
  packed.same_shift = std::all_of(shift.begin(), shift.end(), [&](std::int32_t s) { return s == shift[0]; });
  for (auto* column :
       {&packed.multiplier, &packed.right, &packed.left, &packed.base, &packed.negative, &packed.even, &packed.bias})
    *column = zeros(packed.columns);
  for (std::size_t i = 0; i < shift.size(); ++i) {
    put(packed.multiplier, i, multiplier[i]);
    put(packed.right, i, std::clamp(shift[i], 0, most_right));
    put(packed.left, i, std::clamp(-shift[i], 0, most_left));
    if (!bias.empty()) put(packed.bias, i, bias[i]);
    put_rounding(packed, &FixedPointColumns::Column::narrow, i, datapath.product_rounding);
    put_rounding(packed, &FixedPointColumns::Column::wide, i, datapath.product_rounding);
  }
  return packed;
}

FixedPointLanes lanes_of(const FixedPointDatapath& path, const FixedPointColumns& columns, std::int64_t largest_code,
                         std::int64_t bias) {
  const bool stochastic =
      path.product_rounding == FixedPointRounding::stochastic || path.output_rounding == FixedPointRounding::stochastic;
  if (stochastic) return FixedPointLanes::scalar;
  // Bits of the largest number that a step can make, but for the accumulator's own width.
  const auto fits = [&](std::int64_t most, int bits) {
    if (path.cut > bits || path.accumulator_bits > bits - 2 || path.fraction_bits > bits ||
        path.accumulator_bits - path.fraction_bits > bits || path.output_bits > bits - 2 || bias >= most)
      return false;
    for (std::size_t i = 0; i < static_cast<std::size_t>(columns.columns); ++i) {
      const WideInteger product = static_cast<WideInteger>(largest_code) * magnitude(columns.multiplier.wide[i]);
      if (product >= most || columns.right.wide[i] > bits || columns.left.wide[i] > bits) return false;
      if ((product << columns.left.wide[i]) >= most / 2 || magnitude(columns.bias.wide[i]) >= most / 2) return false;
    }
    return true;
  };
  // Codes beyond 24 bits, and the accumulator's value, need doubles on their way to the unit.
  constexpr int float_bits = 24;
  if (path.output_bits > 0 && path.output_bits <= float_bits && fits(most_narrow, 29)) return FixedPointLanes::int32;
  return fits(most_wide, 60) ? FixedPointLanes::int64 : FixedPointLanes::scalar;
}

void run_fixed_point(const FixedPointBlock& block) {
  if (block.lanes == FixedPointLanes::scalar) return run_scalar(block);
  HWY_DYNAMIC_DISPATCH(fixed_point_block)(block);
}

}  // namespace tessera::kernels
#endif
