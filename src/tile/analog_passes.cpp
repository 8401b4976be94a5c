#include <algorithm>
#include <cmath>
#include <utility>

#include "tessera/random/columns.hpp"
#include "tile/analog_product.hpp"
#include "tile/blocks.hpp"
#include "tile/effects/law.hpp"
#include "tile/effects/read_noise.hpp"

// One round of a block, from the converted inputs to the scaled outputs. A block that is recorded (Block::record) goes
// the same way; what changes values then leaves its derivative: rounding counts as the identity, a clipped value has
// none, scales of the managements are constants.
namespace tessera::tile {
namespace {

constexpr float nearly_clipped = 0.999F;  // of out_bound: what counts as a clipped output (quantization reference D.4)

void add(ConstMatrixView term, MatrixView sum, float factor) {
  for (std::int64_t r = 0; r < term.rows; ++r) {
    const float* in = term.data + r * term.stride;
    float* out = sum.data + r * sum.stride;
    for (std::int64_t c = 0; c < term.cols; ++c) out[c] = out[c] + factor * in[c];
  }
}

void fill_ones(Matrix& m, std::int64_t rows, std::int64_t cols) {
  m = Matrix::uninitialized(rows, cols);
  std::fill(m.values().begin(), m.values().end(), 1.0F);
}

// m *= factor, element by element; a matrix without rows stays without.
template <class Factor>
void multiply_derivatives(PhaseTrace& phase, const Factor& factor) {
  for (Matrix* m : {&phase.slope, &phase.variance, &phase.slope_sum})
    for (std::size_t i = 0; i < m->values().size(); ++i) m->values()[i] *= factor(i);
}

// Clips what was converted without its bound.
void clip_recorded(MatrixView y, float bound, Matrix& slope, std::span<std::int64_t> clipped) {
  const float near = nearly_clipped * bound;
  for (std::int64_t r = 0; r < y.rows; ++r) {
    float* out = y.row(r);
    float* derivative = slope.view().row(r);
    std::int32_t count = 0;
    for (std::int64_t i = 0; i < y.cols; ++i) {
      const float size = std::fabs(out[i]);
      count += size >= near ? 1 : 0;
      derivative[i] = size > bound ? 0.0F : derivative[i];
      const float above = out[i] > -bound ? out[i] : -bound;
      out[i] = above < bound ? above : bound;
    }
    clipped[static_cast<std::size_t>(r)] += count;
  }
}

template <class Fill>
const float* draws(const Stage& stage, random::Purpose purpose, std::int64_t width, AlignedVector<float>& out,
                   const Fill& fill) {
  const Block& block = stage.block;
  const MatrixView values = view(out, block.pending, width);
  if (block.call.columns != nullptr) {  // tiles of one output: a vector has one element
    fill(block.call.columns->at(purpose), stage.event, block.call.first_vector, values);
    return values.data;
  }
  const random::Stream stream(stage.address, purpose);
  const auto first = [&](std::uint64_t vector) { return vector * static_cast<std::uint64_t>(width); };
  if (block.contiguous) {
    fill(stream, stage.event, first(block.call.first_vector),
         std::span<float>(values.data, static_cast<std::size_t>(block.pending * width)));
    return values.data;
  }
  for (std::int64_t i = 0; i < block.pending; ++i) {
    const std::int64_t vector = stage.scratch.pending[static_cast<std::size_t>(i)];
    fill(stream, stage.event, first(block.call.first_vector + static_cast<std::uint64_t>(vector)), values.row_span(i));
  }
  return values.data;
}

}  // namespace

const float* Stage::normals(random::Purpose purpose, std::int64_t width, AlignedVector<float>& out) const {
  return draws(*this, purpose, width, out, [](const auto&... call) { random::fill_normal(call...); });
}
const float* Stage::uniforms(random::Purpose purpose, std::int64_t width, AlignedVector<float>& out) const {
  return draws(*this, purpose, width, out, [](const auto&... call) { random::fill_uniform(call...); });
}

/// Column values on their way through the ADC: the last of a vector applies the scales too.
struct AnalogProduct::Conversion {
  MatrixView v;
  MatrixView y;  ///< may be v
  bool last = false;
  bool read_noise = false;            ///< is still to come
  std::span<PhaseTrace> phases = {};  ///< that led to v, where the block is recorded
};

Stage AnalogProduct::stage(const Block& block, std::uint32_t event, ProductScratch& s) const {
  return {*io_, frozen_, address_, dac_, adc_, block, event, s};
}

void AnalogProduct::one_pass(const Block& block, MatrixView y, std::uint32_t event, ProductScratch& s) const {
  const Stage here = stage(block, event, s);
  const std::span<PhaseTrace> phases =
      block.record != nullptr ? std::span(block.record->phases) : std::span<PhaseTrace>();
  PhaseTrace* record = phases.empty() ? nullptr : &phases[0];
  const MatrixView v = view(s.product, block.pending, outputs());
  change_lines(here, {s.converted.data(), block.pending, inputs()}, record);
  analog_chain(here, *engine_, block.z, v, record);
  output_stage(here, {v, y, true, has_read_noise(*io_), phases});
}

bool AnalogProduct::columns_apart() const {
  return !perfect_ && input_conversion() && io_->mv_type == AnalogMVType::ONE_PASS && !changes_lines_ &&
         !changes_columns_ && !frozen_.saturates() && io_->own_effects.empty() &&
         !(has_read_noise(*io_) && io_->w_noise_type != WeightNoiseType::PCM_READ) && engine_->columns() != nullptr;
}

void AnalogProduct::run_columns(const kernels::ChannelWindows& z, std::int64_t first_channel, const ProductCall& call,
                                ProductScratch& s) const {
  Block block{.call = call, .x = {}, .z = {}};
  block.counting = call.statistics != nullptr;
  s.pending.resize(static_cast<std::size_t>(call.y.rows));
  scale_pending(block, s);
  const MatrixView v = view(s.product, call.y.rows, outputs());
  const MatrixView variance = has_read_noise(*io_) ? view(s.variance, v.rows, v.cols) : MatrixView();
  engine_->columns()->run_columns(z, first_channel, v, variance);
  output_stage(stage(block, call.event << 16U, s), {v, call.y, true, has_read_noise(*io_), {}});
}

void AnalogProduct::pos_neg(const Block& block, MatrixView y, std::uint32_t event, ProductScratch& s) const {
  const MatrixView sum = view(s.sum, block.pending, outputs());
  const bool digital = io_->mv_type == AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM;
  const std::span<PhaseTrace> phases =
      block.record != nullptr ? std::span(block.record->phases) : std::span<PhaseTrace>();
  for (std::uint32_t p = 0; p < 2; ++p) {
    const Stage here = stage(block, event + p, s);
    PhaseTrace* record = phases.empty() ? nullptr : &phases[p];
    const MatrixView half = record != nullptr ? record->z.view() : view(s.phase, block.pending, inputs());
    transform(block.z, half, [p](float t) { return p == 0 ? std::min(t, 0.0F) : std::max(t, 0.0F); });
    change_lines(here, half, record);
    const MatrixView v = p == 0 ? sum : view(s.product, block.pending, outputs());
    analog_chain(here, p == 0 && negative_engine_ ? *negative_engine_ : *engine_, half, v, record);
    if (digital)
      output_stage(here, {v, v, false, has_read_noise(*io_), phases.empty() ? phases : phases.subspan(p, 1)});
    else if (has_read_noise(*io_))
      add_read_noise(here, v, record);
    if (p == 1) add(v, sum, 1.0F);
  }
  if (digital)
    finish_scaled(block, sum, y, s);
  else
    output_stage(stage(block, event, s), {sum, y, true, false, phases});
}

// Integer codes of the DAC, sent digit by digit (SPLIT_MODE: low and high part; BIT_WISE: every bit), least significant
// first; every digit has its own conversion and the results are added with the digits' weights.
void AnalogProduct::by_digits(const Block& block, MatrixView y, std::uint32_t event, ProductScratch& s) const {
  const MatrixView codes = input_codes(block, s);
  const MatrixView sum = view(s.sum, block.pending, outputs());
  const MatrixView v = view(s.product, block.pending, outputs());
  const std::vector<float> weights = digit_weights();
  for (std::size_t b = 0; b < weights.size(); ++b) {
    const Stage here = stage(block, event + static_cast<std::uint32_t>(b), s);
    PhaseTrace* record = block.record != nullptr ? &block.record->phases[b] : nullptr;
    const MatrixView digit = record != nullptr ? record->z.view() : view(s.phase, block.pending, inputs());
    next_digit(codes, digit, b + 1 == weights.size());
    change_lines(here, digit, record);
    analog_chain(here, *engine_, digit, v, record);
    output_stage(here, {v, b == 0 ? sum : v, false, has_read_noise(*io_),
                        record != nullptr ? std::span(record, 1) : std::span<PhaseTrace>()});
    if (record != nullptr) multiply_derivatives(*record, [&](std::size_t) { return weights[b]; });
    if (b > 0) add(v, sum, weights[b]);
  }
  finish_scaled(block, sum, y, s);
}

float AnalogProduct::digit_base() const {
  return static_cast<float>(io_->mv_type == AnalogMVType::SPLIT_MODE ? 1 << io_->split_mode_bit_shift : 2);
}

// What every digit counts, least significant first.
std::vector<float> AnalogProduct::digit_weights() const {
  std::vector<float> weights(static_cast<std::size_t>(conversions_), 1.0F);
  for (std::size_t b = 1; b < weights.size(); ++b) weights[b] = weights[b - 1] * digit_base();
  return weights;
}

// The converted inputs as codes, in place.
MatrixView AnalogProduct::input_codes(const Block& block, ProductScratch& s) const {
  const MatrixView codes = {s.converted.data(), block.pending, inputs()};
  const bool whole = io_->inp_noise <= 0.0 && io_->inp_asymmetry == 0.0;
  transform(codes, codes, [&](float z) { return whole ? std::rint(z / dac_.step) : z / dac_.step; });
  return codes;
}

// Takes the least significant digit off the codes; the last one is all that is left.
void AnalogProduct::next_digit(MatrixView codes, MatrixView digit, bool most_significant) const {
  const float base = digit_base();
  for (std::int64_t r = 0; r < codes.rows; ++r) {
    float* code = codes.row(r);
    float* lines = digit.row(r);
    for (std::int64_t j = 0; j < codes.cols; ++j) {
      const float high = most_significant ? 0.0F : std::trunc(code[j] / base);
      lines[j] = (code[j] - high * base) * dac_.step;
      code[j] = high;
    }
  }
}

// What effects make of the values that a pass puts on the lines.
void AnalogProduct::change_lines(const Stage& stage, MatrixView z, PhaseTrace* record) const {
  if (!changes_lines_) return;
  Matrix* slope = record != nullptr ? &record->line_slope : nullptr;
  if (slope != nullptr) fill_ones(*slope, z.rows, z.cols);
  for (const EffectLaw* law : laws_)
    if (law->lines != nullptr) law->lines(stage, z, slope);
}

// From the lines' inputs z to the currents in front of read noise and ADC. The variance of read noise is left in
// scratch.variance.
void AnalogProduct::analog_chain(const Stage& stage, const Engine& engine, ConstMatrixView z, MatrixView v,
                                 PhaseTrace* record) const {
  EngineCall call{.z = z, .v = v, .variance = {}, .record = {}};
  call.first_vector = stage.block.call.first_vector;
  call.event = stage.block.call.event;
  call.statistics = stage.block.call.statistics;
  if (record != nullptr) {
    fill_ones(record->slope, v.rows, v.cols);
    if (changes_columns_) record->slope_sum = Matrix(v.rows, v.cols);
    record->engine.resize(engine.recorded());
    for (Matrix& m : record->engine) m = Matrix::uninitialized(v.rows, v.cols);
    call.record = record->engine;
  }
  const bool noisy = has_read_noise(*io_);
  const MatrixView variance = noisy ? view(stage.scratch.variance, v.rows, v.cols) : MatrixView();
  if (noisy && io_->w_noise_type == WeightNoiseType::PCM_READ) call.variance = variance;
  engine.run(call, stage.scratch.engine);
  for (const EffectLaw* law : laws_)
    if (law->columns != nullptr) law->columns(stage, z, v, record);
  if (noisy && call.variance.rows == 0) common_variance(z, variance);
}

// Read noise (if it is still to come), what effects make of the columns, output noise, ADC and bound test of one
// conversion. Where nothing lies between read noise and output noise, their sum is drawn at once.
void AnalogProduct::output_stage(const Stage& stage, const Conversion& conversion) const {
  const Block& block = stage.block;
  ProductScratch& s = stage.scratch;
  const MatrixView v = conversion.v;
  const std::span<PhaseTrace> phases = conversion.phases;
  PhaseTrace* first = phases.empty() ? nullptr : &phases[0];
  const bool together = conversion.read_noise && !changes_outputs_;
  if (conversion.read_noise && !together) add_read_noise(stage, v, first);
  Matrix slope;
  if (first != nullptr) fill_ones(slope, v.rows, v.cols);
  for (const EffectLaw* law : laws_)
    if (law->outputs != nullptr) law->outputs(stage, v, first != nullptr ? &slope : nullptr);
  kernels::AdcBlock adc;
  adc.v = v;
  adc.y = conversion.y;
  for (const EffectLaw* law : laws_)
    if (law->adc != nullptr) law->adc(stage, adc);
  if (together) join_read_noise(stage, adc, first);
  if (conversion.last) {
    adc.row_scale = block.unscaled ? s.unscale.data() : nullptr;
    adc.column_scale = block.call.scale;
    adc.bias = block.call.bias;
  }
  if (first != nullptr) {  // the bound apart: what lies exactly on it is not clipped
    kernels::AdcBlock scales;
    scales.v = adc.y;
    scales.y = adc.y;
    scales.row_scale = std::exchange(adc.row_scale, nullptr);
    const float bound = std::exchange(adc.converter.bound, kernels::Converter().bound);
    kernels::convert_outputs(adc);
    clip_recorded(adc.y, bound, slope, block.record->clipped);
    if (scales.row_scale != nullptr) kernels::convert_outputs(scales);
    for (PhaseTrace& phase : phases) multiply_derivatives(phase, [&](std::size_t i) { return slope.values()[i]; });
    return;
  }
  float block_peak = 0.0F;
  if (block.counting) {
    adc.above = sized(s.phase_above, v.rows);
    adc.below = sized(s.phase_below, v.rows);
    adc.block_peak = &block_peak;
    // Which round of a vector counts is known only after its bound test.
    if (managed_bounds()) adc.peaks = sized(s.phase_peaks, v.rows);
  }
  kernels::convert_outputs(adc);
  if (block.counting) count_conversion(block, v.rows, block_peak, s);
}

void AnalogProduct::count_conversion(const Block& block, std::int64_t rows, float peak, ProductScratch& s) const {
  if (!managed_bounds()) {
    LayerStatistics& statistics = *block.call.statistics;
    std::int64_t clipped = 0;
    for (std::int64_t r = 0; r < rows; ++r)
      clipped += s.phase_above[static_cast<std::size_t>(r)] + s.phase_below[static_cast<std::size_t>(r)];
    statistics.adc_saturated += clipped;
    statistics.adc_peak = std::max(statistics.adc_peak, peak);
    return;
  }
  for (std::size_t r = 0; r < static_cast<std::size_t>(rows); ++r) {
    s.above[r] += s.phase_above[r];
    s.below[r] += s.phase_below[r];
    s.peaks[r] = std::max(s.peaks[r], s.phase_peaks[r]);
  }
}

void AnalogProduct::finish_scaled(const Block& block, MatrixView v, MatrixView y, const ProductScratch& s) const {
  kernels::AdcBlock affine;
  affine.v = v;
  affine.y = y;
  affine.row_scale = block.unscaled ? s.unscale.data() : nullptr;
  affine.column_scale = block.call.scale;
  affine.bias = block.call.bias;
  kernels::convert_outputs(affine);
}

}  // namespace tessera::tile
