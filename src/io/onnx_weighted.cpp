#include "onnx_emit.hpp"
#include "onnx_rules.hpp"
#include "tessera/core/error.hpp"
#include "tessera/nn/split_axes.hpp"

namespace tessera::io {

using N = const NodeImport&;

// --- weighted layers -------------------------------------------------------------------------------------------------

namespace {

constexpr std::initializer_list<const char*> window_attributes = {
    "auto_pad", "dilations", "group", "kernel_shape", "pads", "strides", "output_padding", "output_shape"};

/// Three spatial axes: convolutions of planes, whose channels are the slices under the window of the first axis
/// (depth). The layer's weight is the same matrix as that of a convolution over all axes at once.
void emit_volume_conv(N n, const Shape& weight, nn::ValueId output) {
  const Emit emit(n);
  const bool transposed_form = n.op() == "ConvTranspose";
  nn::Node whole{.name = n.op(), .op = n.op(), .inputs = {}, .outputs = {}, .attributes = {}};
  n.copy_attributes(whole, window_attributes);
  whole.attributes["kernel_shape"] = std::vector<std::int64_t>(weight.begin() + 2, weight.end());
  const auto [depth, plane] = nn::split_axes(whole, true);
  const auto emit_with = [&](const char* op, std::vector<nn::ValueId> inputs, const nn::Node& like,
                             const char* suffix) {
    const nn::ValueId id = n.fresh(op);
    n.emit(op, std::move(inputs), {id}, suffix).attributes = like.attributes;
    return id;
  };
  const nn::ValueId x = n.input(0);
  const nn::ValueId flat = emit.reshape(n.input(1), {weight[0], weight[1] * weight[2], weight[3], weight[4]});
  if (!transposed_form) {
    std::vector<nn::ValueId> inputs = {emit_with("DepthWindows", {x}, depth, "windows"), flat};
    if (n.has(2)) inputs.push_back(n.input(2));
    const nn::ValueId planes = emit_with("Conv", inputs, plane, "");
    n.emit("DepthStack", {planes, x}, {output}, "stack").attributes = depth.attributes;
    return;
  }
  nn::Node single = depth;
  single.attributes = {{"kernel_shape", std::vector<std::int64_t>{1}}};
  const nn::ValueId slices = emit_with("DepthWindows", {x}, single, "slices");
  const nn::ValueId planes = emit_with("ConvTranspose", {slices, flat}, plane, "");
  if (!n.has(2)) {
    n.emit("DepthSum", {planes, x}, {output}, "sum").attributes = depth.attributes;
    return;
  }
  const nn::ValueId sum = emit_with("DepthSum", {planes, x}, depth, "sum");
  n.emit("Add", {sum, emit.unsqueeze(n.input(2), {1, 2, 3})}, {output}, "biased");
}

}  // namespace

void emit_conv(N n, nn::ValueId output) {
  n.require_constant(1, "weight");
  if (n.has(2)) n.require_constant(2, "bias");
  if (const auto shape = n.shape(1)) {
    require<InputError>(shape->size() >= 3 && shape->size() <= 5,
                        "a weight of shape {}; only one to three spatial axes are supported", to_string(*shape));
    if (shape->size() == 5) return emit_volume_conv(n, *shape, output);
  }
  std::vector<nn::ValueId> inputs = {n.input(0), n.input(1)};
  if (n.has(2)) inputs.push_back(n.input(2));
  n.copy_attributes(n.emit(n.op() == "ConvTranspose" ? "ConvTranspose" : "Conv", inputs, {output}), window_attributes);
}

void import_conv(N n) {
  emit_conv(n, n.output());
}

namespace {

nn::ValueId transposed(N n, nn::ValueId value, const std::vector<std::int64_t>& permutation, const char* suffix) {
  const nn::ValueId result = n.fresh(suffix);
  n.emit("Transpose", {value}, {result}, suffix).attributes["perm"] = permutation;
  return result;
}

bool is_vector(const Tensor* tensor) {
  return tensor != nullptr && (tensor->rank() == 0 || tensor->size() == tensor->dim(tensor->rank() - 1));
}

}  // namespace

void emit_gemm(N n, nn::ValueId output) {
  nn::ValueId a = n.input(0);
  if (n.integer("transA", 0) != 0) a = transposed(n, a, {1, 0}, "transposed_a");
  const bool has_bias = n.has(2);
  if (n.is_constant(1) && (!has_bias || is_vector(n.stored_floats(2)))) {
    std::vector<nn::ValueId> inputs = {a, n.input(1)};
    if (has_bias) inputs.push_back(n.input(2));
    nn::Node& node = n.emit("Gemm", inputs, {output});
    n.copy_attributes(node, {"alpha", "beta", "transB"});
    return;
  }
  // Two activations, or a bias that is not one value per output: spelled out.
  const float alpha = n.real("alpha", 1.0F), beta = n.real("beta", 1.0F);
  nn::ValueId b = n.input(1);
  if (n.integer("transB", 0) != 0) b = transposed(n, b, {1, 0}, "transposed_b");
  if (alpha == 1.0F && !has_bias) {
    n.emit("MatMul", {a, b}, {output});
    return;
  }
  nn::ValueId product = n.fresh("product");
  n.emit("MatMul", {a, b}, {product});
  if (alpha != 1.0F && !has_bias) {
    n.emit("Mul", {product, n.scalar("alpha", alpha)}, {output}, "scaled");
    return;
  }
  if (alpha != 1.0F) product = n.emit_value("Mul", {product, n.scalar("alpha", alpha)}, "scaled");
  nn::ValueId c = n.input(2);
  if (beta != 1.0F) c = n.emit_value("Mul", {c, n.scalar("beta", beta)}, "scaled_bias");
  n.emit("Add", {product, c}, {output}, "biased");
}

void import_gemm(N n) {
  emit_gemm(n, n.output());
}

void import_matmul(N n) {
  n.emit_same({});
}

void import_recurrent(N n) {
  n.require_constant(1, "weight W");
  n.require_constant(2, "weight R");
  if (n.has(3)) n.require_constant(3, "bias B");
  const bool lstm = n.op() == "LSTM";
  if (lstm && n.has(7)) n.require_constant(7, "peephole P");
  const bool batch_first = n.integer("layout", 0) != 0;
  std::vector<nn::ValueId> inputs;
  for (std::size_t i = 0; i < n.input_count(); ++i) inputs.push_back(n.input(i));
  std::vector<nn::ValueId> outputs;
  for (std::size_t i = 0; i < (lstm ? 3U : 2U); ++i) outputs.push_back(n.output(i));
  while (outputs.size() > 1 && outputs.back() == nn::no_value) outputs.pop_back();
  if (outputs[0] == nn::no_value) outputs[0] = n.fresh("Y");  // what observers of the layer see
  const std::vector<nn::ValueId> wanted = outputs;
  if (batch_first) {
    // X [batch, step, in], states [batch, direction, hidden], Y [batch, step, direction, hidden]
    inputs[0] = transposed(n, inputs[0], {1, 0, 2}, "steps_first");
    for (std::size_t i = 5; i < 7 && i < inputs.size(); ++i)
      if (inputs[i] != nn::no_value)
        inputs[i] = transposed(n, inputs[i], {1, 0, 2}, i == 5 ? "initial_h" : "initial_c");
    for (nn::ValueId& id : outputs)
      if (id != nn::no_value) id = n.fresh("steps_first_output");
  }
  nn::Node& node = n.emit(n.op(), inputs, outputs);
  n.copy_attributes(node, {"activations", "activation_alpha", "activation_beta", "clip", "direction", "input_forget",
                           "linear_before_reset"});
  if (!batch_first) return;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i] == nn::no_value) continue;
    const std::vector<std::int64_t> permutation =
        i == 0 ? std::vector<std::int64_t>{2, 0, 1, 3} : std::vector<std::int64_t>{1, 0, 2};
    n.emit("Transpose", {outputs[i]}, {wanted[i]}, "batch_first").attributes["perm"] = permutation;
  }
}

}  // namespace tessera::io
