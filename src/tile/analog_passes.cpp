#include <algorithm>
#include <cmath>

#include "tile/analog_product.hpp"
#include "tile/blocks.hpp"

// One round of a block, from the converted inputs to the scaled outputs.
namespace tessera::tile {
namespace {

void add(ConstMatrixView term, MatrixView sum, float factor) {
  for (std::int64_t r = 0; r < term.rows; ++r) {
    const float* in = term.data + r * term.stride;
    float* out = sum.data + r * sum.stride;
    for (std::int64_t c = 0; c < term.cols; ++c) out[c] = out[c] + factor * in[c];
  }
}

}  // namespace

void AnalogProduct::one_pass(const Block& block, MatrixView y, std::uint32_t event, ProductScratch& s) const {
  const MatrixView v = view(s.product, block.pending, outputs());
  analog_chain(*engine_, block.z, v, s);
  output_stage(block, v, y, event, true, has_read_noise(), s);
}

void AnalogProduct::pos_neg(const Block& block, MatrixView y, std::uint32_t event, ProductScratch& s) const {
  const MatrixView half = view(s.phase, block.pending, inputs());
  const MatrixView sum = view(s.sum, block.pending, outputs());
  const MatrixView v = view(s.product, block.pending, outputs());
  const bool digital = io_.mv_type == AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM;
  const auto convert_half = [&](MatrixView currents, std::uint32_t half_event) {
    if (digital)
      output_stage(block, currents, currents, half_event, false, has_read_noise(), s);
    else if (has_read_noise())
      add_read_noise(block, currents, half_event, s);
  };

  transform(block.z, half, [](float t) { return std::min(t, 0.0F); });
  analog_chain(negative_engine_ ? *negative_engine_ : *engine_, half, sum, s);
  convert_half(sum, event);
  transform(block.z, half, [](float t) { return std::max(t, 0.0F); });
  analog_chain(*engine_, half, v, s);
  convert_half(v, event + 1);
  add(v, sum, 1.0F);
  if (digital)
    finish_scaled(block, sum, y, s);
  else
    output_stage(block, sum, y, event, true, false, s);
}

// Integer codes of the DAC, sent digit by digit (SPLIT_MODE: low and high part; BIT_WISE: every bit), least significant
// first; every digit has its own conversion and the results are added with the digits' weights.
void AnalogProduct::by_digits(const Block& block, MatrixView y, std::uint32_t event, ProductScratch& s) const {
  const MatrixView codes = input_codes(block, s);
  const MatrixView digit = view(s.phase, block.pending, inputs());
  const MatrixView sum = view(s.sum, block.pending, outputs());
  const MatrixView v = view(s.product, block.pending, outputs());
  const std::vector<float> weights = digit_weights();
  for (std::size_t b = 0; b < weights.size(); ++b) {
    next_digit(codes, digit, b + 1 == weights.size());
    const std::uint32_t phase_event = event + static_cast<std::uint32_t>(b);
    analog_chain(*engine_, digit, v, s);
    output_stage(block, v, b == 0 ? sum : v, phase_event, false, has_read_noise(), s);
    if (b > 0) add(v, sum, weights[b]);
  }
  finish_scaled(block, sum, y, s);
}

float AnalogProduct::digit_base() const {
  return static_cast<float>(io_.mv_type == AnalogMVType::SPLIT_MODE ? 1 << io_.split_mode_bit_shift : 2);
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
  const bool whole = io_.inp_noise <= 0.0 && io_.inp_asymmetry == 0.0;
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

// From the lines' inputs z to the currents in front of the ADC: product and the non-idealities of reference
// section 4.6. The variance of read noise is left in s.variance for add_read_noise or output_stage.
void AnalogProduct::analog_chain(const Engine& engine, ConstMatrixView z, MatrixView v, ProductScratch& s) const {
  columns(engine, z, v, {}, s);
  if (!frozen_.v_offset.empty()) offsets_and_series(z, v);
  if (!has_read_noise() || io_.w_noise_type == WeightNoiseType::PCM_READ) return;
  const MatrixView variance = view(s.variance, v.rows, v.cols);
  for (std::int64_t r = 0; r < z.rows; ++r) {
    double sum = 0.0;
    for (const float t : z.row_span(r)) sum += static_cast<double>(t) * static_cast<double>(t);
    std::fill_n(variance.row(r), variance.cols, static_cast<float>(sum));
  }
}

void AnalogProduct::columns(const Engine& engine, ConstMatrixView z, MatrixView v, std::span<Matrix> record,
                            ProductScratch& s) const {
  EngineCall call{.z = z, .v = v, .variance = {}, .record = record};
  if (has_read_noise() && io_.w_noise_type == WeightNoiseType::PCM_READ)
    call.variance = view(s.variance, v.rows, v.cols);
  engine.run(call, s.engine);
}

void AnalogProduct::add_read_noise(const Block& block, MatrixView v, std::uint32_t event, ProductScratch& s) const {
  fill_draws(block, read_noise_, event, v.cols, s, s.draws, false);
  kernels::add_read_noise(v, {s.variance.data(), v.rows, v.cols}, s.draws.data(), static_cast<float>(io_.w_noise));
}

void AnalogProduct::offsets_and_series(ConstMatrixView z, MatrixView v) const {
  const auto r_series = static_cast<float>(io_.r_series);
  const auto w_min = static_cast<float>(io_.v_offset_w_min);
  const auto limited = [&](float t) { return t / (1.0F + r_series * std::fabs(t)); };
  for (std::int64_t r = 0; r < v.rows; ++r) {
    double sum = 0.0;
    for (const float t : z.row_span(r)) sum += static_cast<double>(t);
    const float reference = -w_min * static_cast<float>(sum);
    float* out = v.row(r);
    for (std::int64_t i = 0; i < v.cols; ++i) {
      const float o = frozen_.v_offset[static_cast<std::size_t>(i)];
      if (w_min == 0.0F)
        out[i] = (1.0F - o) * limited(out[i]);
      else if (r_series > 0.0F)
        out[i] = (1.0F - o) * limited(out[i] + reference) - (1.0F + o) * limited(reference);
      else
        out[i] = (1.0F - o) * out[i] - 2.0F * o * reference;
    }
  }
}

void AnalogProduct::saturate(MatrixView v) const {
  for (std::int64_t r = 0; r < v.rows; ++r) {
    float* out = v.row(r);
    for (std::int64_t i = 0; i < v.cols; ++i) {
      const float k = frozen_.out_nonlinearity[static_cast<std::size_t>(i)];
      out[i] = frozen_.out_nonlinearity_factor * out[i] / (1.0F + std::fabs(k * out[i]));
    }
  }
}

// Read noise (if it is still to come), saturation, asymmetry, output noise, ADC and bound test of one conversion; the
// last one of a vector applies the scales too. Where nothing lies between read noise and output noise, their sum is
// drawn at once: independent Gaussians add up to one.
void AnalogProduct::output_stage(const Block& block, MatrixView v, MatrixView y, std::uint32_t event, bool last,
                                 bool read_noise, ProductScratch& s) const {
  const bool together = read_noise && !frozen_.saturates() && io_.out_asymmetry == 0.0;
  if (read_noise && !together) add_read_noise(block, v, event, s);
  if (frozen_.saturates()) saturate(v);
  if (io_.out_asymmetry != 0.0) {
    const float factor = 1.0F - static_cast<float>(io_.out_asymmetry);
    transform(v, v, [&](float t) { return t < 0.0F ? t * factor : t; });
  }
  kernels::AdcBlock adc;
  adc.v = v;
  adc.y = y;
  adc.converter = adc_;
  if (together || !frozen_.out_noise_values.empty() || io_.out_noise > 0.0) {
    fill_draws(block, output_noise_, event, v.cols, s, s.draws, false);
    adc.noise = s.draws.data();
    adc.noise_std = static_cast<float>(io_.out_noise);
    adc.noise_stds = frozen_.out_noise_values.empty() ? nullptr : frozen_.out_noise_values.data();
    if (together) {
      adc.variance = s.variance.data();
      adc.variance_factor = static_cast<float>(io_.w_noise * io_.w_noise);
    }
  }
  if (io_.out_sto_round && adc_.step > 0.0F) {
    fill_draws(block, adc_rounding_, event, v.cols, s, s.dither, true);
    adc.dither = s.dither.data();
  }
  if (last) {
    adc.row_scale = block.unscaled ? s.unscale.data() : nullptr;
    adc.column_scale = block.call.scale;
    adc.bias = block.call.bias;
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
