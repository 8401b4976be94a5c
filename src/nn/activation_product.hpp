#pragma once
#include <span>
#include <string>
#include <vector>

#include "tessera/nn/executor.hpp"

/// MatMul of two activations, with the matrices of the second one as weights.
namespace tessera::nn {

/// The layer of a product: a part for each matrix of a sample. `shapes`: of all values of the graph for a batch of one
/// and of two samples (equal where the graph has no batch). InputError if it cannot be one (see ExecutorOptions).
LinearLayer product_layer(const Graph& graph, const std::string& name, const std::vector<ValueInfo>& one,
                          const std::vector<ValueInfo>& two);

}  // namespace tessera::nn
