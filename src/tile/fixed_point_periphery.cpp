#include "tile/fixed_point_periphery.hpp"

#include <algorithm>
#include <cmath>

#include "tile/blocks.hpp"

namespace tessera::tile {
namespace {

using kernels::FixedPointCounts;
using kernels::FixedPointLanes;
using kernels::FixedPointWords;

// Streams of the ADC's rounding, in phases that no pass has.
constexpr std::uint32_t first_rounding_phase = 240;

bool is_stochastic(const FixedPointParameter& p) {
  return p.product.rounding == FixedPointRounding::stochastic || p.output.rounding == FixedPointRounding::stochastic;
}

void draw_words(const FixedPointPass& pass, std::vector<FixedPointWords>& words) {
  const auto n = static_cast<std::size_t>(pass.v.rows * pass.v.cols);
  words.assign(n, {});
  std::vector<std::uint32_t> bits(n);
  const random::Stream stream(pass.address, random::Purpose::adc_rounding);
  const std::uint64_t first = pass.first_vector * static_cast<std::uint64_t>(pass.v.cols);
  std::uint32_t FixedPointWords::*const stages[] = {&FixedPointWords::cut, &FixedPointWords::align,
                                                    &FixedPointWords::output};
  for (std::uint32_t stage = 0; stage < 3; ++stage) {
    random::fill_bits(stream, (pass.event << 16U) + first_rounding_phase + stage, first, bits);
    for (std::size_t i = 0; i < n; ++i) words[i].*stages[stage] = bits[i];
  }
}

double rounded(double x, FixedPointRounding rounding, std::uint32_t word) {
  switch (rounding) {
    case FixedPointRounding::nearest_even:
      return std::nearbyint(x);
    case FixedPointRounding::half_up:
      return std::floor(x + 0.5);
    case FixedPointRounding::half_away:
      return std::copysign(std::floor(std::fabs(x) + 0.5), x);
    case FixedPointRounding::truncate:
      return std::floor(x);
    case FixedPointRounding::toward_zero:
      return std::trunc(x);
    case FixedPointRounding::stochastic:
      return std::floor(x + std::ldexp(static_cast<double>(word), -32));
  }
  return x;
}

// x as a multiple of `unit`.
double rounded_to(double x, int fraction_bits, FixedPointRounding rounding, std::uint32_t word) {
  return std::ldexp(rounded(std::ldexp(x, fraction_bits), rounding, word), -fraction_bits);
}

double fitted(double code, int bits, bool is_signed, FixedPointOverflow overflow) {
  const kernels::CodeRange range = kernels::code_range(bits, is_signed);
  const auto low = static_cast<double>(range.low), high = static_cast<double>(range.high);
  if (code >= low && code <= high) return code;
  if (overflow == FixedPointOverflow::saturate) return code < low ? low : high;
  const double period = std::ldexp(1.0, bits);
  return code - period * std::floor((code - low) / period);
}

// The datapath with some stages in real numbers (or in binary16), output by output, in double precision.
class RealDatapath {
 public:
  explicit RealDatapath(const FixedPointPeriphery& p)
      : p_(p), q_(p.parameters), half_(q_.arithmetic == PeripheryArithmetic::binary16), sums_{p.datapath} {}

  double term(const FixedPointTile& tile, std::size_t i, double code, const FixedPointWords& word,
              FixedPointCounts& seen) const {
    const double m =
        q_.scale.exact ? tile.multiplier[i] : (half_ ? to_binary16(tile.multiplier[i]) : tile.scale.value[i]);
    double p = code * m;
    if (half_) return q_.product.exact ? p : to_binary16(p);
    if (q_.product.exact) return p;
    const int shift = tile.scale.shift[i] + p_.datapath.fraction_bits;  // fraction bits behind the cut
    if (q_.product.cut > 0) p = rounded_to(p, shift, q_.product.rounding, word.cut);
    if (!q_.accumulator.exact) p = rounded_to(p, p_.datapath.fraction_bits, q_.product.rounding, word.align);
    static_cast<void>(seen);
    return p;
  }

  double add(double s, double term, FixedPointCounts& seen) const {
    double sum = s + term;
    if (q_.accumulator.exact) return sum;
    if (half_) return to_binary16(sum);
    const double code = std::ldexp(sum, p_.datapath.fraction_bits);
    const double kept = fitted(code, sums_.accumulator_bits, true, sums_.accumulator_overflow);
    if (kept != code) ++seen.sums_overflowed;
    return std::ldexp(kept, -p_.datapath.fraction_bits);
  }

  double bias(const std::vector<double>& real, const StoredBias& stored, std::size_t i) const {
    if (q_.bias.exact) return real[i];
    return half_ ? to_binary16(real[i]) : stored.value[i];
  }

  double output(double s, std::uint32_t word, FixedPointCounts& seen) const {
    const double r = p_.datapath.relu ? std::max(s, 0.0) : s;
    if (q_.output.exact || q_.output.bits == 0) return r;
    const double code = rounded(r, q_.output.rounding, word);
    const double kept = fitted(code, q_.output.bits, p_.datapath.output_signed, q_.output.overflow);
    if (kept != code) ++seen.outputs_overflowed;
    return kept;
  }

 private:
  const FixedPointPeriphery& p_;
  const FixedPointParameter& q_;
  bool half_;
  kernels::FixedPointDatapath sums_;
};

void run_in_reals(const FixedPointPeriphery& p, const FixedPointPass& pass, ProductScratch& scratch,
                  std::span<const FixedPointWords> words) {
  const FixedPointTile& tile = p.tiles[static_cast<std::size_t>(pass.tile)];
  const FixedPointOutputs& outputs = p.outputs[static_cast<std::size_t>(pass.part)];
  const RealDatapath path(p);
  const auto per_unit = static_cast<float>(1.0 / tile.adc.step);
  const bool last = pass.k + 1 == pass.count, at_tile = p.parameters.bias.at == BiasPlace::tile;
  const auto size = static_cast<std::size_t>(pass.v.rows * pass.v.cols);
  if (scratch.real_sums.size() < size) scratch.real_sums.resize(size);
  const auto largest = static_cast<double>(tile.adc.largest_code);
  FixedPointCounts seen;
  std::size_t n = 0;
  for (std::int64_t r = 0; r < pass.v.rows; ++r)
    for (std::int64_t c = 0; c < pass.v.cols; ++c, ++n) {
      const auto i = static_cast<std::size_t>(c);
      const FixedPointWords word = words.empty() ? FixedPointWords() : words[n];
      const double code = std::clamp(static_cast<double>(std::rint(pass.v(r, c) * per_unit)), -largest, largest);
      double& s = scratch.real_sums[n];
      s = path.add(pass.k == 0 ? 0.0 : s, path.term(tile, i, code, word, seen), seen);
      if (!outputs.bias_values.empty() && at_tile)
        s = path.add(s,
                     p.parameters.bias.exact || p.parameters.arithmetic == PeripheryArithmetic::binary16
                         ? path.bias(outputs.bias_values, outputs.bias, i) / static_cast<double>(pass.count)
                         : tile.bias.value[i],
                     seen);
      if (!last) continue;
      if (!outputs.bias_values.empty() && !at_tile)
        s = path.add(s, path.bias(outputs.bias_values, outputs.bias, i), seen);
      pass.y(r, c) = static_cast<float>(path.output(s, word.output, seen) * static_cast<double>(p.step));
    }
  if (pass.counts != nullptr) *pass.counts += seen;
}

}  // namespace

double to_binary16(double x) {
  constexpr double largest = 65504.0;
  constexpr int significand = 10, least_exponent = -14;
  if (x == 0.0 || !std::isfinite(x)) return std::clamp(x, -largest, largest);
  const int exponent = std::max(std::ilogb(x), least_exponent);
  return std::clamp(std::ldexp(std::nearbyint(std::ldexp(x, significand - exponent)), exponent - significand), -largest,
                    largest);
}

bool computes_in_reals(const FixedPointParameter& p) {
  return p.arithmetic == PeripheryArithmetic::binary16 || p.scale.exact || p.bias.exact || p.product.exact ||
         p.accumulator.exact || p.output.exact;
}

void run_pass(const FixedPointPeriphery& p, const FixedPointPass& pass, ProductScratch& scratch) {
  if (is_stochastic(p.parameters))
    draw_words(pass, scratch.words);
  else
    scratch.words.clear();
  if (p.in_reals) return run_in_reals(p, pass, scratch, scratch.words);
  const FixedPointTile& tile = p.tiles[static_cast<std::size_t>(pass.tile)];
  const FixedPointOutputs& outputs = p.outputs[static_cast<std::size_t>(pass.part)];
  kernels::FixedPointBlock block;
  block.datapath = &p.datapath;
  block.columns = &tile.columns;
  const auto parts = static_cast<std::int64_t>(p.outputs.size());
  block.lanes = FixedPointLanes::int32;
  for (std::int64_t k = 0; k < pass.count; ++k)  // all tiles of an output leave the same state
    block.lanes = std::max(block.lanes, p.tiles[static_cast<std::size_t>(k * parts + pass.part)].lanes);
  block.v = pass.v;
  block.codes_per_unit = static_cast<float>(1.0 / tile.adc.step);
  block.largest_code = static_cast<std::int32_t>(tile.adc.largest_code);
  block.first = pass.k == 0;
  block.last = pass.k + 1 == pass.count;
  block.bias = outputs.packed.wide.empty() ? nullptr : &outputs.packed;
  block.y = pass.y;
  block.output_step = p.step;
  if (pass.count > 1) {
    const auto size = static_cast<std::size_t>(pass.v.rows * kernels::padded_columns(pass.v.cols));
    if (block.lanes == FixedPointLanes::int32) {
      if (scratch.narrow_sums.size() < size) scratch.narrow_sums.resize(size);
      block.narrow_sums = scratch.narrow_sums.data();
    } else if (block.lanes == FixedPointLanes::real64) {
      if (scratch.real_sums.size() < size) scratch.real_sums.resize(size);
      block.real_sums = scratch.real_sums.data();
    } else {
      if (scratch.wide_sums.size() < size) scratch.wide_sums.resize(size);
      block.wide_sums = scratch.wide_sums.data();
    }
  }
  block.words = scratch.words;
  block.counts = pass.counts;
  kernels::run_fixed_point(block);
}

}  // namespace tessera::tile
