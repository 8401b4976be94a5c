#include <algorithm>

#include "onnx_emit.hpp"
#include "onnx_rules.hpp"
#include "onnx_tensor.hpp"
#include "onnx_types.hpp"
#include "tessera/core/error.hpp"

/// Tests, bit patterns, conversions, and the picking of elements.
namespace tessera::io {

using N = const NodeImport&;
using Id = nn::ValueId;

namespace {

/// Integer results of types below 64 bits wrap.
void emit_wrapped(N n, const std::string& op, const std::vector<Id>& inputs,
                  std::map<std::string, nn::Attribute> attributes = {}) {
  const int type = n.onnx_type(0);
  const bool wraps = type != 0 && !is_floating_type(type) && integer_bits(type) < 64;
  if (!wraps) {
    n.emit(op, inputs, {n.output()}).attributes = std::move(attributes);
    return;
  }
  const Id wide = n.fresh("wide");
  n.emit(op, inputs, {wide}).attributes = std::move(attributes);
  n.emit("Cast", {wide}, {n.output()}, "wrapped").attributes["to"] = std::int64_t{type};
}

/// Type of integers that the graph can tell from others: below 32 bits, and unsigned.
bool narrow(int type) {
  return type != 0 && !is_floating_type(type) && (integer_bits(type) < 32 || type == onnx::TensorProto::UINT32);
}

}  // namespace

/// Up to opset 6 the second operand lies along the first from `axis` on where `broadcast` is set.
nn::ValueId aligned_operand(N n) {
  if (n.opset() >= 7 || n.integer("broadcast", 0) == 0 || !n.has_attribute("axis")) return n.input(1);
  const auto rank = static_cast<std::int64_t>(n.required_rank(0)), own = static_cast<std::int64_t>(n.required_rank(1));
  std::int64_t axis = n.integer("axis", 0);
  if (axis < 0) axis += rank;
  std::vector<std::int64_t> axes;
  for (std::int64_t d = own; d < rank - axis; ++d) axes.push_back(d);
  return axes.empty() ? n.input(1) : Emit(n).unsqueeze(n.input(1), axes);
}

void import_binary(N n) {
  const Id other = aligned_operand(n);
  const bool arithmetic = n.op() == "Add" || n.op() == "Sub" || n.op() == "Mul";
  if (arithmetic && narrow(n.onnx_type(0))) return emit_wrapped(n, n.op(), {n.input(0), other});
  n.emit(n.op(), {n.input(0), other}, {n.output()});
}

void import_is_nan(N n) {
  const Emit emit(n);
  n.emit("Not", {emit("Equal", {n.input(0), n.input(0)}, "equal")}, {n.output()});
}

void import_is_inf(N n) {
  const Emit emit(n);
  const bool positive = n.integer("detect_positive", 1) != 0, negative = n.integer("detect_negative", 1) != 0;
  const Id infinity = emit.scalar(std::numeric_limits<float>::infinity());
  if (positive && negative)
    n.emit("Equal", {emit("Abs", {n.input(0)}, "magnitude"), infinity}, {n.output()});
  else if (positive || negative)
    n.emit("Equal", {n.input(0), positive ? infinity : emit.minus_infinity()}, {n.output()});
  else
    n.emit("And",
           {emit("Equal", {n.input(0), infinity}, "high"), emit("Equal", {n.input(0), emit.minus_infinity()}, "low")},
           {n.output()});
}

void import_cast_like(N n) {
  const int to = n.onnx_type(1);
  require<InputError>(to != 0, "the type of input 1 is not known; export with a Cast");
  static_cast<void>(is_floating_type(to));
  n.emit("Cast", {n.input(0)}, {n.output()}).attributes["to"] = std::int64_t{to};
}

void import_bitwise(N n) {
  const std::map<std::string, nn::Attribute> attributes =
      n.op() == "BitShift" ? std::map<std::string, nn::Attribute>{{"direction", n.text("direction", "")}}
                           : std::map<std::string, nn::Attribute>{};
  std::vector<Id> inputs;
  for (std::size_t i = 0; i < n.input_count(); ++i) inputs.push_back(n.input(i));
  emit_wrapped(n, n.op(), inputs, attributes);
}

void import_shrink(N n) {
  const Emit emit(n);
  const float lambda = n.real("lambd", 0.5F), bias = n.real("bias", 0.0F);
  const Id x = n.input(0), zero = emit.scalar(0.0F);
  const Id low = emit(
      "Where", {emit("Less", {x, emit.scalar(-lambda)}, "below"), emit("Add", {x, emit.scalar(bias)}, "raised"), zero},
      "low");
  n.emit("Where",
         {emit("Greater", {x, emit.scalar(lambda)}, "above"), emit("Sub", {x, emit.scalar(bias)}, "lowered"), low},
         {n.output()});
}

/// x sigmoid(alpha x)
void import_swish(N n) {
  const Emit emit(n);
  const float alpha = n.real("alpha", 1.0F);
  const Id scaled = alpha == 1.0F ? n.input(0) : emit("Mul", {n.input(0), emit.scalar(alpha)}, "scaled");
  n.emit("Mul", {n.input(0), emit("Sigmoid", {scaled}, "gate")}, {n.output()});
}

/// 1 at the first of the largest elements, else 0. Up to opset 12 the axes from `axis` on are one.
void import_hardmax(N n) {
  const Emit emit(n);
  const bool flat = n.opset() < 13;
  const std::int64_t axis = n.integer("axis", flat ? 1 : -1);
  Id x = n.input(0);
  const std::int64_t over = flat ? 1 : axis;
  if (flat) x = emit("Flatten", {x}, "flat", {{"axis", axis}});
  const Id at = emit("ArgMax", {x}, "largest", {{"axis", over}, {"keepdims", std::int64_t{0}}});
  const Id values = n.constant("values", Tensor({2}, std::vector<float>{0.0F, 1.0F}));
  const Id marked = emit("OneHot", {at, emit.extent(x, over), values}, "marked", {{"axis", over}});
  if (!flat) return emit.output(marked);
  emit.output(emit("Reshape", {marked, emit("Shape", {n.input(0)}, "shape")}, "reshaped"));
}

void import_gather_nd(N n) {
  n.emit_same({"batch_dims"});
}
void import_axis_only(N n) {
  n.emit_same({"axis"});
}
void import_reverse_sequence(N n) {
  n.emit_same({"batch_axis", "time_axis"});
}
void import_tensor_scatter(N n) {
  const std::string mode = n.text("mode", "linear");
  require<InputError>(mode == "linear" || mode == "circular", "mode '{}' is not known", mode);
  n.emit_same({"axis", "mode"});
}
void import_eye_like(N n) {
  nn::Node& node = n.emit_same({"k"});
  const int type = n.has_attribute("dtype") ? static_cast<int>(n.integer("dtype", 1)) : n.onnx_type(0);
  node.attributes["float"] = std::int64_t{type == 0 || is_floating_type(type) ? 1 : 0};
}

}  // namespace tessera::io
