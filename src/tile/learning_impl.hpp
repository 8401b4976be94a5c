#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tessera/tile/learning.hpp"
#include "tile/analog_layer_impl.hpp"

/// Private: what a LearningLayer holds.
namespace tessera::tile {

/// Values of a learned quantizer range; copied to the quantizer while it is learned, else copied from it.
struct LearnedRange {
  std::vector<float> delta;
  std::vector<float> zero_float;
  std::vector<float> delta_gradient;
  std::vector<float> zero_gradient;

  void add(const quant::RangeGradient& gradient);
  void clear();
};

/// What one batch adds up for the input range of a tile.
struct RangeSums {
  double clipping = 0.0;  ///< sum over x >= r of min(d, 0) - sum over x <= -r of max(d, 0)
  double ordinary = 0.0;  ///< sum dc * c, with c the clipped input
  std::int64_t inside = 0;
  std::int64_t clipped_outputs = 0;

  RangeSums& operator+=(const RangeSums& other);
};

/// Derivatives at the weights in use; a copied layer makes its own.
struct TileDerivatives {
  std::unique_ptr<EngineBackward> engine;
  std::unique_ptr<EngineBackward> negative;  ///< of the negative pass, if it has weights of its own

  TileDerivatives() = default;
  ~TileDerivatives() = default;
  TileDerivatives(const TileDerivatives&) {}
  TileDerivatives& operator=(const TileDerivatives&) { return *this = TileDerivatives(); }
  TileDerivatives(TileDerivatives&&) = default;
  TileDerivatives& operator=(TileDerivatives&&) = default;
};

struct LearningTile {
  Matrix weights;  ///< tile units, without modifier; [outputs, lines]
  TileDerivatives backward;
  float input_range_gradient = 0.0F;
  std::vector<float> output_scale_gradient;
  LearnedRange scale_range;
  LearnedRange output_range;

  ProductTrace trace;
  RangeSums range;
  std::vector<double> scale_sums;  ///< per output: sum g o
};

struct LearningLayer::Impl {
  AnalogLayer layer;
  LearningOptions options;
  Matrix weight;
  Matrix weight_gradient;
  std::vector<float> bias;
  std::vector<float> bias_gradient;
  std::vector<double> bias_sums;  ///< of the digital bias, one batch
  LearnedRange bias_range;
  LearnedRange output_range;
  std::vector<LearningTile> tiles;
  std::uint64_t batch = 0;
  bool stale = true;  ///< the weights in use have to be made from `tiles`

  AnalogLayer::Impl& analog() { return *layer.impl_; }
  const AnalogLayer::Impl& analog() const { return *layer.impl_; }
  const RpuParameters& rpu() const { return *layer.impl_->parameters; }
  LearningTile& tile(std::int64_t t) { return tiles[static_cast<std::size_t>(t)]; }
  std::int64_t tile_count() const { return static_cast<std::int64_t>(tiles.size()); }
  bool exact() const { return options.backward == BackwardRule::straight_through; }
  bool learning_ranges() const;

  void build(ConstMatrixView new_weight, std::span<const float> new_bias);
  /// Tile weights from `weight` and the mapping scales, and back.
  void place_weights();
  void collect_weights();
  void limit_weights();
  bool modifies_weights() const;
  /// Makes what passes use: modified weights, and their derivatives.
  void prepare();
  void ranges_from_quantizers();
  void ranges_to_quantizers();

  // Backward: learning_backward.cpp; of one tile: learning_tile_backward.cpp; finish_sums(): learning_gradients.cpp.
  struct BlockCall;
  class TileBackward;
  void begin_sums();
  void backward_block(const BlockCall& call);
  void trace_tiles(const BlockCall& call);
  Matrix output_gradient(const BlockCall& call);
  void tile_backward(std::int64_t t, const BlockCall& call, MatrixView g);
  void finish_sums(std::int64_t vectors);
  bool needs_outputs(std::int64_t t) const;
  bool is_linear(std::int64_t t) const;
};

}  // namespace tessera::tile
