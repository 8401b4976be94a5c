#pragma once
#include "operator.hpp"
#include "tessera/nn/linear.hpp"

namespace tessera::nn {

/// An Add of float32 tensors by another operator, broadcast as ONNX has it. InputError for any other node.
void add_with(const SumOperator& sum, const ComputeContext& context);

}  // namespace tessera::nn
