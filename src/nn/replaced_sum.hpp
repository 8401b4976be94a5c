#pragma once
#include "operator.hpp"
#include "tessera/nn/linear.hpp"
#include "tessera/nn/sample_axis.hpp"

namespace tessera::nn {

/// An Add of float32 tensors by another operator, broadcast as ONNX has it. `blocks`: samples in the output, of which the
/// first `counting` go through the operator; the others, which fill up a batch, are 0. InputError for any other node.
void add_with(const SumOperator& sum, const ComputeContext& context, const SampleBlocks& blocks, std::int64_t counting);

}  // namespace tessera::nn
