#pragma once
#include "tessera/nn/graph.hpp"

namespace tessera::nn {

/// The input is one whole sample: it gets a batch of one in front.
void add_batch_axis(Graph& graph, std::size_t input);

}  // namespace tessera::nn
