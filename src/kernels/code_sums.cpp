#include "tessera/kernels/code_sums.hpp"

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

struct CodeAdder {
  V scale, top, half;
  hn::Vec<Words> codes, ones;

  HWY_INLINE void add(V z) {
    const V magnitude = hn::Add(hn::Min(hn::Mul(hn::Abs(z), scale), top), half);
    const hn::Vec<Words> code = hn::BitCast(Words(), hn::ConvertTo(hn::RebindToSigned<D>(), magnitude));
    codes = hn::Add(codes, code);
    ones = hn::Add(ones, hn::PopulationCount(code));
  }
};

CodeSums code_sums_row(const float* z, std::int64_t n, float per_step, float largest) {
  CodeAdder adder{hn::Set(D(), per_step), hn::Set(D(), largest), hn::Set(D(), 0.5F), hn::Zero(Words()),
                  hn::Zero(Words())};
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) adder.add(Whole::load(z + i));
  if (i < n) adder.add(Part(n - i).load(z + i));  // what lies behind counts as 0
  return {hn::GetLane(hn::SumOfLanes(Words(), adder.codes)), hn::GetLane(hn::SumOfLanes(Words(), adder.ones))};
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tessera::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tessera::kernels {

HWY_EXPORT(code_sums_row);

std::int64_t most_codes(float largest) {
  return static_cast<std::int64_t>(4294967295.0 / (static_cast<double>(largest) + 1.0));
}

CodeSums code_sums(std::span<const float> z, float per_step, float largest) {
  TESSERA_EXPECT(std::ssize(z) <= most_codes(largest));
  return HWY_DYNAMIC_DISPATCH(code_sums_row)(z.data(), std::ssize(z), per_step, largest);
}

}  // namespace tessera::kernels
#endif
