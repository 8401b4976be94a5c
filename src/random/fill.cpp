#include "tessera/random/stream.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "random/fill.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h
#include <hwy/highway.h>

#include <cstring>

#include "random/box_muller.hpp"
#include "tessera/random/philox.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::random {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Lane l of a vector is Philox block 16 q + offset + l, so a vector of word w is a contiguous piece of the output.
constexpr std::size_t group_size = 64;
constexpr std::size_t blocks_per_group = 16;
using DU32 = hn::CappedTag<std::uint32_t, blocks_per_group>;
using DU64 = hn::RepartitionToWide<DU32>;
using DI32 = hn::RebindToSigned<DU32>;
using DF32 = hn::RebindToFloat<DU32>;
using VU32 = hn::Vec<DU32>;
using VU64 = hn::Vec<DU64>;
using VF32 = hn::Vec<DF32>;

// Philox keeps every 32-bit word in the low half of a 64-bit lane, where the widening multiplication wants it; the high
// halves hold garbage. Two such states (even and odd blocks) are woven into one vector per word at the end.
struct State {
  VU64 c0, c1, c2, c3;
};

struct Words {
  VU32 w0, w1, w2, w3;
};

HWY_ATTR HWY_INLINE VU64 multiply(VU64 a, std::uint32_t multiplier) {
  const DU32 d;
  return hn::MulEven(hn::BitCast(d, a), hn::Set(d, multiplier));
}

HWY_ATTR HWY_INLINE VU32 weave(VU64 even, VU64 odd) {
  const DU32 d;
  return hn::OddEven(hn::BitCast(d, hn::ShiftLeft<32>(odd)), hn::BitCast(d, even));
}

HWY_ATTR HWY_INLINE State advance(const State& s, VU64 k0, VU64 k1) {
  const VU64 p0 = multiply(s.c0, philox::multiplier0);
  const VU64 p1 = multiply(s.c2, philox::multiplier1);
  return {hn::Xor3(hn::ShiftRight<32>(p1), s.c1, k0), p1, hn::Xor3(hn::ShiftRight<32>(p0), s.c3, k1), p0};
}

/// What all blocks of a group share after the second round, where the counters' equal words allow scalar arithmetic.
struct GroupStart {
  std::uint32_t first_block;
  std::uint32_t mask0, mask2, word3;
};

class Philox {
 public:
  HWY_ATTR Philox(const Stream& stream, std::uint32_t event)
      : event_product_(std::uint64_t{philox::multiplier1} * event) {
    std::uint32_t k0 = stream.key[0];
    std::uint32_t k1 = stream.key[1];
    for (auto& round_key : keys_) {
      round_key[0] = k0;
      round_key[1] = k1;
      k0 += philox::key_step0;
      k1 += philox::key_step1;
    }
  }

  HWY_ATTR HWY_INLINE GroupStart group(std::uint64_t q) const {
    const std::uint64_t block = q * blocks_per_group;
    const std::uint32_t c0 = philox::high_half(event_product_) ^ philox::high_half(block) ^ keys_[0][0];
    const std::uint64_t p0 = std::uint64_t{philox::multiplier0} * c0;
    return {philox::low_half(block), philox::low_half(event_product_) ^ keys_[1][0],
            philox::high_half(p0) ^ keys_[1][1], philox::low_half(p0)};
  }

  /// Blocks offset, offset + 1, ... of several groups at once: independent chains hide the multiplier's latency.
  template <std::size_t groups>
  HWY_ATTR HWY_INLINE void words(const GroupStart (&group)[groups], std::size_t offset, Words (&out)[groups]) const {
    const DU64 d;
    const VU64 lane = hn::Iota(d, 0);
    State even[groups], odd[groups];
    for (std::size_t g = 0; g < groups; ++g) {
      const VU64 even_block = hn::Add(hn::Set(d, group[g].first_block + offset), hn::Add(lane, lane));
      even[g] = two_rounds(group[g], even_block);
      odd[g] = two_rounds(group[g], hn::Add(even_block, hn::Set(d, 1)));
    }
    for (int round = 2; round < philox::rounds; ++round) {
      const VU64 k0 = hn::Set(d, keys_[round][0]);
      const VU64 k1 = hn::Set(d, keys_[round][1]);
      for (std::size_t g = 0; g < groups; ++g) {
        even[g] = advance(even[g], k0, k1);
        odd[g] = advance(odd[g], k0, k1);
      }
    }
    for (std::size_t g = 0; g < groups; ++g)
      out[g] = {weave(even[g].c0, odd[g].c0), weave(even[g].c1, odd[g].c1), weave(even[g].c2, odd[g].c2),
                weave(even[g].c3, odd[g].c3)};
  }

 private:
  HWY_ATTR HWY_INLINE State two_rounds(const GroupStart& group, VU64 block) const {
    const DU64 d;
    const VU64 p0 = multiply(block, philox::multiplier0);
    const VU64 c2 = hn::Xor(hn::ShiftRight<32>(p0), hn::Set(d, keys_[0][1]));
    const VU64 p1 = multiply(c2, philox::multiplier1);
    return {hn::Xor(hn::ShiftRight<32>(p1), hn::Set(d, group.mask0)), p1, hn::Xor(p0, hn::Set(d, group.mask2)),
            hn::Set(d, group.word3)};
  }

  std::uint32_t keys_[philox::rounds][2];
  std::uint64_t event_product_;
};

HWY_ATTR HWY_INLINE VF32 radius(VU32 word) {
  namespace p = minus_two_log;
  const DF32 d;
  const DI32 di;
  const VF32 x = hn::Add(hn::ConvertTo(d, word), hn::Set(d, 0.5F));
  const auto exponent_and_mantissa = hn::Sub(hn::BitCast(di, x), hn::Set(di, p::sqrt_half_bits + p::scale_bits));
  const VF32 octaves = hn::ConvertTo(d, hn::ShiftRight<23>(exponent_and_mantissa));
  const auto mantissa =
      hn::Add(hn::And(exponent_and_mantissa, hn::Set(di, p::mantissa_mask)), hn::Set(di, p::sqrt_half_bits));
  const VF32 y = hn::Sub(hn::BitCast(d, mantissa), hn::Set(d, 1.0F));
  VF32 q = hn::Set(d, p::q7);
  q = hn::Add(hn::Mul(q, y), hn::Set(d, p::q6));
  q = hn::Add(hn::Mul(q, y), hn::Set(d, p::q5));
  q = hn::Add(hn::Mul(q, y), hn::Set(d, p::q4));
  q = hn::Add(hn::Mul(q, y), hn::Set(d, p::q3));
  q = hn::Add(hn::Mul(q, y), hn::Set(d, p::q2));
  q = hn::Add(hn::Mul(q, y), hn::Set(d, p::q1));
  q = hn::Add(hn::Mul(q, y), hn::Set(d, p::q0));
  return hn::Sqrt(hn::Add(hn::Mul(octaves, hn::Set(d, p::per_octave)), hn::Mul(q, y)));
}

struct NormalVectors {
  VF32 first, second;
};

HWY_ATTR HWY_INLINE NormalVectors normal_vectors(VU32 radius_word, VU32 angle_word) {
  namespace p = octant;
  const DF32 d;
  const DI32 di;
  const DU32 du;
  const VF32 t = hn::Mul(hn::ConvertTo(d, hn::BitCast(di, hn::ShiftLeft<2>(angle_word))), hn::Set(d, p::word_to_t));
  const VU32 quadrant = hn::Add(angle_word, hn::Set(du, p::half_quadrant));
  const VF32 t2 = hn::Mul(t, t);
  VF32 s = hn::Set(d, p::s7);
  s = hn::Add(hn::Mul(s, t2), hn::Set(d, p::s5));
  s = hn::Add(hn::Mul(s, t2), hn::Set(d, p::s3));
  s = hn::Mul(hn::Add(hn::Mul(s, t2), hn::Set(d, p::s1)), t);
  VF32 c = hn::Set(d, p::c6);
  c = hn::Add(hn::Mul(c, t2), hn::Set(d, p::c4));
  c = hn::Add(hn::Mul(c, t2), hn::Set(d, p::c2));
  c = hn::Add(hn::Mul(c, t2), hn::Set(d, p::c0));
  const auto swap = hn::RebindMask(d, hn::TestBit(quadrant, hn::Set(du, p::odd_quadrant)));
  const VU32 sign = hn::Set(du, p::sign);
  const VU32 sin_sign = hn::And(quadrant, sign);
  const VU32 cos_sign = hn::And(hn::Xor(quadrant, hn::ShiftLeft<1>(quadrant)), sign);
  const VF32 cosine = hn::Xor(hn::IfThenElse(swap, s, c), hn::BitCast(d, cos_sign));
  const VF32 sine = hn::Xor(hn::IfThenElse(swap, c, s), hn::BitCast(d, sin_sign));
  const VF32 r = radius(radius_word);
  return {hn::Mul(r, cosine), hn::Mul(r, sine)};
}

// What one group of 64 elements becomes. A half is a pair of words: elements 0..31 or 32..63 of the group.
enum class Half { lower, upper };

struct BitsKind {
  using Value = std::uint32_t;
  static HWY_ATTR HWY_INLINE void store(Half half, const Words& w, std::uint32_t* out) {
    const DU32 d;
    hn::StoreU(half == Half::lower ? w.w0 : w.w2, d, out);
    hn::StoreU(half == Half::lower ? w.w1 : w.w3, d, out + blocks_per_group);
  }
};

struct UniformKind {
  using Value = float;
  static HWY_ATTR HWY_INLINE void store(Half half, const Words& w, float* out) {
    const DF32 d;
    hn::StoreU(uniform_vector(half == Half::lower ? w.w0 : w.w2), d, out);
    hn::StoreU(uniform_vector(half == Half::lower ? w.w1 : w.w3), d, out + blocks_per_group);
  }

 private:
  static HWY_ATTR HWY_INLINE VF32 uniform_vector(VU32 word) {
    const DF32 d;
    const DI32 di;
    const VF32 integer = hn::ConvertTo(d, hn::BitCast(di, hn::ShiftRight<9>(word)));
    return hn::Add(hn::Mul(integer, hn::Set(d, 0x1p-23F)), hn::Set(d, 0x1p-24F));
  }
};

struct NormalKind {
  using Value = float;
  static HWY_ATTR HWY_INLINE void store(Half half, const Words& w, float* out) {
    const DF32 d;
    const NormalVectors z = half == Half::lower ? normal_vectors(w.w0, w.w1) : normal_vectors(w.w2, w.w3);
    hn::StoreU(z.first, d, out);
    hn::StoreU(z.second, d, out + blocks_per_group);
  }
};

/// The whole groups q, q + 1, ... to out[0..64 * groups).
template <class Kind, std::size_t groups>
HWY_ATTR HWY_INLINE void fill_groups(const Philox& philox, std::uint64_t q, typename Kind::Value* HWY_RESTRICT out) {
  GroupStart group[groups];
  for (std::size_t g = 0; g < groups; ++g) group[g] = philox.group(q + g);
  for (std::size_t offset = 0; offset < blocks_per_group; offset += hn::Lanes(DU32())) {
    Words words[groups];
    philox.words(group, offset, words);
    for (std::size_t g = 0; g < groups; ++g) {
      Kind::store(Half::lower, words[g], out + group_size * g + offset);
      Kind::store(Half::upper, words[g], out + group_size * g + group_size / 2 + offset);
    }
  }
}

/// Elements begin..end-1 of the group q, 0 <= begin < end <= 64, to out[0..end-begin).
template <class Kind>
HWY_ATTR HWY_NOINLINE void fill_part(const Philox& philox, std::uint64_t q, std::size_t begin, std::size_t end,
                                     typename Kind::Value* HWY_RESTRICT out) {
  const bool lower = begin < group_size / 2;
  const bool upper = end > group_size / 2;
  const GroupStart group[1] = {philox.group(q)};
  alignas(64) typename Kind::Value values[group_size];
  for (std::size_t offset = 0; offset < blocks_per_group; offset += hn::Lanes(DU32())) {
    Words words[1];
    philox.words(group, offset, words);
    if (lower) Kind::store(Half::lower, words[0], values + offset);
    if (upper) Kind::store(Half::upper, words[0], values + group_size / 2 + offset);
  }
  std::memcpy(out, values + begin, (end - begin) * sizeof(*out));
}

template <class Kind>
HWY_ATTR void fill(const Stream& stream, std::uint32_t event, std::uint64_t first,
                   typename Kind::Value* HWY_RESTRICT out, std::size_t count) {
  if (count == 0) return;
  const Philox philox(stream, event);
  std::uint64_t q = first / group_size;
  const std::size_t begin = first % group_size;
  if (begin != 0) {
    const std::size_t end = HWY_MIN(group_size, begin + count);
    fill_part<Kind>(philox, q++, begin, end, out);
    out += end - begin;
    count -= end - begin;
  }
  for (; count >= 2 * group_size; count -= 2 * group_size, out += 2 * group_size, q += 2)
    fill_groups<Kind, 2>(philox, q, out);
  if (count >= group_size) {
    fill_groups<Kind, 1>(philox, q++, out);
    out += group_size;
    count -= group_size;
  }
  if (count != 0) fill_part<Kind>(philox, q, 0, count, out);
}

HWY_ATTR void FillBits(const Stream& stream, std::uint32_t event, std::uint64_t first, std::uint32_t* out,
                       std::size_t count) {
  fill<BitsKind>(stream, event, first, out, count);
}
HWY_ATTR void FillUniform(const Stream& stream, std::uint32_t event, std::uint64_t first, float* out,
                          std::size_t count) {
  fill<UniformKind>(stream, event, first, out, count);
}
HWY_ATTR void FillNormal(const Stream& stream, std::uint32_t event, std::uint64_t first, float* out,
                         std::size_t count) {
  fill<NormalKind>(stream, event, first, out, count);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tessera::random
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::random {

HWY_EXPORT(FillBits);
HWY_EXPORT(FillUniform);
HWY_EXPORT(FillNormal);

void fill_bits(const Stream& stream, std::uint32_t event, std::uint64_t first, std::span<std::uint32_t> out) {
  HWY_DYNAMIC_DISPATCH(FillBits)(stream, event, first, out.data(), out.size());
}

void fill_uniform(const Stream& stream, std::uint32_t event, std::uint64_t first, std::span<float> out) {
  HWY_DYNAMIC_DISPATCH(FillUniform)(stream, event, first, out.data(), out.size());
}

void fill_normal(const Stream& stream, std::uint32_t event, std::uint64_t first, std::span<float> out) {
  HWY_DYNAMIC_DISPATCH(FillNormal)(stream, event, first, out.data(), out.size());
}

}  // namespace tessera::random
#endif
