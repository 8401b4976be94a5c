#pragma once
#include "tessera/core/messages.hpp"
#include "tessera/nn/graph.hpp"

namespace tessera::nn {

/// Makes a graph run with any batch size. The rule:
/// 1. Dimension 0 of every input is the batch: its extent becomes free, whether the file says "N" or 1.
/// 2. In constant target shapes of Reshape (of two entries or more) a first entry of 1, the file's batch, becomes 0:
/// "as
///    the input".
/// 3. The result is checked: for batches of 1, 2 and 3 every output must have the batch in front, every value between
///    must grow with it along one axis, and, for float inputs, three random samples must give the same outputs together
///    as one by one (relative 1e-4 of the largest output).
/// Where the check fails the changes of step 2 are undone, graph.batch becomes per_sample, and the environment gets a
/// note with the reason. Graphs with free extents other than the batch are not checked; graphs with integer inputs,
/// or with activations of more than 2^26 elements, by their shapes only. InputError for a graph that does not fit
/// together for one sample either.
void make_batchable(Graph& graph, const Environment& environment);

}  // namespace tessera::nn
