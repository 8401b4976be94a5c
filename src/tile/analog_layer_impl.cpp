#include "tile/analog_layer_impl.hpp"

#include <algorithm>
#include <cmath>

#include "tessera/tile/crossbar_engine.hpp"
#include "tile/blocks.hpp"
#include "tile/packed_engine.hpp"

namespace tessera::tile {
namespace {

Rare<quant::QuantizationManager> activation_manager(const std::optional<ActivationQuantConfig>& config) {
  if (!config || config->n_bits <= 0) return {};
  return quant::QuantizationManager(manager_parameters(*config));
}

void require_finite(std::span<const float> values, const char* what) {
  require<InputError>(std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); }),
                      "{} of an analog layer holds a value that is not finite", what);
}

// a o b with empty standing for 1; scalars are spread.
std::vector<float> product_of(std::span<const float> a, std::span<const float> b) {
  if (a.empty()) return {b.begin(), b.end()};
  if (b.empty()) return {a.begin(), a.end()};
  std::vector<float> result(std::max(a.size(), b.size()));
  for (std::size_t i = 0; i < result.size(); ++i) result[i] = a[a.size() == 1 ? 0 : i] * b[b.size() == 1 ? 0 : i];
  return result;
}

std::vector<float> spread(std::span<const float> values, std::int64_t n) {
  if (values.size() == 1) return std::vector<float>(static_cast<std::size_t>(n), values[0]);
  return {values.begin(), values.end()};
}

void add_rows(ConstMatrixView term, MatrixView sum) {
  for (std::int64_t r = 0; r < term.rows; ++r) {
    const float* from = term.row(r);
    float* to = sum.row(r);
    for (std::int64_t c = 0; c < term.cols; ++c) to[c] += from[c];
  }
}

std::vector<float> checked_mapping_scale(const std::vector<float>& scale, std::int64_t outputs) {
  require<InputError>(scale.size() == 1 || static_cast<std::int64_t>(scale.size()) == outputs,
                      "{} mapping scales do not fit a tile of {} outputs", scale.size(), outputs);
  for (const float m : scale)
    require<InputError>(std::isfinite(m) && m != 0.0F, "mapping scale {} of a tile is 0 or not finite", m);
  return scale;
}

bool all_ones(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return v == 1.0F; });
}

}  // namespace

AnalogLayer::Impl::Impl(const std::shared_ptr<const RpuParameters>& given, ConstMatrixView weight,
                        std::span<const float> layer_bias, random::Address where, EngineFactory factory,
                        const LayerState* known)
    : parameters(given->crossbar ? std::make_shared<const RpuParameters>(with_crossbar_tiles(*given)) : given),
      engine(std::move(factory)),
      address(where),
      inputs(weight.cols),
      outputs(weight.rows) {
  const RpuParameters& rpu = *parameters;
  validate(*given);
  require<InputError>(inputs > 0 && outputs > 0, "an analog layer needs weights, not {}x{}", outputs, inputs);
  require<InputError>(layer_bias.empty() || static_cast<std::int64_t>(layer_bias.size()) == outputs,
                      "bias of {} values does not fit {} outputs", layer_bias.size(), outputs);
  for (std::int64_t i = 0; i < outputs; ++i) require_finite(weight.row_span(i), "weight");
  require_finite(layer_bias, "bias");
  if (rpu.crossbar && !engine) engine = crossbar_engines(*rpu.crossbar, rpu.mapping, weight);

  const std::vector<TilePlace> places = place_tiles(outputs, inputs, rpu.mapping);
  output_parts = static_cast<std::int64_t>(split_sizes(outputs, rpu.mapping.max_output_size).size());
  input_parts = static_cast<std::int64_t>(places.size()) / output_parts;
  analog_bias = !layer_bias.empty() && !rpu.mapping.digital_bias && places.size() == 1;
  if (!analog_bias) bias.assign(layer_bias.begin(), layer_bias.end());
  if (places.size() > 1) output_quantizer = activation_manager(rpu.act_quant_config);

  AlignedVector<float> workspace;  // one for all tiles: places that aligned blocks leave free are rarely used again
  const auto matrix_of = [&](const TilePlace& place) {
    const std::int64_t lines = place.inputs + (analog_bias ? 1 : 0);
    workspace.resize(static_cast<std::size_t>(place.outputs * lines));
    const MatrixView w(workspace.data(), place.outputs, lines);
    for (std::int64_t i = 0; i < place.outputs; ++i) {
      const float* from = weight.row(place.first_output + i) + place.first_input;
      std::copy(from, from + place.inputs, w.row(i));
      if (analog_bias) w(i, place.inputs) = layer_bias[static_cast<std::size_t>(i)];
    }
    return w;
  };
  std::vector<std::vector<float>> scales;
  for (const TilePlace& place : places) scales.push_back(mapping_scales(matrix_of(place), rpu.mapping));
  fill_open_scales(scales, rpu.mapping);
  require<InputError>(known == nullptr || known->tiles.size() == places.size(),
                      "state of {} tiles does not fit a layer of {} tiles", known != nullptr ? known->tiles.size() : 0,
                      places.size());
  const auto kept_scale = [&](std::size_t p) {
    return known != nullptr ? known->tiles[p].mapping_scale : std::vector<float>();
  };
  for (std::size_t p = 0; p < places.size(); ++p)
    if (!kept_scale(p).empty()) scales[p] = checked_mapping_scale(kept_scale(p), places[p].outputs);

  const std::shared_ptr<const IOParameters> forward(parameters, &rpu.forward);
  tiles.reserve(places.size());  // growing would copy packed weights
  for (std::size_t p = 0; p < places.size(); ++p) {
    const TilePlace& place = places[p];
    LayerTile t;
    t.place = place;
    const MatrixView w = matrix_of(place);
    t.mapping_scale = std::move(scales[p]);
    if (!t.mapping_scale.empty()) {
      for (std::int64_t i = 0; i < w.rows; ++i) {
        const float m = t.mapping_scale[t.mapping_scale.size() == 1 ? 0 : static_cast<std::size_t>(i)];
        for (float& v : w.row_span(i)) v /= m;
      }
    }
    random::Address tile_address = where;
    tile_address.tile = static_cast<std::uint32_t>(tiles.size());
    const bool packed = !engine || rpu.forward.is_perfect || rpu.forward.mv_type == AnalogMVType::IDEAL;
    t.product = AnalogProduct(
        forward, packed ? std::make_shared<PackedEngine>(rpu.forward, w) : engine(w, tile_address), tile_address);
    // In front of the accumulator of a fixed-point periphery there is no place for one.
    if (!has_fixed_point() || places.size() == 1) t.output_quantizer = activation_manager(rpu.act_quant_config);
    tiles.push_back(std::move(t));

    TileState s;
    s.mapping_scale = kept_scale(p);
    s.input_range = rpu.pre_post.input_range.enable ? static_cast<float>(rpu.pre_post.input_range.init_value) : 0.0F;
    if (rpu.mapping.learn_out_scaling)
      s.output_scale.assign(rpu.mapping.out_scaling_columnwise ? static_cast<std::size_t>(place.outputs) : 1, 1.0F);
    state.tiles.push_back(std::move(s));
  }
  output_code.is_signed =
      rpu.pre_post.fixed_point && rpu.pre_post.fixed_point->output.is_signed != Signedness::is_unsigned;
  for (std::int64_t t = 0; t < static_cast<std::int64_t>(tiles.size()); ++t) refresh(t);
  refresh_bias();
  refresh_fixed_point();
}

LayerTile& AnalogLayer::Impl::tile(std::int64_t t) {
  require<InputError>(t >= 0 && t < static_cast<std::int64_t>(tiles.size()), "tile {} of a layer of {} tiles", t,
                      tiles.size());
  return tiles[static_cast<std::size_t>(t)];
}
const LayerTile& AnalogLayer::Impl::tile(std::int64_t t) const {
  return const_cast<Impl*>(this)->tile(t);
}

void AnalogLayer::Impl::refresh(std::int64_t t) {
  LayerTile& tile = tiles[static_cast<std::size_t>(t)];
  const TileState& s = tile_state(t);
  const std::int64_t n = tile.place.outputs;
  std::vector<float> range;
  if (parameters->pre_post.input_range.enable) range.push_back(s.input_range);
  tile.merged = product_of(range, tile.mapping_scale);
  tile.quantized = {};
  tile.late_scale.clear();
  if (quantized_periphery()) {
    tile.merged = product_of(tile.merged, s.output_scale);
    if (!tile.merged.empty() && parameters->pre_post.periph_quant.scale) {
      const auto quantizer =
          periphery_quantizer(parameters->pre_post.periph_quant, tile.merged, s.scale_quantizer, "scale");
      tile.quantized = quantize_periphery(quantizer, tile.merged);
    }
    tile.scale = spread(tile.quantized.values.empty() ? tile.merged : tile.quantized.values, n);
  } else {
    tile.scale = spread(tile.merged, n);
    if (!all_ones(s.output_scale)) tile.late_scale = spread(s.output_scale, n);
  }
  if (all_ones(tile.scale)) tile.scale.clear();
  if (fixed_point) refresh_fixed_point(t);
}

void AnalogLayer::Impl::refresh_bias() {
  quantized_bias = {};
  if (fixed_point) refresh_fixed_point_bias();
  if (bias.empty() || !quantized_periphery() || !parameters->pre_post.periph_quant.bias) return;
  const auto quantizer = periphery_quantizer(parameters->pre_post.periph_quant, bias, state.bias_quantizer, "bias");
  quantized_bias = quantize_periphery(quantizer, bias);
}

void AnalogLayer::Impl::check_converted(const ForwardCall& call, bool converts_alike) {
  if (!call.converted) return;
  require<InputError>(converts_alike,
                      "an analog layer that does not convert its inputs alike cannot take converted ones");
  require<InputError>(call.statistics == nullptr || !call.statistics->counts_values(),
                      "what is clipped cannot be counted in converted inputs");
}

void AnalogLayer::Impl::check_call(ConstMatrixView x, MatrixView y, const ForwardCall& call) const {
  require<InputError>(x.cols == inputs && y.cols == outputs && x.rows == y.rows,
                      "analog layer of {} inputs and {} outputs cannot take {}x{} vectors to {}x{}", inputs, outputs,
                      x.rows, x.cols, y.rows, y.cols);
  require<InputError>(call.event < 65536, "event {} of a forward call is not below 65536", call.event);
}

float AnalogLayer::Impl::bias_line(std::int64_t t) const {
  if (!analog_bias) return 0.0F;
  return parameters->pre_post.input_range.enable && !parameters->mapping.bias_line_as_input
             ? 1.0F / tile_state(t).input_range
             : 1.0F;
}

ProductCall AnalogLayer::Impl::product_call(std::int64_t t, ConstMatrixView x, MatrixView y, std::uint64_t first_vector,
                                            std::uint32_t event, LayerStatistics* statistics) const {
  const LayerTile& tile = tiles[static_cast<std::size_t>(t)];
  ProductCall call;
  call.x = x.cols_from(tile.place.first_input, tile.place.inputs);
  call.y = y;
  call.first_vector = first_vector;
  call.event = event;
  call.input_range = parameters->pre_post.input_range.enable ? tile_state(t).input_range : 0.0F;
  call.scale = tile.scale.empty() ? nullptr : tile.scale.data();
  call.average = tile_state(t).noise_management_average;
  call.bias_line = bias_line(t);
  call.bias_line_clips = parameters->mapping.bias_line_as_input;
  call.statistics = statistics;
  return call;
}

void AnalogLayer::Impl::late_steps(const LayerTile& tile, MatrixView y, bool use_alpha, bool quantize) const {
  if (use_alpha) multiply_columns(y, tile.alpha);
  multiply_columns(y, tile.late_scale);
  if (quantize && array() && tile.output_quantizer) quantize_rows(*tile.output_quantizer, y);
}

// What follows the accumulation: bias, and the last activation quantizer.
void AnalogLayer::Impl::finish(std::int64_t output_part, MatrixView y) const {
  const TilePlace& place = tiles[static_cast<std::size_t>(output_part)].place;
  if (!bias.empty())
    add_columns(y, bias_in_use().subspan(static_cast<std::size_t>(place.first_output),
                                         static_cast<std::size_t>(place.outputs)));
  const auto& manager = array() ? output_quantizer : tiles[0].output_quantizer;
  if (manager) quantize_rows(*manager, y);
}

void AnalogLayer::Impl::run_block(std::int64_t output_part, ConstMatrixView x, MatrixView y, const ForwardCall& call,
                                  std::uint64_t first_vector, LayerStatistics* statistics, ProductScratch& scratch,
                                  AlignedVector<float>& partial) const {
  const TilePlace& place = tiles[static_cast<std::size_t>(output_part)].place;
  const MatrixView part = y.cols_from(place.first_output, place.outputs);
  if (has_fixed_point()) return fixed_point_block(output_part, x, part, call, first_vector, statistics, scratch);
  for (std::int64_t i = 0; i < input_parts; ++i) {
    const std::int64_t t = i * output_parts + output_part;
    const LayerTile& tile = tiles[static_cast<std::size_t>(t)];
    MatrixView target = part;
    if (i > 0) {
      if (static_cast<std::int64_t>(partial.size()) < x.rows * place.outputs)
        partial.resize(static_cast<std::size_t>(x.rows * place.outputs));
      target = {partial.data(), x.rows, place.outputs};
    }
    ProductCall product = product_call(t, x, target, first_vector, call.event, statistics);
    product.converted = call.converted.has_value();
    const bool late = tile.needs_late_steps(true);
    if (input_parts == 1 && !late && !bias.empty()) {
      product.bias = bias_in_use().data() + place.first_output;
      tile.product.run(product, scratch);
      return;
    }
    tile.product.run(product, scratch);
    if (late) late_steps(tile, target, true, true);
    if (i > 0) add_rows(target, part);
  }
  finish(output_part, part);
}

std::int64_t AnalogLayer::Impl::first_column(std::int64_t t) const {
  std::int64_t columns = 0;
  for (std::int64_t before = 0; before < t; ++before) columns += tiles[static_cast<std::size_t>(before)].place.outputs;
  return columns;
}

void AnalogLayer::Impl::product_block(std::int64_t output_part, ConstMatrixView x, MatrixView v,
                                      const ForwardCall& call, std::uint64_t first_vector, LayerStatistics* statistics,
                                      ProductScratch& scratch) const {
  for (std::int64_t t = output_part; t < std::ssize(tiles); t += output_parts) {
    const LayerTile& tile = tiles[static_cast<std::size_t>(t)];
    ProductCall product =
        product_call(t, x, v.cols_from(first_column(t), tile.place.outputs), first_vector, call.event, statistics);
    product.scale = nullptr;
    product.converted = call.converted.has_value();
    tile.product.run(product, scratch);
  }
}

namespace {

/// y = v scale + bias, both roundings of every value; `bias` has one value per column. Rows of few columns are taken
/// several at a time, with the factors repeated, so that the loop is long enough for vector instructions.
void scale_and_add(ConstMatrixView v, MatrixView y, std::span<const float> scale, std::span<const float> bias) {
  constexpr std::int64_t long_enough = 64;
  const bool flat = v.stride == v.cols && y.stride == y.cols;
  const std::int64_t together = flat ? std::max<std::int64_t>(1, long_enough / std::max<std::int64_t>(1, v.cols)) : 1;
  std::vector<float> factor, term;
  for (std::int64_t r = 0; r < together; ++r) {
    if (scale.empty())
      factor.insert(factor.end(), bias.size(), 1.0F);
    else
      factor.insert(factor.end(), scale.begin(), scale.end());
    term.insert(term.end(), bias.begin(), bias.end());
  }
  for (std::int64_t r = 0; r < v.rows; r += together) {
    const std::int64_t count = std::min(together, v.rows - r) * v.cols;
    const float* in = v.row(r);
    float* out = y.row(r);
    for (std::int64_t i = 0; i < count; ++i)
      out[i] = in[i] * factor[static_cast<std::size_t>(i)] + term[static_cast<std::size_t>(i)];
  }
}

}  // namespace

// The steps of run_block behind the product, in the same order, each rounded alike.
void AnalogLayer::Impl::periphery_block(std::int64_t output_part, ConstMatrixView v, MatrixView y,
                                        ProductScratch& scratch, AlignedVector<float>& partial) const {
  const TilePlace& place = tiles[static_cast<std::size_t>(output_part)].place;
  const MatrixView part = y.cols_from(place.first_output, place.outputs);
  if (has_fixed_point()) {
    for (std::int64_t i = 0; i < input_parts; ++i)
      fixed_point_pass(output_part, i, v.cols_from(first_column(i * output_parts + output_part), place.outputs), part,
                       0, 0, nullptr, scratch);
    return;
  }
  if (const LayerTile& only = tiles[static_cast<std::size_t>(output_part)];
      input_parts == 1 && !bias.empty() && !only.needs_late_steps(true) && !(array() && output_quantizer)) {
    const auto terms =
        bias_in_use().subspan(static_cast<std::size_t>(place.first_output), static_cast<std::size_t>(place.outputs));
    return scale_and_add(v.cols_from(first_column(output_part), place.outputs), part, only.scale, terms);
  }
  for (std::int64_t t = output_part; t < std::ssize(tiles); t += output_parts) {
    const LayerTile& tile = tiles[static_cast<std::size_t>(t)];
    const bool first = t == output_part;
    const MatrixView target = first ? part : view(partial, v.rows, place.outputs);
    const ConstMatrixView product = v.cols_from(first_column(t), place.outputs);
    for (std::int64_t r = 0; r < v.rows; ++r) {
      const float* in = product.row(r);
      float* out = target.row(r);
      if (tile.scale.empty())
        std::copy_n(in, place.outputs, out);
      else
        for (std::int64_t c = 0; c < place.outputs; ++c) out[c] = in[c] * tile.scale[static_cast<std::size_t>(c)];
    }
    if (tile.needs_late_steps(true)) late_steps(tile, target, true, true);
    if (!first) add_rows(target, part);
  }
  finish(output_part, part);
}

std::int64_t block_rows(std::int64_t values_per_vector, std::int64_t vectors, Parallel parallel) {
  constexpr std::int64_t cache_values = 100 * 1024;  // about 400 KB of inputs, products and noise per block
  constexpr std::int64_t unit = 12;                  // rows of the product's inner loop
  const auto to_unit = [](std::int64_t n) { return std::max(1L, (n + unit - 1) / unit) * unit; };
  const std::int64_t fitting =
      std::clamp<std::int64_t>(cache_values / std::max<std::int64_t>(1, values_per_vector), unit, 480);
  const std::int64_t share = (vectors + parallel.threads - 1) / std::max(1, parallel.threads);
  return std::min(to_unit(fitting), to_unit(share));
}

void multiply_columns(MatrixView y, std::span<const float> factor) {
  if (factor.empty()) return;
  for (std::int64_t r = 0; r < y.rows; ++r) {
    float* row = y.row(r);
    for (std::int64_t c = 0; c < y.cols; ++c) row[c] *= factor[static_cast<std::size_t>(c)];
  }
}

void add_columns(MatrixView y, std::span<const float> term) {
  for (std::int64_t r = 0; r < y.rows; ++r) {
    float* row = y.row(r);
    for (std::int64_t c = 0; c < y.cols; ++c) row[c] += term[static_cast<std::size_t>(c)];
  }
}

void quantize_rows(const quant::QuantizationManager& manager, MatrixView y) {
  if (!manager.quantizer().is_initialized())
    throw ConfigError(
        "act_quant_config",
        "the activation quantizer has no range yet; calibrate or train the network first, or set it null");
  const quant::UniformGrid grid = manager.quantizer().grid();
  for (std::int64_t r = 0; r < y.rows; ++r) quant::quantize_dequantize(grid, y.row_span(r), y.row_span(r));
}

std::int64_t AnalogLayer::bytes() const {
  std::int64_t sum = 0;
  for (const LayerTile& tile : impl_->tiles)
    sum += tile.product.bytes() + (tile.target ? tile.target->bytes() : 0) +
           static_cast<std::int64_t>(tile.target_weights.values().size_bytes());
  return sum;
}

}  // namespace tessera::tile
