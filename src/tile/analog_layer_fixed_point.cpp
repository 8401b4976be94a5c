#include <algorithm>
#include <cmath>
#include <utility>

#include "tile/analog_layer_impl.hpp"

// The fixed-point periphery of a layer: from scales, bias and the range of the output to stored integers.
namespace tessera::tile {
namespace {

// Codes of the converters of a crossbar, which are known once they have ranges.
AdcCodes crossbar_codes(const Engine& engine, const RpuParameters& rpu, double average) {
  const circuit::OutputGrid grid = engine.output_grid().value_or(circuit::OutputGrid{.problem = "it has no crossbar"});
  const std::string key = "crossbar.xbar.adc.mvm";
  if (!grid.problem.empty())
    throw ConfigError(key, "a fixed-point periphery multiplies whole numbers of steps of an ADC, but " + grid.problem);
  const AdcCodes codes = adc_codes(rpu.forward, average, grid);
  constexpr std::int64_t most = std::int64_t{1} << 20;
  if (codes.largest_code >= most)
    throw ConfigError(key + ".bits",
                      fmt::format("codes reach {} behind subtraction and shift-and-add of weight and input slices; a "
                                  "fixed-point periphery takes less than {}",
                                  codes.largest_code, most));
  const FixedPointParameter& p = *rpu.pre_post.fixed_point;
  if (const int needed = accumulator_bits_needed(p, codes.adc_code); p.accumulator.bits < needed)
    throw ConfigError(
        "pre_post.fixed_point.accumulator.bits",
        fmt::format("{} bits are narrower than one product: codes of the crossbar reach {}, which with the scale's "
                    "integer bits and the accumulator's fraction bits takes {}",
                    p.accumulator.bits, codes.adc_code, needed));
  return codes;
}

// The given quantile of the magnitudes other than 0 (a ReLU leaves many zeros, which need no range): the smallest that
// at least this fraction does not exceed. 1 where all are 0: any step says so.
float quantile_of_magnitudes(ConstMatrixView y, double quantile, bool relu) {
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(y.rows * y.cols));
  for (std::int64_t r = 0; r < y.rows; ++r)
    for (const float v : y.row_span(r))
      if (v > 0.0F || (v < 0.0F && !relu)) values.push_back(std::fabs(v));
  if (values.empty()) return 1.0F;
  const auto last = static_cast<double>(values.size() - 1);
  const auto at = static_cast<std::ptrdiff_t>(std::ceil(quantile * last));
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[static_cast<std::size_t>(at)];
}

}  // namespace

double AnalogLayer::Impl::output_range() const {
  const OutputFormat& output = parameters->pre_post.fixed_point->output;
  const auto known = static_cast<double>(state.output_range);
  if (output.init_from == OutputRangeSource::data) return output.range.value_or(known);
  const TileState& only = state.tiles.front();
  if ((array() ? state.output_quantizer : only.output_quantizer).delta.empty()) return known;
  const quant::UniformGrid grid = (array() ? output_quantizer : tiles.front().output_quantizer)->quantizer().grid();
  const auto value_of = [&](float code) {
    return std::fabs(static_cast<double>(grid.scale * (code - grid.zero_point)));
  };
  const double high = value_of(grid.int_max);  // of a symmetric quantizer, whose lowest code has no counterpart
  return std::max(known, parameters->act_quant_config->symmetric ? high : std::max(high, value_of(grid.int_min)));
}

void AnalogLayer::Impl::refresh_fixed_point() {
  fixed_point.reset();
  if (!has_fixed_point()) return;
  const FixedPointParameter& p = *parameters->pre_post.fixed_point;
  const double range = output_range();
  const bool calibrated =
      std::ranges::all_of(tiles, [](const LayerTile& t) { return t.product.engine()->calibrated(); });
  if (!(range > 0.0) || !calibrated) return;
  FixedPointPeriphery made;
  made.parameters = p;
  made.datapath = datapath_of(p, output_code.relu, output_code.is_signed);
  made.step = tile::output_step(p.output, output_code.is_signed, range);
  made.in_reals = computes_in_reals(p);
  made.tiles.resize(tiles.size());
  made.outputs.resize(static_cast<std::size_t>(output_parts));
  fixed_point = std::move(made);
  refresh_fixed_point_bias();
}

// m = d S alpha / u, and its code.
void AnalogLayer::Impl::refresh_fixed_point(std::int64_t t) {
  const LayerTile& from = tiles[static_cast<std::size_t>(t)];
  FixedPointTile& tile = fixed_point->tiles[static_cast<std::size_t>(t)];
  const FixedPointParameter& p = fixed_point->parameters;
  const auto average = static_cast<double>(tile_state(t).noise_management_average);
  tile.adc = !parameters->crossbar ? adc_codes(parameters->forward, average)
                                   : crossbar_codes(*from.product.engine(), *parameters, average);
  const auto n = static_cast<std::size_t>(from.place.outputs);
  const auto at = [](const std::vector<float>& values, std::size_t i) {
    return values.empty() ? 1.0 : static_cast<double>(values[values.size() == 1 ? 0 : i]);
  };
  std::vector<double> stored(n);
  tile.multiplier.resize(n);
  for (std::size_t i = 0; i < n; ++i) {
    stored[i] = tile.adc.step * at(from.scale, i) * at(from.late_scale, i) / static_cast<double>(fixed_point->step);
    tile.multiplier[i] = stored[i] * at(from.alpha, i);
  }
  tile.scale = store_scale(p, p.recompute_on_drift ? tile.multiplier : stored, from.alpha);
  const FixedPointOutputs& shared = fixed_point->outputs[static_cast<std::size_t>(t % output_parts)];
  tile.bias = {};
  if (p.bias.at == BiasPlace::tile && !shared.bias_values.empty()) {
    std::vector<double> share = shared.bias_values;
    for (double& b : share) b /= static_cast<double>(input_parts);
    tile.bias = store_bias(p, share);
  }
  tile.columns = kernels::pack_fixed_point(fixed_point->datapath, tile.scale.code, tile.scale.shift, tile.bias.aligned);
  tile.lanes = kernels::lanes_of(fixed_point->datapath, tile.columns, tile.adc.largest_code, shared.largest_bias);
}

void AnalogLayer::Impl::refresh_fixed_point_bias() {
  const FixedPointParameter& p = fixed_point->parameters;
  for (std::int64_t part = 0; part < output_parts; ++part) {
    FixedPointOutputs& shared = fixed_point->outputs[static_cast<std::size_t>(part)];
    shared = {};
    if (bias.empty()) continue;
    const TilePlace& place = tiles[static_cast<std::size_t>(part)].place;
    for (std::int64_t i = 0; i < place.outputs; ++i)
      shared.bias_values.push_back(static_cast<double>(bias[static_cast<std::size_t>(place.first_output + i)]) /
                                   static_cast<double>(fixed_point->step));
    if (p.bias.at == BiasPlace::tile) continue;
    shared.bias = store_bias(p, shared.bias_values);
    shared.packed = kernels::pack_fixed_point_bias(shared.bias.aligned);
    for (const std::int64_t b : shared.bias.aligned)
      shared.largest_bias = std::max(shared.largest_bias, b < 0 ? -b : b);
  }
  for (std::int64_t t = 0; t < static_cast<std::int64_t>(tiles.size()); ++t) refresh_fixed_point(t);
}

const FixedPointPeriphery& AnalogLayer::Impl::ready_fixed_point() const {
  if (!fixed_point)
    throw ConfigError("pre_post.fixed_point.output.range",
                      "the output has no range yet; calibrate or train the network first, or give a number");
  if (parameters->forward.noise_management == NoiseManagementType::AVERAGE_ABS_MAX)
    for (const TileState& tile : state.tiles)
      if (!(tile.noise_management_average > 0.0F))
        throw ConfigError("forward.noise_management",
                          "AVERAGE_ABS_MAX has no stored average yet, so that its scale varies from vector to vector, "
                          "which a static multiplier cannot follow; train first, or use NONE or CONSTANT");
  return *fixed_point;
}

void AnalogLayer::Impl::fixed_point_pass(std::int64_t output_part, std::int64_t k, ConstMatrixView v, MatrixView y,
                                         std::uint64_t first_vector, std::uint32_t event, LayerStatistics* statistics,
                                         ProductScratch& scratch) const {
  FixedPointPass pass;
  pass.tile = k * output_parts + output_part;
  pass.part = output_part;
  pass.k = k;
  pass.count = input_parts;
  pass.v = v;
  pass.y = y;
  pass.first_vector = first_vector;
  pass.event = event;
  pass.address = address;
  pass.address.tile = static_cast<std::uint32_t>(pass.tile);
  const bool counts = statistics != nullptr && statistics->counts_values();
  pass.counts = counts ? &statistics->fixed_point : nullptr;
  run_pass(ready_fixed_point(), pass, scratch);
  if (counts && k + 1 == input_parts) statistics->fixed_point_outputs += v.rows * v.cols;
}

void AnalogLayer::Impl::fixed_point_block(std::int64_t output_part, ConstMatrixView x, MatrixView y,
                                          const ForwardCall& call, std::uint64_t first_vector,
                                          LayerStatistics* statistics, ProductScratch& scratch) const {
  for (std::int64_t k = 0; k < input_parts; ++k) {
    const std::int64_t t = k * output_parts + output_part;
    ProductCall product = product_call(t, x, y, first_vector, call.event, statistics);
    product.scale = nullptr;
    product.converted = call.converted.has_value();
    tiles[static_cast<std::size_t>(t)].product.run(product, scratch);
    fixed_point_pass(output_part, k, y, y, first_vector, call.event, statistics, scratch);
  }
}

void AnalogLayer::Impl::observe_output_range(ConstMatrixView y, bool average) {
  constexpr float momentum = 0.9F;
  const FixedPointParameter& p = *parameters->pre_post.fixed_point;
  if (p.output.range) return;
  if (p.output.init_from == OutputRangeSource::act_quant_config) {
    observe(array() ? output_quantizer : tiles.front().output_quantizer, y,
            array() ? state.output_quantizer : state.tiles.front().output_quantizer);
    return refresh_fixed_point();
  }
  const float seen = quantile_of_magnitudes(y, p.output.quantile, output_code.relu);
  state.output_quantile = static_cast<float>(p.output.quantile);
  const float before = state.output_range;
  float& range = state.output_range;
  range = average && before > 0.0F ? momentum * before + (1.0F - momentum) * seen : std::max(before, seen);
  if (range != before) refresh_fixed_point();
}

// Training-mode pass: without alpha; the range of the output follows the batches.
void AnalogLayer::Impl::fixed_point_training(const AnalogLayer& self, ConstMatrixView x, MatrixView y,
                                             const ForwardCall& call) {
  std::vector<std::vector<float>> alphas;
  for (LayerTile& tile : tiles) alphas.push_back(std::exchange(tile.alpha, {}));
  refresh_fixed_point();
  const FixedPointParameter& p = *parameters->pre_post.fixed_point;
  Matrix v = Matrix::uninitialized(x.rows, self.product_columns());
  ForwardCall once = call;
  once.statistics = nullptr;
  if (!p.output.range) {
    self.product(x, v.view(), once);
    float_periphery(v.view(), y);
    observe_output_range(y, true);
  }
  const bool stochastic =
      p.product.rounding == FixedPointRounding::stochastic || p.output.rounding == FixedPointRounding::stochastic;
  if (p.output.range || stochastic || call.statistics != nullptr) {
    self.forward(x, y, call);
  } else {
    ready_fixed_point();
    self.periphery(v.view(), y, call.parallel);
  }
  for (std::size_t t = 0; t < tiles.size(); ++t) tiles[t].alpha = std::move(alphas[t]);
  refresh_fixed_point();
}

void AnalogLayer::Impl::float_periphery(ConstMatrixView v, MatrixView y) const {
  for (std::int64_t t = 0; t < std::ssize(tiles); ++t) {
    const LayerTile& tile = tiles[static_cast<std::size_t>(t)];
    const ConstMatrixView from = v.cols_from(first_column(t), tile.place.outputs);
    const MatrixView to = y.cols_from(tile.place.first_output, tile.place.outputs);
    for (std::int64_t r = 0; r < v.rows; ++r)
      for (std::int64_t i = 0; i < from.cols; ++i) {
        const auto c = static_cast<std::size_t>(i);
        float value = from(r, i);
        if (!tile.scale.empty()) value *= tile.scale[c];
        if (!tile.late_scale.empty()) value *= tile.late_scale[c];
        to(r, i) = tile.place.first_input == 0 ? value : to(r, i) + value;
      }
  }
  if (!bias.empty()) add_columns(y, bias);
}

FixedPointReport AnalogLayer::fixed_point_report(std::int64_t t) const {
  const Impl& layer = *impl_;
  const LayerTile& from = layer.tile(t);
  if (!layer.has_fixed_point()) throw ConfigError("pre_post.fixed_point", "is off");
  const FixedPointPeriphery& periphery = layer.ready_fixed_point();
  const FixedPointTile& tile = periphery.tiles[static_cast<std::size_t>(t)];
  FixedPointReport report;
  report.place = from.place;
  report.adc = tile.adc;
  report.scale = tile.scale;
  report.bias = periphery.parameters.bias.at == BiasPlace::tile
                    ? tile.bias
                    : periphery.outputs[static_cast<std::size_t>(t % layer.output_parts)].bias;
  report.datapath = periphery.datapath;
  report.output_step = periphery.step;
  report.scale_format = format_of(periphery.parameters.scale).text();
  report.bias_format = format_of(periphery.parameters.bias).text();
  return report;
}

void AnalogLayer::set_output_code(bool relu, bool is_signed) {
  const OutputCode code{relu, is_signed};
  if (impl_->output_code == code || !impl_->has_fixed_point()) return;
  impl_->output_code = code;
  impl_->refresh_fixed_point();
}
bool AnalogLayer::fused_relu() const {
  return impl_->has_fixed_point() && impl_->output_code.relu;
}
bool AnalogLayer::output_signed() const {
  return impl_->output_code.is_signed;
}
float AnalogLayer::output_range() const {
  return impl_->has_fixed_point() ? static_cast<float>(impl_->output_range()) : 0.0F;
}
float AnalogLayer::output_step() const {
  return impl_->fixed_point ? impl_->fixed_point->step : 0.0F;
}
bool AnalogLayer::needs_output_range() const {
  return impl_->has_fixed_point() && !impl_->fixed_point;
}
void AnalogLayer::set_output_range(float range) {
  require<InputError>(std::isfinite(range) && range > 0.0F, "output range {} is not a positive number", range);
  impl_->state.output_range = range;
  if (impl_->has_fixed_point())
    impl_->state.output_quantile = static_cast<float>(impl_->parameters->pre_post.fixed_point->output.quantile);
  impl_->refresh_fixed_point();
}

double AnalogLayer::input_code_step(std::int64_t t) const {
  const std::optional<kernels::InputConversion> conversion = impl_->tile(t).product.input_conversion();
  if (!conversion || impl_->analog_bias || !(conversion->converter.step > 0.0F)) return 0.0;
  const double range =
      impl_->parameters->pre_post.input_range.enable ? static_cast<double>(impl_->tile_state(t).input_range) : 1.0;
  return range * static_cast<double>(conversion->converter.step) / static_cast<double>(conversion->scale);
}
std::int64_t AnalogLayer::largest_input_code() const {
  const std::optional<kernels::InputConversion> conversion = impl_->tiles.front().product.input_conversion();
  if (!conversion || !(conversion->converter.step > 0.0F)) return 0;
  return static_cast<std::int64_t>(std::floor(
      static_cast<double>(conversion->converter.bound) / static_cast<double>(conversion->converter.step) + 1e-3));
}

}  // namespace tessera::tile
