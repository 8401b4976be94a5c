#include "tessera/kernels/code_sums.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/code_sums.cpp"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "hwy/highway.h"
#include "kernels/vectors-inl.hpp"
#include "tessera/core/error.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels {
namespace HWY_NAMESPACE {
namespace {

using Words = hn::RebindToUnsigned<D>;
using Integers = hn::RebindToSigned<D>;

// Any codes and counts of columns; sums that fit 32 bits.
struct CodeAdder {
  V scale, top;
  hn::Vec<Words> codes, ones;

  CodeAdder(float per_step, float largest)
      : scale(hn::Set(D(), per_step)), top(hn::Set(D(), largest)), codes(hn::Zero(Words())), ones(hn::Zero(Words())) {}
  HWY_INLINE hn::Vec<Words> code_of(V z) const {
    return hn::BitCast(Words(), hn::NearestInt(hn::Min(hn::Mul(hn::Abs(z), scale), top)));
  }
  HWY_INLINE void add(V z) {
    const hn::Vec<Words> code = code_of(z);
    codes = hn::Add(codes, code);
    ones = hn::Add(ones, hn::PopulationCount(code));
  }
  HWY_INLINE void add(V z, V times) {
    const hn::Vec<Words> code = code_of(z), count = hn::BitCast(Words(), hn::ConvertTo(Integers(), times));
    codes = hn::Add(codes, hn::Mul(code, count));
    ones = hn::Add(ones, hn::Mul(hn::PopulationCount(code), count));
  }
};

template <class Tag, class Sums>
HWY_INLINE CodeSums total(Tag d, const Sums& sums) {
  return {static_cast<std::int64_t>(hn::GetLane(hn::SumOfLanes(d, sums.codes))),
          static_cast<std::int64_t>(hn::GetLane(hn::SumOfLanes(d, sums.ones)))};
}

// Sums that fit 32 bits. What lies behind a row counts as 0.
CodeSums code_sums_part(ConstMatrixView z, float per_step, float largest, const float* times) {
  CodeAdder adder(per_step, largest);
  for (std::int64_t r = 0; r < z.rows; ++r) {
    const float* row = z.row(r);
    if (times == nullptr)
      for_vectors(z.cols, [&](const auto& at, std::int64_t i) TESSERA_LOOP_BODY { adder.add(at.load(row + i)); });
    else
      for_vectors(z.cols, [&](const auto& at, std::int64_t i)
                              TESSERA_LOOP_BODY { adder.add(at.load(row + i), at.load(times + i)); });
  }
  return total(Words(), adder);
}

// Codes of a byte. Added to 2^23, a magnitude is rounded to its code, which is then the lowest byte; what is above it
// leaves with the shifts, and once as `above`.
struct ByteCoder {
  static constexpr std::uint32_t above = 0x4B000000U;
  V scale, top;

  ByteCoder(float per_step, float largest) : scale(hn::Set(D(), per_step)), top(hn::Set(D(), largest)) {}
  HWY_INLINE hn::Vec<Words> word_of(V z) const {
    const V magnitude = hn::Min(hn::Mul(hn::Abs(z), scale), top);
    return hn::BitCast(Words(), hn::Add(magnitude, hn::Set(D(), 8388608.0F)));
  }
};

HWY_INLINE hn::Vec<Words> joined(hn::Vec<Words> a, hn::Vec<Words> b, hn::Vec<Words> c, hn::Vec<Words> d) {
  return hn::Add(hn::Add(a, hn::ShiftLeft<8>(b)), hn::Add(hn::ShiftLeft<16>(c), hn::ShiftLeft<24>(d)));
}

// Rows are added up first, four at a time, whose ones are counted as those of one word.
struct ColumnAdder {
  ByteCoder coder;
  ConstMatrixView z;
  const float* times;
  hn::Vec<Words> codes = hn::Zero(Words()), ones = hn::Zero(Words());

  template <class At>
  HWY_INLINE void add(const At& at, std::int64_t i) {
    const auto above = hn::Set(Words(), ByteCoder::above);
    const auto word_of = [&](std::int64_t r) TESSERA_LOOP_BODY { return coder.word_of(at.load(z.row(r) + i)); };
    auto sum = hn::Zero(Words()), bits = hn::Zero(Words());
    std::int64_t r = 0;
    for (; r + 4 <= z.rows; r += 4) {
      const auto a = word_of(r), b = word_of(r + 1), c = word_of(r + 2), d = word_of(r + 3);
      sum = hn::Add(sum, hn::Add(hn::Add(a, b), hn::Add(c, d)));
      bits = hn::Add(bits, hn::PopulationCount(hn::Sub(joined(a, b, c, d), above)));
    }
    for (; r < z.rows; ++r) {
      const auto a = word_of(r);
      sum = hn::Add(sum, a);
      bits = hn::Add(bits, hn::PopulationCount(hn::Sub(a, above)));
    }
    sum = hn::Sub(sum, hn::Set(Words(), static_cast<std::uint32_t>(z.rows) * ByteCoder::above));
    const auto count = hn::BitCast(Words(), hn::ConvertTo(Integers(), at.load(times + i)));
    codes = hn::Add(codes, hn::Mul(sum, count));
    ones = hn::Add(ones, hn::Mul(bits, count));
  }
};

// Sums that fit 32 bits. What lies behind a row counts as 0.
CodeSums byte_code_sums_part(ConstMatrixView z, float per_step, float largest, const float* times) {
  ColumnAdder adder{ByteCoder(per_step, largest), z, times};
  for_vectors(z.cols, [&](const auto& at, std::int64_t i) TESSERA_LOOP_BODY { adder.add(at, i); });
  return total(Words(), adder);
}

#if HWY_TARGET == HWY_SCALAR  // has no vectors of bytes
CodeSums byte_code_sums(ConstMatrixView z, float per_step, float largest) {
  constexpr std::int64_t piece = 1 << 20;  // whose sums fit 32 bits
  CodeSums sums;
  for (std::int64_t r = 0; r < z.rows; ++r)
    for (std::int64_t c = 0; c < z.cols; c += piece)
      sums += code_sums_part({z.row(r) + c, 1, std::min(piece, z.cols - c)}, per_step, largest, nullptr);
  return sums;
}
#else
using Bytes = hn::Repartition<std::uint8_t, D>;
using Longs = hn::Repartition<std::uint64_t, D>;

// Four vectors at a time.
struct ByteAdder {
  ByteCoder coder;
  hn::Vec<Longs> codes = hn::Zero(Longs()), ones = hn::Zero(Longs());

  HWY_INLINE void add(hn::Vec<Words> words) {
    const auto bytes = hn::BitCast(Bytes(), hn::Sub(words, hn::Set(Words(), ByteCoder::above)));
    codes = hn::Add(codes, hn::SumsOf8(bytes));
    ones = hn::Add(ones, hn::SumsOf8(hn::PopulationCount(bytes)));
  }
  HWY_INLINE void add(const float* z, std::int64_t n) {
    std::int64_t i = 0;
    for (; i + 4 * lanes <= n; i += 4 * lanes)
      add(joined(coder.word_of(Whole::load(z + i)), coder.word_of(Whole::load(z + i + lanes)),
                 coder.word_of(Whole::load(z + i + 2 * lanes)), coder.word_of(Whole::load(z + i + 3 * lanes))));
    for (; i + lanes <= n; i += lanes) add(coder.word_of(Whole::load(z + i)));
    if (i < n) add(coder.word_of(Part(n - i).load(z + i)));
  }
};

CodeSums byte_code_sums(ConstMatrixView z, float per_step, float largest) {
  ByteAdder adder{ByteCoder(per_step, largest)};
  for (std::int64_t r = 0; r < z.rows; ++r) adder.add(z.row(r), z.cols);
  return total(Longs(), adder);
}
#endif

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tessera::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {

HWY_EXPORT(byte_code_sums);
HWY_EXPORT(byte_code_sums_part);
HWY_EXPORT(code_sums_part);

CodeSums& CodeSums::operator+=(const CodeSums& other) {
  codes += other.codes;
  ones += other.ones;
  return *this;
}

namespace {

constexpr double most_word = 4294967295.0;

// One by one, for sums of few values that do not fit 32 bits.
CodeSums wide_code_sums(ConstMatrixView z, float per_step, float largest, const ColumnCounts& columns) {
  CodeSums sums;
  for (std::int64_t r = 0; r < z.rows; ++r)
    for (std::int64_t c = 0; c < z.cols; ++c) {
      const auto code =
          static_cast<std::uint32_t>(std::nearbyint(std::min(std::fabs(z.row(r)[c]) * per_step, largest)));
      const auto times = static_cast<std::int64_t>(columns.times[static_cast<std::size_t>(c)]);
      sums += {times * code, times * std::popcount(code)};
    }
  return sums;
}

}  // namespace

CodeSums code_sums(ConstMatrixView z, const Converter& dac, const ColumnCounts& columns) {
  TESSERA_EXPECT(columns.times.empty() || std::ssize(columns.times) == z.cols);
  CodeSums sums;
  if (dac.step <= 0.0F || !std::isfinite(dac.bound) || z.rows * z.cols == 0) return sums;
  const float per_step = 1.0F / dac.step;
  const float largest = std::rint(dac.bound * per_step);
  if (!(largest >= 1.0F) || largest > 16777215.0F) return sums;
  const bool once = columns.times.empty();
  const double most_codes = static_cast<double>(largest) * (once ? 1.0 : static_cast<double>(columns.most));
  if (most_codes > most_word) return wide_code_sums(z, per_step, largest, columns);
  if (once && z.stride == z.cols) z = {z.data, 1, z.rows * z.cols};
  const bool bytes = largest <= 255.0F;
  if (once && bytes) return HWY_DYNAMIC_DISPATCH(byte_code_sums)(z, per_step, largest);
  const auto values = static_cast<std::int64_t>(most_word / std::max(1.0, most_codes));  // whose sums fit
  const std::int64_t cols = std::min(values, z.cols), rows = std::max<std::int64_t>(1, values / z.cols);
  for (std::int64_t r = 0; r < z.rows; r += rows)
    for (std::int64_t c = 0; c < z.cols; c += cols) {
      const ConstMatrixView part = z.rows_from(r, std::min(rows, z.rows - r)).cols_from(c, std::min(cols, z.cols - c));
      const float* times = once ? nullptr : columns.times.data() + c;
      sums += bytes ? HWY_DYNAMIC_DISPATCH(byte_code_sums_part)(part, per_step, largest, times)
                    : HWY_DYNAMIC_DISPATCH(code_sums_part)(part, per_step, largest, times);
    }
  return sums;
}

}  // namespace tessera::kernels
#endif
