#include "tessera/random/stream.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "random/fill.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h
#include <hwy/highway.h>

#include <cstring>

// After highway.h
#include "random/vectors-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::random {
namespace HWY_NAMESPACE {
namespace {

// Lane l of a vector is Philox block 16 q + offset + l, so a vector of word w is a contiguous piece of the output.

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
