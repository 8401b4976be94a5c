#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tessera/core/parallel.hpp"
#include "tessera/io/dataset.hpp"
#include "tessera/nn/graph.hpp"

/// Samples of a data set as a network takes them. Shapes match by meaning: extents of 1 are added or removed, all axes
/// are flattened to one, and where data.layout says that samples are images, channels move from the first axis to the
/// last or back if only that fits. Everything else that would have axes change places is an error.
namespace tessera::sim {

/// The shape of one sample that the network wants, for this data: the network's own extents where they are fixed, the
/// data's where they are free. InputError, with both shapes and what can be done, if they do not match; for networks of
/// several inputs that are not packed.
Shape fitted_sample_shape(const nn::Graph& graph, const io::DataSet& data);

/// For a data set of inputs by name: makes the network one of a single input that takes its samples (nn/packing.hpp).
/// InputError with every input that is missing, unknown, or of another shape.
void pack_inputs(nn::Graph& graph, const io::DataSet& data);

/// Samples [first, first + count) as [count, sample...], for a shape from fitted_sample_shape().
Tensor read_samples(const io::DataSet& data, std::int64_t first, std::int64_t count, const Shape& sample,
                    Parallel parallel = {});

/// The first samples of a data set, from which ranges are estimated that nothing else gives: in batches of a fixed size,
/// so that the ranges are the same whatever the batch size of a run. `read` gives the samples [first, first + count).
struct RangeSamples {
  std::vector<Tensor> batches;
  std::int64_t count = 0;
};
RangeSamples range_samples(const io::DataSet& data,
                           const std::function<Tensor(std::int64_t first, std::int64_t count)>& read);

/// The values [begin, begin + size) of a sample that are tokens of a sequence of `length`: of the input called
/// input_ids, else of the first input of as many values. InputError if there is none.
struct TokenInput {
  std::int64_t begin = 0;
  std::int64_t mask = -1;  ///< where attention_mask lies, 0 for tokens that do not count; -1: none
};
TokenInput token_input(const io::DataSet& data, std::int64_t length);

/// The order in which the axes of a data set's samples become those of `sample`; empty: as they are.
std::vector<std::int64_t> sample_order(const io::DataSet& data, const Shape& sample);

/// Whether two values of these shapes can be compared element by element: equal but for extents of 1, or one of them
/// flat.
bool comparable(const Shape& a, const Shape& b);

}  // namespace tessera::sim
