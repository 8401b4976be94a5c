#pragma once
#include <string>
#include <vector>

#include "tessera/nn/graph.hpp"

/// Private: what can be trained.
namespace tessera::nn {

/// Operators whose output does not change with small changes of their input, and through which nothing is learned.
bool stops_gradients(const std::string& op);

/// InputError with everything that forbids training a network, at once. layer_of_node: number of a node's linear layer,
/// -1 for nodes without weights on tiles.
void check_trainable(const Graph& graph, const std::vector<int>& layer_of_node);

}  // namespace tessera::nn
