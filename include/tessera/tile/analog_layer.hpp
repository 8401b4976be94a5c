#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "tessera/core/parallel.hpp"
#include "tessera/core/shared_matrix.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/converter.hpp"
#include "tessera/quant/quantization_manager.hpp"
#include "tessera/random/stream.hpp"
#include "tessera/tile/engine.hpp"
#include "tessera/tile/fixed_point.hpp"
#include "tessera/tile/fixed_point_trace.hpp"
#include "tessera/tile/frozen.hpp"
#include "tessera/tile/mapping.hpp"
#include "tessera/tile/parameters.hpp"
#include "tessera/tile/state.hpp"
#include "tessera/tile/statistics.hpp"

namespace tessera::tile {

/// One forward call. `first_vector` is the number, in the whole data set, of the first vector of the call (image number
/// times positions per image, for convolutions): noise is addressed by it, so any split of a data set into calls gives
/// the same bits.
struct ForwardCall {
  std::uint64_t first_vector = 0;
  Parallel parallel = {};
  LayerStatistics* statistics = nullptr;  ///< counts are added to it if given
  std::uint32_t event = 0;                ///< distinguishes repeated passes over the same vectors; below 65536
  /// x has been through AnalogLayer::input_conversion(), and is counted with these codes (of one copy of the inputs);
  /// statistics of values are not possible then.
  std::optional<kernels::CodeSums> converted = {};
};

/// The quantizer of a tile's output and the estimator of its range (quantization reference C.4). Only for n_bits > 0.
quant::QuantizationManagerParameters manager_parameters(const ActivationQuantConfig& config);

/// What one tile is and holds, for results and inspection.
struct TileReport {
  TilePlace place;
  std::vector<float> mapping_scale;       ///< empty: unscaled; 1 value, or one per output
  float input_range = 0.0F;               ///< 0: off
  std::vector<float> scale;               ///< merged affine scale S = r m s before quantization; empty: none
  std::vector<float> quantized_scale;     ///< as used; equal to `scale` without periphery quantization
  std::vector<std::int32_t> scale_codes;  ///< integer codes of quantized_scale; empty without periphery quantization
  std::vector<float> scale_step;          ///< quantizer step: 1 value, or one per output; empty without
  std::int32_t scale_zero_point = 0;
  double scale_sqnr_db = 0.0;  ///< 10 log10(sum S^2 / sum (Q(S) - S)^2) of outputs with weights; +inf without error
  std::vector<float> alpha;    ///< drift compensation: empty (1), 1 value, or one per output
};

/// The bias of the layer after periphery quantization.
struct BiasReport {
  std::vector<float> bias;  ///< digital bias; empty: none
  std::vector<float> quantized_bias;
  std::vector<std::int32_t> codes;  ///< empty without periphery quantization
  std::vector<float> step;
  std::int32_t zero_point = 0;
  double sqnr_db = 0.0;
};

/// The integers of a tile's fixed-point periphery.
struct FixedPointReport {
  TilePlace place;
  AdcCodes adc;
  StoredScale scale;
  StoredBias bias;  ///< of the outputs of the tile, whole (bias.at array) or the tile's part; empty: none
  kernels::FixedPointDatapath datapath;
  float output_step = 0.0F;  ///< u
  std::string scale_format, bias_format;
};

/// What AnalogLayer::read_weights found.
struct ReadWeights {
  Matrix weight;            ///< [outputs, inputs]
  std::vector<float> bias;  ///< of an analog bias; a digital bias is exact and returned as it is; empty: none
};

/// A linear layer y = W x + b on analog tiles with their digital periphery (reference sections 3, 4, 6, 13;
/// quantization reference E). A value: copy or move it; building it places and packs the weights and draws what is
/// frozen per chip.
///
/// Per tile and vector x (the tile's slice of the input), in float32:
///     x' = clamp(x, -r, r) / r                                      (input range, if enabled)
///     v  = analog product of x' (DAC, non-idealities, noise, ADC, bound management; section 4)
///     without periphery quantization:  y = ((v * fl(r m)) * alpha) * s
///     with:                            y = (v * Q(fl(fl(r m) s))) * alpha
/// With pre_post.fixed_point what follows the product is the integer datapath of docs/models/tile_fixed_point.md.
/// y = Q_out(y) per tile if an activation quantizer is configured; partial results of the input parts are added in
/// their order; the bias (quantized apart) is added; with several tiles the sum passes a second activation quantizer.
///
/// Results are bit-identical for every thread count and split of the vectors into calls. Noise of output i of a tile
/// with D outputs and vector s is element s*D + i of the tile's streams; round q (from 0) and phase p of the product
/// are event (call.event << 16) + (q << 8) + p.
class AnalogLayer {
 public:
  AnalogLayer();
  ~AnalogLayer();
  AnalogLayer(const AnalogLayer& other);
  AnalogLayer& operator=(const AnalogLayer& other);
  AnalogLayer(AnalogLayer&&) noexcept;
  AnalogLayer& operator=(AnalogLayer&&) noexcept;

  /// `weight` is [outputs, inputs], `bias` is empty or [outputs]; `address.tile` is ignored (tiles number themselves).
  /// `engine` makes what multiplies in every tile whose product is not perfect; none: the packed product. `state`: what
  /// the layer has learned, as for set_state(); its mapping scales take the place of those of `parameters.mapping`.
  /// Throws ConfigError (see validate) and InputError for shapes that do not fit or weights that are not finite.
  AnalogLayer(const RpuParameters& parameters, ConstMatrixView weight, std::span<const float> bias,
              random::Address address, EngineFactory engine = {}, const LayerState* state = nullptr);
  /// The same for layers that share their parameters.
  AnalogLayer(const std::shared_ptr<const RpuParameters>& parameters, ConstMatrixView weight,
              std::span<const float> bias, random::Address address, EngineFactory engine = {},
              const LayerState* state = nullptr);

  const RpuParameters& parameters() const;
  random::Address address() const;
  std::int64_t inputs() const;
  std::int64_t outputs() const;

  /// Evaluation pass: x is [vectors, inputs], y is [vectors, outputs]. Throws InputError if shapes do not fit, RunError
  /// if the input holds a value that is not finite (while it would pass through a converter or a range), and
  /// ConfigError if an activation quantizer has no range yet (run forward_training or set_state first).
  void forward(ConstMatrixView x, MatrixView y, const ForwardCall& call) const;

  /// forward() in two halves, for layers that differ in their digital periphery only (periph_quant, alpha, output
  /// scales, digital bias, activation quantizer) and so share the analog half:
  ///     forward(x, y) = product(x, v), then periphery(v, y), bit for bit.
  /// v is [vectors, product_columns()]: the products of all tiles, tile after tile, before any scale. The call counts
  /// what forward() counts. Throws as forward() does.
  std::int64_t product_columns() const;
  void product(ConstMatrixView x, MatrixView v, const ForwardCall& call) const;
  void periphery(ConstMatrixView v, MatrixView y, Parallel parallel = {}) const;

  /// Input range and DAC, if they treat every element of every vector alike: no scale of the vector, no noise, no
  /// encoding by digits, one range for all tiles. A call may then bring vectors that have been through it
  /// (ForwardCall::converted). Nothing otherwise.
  std::optional<kernels::InputConversion> input_conversion() const;
  /// Replaces the parameters of the periphery quantizer, which takes its range from the values again. ConfigError as
  /// the constructor.
  void set_periphery_quantization(const PeripheryQuantizationParameter& parameters);

  /// Training-mode pass: as forward, but without alpha, and first updates the state from this batch: running
  /// initialisation of input ranges (init_from_data), ranges of the periphery and of the activation quantizers
  /// (quantization reference D.3, E.4), the average of AVERAGE_ABS_MAX.
  void forward_training(ConstMatrixView x, MatrixView y, const ForwardCall& call);

  /// The ranges of the activation quantizers from one batch, in two halves, so that the vectors need not be in memory
  /// together (quantization reference C.1, C.6): outputs of all tiles, block by block, then all at once through the
  /// estimators, quantized with the ranges that now include them. Nothing else of the state changes.
  ///
  /// parts[t] is [vectors, place(t).outputs]: tile t in evaluation, without alpha and activation quantizer.
  /// finish_ranges overwrites the parts with their quantized values. y is [vectors, outputs].
  void tile_outputs(ConstMatrixView x, std::span<const MatrixView> parts, const ForwardCall& call) const;
  void estimate_activation_ranges(std::span<const MatrixView> parts, MatrixView y);

  // --- tiles ---------------------------------------------------------------------------------------------------------
  std::int64_t tile_count() const;
  TilePlace place(std::int64_t t) const;
  TileReport tile_report(std::int64_t t) const;
  BiasReport bias_report() const;
  /// ConfigError without a fixed-point periphery, or before its output has a range.
  FixedPointReport fixed_point_report(std::int64_t t) const;

  /// Weights of tile t in use, in tile units [outputs, inputs (+1 with an analog bias)].
  Matrix tile_weights(std::int64_t t) const;
  /// The target: weights as mapped, before any set_tile_weights.
  Matrix target_tile_weights(std::int64_t t) const;
  /// Programs or drifts tile t: replaces the weights in use; the target stays. InputError for a wrong shape or values
  /// that are not finite.
  void set_tile_weights(std::int64_t t, ConstMatrixView weights);
  /// What the devices of tile t are to be programmed to, and what they hold: weights in tile units as above, or, where
  /// tiles are crossbars, normalised conductances of their cells [arrays * lines, inputs] (Engine::cells).
  Matrix device_targets(std::int64_t t) const;
  /// `targets`: as device_targets() gave them, if the layer is to share them.
  void set_devices(std::int64_t t, ConstMatrixView values, const SharedMatrix& targets = {});
  /// Whether every converter of crossbars has a range, given or calibrated; forward() throws ConfigError otherwise.
  bool converters_calibrated() const;
  /// What the wires of crossbar tile t alone take; nothing without such wires.
  std::optional<circuit::WireLoss> wire_loss(std::int64_t t, Parallel parallel = {}) const;
  /// What `compensate: wires` leaves of it; no cells where it is off.
  circuit::CompensationLoss compensation_loss(std::int64_t t) const;
  /// Quantities drawn when tile t was built, and their replacement (same sizes; InputError otherwise).
  const FrozenDraws& frozen(std::int64_t t) const;
  void set_frozen(std::int64_t t, FrozenDraws frozen);
  /// The weights in use as the layer sees them, W m s, put together from all tiles: [outputs, inputs].
  Matrix logical_weights() const;
  /// Weights and bias as the hardware would measure them (section 6.4): 10 N random normal vectors pass through the
  /// forward pass, and W is solved from them by least squares, with the bias if it is analog. `event` selects fresh
  /// noise.
  ReadWeights read_weights(std::uint32_t event = 0, Parallel parallel = {}) const;

  /// Bare product of section 4 of tile t for drift compensation (section 9): no input range, scales, alpha, bias.
  /// x is [vectors, tile inputs (+1 with an analog bias)], y is [vectors, tile outputs].
  void read_out(std::int64_t t, ConstMatrixView x, MatrixView y, const ForwardCall& call) const;
  /// Drift compensation factor of tile t: empty (1), one value, or one per output.
  void set_alpha(std::int64_t t, std::span<const float> alpha);

  /// Input range of tile t, or of all tiles; stores |r|. ConfigError while input ranges are off, InputError for 0 or a
  /// value that is not finite.
  void set_input_range(std::int64_t t, float range);
  void set_input_range(float range);
  /// Learned output scale of tile t: one value, or one per output.
  void set_output_scale(std::int64_t t, std::span<const float> scale);
  /// Replaces the digital bias (requantized on its existing range, if fixed).
  void set_bias(std::span<const float> bias);

  /// Every integer that forward() computes for these vectors. ConfigError without a fixed-point periphery, before its
  /// output has a range, where a stage computes in real numbers, and for stochastic rounding.
  FixedPointTrace trace_fixed_point(ConstMatrixView x, const ForwardCall& call) const;

  /// What follows the layer in its network: whether a ReLU is part of its fixed-point output, and whether its codes have
  /// a sign. Nothing happens without a fixed-point periphery.
  void set_output_code(bool relu, bool is_signed);
  bool fused_relu() const;
  bool output_signed() const;
  /// The largest magnitude that an output code stands for; 0 without a fixed-point periphery, or not known yet.
  float output_range() const;
  /// u, what an output code of the fixed-point periphery stands for; 0 without one, or before its output has a range.
  float output_step() const;
  /// Whether the range of the output comes from data and is not known yet.
  bool needs_output_range() const;
  /// Range of the output of the fixed-point periphery; InputError unless it is a positive number.
  void set_output_range(float range);
  /// What a DAC code of tile t stands for at the input of the layer; 0 without a DAC of levels, or where the scale
  /// varies from vector to vector.
  double input_code_step(std::int64_t t) const;
  /// Largest DAC code; 0 likewise.
  std::int64_t largest_input_code() const;

  const LayerState& state() const;
  /// Restores what state() returned for a layer of the same shape and mapping scales; InputError otherwise.
  void set_state(const LayerState& state);

  /// Bytes held: packed weights and frozen vectors.
  std::int64_t bytes() const;

 private:
  friend class LearningLayer;
  friend class AnalogColumns;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tessera::tile
