#include "onnx_emit.hpp"
#include "onnx_rules.hpp"
#include "onnx_types.hpp"
#include "tessera/core/error.hpp"

/// Quantizers, and operators on integer codes.
namespace tessera::io {

using N = const NodeImport&;
using Id = nn::ValueId;

namespace {

constexpr std::initializer_list<const char*> quantized_window = {"auto_pad",     "dilations", "group",
                                                                 "kernel_shape", "pads",      "strides"};

/// Range of the codes of a type that a quantizer may give.
IntegerRange code_range(int type) {
  require<InputError>(type != 0, "the zero point's type is not known; only a stored constant is supported");
  const bool floating = type == 1 || type == 10 || type == 11 || (type >= 16 && type <= 20) || type == 23 || type == 24;
  require<InputError>(!floating && integer_bits(type) <= 16 && integer_bits(type) > 1,
                      "codes of ONNX type {} are not supported (must be integers of 2 to 16 bits); export with int8 "
                      "codes",
                      type);
  return integer_range(type);
}

void quantize(N n, Id x, Id scale, Id zero, IntegerRange codes, std::int64_t axis, Id output, const char* suffix) {
  std::vector<Id> inputs = {x, scale};
  if (zero != nn::no_value) inputs.push_back(zero);
  nn::Node& node = n.emit("QuantizeLinear", inputs, {output}, suffix);
  node.attributes["axis"] = axis;
  node.attributes["low"] = codes.low;
  node.attributes["high"] = codes.high;
}

/// A scale or zero point of a block for every element: repeated along the axis, cut to the extent of x.
Id per_element(N n, const Emit& emit, Id blocks, std::int64_t axis, std::int64_t size) {
  const auto shape = n.shape_of(blocks);
  const auto x = n.shape(0);
  require<InputError>(shape && x && shape->size() == x->size(), "blocks need known shapes; export with input shapes");
  const auto rank = static_cast<std::int64_t>(shape->size());
  if (axis < 0) axis += rank;
  require<InputError>(axis >= 0 && axis < rank && (*x)[static_cast<std::size_t>(axis)] > 0,
                      "axis {} of a quantizer in blocks does not fit", axis);
  std::vector<std::int64_t> copies(static_cast<std::size_t>(rank) + 1, 1), merged;
  copies[static_cast<std::size_t>(axis) + 1] = size;
  for (std::int64_t d = 0; d < rank; ++d)
    merged.push_back(d == axis ? (*shape)[static_cast<std::size_t>(d)] * size : 0);
  // 0 copies an extent of the same place only; behind the axis they have moved by one.
  for (std::int64_t d = axis + 1; d < rank; ++d) {
    const std::int64_t extent = (*shape)[static_cast<std::size_t>(d)];
    require<InputError>(extent > 0, "blocks need known shapes; export with input shapes");
    merged[static_cast<std::size_t>(d)] = extent;
  }
  const Id repeated = emit("Expand", {emit.unsqueeze(blocks, {axis + 1}), emit.integers(copies)}, "repeated");
  return emit.slice(emit.reshape(repeated, merged), axis, 0, (*x)[static_cast<std::size_t>(axis)]);
}

/// A vector of one value per output as [outputs, 1, ...] of `rank` axes less one.
Id along_channels(const Emit& emit, Id vector, std::size_t rank) {
  std::vector<std::int64_t> axes;
  for (std::size_t d = 1; d + 1 < rank; ++d) axes.push_back(static_cast<std::int64_t>(d));
  return axes.empty() ? vector : emit.unsqueeze(vector, axes);
}

bool is_vector(N n, Id id) {
  const auto shape = n.shape_of(id);
  return shape && shape->size() == 1 && shape->front() != 1;
}

/// Codes of a finished integer sum: round(sum * factor) + zero.
void requantize(N n, const Emit& emit, Id sum, Id factor, Id zero) {
  const Id real = emit("Mul", {emit.cast(sum, onnx::TensorProto::FLOAT), factor}, "scaled");
  quantize(n, real, emit.scalar(1.0F), zero, code_range(n.onnx_type_of(zero)), 1, n.output(), "");
}

Id dequantized(const Emit& emit, Id codes, Id scale, Id zero, std::int64_t axis) {
  std::vector<Id> inputs = {codes, scale};
  if (zero != nn::no_value) inputs.push_back(zero);
  return emit("DequantizeLinear", inputs, "real", {{"axis", axis}});
}

}  // namespace

void import_quantize_linear(N n) {
  const Emit emit(n);
  int type = n.has(2) ? n.onnx_type(2) : static_cast<int>(n.integer("output_dtype", 0));
  if (!n.has(2) && type == 0) type = onnx::TensorProto::UINT8;
  const IntegerRange codes = code_range(type);
  const std::int64_t block = n.integer("block_size", 0), axis = n.integer("axis", 1);
  if (block == 0) return quantize(n, n.input(0), n.input(1), n.input(2), codes, axis, n.output(), "");
  Id x = emit("Div", {n.input(0), per_element(n, emit, n.input(1), axis, block)}, "scaled");
  x = emit("Round", {x}, "rounded");
  if (n.has(2))
    x = emit("Add", {x, emit.cast(per_element(n, emit, n.input(2), axis, block), onnx::TensorProto::FLOAT)}, "shifted");
  x = emit("Clip", {x, emit.scalar(static_cast<float>(codes.low)), emit.scalar(static_cast<float>(codes.high))},
           "clipped");
  n.emit("Cast", {x}, {n.output()}).attributes["to"] = std::int64_t{onnx::TensorProto::INT64};
}

void import_dequantize_linear(N n) {
  const Emit emit(n);
  const std::int64_t block = n.integer("block_size", 0), axis = n.integer("axis", 1);
  if (block == 0) {
    n.emit_same({"axis"});
    return;
  }
  Id x = n.input(0);
  if (n.has(2)) x = emit("Sub", {x, per_element(n, emit, n.input(2), axis, block)}, "centred");
  n.emit("Mul", {emit.cast(x, onnx::TensorProto::FLOAT), per_element(n, emit, n.input(1), axis, block)}, {n.output()});
}

/// Codes, scale and zero point of 8 bits from the extremes of the data, of which 0 is one.
void import_dynamic_quantize_linear(N n) {
  const Emit emit(n);
  const Id zero = emit.scalar(0.0F), x = n.input(0);
  const Id high = emit("Max", {emit.reduce("ReduceMax", x, {}, false), zero}, "highest"),
           low = emit("Min", {emit.reduce("ReduceMin", x, {}, false), zero}, "lowest");
  const Id step = emit("Div", {emit("Sub", {high, low}, "range"), emit.scalar(255.0F)}, "step");
  const Id scale = emit("Where", {emit("Equal", {step, zero}, "constant"), emit.scalar(1.0F), step}, "scale");
  Id point = emit("Round", {emit("Div", {emit("Neg", {low}, "negated"), scale}, "place")}, "rounded");
  point = emit("Clip", {point, zero, emit.scalar(255.0F)}, "clipped");
  point = emit.cast(point, onnx::TensorProto::UINT8);
  quantize(n, x, scale, point, {0, 255}, 1, n.output(), "");
  emit.output(scale, 1);
  emit.output(point, 2);
}

/// Inputs: x, its scale and zero point, w, its scale and zero point, scale and zero point of y, bias in x * w steps.
void import_qlinear_conv(N n) {
  const Emit emit(n);
  n.require_constant(3, "weight");
  const auto shape = n.shape(3);
  require<InputError>(shape.has_value(), "the weight's shape is not known");
  const std::size_t rank = shape->size();
  if (n.dequantize()) {
    const Id x = dequantized(emit, n.input(0), n.input(1), n.input(2), 1),
             w = dequantized(emit, n.input(3), n.input(4), n.input(5), 0);
    std::vector<Id> inputs = {x, w};
    if (n.has(8)) {
      const Id unit = emit("Mul", {n.input(1), n.input(4)}, "bias_step");
      inputs.push_back(emit("Mul", {emit.cast(n.input(8), onnx::TensorProto::FLOAT), unit}, "bias"));
    }
    const Id y = n.fresh("real");
    n.copy_attributes(n.emit("Conv", inputs, {y}), quantized_window);
    return quantize(n, y, n.input(6), n.input(7), code_range(n.onnx_type(7)), 1, n.output(), "quantized");
  }
  Id sum = n.fresh("sum");
  nn::Node& node = n.emit("ConvInteger", {n.input(0), n.input(3), n.input(2), n.input(5)}, {sum}, "sum");
  n.copy_attributes(node, quantized_window);
  if (n.has(8)) sum = emit("Add", {sum, along_channels(emit, n.input(8), rank)}, "biased");
  const Id w_scale = is_vector(n, n.input(4)) ? along_channels(emit, n.input(4), rank) : n.input(4);
  const Id factor = emit("Div", {emit("Mul", {n.input(1), w_scale}, "product_step"), n.input(6)}, "factor");
  requantize(n, emit, sum, factor, n.input(7));
}

/// Inputs: a, its scale and zero point, b, its scale and zero point, scale and zero point of y.
void import_qlinear_matmul(N n) {
  const Emit emit(n);
  if (n.dequantize()) {
    const Id a = dequantized(emit, n.input(0), n.input(1), n.input(2), -2),
             b = dequantized(emit, n.input(3), n.input(4), n.input(5), -1), y = n.fresh("real");
    n.emit("MatMul", {a, b}, {y});
    return quantize(n, y, n.input(6), n.input(7), code_range(n.onnx_type(7)), 1, n.output(), "quantized");
  }
  const Id sum = emit("MatMulInteger", {n.input(0), n.input(3), n.input(2), n.input(5)}, "sum");
  const Id a_scale = is_vector(n, n.input(1)) ? emit.unsqueeze(n.input(1), {1}) : n.input(1);
  const Id factor = emit("Div", {emit("Mul", {a_scale, n.input(4)}, "product_step"), n.input(6)}, "factor");
  requantize(n, emit, sum, factor, n.input(7));
}

/// MatMulInteger and ConvInteger: sums of products of codes less their zero points.
void import_integer_product(N n) {
  const bool conv = n.op() == "ConvInteger";
  if (!n.dequantize()) {
    nn::Node& node = n.emit_same({});
    if (conv) n.copy_attributes(node, quantized_window);
    return;
  }
  const Emit emit(n);
  const auto centred = [&](std::size_t i) {
    Id x = n.input(i);
    if (n.has(i + 2)) {
      Id zero = n.input(i + 2);
      if (i == 0 && !conv && is_vector(n, zero)) zero = emit.unsqueeze(zero, {1});
      if (i == 1 && conv && is_vector(n, zero)) {
        const auto shape = n.shape(1);
        zero = emit.unsqueeze(along_channels(emit, zero, shape ? shape->size() : 4), {1});
      }
      x = emit("Sub", {x, zero}, "centred");
    }
    return emit.cast(x, onnx::TensorProto::FLOAT);
  };
  const Id y = n.fresh("real");
  const std::vector<Id> operands = {centred(0), centred(1)};
  nn::Node& node = n.emit(conv ? "Conv" : "MatMul", operands, {y});
  if (conv) n.copy_attributes(node, quantized_window);
  n.emit("Cast", {emit("Round", {y}, "rounded")}, {n.output()}, "sum").attributes["to"] =
      std::int64_t{onnx::TensorProto::INT64};
}

// --- QONNX and Brevitas ----------------------------------------------------------------------------------------------

namespace {

/// A bit width from a stored constant.
int stored_bits(N n, std::size_t i) {
  const Tensor* tensor = n.stored_floats(i);
  require<InputError>(tensor != nullptr && tensor->size() == 1, "the bit width (input {}) must be a stored constant",
                      i);
  const float bits = tensor->data()[0];
  require<InputError>(bits >= 1.0F && bits <= 24.0F && bits == static_cast<float>(static_cast<int>(bits)),
                      "a bit width of {} (must be a whole number from 1 to 24)", bits);
  return static_cast<int>(bits);
}

/// x rounded as an attribute says.
Id rounded(N n, const Emit& emit, Id x, const std::string& fallback) {
  const std::string mode = n.text("rounding_mode", fallback);
  if (mode == "ROUND" || mode == "HALF_EVEN") return emit("Round", {x}, "rounded");
  if (mode == "FLOOR" || mode == "CEIL") return emit(mode == "FLOOR" ? "Floor" : "Ceil", {x}, "rounded");
  const Id magnitude = emit("Abs", {x}, "magnitude");
  Id whole = nn::no_value;
  if (mode == "ROUND_TO_ZERO" || mode == "DOWN") whole = emit("Floor", {magnitude}, "whole");
  if (mode == "UP") whole = emit("Ceil", {magnitude}, "whole");
  if (mode == "HALF_UP") whole = emit("Floor", {emit("Add", {magnitude, emit.scalar(0.5F)}, "raised")}, "whole");
  if (mode == "HALF_DOWN") whole = emit("Ceil", {emit("Sub", {magnitude, emit.scalar(0.5F)}, "lowered")}, "whole");
  require<InputError>(
      whole != nn::no_value,
      "rounding_mode '{}' is not known (must be ROUND, HALF_EVEN, FLOOR, CEIL, UP, DOWN, ROUND_TO_ZERO, "
      "HALF_UP or HALF_DOWN)",
      mode);
  return emit("Mul", {emit("Sign", {x}, "sign"), whole}, "rounded");
}

struct RealRange {
  float low, high;
};
RealRange quant_range(int bits, bool is_signed, bool narrow) {
  const auto levels = static_cast<float>(std::int64_t{1} << bits);
  return {is_signed ? -levels / 2.0F + (narrow ? 1.0F : 0.0F) : 0.0F,
          is_signed ? levels / 2.0F - 1.0F : levels - 1.0F - (narrow ? 1.0F : 0.0F)};
}

}  // namespace

/// Quant, IntQuant: y = (clamp(round(x / scale + zero), low, high) - zero) * scale.
void import_quant(N n) {
  const Emit emit(n);
  const RealRange range = quant_range(stored_bits(n, 3), n.integer("signed", 1) != 0, n.integer("narrow", 0) != 0);
  Id value = emit("Div", {n.input(0), n.input(1)}, "scaled");
  value = emit("Add", {value, n.input(2)}, "shifted");
  value = rounded(n, emit, value, "ROUND");
  value = emit("Clip", {value, emit.scalar(range.low), emit.scalar(range.high)}, "clipped");
  value = emit("Sub", {value, n.input(2)}, "centered");
  n.emit("Mul", {value, n.input(1)}, {n.output()});
}

/// y = scale where x >= 0, else -scale.
void import_bipolar_quant(N n) {
  const Emit emit(n);
  const Id positive = emit("GreaterOrEqual", {n.input(0), emit.scalar(0.0F)}, "positive");
  n.emit("Where", {positive, n.input(1), emit("Neg", {n.input(1)}, "negative")}, {n.output()});
}

/// Codes are shortened by dropping their lowest bits. Five inputs: x, scale, zero point, bits of the input, bits of the
/// output; scale and zero point stay. Seven: also the output's scale, a multiple by a power of two, its zero point
/// (which follows from the input's) and bits; the result is clamped to them.
void import_trunc(N n) {
  const Emit emit(n);
  const bool rescales = n.input_count() >= 7;
  const int in_bits = stored_bits(n, 3), out_bits = stored_bits(n, rescales ? 6 : 4);
  require<InputError>(out_bits <= in_bits, "{} bits cannot be truncated to {}", in_bits, out_bits);
  const Id zero = n.input(2), scale = rescales ? n.input(4) : n.input(1);
  Id codes = emit("Round", {emit("Add", {emit("Div", {n.input(0), n.input(1)}, "scaled"), zero}, "shifted")}, "codes");
  const Id step = rescales ? emit("Div", {scale, n.input(1)}, "step")
                           : emit.scalar(static_cast<float>(std::int64_t{1} << (in_bits - out_bits)));
  codes = emit("Div", {codes, step}, "shortened");
  if (rescales) {
    const RealRange range = quant_range(out_bits, n.integer("signed", 1) != 0, n.integer("narrow", 0) != 0);
    codes = emit("Clip", {codes, emit.scalar(range.low), emit.scalar(range.high)}, "clipped");
  }
  codes = rounded(n, emit, codes, "FLOOR");
  const Id new_zero = rescales ? emit("Div", {zero, step}, "new_zero") : zero;
  n.emit("Mul", {emit("Sub", {codes, new_zero}, "centered"), scale}, {n.output()});
}

}  // namespace tessera::io
