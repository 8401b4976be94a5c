#include <cmath>

#include "broadcast.hpp"
#include "operator_list.hpp"

/// Functions of one real number: activation functions and those of the mathematical library.
namespace tessera::nn {

namespace {

constexpr float sqrt_half = 0.70710678118654752F;

float gelu(float x) {
  return 0.5F * x * (1.0F + std::erf(x * sqrt_half));
}
float gelu_tanh(float x) {
  return 0.5F * x * (1.0F + std::tanh(0.7978845608028654F * (x + 0.044715F * x * x * x)));
}
// The larger side keeps its relative precision: log1p(exp(-|x|)) never overflows.
float softplus(float x) {
  return std::max(x, 0.0F) + std::log1p(std::exp(-std::fabs(x)));
}
float clamp01(float x) {
  return x < 0.0F ? 0.0F : (x > 1.0F ? 1.0F : x);
}

}  // namespace

void compute_relu(const ComputeContext& c) {
  if (c.in[0].is_float())
    float_unary(c, [](float x) { return x < 0.0F ? 0.0F : x; });
  else
    apply_unary<std::int64_t, std::int64_t>(c.out[0], c.in[0], c.parallel,
                                            [](std::int64_t x) { return std::max<std::int64_t>(x, 0); });
}
void compute_leaky_relu(const ComputeContext& c) {
  const float alpha = c.node.real("alpha", 0.01F);
  float_unary(c, [=](float x) { return x < 0.0F ? alpha * x : x; });
}
void compute_thresholded_relu(const ComputeContext& c) {
  const float alpha = c.node.real("alpha", 1.0F);
  float_unary(c, [=](float x) { return x <= alpha ? 0.0F : x; });
}
void compute_elu(const ComputeContext& c) {
  const float alpha = c.node.real("alpha", 1.0F);
  float_unary(c, [=](float x) { return x < 0.0F ? alpha * std::expm1(x) : x; });
}
void compute_celu(const ComputeContext& c) {
  const float alpha = c.node.real("alpha", 1.0F);
  float_unary(c, [=](float x) { return x < 0.0F ? alpha * std::expm1(x / alpha) : x; });
}
void compute_selu(const ComputeContext& c) {
  const float alpha = c.node.real("alpha", 1.67326319217681884765625F);
  const float gamma = c.node.real("gamma", 1.05070102214813232421875F);
  float_unary(c, [=](float x) { return gamma * (x < 0.0F ? alpha * std::expm1(x) : x); });
}
void compute_sigmoid(const ComputeContext& c) {
  float_unary(c, [](float x) { return 1.0F / (1.0F + std::exp(-x)); });
}
void compute_hard_sigmoid(const ComputeContext& c) {
  const float alpha = c.node.real("alpha", 0.2F), beta = c.node.real("beta", 0.5F);
  float_unary(c, [=](float x) { return clamp01(alpha * x + beta); });
}
void compute_hard_swish(const ComputeContext& c) {
  float_unary(c, [](float x) { return x * clamp01(x / 6.0F + 0.5F); });
}
void compute_gelu(const ComputeContext& c) {
  if (c.node.text("approximate", "none") == "tanh")
    float_unary(c, gelu_tanh);
  else
    float_unary(c, gelu);
}
void compute_mish(const ComputeContext& c) {
  float_unary(c, [](float x) { return x * std::tanh(softplus(x)); });
}
void compute_tanh(const ComputeContext& c) {
  float_unary(c, [](float x) { return std::tanh(x); });
}
void compute_erf(const ComputeContext& c) {
  float_unary(c, [](float x) { return std::erf(x); });
}
void compute_softplus(const ComputeContext& c) {
  float_unary(c, softplus);
}
void compute_softsign(const ComputeContext& c) {
  float_unary(c, [](float x) { return x / (1.0F + std::fabs(x)); });
}
void compute_exp(const ComputeContext& c) {
  float_unary(c, [](float x) { return std::exp(x); });
}
void compute_log(const ComputeContext& c) {
  float_unary(c, [](float x) { return std::log(x); });
}
void compute_sqrt(const ComputeContext& c) {
  float_unary(c, [](float x) { return std::sqrt(x); });
}
void compute_reciprocal(const ComputeContext& c) {
  float_unary(c, [](float x) { return 1.0F / x; });
}
void compute_floor(const ComputeContext& c) {
  float_unary(c, [](float x) { return std::floor(x); });
}
void compute_ceil(const ComputeContext& c) {
  float_unary(c, [](float x) { return std::ceil(x); });
}
void compute_round(const ComputeContext& c) {
  float_unary(c, [](float x) { return std::nearbyint(x); });
}
void compute_sin(const ComputeContext& c) {
  float_unary(c, [](float x) { return std::sin(x); });
}
void compute_cos(const ComputeContext& c) {
  float_unary(c, [](float x) { return std::cos(x); });
}
void compute_atan(const ComputeContext& c) {
  float_unary(c, [](float x) { return std::atan(x); });
}
void compute_tan(const ComputeContext& c) {
  float_unary(c, [](float x) { return std::tan(x); });
}
void compute_asin(const ComputeContext& c) {
  float_unary(c, [](float x) { return std::asin(x); });
}
void compute_acos(const ComputeContext& c) {
  float_unary(c, [](float x) { return std::acos(x); });
}
void compute_sinh(const ComputeContext& c) {
  float_unary(c, [](float x) { return std::sinh(x); });
}
void compute_cosh(const ComputeContext& c) {
  float_unary(c, [](float x) { return std::cosh(x); });
}
void compute_asinh(const ComputeContext& c) {
  float_unary(c, [](float x) { return std::asinh(x); });
}
void compute_acosh(const ComputeContext& c) {
  float_unary(c, [](float x) { return std::acosh(x); });
}
void compute_atanh(const ComputeContext& c) {
  float_unary(c, [](float x) { return std::atanh(x); });
}

}  // namespace tessera::nn
