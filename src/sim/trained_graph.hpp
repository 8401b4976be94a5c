#pragma once
#include "tessera/nn/graph.hpp"

namespace tessera::sim {

/// `graph` with the weights of `trained`, a graph made from it by putting transforms in (or in place of) nodes: nodes
/// of equal names correspond.
nn::Graph with_weights_of(const nn::Graph& graph, const nn::Graph& trained);

}  // namespace tessera::sim
