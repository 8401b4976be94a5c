#include "kernels/fixed_point_lanes.hpp"

#include <algorithm>
#include <cmath>

#include "tessera/core/error.hpp"

/// Which lanes hold what a datapath makes, and its numbers in them.
namespace tessera::kernels {

namespace {

constexpr std::int64_t most_narrow = std::int64_t{1} << 30;
constexpr std::int64_t most_real = std::int64_t{1} << 50;
constexpr std::int64_t most_wide = std::int64_t{1} << 61;
constexpr int most_left = 60, most_right = 100;  // beyond, nothing changes

std::int64_t magnitude(std::int64_t x) {
  return x < 0 ? -x : x;
}

template <class I>
void put_rounding(FixedPointColumns& packed, AlignedVector<I> FixedPointColumns::Column::*lanes, std::size_t i,
                  FixedPointRounding rounding) {
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
  column.real.assign(n, 0.0);
  return column;
}

void put(FixedPointColumns::Column& column, std::size_t i, std::int64_t value) {
  column.wide[i] = value;
  column.real[i] = static_cast<double>(value);
  column.narrow[i] = magnitude(value) < most_narrow ? static_cast<std::int32_t>(value) : 0;  // other lanes then
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
  for (auto* column : {&packed.multiplier, &packed.right, &packed.left, &packed.base, &packed.negative, &packed.even,
                       &packed.bias, &packed.factor})
    *column = zeros(packed.columns);
  for (std::size_t i = 0; i < shift.size(); ++i) {
    put(packed.multiplier, i, multiplier[i]);
    put(packed.right, i, std::clamp(shift[i], 0, most_right));
    put(packed.left, i, std::clamp(-shift[i], 0, most_left));
    packed.factor.real[i] = std::ldexp(1.0, static_cast<int>(packed.left.wide[i] - packed.right.wide[i]));
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
  const bool saturates = path.accumulator_overflow == FixedPointOverflow::saturate &&
                         (path.output_bits == 0 || path.output_overflow == FixedPointOverflow::saturate);
  if (saturates && fits(most_real, 50)) return FixedPointLanes::real64;
  return fits(most_wide, 60) ? FixedPointLanes::int64 : FixedPointLanes::scalar;
}

void fixed_point_scalar(const FixedPointBlock& b) {
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

}  // namespace tessera::kernels
