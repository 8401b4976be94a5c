#include "tessera/quant/uniform_quantizer.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "quant/uniform_loops.hpp"
#include "tessera/core/problems.hpp"

namespace tessera::quant {

QuantizerNotInitializedError::QuantizerNotInitializedError()
    : Error(
          "the quantizer has no range yet (nothing was estimated or loaded); call set_quant_range, calibrate, or read "
          "a "
          "model that stores its ranges") {}

const char* to_string(QMethod method) {
  return qmethod_names.at(static_cast<std::size_t>(method));
}

const char* to_string(ScaleDomain domain) {
  return domain == ScaleDomain::linear ? "linear" : "log";
}

void validate(const UniformQuantizerParameters& p, const std::string& key) {
  Problems problems(key + ".");
  if (p.n_bits < 1 || p.n_bits > max_quantizer_bits) {
    problems.add("n_bits",
                 fmt::format("{} bits (a quantizer has 1 to {}: float32 holds no wider code exactly); to switch "
                             "quantization off, build no quantizer",
                             p.n_bits, max_quantizer_bits));
  }
  if (p.method != QMethod::symmetric_uniform && p.method != QMethod::asymmetric_uniform) {
    problems.add("method", "unknown quantizer method; use symmetric_uniform or asymmetric_uniform");
  }
  if (p.scale_domain != ScaleDomain::linear && p.scale_domain != ScaleDomain::log) {
    problems.add("scale_domain", "unknown scale domain; use linear or log");
  }
  if (p.per_channel && p.axis) {
    problems.add("axis", "both per_channel and axis are given (per_channel means axis 0); give one of them");
  }
  const auto eps = static_cast<float>(p.eps);
  if (!(eps >= 1e-30f) || !std::isfinite(eps)) {
    problems.add("eps",
                 fmt::format("{} is not a number of at least 1e-30 (it is the smallest range); 1e-8 is usual", p.eps));
  }
  problems.throw_if_any();
}

ChannelLayout channel_layout(const Shape& shape, int axis) {
  const int rank = static_cast<int>(shape.size());
  const int dimension = axis < 0 ? axis + rank : axis;
  require<InputError>(dimension >= 0 && dimension < rank,
                      "a tensor of shape {} has no dimension {} to quantize along; choose another axis",
                      tessera::to_string(shape), axis);
  ChannelLayout layout;
  for (int d = 0; d < rank; ++d) {
    const std::int64_t extent = shape[static_cast<std::size_t>(d)];
    (d < dimension ? layout.outer : d == dimension ? layout.channels : layout.inner) *= extent;
  }
  return layout;
}

void quantize_dequantize(const UniformGrid& grid, std::span<const float> x, std::span<float> y) {
  TESSERA_EXPECT(x.size() == y.size());
  loops::quantize_dequantize(grid, x.data(), y.data(), static_cast<std::int64_t>(x.size()));
}

void quantize_to_integer(const UniformGrid& grid, std::span<const float> x, std::span<float> codes) {
  TESSERA_EXPECT(x.size() == codes.size());
  loops::quantize_to_integer(grid, x.data(), codes.data(), static_cast<std::int64_t>(x.size()));
}

UniformQuantizer::UniformQuantizer(const UniformQuantizerParameters& parameters) : parameters_(parameters) {
  validate(parameters_);
}

void UniformQuantizer::require_initialized() const {
  if (!is_initialized()) throw QuantizerNotInitializedError();
}

void UniformQuantizer::set_quant_range(float x_min, float x_max) {
  set_quant_range(std::span<const float>(&x_min, 1), std::span<const float>(&x_max, 1));
}

void UniformQuantizer::set_quant_range(std::span<const float> x_min, std::span<const float> x_max) {
  require<InputError>(!range_trainable_,
                      "the range of this quantizer is being learned; end that with make_range_trainable(false) before "
                      "setting it");
  const std::size_t count = x_min.size();
  require<InputError>(count == x_max.size(), "quantization range with {} lower and {} upper bounds; give pairs", count,
                      x_max.size());
  require<InputError>(count > 0, "quantization range without any channel; give at least one pair of bounds");
  require<InputError>(count == 1 || parameters_.per_channel || parameters_.axis,
                      "quantization range with {} channels for a per-tensor quantizer; set per_channel or axis", count);
  const std::size_t stored = state_.delta.size();
  require<InputError>(stored == 0 || stored == count || count == 1,
                      "quantization range with {} channels for a quantizer that has {} (the channel count cannot "
                      "change); reset the quantizer first",
                      count, stored);

  const auto eps = static_cast<float>(parameters_.eps);
  bool below_zero = false;
  for (std::size_t c = 0; c < count; ++c) {
    require<InputError>(std::isfinite(x_min[c]) && std::isfinite(x_max[c]),
                        "quantization range [{}, {}] of channel {} is not finite; look for NaN or infinity in the data",
                        x_min[c], x_max[c], c);
    below_zero = below_zero || x_min[c] < 0.0f;
  }
  require<InputError>(!(symmetric() && below_zero && parameters_.n_bits == 1),
                      "a 1-bit symmetric quantizer has no positive code for a range that reaches below zero; use "
                      "n_bits >= 2 or the asymmetric method");

  UniformQuantizerState next;
  next.is_signed = symmetric() && below_zero;
  const int bits = parameters_.n_bits;
  const auto top = static_cast<float>(next.is_signed ? (1 << (bits - 1)) - 1 : (1 << bits) - 1);
  for (std::size_t c = 0; c < count; ++c) {
    const float low = std::min(x_min[c], 0.0f);
    const float high = std::max(x_max[c], eps);
    const float step = (symmetric() ? std::max(std::abs(low), high) : high - low) / top;
    require<InputError>(std::isfinite(step), "quantization range [{}, {}] of channel {} overflows float32", x_min[c],
                        x_max[c], c);
    const float raw =
        parameters_.scale_domain == ScaleDomain::log ? static_cast<float>(std::log(static_cast<double>(step))) : step;
    next.delta.push_back(raw);
    next.x_min.push_back(low);
    next.x_max.push_back(high);
    if (!symmetric()) next.zero_float.push_back(-low / step);
  }
  if (stored > count) {
    next.delta.resize(stored, next.delta[0]);
    if (!symmetric()) next.zero_float.resize(stored, next.zero_float[0]);
    next.x_min.resize(stored, next.x_min[0]);
    next.x_max.resize(stored, next.x_max[0]);
  }
  state_ = std::move(next);
}

void UniformQuantizer::reset() {
  state_ = {};
  range_trainable_ = false;
}

void UniformQuantizer::make_range_trainable(bool trainable) {
  require_initialized();
  range_trainable_ = trainable;
}

void UniformQuantizer::set_state(UniformQuantizerState state) {
  const std::size_t count = state.delta.size();
  require<InputError>(count <= 1 || parameters_.per_channel || parameters_.axis,
                      "stored range with {} channels for a per-tensor quantizer", count);
  require<InputError>(state.zero_float.size() == (symmetric() ? 0 : count),
                      "stored range with {} steps and {} zero points does not fit a {} quantizer", count,
                      state.zero_float.size(), to_string(parameters_.method));
  const auto finite = [](float v) { return std::isfinite(v); };
  require<InputError>(std::all_of(state.delta.begin(), state.delta.end(), finite) &&
                          std::all_of(state.zero_float.begin(), state.zero_float.end(), finite),
                      "stored quantization range holds NaN or infinity");
  require<InputError>(!(state.is_signed && (!symmetric() || parameters_.n_bits == 1)),
                      "stored range is marked as signed, which a {}-bit {} quantizer cannot be", parameters_.n_bits,
                      to_string(parameters_.method));
  require<InputError>(
      state.x_min.size() == state.x_max.size() && (state.x_min.empty() || state.x_min.size() == count) &&
          std::all_of(state.x_min.begin(), state.x_min.end(), finite) &&
          std::all_of(state.x_max.begin(), state.x_max.end(), finite),
      "stored quantization range with {} lower and {} upper bounds for {} steps, or with bounds that are not finite",
      state.x_min.size(), state.x_max.size(), count);
  state_ = std::move(state);
}

int UniformQuantizer::int_min() const {
  return is_signed() ? -(1 << (parameters_.n_bits - 1)) : 0;
}

int UniformQuantizer::int_max() const {
  return is_signed() ? (1 << (parameters_.n_bits - 1)) - 1 : (1 << parameters_.n_bits) - 1;
}

bool UniformQuantizer::is_signed() const {
  if (!symmetric()) return false;
  require_initialized();
  return state_.is_signed;
}

float UniformQuantizer::scale_of(std::size_t channel) const {
  const float raw = state_.delta[channel];
  return parameters_.scale_domain == ScaleDomain::log ? static_cast<float>(std::exp(static_cast<double>(raw)))
                                                      : std::max(raw, static_cast<float>(parameters_.eps));
}

float UniformQuantizer::zero_point_of(std::size_t channel) const {
  if (symmetric()) return 0.0f;
  const float rounded = std::nearbyint(state_.zero_float[channel]);
  return std::min(std::max(rounded, static_cast<float>(int_min())), static_cast<float>(int_max()));
}

std::vector<float> UniformQuantizer::delta() const {
  require_initialized();
  return state_.delta;
}

std::vector<float> UniformQuantizer::scale() const {
  require_initialized();
  std::vector<float> values(state_.delta.size());
  for (std::size_t c = 0; c < values.size(); ++c) values[c] = scale_of(c);
  return values;
}

std::vector<float> UniformQuantizer::zero_float() const {
  require_initialized();
  return symmetric() ? std::vector<float>(state_.delta.size(), 0.0f) : state_.zero_float;
}

std::vector<float> UniformQuantizer::zero_point() const {
  require_initialized();
  std::vector<float> values(state_.delta.size());
  for (std::size_t c = 0; c < values.size(); ++c) values[c] = zero_point_of(c);
  return values;
}

std::vector<float> UniformQuantizer::x_max() const {
  require_initialized();
  std::vector<float> values(state_.delta.size());
  for (std::size_t c = 0; c < values.size(); ++c) {
    values[c] = scale_of(c) * (static_cast<float>(int_max()) - zero_point_of(c));
  }
  return values;
}

std::vector<float> UniformQuantizer::x_min() const {
  require_initialized();
  std::vector<float> values(state_.delta.size());
  for (std::size_t c = 0; c < values.size(); ++c) {
    values[c] = scale_of(c) * (static_cast<float>(int_min()) - zero_point_of(c));
  }
  return values;
}

UniformGrid UniformQuantizer::grid(std::int64_t channel) const {
  require_initialized();
  const auto c = channels() == 1 ? std::size_t{0} : static_cast<std::size_t>(channel);
  TESSERA_EXPECT(c < state_.delta.size());
  return {scale_of(c), zero_point_of(c), static_cast<float>(int_min()), static_cast<float>(int_max())};
}

ChannelLayout UniformQuantizer::layout(const Shape& shape) const {
  if (parameters_.per_channel) return channel_layout(shape, 0);
  if (parameters_.axis) return channel_layout(shape, *parameters_.axis);
  return {1, 1, element_count(shape)};
}

ChannelLayout UniformQuantizer::flat_layout(std::size_t size) const {
  const auto count = static_cast<std::int64_t>(size);
  return channels() == 1 ? ChannelLayout{1, 1, count} : ChannelLayout{1, count, 1};
}

void UniformQuantizer::check_layout(const ChannelLayout& layout, std::size_t x, std::size_t y) const {
  require_initialized();
  require<InputError>(x == y && static_cast<std::int64_t>(x) == layout.size(),
                      "quantizer given {} values for a tensor of {} and room for {}", x, layout.size(), y);
  require<InputError>(channels() == 1 || channels() == layout.channels,
                      "tensor with {} channels for a quantizer whose range has {} (the channel count cannot change); "
                      "reset the quantizer and estimate again",
                      layout.channels, channels());
}

namespace {

using StretchLoop = void (*)(const UniformGrid&, const float*, float*, std::int64_t);
using RowLoop = void (*)(const loops::GridRow&, const float*, float*, std::int64_t);

// Runs the loop over stretches of values that share a grid, or over rows with one grid per value.
void run_over(const UniformQuantizer& quantizer, const ChannelLayout& layout, StretchLoop stretch, RowLoop row,
              const float* x, float* y) {
  if (quantizer.channels() == 1) {
    stretch(quantizer.grid(), x, y, layout.size());
    return;
  }
  if (layout.inner == 1) {
    const std::vector<float> scales = quantizer.scale(), zeros = quantizer.zero_point();
    const loops::GridRow grid{scales.data(), zeros.data(), static_cast<float>(quantizer.int_min()),
                              static_cast<float>(quantizer.int_max())};
    for (std::int64_t o = 0; o < layout.outer; ++o) {
      row(grid, x + o * layout.channels, y + o * layout.channels, layout.channels);
    }
    return;
  }
  for (std::int64_t c = 0; c < layout.channels; ++c) {
    const UniformGrid grid = quantizer.grid(c);
    for (std::int64_t o = 0; o < layout.outer; ++o) {
      const std::int64_t offset = (o * layout.channels + c) * layout.inner;
      stretch(grid, x + offset, y + offset, layout.inner);
    }
  }
}

}  // namespace

void UniformQuantizer::forward(const ChannelLayout& layout, std::span<const float> x, std::span<float> y) const {
  check_layout(layout, x.size(), y.size());
  run_over(*this, layout, loops::quantize_dequantize, loops::quantize_dequantize_row, x.data(), y.data());
}

void UniformQuantizer::forward(std::span<const float> x, std::span<float> y) const {
  forward(flat_layout(x.size()), x, y);
}

void UniformQuantizer::forward(const Shape& shape, std::span<const float> x, std::span<float> y) const {
  forward(layout(shape), x, y);
}

Tensor UniformQuantizer::forward(const Tensor& x) const {
  Tensor y = Tensor::uninitialized(x.shape());
  forward(layout(x.shape()), x.values(), y.values());
  return y;
}

void UniformQuantizer::to_integer_forward(const ChannelLayout& layout, std::span<const float> x,
                                          std::span<float> codes) const {
  check_layout(layout, x.size(), codes.size());
  run_over(*this, layout, loops::quantize_to_integer, loops::quantize_to_integer_row, x.data(), codes.data());
}

void UniformQuantizer::to_integer_forward(std::span<const float> x, std::span<float> codes) const {
  to_integer_forward(flat_layout(x.size()), x, codes);
}

Tensor UniformQuantizer::to_integer_forward(const Tensor& x) const {
  Tensor codes = Tensor::uninitialized(x.shape());
  to_integer_forward(layout(x.shape()), x.values(), codes.values());
  return codes;
}

std::optional<UniformQuantizerState> converted_range(const UniformQuantizerState& range,
                                                     const UniformQuantizerParameters& from,
                                                     const UniformQuantizerParameters& to) {
  if (range.delta.empty() || from == to) return range;
  if (range.x_min.empty() || from.per_channel != to.per_channel || from.axis != to.axis) return std::nullopt;
  UniformQuantizer quantizer(to);
  quantizer.set_quant_range(range.x_min, range.x_max);
  return quantizer.state();
}

std::string to_string(const UniformQuantizer& quantizer) {
  const UniformQuantizerParameters& p = quantizer.parameters();
  return fmt::format("n_bits={}, per_channel={}, axis={}, is_initialized={}", p.n_bits, p.per_channel,
                     p.axis ? fmt::format("{}", *p.axis) : "none", quantizer.is_initialized());
}

}  // namespace tessera::quant
