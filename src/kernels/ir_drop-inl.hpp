/// Private: IR drop of a vector of columns, for each instruction set (Highway's pattern of headers that are compiled once
/// per target).
#if defined(TESSERA_KERNELS_IR_DROP_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TESSERA_KERNELS_IR_DROP_INL
#undef TESSERA_KERNELS_IR_DROP_INL
#else
#define TESSERA_KERNELS_IR_DROP_INL
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tessera::kernels::detail {
namespace HWY_NAMESPACE {
namespace {

/// What a column of n inputs gives after IR drop (reference::ir_drop): `sum` w x with its prefix sums `prefix` and
/// `second` (companion_rows() in product_simd.cpp), and `current`, the sum of |w x|. `inverse`: 1/n^2.
template <class D, class V>
HWY_INLINE V after_ir_drop(D d, V sum, V prefix, V second, V current, V inverse, float n_over_g, float scale) {
  namespace hn = hwy::HWY_NAMESPACE;
  const V far = hn::Mul(hn::Sub(hn::Add(second, second), prefix), inverse);  // sum w x (1 - j/n)^2
  const V a = hn::Mul(hn::Set(d, n_over_g), current);
  V drop = hn::Sub(hn::Mul(hn::Set(d, 0.05F), a), hn::Set(d, 0.2F));
  drop = hn::Add(hn::Mul(a, drop), hn::Set(d, 0.5F));
  drop = hn::Mul(hn::Set(d, scale), hn::Mul(a, drop));
  return hn::Sub(sum, hn::Mul(drop, hn::Sub(sum, far)));
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tessera::kernels::detail
HWY_AFTER_NAMESPACE();

#endif
