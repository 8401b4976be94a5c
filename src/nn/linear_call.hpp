#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "array.hpp"
#include "tessera/kernels/product.hpp"
#include "tessera/nn/linear.hpp"

/// Evaluation of weighted layers: by the packed float32 product or by operators that replace it.
namespace tessera::nn {

/// A layer with its weights packed for the float32 product. Convolutions sum kernel-row-major with channels innermost,
/// the order in which channels-last images lie in memory; operators get the channel-major order of linear.hpp.
struct CompiledLayer {
  LinearLayer layer;
  std::vector<kernels::PackedMatrix> packed;  ///< per part
  std::vector<float> depthwise;               ///< [kernel position][channel], for one channel per group; else empty
  std::vector<float> depthwise_bias;          ///< per channel, or empty
  std::vector<float> bias;                    ///< transposed convolutions: bias of all outputs, or empty
};

CompiledLayer compile_layer(const Graph& graph, LinearLayer layer);

/// How the rows of a dense layer, or the images of a convolution, belong to samples: they lie as [outer, samples,
/// inner] and are numbered for operators as sample * inner + i, plus (outer index << 32).
struct VectorOrder {
  std::int64_t outer = 1, samples = 1, inner = 1;
};

struct LinearCall {
  const CompiledLayer& compiled;
  const Node& node;
  std::span<const Array> in;                         ///< of the node; weights and constant biases are absent
  std::span<const Array> out;                        ///< of the node
  std::span<const LinearOperator* const> operators;  ///< per part; empty: float32
  bool relu = false;
  std::uint64_t first_sample = 0;
  VectorOrder order;
  Parallel parallel;
};

void evaluate_linear(const LinearCall& call);

// One function per kind.
void evaluate_dense(const LinearCall& call);
void evaluate_convolution(const LinearCall& call);
void evaluate_transposed_convolution(const LinearCall& call);
void evaluate_recurrent(const LinearCall& call);

/// y = max(y, 0), keeping NaN.
void rectify(float* y, std::int64_t count);

/// Rows of a product that are worked on at a time: whole blocks of the kernel, and vectors of at most about 128 KiB.
std::int64_t rows_per_block(std::int64_t vector_size);

/// Vectors given to an operator at a time by convolutions.
inline constexpr std::int64_t operator_block = 256;

}  // namespace tessera::nn
