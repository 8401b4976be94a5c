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

class PhiloxGroup {
 public:
  HWY_ATTR PhiloxGroup(const Stream& stream, std::uint32_t event) {
    std::uint32_t k0 = stream.key[0];
    std::uint32_t k1 = stream.key[1];
    for (int round = 0; round < philox::rounds; ++round) {
      keys_[round][0] = k0;
      keys_[round][1] = k1;
      k0 += philox::key_step0;
      k1 += philox::key_step1;
    }
    event_product_ = std::uint64_t{philox::multiplier1} * event;
  }

  /// Fixes the group q. In the first two rounds half of the state is equal for all its blocks and stays scalar.
  HWY_ATTR void set_group(std::uint64_t q) {
    first_block_ = static_cast<std::uint32_t>(q * blocks_per_group);
    const auto block_high = static_cast<std::uint32_t>((q * blocks_per_group) >> 32);
    const std::uint32_t a0 = philox::high_half(event_product_) ^ block_high ^ keys_[0][0];
    const std::uint64_t p0 = std::uint64_t{philox::multiplier0} * a0;
    b0_mask_ = philox::low_half(event_product_) ^ keys_[1][0];
    b2_mask_ = philox::high_half(p0) ^ keys_[1][1];
    b3_ = philox::low_half(p0);
  }

  HWY_ATTR HWY_INLINE Words words(std::size_t offset) const {
    const DU64 d;
    const DU32 d32;
    const VU64 lane = hn::Iota(d, 0);
    const VU64 even_block = hn::Add(hn::Set(d, first_block_ + offset), hn::Add(lane, lane));
    State even = start(even_block);
    State odd = start(hn::Add(even_block, hn::Set(d, 1)));
    for (int round = 2; round < philox::rounds; ++round) {
      const VU64 k0 = hn::Set(d, keys_[round][0]);
      const VU64 k1 = hn::Set(d, keys_[round][1]);
      even = advance(even, k0, k1);
      odd = advance(odd, k0, k1);
    }
    return {weave(d32, even.c0, odd.c0), weave(d32, even.c1, odd.c1), weave(d32, even.c2, odd.c2),
            weave(d32, even.c3, odd.c3)};
  }

 private:
  static HWY_ATTR HWY_INLINE VU64 multiply(VU64 a, std::uint32_t multiplier) {
    const DU32 d;
    return hn::MulEven(hn::BitCast(d, a), hn::Set(d, multiplier));
  }
  static HWY_ATTR HWY_INLINE VU32 weave(DU32 d, VU64 even, VU64 odd) {
    return hn::OddEven(hn::BitCast(d, hn::ShiftLeft<32>(odd)), hn::BitCast(d, even));
  }
  HWY_ATTR HWY_INLINE State start(VU64 block) const {
    const DU64 d;
    const VU64 p0 = multiply(block, philox::multiplier0);
    const VU64 a2 = hn::Xor(hn::ShiftRight<32>(p0), hn::Set(d, keys_[0][1]));
    const VU64 p1 = multiply(a2, philox::multiplier1);
    return {hn::Xor(hn::ShiftRight<32>(p1), hn::Set(d, b0_mask_)), p1, hn::Xor(p0, hn::Set(d, b2_mask_)),
            hn::Set(d, b3_)};
  }
  static HWY_ATTR HWY_INLINE State advance(const State& s, VU64 k0, VU64 k1) {
    const VU64 p0 = multiply(s.c0, philox::multiplier0);
    const VU64 p1 = multiply(s.c2, philox::multiplier1);
    return {hn::Xor3(hn::ShiftRight<32>(p1), s.c1, k0), p1, hn::Xor3(hn::ShiftRight<32>(p0), s.c3, k1), p0};
  }

  std::uint32_t keys_[philox::rounds][2];
  std::uint64_t event_product_;
  std::uint32_t first_block_ = 0;
  std::uint32_t b0_mask_ = 0;
  std::uint32_t b2_mask_ = 0;
  std::uint32_t b3_ = 0;
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

/// Elements begin..end-1 of a group, 0 <= begin < end <= 64, to out[0..end-begin).
template <class Kind>
HWY_ATTR HWY_NOINLINE void fill_part(const PhiloxGroup& philox, std::size_t begin, std::size_t end,
                                     typename Kind::Value* HWY_RESTRICT out) {
  const std::size_t lanes = hn::Lanes(DU32());
  const bool lower = begin < group_size / 2;
  const bool upper = end > group_size / 2;
  alignas(64) typename Kind::Value group[group_size];
  for (std::size_t offset = 0; offset < blocks_per_group; offset += lanes) {
    const Words words = philox.words(offset);
    if (lower) Kind::store(Half::lower, words, group + offset);
    if (upper) Kind::store(Half::upper, words, group + group_size / 2 + offset);
  }
  std::memcpy(out, group + begin, (end - begin) * sizeof(*out));
}

template <class Kind>
HWY_ATTR void fill(const Stream& stream, std::uint32_t event, std::uint64_t first,
                   typename Kind::Value* HWY_RESTRICT out, std::size_t count) {
  if (count == 0) return;
  const std::size_t lanes = hn::Lanes(DU32());
  PhiloxGroup philox(stream, event);
  std::uint64_t q = first / group_size;
  const std::size_t begin = first % group_size;
  if (begin != 0) {
    const std::size_t end = HWY_MIN(group_size, begin + count);
    philox.set_group(q++);
    fill_part<Kind>(philox, begin, end, out);
    out += end - begin;
    count -= end - begin;
  }
  for (; count >= group_size; count -= group_size, out += group_size) {
    philox.set_group(q++);
    for (std::size_t offset = 0; offset < blocks_per_group; offset += lanes) {
      const Words words = philox.words(offset);
      Kind::store(Half::lower, words, out + offset);
      Kind::store(Half::upper, words, out + group_size / 2 + offset);
    }
  }
  if (count != 0) {
    philox.set_group(q);
    fill_part<Kind>(philox, 0, count, out);
  }
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
