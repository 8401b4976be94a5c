#include "onnx_rules.hpp"
#include "tessera/core/error.hpp"

namespace tessera::io {

using N = const NodeImport&;

// --- shape -----------------------------------------------------------------------------------------------------------

void import_identity(N n) {
  require<InputError>(n.input_count() >= 1, "it has no input");
  n.emit("Identity", {n.input(0)}, {n.output()});
}
void import_dropout(N n) {
  if (n.has(2)) {
    const nn::IntTensor* training = n.stored_integers(2);
    const Tensor* ratio = n.stored_floats(1);
    const bool nothing_dropped = n.has(1) && ratio != nullptr && ratio->size() == 1 && ratio->data()[0] == 0.0F;
    require<InputError>(nothing_dropped || (training != nullptr && training->values == std::vector<std::int64_t>{0}),
                        "training_mode may be on; export the model in evaluation mode");
  }
  if (n.output() != nn::no_value) n.emit("Identity", {n.input(0)}, {n.output()});
  if (n.output(1) == nn::no_value) return;
  // The mask of what is kept: everything.
  const nn::ValueId shape = n.emit_value("Shape", {n.input(0)}, "shape");
  n.emit("ConstantOfShape", {shape}, {n.output(1)}, "mask").attributes["integer_value"] = std::int64_t{1};
}
void import_constant(N n) {
  if (n.has_attribute("value")) return n.define_constant(n.tensor("value"));
  if (n.has_attribute("value_float")) {
    const float value = n.real("value_float", 0.0F);
    return n.define_constant(Tensor(Shape{}, std::span<const float>(&value, 1)));
  }
  if (n.has_attribute("value_int")) return n.define_constant(nn::IntTensor{{}, {n.integer("value_int", 0)}});
  if (n.has_attribute("value_floats")) {
    const std::vector<float> values = n.reals("value_floats");
    return n.define_constant(Tensor({static_cast<std::int64_t>(values.size())}, values));
  }
  if (n.has_attribute("value_ints")) {
    const std::vector<std::int64_t> values = n.integers("value_ints");
    return n.define_constant(nn::IntTensor{{static_cast<std::int64_t>(values.size())}, values});
  }
  throw InputError("its value is sparse, a string, or missing; only dense numbers are supported");
}
void import_constant_of_shape(N n) {
  nn::Node& node = n.emit_same({});
  if (!n.has_attribute("value")) return;
  const nn::Constant value = n.tensor("value");
  require<InputError>(element_count(nn::shape_of(value)) == 1, "its value has shape {} (must be one number)",
                      to_string(nn::shape_of(value)));
  if (const auto* tensor = std::get_if<Tensor>(&value))
    node.attributes["value"] = tensor->data()[0];
  else
    node.attributes["integer_value"] = std::get<nn::IntTensor>(value).values[0];
}
void import_reshape(N n) {
  n.emit_same({"allowzero"});
}
void import_flatten(N n) {
  n.emit_same({"axis"});
}
void import_transpose(N n) {
  n.emit_same({"perm"});
}
void import_shape(N n) {
  n.emit_same({"start", "end"});
}
void import_gather(N n) {
  n.emit_same({"axis"});
}
void import_scatter(N n) {
  nn::Node& node = n.emit_same({"axis", "reduction"});
  if (node.op == "Scatter") node.op = "ScatterElements";
}
void import_concat(N n) {
  n.require_attribute("axis");
  n.emit_same({"axis"});
}
void import_depth_to_space(N n) {
  n.require_attribute("blocksize");
  n.emit_same({"blocksize", "mode"});
}
void import_trilu(N n) {
  n.emit_same({"upper"});
}

/// Squeeze and Unsqueeze: axes as an attribute up to opset 12.
void import_squeeze(N n) {
  if (n.opset() >= 13) {
    n.emit_same({});
    return;
  }
  if (n.op() == "Unsqueeze") n.require_attribute("axes");
  std::vector<nn::ValueId> inputs = {n.input(0)};
  if (n.has_attribute("axes")) inputs.push_back(n.integers_constant("axes", n.integers("axes")));
  n.emit(n.op(), inputs, {n.output()});
}

void import_split(N n) {
  std::vector<nn::ValueId> inputs = {n.input(0)}, outputs;
  if (n.opset() >= 13 && n.has(1)) inputs.push_back(n.input(1));
  if (n.opset() < 13 && n.has_attribute("split")) inputs.push_back(n.integers_constant("split", n.integers("split")));
  for (std::size_t i = 0; n.output(i) != nn::no_value; ++i) outputs.push_back(n.output(i));
  if (n.opset() >= 18 && n.has_attribute("num_outputs"))
    require<InputError>(n.integer("num_outputs", 0) == static_cast<std::int64_t>(outputs.size()),
                        "num_outputs = {} with {} outputs", n.integer("num_outputs", 0), outputs.size());
  nn::Node& node = n.emit("Split", inputs, outputs);
  n.copy_attributes(node, {"axis"});
}

void import_slice(N n) {
  if (n.opset() >= 10) {
    n.emit_same({});
    return;
  }
  n.require_attribute("starts");
  n.require_attribute("ends");
  std::vector<nn::ValueId> inputs = {n.input(0), n.integers_constant("starts", n.integers("starts")),
                                     n.integers_constant("ends", n.integers("ends"))};
  if (n.has_attribute("axes")) inputs.push_back(n.integers_constant("axes", n.integers("axes")));
  n.emit("Slice", inputs, {n.output()});
}

void import_pad(N n) {
  const std::string mode = n.text("mode", "constant");
  require<InputError>(mode == "constant" || mode == "reflect" || mode == "edge" || mode == "wrap",
                      "mode '{}' is not supported", mode);
  if (n.opset() >= 11) {
    n.emit_same({"mode"});
    return;
  }
  n.require_attribute("pads");
  nn::Node& node = n.emit(
      "Pad", {n.input(0), n.integers_constant("pads", n.integers("pads")), n.scalar("value", n.real("value", 0.0F))},
      {n.output()});
  n.copy_attributes(node, {"mode"});
}

}  // namespace tessera::io
