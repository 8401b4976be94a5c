#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "tessera/core/tensor.hpp"
#include "tessera/kernels/converter.hpp"
#include "tessera/random/stream.hpp"
#include "tessera/tile/engine.hpp"
#include "tessera/tile/frozen.hpp"
#include "tessera/tile/parameters.hpp"
#include "tessera/tile/statistics.hpp"

/// Private: the analog matrix-vector product of one tile (reference section 4), for blocks of vectors.
namespace tessera::tile {

/// What the backward pass needs of one pass through the array (one of several with POS_NEG_* and digit encodings).
/// Matrices are [vectors, inputs] or [vectors, outputs]; those of effects that are off have no rows.
struct PhaseTrace {
  Matrix z;          ///< what the lines carried
  Matrix slope;      ///< d o / d v: v the current in front of read noise and output stage, o the tile's output
  Matrix variance;   ///< d o / d (sum |W| z^2), PCM_READ, or d o / d (sum z^2), ADDITIVE_CONSTANT
  Matrix slope_sum;  ///< d o / d (sum z) of voltage offsets and series resistance
  std::vector<Matrix> engine;  ///< what the engine recorded
};

/// A pass of many vectors, written block by block; blocks may be written in parallel.
struct ProductTrace {
  Matrix o;                  ///< [vectors, outputs]: what the scale of the periphery multiplies
  std::vector<float> scale;  ///< c, per vector: z = DAC(x c)
  std::vector<PhaseTrace> phases;
  std::vector<float> z_share;         ///< per pass: its part in the derivative of a digit encoding
  std::vector<std::int64_t> clipped;  ///< outputs of every vector at 0.999 out_bound or beyond
};

/// Working memory of one task; grows to what a block needs and is reused by the next block.
struct ProductScratch {
  AlignedVector<float> input;      // x after the input range, with the constant line of an analog bias
  AlignedVector<float> gathered;   // vectors that bound management repeats
  AlignedVector<float> converted;  // z, what the DAC puts on the lines
  AlignedVector<float> phase;      // the part of z that one pass sends
  EngineScratch engine;
  AlignedVector<float> product;   // v
  AlignedVector<float> sum;       // over passes
  AlignedVector<float> variance;  // of the read noise
  AlignedVector<float> result;    // of repeated vectors
  AlignedVector<float> draws;     // noise of the DAC, then of the ADC
  AlignedVector<float> dither;
  std::vector<float> largest;  // per vector of the block
  std::vector<float> a;        // noise-management scale
  std::vector<float> g;        // bound-management reduction
  std::vector<float> scale;    // per pending vector: c
  std::vector<float> unscale;  // per pending vector: out_scale / c
  std::vector<std::int64_t> pending;
  std::vector<std::int32_t> above;
  std::vector<std::int32_t> below;
  std::vector<std::int32_t> phase_above;
  std::vector<std::int32_t> phase_below;
  std::vector<std::uint32_t> last_round;  // per vector: the round that gave the result
  std::vector<float> peaks;
  std::vector<float> phase_peaks;
};

/// A block of vectors through one tile.
struct ProductCall {
  ConstMatrixView x;  ///< the tile's slice of the input, without the line of an analog bias
  MatrixView y;
  std::uint64_t first_vector = 0;
  std::uint32_t event = 0;       ///< of the call: the high half of the streams' event
  float input_range = 0.0F;      ///< 0: off
  const float* scale = nullptr;  ///< one per output, or null
  const float* bias = nullptr;   ///< one per output, or null
  float average = 0.0F;          ///< of AVERAGE_ABS_MAX; 0: each vector counts as the first
  float bias_line = 0.0F;        ///< drive of the line of an analog bias, which x lacks; 0: there is none
  bool bias_line_clips = false;  ///< the line is clipped at the bound of the DAC like an input
  bool converted = false;        ///< x has been through the input range and input_conversion()
  LayerStatistics* statistics = nullptr;
};

class AnalogProduct {
 public:
  AnalogProduct() = default;
  /// `engine` holds the weights in tile units and is a PackedEngine for a perfect product; `address.tile` is the tile's
  /// number.
  AnalogProduct(const IOParameters& io, std::shared_ptr<const Engine> engine, const random::Address& address);

  void run(const ProductCall& call, ProductScratch& scratch) const;

  /// The pass that run() makes, with everything backward needs of it: rows [first_row, first_row + call.x.rows) of
  /// `trace`, which prepare_trace has sized. call.y is not used, nor are scale and bias.
  void run_traced(const ProductCall& call, ProductScratch& scratch, ProductTrace& trace, std::int64_t first_row) const;
  void prepare_trace(ProductTrace& trace, std::int64_t vectors) const;
  /// Gradient through the DAC, rounding taken as the identity: dz becomes d u in place for the lines of x, with u =
  /// clamp(x, -range, range) / range (range 0: x), z what the lines carried and z = DAC(u c). A value that the DAC
  /// clips gets none; c counts as a constant.
  void dac_backward(ConstMatrixView x, float range, ConstMatrixView z, const float* scale, MatrixView dz) const;
  const IOParameters& io() const { return io_; }
  /// The DAC, without the input range in front of it, where it treats all elements of all vectors alike.
  std::optional<kernels::InputConversion> input_conversion() const;
  float output_bound() const { return adc_.bound; }

  void set_weights(ConstMatrixView weights);
  const std::shared_ptr<const Engine>& engine() const { return engine_; }
  /// Of the negative pass where it has weights of its own, else null.
  const std::shared_ptr<const Engine>& negative_engine() const { return negative_engine_; }
  const FrozenDraws& frozen() const { return frozen_; }
  void set_frozen(FrozenDraws frozen);
  std::int64_t inputs() const { return engine_->inputs(); }
  std::int64_t outputs() const { return engine_->outputs(); }
  /// Whether run() does nothing but multiply (apart from scale and bias).
  bool perfect() const { return perfect_; }
  std::int64_t bytes() const;

 private:
  // A block of vectors on its way through the tile.
  struct Block {
    const ProductCall& call;
    ConstMatrixView x;         // all lines of the tile
    ConstMatrixView z;         // what the DAC puts on the lines
    float range = 0.0F;        // still to be applied to x
    std::int64_t pending = 0;  // vectors of the current round
    bool contiguous = true;    // the pending vectors are the whole block
    bool scaled = false;       // some c differs from 1
    bool unscaled = false;     // some out_scale / c differs from 1
    bool counting = false;     // bound test or statistics wanted
  };

  void run_perfect(const ProductCall& call, ProductScratch& s) const;
  static void count_perfect(const ProductCall& call);
  bool needs_explicit_input(const ProductCall& call) const;
  ConstMatrixView explicit_input(const ProductCall& call, ProductScratch& s) const;
  void initial_scales(const Block& block, ProductScratch& s) const;
  float np_sum_scale(const Block& block, std::int64_t row, float largest) const;
  Block begin(const ProductCall& call, ProductScratch& s) const;
  void run_round(const Block& block, std::uint32_t round, ProductScratch& s) const;
  void scale_pending(Block& block, ProductScratch& s) const;
  ConstMatrixView pending_inputs(const Block& block, ProductScratch& s) const;
  ConstMatrixView convert_inputs(const Block& block, ConstMatrixView x, std::uint32_t event, ProductScratch& s) const;
  std::int64_t undo_clipping_of_bias_line(const Block& block, const kernels::DacBlock& dac) const;
  float digit_base() const;
  std::vector<float> digit_weights() const;
  void next_digit(MatrixView codes, MatrixView digit, bool most_significant) const;
  MatrixView input_codes(const Block& block, ProductScratch& s) const;
  void one_pass(const Block& block, MatrixView y, std::uint32_t event, ProductScratch& s) const;
  // Tracing (product_trace.cpp); the matrices of `phase` belong to the pending vectors.
  void trace_round(Block block, std::uint32_t round, ProductScratch& s, ProductTrace& trace,
                   std::int64_t first_row) const;
  void trace_passes(const Block& block, std::uint32_t event, ProductScratch& s, std::vector<PhaseTrace>& phases,
                    Matrix& o, std::span<std::int64_t> clipped) const;
  Matrix trace_chain(const Engine& engine, ConstMatrixView z, PhaseTrace& phase, ProductScratch& s) const;
  void trace_read_noise(const Block& block, MatrixView v, PhaseTrace& phase, std::uint32_t event,
                        ProductScratch& s) const;
  void trace_output(const Block& block, MatrixView v, std::span<PhaseTrace> phases, std::uint32_t event,
                    bool read_noise, std::span<std::int64_t> clipped, ProductScratch& s) const;
  void pos_neg(const Block& block, MatrixView y, std::uint32_t event, ProductScratch& s) const;
  void by_digits(const Block& block, MatrixView y, std::uint32_t event, ProductScratch& s) const;
  void analog_chain(const Engine& engine, ConstMatrixView z, MatrixView v, ProductScratch& s) const;
  void columns(const Engine& engine, ConstMatrixView z, MatrixView v, std::span<Matrix> record,
               ProductScratch& s) const;
  bool scales_by_vector() const {
    return io_.noise_management != NoiseManagementType::NONE && io_.noise_management != NoiseManagementType::CONSTANT;
  }
  float constant_amplitude() const;
  bool managed_bounds() const { return io_.bound_management != BoundManagementType::NONE; }
  bool has_read_noise() const { return io_.w_noise > 0.0 && io_.w_noise_type != WeightNoiseType::NONE; }
  void add_read_noise(const Block& block, MatrixView v, std::uint32_t event, ProductScratch& s) const;
  void output_stage(const Block& block, MatrixView v, MatrixView y, std::uint32_t event, bool last, bool read_noise,
                    ProductScratch& s) const;
  void count_conversion(const Block& block, std::int64_t rows, float peak, ProductScratch& s) const;
  void fill_draws(const Block& block, const random::Stream& stream, std::uint32_t event, std::int64_t width,
                  const ProductScratch& s, AlignedVector<float>& out, bool uniform) const;
  void offsets_and_series(ConstMatrixView z, MatrixView v) const;
  void saturate(MatrixView v) const;
  void finish_scaled(const Block& block, MatrixView v, MatrixView y, const ProductScratch& s) const;
  std::vector<std::int64_t> failed(const Block& block, std::uint32_t round, ProductScratch& s) const;

  IOParameters io_;
  bool perfect_ = true;
  int conversions_ = 1;  // ADC conversions behind one output value
  kernels::Converter dac_;
  kernels::Converter adc_;
  std::shared_ptr<const Engine> engine_;
  std::shared_ptr<const Engine> negative_engine_;  // with W o K, in the two-pass modes
  FrozenDraws frozen_;
  random::Stream input_noise_;
  random::Stream output_noise_;
  random::Stream read_noise_;
  random::Stream dac_rounding_;
  random::Stream adc_rounding_;
};

}  // namespace tessera::tile
