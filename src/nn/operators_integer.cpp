#include <algorithm>

#include "broadcast.hpp"
#include "im2col.hpp"
#include "operator_list.hpp"
#include "tessera/kernels/product.hpp"

/// Products of 8-bit integers, and operators on bit patterns. Exact.
namespace tessera::nn {

namespace {

/// Columns whose products, each of at most 255 * 255, sum to less than 2^24: exact in float32.
constexpr std::int64_t exact_columns = 256;

/// y += x w^T in int64, through float32 products of few enough columns to be exact.
void multiply_exactly(ConstMatrixView weight, ConstMatrixView x, std::int64_t* y, Parallel parallel) {
  Matrix partial = Matrix::uninitialized(x.rows, weight.rows);
  std::fill_n(y, x.rows * weight.rows, std::int64_t{0});
  for (std::int64_t k = 0; k < x.cols; k += exact_columns) {
    const std::int64_t count = std::min(exact_columns, x.cols - k);
    kernels::multiply(kernels::PackedMatrix(weight.cols_from(k, count)), x.cols_from(k, count), partial.view(),
                      parallel);
    for (std::int64_t i = 0; i < x.rows * weight.rows; ++i) y[i] += static_cast<std::int64_t>(partial.data()[i]);
  }
}

void require_codes(const InferContext& c) {
  for (std::size_t i = 0; i < c.in.size(); ++i)
    if (c.has(i))
      require<InputError>(c.required(i).type == ElementType::int64, "{}: input {} is not integer", c.where(), i);
}

/// Zero point of row or column `i`: one for all, or one each.
std::int64_t zero_of(const ComputeContext& c, std::size_t input, std::int64_t i) {
  if (!c.has(input)) return 0;
  return c.in[input].integers()[c.in[input].size() == 1 ? 0 : i];
}

float centred(std::int64_t code, std::int64_t zero, const ComputeContext& c) {
  const std::int64_t value = code - zero;
  if (value < -255 || value > 255)
    throw RunError(fmt::format("{}: code {} with zero point {} is not of an 8-bit type", c.where(), code, zero));
  return static_cast<float>(value);
}

}  // namespace

// --- MatMulInteger ---------------------------------------------------------------------------------------------------

/// Inputs: A [.., m, k], B [.., k, n], zero points of A (one, or m) and of B (one, or n).
void infer_matmul_integer(const InferContext& c) {
  require_codes(c);
  const Shape &a = c.shape(0), &b = c.shape(1);
  require<InputError>(a.size() >= 2 && b.size() >= 2 && a.back() == b[b.size() - 2], "{}: {} times {}", c.where(),
                      to_string(a), to_string(b));
  const std::vector<Shape> batches = {{a.begin(), a.end() - 2}, {b.begin(), b.end() - 2}};
  Shape out = broadcast_shape(batches, c.where());
  out.push_back(a[a.size() - 2]);
  out.push_back(b.back());
  for (std::size_t i = 2; i < 4; ++i)
    if (c.has(i))
      require<InputError>(element_count(c.shape(i)) == 1 || element_count(c.shape(i)) == out[out.size() - 4 + i],
                          "{}: zero points of shape {} for {} times {}", c.where(), to_string(c.shape(i)), to_string(a),
                          to_string(b));
  c.set(0, ElementType::int64, out);
}

void compute_matmul_integer(const ComputeContext& c) {
  const Shape &a = c.in[0].shape, &b = c.in[1].shape;
  const std::int64_t rows = a[a.size() - 2], inner = a.back(), cols = b.back();
  const std::vector<Shape> batches = {{a.begin(), a.end() - 2}, {b.begin(), b.end() - 2}};
  const Shape batch = broadcast_shape(batches, c.where());
  parallel_for(c.parallel, element_count(batch), [&](std::int64_t index) {
    const std::int64_t* x = c.in[0].integers() + broadcast_index(index, batch, batches[0]) * rows * inner;
    const std::int64_t* w = c.in[1].integers() + broadcast_index(index, batch, batches[1]) * inner * cols;
    Matrix left = Matrix::uninitialized(rows, inner), right = Matrix::uninitialized(cols, inner);
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t k = 0; k < inner; ++k) left(r, k) = centred(x[r * inner + k], zero_of(c, 2, r), c);
    for (std::int64_t k = 0; k < inner; ++k)
      for (std::int64_t j = 0; j < cols; ++j) right(j, k) = centred(w[k * cols + j], zero_of(c, 3, j), c);
    multiply_exactly(right.view(), left.view(), c.out[0].integers() + index * rows * cols, {});
  });
}

// --- ConvInteger -----------------------------------------------------------------------------------------------------

/// Inputs: x, w, zero points of x (one) and of w (one, or one per output).
void infer_conv_integer(const InferContext& c) {
  require_codes(c);
  const Shape &in = c.shape(0), &weight = c.shape(1);
  const std::int64_t groups = c.node.integer("group", 1);
  require<InputError>((in.size() == 3 || in.size() == 4) && weight.size() == in.size() && groups >= 1 &&
                          weight[0] % groups == 0 && weight[0] > 0 && in[1] == weight[1] * groups,
                      "{}: a weight of shape {} with {} groups for an input of {}", c.where(), to_string(weight),
                      groups, to_string(in));
  for (std::size_t i = 2; i < 4; ++i)
    if (c.has(i))
      require<InputError>(element_count(c.shape(i)) == 1 || (i == 3 && element_count(c.shape(i)) == weight[0]),
                          "{}: zero points of shape {} for a weight of {}", c.where(), to_string(c.shape(i)),
                          to_string(weight));
  const auto axes = resolve_window(c.node, window_of(c.node, weight), spatial_extents(in));
  Shape out = {in[0], weight[0], axes[0].out, axes[1].out};
  if (in.size() == 3) out.erase(out.begin() + 2);
  c.set(0, ElementType::int64, out);
}

void compute_conv_integer(const ComputeContext& c) {
  const Array &in = c.in[0], &weight = c.in[1];
  ConvGeometry g{.axes = resolve_window(c.node, window_of(c.node, weight.shape), spatial_extents(in.shape)),
                 .images = 1,
                 .in_channels = in.dim(1),
                 .out_channels = weight.dim(0),
                 .groups = c.node.integer("group", 1)};
  Matrix weights = Matrix::uninitialized(g.out_channels, g.vector_size());
  for (std::int64_t o = 0; o < g.out_channels; ++o)
    for (std::int64_t k = 0; k < g.vector_size(); ++k)
      weights(o, k) = centred(weight.integers()[o * g.vector_size() + k], zero_of(c, 3, o), c);
  const std::int64_t pixels = g.axes[0].in * g.axes[1].in, positions = g.positions();
  parallel_for(c.parallel, in.dim(0), [&](std::int64_t n) {
    AlignedVector<float> image(static_cast<std::size_t>(pixels * g.in_channels));
    const std::int64_t* x = in.integers() + n * pixels * g.in_channels;
    for (std::int64_t ch = 0; ch < g.in_channels; ++ch)
      for (std::int64_t p = 0; p < pixels; ++p)
        image[static_cast<std::size_t>(p * g.in_channels + ch)] = centred(x[ch * pixels + p], zero_of(c, 2, 0), c);
    constexpr std::int64_t block = 512;
    Matrix rows = Matrix::uninitialized(std::min(block, positions), g.vector_size());
    std::vector<std::int64_t> sums(static_cast<std::size_t>(rows.rows() * g.group_outputs()));
    for (std::int64_t group = 0; group < g.groups; ++group)
      for (std::int64_t begin = 0; begin < positions; begin += block) {
        const std::int64_t count = std::min(block, positions - begin);
        gather_rows_channel_major(g, image.data(), group, begin, begin + count, rows.data());
        multiply_exactly(std::as_const(weights).view().rows_from(group * g.group_outputs(), g.group_outputs()),
                         std::as_const(rows).view().rows_from(0, count), sums.data(), {});
        std::int64_t* y = c.out[0].integers() + (n * g.out_channels + group * g.group_outputs()) * positions + begin;
        for (std::int64_t p = 0; p < count; ++p)
          for (std::int64_t o = 0; o < g.group_outputs(); ++o)
            y[o * positions + p] = sums[static_cast<std::size_t>(p * g.group_outputs() + o)];
      }
  });
}

// --- Bit patterns ----------------------------------------------------------------------------------------------------

void infer_bitwise(const InferContext& c) {
  require_codes(c);
  std::vector<Shape> shapes;
  for (std::size_t i = 0; i < c.in.size(); ++i) shapes.push_back(c.shape(i));
  c.set(0, ElementType::int64, broadcast_shape(shapes, c.where()));
}

namespace {

template <class F>
void bitwise(const ComputeContext& c, F f) {
  apply_binary<std::int64_t, std::int64_t>(c.out[0], c.in[0], c.in[1], c.parallel, [f](std::int64_t a, std::int64_t b) {
    return static_cast<std::int64_t>(f(static_cast<std::uint64_t>(a), static_cast<std::uint64_t>(b)));
  });
}

}  // namespace

void compute_bitwise_and(const ComputeContext& c) {
  bitwise(c, [](std::uint64_t a, std::uint64_t b) { return a & b; });
}
void compute_bitwise_or(const ComputeContext& c) {
  bitwise(c, [](std::uint64_t a, std::uint64_t b) { return a | b; });
}
void compute_bitwise_xor(const ComputeContext& c) {
  bitwise(c, [](std::uint64_t a, std::uint64_t b) { return a ^ b; });
}
void compute_bitwise_not(const ComputeContext& c) {
  apply_unary<std::int64_t, std::int64_t>(c.out[0], c.in[0], c.parallel, [](std::int64_t x) { return ~x; });
}
void compute_bit_shift(const ComputeContext& c) {
  if (c.node.text("direction", "") == "LEFT")
    bitwise(c, [](std::uint64_t a, std::uint64_t b) { return b < 64 ? a << b : 0; });
  else
    bitwise(c, [](std::uint64_t a, std::uint64_t b) { return b < 64 ? a >> b : 0; });
}

}  // namespace tessera::nn
