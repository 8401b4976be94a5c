#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "tessera/kernels/channel_product.hpp"
#include "tessera/tile/effects.hpp"
#include "tile/product_block.hpp"

/// Private: the analog matrix-vector product of one tile (reference section 4), for blocks of vectors.
namespace tessera::tile {

struct Stage;

class AnalogProduct {
 public:
  AnalogProduct() = default;
  /// `engine` holds the weights in tile units and is a PackedEngine for a perfect product; `address.tile` is the tile's
  /// number.
  AnalogProduct(std::shared_ptr<const IOParameters> io, std::shared_ptr<const Engine> engine,
                const random::Address& address);

  void run(const ProductCall& call, ProductScratch& scratch) const;

  /// Whether run_columns() can give what run() would: nothing but a packed product and what follows it, column by column.
  bool columns_apart() const;
  /// run() where every output has windows of its own, of converted inputs, and draws of its own (call.columns, call.x is
  /// not used): tiles of one output each, side by side. Of the counts only those of the ADC are made.
  void run_columns(const kernels::ChannelWindows& z, std::int64_t first_channel, const ProductCall& call,
                   ProductScratch& s) const;

  /// The pass that run() makes, with everything backward needs of it: rows [first_row, first_row + call.x.rows) of
  /// `trace`, which prepare_trace has sized. call.y is not used, nor are scale and bias.
  void run_traced(const ProductCall& call, ProductScratch& scratch, ProductTrace& trace, std::int64_t first_row) const;
  void prepare_trace(ProductTrace& trace, std::int64_t vectors) const;
  /// Gradient through what stands in front of the lines (effects/dac.hpp), in place, for the lines of x.
  void dac_backward(ConstMatrixView x, float range, ConstMatrixView z, const float* scale, MatrixView dz) const;
  const IOParameters& io() const { return *io_; }
  /// The DAC, without the input range in front of it, where it treats all elements of all vectors alike.
  std::optional<kernels::InputConversion> input_conversion() const;
  float output_bound() const { return adc_.bound; }

  void set_weights(ConstMatrixView weights);
  /// Another engine of the same shape.
  void set_engine(std::shared_ptr<const Engine> engine);
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
  std::vector<std::int64_t> failed(const Block& block, std::uint32_t round, ProductScratch& s) const;
  bool scales_by_vector() const {
    return io_->noise_management != NoiseManagementType::NONE && io_->noise_management != NoiseManagementType::CONSTANT;
  }
  float constant_amplitude() const;
  bool managed_bounds() const { return io_->bound_management != BoundManagementType::NONE; }

  // One round (analog_passes.cpp).
  struct Conversion;
  Stage stage(const Block& block, std::uint32_t event, ProductScratch& s) const;
  void one_pass(const Block& block, MatrixView y, std::uint32_t event, ProductScratch& s) const;
  void pos_neg(const Block& block, MatrixView y, std::uint32_t event, ProductScratch& s) const;
  void by_digits(const Block& block, MatrixView y, std::uint32_t event, ProductScratch& s) const;
  float digit_base() const;
  std::vector<float> digit_weights() const;
  void next_digit(MatrixView codes, MatrixView digit, bool most_significant) const;
  MatrixView input_codes(const Block& block, ProductScratch& s) const;
  void change_lines(const Stage& stage, MatrixView z, PhaseTrace* record) const;
  void analog_chain(const Stage& stage, const Engine& engine, ConstMatrixView z, MatrixView v,
                    PhaseTrace* record) const;
  void output_stage(const Stage& stage, const Conversion& conversion) const;
  void count_conversion(const Block& block, std::int64_t rows, float peak, ProductScratch& s) const;
  void finish_scaled(const Block& block, MatrixView v, MatrixView y, const ProductScratch& s) const;

  // For the backward pass (product_trace.cpp).
  std::size_t pass_count() const;
  void trace_round(Block block, std::uint32_t round, ProductScratch& s, ProductTrace& trace,
                   std::int64_t first_row) const;

  std::shared_ptr<const IOParameters> io_;
  bool perfect_ = true;
  int conversions_ = 1;  // ADC conversions behind one output value
  kernels::Converter dac_;
  kernels::Converter adc_;
  std::shared_ptr<const Engine> engine_;
  std::shared_ptr<const Engine> negative_engine_;  // with W o K, in the two-pass modes
  FrozenDraws frozen_;
  random::Address address_;
  std::vector<const EffectLaw*> laws_;  // of the effects that act, in their order
  bool changes_lines_ = false;          // whether one of them has the hook
  bool changes_columns_ = false;
  bool changes_outputs_ = false;
};

}  // namespace tessera::tile
