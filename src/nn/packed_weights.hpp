#pragma once
#include <memory>
#include <mutex>
#include <vector>

#include "tessera/kernels/product.hpp"
#include "tessera/nn/linear.hpp"

/// The weights of a layer for the float32 product.
namespace tessera::nn {

/// Packed when they are first asked for: layers on tiles may never be. Convolutions sum kernel-row-major with channels
/// innermost, the order in which channels-last images lie in memory.
class PackedWeights {
 public:
  explicit PackedWeights(const LinearLayer& layer);

  /// One per part of the layer.
  const std::vector<kernels::PackedMatrix>& parts() const;
  /// The part's weight as linear.hpp defines it, bit for bit.
  Matrix matrix(std::size_t part) const;

 private:
  LinearKind kind_;
  std::int64_t positions_;
  std::vector<PartWeight> weights_;
  mutable std::once_flag packed_once_;
  mutable std::vector<kernels::PackedMatrix> packed_;
};

/// Packs the weights of a layer and drops the graph's own copy, if nothing else can need it: the constant, and the parts
/// of the layer, are from then on made from the packed ones when they are read. `readers`: consumers() of the graph.
void keep_packed_only(Graph& graph, LinearLayer& layer, const std::shared_ptr<const PackedWeights>& packed,
                      const std::vector<std::vector<int>>& readers);

}  // namespace tessera::nn
