#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "tessera/core/tensor.hpp"
#include "tessera/nn/graph.hpp"

/// The caller's tensors, as the graph's inputs take them.
namespace tessera::nn {

/// One input of a run: the caller's floats, or their integer copies.
struct BoundInput {
  Shape shape;
  const float* floats = nullptr;
  std::vector<std::int64_t> integers;
  bool batched = true;
  std::int64_t sample_size = 0;  ///< elements per sample, for batched inputs

  /// The values of a tensor of as many elements, which must outlive this.
  void refer_to(const Tensor& values);
};

/// Checks the caller's tensors and brings them into the graph's shapes. `batch`: samples that they hold. InputError
/// where a shape, a count or a value (not an integer) does not fit.
std::vector<BoundInput> bind_inputs(const Graph& graph, std::span<const Tensor> inputs, std::int64_t& batch);

/// Their shapes, for `batch` samples at a time where they have a batch.
std::vector<Shape> shapes_of(const std::vector<BoundInput>& bound, std::int64_t batch);

}  // namespace tessera::nn
