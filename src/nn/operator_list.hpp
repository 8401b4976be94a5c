#pragma once
#include "operator.hpp"

/// Shape and compute functions of all operators; operators.cpp lists them in one table.
namespace tessera::nn {

// transform.cpp
void compute_transform(const ComputeContext& c);

// operators_elementwise.cpp
void infer_float_unary(const InferContext& c);
void infer_unary(const InferContext& c);
void infer_to_boolean(const InferContext& c);
void infer_binary(const InferContext& c);
void infer_power(const InferContext& c);
void infer_logical(const InferContext& c);
void infer_where(const InferContext& c);
void infer_prelu(const InferContext& c);
void infer_clip(const InferContext& c);
void infer_cast(const InferContext& c);
void compute_relu(const ComputeContext& c);
void compute_leaky_relu(const ComputeContext& c);
void compute_thresholded_relu(const ComputeContext& c);
void compute_elu(const ComputeContext& c);
void compute_celu(const ComputeContext& c);
void compute_selu(const ComputeContext& c);
void compute_sigmoid(const ComputeContext& c);
void compute_hard_sigmoid(const ComputeContext& c);
void compute_hard_swish(const ComputeContext& c);
void compute_gelu(const ComputeContext& c);
void compute_mish(const ComputeContext& c);
void compute_tanh(const ComputeContext& c);
void compute_erf(const ComputeContext& c);
void compute_softplus(const ComputeContext& c);
void compute_softsign(const ComputeContext& c);
void compute_exp(const ComputeContext& c);
void compute_log(const ComputeContext& c);
void compute_sqrt(const ComputeContext& c);
void compute_reciprocal(const ComputeContext& c);
void compute_floor(const ComputeContext& c);
void compute_ceil(const ComputeContext& c);
void compute_round(const ComputeContext& c);
void compute_sin(const ComputeContext& c);
void compute_cos(const ComputeContext& c);
void compute_atan(const ComputeContext& c);
void compute_tan(const ComputeContext& c);
void compute_asin(const ComputeContext& c);
void compute_acos(const ComputeContext& c);
void compute_sinh(const ComputeContext& c);
void compute_cosh(const ComputeContext& c);
void compute_asinh(const ComputeContext& c);
void compute_acosh(const ComputeContext& c);
void compute_atanh(const ComputeContext& c);
void compute_neg(const ComputeContext& c);
void compute_abs(const ComputeContext& c);
void compute_sign(const ComputeContext& c);
void compute_not(const ComputeContext& c);
void compute_cast(const ComputeContext& c);
void compute_clip(const ComputeContext& c);
void compute_add(const ComputeContext& c);
void compute_sub(const ComputeContext& c);
void compute_mul(const ComputeContext& c);
void compute_div(const ComputeContext& c);
void compute_min(const ComputeContext& c);
void compute_max(const ComputeContext& c);
void compute_mod(const ComputeContext& c);
void compute_prelu(const ComputeContext& c);
void compute_equal(const ComputeContext& c);
void compute_less(const ComputeContext& c);
void compute_less_or_equal(const ComputeContext& c);
void compute_greater(const ComputeContext& c);
void compute_greater_or_equal(const ComputeContext& c);
void compute_and(const ComputeContext& c);
void compute_or(const ComputeContext& c);
void compute_xor(const ComputeContext& c);
void compute_pow(const ComputeContext& c);
void compute_where(const ComputeContext& c);

// operators_shape.cpp
void infer_reshape(const InferContext& c);
void infer_flatten(const InferContext& c);
void infer_squeeze(const InferContext& c);
void infer_unsqueeze(const InferContext& c);
void infer_same(const InferContext& c);
void infer_shape(const InferContext& c);
void infer_size(const InferContext& c);
void infer_constant_of_shape(const InferContext& c);
void infer_range(const InferContext& c);
void infer_transpose(const InferContext& c);
void infer_slice(const InferContext& c);
void infer_pad(const InferContext& c);
void infer_tile(const InferContext& c);
void infer_expand(const InferContext& c);
void infer_concat(const InferContext& c);
void infer_split(const InferContext& c);
void infer_gather(const InferContext& c);
void infer_gather_elements(const InferContext& c);
void infer_scatter_elements(const InferContext& c);
void infer_scatter_nd(const InferContext& c);
void infer_depth_to_space(const InferContext& c);
void infer_trilu(const InferContext& c);
void compute_view(const ComputeContext& c);
void compute_constant_of_shape(const ComputeContext& c);
void compute_range(const ComputeContext& c);
void compute_transpose(const ComputeContext& c);
void compute_slice(const ComputeContext& c);
void compute_pad(const ComputeContext& c);
void compute_tile(const ComputeContext& c);
void compute_expand(const ComputeContext& c);
void compute_concat(const ComputeContext& c);
void compute_split(const ComputeContext& c);
void compute_gather(const ComputeContext& c);
void compute_gather_elements(const ComputeContext& c);
void compute_scatter_elements(const ComputeContext& c);
void compute_scatter_nd(const ComputeContext& c);
void compute_depth_to_space(const ComputeContext& c);
void compute_trilu(const ComputeContext& c);

// operators_reduce.cpp
void infer_reduce(const InferContext& c);
void infer_arg_extreme(const InferContext& c);
void infer_top_k(const InferContext& c);
void infer_softmax(const InferContext& c);
void infer_cumsum(const InferContext& c);
void compute_reduce(const ComputeContext& c);
void compute_arg_extreme(const ComputeContext& c);
void compute_top_k(const ComputeContext& c);
void compute_softmax(const ComputeContext& c);
void compute_cumsum(const ComputeContext& c);

// operators_spatial.cpp
void infer_pool(const InferContext& c);
void infer_conv(const InferContext& c);
void infer_conv_transpose(const InferContext& c);
void compute_max_pool(const ComputeContext& c);
void compute_average_pool(const ComputeContext& c);
void compute_lp_pool(const ComputeContext& c);

// operators_normalize.cpp
void infer_batch_normalization(const InferContext& c);
void infer_layer_normalization(const InferContext& c);
void infer_instance_normalization(const InferContext& c);
void infer_lrn(const InferContext& c);
void infer_quantize_linear(const InferContext& c);
void infer_dequantize_linear(const InferContext& c);
void infer_gemm(const InferContext& c);
void infer_matmul(const InferContext& c);
void compute_batch_normalization(const ComputeContext& c);
void compute_layer_normalization(const ComputeContext& c);
void compute_instance_normalization(const ComputeContext& c);
void compute_lrn(const ComputeContext& c);
void compute_quantize_linear(const ComputeContext& c);
void compute_dequantize_linear(const ComputeContext& c);
void compute_matmul(const ComputeContext& c);

// operators_resize.cpp
void infer_resize(const InferContext& c);
void compute_resize(const ComputeContext& c);

// operators_select.cpp
void infer_gather_nd(const InferContext& c);
void compute_gather_nd(const ComputeContext& c);
void infer_one_hot(const InferContext& c);
void compute_one_hot(const ComputeContext& c);
void infer_non_zero(const InferContext& c);
void compute_non_zero(const ComputeContext& c);
void infer_compress(const InferContext& c);
void compute_compress(const ComputeContext& c);
void infer_eye_like(const InferContext& c);
void compute_eye_like(const ComputeContext& c);
void infer_reverse_sequence(const InferContext& c);
void compute_reverse_sequence(const ComputeContext& c);
void infer_tensor_scatter(const InferContext& c);
void compute_tensor_scatter(const ComputeContext& c);

// operators_integer.cpp
void infer_matmul_integer(const InferContext& c);
void compute_matmul_integer(const ComputeContext& c);
void infer_conv_integer(const InferContext& c);
void compute_conv_integer(const ComputeContext& c);
void infer_bitwise(const InferContext& c);
void compute_bitwise_and(const ComputeContext& c);
void compute_bitwise_or(const ComputeContext& c);
void compute_bitwise_xor(const ComputeContext& c);
void compute_bitwise_not(const ComputeContext& c);
void compute_bit_shift(const ComputeContext& c);

// operators_einsum.cpp
void infer_einsum(const InferContext& c);
void compute_einsum(const ComputeContext& c);

// operators_volume.cpp
void infer_depth_windows(const InferContext& c);
void compute_depth_windows(const ComputeContext& c);
void infer_depth_stack(const InferContext& c);
void compute_depth_stack(const ComputeContext& c);
void infer_depth_sum(const InferContext& c);
void compute_depth_sum(const ComputeContext& c);
void infer_max_pool_indices(const InferContext& c);
void compute_max_pool_indices(const ComputeContext& c);
void infer_max_unpool(const InferContext& c);
void compute_max_unpool(const ComputeContext& c);

// operators_recurrent.cpp
void infer_lstm(const InferContext& c);
void infer_gru(const InferContext& c);
void infer_rnn(const InferContext& c);

}  // namespace tessera::nn
