#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tessera/nn/graph.hpp"
#include "tessera/nn/linear.hpp"
#include "tessera/sim/run_parameters.hpp"

/// Which layers of a network hand their output codes to the DACs of the next unconverted, and what a layer's fixed-point
/// periphery takes over of what follows it (docs/models/tile_fixed_point.md).
namespace tessera::sim {

/// Where codes come from: a layer, or a node that joins codes.
struct CodeSource {
  std::ptrdiff_t layer = -1;
  int node = -1;
};

/// An Add or a Concat of codes.
struct CodeJoin {
  int node = -1;
  bool adds = true;
  std::vector<CodeSource> operands;
};

/// One layer with its surroundings, as the graph and the parameters have them.
struct LayerLink {
  bool fixed_point = false;          ///< analog, with pre_post.fixed_point
  bool fused_relu = false;           ///< a ReLU that alone takes its output is part of it
  bool output_signed = true;         ///< of its output code
  std::vector<std::size_t> sources;  ///< layers whose codes reach it, ascending; empty where the chain is broken
  CodeSource source;                 ///< of its input
  std::vector<CodeJoin> joins;       ///< at which the sources meet on the way, each behind those that it joins
  std::string broken;                ///< why its inputs are no codes of layers in front; empty if they may be
};

/// An Add whose operands are codes of different steps: its multipliers bring both to the step of the DAC behind it, as
/// pre_post.fixed_point.add of the layer behind it says.
struct CodeSum {
  int node = -1;
  std::size_t layer = 0;                     ///< the first one behind it
  tile::AddFormat format;                    ///< of that layer
  float step = 0.0F;                         ///< of the codes that it gives
  std::int64_t largest_code = 0;             ///< of the DAC behind it; the sum saturates there
  std::array<float, 2> operand_step{};       ///< of the codes that are added
  std::array<std::int64_t, 2> multiplier{};  ///< M
  int saturated = 0;                         ///< multipliers that did not fit the format

  bool operator==(const CodeSum&) const = default;
};

/// Fixed-point periphery and DAC of a layer, once its output has a range.
struct LayerCodes {
  float output_step = 0.0F;
  double input_step = 0.0;  ///< of a DAC code, with the input range as it is; the largest over its tiles
  std::int64_t largest_input_code = 0;
  const tile::FixedPointParameter* formats = nullptr;
};

/// What reaches a layer.
struct ReachedCodes {
  float step = 0.0F;  ///< of the codes at its input; 0: none
  int sum = -1;       ///< the CodeSum that gives them, if one does
  std::string broken;
};

struct CodeConnections {
  std::vector<ReachedCodes> layers;
  std::vector<CodeSum> sums;  ///< in the order of their nodes
};

/// Follows steps from layer to layer. Layers whose inputs are no codes have no say.
CodeConnections connect_codes(const nn::Graph& graph, const std::vector<LayerLink>& links,
                              std::span<const LayerCodes> layers);

/// In the order of `layers`, which are those of the graph. Max pooling, ReLU and rearrangements
/// keep codes, Concat those of equal steps, Add those of any; everything else computes in float32.
std::vector<LayerLink> layer_links(const nn::Graph& graph, const std::vector<nn::LinearLayer>& layers,
                                   std::span<const LayerParameters> parameters);

}  // namespace tessera::sim
