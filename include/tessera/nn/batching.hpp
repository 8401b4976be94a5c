#pragma once
#include "tessera/core/messages.hpp"
#include "tessera/nn/graph.hpp"

namespace tessera::nn {

/// Makes a graph run with any batch size. The rule:
/// 1. Dimension 0 of every input is the batch: its extent becomes free, whether the file says "N" or 1.
/// 2. A constant target shape of Reshape whose first entry equals the file's fixed batch (1, or 0 < n) becomes "as the
///    input" (0) where the reshaped tensor still has the batch in front.
/// 3. The result is checked: for batches of 1, 2 and 3 every output must have the batch in front, every value between
///    must grow with it along one axis, and, for float inputs, three random samples must give the same outputs together
///    as one by one (relative 1e-4 of the largest output).
/// Where the check fails the changes of step 2 are undone, graph.batch becomes per_sample, and the environment gets a
/// note with the reason. Graphs with free non-batch extents are checked by rules 1 and 2 only.
void make_batchable(Graph& graph, const Environment& environment);

}  // namespace tessera::nn
