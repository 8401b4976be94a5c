#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tessera/core/tensor.hpp"
#include "tessera/random/stream.hpp"
#include "tessera/tile/analog_layer.hpp"
#include "tessera/tile/parameters.hpp"

/// Training of an analog layer: forward in training mode, gradients, and what follows an update
/// (reference sections 11 and 12; quantization reference A.5, C, D, E; docs/models/learning.md).
namespace tessera::tile {

/// How gradients pass through the analog product.
enum class BackwardRule {
  /// The derivative of the forward pass at its draw: noise is drawn again from the same addresses, rounding (DAC, ADC)
  /// counts as the identity, a clipped value (input range, DAC, ADC) passes nothing, scales of the noise and bound
  /// managements count as constants. Read noise, IR drop, offsets and saturation are differentiated.
  straight_through,
  /// The transposed product with the weights in use, whatever the forward pass did to its result. The input range
  /// passes all gradients, and its own gradient is that of clipping alone (the peer's compiled engine). As there, an
  /// output at 0.999 out_bound or beyond passes nothing while input ranges are on and both managements are NONE.
  perfect_product,
};

struct LearningOptions {
  BackwardRule backward = BackwardRule::straight_through;
};

enum class LearnedKind {
  weight,            ///< W [outputs, inputs] in network units, without the learned output scale
  bias,              ///< b [outputs]
  input_range,       ///< r of one tile; 1 value
  output_scale,      ///< learned output scale s of one tile: 1 value or one per output
  scale_range,       ///< step (and zero point) of the quantizer of a tile's merged scale
  bias_range,        ///< ... of the bias
  activation_range,  ///< ... of an activation quantizer
};

/// A group of values that an optimizer changes, and their gradients.
struct LearnedValue {
  std::string name;  ///< unique in the layer: "weight", "bias", "tile3.input_range", "tile0.scale_range.delta", ...
  LearnedKind kind = LearnedKind::weight;
  std::span<float> value;
  std::span<float> gradient;
};

/// An AnalogLayer that learns.
///
/// One step: begin_batch(n); forward(x, y); backward(x, dy, dx) (in any number of pairs); an optimizer changes
/// values() by their gradients; updated(); zero_gradients().
///
/// Values. Tile weights are W / m with mapping scales m, fixed by set_weights() (or the constructor) as in AnalogLayer
/// and changed by weight remapping only; their gradient is that of W, so a gradient step on W is the same step whatever
/// the scales are. updated() turns the changed values into tiles: W / m, then weight clipping, weight remapping (W, m
/// and s follow, m s W / m stays), r <- |r|, quantizer ranges that are being learned.
///
/// Weight modifiers (modifier.hpp) act on a copy of the tile weights that forward and backward use; one draw per batch,
/// from the number given to begin_batch(). Their gradient is passed on to W unchanged.
///
/// Everything is bit-identical for any thread count. Gradients of a batch do not depend on how forward was split into
/// calls, those of backward do in the last bits.
class LearningLayer {
 public:
  LearningLayer();
  ~LearningLayer();
  LearningLayer(LearningLayer&&) noexcept;
  LearningLayer& operator=(LearningLayer&&) noexcept;
  LearningLayer(const LearningLayer& other);
  LearningLayer& operator=(const LearningLayer& other);

  /// As AnalogLayer: `weight` is [outputs, inputs], `bias` is empty or [outputs]; `state`: as set_state().
  LearningLayer(const RpuParameters& parameters, ConstMatrixView weight, std::span<const float> bias,
                random::Address address, LearningOptions options = {}, EngineFactory engine = {},
                const LayerState* state = nullptr);

  const RpuParameters& parameters() const;
  const LearningOptions& options() const;
  std::int64_t inputs() const;
  std::int64_t outputs() const;

  /// The layer with its present values, its state and no weight modifier (unless modifier.enable_during_test), for
  /// evaluation, programming, saving.
  AnalogLayer analog_layer() const;
  const LayerState& state() const;
  /// Restores ranges and counters (a checkpoint); InputError if they do not fit.
  void set_state(const LayerState& state);

  /// As AnalogLayer::set_output_code.
  void set_output_code(bool relu, bool is_signed);

  /// Draws the weight modifiers of batch `batch` (its low 32 bits) at the next pass.
  void begin_batch(std::uint64_t batch);

  /// Training-mode pass (AnalogLayer::forward_training): updates the state from the batch, then computes y.
  void forward(ConstMatrixView x, MatrixView y, const ForwardCall& call);
  /// Adds the gradients of the batch to values() and writes those of the input to dx [vectors, inputs]; a dx without
  /// rows: not wanted. x and call are those of the forward pass (no statistics are counted), dy is [vectors, outputs].
  void backward(ConstMatrixView x, ConstMatrixView dy, MatrixView dx, const ForwardCall& call);

  /// What is learned, always in the same order. Spans are valid until the layer is assigned to, moved or destroyed.
  /// Ranges of quantizers have a gradient only while they are learned (is_learning_ranges); before, updated() replaces
  /// their values by the estimated ones.
  std::vector<LearnedValue> values();
  void zero_gradients();
  /// Values were changed.
  void updated();

  /// W in network units without the learned output scale, and the bias.
  ConstMatrixView weight() const;
  std::span<const float> bias() const;
  /// New target: maps as the constructor does (scales from omega), keeps what else was learned. Learned output scales
  /// become 1.
  void set_weights(ConstMatrixView weight, std::span<const float> bias);

  /// Whether the periphery's ranges are past init_learning_after.
  bool is_learning_ranges() const;
  /// Activation quantizers: learn their ranges by gradient from now on (QuantizerNotInitializedError without a range),
  /// or estimate them from the batches again (how they start).
  void learn_activation_ranges(bool learn);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tessera::tile
