#pragma once
#include <cstdint>

#include "tessera/nn/executor.hpp"

namespace tessera::sim {

/// The graph with weights drawn anew: element k of a weight [out, in] is sqrt(gain / in) xi_k (He, Zhang, Ren, Sun,
/// ICCV 2015), gain 2, for recurrent layers 1; xi from the stream (seed, layer and part, weight_init). Biases and
/// shifts become 0, scales 1, running means 0 and variances 1.
nn::Graph with_fresh_weights(nn::Graph graph, const nn::ExecutorOptions& options, std::uint64_t seed);

}  // namespace tessera::sim
