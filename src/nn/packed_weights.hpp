#pragma once
#include <atomic>
#include <cstdint>
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

  /// One per part of the layer; they stay where they are until forget().
  const std::vector<kernels::PackedMatrix>& parts() const;
  /// The same, which from now on are the only copy of the weights.
  const std::vector<kernels::PackedMatrix>& keep() const;
  /// Gives back what can be packed again. Not while anybody uses parts().
  void forget() const;
  /// Bytes of the weights, packed or not, that forget() can give back.
  std::int64_t forgettable_bytes() const;
  /// The part's weight as linear.hpp defines it, bit for bit.
  Matrix matrix(std::size_t part) const;

 private:
  LinearKind kind_;
  std::int64_t positions_;
  std::vector<PartWeight> weights_;
  using Parts = std::vector<kernels::PackedMatrix>;
  mutable std::mutex mutex_;
  mutable std::unique_ptr<const Parts> packed_;
  mutable std::atomic<const Parts*> ready_ = nullptr;
  mutable std::atomic<bool> only_copy_ = false;
};

/// Packs the weights of a layer and drops the graph's own copy, if nothing else can need it: the constant, and the parts
/// of the layer, are from then on made from the packed ones when they are read. `readers`: consumers() of the graph.
void keep_packed_only(Graph& graph, LinearLayer& layer, const std::shared_ptr<const PackedWeights>& packed,
                      const std::vector<std::vector<int>>& readers);

}  // namespace tessera::nn
