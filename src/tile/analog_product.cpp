#include "tile/analog_product.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tessera/core/error.hpp"
#include "tile/blocks.hpp"
#include "tile/effects/dac.hpp"
#include "tile/effects/law.hpp"
#include "tile/packed_engine.hpp"

// From inputs to what the lines carry, round by round; the passes of one round are in analog_passes.cpp, the scales of
// vectors and which of them are repeated in managements.cpp.
namespace tessera::tile {
namespace {

// ADC conversions behind one output value: passes or digits.
int conversions_per_output(const IOParameters& io) {
  switch (io.mv_type) {
    case AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM:
    case AnalogMVType::SPLIT_MODE:
      return 2;
    case AnalogMVType::BIT_WISE: {
      const kernels::Converter dac = kernels::make_converter(io.inp_bound, io.inp_res);
      const auto largest_code = static_cast<std::int64_t>(std::rint(dac.bound / dac.step));
      int bits = 0;
      while ((std::int64_t{1} << bits) <= largest_code) ++bits;
      return bits;
    }
    default:
      return 1;
  }
}

}  // namespace

AnalogProduct::AnalogProduct(std::shared_ptr<const IOParameters> io, std::shared_ptr<const Engine> engine,
                             const random::Address& address)
    : io_(std::move(io)),
      perfect_(io_->is_perfect || io_->mv_type == AnalogMVType::IDEAL),
      conversions_(conversions_per_output(*io_)),
      dac_(kernels::make_converter(io_->inp_bound, io_->inp_res)),
      adc_(kernels::make_converter(io_->out_bound, io_->out_res)),
      engine_(std::move(engine)),
      frozen_(draw_frozen(*io_, engine_->outputs(), engine_->inputs(), address)),
      address_(address) {
  set_frozen(std::move(frozen_));
}

void AnalogProduct::set_weights(ConstMatrixView weights) {
  set_engine(engine_->with_weights(weights));
}

void AnalogProduct::set_engine(std::shared_ptr<const Engine> engine) {
  engine_ = std::move(engine);
  set_frozen(std::move(frozen_));
}

void AnalogProduct::set_frozen(FrozenDraws frozen) {
  frozen_ = std::move(frozen);
  laws_.clear();
  for (const Effect* effect : effects_of(*io_))
    if (effect->act != nullptr && (effect->act->acts == nullptr || effect->act->acts(*io_, frozen_)))
      laws_.push_back(effect->act);
  const auto some = [&](auto hook) {
    return std::any_of(laws_.begin(), laws_.end(), [&](const EffectLaw* law) { return law->*hook != nullptr; });
  };
  changes_lines_ = some(&EffectLaw::lines);
  changes_columns_ = some(&EffectLaw::columns);
  changes_outputs_ = some(&EffectLaw::outputs);
  negative_engine_.reset();
  if (frozen_.w_asymmetry.rows() == 0) return;
  Matrix negative = engine_->weights();
  for (std::int64_t i = 0; i < negative.rows(); ++i)
    for (std::int64_t k = 0; k < negative.cols(); ++k) negative(i, k) *= frozen_.w_asymmetry(i, k);
  negative_engine_ = engine_->with_weights(negative.view());
}

std::int64_t AnalogProduct::bytes() const {
  return engine_->bytes() + (negative_engine_ ? negative_engine_->bytes() : 0) +
         static_cast<std::int64_t>(frozen_.w_asymmetry.values().size_bytes());
}

void AnalogProduct::run(const ProductCall& call, ProductScratch& s) const {
  if (call.x.rows == 0) return;
  if (perfect_) {
    run_perfect(call, s);
    return;
  }
  const std::int64_t rows = call.x.rows;
  Block block = begin(call, s);
  if (call.statistics != nullptr) {
    call.statistics->tile_vectors += rows;
    call.statistics->adc_conversions += rows * outputs() * conversions_;
    if (call.input_range > 0.0F) call.statistics->inputs += rows * call.x.cols;
  }
  block.counting = managed_bounds() || (call.statistics != nullptr && call.statistics->counts_values());
  if (managed_bounds()) s.last_round.assign(static_cast<std::size_t>(rows), 0);
  for (std::uint32_t round = 0; !s.pending.empty(); ++round) {
    run_round(block, round, s);
    s.pending = failed(block, round, s);
    for (const std::int64_t row : s.pending) s.last_round[static_cast<std::size_t>(row)] = round + 1;
    block.contiguous = false;
  }
}

// All vectors of a call pending, with the scales of the first round.
Block AnalogProduct::begin(const ProductCall& call, ProductScratch& s) const {
  Block block{.call = call, .x = call.x, .z = {}, .range = call.input_range};
  if (needs_explicit_input(call)) {
    block.x = explicit_input(call, s);
    block.range = 0.0F;
  }
  initial_scales(block, s);
  s.pending.resize(static_cast<std::size_t>(call.x.rows));
  std::iota(s.pending.begin(), s.pending.end(), 0);
  return block;
}

void AnalogProduct::run_perfect(const ProductCall& call, ProductScratch& s) const {
  const kernels::PackedMatrix& weights = static_cast<const PackedEngine&>(*engine_).packed();
  ConstMatrixView x = call.x;
  if (call.input_range > 0.0F || call.bias_line > 0.0F) {
    x = explicit_input(call, s);
  }
  if (call.scale == nullptr && io_->out_scale == 1.0) {
    const std::size_t n = call.bias == nullptr ? 0 : static_cast<std::size_t>(outputs());
    kernels::multiply(weights, x, call.y, {}, {call.bias, n});
    count_perfect(call);
    return;
  }
  kernels::multiply(weights, x, call.y);
  if (io_->out_scale != 1.0) {
    const auto out_scale = static_cast<float>(io_->out_scale);
    transform(call.y, call.y, [&](float v) { return v * out_scale; });
  }
  if (call.scale != nullptr || call.bias != nullptr) {
    kernels::AdcBlock affine;
    affine.v = call.y;
    affine.y = call.y;
    affine.column_scale = call.scale;
    affine.bias = call.bias;
    kernels::convert_outputs(affine);
  }
  count_perfect(call);
}

void AnalogProduct::count_perfect(const ProductCall& call) {
  if (call.statistics != nullptr) {
    call.statistics->tile_vectors += call.x.rows;
    call.statistics->bound_management_rounds += call.x.rows;
    if (call.input_range > 0.0F) call.statistics->inputs += call.x.rows * call.x.cols;
  }
}

// x after the input range, with the constant line of an analog bias.
ConstMatrixView AnalogProduct::explicit_input(const ProductCall& call, ProductScratch& s) const {
  const std::int64_t lines = call.x.cols + (call.bias_line > 0.0F ? 1 : 0);
  const MatrixView input = view(s.input, call.x.rows, lines);
  kernels::ConversionCounts counts;
  kernels::DacBlock ranged;
  ranged.x = call.x;
  ranged.z = input.cols_from(0, call.x.cols);
  ranged.range = call.input_range;
  ranged.counts = call.statistics != nullptr ? &counts : nullptr;
  require<RunError>(kernels::convert_inputs(ranged), "a value at the input of an analog tile is not finite");
  if (call.bias_line > 0.0F)
    for (std::int64_t r = 0; r < input.rows; ++r) input(r, lines - 1) = call.bias_line;
  if (call.statistics != nullptr) call.statistics->inputs_clipped += counts.range_clipped;
  return input;
}

// The sums of NP_SUM are taken after the input range, and an analog bias is a line of its own: x is then made explicit.
bool AnalogProduct::needs_explicit_input(const ProductCall& call) const {
  const bool sums = io_->noise_management == NoiseManagementType::ABS_MAX_NP_SUM ||
                    io_->bound_management == BoundManagementType::ITERATIVE_WORST_CASE;
  return call.bias_line > 0.0F || (sums && call.input_range > 0.0F);
}

// The pending vectors, one after the other.
ConstMatrixView AnalogProduct::pending_inputs(const Block& block, ProductScratch& s) const {
  if (block.contiguous) return block.x;
  const MatrixView gathered = view(s.gathered, block.pending, block.x.cols);
  for (std::int64_t i = 0; i < block.pending; ++i) {
    const float* from = block.x.row(s.pending[static_cast<std::size_t>(i)]);
    std::copy(from, from + block.x.cols, gathered.row(i));
  }
  return gathered;
}

void AnalogProduct::run_round(const Block& whole, std::uint32_t round, ProductScratch& s) const {
  Block block = whole;
  scale_pending(block, s);
  const std::int64_t n = block.pending;
  const ConstMatrixView x = pending_inputs(block, s);
  const MatrixView y = block.contiguous ? block.call.y : view(s.result, n, outputs());
  const std::uint32_t event = (block.call.event << 16U) + (round << 8U);
  block.z = convert_inputs(block, x, event, s);
  if (managed_bounds()) {
    s.above.assign(static_cast<std::size_t>(n), 0);
    s.below.assign(static_cast<std::size_t>(n), 0);
    s.peaks.assign(static_cast<std::size_t>(n), 0.0F);
  }
  switch (io_->mv_type) {
    case AnalogMVType::POS_NEG_SEPARATE:
    case AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM:
      pos_neg(block, y, event, s);
      break;
    case AnalogMVType::SPLIT_MODE:
    case AnalogMVType::BIT_WISE:
      by_digits(block, y, event, s);
      break;
    default:
      one_pass(block, y, event, s);
  }
  if (!block.contiguous) {
    for (std::int64_t i = 0; i < n; ++i)
      std::copy(y.row(i), y.row(i) + y.cols, block.call.y.row(s.pending[static_cast<std::size_t>(i)]));
  }
}

std::optional<kernels::InputConversion> AnalogProduct::input_conversion() const {
  const bool alike = !scales_by_vector() && !managed_bounds() && io_->inp_noise <= 0.0 &&
                     !(io_->inp_sto_round && dac_.step > 0.0F) && io_->mv_type != AnalogMVType::SPLIT_MODE &&
                     io_->mv_type != AnalogMVType::BIT_WISE;
  if (perfect_ || !alike) return std::nullopt;
  return kernels::InputConversion{.range = 0.0F,
                                  .scale = 1.0F / constant_amplitude(),
                                  .converter = dac_,
                                  .negative_factor = 1.0F - static_cast<float>(io_->inp_asymmetry)};
}

ConstMatrixView AnalogProduct::convert_inputs(const Block& block, ConstMatrixView x, std::uint32_t event,
                                              ProductScratch& s) const {
  LayerStatistics* const statistics = block.call.statistics;
  if (statistics != nullptr) {
    statistics->dac_conversions += x.rows * x.cols;
    statistics->bound_management_rounds += x.rows;
  }
  if (block.call.converted) {  // whose codes were counted before
    if (x.stride == x.cols && !changes_lines_) return x;
    const MatrixView z = view(s.converted, x.rows, x.cols);
    for (std::int64_t r = 0; r < x.rows; ++r) std::copy_n(x.row(r), x.cols, z.row(r));
    return z;
  }
  kernels::ConversionCounts counts;
  kernels::DacBlock dac;
  dac.x = x;
  dac.z = view(s.converted, x.rows, x.cols);
  dac.range = block.range;
  dac.scale = block.scaled ? s.scale.data() : nullptr;
  for (const EffectLaw* law : laws_)
    if (law->dac != nullptr) law->dac(stage(block, event, s), dac);
  dac.counts = statistics != nullptr && statistics->counts_values() ? &counts : nullptr;
  require<RunError>(kernels::convert_inputs(dac), "a value at the input of an analog tile is not finite");
  if (block.call.bias_line > 0.0F && !block.call.bias_line_clips)
    counts.clipped -= undo_clipping_of_bias_line(block, dac);
  if (statistics == nullptr) return dac.z;
  if (block.contiguous) statistics->inputs_clipped += counts.range_clipped;
  statistics->dac_clipped += counts.clipped;
  statistics->dac_peak = std::max(statistics->dac_peak, counts.peak);
  if (statistics->activity) statistics->add(kernels::code_sums(dac.z, dac_));
  return dac.z;
}

// The line of an analog bias is driven by a constant source: beyond the bound of the DAC it counts as several lines in
// parallel, with the resolution and the noise of one. Returns how many vectors had it clipped.
std::int64_t AnalogProduct::undo_clipping_of_bias_line(const Block& block, const kernels::DacBlock& dac) const {
  std::int64_t clipped = 0;
  const std::int64_t line = dac.x.cols - 1;
  for (std::int64_t r = 0; r < dac.x.rows; ++r) {
    float drive = dac.scale != nullptr ? block.call.bias_line * dac.scale[r] : block.call.bias_line;
    if (dac_.step > 0.0F) {
      const float dither = dac.dither != nullptr ? dac.dither[r * dac.x.cols + line] - 0.5F : 0.0F;
      drive = dac_.step * std::rint(drive / dac_.step + dither);
    }
    if (drive <= dac_.bound) continue;
    dac.z.row(r)[line] += drive - dac_.bound;
    ++clipped;
  }
  return clipped;
}

void AnalogProduct::dac_backward(ConstMatrixView x, float range, ConstMatrixView z, const float* scale,
                                 MatrixView dz) const {
  if (!perfect_) dac_slope(*io_, dac_, x, range, z, scale, dz);
}

}  // namespace tessera::tile
