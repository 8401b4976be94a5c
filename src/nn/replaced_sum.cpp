#include "replaced_sum.hpp"

#include <algorithm>

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

struct Piece {
  std::int64_t size = 0;
  bool counts = true;
};

/// How many of the elements from `at` on, `most` at most, belong to samples that count, or do not.
Piece piece_of_samples(const SampleBlocks& blocks, std::int64_t counting, std::int64_t at, std::int64_t most) {
  if (counting >= blocks.samples) return {most, true};
  const std::int64_t row = blocks.samples * blocks.inner, counted = counting * blocks.inner, place = at % row;
  const bool counts = place < counted;
  return {std::min(most, (counts ? counted : row) - place), counts};
}

}  // namespace

void add_with(const SumOperator& sum, const ComputeContext& context, const SampleBlocks& blocks,
              std::int64_t counting) {
  require<InputError>(context.node.op == "Add" && context.out[0].is_float(),
                      "{}: only an Add of float32 tensors can be replaced", context.where());
  const Array &a = context.in[0], &b = context.in[1], &out = context.out[0];
  const auto plan = plan_broadcast<2>(out, {&a, &b});
  for_each_run(plan, context.parallel, [&](std::int64_t o, const std::array<std::int64_t, 2>& at, std::int64_t count) {
    std::vector<float> first, second;
    const std::span<const float> x = run_of(elements<float>(a) + at[0], plan.strides[0].back(), count, first),
                                 z = run_of(elements<float>(b) + at[1], plan.strides[1].back(), count, second);
    const std::span<float> y(elements<float>(out) + o, static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count;) {
      const auto [size, counts] = piece_of_samples(blocks, counting, o + i, count - i);
      const auto from = static_cast<std::size_t>(i), length = static_cast<std::size_t>(size);
      if (counts)
        sum.add(x.subspan(from, length), z.subspan(from, length), y.subspan(from, length));
      else
        std::ranges::fill(y.subspan(from, length), 0.0F);
      i += size;
    }
  });
}

}  // namespace tessera::nn
