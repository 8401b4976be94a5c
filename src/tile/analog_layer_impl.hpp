#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "tessera/quant/quantization_manager.hpp"
#include "tessera/tile/analog_layer.hpp"
#include "tile/analog_product.hpp"
#include "tile/fixed_point_periphery.hpp"
#include "tile/periphery.hpp"
#include "tile/rare.hpp"

/// Private: what an AnalogLayer holds.
namespace tessera::tile {

struct LayerTile {
  TilePlace place;
  AnalogProduct product;
  std::shared_ptr<const Engine> target;  // only once the weights in use differ from its
  SharedMatrix target_weights;           // of devices on a packed product; takes the place of `target`
  std::vector<float> mapping_scale;
  std::vector<float> alpha;
  Rare<quant::QuantizationManager> output_quantizer;

  // Derived from the state by AnalogLayer::Impl::refresh; one value per output, or empty for 1.
  std::vector<float> merged;      // S = r m s (with quantization) or r m (without)
  QuantizedValues quantized;      // of S; empty without periphery quantization
  std::vector<float> scale;       // what multiplies the product first
  std::vector<float> late_scale;  // learned output scale behind alpha, without periphery quantization

  // A scale, alpha or quantizer of its own between the product and the accumulation.
  bool needs_late_steps(bool use_alpha) const {
    return (use_alpha && !alpha.empty()) || !late_scale.empty() || output_quantizer.has_value();
  }
};

struct AnalogLayer::Impl {
  std::shared_ptr<const RpuParameters> parameters = std::make_shared<const RpuParameters>();
  EngineFactory engine;  // of imperfect products; none: packed products
  random::Address address;
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
  std::int64_t input_parts = 1;
  std::int64_t output_parts = 1;
  bool analog_bias = false;
  std::vector<float> bias;                            // digital
  QuantizedValues quantized_bias;                     // empty without periphery quantization
  std::vector<LayerTile> tiles;                       // input part by input part
  Rare<quant::QuantizationManager> output_quantizer;  // of the sum over several tiles
  LayerState state;
  OutputCode output_code;
  Rare<FixedPointPeriphery> fixed_point;  // once the output's range is known

  Impl() = default;
  Impl(const std::shared_ptr<const RpuParameters>& rpu, ConstMatrixView weight, std::span<const float> layer_bias,
       random::Address where, EngineFactory factory, const LayerState* known);

  LayerTile& tile(std::int64_t t);
  const LayerTile& tile(std::int64_t t) const;
  TileState& tile_state(std::int64_t t) { return state.tiles[static_cast<std::size_t>(t)]; }
  const TileState& tile_state(std::int64_t t) const { return state.tiles[static_cast<std::size_t>(t)]; }
  bool array() const { return tiles.size() > 1; }
  bool quantized_periphery() const { return parameters->pre_post.periph_quant.n_bits > 0; }
  std::span<const float> bias_in_use() const { return quantized_bias.values.empty() ? bias : quantized_bias.values; }

  /// Recomputes what a tile, or the bias, derives from the state.
  void refresh(std::int64_t t);
  void refresh_bias();
  /// The fixed-point periphery's integers: all, after the range of its output changed, or one tile's.
  void refresh_fixed_point();
  void refresh_fixed_point(std::int64_t t);
  void refresh_fixed_point_bias();
  bool has_fixed_point() const { return parameters->pre_post.fixed_point.has_value(); }
  /// The largest magnitude that the output's code stands for; 0: not known yet.
  double output_range() const;
  /// ConfigError without a range of the output.
  const FixedPointPeriphery& ready_fixed_point() const;
  /// Codes of the tiles of an output part to outputs; `v` by tile: views of products before any scale.
  void fixed_point_pass(std::int64_t output_part, std::int64_t k, ConstMatrixView v, MatrixView y,
                        std::uint64_t first_vector, std::uint32_t event, LayerStatistics* statistics,
                        ProductScratch& scratch) const;
  /// run_block() of a layer with a fixed-point periphery; `y`: the output part.
  void fixed_point_block(std::int64_t output_part, ConstMatrixView x, MatrixView y, const ForwardCall& call,
                         std::uint64_t first_vector, LayerStatistics* statistics, ProductScratch& scratch) const;
  /// Takes the range of the output from the magnitudes of a batch, if it comes from data: the larger of it and before,
  /// or a running average.
  void observe_output_range(ConstMatrixView y, bool average);
  /// Shows a quantizer the values whose range it is to estimate; `saved`: its range afterwards.
  static void observe(Rare<quant::QuantizationManager>& manager, ConstMatrixView values,
                      quant::UniformQuantizerState& saved);
  void fixed_point_training(const AnalogLayer& self, ConstMatrixView x, MatrixView y, const ForwardCall& call);

  void check_call(ConstMatrixView x, MatrixView y, const ForwardCall& call) const;
  static void check_converted(const ForwardCall& call, bool converts_alike);
  /// One task: block of vectors, one output part, all input parts in order.
  void run_block(std::int64_t output_part, ConstMatrixView x, MatrixView y, const ForwardCall& call,
                 std::uint64_t first_vector, LayerStatistics* statistics, ProductScratch& scratch,
                 AlignedVector<float>& partial) const;
  /// The same in two halves: the products of an output part's tiles, each in its columns of v, and what follows them.
  void product_block(std::int64_t output_part, ConstMatrixView x, MatrixView v, const ForwardCall& call,
                     std::uint64_t first_vector, LayerStatistics* statistics, ProductScratch& scratch) const;
  void periphery_block(std::int64_t output_part, ConstMatrixView v, MatrixView y, ProductScratch& scratch,
                       AlignedVector<float>& partial) const;
  /// The same with scales and bias in float32, without alpha.
  void float_periphery(ConstMatrixView v, MatrixView y) const;
  /// Drive of the line of tile t's analog bias: 1, behind an input range 1 / r; 0 without an analog bias.
  float bias_line(std::int64_t t) const;
  /// Where the product of tile t starts in v.
  std::int64_t first_column(std::int64_t t) const;
  ProductCall product_call(std::int64_t t, ConstMatrixView x, MatrixView y, std::uint64_t first_vector,
                           std::uint32_t event, LayerStatistics* statistics) const;
  void late_steps(const LayerTile& tile, MatrixView y, bool use_alpha, bool quantize) const;
  void finish(std::int64_t output_part, MatrixView y) const;

  // Training mode.
  void observe_inputs(ConstMatrixView x);
  void observe_periphery();
  void tile_pass(std::int64_t t, ConstMatrixView x, MatrixView y, const ForwardCall& call) const;
};

/// Vectors per block for a layer with so many values per vector.
std::int64_t block_rows(std::int64_t values_per_vector, std::int64_t vectors, Parallel parallel);

/// Adds `vector[i]` to, or multiplies it onto, every row.
void multiply_columns(MatrixView y, std::span<const float> factor);
void add_columns(MatrixView y, std::span<const float> term);
void quantize_rows(const quant::QuantizationManager& manager, MatrixView y);

}  // namespace tessera::tile
