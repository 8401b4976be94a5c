#pragma once
#include "tessera/nn/graph.hpp"

namespace tessera::nn {

/// A node over three spatial axes as two: over the first, and over the others; else nothing and the node itself. Lists
/// of attributes are divided.
struct SplitNode {
  Node depth, plane;
};
SplitNode split_axes(const Node& node, bool three_axes);

}  // namespace tessera::nn
