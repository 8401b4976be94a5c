#include <array>
#include <map>
#include <string_view>

#include "operator.hpp"
#include "operator_list.hpp"

namespace tessera::nn {

namespace {

constexpr auto natural = LayoutRule::natural;
constexpr auto spatial = LayoutRule::spatial;
constexpr auto pointwise = LayoutRule::pointwise;
constexpr auto follow = LayoutRule::follow;
constexpr auto reduce = LayoutRule::reduce;

// name, inputs (least, most), most outputs, layout, in place, view, shape, computation
constexpr auto operators = std::to_array<Operator>({
    // weighted: evaluated by the executor when the weight is constant
    {"Conv", 2, 3, 1, spatial, false, false, infer_conv, nullptr},
    {"ConvTranspose", 2, 3, 1, spatial, false, false, infer_conv_transpose, nullptr},
    {"Gemm", 2, 3, 1, natural, false, false, infer_gemm, nullptr},
    {"MatMul", 2, 3, 1, natural, false, false, infer_matmul, compute_matmul},
    {"LSTM", 3, 8, 3, natural, false, false, infer_lstm, nullptr},
    {"GRU", 3, 6, 2, natural, false, false, infer_gru, nullptr},
    {"RNN", 3, 6, 2, natural, false, false, infer_rnn, nullptr},
    // normalization and quantization
    {"BatchNormalization", 5, 5, 1, follow, true, false, infer_batch_normalization, compute_batch_normalization},
    {"LayerNormalization", 2, 3, 1, natural, true, false, infer_layer_normalization, compute_layer_normalization},
    {"InstanceNormalization", 3, 3, 1, natural, true, false, infer_instance_normalization,
     compute_instance_normalization},
    {"GroupNormalization", 3, 3, 1, natural, true, false, infer_instance_normalization, compute_instance_normalization},
    {"LRN", 1, 1, 1, natural, false, false, infer_lrn, compute_lrn},
    {"QuantizeLinear", 2, 3, 1, natural, false, false, infer_quantize_linear, compute_quantize_linear},
    {"DequantizeLinear", 2, 3, 1, natural, false, false, infer_dequantize_linear, compute_dequantize_linear},
    // element by element, one input
    {"Relu", 1, 1, 1, pointwise, true, false, infer_unary, compute_relu},
    {"LeakyRelu", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_leaky_relu},
    {"ThresholdedRelu", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_thresholded_relu},
    {"Elu", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_elu},
    {"Celu", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_celu},
    {"Selu", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_selu},
    {"Sigmoid", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_sigmoid},
    {"HardSigmoid", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_hard_sigmoid},
    {"HardSwish", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_hard_swish},
    {"Gelu", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_gelu},
    {"Mish", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_mish},
    {"Tanh", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_tanh},
    {"Erf", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_erf},
    {"Softplus", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_softplus},
    {"Softsign", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_softsign},
    {"Exp", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_exp},
    {"Log", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_log},
    {"Sqrt", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_sqrt},
    {"Reciprocal", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_reciprocal},
    {"Floor", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_floor},
    {"Ceil", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_ceil},
    {"Round", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_round},
    {"Sin", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_sin},
    {"Cos", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_cos},
    {"Atan", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_atan},
    {"Tan", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_tan},
    {"Asin", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_asin},
    {"Acos", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_acos},
    {"Sinh", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_sinh},
    {"Cosh", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_cosh},
    {"Asinh", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_asinh},
    {"Acosh", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_acosh},
    {"Atanh", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_atanh},
    {"Neg", 1, 1, 1, pointwise, true, false, infer_unary, compute_neg},
    {"Abs", 1, 1, 1, pointwise, true, false, infer_unary, compute_abs},
    {"Sign", 1, 1, 1, pointwise, true, false, infer_unary, compute_sign},
    {"Not", 1, 1, 1, pointwise, true, false, infer_unary, compute_not},
    {"Clip", 1, 3, 1, pointwise, true, false, infer_clip, compute_clip},
    {"Cast", 1, 1, 1, pointwise, false, false, infer_cast, compute_cast},
    {"Identity", 1, 1, 1, pointwise, false, true, infer_same, compute_view},
    {"Dropout", 1, 3, 1, pointwise, true, false, infer_same, compute_view},  // a mask in training only
    // inserted by insert_transforms(), evaluated by the executor
    {"Transform", 1, 1, 1, pointwise, true, false, infer_float_unary, compute_transform},
    {"OrderedTransform", 1, 1, 1, natural, true, false, infer_float_unary, compute_transform},
    // element by element, several inputs
    {"Add", 2, 2, 1, pointwise, true, false, infer_binary, compute_add},
    {"Sub", 2, 2, 1, pointwise, true, false, infer_binary, compute_sub},
    {"Mul", 2, 2, 1, pointwise, true, false, infer_binary, compute_mul},
    {"Div", 2, 2, 1, pointwise, true, false, infer_binary, compute_div},
    {"Min", 2, 2, 1, pointwise, true, false, infer_binary, compute_min},
    {"Max", 2, 2, 1, pointwise, true, false, infer_binary, compute_max},
    {"Mod", 2, 2, 1, pointwise, true, false, infer_binary, compute_mod},
    {"Pow", 2, 2, 1, pointwise, true, false, infer_power, compute_pow},
    {"PRelu", 2, 2, 1, pointwise, true, false, infer_prelu, compute_prelu},
    {"Where", 3, 3, 1, pointwise, false, false, infer_where, compute_where},
    {"Equal", 2, 2, 1, pointwise, false, false, infer_to_boolean, compute_equal},
    {"Less", 2, 2, 1, pointwise, false, false, infer_to_boolean, compute_less},
    {"LessOrEqual", 2, 2, 1, pointwise, false, false, infer_to_boolean, compute_less_or_equal},
    {"Greater", 2, 2, 1, pointwise, false, false, infer_to_boolean, compute_greater},
    {"GreaterOrEqual", 2, 2, 1, pointwise, false, false, infer_to_boolean, compute_greater_or_equal},
    {"And", 2, 2, 1, pointwise, false, false, infer_logical, compute_and},
    {"Or", 2, 2, 1, pointwise, false, false, infer_logical, compute_or},
    {"Xor", 2, 2, 1, pointwise, false, false, infer_logical, compute_xor},
    {"BitwiseAnd", 2, 2, 1, pointwise, true, false, infer_bitwise, compute_bitwise_and},
    {"BitwiseOr", 2, 2, 1, pointwise, true, false, infer_bitwise, compute_bitwise_or},
    {"BitwiseXor", 2, 2, 1, pointwise, true, false, infer_bitwise, compute_bitwise_xor},
    {"BitwiseNot", 1, 1, 1, pointwise, true, false, infer_bitwise, compute_bitwise_not},
    {"BitShift", 2, 2, 1, pointwise, true, false, infer_bitwise, compute_bit_shift},
    // integer products
    {"MatMulInteger", 2, 4, 1, natural, false, false, infer_matmul_integer, compute_matmul_integer},
    {"ConvInteger", 2, 4, 1, natural, false, false, infer_conv_integer, compute_conv_integer},
    {"Einsum", 1, -1, 1, natural, false, false, infer_einsum, compute_einsum},
    // convolutions over three axes
    {"DepthWindows", 1, 1, 1, natural, false, false, infer_depth_windows, compute_depth_windows},
    {"DepthStack", 2, 2, 1, natural, false, false, infer_depth_stack, compute_depth_stack},
    {"DepthSum", 2, 2, 1, natural, false, false, infer_depth_sum, compute_depth_sum},
    // pooling and resizing
    {"MaxPoolIndices", 1, 1, 1, natural, false, false, infer_max_pool_indices, compute_max_pool_indices},
    {"MaxUnpool", 2, 3, 1, natural, false, false, infer_max_unpool, compute_max_unpool},
    {"MaxPool", 1, 1, 1, spatial, false, false, infer_pool, compute_max_pool},
    {"AveragePool", 1, 1, 1, spatial, false, false, infer_pool, compute_average_pool},
    {"LpPool", 1, 1, 1, spatial, false, false, infer_pool, compute_lp_pool},
    {"GlobalAveragePool", 1, 1, 1, spatial, false, false, infer_pool, compute_average_pool},
    {"GlobalMaxPool", 1, 1, 1, spatial, false, false, infer_pool, compute_max_pool},
    {"GlobalLpPool", 1, 1, 1, spatial, false, false, infer_pool, compute_lp_pool},
    {"Resize", 1, 4, 1, follow, false, false, infer_resize, compute_resize},
    // reductions
    {"ReduceSum", 1, 2, 1, reduce, false, false, infer_reduce, compute_reduce},
    {"ReduceMean", 1, 2, 1, reduce, false, false, infer_reduce, compute_reduce},
    {"ReduceMax", 1, 2, 1, reduce, false, false, infer_reduce, compute_reduce},
    {"ReduceMin", 1, 2, 1, reduce, false, false, infer_reduce, compute_reduce},
    {"ReduceProd", 1, 2, 1, reduce, false, false, infer_reduce, compute_reduce},
    {"ReduceL1", 1, 2, 1, reduce, false, false, infer_reduce, compute_reduce},
    {"ReduceL2", 1, 2, 1, reduce, false, false, infer_reduce, compute_reduce},
    {"ReduceSumSquare", 1, 2, 1, reduce, false, false, infer_reduce, compute_reduce},
    {"ReduceLogSum", 1, 2, 1, reduce, false, false, infer_reduce, compute_reduce},
    {"ReduceLogSumExp", 1, 2, 1, reduce, false, false, infer_reduce, compute_reduce},
    {"ArgMax", 1, 1, 1, natural, false, false, infer_arg_extreme, compute_arg_extreme},
    {"ArgMin", 1, 1, 1, natural, false, false, infer_arg_extreme, compute_arg_extreme},
    {"TopK", 2, 2, 2, natural, false, false, infer_top_k, compute_top_k},
    {"Softmax", 1, 1, 1, natural, true, false, infer_softmax, compute_softmax},
    {"LogSoftmax", 1, 1, 1, natural, true, false, infer_softmax, compute_softmax},
    {"CumSum", 2, 2, 1, natural, false, false, infer_cumsum, compute_cumsum},
    // shape
    {"Reshape", 2, 2, 1, natural, false, true, infer_reshape, compute_view},
    {"Flatten", 1, 1, 1, natural, false, true, infer_flatten, compute_view},
    {"Squeeze", 1, 2, 1, natural, false, true, infer_squeeze, compute_view},
    {"Unsqueeze", 2, 2, 1, natural, false, true, infer_unsqueeze, compute_view},
    {"Shape", 1, 1, 1, natural, false, false, infer_shape, nullptr},
    {"Size", 1, 1, 1, natural, false, false, infer_size, nullptr},
    {"ConstantOfShape", 1, 1, 1, natural, false, false, infer_constant_of_shape, compute_constant_of_shape},
    {"Range", 3, 3, 1, natural, false, false, infer_range, compute_range},
    {"Transpose", 1, 1, 1, natural, false, false, infer_transpose, compute_transpose},
    {"Slice", 3, 5, 1, follow, false, false, infer_slice, compute_slice},
    {"Pad", 2, 4, 1, follow, false, false, infer_pad, compute_pad},
    {"Tile", 2, 2, 1, natural, false, false, infer_tile, compute_tile},
    {"Expand", 2, 2, 1, natural, false, false, infer_expand, compute_expand},
    {"Concat", 1, -1, 1, follow, false, false, infer_concat, compute_concat},
    {"Split", 1, 2, -1, follow, false, false, infer_split, compute_split},
    {"Gather", 2, 2, 1, natural, false, false, infer_gather, compute_gather},
    {"GatherElements", 2, 2, 1, natural, false, false, infer_gather_elements, compute_gather_elements},
    {"ScatterElements", 3, 3, 1, natural, false, false, infer_scatter_elements, compute_scatter_elements},
    {"ScatterND", 3, 3, 1, natural, false, false, infer_scatter_nd, compute_scatter_nd},
    {"GatherND", 2, 2, 1, natural, false, false, infer_gather_nd, compute_gather_nd},
    {"OneHot", 3, 3, 1, natural, false, false, infer_one_hot, compute_one_hot},
    {"NonZero", 1, 1, 1, natural, false, false, infer_non_zero, compute_non_zero},
    {"Compress", 2, 2, 1, natural, false, false, infer_compress, compute_compress},
    {"EyeLike", 1, 1, 1, natural, false, false, infer_eye_like, compute_eye_like},
    {"ReverseSequence", 2, 2, 1, natural, false, false, infer_reverse_sequence, compute_reverse_sequence},
    {"TensorScatter", 2, 3, 1, natural, false, false, infer_tensor_scatter, compute_tensor_scatter},
    {"DepthToSpace", 1, 1, 1, natural, false, false, infer_depth_to_space, compute_depth_to_space},
    {"SpaceToDepth", 1, 1, 1, natural, false, false, infer_depth_to_space, compute_depth_to_space},
    {"Trilu", 1, 2, 1, natural, false, false, infer_trilu, compute_trilu},
});

constexpr std::int64_t largest_activation = std::int64_t{1} << 34;

}  // namespace

std::span<const Operator> all_operators() {
  return operators;
}

const Operator* find_operator(const std::string& name) {
  static const std::map<std::string_view, const Operator*> index = [] {
    std::map<std::string_view, const Operator*> map;
    for (const Operator& op : operators) map.emplace(op.name, &op);
    return map;
  }();
  const auto found = index.find(name);
  return found == index.end() ? nullptr : found->second;
}

std::string InferContext::where() const {
  return fmt::format("node '{}' ({})", node.name, node.op);
}
std::string ComputeContext::where() const {
  return fmt::format("node '{}' ({})", node.name, node.op);
}

const ValueInfo& InferContext::required(std::size_t i) const {
  require<InputError>(has(i), "{}: input {} is missing", where(), i);
  return *in[i];
}

const std::vector<std::int64_t>& InferContext::known_integers(std::size_t i) const {
  const ValueInfo& info = required(i);
  require<InputError>(info.type == ElementType::int64, "{}: input {} must hold integers", where(), i);
  require<InputError>(info.known != nullptr,
                      "{}: input {} depends on the data, so the shape of the output would; export with fixed shapes",
                      where(), i);
  return std::get<IntTensor>(*info.known).values;
}

std::vector<float> InferContext::known_floats(std::size_t i) const {
  const ValueInfo& info = required(i);
  require<InputError>(info.known != nullptr,
                      "{}: input {} depends on the data, so the shape of the output would; export with fixed shapes",
                      where(), i);
  if (const auto* tensor = std::get_if<Tensor>(&*info.known)) return {tensor->values().begin(), tensor->values().end()};
  std::vector<float> values;
  for (const std::int64_t value : std::get<IntTensor>(*info.known).values) values.push_back(static_cast<float>(value));
  return values;
}

void InferContext::set(std::size_t i, ElementType type, Shape shape) const {
  if (i >= out.size()) return;
  require<InputError>(element_count(shape) <= largest_activation, "{}: an output of shape {} is too large", where(),
                      to_string(shape));
  out[i].type = type;
  out[i].shape = std::move(shape);
}

std::vector<Constant> evaluate_node(const Node& node, std::span<const Array> in, const std::vector<ValueInfo>& out) {
  const Operator* op = find_operator(node.op);
  TESSERA_EXPECT(op != nullptr && op->compute != nullptr);
  std::vector<Constant> result;
  for (const ValueInfo& info : out) {
    if (info.type == ElementType::float32)
      result.emplace_back(Tensor(info.shape));
    else
      result.emplace_back(
          IntTensor{info.shape, std::vector<std::int64_t>(static_cast<std::size_t>(element_count(info.shape)))});
  }
  std::vector<Array> arrays;
  for (const Constant& constant : result) arrays.push_back(array_of(constant));
  op->compute({.node = node, .in = in, .out = arrays, .parallel = {}});
  return result;
}

std::vector<ValueInfo> infer_node(const Node& node, const std::vector<const ValueInfo*>& in,
                                  std::int64_t largest_known) {
  const Operator* op = find_operator(node.op);
  require<InputError>(op != nullptr, "node '{}': operator '{}' is not supported", node.name, node.op);
  const auto inputs = static_cast<int>(in.size()), outputs = static_cast<int>(node.outputs.size());
  require<InputError>(inputs >= op->min_inputs && (op->max_inputs < 0 || inputs <= op->max_inputs) && outputs >= 1 &&
                          (op->max_outputs < 0 || outputs <= op->max_outputs),
                      "node '{}' ({}): {} inputs and {} outputs", node.name, node.op, inputs, outputs);
  std::vector<ValueInfo> out(node.outputs.size());
  const InferContext context{.node = node, .in = in, .out = out};
  for (int i = 0; i < op->min_inputs; ++i) static_cast<void>(context.required(static_cast<std::size_t>(i)));
  op->infer(context);
  if (op->compute == nullptr) return out;
  std::vector<Array> arrays;
  for (const ValueInfo* info : in) {
    if (info != nullptr && !info->known) return out;
    arrays.push_back(info != nullptr ? array_of(*info->known) : Array{});
  }
  for (const ValueInfo& info : out)
    if (element_count(info.shape) > largest_known) return out;
  try {
    std::vector<Constant> values = evaluate_node(node, arrays, out);
    for (std::size_t i = 0; i < out.size(); ++i) out[i].known = std::make_shared<const Constant>(std::move(values[i]));
  } catch (const RunError& error) {
    throw InputError(fmt::format("{} (while folding constants)", error.what()));
  }
  return out;
}

}  // namespace tessera::nn
