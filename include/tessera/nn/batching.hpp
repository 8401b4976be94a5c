#pragma once
#include "tessera/core/messages.hpp"
#include "tessera/nn/graph.hpp"

namespace tessera::nn {

/// Finds out how many samples one evaluation of a graph may hold. The rule:
/// 1. The batch is dimension 0 of every input. Where that has a fixed extent above 1 and one other extent is free, or
///    where the samples can be shown to lie along another free axis only (a sequence-first input [T, N, C]), that axis
///    is the batch: it is moved to the front by a Transpose, with a note.
/// 2. A batch of a fixed n > 1 stays: BatchMode::fixed, with a note.
/// 3. Else its extent becomes free, whether the file says "N" or 1, and in constant target shapes of Reshape (of two
///    entries or more) a first entry of 1, the file's batch, becomes 0: "as the input". The result is proven
///    (sample_axis.hpp).
/// 4. Where the proof fails and the file says 1, or no rule covers an operator, one sample is evaluated at a time, with
///    a note that names the node. Where a network of a free batch mixes samples, it is refused: MixedSamples.
/// What free extents other than the batch leave open is proven when an executor knows them. InputError for a graph that
/// does not fit together for one sample either.
void make_batchable(Graph& graph, const Environment& environment);

/// For a graph of BatchMode::fixed with several samples at a time and one input: decides by the shape of the samples
/// what its input is: a batch of them (dimension 0, as it stands; or another axis, which is then moved to the front),
/// or one whole sample without a batch. Other graphs stay as they are.
void fit_batch(Graph& graph, const Shape& sample_shape);

}  // namespace tessera::nn
