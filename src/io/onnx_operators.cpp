#include <algorithm>
#include <array>
#include <string_view>

#include "onnx_rules.hpp"

/// The table of operators.
namespace tessera::io {

namespace {

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
    {{"", "MatMul", 7, last, tiles,
      "on tiles if the second operand is a constant matrix; a product of two activations is digital unless layers: "
      "asks"},
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
