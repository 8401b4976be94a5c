#include <cmath>
#include <limits>

#include "broadcast.hpp"
#include "operator_list.hpp"
#include "tessera/kernels/limits.hpp"

/// Shapes of elementwise operators; arithmetic, comparison, logic, conversion.
namespace tessera::nn {

namespace {

std::int64_t checked_nonzero(std::int64_t divisor) {
  if (divisor == 0) throw RunError("integer division by zero in a network");
  return divisor;
}

std::int64_t wrapping(std::int64_t a, std::int64_t b, char op) {
  const auto x = static_cast<std::uint64_t>(a), y = static_cast<std::uint64_t>(b);
  return static_cast<std::int64_t>(op == '+' ? x + y : op == '-' ? x - y : x * y);
}

std::int64_t divided(std::int64_t a, std::int64_t b) {
  if (checked_nonzero(b) == -1) return wrapping(0, a, '-');
  return a / b;
}

std::int64_t floor_mod(std::int64_t a, std::int64_t b) {
  if (checked_nonzero(b) == -1) return 0;
  const std::int64_t r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

std::int64_t integer_power(std::int64_t base, std::int64_t exponent) {
  if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent % 2 == 0 ? 1 : -1) : 0;
  std::int64_t result = 1;
  for (; exponent > 0; exponent /= 2) {
    if (exponent % 2 == 1) result = wrapping(result, base, '*');
    base = wrapping(base, base, '*');
  }
  return result;
}

void require_floats(const InferContext& c) {
  for (const ValueInfo* input : c.in)
    require<InputError>(input == nullptr || input->type == ElementType::float32,
                        "{}: integer input (must be floating point); insert a Cast", c.where());
}

ElementType common_type(const InferContext& c, std::size_t first = 0) {
  for (std::size_t i = first; i < c.in.size(); ++i)
    require<InputError>(c.required(i).type == c.required(first).type,
                        "{}: floating-point and integer inputs mixed; insert a Cast", c.where());
  return c.required(first).type;
}

Shape common_shape(const InferContext& c) {
  std::vector<Shape> shapes;
  for (std::size_t i = 0; i < c.in.size(); ++i) shapes.push_back(c.shape(i));
  return broadcast_shape(shapes, c.where());
}

}  // namespace

void infer_float_unary(const InferContext& c) {
  require_floats(c);
  c.set(0, ElementType::float32, c.shape(0));
}
void infer_unary(const InferContext& c) {
  c.set(0, c.required(0).type, c.shape(0));
}
void infer_to_boolean(const InferContext& c) {
  common_type(c);
  c.set(0, ElementType::int64, common_shape(c));
}
void infer_binary(const InferContext& c) {
  c.set(0, common_type(c), common_shape(c));
}
void infer_power(const InferContext& c) {
  c.set(0, c.required(0).type, common_shape(c));
}
void infer_logical(const InferContext& c) {
  require<InputError>(common_type(c) == ElementType::int64, "{}: floating-point input (must be boolean)", c.where());
  c.set(0, ElementType::int64, common_shape(c));
}
void infer_where(const InferContext& c) {
  require<InputError>(c.required(0).type == ElementType::int64, "{}: the condition is not boolean", c.where());
  c.set(0, common_type(c, 1), common_shape(c));
}
void infer_prelu(const InferContext& c) {
  require_floats(c);
  require<InputError>(common_shape(c) == c.shape(0), "{}: slope {} does not broadcast to {}", c.where(),
                      to_string(c.shape(1)), to_string(c.shape(0)));
  c.set(0, ElementType::float32, c.shape(0));
}
void infer_clip(const InferContext& c) {
  for (std::size_t i = 1; i < c.in.size(); ++i)
    if (c.has(i))
      require<InputError>(element_count(c.shape(i)) == 1 && c.required(i).type == c.required(0).type,
                          "{}: bounds must be scalars of the input's type", c.where());
  c.set(0, c.required(0).type, c.shape(0));
}
void infer_cast(const InferContext& c) {
  const std::int64_t to = c.node.integer("to", 1);
  const bool floating = to == 1 || to == 10 || to == 11 || to == 16;
  const bool packed = to == 21 || to == 22 || to == 25 || to == 26;  // 4 and 2 bits
  require<InputError>(floating || packed || (to >= 2 && to <= 9 && to != 8) || to == 12 || to == 13,
                      "{}: cast to ONNX type {} is not supported (must be a real number or integer type)", c.where(),
                      to);
  c.set(0, floating ? ElementType::float32 : ElementType::int64, c.shape(0));
}

void compute_neg(const ComputeContext& c) {
  if (c.in[0].is_float())
    float_unary(c, [](float x) { return -x; });
  else
    apply_unary<std::int64_t, std::int64_t>(c.out[0], c.in[0], c.parallel,
                                            [](std::int64_t x) { return wrapping(0, x, '-'); });
}
void compute_abs(const ComputeContext& c) {
  if (c.in[0].is_float())
    float_unary(c, [](float x) { return std::fabs(x); });
  else
    apply_unary<std::int64_t, std::int64_t>(c.out[0], c.in[0], c.parallel,
                                            [](std::int64_t x) { return x < 0 ? wrapping(0, x, '-') : x; });
}
void compute_sign(const ComputeContext& c) {
  if (c.in[0].is_float())
    float_unary(c, [](float x) { return x > 0.0F ? 1.0F : x < 0.0F ? -1.0F : x; });
  else
    apply_unary<std::int64_t, std::int64_t>(c.out[0], c.in[0], c.parallel,
                                            [](std::int64_t x) { return std::int64_t{x > 0} - std::int64_t{x < 0}; });
}
void compute_not(const ComputeContext& c) {
  apply_unary<std::int64_t, std::int64_t>(c.out[0], c.in[0], c.parallel,
                                          [](std::int64_t x) { return std::int64_t{x == 0}; });
}

void compute_cast(const ComputeContext& c) {
  const std::int64_t to = c.node.integer("to", 1);
  const auto narrowed = [to](std::int64_t x) -> std::int64_t {
    switch (to) {
      case 2:
        return static_cast<std::uint8_t>(x);
      case 3:
        return static_cast<std::int8_t>(x);
      case 4:
        return static_cast<std::uint16_t>(x);
      case 5:
        return static_cast<std::int16_t>(x);
      case 6:
        return static_cast<std::int32_t>(x);
      case 9:
        return std::int64_t{x != 0};
      case 12:
        return static_cast<std::uint32_t>(x);
      case 21:
        return x & 15;
      case 22:
        return ((x & 15) ^ 8) - 8;
      case 25:
        return x & 3;
      case 26:
        return ((x & 3) ^ 2) - 2;
      default:
        return x;
    }
  };
  const auto truncated = [to, narrowed](float x) -> std::int64_t {
    if (to == 9) return std::int64_t{x != 0.0F};
    if (!(std::fabs(x) < 9.2e18F))
      throw RunError(fmt::format("cannot cast {} to an integer; the network's values left the integer range", x));
    return narrowed(static_cast<std::int64_t>(x));
  };
  if (c.in[0].is_float() && c.out[0].is_float())
    float_unary(c, [](float x) { return x; });
  else if (c.in[0].is_float())
    apply_unary<std::int64_t, float>(c.out[0], c.in[0], c.parallel, truncated);
  else if (c.out[0].is_float())
    apply_unary<float, std::int64_t>(c.out[0], c.in[0], c.parallel,
                                     [](std::int64_t x) { return static_cast<float>(x); });
  else
    apply_unary<std::int64_t, std::int64_t>(c.out[0], c.in[0], c.parallel, narrowed);
}

void compute_clip(const ComputeContext& c) {
  if (c.in[0].is_float()) {
    kernels::Limits limits;
    if (c.has(1)) limits.low = c.in[1].floats()[0];
    if (c.has(2)) limits.high = c.in[2].floats()[0];
    float_unary(c, limits);
  } else {
    const std::int64_t low = c.has(1) ? c.in[1].integers()[0] : std::numeric_limits<std::int64_t>::min();
    const std::int64_t high = c.has(2) ? c.in[2].integers()[0] : std::numeric_limits<std::int64_t>::max();
    apply_unary<std::int64_t, std::int64_t>(c.out[0], c.in[0], c.parallel,
                                            [=](std::int64_t x) { return std::min(std::max(x, low), high); });
  }
}

namespace {

template <class FloatF, class IntF>
void arithmetic(const ComputeContext& c, FloatF f, IntF g) {
  if (c.in[0].is_float())
    apply_binary<float, float>(c.out[0], c.in[0], c.in[1], c.parallel, f);
  else
    apply_binary<std::int64_t, std::int64_t>(c.out[0], c.in[0], c.in[1], c.parallel, g);
}

template <class F>
void comparison(const ComputeContext& c, F f) {
  if (c.in[0].is_float())
    apply_binary<std::int64_t, float>(c.out[0], c.in[0], c.in[1], c.parallel,
                                      [f](float a, float b) { return std::int64_t{f(a, b)}; });
  else
    apply_binary<std::int64_t, std::int64_t>(c.out[0], c.in[0], c.in[1], c.parallel,
                                             [f](std::int64_t a, std::int64_t b) { return std::int64_t{f(a, b)}; });
}

}  // namespace

void compute_add(const ComputeContext& c) {
  arithmetic(
      c, [](float a, float b) { return a + b; }, [](std::int64_t a, std::int64_t b) { return wrapping(a, b, '+'); });
}
void compute_sub(const ComputeContext& c) {
  arithmetic(
      c, [](float a, float b) { return a - b; }, [](std::int64_t a, std::int64_t b) { return wrapping(a, b, '-'); });
}
void compute_mul(const ComputeContext& c) {
  arithmetic(
      c, [](float a, float b) { return a * b; }, [](std::int64_t a, std::int64_t b) { return wrapping(a, b, '*'); });
}
void compute_div(const ComputeContext& c) {
  arithmetic(
      c, [](float a, float b) { return a / b; }, divided);
}
// NaN in either operand is kept, so that it is not lost on the way to the output.
void compute_min(const ComputeContext& c) {
  arithmetic(
      c, [](float a, float b) { return b < a || b != b ? b : a; },
      [](std::int64_t a, std::int64_t b) { return std::min(a, b); });
}
void compute_max(const ComputeContext& c) {
  arithmetic(
      c, [](float a, float b) { return b > a || b != b ? b : a; },
      [](std::int64_t a, std::int64_t b) { return std::max(a, b); });
}
void compute_mod(const ComputeContext& c) {
  const bool truncated = c.node.integer("fmod", 0) != 0;
  arithmetic(
      c,
      [truncated](float a, float b) {
        const float r = std::fmod(a, b);
        return !truncated && r != 0.0F && (r < 0.0F) != (b < 0.0F) ? r + b : r;
      },
      truncated ? [](std::int64_t a, std::int64_t b) { return checked_nonzero(b) == -1 ? 0 : a % b; } : floor_mod);
}
void compute_prelu(const ComputeContext& c) {
  apply_binary<float, float>(c.out[0], c.in[0], c.in[1], c.parallel,
                             [](float x, float slope) { return x < 0.0F ? slope * x : x; });
}
void compute_equal(const ComputeContext& c) {
  comparison(c, [](auto a, auto b) { return a == b; });
}
void compute_less(const ComputeContext& c) {
  comparison(c, [](auto a, auto b) { return a < b; });
}
void compute_less_or_equal(const ComputeContext& c) {
  comparison(c, [](auto a, auto b) { return a <= b; });
}
void compute_greater(const ComputeContext& c) {
  comparison(c, [](auto a, auto b) { return a > b; });
}
void compute_greater_or_equal(const ComputeContext& c) {
  comparison(c, [](auto a, auto b) { return a >= b; });
}
void compute_and(const ComputeContext& c) {
  comparison(c, [](auto a, auto b) { return a != 0 && b != 0; });
}
void compute_or(const ComputeContext& c) {
  comparison(c, [](auto a, auto b) { return a != 0 || b != 0; });
}
void compute_xor(const ComputeContext& c) {
  comparison(c, [](auto a, auto b) { return (a != 0) != (b != 0); });
}

void compute_pow(const ComputeContext& c) {
  const Array& base = c.in[0];
  const Array& exponent = c.in[1];
  if (base.is_float() && exponent.is_float()) {
    if (exponent.size() == 1 && exponent.floats()[0] == 2.0F)
      float_unary(c, [](float x) { return x * x; });
    else
      apply_binary<float, float>(c.out[0], base, exponent, c.parallel, [](float a, float b) { return std::pow(a, b); });
    return;
  }
  if (!base.is_float() && !exponent.is_float()) {
    apply_binary<std::int64_t, std::int64_t>(c.out[0], base, exponent, c.parallel, integer_power);
    return;
  }
  // Mixed types: the exponent is brought to the base's type first.
  Constant converted =
      base.is_float()
          ? Constant(Tensor::uninitialized(exponent.shape))
          : Constant(IntTensor{exponent.shape, std::vector<std::int64_t>(static_cast<std::size_t>(exponent.size()))});
  Array other = array_of(converted);
  other.layout = exponent.layout;
  if (base.is_float()) {
    apply_unary<float, std::int64_t>(other, exponent, c.parallel, [](std::int64_t x) { return static_cast<float>(x); });
    apply_binary<float, float>(c.out[0], base, other, c.parallel, [](float a, float b) { return std::pow(a, b); });
  } else {
    apply_unary<std::int64_t, float>(other, exponent, c.parallel, [](float x) { return static_cast<std::int64_t>(x); });
    apply_binary<std::int64_t, std::int64_t>(c.out[0], base, other, c.parallel, integer_power);
  }
}

void compute_where(const ComputeContext& c) {
  if (c.out[0].is_float())
    apply_where<float>(c.out[0], c.in[0], c.in[1], c.in[2], c.parallel);
  else
    apply_where<std::int64_t>(c.out[0], c.in[0], c.in[1], c.in[2], c.parallel);
}

}  // namespace tessera::nn
