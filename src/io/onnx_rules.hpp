#pragma once
#include "onnx_node.hpp"

/// One small function per ONNX operator: brings any opset's form into the canonical one, or says why it cannot.
namespace tessera::io {

// Weighted layers: onnx_weighted.cpp
// The layer alone, which writes `output`: an operator with more to it goes on from there.
void emit_gemm(const NodeImport& n, nn::ValueId output);
void emit_conv(const NodeImport& n, nn::ValueId output);
void import_conv(const NodeImport& n);
void import_gemm(const NodeImport& n);
void import_matmul(const NodeImport& n);
void import_recurrent(const NodeImport& n);

// Numbers: onnx_numeric.cpp
void import_same(const NodeImport& n);
void import_alpha_beta(const NodeImport& n);
void import_gelu(const NodeImport& n);
void import_mod(const NodeImport& n);
void import_clip(const NodeImport& n);
void import_cast(const NodeImport& n);
void import_variadic(const NodeImport& n);
void import_batch_normalization(const NodeImport& n);
void import_instance_normalization(const NodeImport& n);
void import_group_normalization(const NodeImport& n);
void import_lrn(const NodeImport& n);
void import_lp_normalization(const NodeImport& n);
void import_max_pool(const NodeImport& n);
void import_max_unpool(const NodeImport& n);
void import_average_pool(const NodeImport& n);
void import_global_pool(const NodeImport& n);
void import_resize(const NodeImport& n);
void import_upsample(const NodeImport& n);
void import_reduce(const NodeImport& n);
void import_arg_extreme(const NodeImport& n);
void import_top_k(const NodeImport& n);
void import_softmax(const NodeImport& n);
void import_cumsum(const NodeImport& n);

// Windows of signals: onnx_signal.cpp
void import_window(const NodeImport& n);

// Normalization by means: onnx_normalize.cpp
void import_layer_normalization(const NodeImport& n);
void import_rms_normalization(const NodeImport& n);
void import_mean_variance_normalization(const NodeImport& n);

// Quantizers and integer codes: onnx_quantization.cpp
void import_quantize_linear(const NodeImport& n);
void import_dequantize_linear(const NodeImport& n);
void import_dynamic_quantize_linear(const NodeImport& n);
void import_qlinear_conv(const NodeImport& n);
void import_qlinear_matmul(const NodeImport& n);
void import_integer_product(const NodeImport& n);
void import_quant(const NodeImport& n);
void import_bipolar_quant(const NodeImport& n);
void import_trunc(const NodeImport& n);

// Tests, bit patterns, picking of elements: onnx_logic.cpp
void import_binary(const NodeImport& n);
void import_is_nan(const NodeImport& n);
void import_is_inf(const NodeImport& n);
void import_cast_like(const NodeImport& n);
void import_bitwise(const NodeImport& n);
void import_shrink(const NodeImport& n);
void import_swish(const NodeImport& n);
void import_hardmax(const NodeImport& n);
void import_gather_nd(const NodeImport& n);
void import_axis_only(const NodeImport& n);
void import_reverse_sequence(const NodeImport& n);
void import_eye_like(const NodeImport& n);
void import_tensor_scatter(const NodeImport& n);

// Attention: onnx_attention.cpp
void import_attention(const NodeImport& n);
void import_rotary_embedding(const NodeImport& n);

// Einsum: onnx_einsum.cpp
void import_einsum(const NodeImport& n);

// Control flow: onnx_control.cpp
void import_if(const NodeImport& n);
void import_loop(const NodeImport& n);

// Operators of ONNX Runtime: onnx_fused.cpp
void import_fused_conv(const NodeImport& n);
void import_fused_gemm(const NodeImport& n);
void import_fused_matmul(const NodeImport& n);
void import_microsoft_gelu(const NodeImport& n);
void import_bias_softmax(const NodeImport& n);
void import_skip_layer_normalization(const NodeImport& n);
void import_embed_layer_normalization(const NodeImport& n);
void import_multi_head_attention(const NodeImport& n);
void import_microsoft_attention(const NodeImport& n);

// Shapes, constants, and the moving of elements: onnx_shape.cpp
void import_identity(const NodeImport& n);
void import_dropout(const NodeImport& n);
void import_constant(const NodeImport& n);
void import_constant_of_shape(const NodeImport& n);
void import_reshape(const NodeImport& n);
void import_flatten(const NodeImport& n);
void import_transpose(const NodeImport& n);
void import_shape(const NodeImport& n);
void import_gather(const NodeImport& n);
void import_scatter(const NodeImport& n);
void import_concat(const NodeImport& n);
void import_depth_to_space(const NodeImport& n);
void import_trilu(const NodeImport& n);
void import_squeeze(const NodeImport& n);
void import_split(const NodeImport& n);
void import_slice(const NodeImport& n);
void import_pad(const NodeImport& n);

}  // namespace tessera::io
