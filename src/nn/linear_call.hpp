#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "array.hpp"
#include "packed_weights.hpp"
#include "tessera/kernels/limits.hpp"
#include "tessera/nn/linear.hpp"

/// Evaluation of weighted layers: by the packed float32 product or by operators that replace it.
namespace tessera::nn {

/// A layer with its weights packed for the float32 product; operators get the channel-major order of linear.hpp.
struct CompiledLayer {
  const LinearLayer& layer;
  std::shared_ptr<const PackedWeights> weights;  ///< null for products of two activations and for `depthwise`
  std::vector<float> depthwise = {};             ///< [kernel position][channel], for one channel per group; else empty
  std::vector<float> depthwise_bias = {};        ///< per channel, or empty
  std::vector<float> bias = {};                  ///< transposed convolutions: bias of all outputs, or empty

  const kernels::PackedMatrix& packed(std::size_t part) const { return weights->parts()[part]; }
};

/// `layer` must outlive the result.
CompiledLayer compile_layer(const Graph& graph, const LinearLayer& layer);

/// How the rows of a dense layer, the images of a convolution, or the matrices of a product belong to samples: they lie
/// as [outer, samples, inner]. Rows and images are numbered for operators as sample * inner + i, plus (outer index <<
/// 32); the matrices of a sample are outer * inner + i. Of a recurrent layer: `inner` rows of a step for each sample.
struct VectorOrder {
  std::int64_t outer = 1, samples = 1, inner = 1;
};

struct LinearCall {
  const CompiledLayer& compiled;
  const Node& node;
  std::span<const Array> in;                         ///< of the node; weights and constant biases are absent
  std::span<const Array> out;                        ///< of the node
  std::span<const LinearOperator* const> operators;  ///< per part; empty: float32
  kernels::Limits limits = {};                       ///< of the outputs
  std::uint64_t first_sample = 0;
  VectorOrder order;
  Parallel parallel;
};

/// One of several sets of operators that see the same input.
struct LinearBranch {
  std::span<const LinearOperator* const> operators;  ///< per part; empty: float32
  std::span<const Array> out;                        ///< of the node
  std::size_t product = 0;                           ///< branches of the same number agree up to their peripheries
};

void evaluate_linear(const LinearCall& call);

/// The layer once for every branch, what they share once: the gathering of vectors, and products. `call.operators` and
/// `call.out` are not used. The same bits as one evaluate_linear() for each.
void evaluate_branches(const LinearCall& call, std::span<const LinearBranch> branches);

/// Branches by their product, in order: those of one list share it.
std::vector<std::vector<std::size_t>> branches_by_product(std::span<const LinearBranch> branches);

/// One block of vectors through part `part` of the branches of a list that share their product; `output(branch)` is
/// where its vectors go. `converted`: x has been through the conversion of the operators, see forward_converted().
template <class Output>
void run_sharing(std::span<const LinearBranch> branches, const std::vector<std::size_t>& sharing, std::size_t part,
                 ConstMatrixView x, const std::optional<kernels::CodeSums>& converted, std::uint64_t first_vector,
                 Parallel parallel, AlignedVector<float>& products, const Output& output) {
  const LinearOperator& leader = *branches[sharing.front()].operators[part];
  const TwoStage* stages = sharing.size() > 1 ? leader.two_stage() : nullptr;
  if (stages == nullptr) {
    for (const std::size_t b : sharing) {
      const LinearOperator& op = *branches[b].operators[part];
      converted ? op.converts_inputs()->forward_converted(x, output(b), first_vector, parallel, *converted)
                : op.forward(x, output(b), first_vector, parallel);
    }
    return;
  }
  const std::int64_t columns = stages->product_columns();
  if (static_cast<std::int64_t>(products.size()) < x.rows * columns)
    products.resize(static_cast<std::size_t>(x.rows * columns));
  const MatrixView v(products.data(), x.rows, columns);
  stages->product(x, v, first_vector, parallel, converted);
  for (const std::size_t b : sharing) branches[b].operators[part]->two_stage()->periphery(v, output(b), parallel);
}

// One function per kind.
void evaluate_dense(const LinearCall& call);
void evaluate_convolution(const LinearCall& call);
/// The same for branches that all have operators.
void evaluate_dense(const LinearCall& call, std::span<const LinearBranch> branches);
void evaluate_convolution(const LinearCall& call, std::span<const LinearBranch> branches);
void evaluate_transposed_convolution(const LinearCall& call);
void evaluate_recurrent(const LinearCall& call);
/// The product of two activations, sample by sample.
void evaluate_product(const LinearCall& call);

/// y = limits(y), in place.
void limit(const kernels::Limits& limits, float* y, std::int64_t count);

/// Rows of a product that are worked on at a time: whole blocks of the kernel, and vectors of at most about 128 KiB.
std::int64_t rows_per_block(std::int64_t vector_size);

/// Vectors given to an operator at a time by convolutions.
inline constexpr std::int64_t operator_block = 256;

}  // namespace tessera::nn
