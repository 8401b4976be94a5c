#include <array>
#include <limits>

#include "onnx_rules.hpp"
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
  const bool supported = (to >= 1 && to <= 13 && to != 8) || to == 16;
  require<InputError>(supported, "a cast to ONNX type {} is not supported (must be a real number or integer)", to);
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
void import_layer_normalization(N n) {
  n.require_absent_output(1, "Mean");
  n.require_absent_output(2, "InvStdDev");
  n.emit_same({"axis", "epsilon"});
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
  n.emit("Div", {n.input(0), norm}, {n.output()});
}

// --- quantization ----------------------------------------------------------------------------------------------------

namespace {

/// Smallest and largest code of an integer type.
std::array<std::int64_t, 2> code_range(int type) {
  using Proto = onnx::TensorProto;
  switch (type) {
    case Proto::INT8:
      return {-128, 127};
    case Proto::UINT16:
      return {0, 65535};
    case Proto::INT16:
      return {-32768, 32767};
    case 0:
    case Proto::UINT8:
      return {0, 255};
    default:
      throw InputError(fmt::format("codes of ONNX type {} are not supported (must be 8 or 16 bit integers)", type));
  }
}

}  // namespace

void import_quantize_linear(N n) {
  require<InputError>(n.integer("block_size", 0) == 0, "blocked quantization is not supported");
  int type = n.has(2) ? n.onnx_type(2) : 0;
  require<InputError>(!n.has(2) || type != 0,
                      "the zero point's type is not stored; only a stored constant is supported");
  if (!n.has(2)) type = static_cast<int>(n.integer("output_dtype", 0));
  const auto [low, high] = code_range(type);
  nn::Node& node = n.emit_same({"axis"});
  node.attributes["low"] = low;
  node.attributes["high"] = high;
}
void import_dequantize_linear(N n) {
  require<InputError>(n.integer("block_size", 0) == 0, "blocked quantization is not supported");
  n.emit_same({"axis"});
}

/// Quant of QONNX and Brevitas: y = (clamp(round(x / scale + zero), low, high) - zero) * scale.
void import_quant(N n) {
  const Tensor* bits_tensor = n.stored_floats(3);
  require<InputError>(bits_tensor != nullptr && bits_tensor->size() == 1, "the bit width must be a stored constant");
  const float bits = bits_tensor->data()[0];
  require<InputError>(bits >= 1.0F && bits <= 24.0F && bits == static_cast<float>(static_cast<int>(bits)),
                      "a bit width of {} (must be a whole number from 1 to 24)", bits);
  const std::string rounding = n.text("rounding_mode", "ROUND");
  require<InputError>(rounding == "ROUND" || rounding == "FLOOR" || rounding == "CEIL",
                      "rounding_mode '{}' is not supported (must be ROUND, FLOOR or CEIL)", rounding);
  const bool is_signed = n.integer("signed", 1) != 0, narrow = n.integer("narrow", 0) != 0;
  const auto levels = static_cast<float>(std::int64_t{1} << static_cast<int>(bits));
  const float low = is_signed ? -levels / 2.0F + (narrow ? 1.0F : 0.0F) : 0.0F;
  const float high = is_signed ? levels / 2.0F - 1.0F : levels - 1.0F - (narrow ? 1.0F : 0.0F);
  nn::ValueId value = n.emit_value("Div", {n.input(0), n.input(1)}, "scaled");
  value = n.emit_value("Add", {value, n.input(2)}, "shifted");
  value = n.emit_value(rounding == "ROUND" ? "Round" : rounding == "FLOOR" ? "Floor" : "Ceil", {value}, "rounded");
  value = n.emit_value("Clip", {value, n.scalar("low", low), n.scalar("high", high)}, "clipped");
  value = n.emit_value("Sub", {value, n.input(2)}, "centered");
  n.emit("Mul", {value, n.input(1)}, {n.output()});
}

// --- pooling and resizing --------------------------------------------------------------------------------------------

void import_max_pool(N n) {
  n.require_attribute("kernel_shape");
  n.require_absent_output(1, "Indices");
  require<InputError>(n.integers("kernel_shape").size() <= 2, "only one or two spatial axes are supported");
  n.emit_same({"auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "strides"});
}
void import_average_pool(N n) {
  n.require_attribute("kernel_shape");
  require<InputError>(n.integers("kernel_shape").size() <= 2, "only one or two spatial axes are supported");
  n.emit_same({"auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides", "p"});
}
void import_global_pool(N n) {
  n.emit_same({"p"});
}

void import_resize(N n) {
  const std::string mode = n.text("mode", "nearest");
  require<InputError>(mode == "nearest" || mode == "linear", "mode '{}' is not supported (must be nearest or linear)",
                      mode);
  require<InputError>(n.integer("antialias", 0) == 0, "antialias = 1 is not supported");
  const std::string policy = n.text("keep_aspect_ratio_policy", "stretch");
  require<InputError>(policy == "stretch", "keep_aspect_ratio_policy '{}' is not supported (must be stretch)", policy);
  nn::Node* node = nullptr;
  if (n.opset() < 11) {
    node = &n.emit("Resize", {n.input(0), nn::no_value, n.input(1)}, {n.output()});
    node->attributes["coordinate_transformation_mode"] = std::string("asymmetric");
    node->attributes["nearest_mode"] = std::string("floor");
  } else {
    const std::string transform = n.text("coordinate_transformation_mode", "half_pixel");
    require<InputError>(transform != "tf_crop_and_resize" && transform != "tf_half_pixel_for_nn",
                        "coordinate_transformation_mode '{}' is not supported", transform);
    // An empty `scales` stands for an absent one.
    nn::ValueId scales = n.input(2);
    if (const Tensor* stored = n.stored_floats(2); stored != nullptr && stored->size() == 0) scales = nn::no_value;
    std::vector<nn::ValueId> inputs = {n.input(0), nn::no_value, scales};
    if (n.has(3)) inputs.push_back(n.input(3));
    while (inputs.size() > 1 && inputs.back() == nn::no_value) inputs.pop_back();
    node = &n.emit("Resize", inputs, {n.output()});
    n.copy_attributes(*node, {"coordinate_transformation_mode", "nearest_mode", "axes"});
  }
  node->attributes["mode"] = mode;
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
