#pragma once
#include <array>
#include <optional>
#include <vector>

#include "tessera/nn/graph.hpp"
#include "tessera/nn/passes.hpp"

/// What is known of the values of a network while it is being imported.
namespace tessera::io {

/// Shapes and elements that hold whatever the batch and the free extents are. They are inferred twice, for two batches
/// and two choices of the free extents; what differs is not known. Nodes that were added since the last question are
/// followed then, so that an import that asks nothing costs nothing.
class GraphFacts {
 public:
  explicit GraphFacts(const nn::Graph& graph) : graph_(graph) {}

  /// The shape, with -1 for extents that are not known; nothing if not even the rank is.
  std::optional<Shape> shape(nn::ValueId id);
  /// The elements of integers that do not depend on data.
  std::optional<std::vector<std::int64_t>> integers(nn::ValueId id);

 private:
  struct Assumption {
    std::int64_t batch, free_extent;
    std::vector<std::optional<nn::ValueInfo>> infos;
  };
  void follow();
  void follow(Assumption& assumption, std::size_t first_node) const;

  const nn::Graph& graph_;
  std::size_t followed_ = 0;
  std::array<Assumption, 2> assumptions_{Assumption{1, 8, {}}, Assumption{2, 12, {}}};
};

}  // namespace tessera::io
