#include "tessera/random/columns.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "random/fill_columns.cpp"
#include <hwy/foreach_target.h>
// After foreach_target.h
#include <hwy/highway.h>

#include <cstring>

#include "tessera/core/error.hpp"

// After highway.h
#include "random/vectors-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tessera::random {
namespace HWY_NAMESPACE {
namespace {

/// Streams side by side: a lane each. The 16 Philox blocks of 64 elements come one by one.
class PhiloxLanes {
 public:
  HWY_ATTR PhiloxLanes(std::span<const Stream> streams, std::uint32_t event)
      : event_product_(std::uint64_t{philox::multiplier1} * event) {
    const DU64 d;
    for (std::size_t word = 0; word < 2; ++word)
      for (std::size_t odd = 0; odd < 2; ++odd) {
        std::uint64_t first[wide_lanes] = {};
        for (std::size_t i = odd; i < streams.size(); i += 2) first[i / 2] = streams[i].key[word];
        VU64 key = hn::LoadU(d, first);
        for (auto& round : keys_) {
          hn::StoreU(key, d, round[word][odd]);
          key = hn::Add(key, hn::Set(d, word == 0 ? philox::key_step0 : philox::key_step1));
        }
      }
  }

  /// Blocks `first`, `first` + 1, ...: independent chains hide the multiplier's latency.
  template <std::size_t blocks>
  HWY_ATTR HWY_INLINE void words(std::uint64_t first, Words (&out)[blocks]) const {
    const DU64 d;
    State state[blocks][2];
    for (std::size_t b = 0; b < blocks; ++b) {
      const std::uint64_t block = first + b, p0 = std::uint64_t{philox::multiplier0} * philox::low_half(block);
      for (int odd = 0; odd < 2; ++odd)
        state[b][odd] = {
            hn::Xor(hn::Set(d, philox::high_half(event_product_) ^ philox::high_half(block)), key(0, 0, odd)),
            hn::Set(d, philox::low_half(event_product_)), hn::Xor(hn::Set(d, philox::high_half(p0)), key(0, 1, odd)),
            hn::Set(d, philox::low_half(p0))};
    }
    for (int round = 1; round < philox::rounds; ++round)
      for (int odd = 0; odd < 2; ++odd) {
        const VU64 k0 = key(round, 0, odd), k1 = key(round, 1, odd);
        for (std::size_t b = 0; b < blocks; ++b) state[b][odd] = advance(state[b][odd], k0, k1);
      }
    for (std::size_t b = 0; b < blocks; ++b) {
      const State &even = state[b][0], &odd = state[b][1];
      out[b] = {weave(even.c0, odd.c0), weave(even.c1, odd.c1), weave(even.c2, odd.c2), weave(even.c3, odd.c3)};
    }
  }

 private:
  HWY_ATTR HWY_INLINE VU64 key(int round, int word, int odd) const {
    return hn::LoadU(DU64(), keys_[round][word][odd]);
  }

  static constexpr std::size_t wide_lanes = hn::MaxLanes(DU64());

  std::uint64_t keys_[philox::rounds][2][2][wide_lanes];  // of even and odd streams
  std::uint64_t event_product_;
};

/// Rows of `width` values, of which a vector writes `lanes`; those that no one asked for go nowhere.
template <class Value>
struct LaneRows {
  Value* out;
  std::size_t width, lanes;
  std::uint64_t first, end;  // elements

  template <class V>
  HWY_ATTR HWY_INLINE void store(V values, std::uint64_t element) const {
    if (element < first || element >= end) return;
    const hn::DFromV<V> d;
    alignas(64) Value lane[hn::MaxLanes(d)];
    hn::Store(values, d, lane);
    std::memcpy(out + (element - first) * width, lane, lanes * sizeof(Value));
  }
  /// Where all of it is wanted.
  template <class V>
  HWY_ATTR HWY_INLINE void store_whole(V values, std::uint64_t element) const {
    hn::StoreU(values, hn::DFromV<V>(), out + (element - first) * width);
  }
};

/// All elements of group q; kWhole: all of them, and of all lanes, are wanted.
template <class Kind, bool kWhole>
HWY_ATTR HWY_INLINE void fill_group(const PhiloxLanes& philox, std::uint64_t q,
                                    const LaneRows<typename Kind::Value>& rows) {
  constexpr std::size_t together = 2;
  for (std::uint64_t l = 0; l < blocks_per_group; l += together) {
    Words words[together];
    philox.words(q * blocks_per_group + l, words);
    for (std::size_t b = 0; b < together; ++b)
      for (int half = 0; half < 2; ++half) {
        const auto values =
            half == 0 ? Kind::vectors(words[b].w0, words[b].w1) : Kind::vectors(words[b].w2, words[b].w3);
        const std::uint64_t element = q * group_size + l + b + (half == 0 ? 0 : 2 * blocks_per_group);
        if constexpr (kWhole) {
          rows.store_whole(values.first, element);
          rows.store_whole(values.second, element + blocks_per_group);
        } else {
          rows.store(values.first, element);
          rows.store(values.second, element + blocks_per_group);
        }
      }
  }
}

template <class Kind>
HWY_ATTR void fill_lanes(const PhiloxLanes& philox, const LaneRows<typename Kind::Value>& rows) {
  for (std::uint64_t q = rows.first / group_size; q * group_size < rows.end; ++q) {
    const bool whole = q * group_size >= rows.first && (q + 1) * group_size <= rows.end;
    whole&& rows.lanes == hn::Lanes(DU32()) ? fill_group<Kind, true>(philox, q, rows)
                                            : fill_group<Kind, false>(philox, q, rows);
  }
}

template <class Kind>
HWY_ATTR void fill_side_by_side(std::span<const Stream> streams, std::uint32_t event, std::uint64_t first,
                                std::size_t rows, typename Kind::Value* out) {
  constexpr std::size_t most = hn::MaxLanes(DU32());
  for (std::size_t s = 0; s < streams.size(); s += most) {
    const std::size_t lanes = HWY_MIN(most, streams.size() - s);
    fill_lanes<Kind>(PhiloxLanes(streams.subspan(s, lanes), event),
                     {out + s, streams.size(), lanes, first, first + rows});
  }
}

HWY_ATTR void FillUniforms(std::span<const Stream> streams, std::uint32_t event, std::uint64_t first, float* out,
                           std::size_t rows) {
  fill_side_by_side<UniformKind>(streams, event, first, rows, out);
}
HWY_ATTR void FillNormals(std::span<const Stream> streams, std::uint32_t event, std::uint64_t first, float* out,
                          std::size_t rows) {
  fill_side_by_side<NormalKind>(streams, event, first, rows, out);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tessera::random
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::random {

HWY_EXPORT(FillUniforms);
HWY_EXPORT(FillNormals);

namespace {

void require_columns(std::span<const Stream> streams, MatrixView out) {
  require<InputError>(std::ssize(streams) == out.cols && out.stride == out.cols,
                      "draws of {} streams do not fit rows of {} values that lie {} apart", streams.size(), out.cols,
                      out.stride);
}

}  // namespace

void fill_uniform(std::span<const Stream> streams, std::uint32_t event, std::uint64_t first, MatrixView out) {
  require_columns(streams, out);
  HWY_DYNAMIC_DISPATCH(FillUniforms)(streams, event, first, out.data, static_cast<std::size_t>(out.rows));
}

void fill_normal(std::span<const Stream> streams, std::uint32_t event, std::uint64_t first, MatrixView out) {
  require_columns(streams, out);
  HWY_DYNAMIC_DISPATCH(FillNormals)(streams, event, first, out.data, static_cast<std::size_t>(out.rows));
}

}  // namespace tessera::random
#endif
