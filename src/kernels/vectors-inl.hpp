/// Private: rows of any length in vectors, for each instruction set (Highway's pattern of headers that are compiled once
/// per target).
#if defined(TESSERA_KERNELS_VECTORS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_KERNELS_VECTORS_INL
#undef TESSERA_KERNELS_VECTORS_INL
#else
#define TESSERA_KERNELS_VECTORS_INL
#endif

#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;
using M = hn::Mask<D>;
constexpr std::int64_t lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));

// A whole vector, or the first `left` lanes of one at the end of a row: loop bodies are compiled for both.
struct Whole {
  static HWY_INLINE V load(const float* p) { return hn::LoadU(D(), p); }
  static HWY_INLINE void store(V v, float* p) { hn::StoreU(v, D(), p); }
};
#if HWY_TARGET <= HWY_AVX2
struct Part {
  M mask;
  HWY_INLINE explicit Part(std::int64_t left) : mask(hn::FirstN(D(), static_cast<std::size_t>(left))) {}
  HWY_INLINE V load(const float* p) const { return hn::MaskedLoad(mask, D(), p); }
  HWY_INLINE void store(V v, float* p) const { hn::BlendedStore(v, mask, D(), p); }
};
#else  // masked loads and stores of these touch whole vectors, and what lies behind a row belongs to others
struct Part {
  std::int64_t left;
  HWY_INLINE explicit Part(std::int64_t n) : left(n) {}
  HWY_INLINE V load(const float* p) const {
    HWY_ALIGN float lane[lanes] = {};
    for (std::int64_t i = 0; i < left; ++i) lane[i] = p[i];
    return hn::Load(D(), lane);
  }
  HWY_INLINE void store(V v, float* p) const {
    HWY_ALIGN float lane[lanes];
    hn::Store(v, D(), lane);
    for (std::int64_t i = 0; i < left; ++i) p[i] = lane[i];
  }
};
#endif

// Lambdas do not inherit the target of the enclosing function everywhere, and a call per vector would cost more than
// the vector.
#define TESSERA_LOOP_BODY HWY_ATTR __attribute__((always_inline))

template <class Body>
HWY_INLINE void for_vectors(std::int64_t n, const Body& body) {
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) body(Whole(), i);
  if (i < n) body(Part(n - i), i);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tessera::kernels
HWY_AFTER_NAMESPACE();

#endif
