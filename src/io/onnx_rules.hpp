#pragma once
#include "onnx_node.hpp"

/// One small function per ONNX operator: brings any opset's form into the canonical one, or says why it cannot.
namespace tessera::io {

// Weighted layers: onnx_weighted.cpp
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
void import_layer_normalization(const NodeImport& n);
void import_instance_normalization(const NodeImport& n);
void import_group_normalization(const NodeImport& n);
void import_lrn(const NodeImport& n);
void import_lp_normalization(const NodeImport& n);
void import_quantize_linear(const NodeImport& n);
void import_dequantize_linear(const NodeImport& n);
void import_quant(const NodeImport& n);
void import_max_pool(const NodeImport& n);
void import_average_pool(const NodeImport& n);
void import_global_pool(const NodeImport& n);
void import_resize(const NodeImport& n);
void import_upsample(const NodeImport& n);
void import_reduce(const NodeImport& n);
void import_arg_extreme(const NodeImport& n);
void import_top_k(const NodeImport& n);
void import_softmax(const NodeImport& n);
void import_cumsum(const NodeImport& n);

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
