#include <algorithm>
#include <limits>

#include "onnx_rules.hpp"
#include "onnx_tensor.hpp"
#include "onnx_types.hpp"
#include "tessera/core/error.hpp"

namespace tessera::io {

using N = const NodeImport&;

// --- element by element ----------------------------------------------------------------------------------------------

void import_same(N n) {
  n.emit_same({});
}
void import_alpha_beta(N n) {
  n.emit_same({"alpha", "beta", "gamma"});
}
void import_gelu(N n) {
  const std::string approximate = n.text("approximate", "none");
  require<InputError>(approximate == "none" || approximate == "tanh", "approximate = '{}' is not known", approximate);
  n.emit_same({"approximate"});
}
void import_mod(N n) {
  n.emit_same({"fmod"});
}

void import_clip(N n) {
  if (n.opset() >= 11) {
    n.emit_same({});
    return;
  }
  constexpr float largest = std::numeric_limits<float>::max();
  n.emit("Clip", {n.input(0), n.scalar("min", n.real("min", -largest)), n.scalar("max", n.real("max", largest))},
         {n.output()});
}

void import_cast(N n) {
  const std::int64_t to = n.required_integer("to");
  static_cast<void>(is_floating_type(static_cast<int>(std::clamp<std::int64_t>(to, 0, 1000))));
  n.emit_same({"to"});
}

/// Sum, Mean, Min, Max of any number of inputs become chains of two.
void import_variadic(N n) {
  const std::string op = n.op() == "Sum" || n.op() == "Mean" ? "Add" : n.op();
  const bool mean = n.op() == "Mean";
  require<InputError>(n.input_count() >= 1, "it has no inputs");
  nn::ValueId value = n.input(0);
  for (std::size_t i = 1; i < n.input_count(); ++i) {
    const bool last = i + 1 == n.input_count() && !mean;
    const nn::ValueId next = last ? n.output() : n.fresh("partial");
    n.emit(op, {value, n.input(i)}, {next}, last ? "" : "partial");
    value = next;
  }
  if (mean)
    n.emit("Mul", {value, n.scalar("share", 1.0F / static_cast<float>(n.input_count()))}, {n.output()});
  else if (n.input_count() == 1)
    n.emit("Identity", {value}, {n.output()});
}

// --- normalization ---------------------------------------------------------------------------------------------------

void import_batch_normalization(N n) {
  require<InputError>(n.integer("training_mode", 0) == 0, "training_mode = 1; export the model in evaluation mode");
  require<InputError>(n.opset() >= 9 || n.integer("spatial", 1) == 1, "spatial = 0 is not supported");
  for (std::size_t i = 1; i < 5; ++i) n.require_absent_output(i, "a training statistic");
  n.emit_same({"epsilon"});
}
void import_instance_normalization(N n) {
  n.emit_same({"epsilon"});
}

void import_group_normalization(N n) {
  n.require_attribute("num_groups");
  nn::Node& node = n.emit_same({"epsilon", "num_groups"});
  if (n.opset() < 21) node.attributes["per_group"] = std::int64_t{1};  // one scale and bias per group, not per channel
}
void import_lrn(N n) {
  n.require_attribute("size");
  n.emit_same({"size", "alpha", "beta", "bias"});
}
void import_lp_normalization(N n) {
  const std::int64_t p = n.integer("p", 2);
  require<InputError>(p == 1 || p == 2, "p = {} (must be 1 or 2)", p);
  const nn::ValueId axes = n.integers_constant("axes", {n.integer("axis", -1)});
  const nn::ValueId norm = n.emit_value(p == 1 ? "ReduceL1" : "ReduceL2", {n.input(0), axes}, "norm");
  // Zeros stay zeros.
  const nn::ValueId zero = n.emit_value("Equal", {norm, n.scalar("zero", 0.0F)}, "zero");
  const nn::ValueId divisor = n.emit_value("Where", {zero, n.scalar("one", 1.0F), norm}, "divisor");
  n.emit("Div", {n.input(0), divisor}, {n.output()});
}

// --- pooling and resizing --------------------------------------------------------------------------------------------

namespace {

constexpr std::initializer_list<const char*> window = {"auto_pad",     "ceil_mode", "dilations",
                                                       "kernel_shape", "pads",      "strides"};

}  // namespace

void import_max_pool(N n) {
  n.require_attribute("kernel_shape");
  require<InputError>(n.integers("kernel_shape").size() <= 3, "only one to three spatial axes are supported");
  nn::ValueId x = n.input(0);
  const int type = n.onnx_type(0);
  if (n.output(0) != nn::no_value && type != 0 && !is_floating_type(type)) {
    // Codes of up to 24 bits are exact in float32.
    require<InputError>(integer_bits(type) <= 24, "integers of ONNX type {} are not supported here",
                        onnx_type_name(type));
    x = n.emit_value("Cast", {x}, "real", {{"to", std::int64_t{onnx::TensorProto::FLOAT}}});
    const nn::ValueId y = n.fresh("pooled");
    n.copy_attributes(n.emit("MaxPool", {x}, {y}), window);
    n.emit("Cast", {y}, {n.output()}, "codes").attributes["to"] = std::int64_t{type};
  } else if (n.output(0) != nn::no_value) {
    n.copy_attributes(n.emit("MaxPool", {x}, {n.output()}), window);
  }
  if (n.output(1) == nn::no_value) return;
  nn::Node& node = n.emit("MaxPoolIndices", {x}, {n.output(1)}, "indices");
  n.copy_attributes(node, {"auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "strides", "storage_order"});
}
void import_max_unpool(N n) {
  n.require_attribute("kernel_shape");
  n.emit_same({"kernel_shape", "pads", "strides"});
}
void import_average_pool(N n) {
  n.require_attribute("kernel_shape");
  require<InputError>(n.integers("kernel_shape").size() <= 3, "only one to three spatial axes are supported");
  n.emit_same({"auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides", "p"});
}
void import_global_pool(N n) {
  n.emit_same({"p"});
}

void import_resize(N n) {
  if (n.opset() < 11) {
    nn::Node& node = n.emit("Resize", {n.input(0), nn::no_value, n.input(1)}, {n.output()});
    node.attributes["coordinate_transformation_mode"] = std::string("asymmetric");
    node.attributes["nearest_mode"] = std::string("floor");
    node.attributes["mode"] = n.text("mode", "nearest");
    return;
  }
  // Empty `roi`, `scales` or `sizes` stand for absent ones.
  std::vector<nn::ValueId> inputs;
  for (std::size_t i = 0; i < 4; ++i) {
    const Tensor* stored = n.stored_floats(i);
    inputs.push_back(i > 0 && stored != nullptr && stored->size() == 0 ? nn::no_value : n.input(i));
  }
  if (n.text("coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize") inputs[1] = nn::no_value;
  while (inputs.size() > 1 && inputs.back() == nn::no_value) inputs.pop_back();
  nn::Node& node = n.emit("Resize", inputs, {n.output()});
  n.copy_attributes(node, {"coordinate_transformation_mode", "nearest_mode", "axes", "mode", "antialias",
                           "cubic_coeff_a", "exclude_outside", "extrapolation_value", "keep_aspect_ratio_policy"});
}

void import_upsample(N n) {
  const std::string mode = n.text("mode", "nearest");
  require<InputError>(mode == "nearest" || mode == "linear" || mode == "bilinear", "mode '{}' is not supported", mode);
  nn::ValueId scales = n.input(1);
  if (n.opset() < 9) {
    const std::vector<float> values = n.reals("scales");
    scales = n.constant("scales", Tensor({static_cast<std::int64_t>(values.size())}, values));
  }
  nn::Node& node = n.emit("Resize", {n.input(0), nn::no_value, scales}, {n.output()});
  node.attributes["mode"] = std::string(mode == "nearest" ? "nearest" : "linear");
  node.attributes["coordinate_transformation_mode"] = std::string("asymmetric");
  node.attributes["nearest_mode"] = std::string("floor");
}

// --- reductions ------------------------------------------------------------------------------------------------------

void import_reduce(N n) {
  const bool axes_are_input = n.opset() >= (n.op() == "ReduceSum" ? 13 : 18);
  if (axes_are_input) {
    n.emit_same({"keepdims", "noop_with_empty_axes"});
    return;
  }
  std::vector<nn::ValueId> inputs = {n.input(0)};
  if (n.has_attribute("axes")) inputs.push_back(n.integers_constant("axes", n.integers("axes")));
  nn::Node& node = n.emit(n.op(), inputs, {n.output()});
  n.copy_attributes(node, {"keepdims"});
}
void import_arg_extreme(N n) {
  n.emit_same({"axis", "keepdims", "select_last_index"});
}
void import_top_k(N n) {
  nn::ValueId k = n.input(1);
  if (n.opset() < 10) k = n.integers_constant("k", {n.required_integer("k")});
  std::vector<nn::ValueId> outputs = {n.output(0)};
  if (n.output(1) != nn::no_value) outputs.push_back(n.output(1));
  nn::Node& node = n.emit("TopK", {n.input(0), k}, outputs);
  n.copy_attributes(node, {"axis", "largest"});
}
void import_softmax(N n) {
  nn::Node& node = n.emit_same({"axis"});
  if (n.opset() >= 13) return;
  if (!n.has_attribute("axis")) node.attributes["axis"] = std::int64_t{1};
  node.attributes["flatten"] = std::int64_t{1};
}
void import_cumsum(N n) {
  n.emit_same({"exclusive", "reverse"});
}

}  // namespace tessera::io
