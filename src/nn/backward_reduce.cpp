#include <algorithm>
#include <cmath>

#include "backward_list.hpp"
#include "broadcast.hpp"

/// Means, sums and softmax.
namespace tessera::nn {

/// dx = dy / count (ReduceMean) or dy (ReduceSum), repeated along the reduced axes.
void backward_reduce(const BackwardContext& c) {
  if (!c.wants(0)) return;
  const Array& in = c.in[0];
  const std::int64_t rank = in.rank();
  std::vector<bool> reduced(static_cast<std::size_t>(rank), false);
  if (c.has(1) && c.in[1].size() > 0) {
    for (std::int64_t i = 0; i < c.in[1].size(); ++i)
      reduced[static_cast<std::size_t>(normal_axis(c.in[1].integers()[i], rank, c.where()))] = true;
  } else if (c.node.integer("noop_with_empty_axes", 0) == 0) {
    reduced.assign(reduced.size(), true);
  }
  Shape kept = in.shape;
  std::int64_t count = 1;
  for (std::size_t i = 0; i < kept.size(); ++i)
    if (reduced[i]) {
      count *= kept[i];
      kept[i] = 1;
    }
  // The output is row-major, the input as it lies in memory.
  const Shape own = strides_of(kept);
  Shape strides(kept.size());
  for (std::int64_t axis = 0; axis < rank; ++axis)
    strides[static_cast<std::size_t>(physical_axis(axis, rank, in.layout))] =
        reduced[static_cast<std::size_t>(axis)] ? 0 : own[static_cast<std::size_t>(axis)];
  const auto plan = merge_axes<1>(physical_shape(in.shape, in.layout), {strides});
  const std::int64_t step = plan.strides[0].back();
  const float scale = c.node.op == "ReduceMean" ? 1.0F / static_cast<float>(count) : 1.0F;
  for_each_run(plan, c.parallel, [&](std::int64_t o, const std::array<std::int64_t, 1>& at, std::int64_t n) {
    const float* dy = c.d_out[0].floats() + at[0];
    float* dx = c.d_in[0].floats() + o;
    for (std::int64_t i = 0; i < n; ++i) dx[i] = dy[i * step] * scale;
  });
}

namespace {

/// Calls body(offset of the first element, step between elements) for every line along the softmax axis.
template <class Body>
void for_each_line(const BackwardContext& c, Body body) {
  const Array& in = c.in[0];
  const std::int64_t axis = normal_axis(c.node.integer("axis", -1), in.rank(), c.where());
  const std::int64_t last = c.node.integer("flatten", 0) != 0 ? in.rank() - 1 : axis;
  std::int64_t outer = 1, extent = 1, inner = 1;
  for (std::int64_t i = 0; i < in.rank(); ++i) (i < axis ? outer : i <= last ? extent : inner) *= in.dim(i);
  parallel_for(c.parallel, outer, [&](std::int64_t o) {
    for (std::int64_t i = 0; i < inner; ++i) body(o * extent * inner + i, inner, extent);
  });
}

}  // namespace

void backward_softmax(const BackwardContext& c) {
  if (!c.wants(0)) return;
  const float *y = c.out[0].floats(), *dy = c.d_out[0].floats();
  float* dx = c.d_in[0].floats();
  for_each_line(c, [&](std::int64_t first, std::int64_t step, std::int64_t extent) {
    double sum = 0.0;
    for (std::int64_t r = 0; r < extent; ++r)
      sum += static_cast<double>(dy[first + r * step]) * static_cast<double>(y[first + r * step]);
    for (std::int64_t r = 0; r < extent; ++r) {
      const std::int64_t i = first + r * step;
      dx[i] = static_cast<float>(static_cast<double>(y[i]) * (static_cast<double>(dy[i]) - sum));
    }
  });
}

void backward_log_softmax(const BackwardContext& c) {
  if (!c.wants(0)) return;
  const float *y = c.out[0].floats(), *dy = c.d_out[0].floats();
  float* dx = c.d_in[0].floats();
  for_each_line(c, [&](std::int64_t first, std::int64_t step, std::int64_t extent) {
    double sum = 0.0;
    for (std::int64_t r = 0; r < extent; ++r) sum += static_cast<double>(dy[first + r * step]);
    for (std::int64_t r = 0; r < extent; ++r) {
      const std::int64_t i = first + r * step;
      dx[i] = static_cast<float>(static_cast<double>(dy[i]) - std::exp(static_cast<double>(y[i])) * sum);
    }
  });
}

}  // namespace tessera::nn
