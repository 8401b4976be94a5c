#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "tessera/nn/graph.hpp"
#include "tessera/nn/linear.hpp"
#include "tessera/sim/run_parameters.hpp"

/// Which layers of a network hand their output codes to the DACs of the next unconverted, and what a layer's fixed-point
/// periphery takes over of what follows it (docs/models/tile_fixed_point.md).
namespace tessera::sim {

/// One layer with its surroundings, as the graph and the parameters have them.
struct LayerLink {
  bool fixed_point = false;   ///< analog, with pre_post.fixed_point
  bool fused_relu = false;    ///< a ReLU that alone takes its output is part of it
  bool output_signed = true;  ///< of its output code
  std::vector<std::size_t>
      sources;           ///< layers whose codes may be its inputs, ascending; empty where the chain is broken
  std::string meets_at;  ///< the Add or Concat at which several sources meet; they need equal steps
  std::string broken;    ///< why its inputs are no codes of layers in front; empty if they may be
};

/// In the order of `layers`, which are those of the graph. Max pooling, ReLU and rearrangements keep codes, Add and Concat those of equal
/// steps; everything else computes in float32.
std::vector<LayerLink> layer_links(const nn::Graph& graph, const std::vector<nn::LinearLayer>& layers,
                                   std::span<const LayerParameters> parameters);

}  // namespace tessera::sim
