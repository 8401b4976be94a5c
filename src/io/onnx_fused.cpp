#include <algorithm>

#include "onnx_attention.hpp"
#include "onnx_normalize.hpp"
#include "onnx_rules.hpp"
#include "tessera/core/error.hpp"

/// What ONNX Runtime's optimiser writes (domain com.microsoft), spelled out again.
namespace tessera::io {

using N = const NodeImport&;
using Id = nn::ValueId;

namespace {

/// The activation function that is fused into a layer.
void activate(N n, Id x) {
  const std::string op = n.text("activation", "");
  const std::vector<float> parameters = n.reals("activation_params");
  const auto parameter = [&](std::size_t i, const char* attribute, float fallback) {
    return i < parameters.size() ? parameters[i] : n.real(attribute, fallback);
  };
  if (op.empty()) {
    n.emit("Identity", {x}, {n.output()}, "result");
    return;
  }
  if (op == "Clip") {
    n.emit("Clip",
           {x, n.scalar("min", parameter(0, "activation_alpha", -std::numeric_limits<float>::max())),
            n.scalar("max", parameter(1, "activation_beta", std::numeric_limits<float>::max()))},
           {n.output()}, "activation");
    return;
  }
  require<InputError>(op == "Relu" || op == "Sigmoid" || op == "Tanh" || op == "LeakyRelu" || op == "HardSigmoid" ||
                          op == "Elu" || op == "Softplus" || op == "Softsign" || op == "HardSwish",
                      "activation '{}' is not supported", op);
  nn::Node& node = n.emit(op, {x}, {n.output()}, "activation");
  if (op == "LeakyRelu") node.attributes["alpha"] = parameter(0, "activation_alpha", 0.01F);
  if (op == "HardSigmoid") {
    node.attributes["alpha"] = parameter(0, "activation_alpha", 0.2F);
    node.attributes["beta"] = parameter(1, "activation_beta", 0.5F);
  }
}

}  // namespace

void import_fused_conv(N n) {
  Id y = n.fresh("sum");
  emit_conv(n, y);
  if (n.has(3)) y = n.emit_value("Add", {y, n.input(3)}, "added");
  activate(n, y);
}

void import_fused_gemm(N n) {
  const Id y = n.fresh("sum");
  emit_gemm(n, y);
  activate(n, y);
}

/// FusedMatMul, TransposeMatMul: alpha a' b'. An operand's first axis may belong in front of its last (transBatch), and
/// its last two may be exchanged then (trans).
void import_fused_matmul(N n) {
  const Emit emit(n);
  const auto operand = [&](std::size_t i, const char* exchanges, const char* moves_first) {
    const bool exchanged = n.integer(exchanges, 0) != 0, moved = n.integer(moves_first, 0) != 0;
    if (!exchanged && !moved) return n.input(i);
    const std::size_t rank = n.required_rank(i);
    std::vector<std::int64_t> axes;
    for (std::size_t d = 0; d < rank; ++d) axes.push_back(static_cast<std::int64_t>(d));
    if (moved && rank >= 3) std::rotate(axes.begin(), axes.begin() + 1, axes.end() - 1);
    if (exchanged && rank >= 2) std::swap(axes[rank - 1], axes[rank - 2]);
    return emit.transpose(n.input(i), axes);
  };
  const Id a = operand(0, "transA", "transBatchA"), b = operand(1, "transB", "transBatchB");
  const float alpha = n.real("alpha", 1.0F);
  if (alpha == 1.0F) {
    n.emit("MatMul", {a, b}, {n.output()});
    return;
  }
  const Id product = n.fresh("product");
  n.emit("MatMul", {a, b}, {product});
  n.emit("Mul", {product, n.scalar("alpha", alpha)}, {n.output()}, "scaled");
}

/// Gelu, FastGelu, BiasGelu, QuickGelu: with an optional bias.
void import_microsoft_gelu(N n) {
  const Emit emit(n);
  const Id x = n.has(1) ? emit("Add", {n.input(0), n.input(1)}, "biased") : n.input(0);
  if (n.op() == "QuickGelu") {
    const Id gate = emit("Sigmoid", {emit("Mul", {x, emit.scalar(n.real("alpha", 1.702F))}, "scaled")}, "gate");
    n.emit("Mul", {x, gate}, {n.output()});
    return;
  }
  n.emit("Gelu", {x}, {n.output()}).attributes["approximate"] = std::string(n.op() == "FastGelu" ? "tanh" : "none");
}

void import_bias_softmax(N n) {
  const Emit emit(n);
  const std::int64_t axis = n.integer("axis", 1);
  const auto rank = static_cast<std::int64_t>(n.required_rank(0));
  require<InputError>(axis == rank - 1 || axis == -1, "axis {} of {} axes (must be the last)", axis, rank);
  n.emit("Softmax", {emit("Add", {n.input(0), n.input(1)}, "biased")}, {n.output()}).attributes["axis"] =
      std::int64_t{-1};
}

/// Inputs: x, skip, gamma, beta, bias (without beta in the simplified form). Outputs: y, -, -, the sum.
void import_skip_layer_normalization(N n) {
  const Emit emit(n);
  n.require_absent_output(1, "mean");
  n.require_absent_output(2, "inv_std_var");
  const bool simplified = n.op() == "SkipSimplifiedLayerNormalization";
  const std::size_t bias = simplified ? 3 : 4;
  Id sum = emit("Add", {n.input(0), n.input(1)}, "sum");
  if (n.has(bias)) sum = emit("Add", {sum, n.input(bias)}, "biased");
  const float epsilon = n.real("epsilon", simplified ? 1e-5F : 1e-12F);
  if (simplified) {
    emit.output(rms_normalized(emit, sum, n.input(2), {-1}, epsilon));
  } else {
    std::vector<Id> inputs = {sum, n.input(2)};
    if (n.has(3)) inputs.push_back(n.input(3));
    n.emit("LayerNormalization", inputs, {n.output()}).attributes["epsilon"] = epsilon;
  }
  emit.output(sum, 3);
}

/// Inputs: tokens, segments, their tables and that of the positions, gamma, beta, mask, positions.
void import_embed_layer_normalization(N n) {
  const Emit emit(n);
  Id sum = emit("Gather", {n.input(2), n.input(0)}, "words");
  Id positions = n.input(8);
  if (positions == nn::no_value)
    positions = emit("Range", {emit.integer(0), emit.extent(n.input(0), 1), emit.integer(1)}, "positions");
  sum = emit("Add", {sum, emit("Gather", {n.input(3), positions}, "position")}, "sum");
  if (n.has(1) && n.has(4)) sum = emit("Add", {sum, emit("Gather", {n.input(4), n.input(1)}, "segment")}, "sum");
  n.emit("LayerNormalization", {sum, n.input(5), n.input(6)}, {n.output()}).attributes["epsilon"] =
      n.real("epsilon", 1e-12F);
  if (n.output(1) != nn::no_value) {  // the number of tokens that the mask shows
    require<InputError>(n.has(7), "its output 1 (mask_index) needs a mask");
    emit.output(emit.reduce("ReduceSum", n.input(7), {1}, false), 1);
  }
  emit.output(sum, 2);
}

namespace {

/// A mask of ones and zeros, or a length per sample, as a bias on scores [batch, heads, queries, keys].
Id mask_bias(N n, const Emit& emit, std::size_t input, Id keys) {
  const float hidden = n.real("mask_filter_value", -10000.0F);
  const std::size_t rank = n.required_rank(input);
  Id mask = n.input(input);
  if (rank == 1) {
    const Id cols = emit("Range", {emit.integer(0), emit.extent(keys, 2), emit.integer(1)}, "columns");
    return bias_of_condition(emit, emit("Less", {cols, emit.unsqueeze(mask, {1, 2, 3})}, "visible"), hidden);
  }
  require<InputError>(rank == 2 || rank == 3, "a mask of {} axes is not supported (must have 1 to 3)", rank);
  mask = emit.unsqueeze(mask, rank == 2 ? std::vector<std::int64_t>{1, 2} : std::vector<std::int64_t>{1});
  return bias_of_condition(emit, emit("Greater", {mask, emit.integer(0)}, "visible"), hidden);
}

void finish_attention(N n, const Emit& emit, AttentionValues& values, std::size_t bias_input) {
  if (n.has_attribute("scale") && n.real("scale", 0.0F) != 0.0F) values.scale = n.real("scale", 1.0F);
  if (n.has(bias_input)) values.biases.push_back(n.input(bias_input));
  if (n.integer("unidirectional", 0) != 0) {
    const Id offset = emit("Sub", {emit.extent(values.k, 2), emit.extent(values.q, 2)}, "offset");
    values.biases.push_back(bias_of_condition(emit, visible(emit, values.q, values.k, offset, -1, 0)));
  }
  emit.output(from_heads(emit, attend(n, values).context));
}

}  // namespace

/// Inputs: query, key, value, bias of all three, key mask, bias of the scores, past key and value.
void import_multi_head_attention(N n) {
  const Emit emit(n);
  const std::int64_t heads = n.required_integer("num_heads");
  require<InputError>(
      n.has(1) && n.has(2) && n.required_rank(0) == 3 && n.required_rank(1) == 3,
      "packed queries, keys and values are not supported; optimise at a lower level (ORT_ENABLE_BASIC)");
  std::vector<Id> parts = {n.input(0), n.input(1), n.input(2)};
  if (n.has(3)) {
    std::vector<Id> biases = {n.fresh("bias_q"), n.fresh("bias_k"), n.fresh("bias_v")};
    const auto q = n.shape(0), v = n.shape(2);
    require<InputError>(q && v && q->back() > 0 && v->back() > 0, "the widths of its inputs are not known");
    n.emit("Split", {n.input(3), n.integers_constant("widths", {q->back(), q->back(), v->back()})}, biases, "biases")
        .attributes["axis"] = std::int64_t{0};
    for (std::size_t i = 0; i < 3; ++i) parts[i] = emit("Add", {parts[i], biases[i]}, "biased");
  }
  AttentionValues values{
      .q = to_heads(emit, parts[0], heads), .k = to_heads(emit, parts[1], heads), .v = to_heads(emit, parts[2], heads)};
  if (n.has(6)) values.k = emit.concat({n.input(6), values.k}, 2);
  if (n.has(7)) values.v = emit.concat({n.input(7), values.v}, 2);
  if (n.has(4)) values.biases.push_back(mask_bias(n, emit, 4, values.k));
  finish_attention(n, emit, values, 5);
  emit.output(values.k, 1);
  emit.output(values.v, 2);
}

/// Inputs: x, weight of queries, keys and values side by side, their bias, mask, past, bias of the scores.
void import_microsoft_attention(N n) {
  const Emit emit(n);
  const std::int64_t heads = n.required_integer("num_heads");
  n.require_absent_input(4, "past");
  n.require_absent_output(1, "present");
  n.require_constant(1, "weight");
  std::vector<std::int64_t> widths = n.integers("qkv_hidden_sizes");
  if (widths.empty()) {
    const auto shape = n.shape(1);
    require<InputError>(shape && shape->size() == 2 && shape->back() % 3 == 0, "the weight's shape does not fit");
    widths.assign(3, shape->back() / 3);
  }
  require<InputError>(widths.size() == 3, "qkv_hidden_sizes has {} values (must be 3)", widths.size());
  Id projected = n.fresh("projected");
  n.emit("MatMul", {n.input(0), n.input(1)}, {projected}, "projection");
  if (n.has(2)) projected = emit("Add", {projected, n.input(2)}, "biased");
  const std::vector<Id> parts = {n.fresh("q"), n.fresh("k"), n.fresh("v")};
  n.emit("Split", {projected, n.integers_constant("widths", widths)}, parts, "parts").attributes["axis"] =
      std::int64_t{-1};
  AttentionValues values{
      .q = to_heads(emit, parts[0], heads), .k = to_heads(emit, parts[1], heads), .v = to_heads(emit, parts[2], heads)};
  if (n.has(3)) values.biases.push_back(mask_bias(n, emit, 3, values.k));
  finish_attention(n, emit, values, 5);
}

}  // namespace tessera::io
