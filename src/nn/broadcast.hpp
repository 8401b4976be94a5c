#pragma once
#include <algorithm>
#include <array>
#include <cstdint>

#include "operator.hpp"
#include "tessera/core/parallel.hpp"

/// Element-wise loops with NumPy broadcasting, on the order in which elements lie in memory.
namespace tessera::nn {

/// Elements that one task of an element-wise loop handles.
inline constexpr std::int64_t elementwise_block = std::int64_t{1} << 14;

/// The row-major index, within an operand of shape `own`, of element `index` of the broadcast shape `whole`.
inline std::int64_t broadcast_index(std::int64_t index, const Shape& whole, const Shape& own) {
  std::int64_t result = 0, stride = 1;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    const std::int64_t extent_of_whole = whole[whole.size() - 1 - i];
    const std::int64_t at = index % extent_of_whole;
    index /= extent_of_whole;
    if (i < own.size()) {
      const std::int64_t extent = own[own.size() - 1 - i];
      if (extent != 1) result += at * stride;
      stride *= extent;
    }
  }
  return result;
}

/// Output extents and, per operand, element strides (0 where it is repeated), with neighbouring axes merged.
template <std::size_t Operands>
struct BroadcastPlan {
  std::vector<std::int64_t> extents;
  std::array<std::vector<std::int64_t>, Operands> strides;
};

/// Drops axes of extent 1 and merges neighbours that every operand walks as one.
template <std::size_t Operands>
BroadcastPlan<Operands> merge_axes(const Shape& extents, const std::array<Shape, Operands>& strides) {
  BroadcastPlan<Operands> plan;
  for (std::size_t i = 0; i < extents.size(); ++i) {
    if (extents[i] == 1) continue;
    bool merge = !plan.extents.empty();
    for (std::size_t k = 0; merge && k < Operands; ++k) merge = plan.strides[k].back() == strides[k][i] * extents[i];
    if (merge)
      plan.extents.back() *= extents[i];
    else
      plan.extents.push_back(extents[i]);
    for (std::size_t k = 0; k < Operands; ++k) {
      if (merge)
        plan.strides[k].back() = strides[k][i];
      else
        plan.strides[k].push_back(strides[k][i]);
    }
  }
  if (plan.extents.empty()) {
    plan.extents.push_back(1);
    for (auto& s : plan.strides) s.push_back(0);
  }
  return plan;
}

template <std::size_t Operands>
BroadcastPlan<Operands> plan_broadcast(const Array& out, const std::array<const Array*, Operands>& in) {
  const Shape extents = physical_shape(out.shape, out.layout);
  std::array<Shape, Operands> strides;
  for (std::size_t k = 0; k < Operands; ++k) {
    const Shape shape = physical_shape(in[k]->shape, in[k]->layout);
    const Shape own = strides_of(shape);
    strides[k].assign(extents.size(), 0);
    for (std::size_t i = 0; i < shape.size(); ++i)
      if (shape[i] != 1) strides[k][extents.size() - shape.size() + i] = own[i];
  }
  return merge_axes<Operands>(extents, strides);
}

/// Calls body(out_offset, operand_offsets, count) for runs along the last axis of the plan, in parallel.
template <std::size_t Operands, class Body>
void for_each_run(const BroadcastPlan<Operands>& plan, Parallel parallel, Body&& body) {
  const std::int64_t inner = plan.extents.back();
  if (plan.extents.size() == 1) {
    parallel_for_blocks(parallel, inner, elementwise_block, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
      std::array<std::int64_t, Operands> at;
      for (std::size_t k = 0; k < Operands; ++k) at[k] = begin * plan.strides[k].back();
      body(begin, at, end - begin);
    });
    return;
  }
  std::int64_t rows = 1;
  const std::size_t outer = plan.extents.size() - 1;
  for (std::size_t i = 0; i < outer; ++i) rows *= plan.extents[i];
  if (rows == 0 || inner == 0) return;
  const std::int64_t rows_per_block = std::max<std::int64_t>(1, elementwise_block / inner);
  parallel_for_blocks(parallel, rows, rows_per_block, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    std::vector<std::int64_t> index(outer, 0);
    std::array<std::int64_t, Operands> at{};
    std::int64_t rest = begin;
    for (std::size_t i = outer; i-- > 0;) {
      index[i] = rest % plan.extents[i];
      rest /= plan.extents[i];
      for (std::size_t k = 0; k < Operands; ++k) at[k] += index[i] * plan.strides[k][i];
    }
    for (std::int64_t row = begin; row < end; ++row) {
      body(row * inner, at, inner);
      for (std::size_t i = outer; i-- > 0;) {
        for (std::size_t k = 0; k < Operands; ++k) at[k] += plan.strides[k][i];
        if (++index[i] < plan.extents[i]) break;
        for (std::size_t k = 0; k < Operands; ++k) at[k] -= index[i] * plan.strides[k][i];
        index[i] = 0;
      }
    }
  });
}

template <class T>
T* elements(const Array& array) {
  return static_cast<T*>(array.data);
}

/// out[i] = f(in[i])
template <class Out, class In, class F>
void apply_unary(const Array& out, const Array& in, Parallel parallel, F f) {
  parallel_for_blocks(parallel, out.size(), elementwise_block, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    const In* x = elements<In>(in);
    Out* y = elements<Out>(out);
    for (std::int64_t i = begin; i < end; ++i) y[i] = f(x[i]);
  });
}

template <class F>
void float_unary(const ComputeContext& c, F f) {
  apply_unary<float, float>(c.out[0], c.in[0], c.parallel, f);
}

/// out = f(a, b), broadcast
template <class Out, class In, class F>
void apply_binary(const Array& out, const Array& a, const Array& b, Parallel parallel, F f) {
  const auto plan = plan_broadcast<2>(out, {&a, &b});
  const std::int64_t sa = plan.strides[0].back(), sb = plan.strides[1].back();
  for_each_run(plan, parallel, [&](std::int64_t o, const std::array<std::int64_t, 2>& at, std::int64_t count) {
    const In* x = elements<In>(a) + at[0];
    const In* z = elements<In>(b) + at[1];
    Out* y = elements<Out>(out) + o;
    if (sa == 1 && sb == 1) {
      for (std::int64_t i = 0; i < count; ++i) y[i] = f(x[i], z[i]);
    } else if (sa == 1 && sb == 0) {
      const In second = z[0];
      for (std::int64_t i = 0; i < count; ++i) y[i] = f(x[i], second);
    } else {
      for (std::int64_t i = 0; i < count; ++i) y[i] = f(x[i * sa], z[i * sb]);
    }
  });
}

/// out = condition ? a : b, broadcast; conditions are integers.
template <class T>
void apply_where(const Array& out, const Array& condition, const Array& a, const Array& b, Parallel parallel) {
  const auto plan = plan_broadcast<3>(out, {&condition, &a, &b});
  const std::int64_t sc = plan.strides[0].back(), sa = plan.strides[1].back(), sb = plan.strides[2].back();
  for_each_run(plan, parallel, [&](std::int64_t o, const std::array<std::int64_t, 3>& at, std::int64_t count) {
    const std::int64_t* c = elements<std::int64_t>(condition) + at[0];
    const T* x = elements<T>(a) + at[1];
    const T* z = elements<T>(b) + at[2];
    T* y = elements<T>(out) + o;
    for (std::int64_t i = 0; i < count; ++i) y[i] = c[i * sc] != 0 ? x[i * sa] : z[i * sb];
  });
}

}  // namespace tessera::nn
