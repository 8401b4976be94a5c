#include <algorithm>
#include <cmath>

#include "broadcast.hpp"
#include "operator_list.hpp"
#include "tessera/kernels/product.hpp"

/// Normalizations, quantization, and the product of two activations.
namespace tessera::nn {

namespace {

void require_float_input(const InferContext& c) {
  require<InputError>(c.required(0).type == ElementType::float32, "{}: integer input (must be floating point)",
                      c.where());
}

void require_per_channel(const InferContext& c, std::size_t first, std::size_t last, std::int64_t channels) {
  for (std::size_t i = first; i <= last && i < c.in.size(); ++i)
    if (c.has(i))
      require<InputError>(c.required(i).type == ElementType::float32 && element_count(c.shape(i)) == channels,
                          "{}: input {} of shape {} for {} channels", c.where(), i, to_string(c.shape(i)), channels);
}

/// Extents in memory around the channel axis (logical axis 1).
struct Channels {
  std::int64_t outer = 1, count = 1, inner = 1;
};

Channels channels_of(const Array& array, std::int64_t axis = 1) {
  const Shape shape = physical_shape(array.shape, array.layout);
  const std::int64_t at = physical_axis(axis, array.rank(), array.layout);
  Channels channels;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const auto a = static_cast<std::int64_t>(i);
    (a < at ? channels.outer : a == at ? channels.count : channels.inner) *= shape[i];
  }
  return channels;
}

/// out = in * scale[c] + shift[c]
void affine(const Array& out, const Array& in, const std::vector<float>& scale, const std::vector<float>& shift,
            Parallel parallel) {
  const Channels ch = channels_of(in);
  const std::int64_t rows =
      std::max<std::int64_t>(1, (std::int64_t{1} << 14) / std::max<std::int64_t>(1, ch.count * ch.inner));
  parallel_for_blocks(parallel, ch.outer, rows, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    for (std::int64_t o = begin; o < end; ++o) {
      const float* x = in.floats() + o * ch.count * ch.inner;
      float* y = out.floats() + o * ch.count * ch.inner;
      if (ch.inner == 1) {
        for (std::int64_t c = 0; c < ch.count; ++c)
          y[c] = x[c] * scale[static_cast<std::size_t>(c)] + shift[static_cast<std::size_t>(c)];
        continue;
      }
      for (std::int64_t c = 0; c < ch.count; ++c) {
        const float s = scale[static_cast<std::size_t>(c)], b = shift[static_cast<std::size_t>(c)];
        for (std::int64_t i = 0; i < ch.inner; ++i) y[c * ch.inner + i] = x[c * ch.inner + i] * s + b;
      }
    }
  });
}

struct Moments {
  double mean = 0.0, variance = 0.0;
};

Moments moments(const float* x, std::int64_t count) {
  Moments m;
  for (std::int64_t i = 0; i < count; ++i) m.mean += static_cast<double>(x[i]);
  m.mean /= static_cast<double>(count);
  for (std::int64_t i = 0; i < count; ++i) {
    const double d = static_cast<double>(x[i]) - m.mean;
    m.variance += d * d;
  }
  m.variance /= static_cast<double>(count);
  return m;
}

}  // namespace

void infer_batch_normalization(const InferContext& c) {
  require_float_input(c);
  require<InputError>(c.shape(0).size() >= 2, "{}: an input of shape {} has no channels", c.where(),
                      to_string(c.shape(0)));
  require_per_channel(c, 1, 4, c.shape(0)[1]);
  c.set(0, ElementType::float32, c.shape(0));
}

void compute_batch_normalization(const ComputeContext& c) {
  const auto epsilon = static_cast<double>(c.node.real("epsilon", 1e-5F));
  const auto channels = static_cast<std::size_t>(c.in[0].dim(1));
  std::vector<float> scale(channels), shift(channels);
  for (std::size_t i = 0; i < channels; ++i) {
    const double s =
        static_cast<double>(c.in[1].floats()[i]) / std::sqrt(static_cast<double>(c.in[4].floats()[i]) + epsilon);
    scale[i] = static_cast<float>(s);
    shift[i] =
        static_cast<float>(static_cast<double>(c.in[2].floats()[i]) - static_cast<double>(c.in[3].floats()[i]) * s);
  }
  affine(c.out[0], c.in[0], scale, shift, c.parallel);
}

void infer_layer_normalization(const InferContext& c) {
  require_float_input(c);
  const Shape& in = c.shape(0);
  const std::int64_t axis = normal_axis(c.node.integer("axis", -1), static_cast<std::int64_t>(in.size()), c.where());
  const Shape normalized(in.begin() + axis, in.end());
  require_per_channel(c, 1, 2, element_count(normalized));
  require<InputError>(element_count(normalized) > 0, "{}: nothing to normalise in {}", c.where(), to_string(in));
  c.set(0, ElementType::float32, in);
}

void compute_layer_normalization(const ComputeContext& c) {
  const Array& in = c.in[0];
  const std::int64_t axis = normal_axis(c.node.integer("axis", -1), in.rank(), c.where());
  std::int64_t count = 1;
  for (std::int64_t i = axis; i < in.rank(); ++i) count *= in.dim(i);
  const auto epsilon = static_cast<double>(c.node.real("epsilon", 1e-5F));
  const std::int64_t rows = count == 0 ? 0 : in.size() / count;
  parallel_for_blocks(c.parallel, rows, std::max<std::int64_t>(1, 8192 / count),
                      [&](std::int64_t, std::int64_t begin, std::int64_t end) {
                        for (std::int64_t r = begin; r < end; ++r) {
                          const float* x = in.floats() + r * count;
                          float* y = c.out[0].floats() + r * count;
                          const Moments m = moments(x, count);
                          const double s = 1.0 / std::sqrt(m.variance + epsilon);
                          for (std::int64_t i = 0; i < count; ++i) {
                            const auto normalized = static_cast<float>((static_cast<double>(x[i]) - m.mean) * s);
                            y[i] = normalized * c.in[1].floats()[i] + (c.has(2) ? c.in[2].floats()[i] : 0.0F);
                          }
                        }
                      });
}

/// InstanceNormalization, and GroupNormalization with groups of several channels.
void infer_instance_normalization(const InferContext& c) {
  require_float_input(c);
  const Shape& in = c.shape(0);
  require<InputError>(in.size() >= 3, "{}: an input of shape {} has no channels with positions", c.where(),
                      to_string(in));
  const std::int64_t groups = c.node.op == "GroupNormalization" ? c.node.integer("num_groups", 0) : in[1];
  require_per_channel(c, 1, 2, c.node.integer("per_group", 0) != 0 ? groups : in[1]);
  require<InputError>(groups >= 1 && in[1] % groups == 0 && element_count(in) > 0, "{}: {} groups for an input of {}",
                      c.where(), groups, to_string(in));
  c.set(0, ElementType::float32, in);
}

void compute_instance_normalization(const ComputeContext& c) {
  const Array& in = c.in[0];
  const std::int64_t channels = in.dim(1), positions = in.size() / (in.dim(0) * channels);
  const std::int64_t groups = c.node.op == "GroupNormalization" ? c.node.integer("num_groups", 1) : channels;
  const std::int64_t per_group = channels / groups, count = per_group * positions;
  const bool shared = c.node.integer("per_group", 0) != 0;
  const auto epsilon = static_cast<double>(c.node.real("epsilon", 1e-5F));
  parallel_for(c.parallel, in.dim(0) * groups, [&](std::int64_t task) {
    const float* x = in.floats() + task * count;
    float* y = c.out[0].floats() + task * count;
    const Moments m = moments(x, count);
    const double s = 1.0 / std::sqrt(m.variance + epsilon);
    for (std::int64_t k = 0; k < per_group; ++k) {
      const std::int64_t channel = shared ? task % groups : (task % groups) * per_group + k;
      const double scale = static_cast<double>(c.in[1].floats()[channel]) * s;
      const auto shift = static_cast<double>(c.in[2].floats()[channel]);
      for (std::int64_t i = k * positions; i < (k + 1) * positions; ++i)
        y[i] = static_cast<float>((static_cast<double>(x[i]) - m.mean) * scale + shift);
    }
  });
}

void infer_lrn(const InferContext& c) {
  require_float_input(c);
  require<InputError>(c.shape(0).size() >= 3 && c.node.integer("size", 0) >= 1, "{}: size {} for an input of {}",
                      c.where(), c.node.integer("size", 0), to_string(c.shape(0)));
  c.set(0, ElementType::float32, c.shape(0));
}

void compute_lrn(const ComputeContext& c) {
  const Array& in = c.in[0];
  const std::int64_t size = c.node.integer("size", 1), channels = in.dim(1);
  const std::int64_t positions = in.size() / std::max<std::int64_t>(1, in.dim(0) * channels);
  const double alpha = static_cast<double>(c.node.real("alpha", 1e-4F)) / static_cast<double>(size);
  const auto beta = static_cast<double>(c.node.real("beta", 0.75F)),
             bias = static_cast<double>(c.node.real("bias", 1.0F));
  parallel_for(c.parallel, in.dim(0) * channels, [&](std::int64_t task) {
    const std::int64_t n = task / channels, ch = task % channels;
    const std::int64_t low = std::max<std::int64_t>(0, ch - (size - 1) / 2),
                       high = std::min(channels - 1, ch + size / 2);
    for (std::int64_t p = 0; p < positions; ++p) {
      double sum = 0.0;
      for (std::int64_t k = low; k <= high; ++k) {
        const auto x = static_cast<double>(in.floats()[(n * channels + k) * positions + p]);
        sum += x * x;
      }
      const std::int64_t at = task * positions + p;
      c.out[0].floats()[at] =
          static_cast<float>(static_cast<double>(in.floats()[at]) / std::pow(bias + alpha * sum, beta));
    }
  });
}

// --- QuantizeLinear, DequantizeLinear --------------------------------------------------------------------------------

namespace {

/// Axis of per-channel scales; scalars need none.
std::int64_t quantization_axis(const Node& node, std::int64_t rank, const std::string& where) {
  return rank == 0 ? 0 : normal_axis(node.integer("axis", 1), rank, where);
}

void check_quantizer(const InferContext& c) {
  const Shape& in = c.shape(0);
  const std::int64_t count = element_count(c.shape(1));
  require<InputError>(c.required(1).type == ElementType::float32, "{}: the scale is not floating point", c.where());
  if (count != 1 || !c.shape(1).empty()) {
    const auto rank = static_cast<std::int64_t>(in.size());
    const bool scalar = count == 1;
    const std::int64_t axis = scalar ? 0 : quantization_axis(c.node, rank, c.where());
    require<InputError>(scalar || (c.shape(1).size() == 1 && rank > 0 && in[static_cast<std::size_t>(axis)] == count),
                        "{}: a scale of shape {} for an input of {}", c.where(), to_string(c.shape(1)), to_string(in));
  }
  if (c.has(2))
    require<InputError>(element_count(c.shape(2)) == count, "{}: zero point of shape {} for a scale of {}", c.where(),
                        to_string(c.shape(2)), to_string(c.shape(1)));
}

template <class Body>
void for_each_quantized(const ComputeContext& c, Body body) {
  const bool scalar = c.in[1].size() == 1;
  const Channels ch = scalar ? Channels{1, 1, c.in[0].size()}
                             : channels_of(c.in[0], quantization_axis(c.node, c.in[0].rank(), c.where()));
  for (std::int64_t o = 0; o < ch.outer; ++o)
    for (std::int64_t k = 0; k < ch.count; ++k) {
      const float scale = c.in[1].floats()[k];
      std::int64_t zero = 0;
      if (c.has(2)) zero = c.in[2].is_float() ? static_cast<std::int64_t>(c.in[2].floats()[k]) : c.in[2].integers()[k];
      for (std::int64_t i = 0; i < ch.inner; ++i) body((o * ch.count + k) * ch.inner + i, scale, zero);
    }
}

}  // namespace

void infer_quantize_linear(const InferContext& c) {
  check_quantizer(c);
  require_float_input(c);
  c.set(0, ElementType::int64, c.shape(0));
}

void compute_quantize_linear(const ComputeContext& c) {
  const auto low = static_cast<float>(c.node.integer("low", 0)), high = static_cast<float>(c.node.integer("high", 255));
  for_each_quantized(c, [&](std::int64_t i, float scale, std::int64_t zero) {
    const float code = std::nearbyint(c.in[0].floats()[i] / scale) + static_cast<float>(zero);
    if (code != code) throw RunError(fmt::format("{}: the input is not a number", c.where()));
    c.out[0].integers()[i] = static_cast<std::int64_t>(std::clamp(code, low, high));
  });
}

void infer_dequantize_linear(const InferContext& c) {
  check_quantizer(c);
  require<InputError>(c.required(0).type == ElementType::int64, "{}: floating-point input (must be integer)",
                      c.where());
  c.set(0, ElementType::float32, c.shape(0));
}

void compute_dequantize_linear(const ComputeContext& c) {
  for_each_quantized(c, [&](std::int64_t i, float scale, std::int64_t zero) {
    c.out[0].floats()[i] = static_cast<float>(c.in[0].integers()[i] - zero) * scale;
  });
}

// --- Gemm and MatMul -------------------------------------------------------------------------------------------------

void infer_gemm(const InferContext& c) {
  require_float_input(c);
  const Shape& a = c.shape(0);
  const Shape& b = c.shape(1);
  require<InputError>(a.size() == 2 && b.size() == 2, "{}: {} times {} (must be matrices)", c.where(), to_string(a),
                      to_string(b));
  const bool transposed = c.node.integer("transB", 0) != 0;
  const std::int64_t inputs = transposed ? b[1] : b[0], outputs = transposed ? b[0] : b[1];
  require<InputError>(a[1] == inputs, "{}: an input of {} for a weight of {} inputs", c.where(), to_string(a), inputs);
  if (c.has(2)) {
    const std::int64_t count = element_count(c.shape(2));
    require<InputError>(count == 1 || (count == outputs && c.shape(2).back() == outputs),
                        "{}: a bias of shape {} for {} outputs", c.where(), to_string(c.shape(2)), outputs);
  }
  c.set(0, ElementType::float32, {a[0], outputs});
}

void infer_matmul(const InferContext& c) {
  require_float_input(c);
  Shape a = c.shape(0), b = c.shape(1);
  require<InputError>(!a.empty() && !b.empty() && c.required(1).type == ElementType::float32, "{}: {} times {}",
                      c.where(), to_string(a), to_string(b));
  const bool row = a.size() == 1, column = b.size() == 1;
  if (row) a.insert(a.begin(), 1);
  if (column) b.push_back(1);
  require<InputError>(a.back() == b[b.size() - 2], "{}: {} times {}", c.where(), to_string(c.shape(0)),
                      to_string(c.shape(1)));
  const std::vector<Shape> batches = {{a.begin(), a.end() - 2}, {b.begin(), b.end() - 2}};
  Shape out = broadcast_shape(batches, c.where());
  if (!row) out.push_back(a[a.size() - 2]);
  if (!column) out.push_back(b.back());
  if (c.has(2))
    require<InputError>(element_count(c.shape(2)) == b.back(), "{}: a bias of shape {} for {} outputs", c.where(),
                        to_string(c.shape(2)), b.back());
  c.set(0, ElementType::float32, out);
}

void compute_matmul(const ComputeContext& c) {
  Shape a = c.in[0].shape, b = c.in[1].shape;
  if (a.size() == 1) a.insert(a.begin(), 1);
  if (b.size() == 1) b.push_back(1);
  const std::int64_t rows = a[a.size() - 2], inner = a.back(), cols = b.back();
  const std::vector<Shape> batches = {{a.begin(), a.end() - 2}, {b.begin(), b.end() - 2}};
  const Shape batch = broadcast_shape(batches, c.where());
  const bool transposed = c.node.op == "Gemm" && c.node.integer("transB", 0) != 0;
  parallel_for(c.parallel, element_count(batch), [&](std::int64_t index) {
    const float* x = c.in[0].floats() + broadcast_index(index, batch, batches[0]) * rows * inner;
    const float* w = c.in[1].floats() + broadcast_index(index, batch, batches[1]) * inner * cols;
    Matrix weight = Matrix::uninitialized(cols, inner);
    for (std::int64_t k = 0; k < inner; ++k)
      for (std::int64_t j = 0; j < cols; ++j) weight(j, k) = transposed ? w[j * inner + k] : w[k * cols + j];
    kernels::multiply(kernels::PackedMatrix(weight.view()), {x, rows, inner},
                      {c.out[0].floats() + index * rows * cols, rows, cols});
  });
}

}  // namespace tessera::nn
