#include <algorithm>
#include <array>
#include <limits>
#include <string_view>

#include "onnx_node.hpp"
#include "tessera/core/error.hpp"

/// One small function per ONNX operator: brings any opset's form into the canonical one, or says why it cannot.
namespace tessera::io {

namespace {

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

nn::ValueId transposed(N n, nn::ValueId value, const std::vector<std::int64_t>& permutation, const char* suffix) {
  const nn::ValueId result = n.fresh(suffix);
  n.emit("Transpose", {value}, {result}, suffix).attributes["perm"] = permutation;
  return result;
}

bool is_vector(const Tensor* tensor) {
  return tensor != nullptr && (tensor->rank() == 0 || tensor->size() == tensor->dim(tensor->rank() - 1));
}

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
    while (inputs.back() == nn::no_value) inputs.pop_back();
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

// --- shape -----------------------------------------------------------------------------------------------------------

void import_identity(N n) {
  require<InputError>(n.input_count() >= 1, "it has no input");
  n.emit("Identity", {n.input(0)}, {n.output()});
}
void import_dropout(N n) {
  n.require_absent_output(1, "mask");
  if (n.has(2)) {
    const nn::IntTensor* training = n.stored_integers(2);
    require<InputError>(training != nullptr && training->values == std::vector<std::int64_t>{0},
                        "training_mode may be on; export the model in evaluation mode");
  }
  import_identity(n);
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

// --- the table -------------------------------------------------------------------------------------------------------

constexpr int last = largest_opset;
constexpr const char* tiles = "tiles";
constexpr const char* digital = "digital";
constexpr const char* folded = "folded";
constexpr const char* none = "";
constexpr const char* fixed_axes = "axes must not depend on the data";
constexpr const char* fixed_shape = "the shape must not depend on the data";
constexpr const char* recurrent_limits =
    "W, R, B (and P) constant; no sequence_lens; every gate product on tiles, gates digital";
constexpr const char* quant_limits =
    "bit width a stored constant, 1 to 24; ROUND, FLOOR, CEIL; becomes Div, Add, Round, Clip, Sub, Mul";

constexpr auto table = std::to_array<OnnxOperator>({
    {{"", "Abs", 7, last, digital, none}, import_same},
    {{"", "Add", 7, last, digital, "after Conv, ConvTranspose, Gemm or MatMul it becomes the layer's bias"},
     import_same},
    {{"", "And", 7, last, digital, none}, import_same},
    {{"", "ArgMax", 7, last, digital, none}, import_arg_extreme},
    {{"", "ArgMin", 7, last, digital, none}, import_arg_extreme},
    {{"", "Atan", 7, last, digital, none}, import_same},
    {{"", "AveragePool", 7, last, digital, "one or two spatial axes"}, import_average_pool},
    {{"", "BatchNormalization", 7, last, digital, "inference only; folded into the layer before it on request"},
     import_batch_normalization},
    {{"", "Cast", 7, last, digital, "real numbers are float32, integers int64 within their type's range"}, import_cast},
    {{"", "Ceil", 7, last, digital, none}, import_same},
    {{"", "Celu", 12, last, digital, none}, import_alpha_beta},
    {{"", "Clip", 7, last, digital, none}, import_clip},
    {{"", "Concat", 7, last, digital, none}, import_concat},
    {{"", "Constant", 7, last, folded, "dense numbers"}, import_constant},
    {{"", "ConstantOfShape", 9, last, digital, fixed_shape}, import_constant_of_shape},
    {{"", "Conv", 7, last, tiles,
      "one or two spatial axes; weight and bias constant; any groups, strides, dilations, padding"},
     import_conv},
    {{"", "ConvTranspose", 7, last, tiles,
      "one or two spatial axes; weight and bias constant; overlapping outputs are added digitally"},
     import_conv},
    {{"", "Cos", 7, last, digital, none}, import_same},
    {{"", "CumSum", 11, last, digital, "axis must not depend on the data"}, import_cumsum},
    {{"", "DepthToSpace", 7, last, digital, none}, import_depth_to_space},
    {{"", "DequantizeLinear", 10, last, digital, "no blocks"}, import_dequantize_linear},
    {{"", "Div", 7, last, digital, none}, import_same},
    {{"", "Dropout", 7, last, folded, "inference only, no mask"}, import_dropout},
    {{"", "Elu", 7, last, digital, none}, import_alpha_beta},
    {{"", "Equal", 7, last, digital, "numbers"}, import_same},
    {{"", "Erf", 9, last, digital, none}, import_same},
    {{"", "Exp", 7, last, digital, none}, import_same},
    {{"", "Expand", 8, last, digital, fixed_shape}, import_same},
    {{"", "Flatten", 7, last, digital, none}, import_flatten},
    {{"", "Floor", 7, last, digital, none}, import_same},
    {{"", "GRU", 7, last, tiles, recurrent_limits}, import_recurrent},
    {{"", "Gather", 7, last, digital, none}, import_gather},
    {{"", "GatherElements", 11, last, digital, none}, import_gather},
    {{"", "Gelu", 20, last, digital, none}, import_gelu},
    {{"", "Gemm", 7, last, tiles,
      "on tiles if B is constant; a bias other than one value per output stays a digital Add"},
     import_gemm},
    {{"", "GlobalAveragePool", 7, last, digital, "one or two spatial axes"}, import_global_pool},
    {{"", "GlobalLpPool", 7, last, digital, "one or two spatial axes"}, import_global_pool},
    {{"", "GlobalMaxPool", 7, last, digital, "one or two spatial axes"}, import_global_pool},
    {{"", "Greater", 7, last, digital, none}, import_same},
    {{"", "GreaterOrEqual", 12, last, digital, none}, import_same},
    {{"", "GroupNormalization", 18, last, digital, none}, import_group_normalization},
    {{"", "HardSigmoid", 7, last, digital, none}, import_alpha_beta},
    {{"", "HardSwish", 14, last, digital, none}, import_same},
    {{"", "Identity", 7, last, folded, none}, import_identity},
    {{"", "InstanceNormalization", 7, last, digital, none}, import_instance_normalization},
    {{"", "LRN", 7, last, digital, none}, import_lrn},
    {{"", "LSTM", 7, last, tiles, recurrent_limits}, import_recurrent},
    {{"", "LayerNormalization", 17, last, digital, "first output only"}, import_layer_normalization},
    {{"", "LeakyRelu", 7, last, digital, none}, import_alpha_beta},
    {{"", "Less", 7, last, digital, none}, import_same},
    {{"", "LessOrEqual", 12, last, digital, none}, import_same},
    {{"", "Log", 7, last, digital, none}, import_same},
    {{"", "LogSoftmax", 7, last, digital, none}, import_softmax},
    {{"", "LpNormalization", 7, last, digital, none}, import_lp_normalization},
    {{"", "LpPool", 7, last, digital, "one or two spatial axes"}, import_average_pool},
    {{"", "MatMul", 7, last, tiles, "on tiles if the second operand is a constant matrix; else digital"},
     import_matmul},
    {{"", "Max", 7, last, digital, none}, import_variadic},
    {{"", "MaxPool", 7, last, digital, "one or two spatial axes; no Indices"}, import_max_pool},
    {{"", "Mean", 7, last, digital, none}, import_variadic},
    {{"", "Min", 7, last, digital, none}, import_variadic},
    {{"", "Mish", 18, last, digital, none}, import_same},
    {{"", "Mod", 10, last, digital, none}, import_mod},
    {{"", "Mul", 7, last, digital, none}, import_same},
    {{"", "Neg", 7, last, digital, none}, import_same},
    {{"", "Not", 7, last, digital, none}, import_same},
    {{"", "Or", 7, last, digital, none}, import_same},
    {{"", "PRelu", 7, last, digital, none}, import_same},
    {{"", "Pad", 7, last, digital, "paddings must not depend on the data"}, import_pad},
    {{"", "Pow", 7, last, digital, none}, import_same},
    {{"", "QuantizeLinear", 10, last, digital, "8 and 16 bit codes; no blocks; zero point a stored constant"},
     import_quantize_linear},
    {{"", "RNN", 7, last, tiles, recurrent_limits}, import_recurrent},
    {{"", "Range", 11, last, digital, "bounds must not depend on the data"}, import_same},
    {{"", "Reciprocal", 7, last, digital, none}, import_same},
    {{"", "ReduceL1", 7, last, digital, fixed_axes}, import_reduce},
    {{"", "ReduceL2", 7, last, digital, fixed_axes}, import_reduce},
    {{"", "ReduceLogSum", 7, last, digital, fixed_axes}, import_reduce},
    {{"", "ReduceLogSumExp", 7, last, digital, fixed_axes}, import_reduce},
    {{"", "ReduceMax", 7, last, digital, fixed_axes}, import_reduce},
    {{"", "ReduceMean", 7, last, digital, fixed_axes}, import_reduce},
    {{"", "ReduceMin", 7, last, digital, fixed_axes}, import_reduce},
    {{"", "ReduceProd", 7, last, digital, fixed_axes}, import_reduce},
    {{"", "ReduceSum", 7, last, digital, fixed_axes}, import_reduce},
    {{"", "ReduceSumSquare", 7, last, digital, fixed_axes}, import_reduce},
    {{"", "Relu", 7, last, digital, none}, import_same},
    {{"", "Reshape", 7, last, digital, fixed_shape}, import_reshape},
    {{"", "Resize", 10, last, digital,
      "nearest, linear; scales or sizes must not depend on the data; no antialiasing, no cropping"},
     import_resize},
    {{"", "Round", 11, last, digital, none}, import_same},
    {{"", "Scatter", 9, 10, digital, none}, import_scatter},
    {{"", "ScatterElements", 11, last, digital, none}, import_scatter},
    {{"", "ScatterND", 11, last, digital, none}, import_scatter},
    {{"", "Selu", 7, last, digital, none}, import_alpha_beta},
    {{"", "Shape", 7, last, folded, none}, import_shape},
    {{"", "Sigmoid", 7, last, digital, none}, import_same},
    {{"", "Sign", 9, last, digital, none}, import_same},
    {{"", "Sin", 7, last, digital, none}, import_same},
    {{"", "Size", 7, last, folded, none}, import_same},
    {{"", "Slice", 7, last, digital, "bounds must not depend on the data"}, import_slice},
    {{"", "Softmax", 7, last, digital, none}, import_softmax},
    {{"", "Softplus", 7, last, digital, none}, import_same},
    {{"", "Softsign", 7, last, digital, none}, import_same},
    {{"", "SpaceToDepth", 7, last, digital, none}, import_depth_to_space},
    {{"", "Split", 7, last, digital, "sizes must not depend on the data"}, import_split},
    {{"", "Sqrt", 7, last, digital, none}, import_same},
    {{"", "Squeeze", 7, last, digital, fixed_axes}, import_squeeze},
    {{"", "Sub", 7, last, digital, none}, import_same},
    {{"", "Sum", 8, last, digital, none}, import_variadic},
    {{"", "Tanh", 7, last, digital, none}, import_same},
    {{"", "ThresholdedRelu", 10, last, digital, none}, import_alpha_beta},
    {{"", "Tile", 7, last, digital, "repeats must not depend on the data"}, import_same},
    {{"", "TopK", 7, last, digital, "k must not depend on the data"}, import_top_k},
    {{"", "Transpose", 7, last, digital, none}, import_transpose},
    {{"", "Trilu", 14, last, digital, none}, import_trilu},
    {{"", "Unsqueeze", 7, last, digital, fixed_axes}, import_squeeze},
    {{"", "Upsample", 7, 9, digital, "nearest, linear"}, import_upsample},
    {{"", "Where", 9, last, digital, none}, import_same},
    {{"", "Xor", 7, last, digital, none}, import_same},
    {{"finn.custom_op.general", "Quant", 1, 1, digital, quant_limits}, import_quant},
    {{"onnx.brevitas", "Quant", 1, 2, digital, quant_limits}, import_quant},
    {{"qonnx.custom_op.general", "Quant", 1, 2, digital, quant_limits}, import_quant},
});

constexpr auto key(const OnnxOperatorInfo& info) {
  return std::pair<std::string_view, std::string_view>(info.domain, info.name);
}
static_assert(std::is_sorted(table.begin(), table.end(),
                             [](const OnnxOperator& a, const OnnxOperator& b) { return key(a.info) < key(b.info); }));

}  // namespace

std::span<const OnnxOperator> onnx_operator_table() {
  return table;
}

const OnnxOperator* find_onnx_operator(const std::string& domain, const std::string& name) {
  const std::pair<std::string_view, std::string_view> wanted(domain, name);
  const auto found = std::lower_bound(table.begin(), table.end(), wanted,
                                      [](const OnnxOperator& entry, const auto& k) { return key(entry.info) < k; });
  return found != table.end() && key(found->info) == wanted ? &*found : nullptr;
}

}  // namespace tessera::io
