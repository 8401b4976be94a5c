#include "onnx_types.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "onnx_tensor.hpp"
#include "tessera/core/error.hpp"

namespace tessera::io {

using Proto = onnx::TensorProto;

namespace {

bool one_of(std::string_view op, std::initializer_list<std::string_view> ops) {
  return std::ranges::find(ops, op) != ops.end();
}

/// Type of output i of a node; 0 if it does not follow.
int output_type(const NodeImport& n, std::size_t i) {
  const std::string& op = n.op();
  if (one_of(op, {"Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Xor", "Not", "IsNaN",
                  "IsInf"}))
    return Proto::BOOL;
  if (one_of(op, {"Shape", "Size", "ArgMax", "ArgMin", "NonZero", "NonMaxSuppression"})) return Proto::INT64;
  if (i > 0 && one_of(op, {"TopK", "MaxPool", "Unique"})) return Proto::INT64;
  if (i == 1 && op == "Dropout") return Proto::BOOL;
  if (op == "Cast" || op == "BitCast") return static_cast<int>(n.integer("to", 0));
  if (op == "EyeLike" && n.has_attribute("dtype")) return static_cast<int>(n.integer("dtype", 0));
  if (one_of(op, {"CastLike", "Where"})) return n.onnx_type(1);
  if (op == "OneHot") return n.onnx_type(2);
  if (op == "ConstantOfShape" || op == "Constant") {
    const auto* value = n.attribute("value");
    if (value != nullptr && value->has_t()) return value->t().data_type();
    return op == "ConstantOfShape" || n.has_attribute("value_float") || n.has_attribute("value_floats") ? Proto::FLOAT
                                                                                                        : Proto::INT64;
  }
  if (op == "QuantizeLinear") {
    if (n.has(2)) return n.onnx_type(2);
    const auto type = static_cast<int>(n.integer("output_dtype", 0));
    return type != 0 ? type : Proto::UINT8;
  }
  if (op == "DequantizeLinear") return n.onnx_type(1);
  if (op == "DynamicQuantizeLinear") return i == 1 ? Proto::FLOAT : Proto::UINT8;
  if (one_of(op, {"MatMulInteger", "ConvInteger"})) return Proto::INT32;
  if (op == "QLinearMatMul" || op == "QLinearConv") return n.onnx_type(7);
  return n.onnx_type(0);
}

}  // namespace

void set_output_types(const NodeImport& n) {
  for (std::size_t i = 0; i < n.output_count(); ++i)
    if (n.output(i) != nn::no_value && n.onnx_type_of(n.output(i)) == 0)
      n.set_onnx_type(n.output(i), output_type(n, i));
}

int integer_bits(int type) {
  switch (type) {
    case Proto::BOOL:
      return 1;
    case onnx_uint2:
    case onnx_int2:
      return 2;
    case onnx_uint4:
    case onnx_int4:
      return 4;
    case Proto::UINT8:
    case Proto::INT8:
      return 8;
    case Proto::UINT16:
    case Proto::INT16:
      return 16;
    case Proto::UINT32:
    case Proto::INT32:
      return 32;
    default:
      return 64;
  }
}

bool is_unsigned(int type) {
  constexpr std::array<int, 7> types{Proto::BOOL,   onnx_uint2,    onnx_uint4,   Proto::UINT8,
                                     Proto::UINT16, Proto::UINT32, Proto::UINT64};
  return std::ranges::find(types, type) != types.end();
}

IntegerRange integer_range(int type) {
  const int bits = integer_bits(type);
  require<InputError>(bits < 64, "integers of ONNX type {} are not supported here (must have at most 32 bits)",
                      onnx_type_name(type));
  if (is_unsigned(type)) return {0, (std::int64_t{1} << bits) - 1};
  return {-(std::int64_t{1} << (bits - 1)), (std::int64_t{1} << (bits - 1)) - 1};
}

}  // namespace tessera::io
