#pragma once
#include <span>
#include <string>
#include <vector>

#include "tessera/nn/executor.hpp"

/// MatMul of two activations, with the matrices of the second one as weights.
namespace tessera::nn {

/// The layer of a product: a part for each matrix of a sample. `infos` and `axes`: of all values of the graph.
/// InputError if it cannot be one (see ExecutorOptions).
LinearLayer product_layer(const Graph& graph, const std::string& name, const std::vector<ValueInfo>& infos,
                          const std::vector<SampleAxis>& axes);

}  // namespace tessera::nn
