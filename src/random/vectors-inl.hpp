/// Private: Philox in vectors and what its words become, for each instruction set (Highway's pattern of headers that are
/// compiled once per target).
#if defined(TESSERA_RANDOM_VECTORS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_RANDOM_VECTORS_INL
#undef TESSERA_RANDOM_VECTORS_INL
#else
#define TESSERA_RANDOM_VECTORS_INL
#endif

#include <hwy/highway.h>

#include "random/box_muller.hpp"
#include "tessera/random/philox.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::random {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

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

struct FloatVectors {
  VF32 first, second;
};

HWY_ATTR HWY_INLINE FloatVectors normal_vectors(VU32 radius_word, VU32 angle_word) {
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
  static HWY_ATTR HWY_INLINE FloatVectors vectors(VU32 first, VU32 second) {
    return {uniform_vector(first), uniform_vector(second)};
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
    const FloatVectors z = half == Half::lower ? normal_vectors(w.w0, w.w1) : normal_vectors(w.w2, w.w3);
    hn::StoreU(z.first, d, out);
    hn::StoreU(z.second, d, out + blocks_per_group);
  }
  static HWY_ATTR HWY_INLINE FloatVectors vectors(VU32 first, VU32 second) { return normal_vectors(first, second); }
};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tessera::random
HWY_AFTER_NAMESPACE();

#endif
