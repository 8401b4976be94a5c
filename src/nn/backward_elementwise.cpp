#include <cmath>
#include <limits>
#include <map>
#include <string_view>

#include "backward.hpp"
#include "backward_list.hpp"
#include "broadcast.hpp"

/// Derivatives of operators that work element by element.
namespace tessera::nn {

namespace {

constexpr float inverse_sqrt_two = 0.70710678118654752F, inverse_sqrt_two_pi = 0.39894228040143268F;

float logistic(float x) {
  return 1.0F / (1.0F + std::exp(-x));
}

/// d_in = f(x, y) dy
template <class F>
void unary(const BackwardContext& c, F f) {
  if (!c.wants(0)) return;
  const float* x = c.in[0].floats();
  const float* y = c.out[0].floats();
  const float* dy = c.d_out[0].floats();
  float* dx = c.d_in[0].floats();
  parallel_for_blocks(c.parallel, c.in[0].size(), elementwise_block,
                      [&](std::int64_t, std::int64_t begin, std::int64_t end) {
                        for (std::int64_t i = begin; i < end; ++i) dx[i] = f(x[i], y[i]) * dy[i];
                      });
}

void relu(const BackwardContext& c) {
  unary(c, [](float, float y) { return y > 0.0F ? 1.0F : 0.0F; });
}
void leaky_relu(const BackwardContext& c) {
  const float alpha = c.node.real("alpha", 0.01F);
  unary(c, [=](float x, float) { return x < 0.0F ? alpha : 1.0F; });
}
void thresholded_relu(const BackwardContext& c) {
  const float alpha = c.node.real("alpha", 1.0F);
  unary(c, [=](float x, float) { return x <= alpha ? 0.0F : 1.0F; });
}
void elu(const BackwardContext& c) {
  const float alpha = c.node.real("alpha", 1.0F);
  unary(c, [=](float x, float y) { return x < 0.0F ? y + alpha : 1.0F; });
}
void celu(const BackwardContext& c) {
  const float alpha = c.node.real("alpha", 1.0F);
  unary(c, [=](float x, float) { return x < 0.0F ? std::exp(x / alpha) : 1.0F; });
}
void selu(const BackwardContext& c) {
  const float alpha = c.node.real("alpha", 1.67326319217681884765625F);
  const float gamma = c.node.real("gamma", 1.05070102214813232421875F);
  unary(c, [=](float x, float) { return x < 0.0F ? gamma * alpha * std::exp(x) : gamma; });
}
void sigmoid(const BackwardContext& c) {
  unary(c, [](float, float y) { return y * (1.0F - y); });
}
void hard_sigmoid(const BackwardContext& c) {
  const float alpha = c.node.real("alpha", 0.2F);
  unary(c, [=](float, float y) { return y > 0.0F && y < 1.0F ? alpha : 0.0F; });
}
void hard_swish(const BackwardContext& c) {
  unary(c, [](float x, float) { return x <= -3.0F ? 0.0F : x >= 3.0F ? 1.0F : x / 3.0F + 0.5F; });
}
void gelu_slope(const BackwardContext& c) {
  if (c.node.text("approximate", "none") == "tanh") {
    constexpr float a = 0.7978845608028654F, b = 0.044715F;
    return unary(c, [=](float x, float) {
      const float t = std::tanh(a * (x + b * x * x * x));
      return 0.5F * (1.0F + t) + 0.5F * x * (1.0F - t * t) * a * (1.0F + 3.0F * b * x * x);
    });
  }
  unary(c, [](float x, float) {
    return 0.5F * (1.0F + std::erf(x * inverse_sqrt_two)) + x * inverse_sqrt_two_pi * std::exp(-0.5F * x * x);
  });
}
void mish(const BackwardContext& c) {
  unary(c, [](float x, float) {
    const float t = std::tanh(std::max(x, 0.0F) + std::log1p(std::exp(-std::fabs(x))));
    return t + x * (1.0F - t * t) * logistic(x);
  });
}
void tanh(const BackwardContext& c) {
  unary(c, [](float, float y) { return 1.0F - y * y; });
}
void erf(const BackwardContext& c) {
  unary(c, [](float x, float) { return 1.1283791670955126F * std::exp(-x * x); });
}
void softplus_slope(const BackwardContext& c) {
  unary(c, [](float x, float) { return logistic(x); });
}
void softsign(const BackwardContext& c) {
  unary(c, [](float x, float) {
    const float d = 1.0F + std::fabs(x);
    return 1.0F / (d * d);
  });
}
void exp(const BackwardContext& c) {
  unary(c, [](float, float y) { return y; });
}
void log(const BackwardContext& c) {
  unary(c, [](float x, float) { return 1.0F / x; });
}
void sqrt(const BackwardContext& c) {
  unary(c, [](float, float y) { return 0.5F / y; });
}
void reciprocal(const BackwardContext& c) {
  unary(c, [](float, float y) { return -y * y; });
}
void sin(const BackwardContext& c) {
  unary(c, [](float x, float) { return std::cos(x); });
}
void cos(const BackwardContext& c) {
  unary(c, [](float x, float) { return -std::sin(x); });
}
void atan(const BackwardContext& c) {
  unary(c, [](float x, float) { return 1.0F / (1.0F + x * x); });
}
void neg(const BackwardContext& c) {
  unary(c, [](float, float) { return -1.0F; });
}
void abs(const BackwardContext& c) {
  unary(c, [](float x, float) { return x > 0.0F ? 1.0F : x < 0.0F ? -1.0F : 0.0F; });
}
void pass(const BackwardContext& c) {
  unary(c, [](float, float) { return 1.0F; });
}
void clip(const BackwardContext& c) {
  const float low = c.has(1) ? c.in[1].floats()[0] : -std::numeric_limits<float>::infinity();
  const float high = c.has(2) ? c.in[2].floats()[0] : std::numeric_limits<float>::infinity();
  unary(c, [=](float x, float) { return x >= low && x <= high ? 1.0F : 0.0F; });
}

// --- Two operands ----------------------------------------------------------------------------------------------------

/// d_in[k] = sum over the axes along which operand k was repeated of f(dy, a, b).
template <class F>
void operand(const BackwardContext& c, std::size_t k, F f) {
  if (!c.wants(k)) return;
  const Array &out = c.out[0], &target = c.d_in[k];
  const bool repeated = physical_shape(target.shape, target.layout) != physical_shape(out.shape, out.layout);
  AlignedVector<float> full;
  if (repeated) full.resize(static_cast<std::size_t>(out.size()));
  float* g = repeated ? full.data() : target.floats();
  const float* dy = c.d_out[0].floats();
  const auto plan = plan_broadcast<2>(out, {&c.in[0], &c.in[1]});
  const std::int64_t sa = plan.strides[0].back(), sb = plan.strides[1].back();
  for_each_run(plan, c.parallel, [&](std::int64_t o, const std::array<std::int64_t, 2>& at, std::int64_t count) {
    const float* a = c.in[0].floats() + at[0];
    const float* b = c.in[1].floats() + at[1];
    if (sa == 1 && sb == 1)
      for (std::int64_t i = 0; i < count; ++i) g[o + i] = f(dy[o + i], a[i], b[i]);
    else
      for (std::int64_t i = 0; i < count; ++i) g[o + i] = f(dy[o + i], a[i * sa], b[i * sb]);
  });
  if (repeated) sum_repeated(g, out, target, c.parallel);
}

void add(const BackwardContext& c) {
  for (const std::size_t k : {std::size_t{0}, std::size_t{1}}) operand(c, k, [](float dy, float, float) { return dy; });
}
void sub(const BackwardContext& c) {
  operand(c, 0, [](float dy, float, float) { return dy; });
  operand(c, 1, [](float dy, float, float) { return -dy; });
}
void mul(const BackwardContext& c) {
  operand(c, 0, [](float dy, float, float b) { return dy * b; });
  operand(c, 1, [](float dy, float a, float) { return dy * a; });
}
void div(const BackwardContext& c) {
  operand(c, 0, [](float dy, float, float b) { return dy / b; });
  operand(c, 1, [](float dy, float a, float b) { return -dy * a / (b * b); });
}
void min(const BackwardContext& c) {
  operand(c, 0, [](float dy, float a, float b) { return b < a ? 0.0F : dy; });
  operand(c, 1, [](float dy, float a, float b) { return b < a ? dy : 0.0F; });
}
void max(const BackwardContext& c) {
  operand(c, 0, [](float dy, float a, float b) { return b > a ? 0.0F : dy; });
  operand(c, 1, [](float dy, float a, float b) { return b > a ? dy : 0.0F; });
}
void pow(const BackwardContext& c) {
  if (!c.in[1].is_float()) {
    const Array& exponent = c.in[1];
    require<InputError>(exponent.size() == 1, "{}: gradients need an integer exponent to be one number", c.where());
    const auto n = static_cast<float>(exponent.integers()[0]);
    return unary(c, [=](float x, float) { return n * std::pow(x, n - 1.0F); });
  }
  operand(c, 0, [](float dy, float a, float b) { return dy * b * std::pow(a, b - 1.0F); });
  operand(c, 1, [](float dy, float a, float b) { return a > 0.0F ? dy * std::pow(a, b) * std::log(a) : 0.0F; });
}
void prelu(const BackwardContext& c) {
  operand(c, 0, [](float dy, float x, float slope) { return x < 0.0F ? slope * dy : dy; });
  operand(c, 1, [](float dy, float x, float) { return x < 0.0F ? x * dy : 0.0F; });
}

void where(const BackwardContext& c) {
  for (const std::size_t k : {std::size_t{1}, std::size_t{2}}) {
    if (!c.wants(k)) continue;
    const Array &out = c.out[0], &target = c.d_in[k];
    AlignedVector<float> full(static_cast<std::size_t>(out.size()));
    const float* dy = c.d_out[0].floats();
    const auto plan = plan_broadcast<1>(out, {&c.in[0]});
    const std::int64_t step = plan.strides[0].back();
    for_each_run(plan, c.parallel, [&](std::int64_t o, const std::array<std::int64_t, 1>& at, std::int64_t count) {
      const std::int64_t* condition = c.in[0].integers() + at[0];
      for (std::int64_t i = 0; i < count; ++i)
        full[static_cast<std::size_t>(o + i)] = (condition[i * step] != 0) == (k == 1) ? dy[o + i] : 0.0F;
    });
    sum_repeated(full.data(), out, target, c.parallel);
  }
}

}  // namespace

void sum_repeated(const float* values, const Array& like, const Array& target, Parallel parallel) {
  const auto plan = plan_broadcast<1>(like, {&target});
  const std::int64_t size = target.size(), inner = plan.extents.back(), step = plan.strides[0].back();
  const std::int64_t total = like.size(), rows = inner > 0 ? total / inner : 0;
  // Partial sums of pieces whose number depends on the shape alone.
  const std::int64_t pieces = size <= (std::int64_t{1} << 14) ? std::clamp<std::int64_t>(rows, 1, 16) : 1;
  std::vector<std::vector<double>> sums(static_cast<std::size_t>(pieces));
  parallel_for(parallel, pieces, [&](std::int64_t piece) {
    std::vector<double>& sum = sums[static_cast<std::size_t>(piece)];
    sum.assign(static_cast<std::size_t>(size), 0.0);
    const std::size_t outer = plan.extents.size() - 1;
    for (std::int64_t row = piece * rows / pieces; row < (piece + 1) * rows / pieces; ++row) {
      std::int64_t rest = row, at = 0;
      for (std::size_t i = outer; i-- > 0;) {
        at += rest % plan.extents[i] * plan.strides[0][i];
        rest /= plan.extents[i];
      }
      const float* from = values + row * inner;
      double* to = sum.data() + at;
      if (step == 0) {
        double acc = 0.0;
        for (std::int64_t i = 0; i < inner; ++i) acc += static_cast<double>(from[i]);
        *to += acc;
      } else {
        for (std::int64_t i = 0; i < inner; ++i) to[i * step] += static_cast<double>(from[i]);
      }
    }
  });
  for (std::int64_t i = 0; i < size; ++i) {
    double sum = 0.0;
    for (const std::vector<double>& piece : sums) sum += piece[static_cast<std::size_t>(i)];
    target.floats()[i] = static_cast<float>(sum);
  }
}

Backward find_backward(const std::string& op) {
  static const std::map<std::string_view, Backward> table = {
      {"Relu", relu},
      {"LeakyRelu", leaky_relu},
      {"ThresholdedRelu", thresholded_relu},
      {"Elu", elu},
      {"Celu", celu},
      {"Selu", selu},
      {"Sigmoid", sigmoid},
      {"HardSigmoid", hard_sigmoid},
      {"HardSwish", hard_swish},
      {"Gelu", gelu_slope},
      {"Mish", mish},
      {"Tanh", tanh},
      {"Erf", erf},
      {"Softplus", softplus_slope},
      {"Softsign", softsign},
      {"Exp", exp},
      {"Log", log},
      {"Sqrt", sqrt},
      {"Reciprocal", reciprocal},
      {"Sin", sin},
      {"Cos", cos},
      {"Atan", atan},
      {"Neg", neg},
      {"Abs", abs},
      {"Cast", pass},
      {"Identity", pass},
      {"Clip", clip},
      {"Add", add},
      {"Sub", sub},
      {"Mul", mul},
      {"Div", div},
      {"Min", min},
      {"Max", max},
      {"Pow", pow},
      {"PRelu", prelu},
      {"Where", where},
      {"MatMul", backward_matmul},
      {"MaxPool", backward_max_pool},
      {"GlobalMaxPool", backward_max_pool},
      {"AveragePool", backward_average_pool},
      {"GlobalAveragePool", backward_average_pool},
      {"ReduceMean", backward_reduce},
      {"ReduceSum", backward_reduce},
      {"Softmax", backward_softmax},
      {"LogSoftmax", backward_log_softmax},
      {"Reshape", backward_view},
      {"Flatten", backward_view},
      {"Squeeze", backward_view},
      {"Unsqueeze", backward_view},
      {"Transpose", backward_moved},
      {"Slice", backward_moved},
      {"Pad", backward_moved},
      {"Tile", backward_moved},
      {"Expand", backward_moved},
      {"Concat", backward_moved},
      {"Split", backward_moved},
      {"Gather", backward_moved},
      {"GatherElements", backward_moved},
      {"GatherND", backward_moved},
      {"ReverseSequence", backward_moved},
      {"DepthWindows", backward_moved},
      {"DepthStack", backward_moved},
      {"DepthToSpace", backward_moved},
      {"SpaceToDepth", backward_moved},
      {"Trilu", backward_moved},
  };
  const auto found = table.find(op);
  return found == table.end() ? nullptr : found->second;
}

}  // namespace tessera::nn
