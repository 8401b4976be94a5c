#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/nn/graph.hpp"

/// Where the samples of a batch lie in a value, and the proof of it for every value of a graph.
namespace tessera::nn {

/// Axis `axis` has the extent before * N * after for N samples; entry (b * N + n) * after + i of it belongs to sample
/// n. Most values have before = after = 1. An axis [N*T] merged from [N, T] has after = T, one merged from [T, N] has
/// before = T, and a sequence-first value [T, N, C] has axis = 1. A value that is the same for all samples, whatever
/// the batch, has axis = -1.
struct SampleAxis {
  std::int64_t axis = 0;
  std::int64_t before = 1, after = 1;

  bool any() const { return axis >= 0; }
  /// Row-major memory of the batch is that of its samples, one after the other.
  bool leads() const { return axis == 0 && before == 1; }
  std::int64_t entries() const { return before * after; }  ///< of the axis, that one sample has
  bool operator==(const SampleAxis&) const = default;
};
inline constexpr SampleAxis no_samples{-1, 1, 1};

/// Row-major memory of a batch, as [outer, samples, inner].
struct SampleBlocks {
  std::int64_t outer = 1, samples = 1, inner = 1;
};
SampleBlocks sample_blocks(const SampleAxis& samples, const Shape& batch);

/// Samples that a value of this shape holds; 1 without a sample axis.
std::int64_t sample_count(const SampleAxis& samples, const Shape& batch);

/// The shape of one sample: without the axis where it has one entry for each sample, else with those entries in its
/// place. [N, C] gives [C], [N*T, C] and [T, N, C] give [T, C].
Shape shape_of_sample(const SampleAxis& samples, const Shape& batch);

/// Elements of [outer, samples, inner] as [samples, outer, inner], and back.
void gather_samples(const SampleBlocks& blocks, const float* from, float* to);
void scatter_samples(const SampleBlocks& blocks, const float* from, float* to);

/// [N, sample...] in the order of the samples; a value without samples as it is.
Tensor samples_first(const SampleAxis& samples, Tensor batch);

/// The graph mixes the samples of a batch, or does not take one.
class MixedSamples : public InputError {
  using InputError::InputError;
};
/// No rule says what an operator does to the samples.
class UnprovenSamples : public InputError {
  using InputError::InputError;
};

/// The sample axis of every value (by ValueId; constants and values that are not computed have none), proven operator
/// by operator, for any number of samples: the batch is dimension 0 of the batched inputs, and one sample's part of
/// every value depends on that sample alone and not on how many there are. `sample_shapes` as in input_shapes(). A
/// graph with BatchMode::fixed is proven for its number of samples; for one sample at a time there is nothing to prove,
/// every value is the sample's. A graph with BatchMode::none has no samples. MixedSamples or UnprovenSamples names the
/// node.
std::vector<SampleAxis> prove_samples(const Graph& graph, const std::vector<Shape>& sample_shapes = {});

/// Whether prove_samples() knows what the operator does.
bool has_sample_rule(const std::string& op);

}  // namespace tessera::nn
