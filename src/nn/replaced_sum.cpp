#include "replaced_sum.hpp"

#include "broadcast.hpp"
#include "tessera/core/error.hpp"

namespace tessera::nn {

namespace {

/// A run of `count` elements of an operand that walks by `stride` (0: one element, repeated).
std::span<const float> run_of(const float* values, std::int64_t stride, std::int64_t count, std::vector<float>& copy) {
  const auto size = static_cast<std::size_t>(count);
  if (stride == 1) return {values, size};
  copy.resize(size);
  for (std::int64_t i = 0; i < count; ++i) copy[static_cast<std::size_t>(i)] = values[i * stride];
  return copy;
}

}  // namespace

void add_with(const SumOperator& sum, const ComputeContext& context) {
  require<InputError>(context.node.op == "Add" && context.out[0].is_float(),
                      "{}: only an Add of float32 tensors can be replaced", context.where());
  const Array &a = context.in[0], &b = context.in[1], &out = context.out[0];
  const auto plan = plan_broadcast<2>(out, {&a, &b});
  for_each_run(plan, context.parallel, [&](std::int64_t o, const std::array<std::int64_t, 2>& at, std::int64_t count) {
    std::vector<float> first, second;
    sum.add(run_of(elements<float>(a) + at[0], plan.strides[0].back(), count, first),
            run_of(elements<float>(b) + at[1], plan.strides[1].back(), count, second),
            {elements<float>(out) + o, static_cast<std::size_t>(count)});
  });
}

}  // namespace tessera::nn
