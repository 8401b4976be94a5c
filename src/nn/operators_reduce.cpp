#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "index_map.hpp"
#include "operator_list.hpp"

/// Reductions, arg-max, top-k, softmax: operators that combine elements along axes. Sums are taken in index order, in
/// double.
namespace tessera::nn {

namespace {

/// A tensor as [outer, extent, inner] around the axis that is combined.
struct Lines {
  std::int64_t outer = 1, extent = 1, inner = 1;
};

Lines lines_along(const Shape& shape, std::int64_t first, std::int64_t last) {
  Lines lines;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const auto axis = static_cast<std::int64_t>(i);
    (axis < first ? lines.outer : axis <= last ? lines.extent : lines.inner) *= shape[i];
  }
  return lines;
}

/// Axes of a Reduce node: input 1, or all; empty with noop_with_empty_axes.
std::vector<std::int64_t> reduced_axes(const Node& node, const std::vector<std::int64_t>* axes, std::int64_t rank,
                                       const std::string& where) {
  std::vector<std::int64_t> result;
  if (axes != nullptr && !axes->empty()) {
    for (const std::int64_t axis : *axes) result.push_back(normal_axis(axis, rank, where));
    std::ranges::sort(result);
    require<InputError>(std::ranges::adjacent_find(result) == result.end(), "{}: an axis is given twice", where);
  } else if (node.integer("noop_with_empty_axes", 0) == 0) {
    result.resize(static_cast<std::size_t>(rank));
    std::iota(result.begin(), result.end(), std::int64_t{0});
  }
  return result;
}

/// Accumulators: what a reduction starts from, how it takes an element, how it ends.
struct SumOf {
  static constexpr double start = 0.0;
  static void take(double& acc, double x) { acc += x; }
  static double finish(double acc, std::int64_t) { return acc; }
};
struct MeanOf : SumOf {
  static double finish(double acc, std::int64_t count) { return acc / static_cast<double>(count); }
};
struct SumOfSquares : SumOf {
  static void take(double& acc, double x) { acc += x * x; }
};
struct NormOf : SumOfSquares {
  static double finish(double acc, std::int64_t) { return std::sqrt(acc); }
};
struct SumOfMagnitudes : SumOf {
  static void take(double& acc, double x) { acc += std::fabs(x); }
};
struct LogOfSum : SumOf {
  static double finish(double acc, std::int64_t) { return std::log(acc); }
};
struct ProductOf {
  static constexpr double start = 1.0;
  static void take(double& acc, double x) { acc *= x; }
  static double finish(double acc, std::int64_t) { return acc; }
};
struct LargestOf {
  static constexpr double start = -std::numeric_limits<double>::infinity();
  static void take(double& acc, double x) { acc = x > acc || x != x ? x : acc; }
  static double finish(double acc, std::int64_t) { return acc; }
};
struct SmallestOf {
  static constexpr double start = std::numeric_limits<double>::infinity();
  static void take(double& acc, double x) { acc = x < acc || x != x ? x : acc; }
  static double finish(double acc, std::int64_t) { return acc; }
};

/// out[o][i] = finish(take over r of in[o][r][i]); the inner index is the fast one.
template <class Reduction, class T>
void reduce_lines(T* out, const T* in, const Lines& lines, Parallel parallel) {
  constexpr std::int64_t width = 256;
  const std::int64_t blocks = (lines.inner + width - 1) / width;
  const std::int64_t tasks = lines.outer * blocks;
  const std::int64_t per_task = std::max<std::int64_t>(1, lines.extent * std::min(width, lines.inner));
  const std::int64_t group = std::max<std::int64_t>(1, (std::int64_t{1} << 14) / per_task);
  parallel_for_blocks(parallel, tasks, group, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    std::array<double, static_cast<std::size_t>(width)> acc;
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t o = task / blocks, i0 = (task % blocks) * width, count = std::min(width, lines.inner - i0);
      std::fill_n(acc.begin(), count, Reduction::start);
      for (std::int64_t r = 0; r < lines.extent; ++r) {
        const T* x = in + (o * lines.extent + r) * lines.inner + i0;
        for (std::int64_t i = 0; i < count; ++i)
          Reduction::take(acc[static_cast<std::size_t>(i)], static_cast<double>(x[i]));
      }
      for (std::int64_t i = 0; i < count; ++i)
        out[o * lines.inner + i0 + i] =
            static_cast<T>(Reduction::finish(acc[static_cast<std::size_t>(i)], lines.extent));
    }
  });
}

/// Brings the reduced axes together: [kept..., reduced..., kept...] where they already are neighbours in memory, else a
/// copy with the reduced axes last.
struct Gathered {
  Array array;
  Lines lines;
  AlignedVector<std::byte> memory;
};

Gathered gather_axes(const Array& in, const std::vector<std::int64_t>& logical_axes, Parallel parallel) {
  Gathered result;
  Array physical = in;
  physical.shape = physical_shape(in.shape, in.layout);
  physical.layout = Layout::natural;
  std::vector<std::int64_t> axes;
  for (const std::int64_t axis : logical_axes) axes.push_back(physical_axis(axis, in.rank(), in.layout));
  std::ranges::sort(axes);
  result.array = physical;
  if (axes.empty()) {
    result.lines = {physical.size(), 1, 1};
    return result;
  }
  if (axes.back() - axes.front() + 1 == static_cast<std::int64_t>(axes.size())) {
    result.lines = lines_along(physical.shape, axes.front(), axes.back());
    return result;
  }
  std::vector<std::int64_t> permutation;
  for (std::int64_t axis = 0; axis < physical.rank(); ++axis)
    if (!std::ranges::binary_search(axes, axis)) permutation.push_back(axis);
  result.lines.inner = 1;
  for (const std::int64_t axis : permutation) result.lines.outer *= physical.dim(axis);
  for (const std::int64_t axis : axes) {
    permutation.push_back(axis);
    result.lines.extent *= physical.dim(axis);
  }
  result.array.shape.clear();
  for (const std::int64_t axis : permutation) result.array.shape.push_back(physical.dim(axis));
  result.memory.resize(static_cast<std::size_t>(in.size() * element_bytes(in.type)));
  result.array.data = result.memory.data();
  permute(result.array, physical, permutation, parallel);
  return result;
}

}  // namespace

void infer_reduce(const InferContext& c) {
  const Shape& in = c.shape(0);
  const auto axes =
      reduced_axes(c.node, c.has(1) ? &c.known_integers(1) : nullptr, static_cast<std::int64_t>(in.size()), c.where());
  const bool keep = c.node.integer("keepdims", 1) != 0;
  Shape out;
  std::int64_t combined = 1;
  for (std::size_t i = 0; i < in.size(); ++i) {
    const bool reduced = std::ranges::binary_search(axes, static_cast<std::int64_t>(i));
    if (reduced) combined *= in[i];
    if (!reduced)
      out.push_back(in[i]);
    else if (keep)
      out.push_back(1);
  }
  const std::string& op = c.node.op;
  require<InputError>(combined > 0 || op != "ReduceMean", "{}: nothing to reduce in {}", c.where(), to_string(in));
  c.set(0, c.required(0).type, out);
}

void compute_reduce(const ComputeContext& c) {
  std::vector<std::int64_t> axes;
  if (c.has(1)) axes.assign(c.in[1].integers(), c.in[1].integers() + c.in[1].size());
  axes = reduced_axes(c.node, c.has(1) ? &axes : nullptr, c.in[0].rank(), c.where());
  const Gathered data = gather_axes(c.in[0], axes, c.parallel);
  const auto run = [&]<class Reduction>(Reduction) {
    if (c.out[0].is_float())
      reduce_lines<Reduction>(c.out[0].floats(), data.array.floats(), data.lines, c.parallel);
    else
      reduce_lines<Reduction>(c.out[0].integers(), data.array.integers(), data.lines, c.parallel);
  };
  const std::string& op = c.node.op;
  if (op == "ReduceSum") return run(SumOf{});
  if (op == "ReduceMean") return run(MeanOf{});
  if (op == "ReduceMax") return run(LargestOf{});
  if (op == "ReduceMin") return run(SmallestOf{});
  if (op == "ReduceProd") return run(ProductOf{});
  if (op == "ReduceL1") return run(SumOfMagnitudes{});
  if (op == "ReduceL2") return run(NormOf{});
  if (op == "ReduceSumSquare") return run(SumOfSquares{});
  if (op == "ReduceLogSum") return run(LogOfSum{});
  TESSERA_EXPECT(op == "ReduceLogSumExp");
  const Lines& lines = data.lines;
  for (std::int64_t o = 0; o < lines.outer; ++o)
    for (std::int64_t i = 0; i < lines.inner; ++i) {
      const float* x = data.array.floats() + o * lines.extent * lines.inner + i;
      double largest = LargestOf::start, sum = 0.0;
      for (std::int64_t r = 0; r < lines.extent; ++r) LargestOf::take(largest, static_cast<double>(x[r * lines.inner]));
      const double shift = std::isfinite(largest) ? largest : 0.0;
      for (std::int64_t r = 0; r < lines.extent; ++r) sum += std::exp(static_cast<double>(x[r * lines.inner]) - shift);
      c.out[0].floats()[o * lines.inner + i] = static_cast<float>(std::log(sum) + shift);
    }
}

// --- ArgMax, ArgMin, TopK --------------------------------------------------------------------------------------------

void infer_arg_extreme(const InferContext& c) {
  Shape out = c.shape(0);
  const std::int64_t axis = normal_axis(c.node.integer("axis", 0), static_cast<std::int64_t>(out.size()), c.where());
  require<InputError>(out[static_cast<std::size_t>(axis)] > 0, "{}: axis {} of {} is empty", c.where(), axis,
                      to_string(out));
  if (c.node.integer("keepdims", 1) != 0)
    out[static_cast<std::size_t>(axis)] = 1;
  else
    out.erase(out.begin() + axis);
  c.set(0, ElementType::int64, out);
}

namespace {

template <class T>
void arg_extreme(const ComputeContext& c, const T* in) {
  const std::int64_t axis = normal_axis(c.node.integer("axis", 0), c.in[0].rank(), c.where());
  const Lines lines = lines_along(c.in[0].shape, axis, axis);
  const bool largest = c.node.op == "ArgMax", last = c.node.integer("select_last_index", 0) != 0;
  for (std::int64_t o = 0; o < lines.outer; ++o)
    for (std::int64_t i = 0; i < lines.inner; ++i) {
      const T* x = in + o * lines.extent * lines.inner + i;
      std::int64_t best = 0;
      for (std::int64_t r = 1; r < lines.extent; ++r) {
        const T a = x[r * lines.inner], b = x[best * lines.inner];
        if (largest ? a > b : a < b) best = r;
        if (last && a == b) best = r;
      }
      c.out[0].integers()[o * lines.inner + i] = best;
    }
}

template <class T>
void top_k(const ComputeContext& c, const T* in, T* values) {
  const std::int64_t axis = normal_axis(c.node.integer("axis", -1), c.in[0].rank(), c.where());
  const Lines lines = lines_along(c.in[0].shape, axis, axis);
  const std::int64_t k = c.out[0].dim(axis);
  const bool largest = c.node.integer("largest", 1) != 0;
  std::vector<std::int64_t> order(static_cast<std::size_t>(lines.extent));
  for (std::int64_t o = 0; o < lines.outer; ++o)
    for (std::int64_t i = 0; i < lines.inner; ++i) {
      const T* x = in + o * lines.extent * lines.inner + i;
      std::iota(order.begin(), order.end(), std::int64_t{0});
      // Equal values: the smaller index first, as ONNX asks.
      std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](std::int64_t a, std::int64_t b) {
        const T p = x[a * lines.inner], q = x[b * lines.inner];
        if (p == q) return a < b;
        return largest ? p > q : p < q;
      });
      for (std::int64_t j = 0; j < k; ++j) {
        const std::int64_t at = (o * k + j) * lines.inner + i, from = order[static_cast<std::size_t>(j)];
        if (values != nullptr) values[at] = x[from * lines.inner];
        if (c.out.size() > 1 && c.out[1].data != nullptr) c.out[1].integers()[at] = from;
      }
    }
}

}  // namespace

void compute_arg_extreme(const ComputeContext& c) {
  if (c.in[0].is_float())
    arg_extreme(c, c.in[0].floats());
  else
    arg_extreme(c, c.in[0].integers());
}

void infer_top_k(const InferContext& c) {
  Shape out = c.shape(0);
  const std::int64_t axis = normal_axis(c.node.integer("axis", -1), static_cast<std::int64_t>(out.size()), c.where());
  require<InputError>(c.known_integers(1).size() == 1, "{}: k must be one integer", c.where());
  const std::int64_t k = c.known_integers(1)[0];
  require<InputError>(k >= 0 && k <= out[static_cast<std::size_t>(axis)], "{}: k = {} of {} elements", c.where(), k,
                      out[static_cast<std::size_t>(axis)]);
  out[static_cast<std::size_t>(axis)] = k;
  c.set(0, c.required(0).type, out);
  c.set(1, ElementType::int64, out);
}

void compute_top_k(const ComputeContext& c) {
  if (c.in[0].is_float())
    top_k(c, c.in[0].floats(), static_cast<float*>(c.out[0].data));
  else
    top_k(c, c.in[0].integers(), static_cast<std::int64_t*>(c.out[0].data));
}

// --- Softmax, LogSoftmax, CumSum -------------------------------------------------------------------------------------

void infer_softmax(const InferContext& c) {
  require<InputError>(c.required(0).type == ElementType::float32, "{}: integer input", c.where());
  normal_axis(c.node.integer("axis", -1), static_cast<std::int64_t>(c.shape(0).size()), c.where());
  c.set(0, ElementType::float32, c.shape(0));
}

void compute_softmax(const ComputeContext& c) {
  const Array& in = c.in[0];
  const std::int64_t axis = normal_axis(c.node.integer("axis", -1), in.rank(), c.where());
  // Up to opset 12 the axes from `axis` on are one.
  const Lines lines = lines_along(in.shape, axis, c.node.integer("flatten", 0) != 0 ? in.rank() - 1 : axis);
  const bool logarithm = c.node.op == "LogSoftmax";
  const std::int64_t group = std::max<std::int64_t>(1, 2048 / std::max<std::int64_t>(1, lines.extent * lines.inner));
  parallel_for_blocks(c.parallel, lines.outer, group, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    for (std::int64_t o = begin; o < end; ++o)
      for (std::int64_t i = 0; i < lines.inner; ++i) {
        const float* x = in.floats() + o * lines.extent * lines.inner + i;
        float* y = c.out[0].floats() + o * lines.extent * lines.inner + i;
        float largest = -std::numeric_limits<float>::infinity();
        for (std::int64_t r = 0; r < lines.extent; ++r) largest = std::max(largest, x[r * lines.inner]);
        double sum = 0.0;
        for (std::int64_t r = 0; r < lines.extent; ++r) {
          const float shifted = x[r * lines.inner] - largest;
          const float power = std::exp(shifted);
          sum += static_cast<double>(power);
          y[r * lines.inner] = logarithm ? shifted : power;
        }
        const auto scale = static_cast<float>(logarithm ? std::log(sum) : 1.0 / sum);
        for (std::int64_t r = 0; r < lines.extent; ++r)
          y[r * lines.inner] = logarithm ? y[r * lines.inner] - scale : y[r * lines.inner] * scale;
      }
  });
}

void infer_cumsum(const InferContext& c) {
  require<InputError>(c.known_integers(1).size() == 1, "{}: axis must be one integer", c.where());
  normal_axis(c.known_integers(1)[0], static_cast<std::int64_t>(c.shape(0).size()), c.where());
  c.set(0, c.required(0).type, c.shape(0));
}

namespace {

template <class T, class Sum>
void cumulative_sum(const ComputeContext& c, const T* in, T* out) {
  const std::int64_t axis = normal_axis(c.in[1].integers()[0], c.in[0].rank(), c.where());
  const Lines lines = lines_along(c.in[0].shape, axis, axis);
  const bool exclusive = c.node.integer("exclusive", 0) != 0, reverse = c.node.integer("reverse", 0) != 0;
  for (std::int64_t o = 0; o < lines.outer; ++o)
    for (std::int64_t i = 0; i < lines.inner; ++i) {
      Sum sum = 0;
      for (std::int64_t r = 0; r < lines.extent; ++r) {
        const std::int64_t line = reverse ? lines.extent - 1 - r : r;
        const std::int64_t at = (o * lines.extent + line) * lines.inner + i;
        const auto x = static_cast<Sum>(in[at]);
        out[at] = static_cast<T>(exclusive ? sum : sum + x);
        sum += x;
      }
    }
}

}  // namespace

void compute_cumsum(const ComputeContext& c) {
  if (c.in[0].is_float())
    cumulative_sum<float, double>(c, c.in[0].floats(), c.out[0].floats());
  else
    cumulative_sum<std::int64_t, std::int64_t>(c, c.in[0].integers(), c.out[0].integers());
}

}  // namespace tessera::nn
