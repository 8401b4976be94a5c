#include "onnx_rules.hpp"
#include "tessera/core/error.hpp"

namespace tessera::io {

using N = const NodeImport&;

// --- weighted layers -------------------------------------------------------------------------------------------------

void import_conv(N n) {
  n.require_constant(1, "weight");
  if (n.has(2)) n.require_constant(2, "bias");
  if (const Tensor* weight = n.stored_floats(1))
    require<InputError>(weight->rank() == 3 || weight->rank() == 4,
                        "a weight of shape {}; only one or two spatial axes are supported", to_string(weight->shape()));
  n.emit_same({"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides", "output_padding", "output_shape"});
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

void import_gemm(N n) {
  nn::ValueId a = n.input(0);
  if (n.integer("transA", 0) != 0) a = transposed(n, a, {1, 0}, "transposed_a");
  const bool has_bias = n.has(2);
  if (n.is_constant(1) && (!has_bias || is_vector(n.stored_floats(2)))) {
    std::vector<nn::ValueId> inputs = {a, n.input(1)};
    if (has_bias) inputs.push_back(n.input(2));
    nn::Node& node = n.emit("Gemm", inputs, {n.output()});
    n.copy_attributes(node, {"alpha", "beta", "transB"});
    return;
  }
  // Two activations, or a bias that is not one value per output: spelled out.
  const float alpha = n.real("alpha", 1.0F), beta = n.real("beta", 1.0F);
  nn::ValueId b = n.input(1);
  if (n.integer("transB", 0) != 0) b = transposed(n, b, {1, 0}, "transposed_b");
  if (alpha == 1.0F && !has_bias) {
    n.emit("MatMul", {a, b}, {n.output()});
    return;
  }
  nn::ValueId product = n.fresh("product");
  n.emit("MatMul", {a, b}, {product});
  if (alpha != 1.0F && !has_bias) {
    n.emit("Mul", {product, n.scalar("alpha", alpha)}, {n.output()}, "scaled");
    return;
  }
  if (alpha != 1.0F) product = n.emit_value("Mul", {product, n.scalar("alpha", alpha)}, "scaled");
  nn::ValueId c = n.input(2);
  if (beta != 1.0F) c = n.emit_value("Mul", {c, n.scalar("beta", beta)}, "scaled_bias");
  n.emit("Add", {product, c}, {n.output()}, "biased");
}

void import_matmul(N n) {
  n.emit_same({});
}

void import_recurrent(N n) {
  n.require_constant(1, "weight W");
  n.require_constant(2, "weight R");
  if (n.has(3)) n.require_constant(3, "bias B");
  n.require_absent_input(4, "sequence_lens");
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
