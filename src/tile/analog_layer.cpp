#include "tessera/tile/analog_layer.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tile/analog_layer_impl.hpp"

namespace tessera::tile {
namespace {

std::vector<float> checked_factor(std::span<const float> factor, std::int64_t outputs, const char* what) {
  require<InputError>(factor.size() <= 1 || static_cast<std::int64_t>(factor.size()) == outputs,
                      "{} of {} values does not fit a tile of {} outputs", what, factor.size(), outputs);
  for (const float v : factor) require<InputError>(std::isfinite(v), "{} of a tile is not finite", what);
  return {factor.begin(), factor.end()};
}

// Over the outputs that have weights: the scale of the others multiplies zero.
double scale_sqnr_db(const TileReport& report, ConstMatrixView target) {
  if (report.scale.size() != static_cast<std::size_t>(target.rows))
    return sqnr_db(report.scale, report.quantized_scale);
  const std::vector<bool> live = live_outputs(target);
  std::vector<float> exact, quantized;
  for (std::size_t i = 0; i < live.size(); ++i) {
    if (!live[i]) continue;
    exact.push_back(report.scale[i]);
    quantized.push_back(report.quantized_scale[i]);
  }
  return sqnr_db(exact, quantized);
}

}  // namespace

AnalogLayer::AnalogLayer() : impl_(std::make_unique<Impl>()) {}
AnalogLayer::~AnalogLayer() = default;
AnalogLayer::AnalogLayer(const AnalogLayer& other) : impl_(std::make_unique<Impl>(*other.impl_)) {}
AnalogLayer& AnalogLayer::operator=(const AnalogLayer& other) {
  if (this != &other) impl_ = std::make_unique<Impl>(*other.impl_);
  return *this;
}
AnalogLayer::AnalogLayer(AnalogLayer&&) noexcept = default;
AnalogLayer& AnalogLayer::operator=(AnalogLayer&&) noexcept = default;

AnalogLayer::AnalogLayer(const RpuParameters& parameters, ConstMatrixView weight, std::span<const float> bias,
                         random::Address address, EngineFactory engine, const LayerState* state)
    : AnalogLayer(std::make_shared<const RpuParameters>(parameters), weight, bias, address, std::move(engine), state) {}
AnalogLayer::AnalogLayer(const std::shared_ptr<const RpuParameters>& parameters, ConstMatrixView weight,
                         std::span<const float> bias, random::Address address, EngineFactory engine,
                         const LayerState* state)
    : impl_(std::make_unique<Impl>(parameters, weight, bias, address, std::move(engine), state)) {
  if (state != nullptr) set_state(*state);
}

const RpuParameters& AnalogLayer::parameters() const {
  return *impl_->parameters;
}
random::Address AnalogLayer::address() const {
  return impl_->address;
}
std::int64_t AnalogLayer::inputs() const {
  return impl_->inputs;
}
std::int64_t AnalogLayer::outputs() const {
  return impl_->outputs;
}
std::int64_t AnalogLayer::tile_count() const {
  return static_cast<std::int64_t>(impl_->tiles.size());
}
TilePlace AnalogLayer::place(std::int64_t t) const {
  return impl_->tile(t).place;
}
const LayerState& AnalogLayer::state() const {
  return impl_->state;
}

namespace {

struct BlockMemory {
  ProductScratch scratch;
  AlignedVector<float> partial;
};

/// Runs `run(output part, first vector of a block, vectors, statistics, memory)` for all blocks and output parts, and
/// adds up what was counted, with the codes of inputs that were converted before. Neighbouring blocks share their
/// working memory.
template <class Layer, class Run>
void for_each_block(const Layer& layer, std::int64_t vectors, Parallel wanted, LayerStatistics* counted,
                    const std::optional<kernels::CodeSums>& codes, const Run& run) {
  std::int64_t widest = 0;
  for (const LayerTile& tile : layer.tiles) widest = std::max(widest, 2 * tile.place.inputs + 2 * tile.place.outputs);
  constexpr std::int64_t worth_threads = 1 << 18;  // multiplications below which waking threads costs more
  const Parallel parallel = vectors * layer.inputs * layer.outputs < worth_threads ? Parallel{1} : wanted;
  const std::int64_t rows = block_rows(widest, vectors, parallel);
  const std::int64_t pieces = (vectors + rows - 1) / rows * layer.output_parts;
  const std::int64_t tasks = parallel.threads <= 1 ? 1 : std::min<std::int64_t>(pieces, 8 * parallel.threads);
  std::vector<LayerStatistics> statistics(counted != nullptr ? static_cast<std::size_t>(tasks) : 0,
                                          counted != nullptr ? counted->blank() : LayerStatistics{});
  parallel_for(parallel, tasks, [&](std::int64_t task) {
    BlockMemory memory;
    LayerStatistics* own = statistics.empty() ? nullptr : &statistics[static_cast<std::size_t>(task)];
    for (std::int64_t piece = task * pieces / tasks; piece < (task + 1) * pieces / tasks; ++piece) {
      const std::int64_t first = piece / layer.output_parts * rows;
      run(piece % layer.output_parts, first, std::min(rows, vectors - first), own, memory);
    }
  });
  if (counted == nullptr) return;
  for (const LayerStatistics& part : statistics) *counted += part;
  counted->vectors += vectors;
  if (counted->activity && codes)
    for (std::int64_t part = 0; part < layer.output_parts; ++part) counted->add(*codes);
}

}  // namespace

void AnalogLayer::forward(ConstMatrixView x, MatrixView y, const ForwardCall& call) const {
  const Impl& layer = *impl_;
  layer.check_call(x, y, call);
  layer.check_converted(call, input_conversion().has_value());
  if (x.rows == 0) return;
  for_each_block(
      layer, x.rows, call.parallel, call.statistics, call.converted,
      [&](std::int64_t part, std::int64_t first, std::int64_t count, LayerStatistics* statistics, BlockMemory& memory) {
        layer.run_block(part, x.rows_from(first, count), y.rows_from(first, count), call,
                        call.first_vector + static_cast<std::uint64_t>(first), statistics, memory.scratch,
                        memory.partial);
      });
}

std::int64_t AnalogLayer::product_columns() const {
  std::int64_t columns = 0;
  for (const LayerTile& tile : impl_->tiles) columns += tile.place.outputs;
  return columns;
}

void AnalogLayer::product(ConstMatrixView x, MatrixView v, const ForwardCall& call) const {
  const Impl& layer = *impl_;
  require<InputError>(x.cols == layer.inputs && v.cols == product_columns() && x.rows == v.rows && call.event < 65536,
                      "products of an analog layer of {} inputs cannot take {}x{} vectors to {}x{}", layer.inputs,
                      x.rows, x.cols, v.rows, v.cols);
  layer.check_converted(call, input_conversion().has_value());
  if (x.rows == 0) return;
  for_each_block(
      layer, x.rows, call.parallel, call.statistics, call.converted,
      [&](std::int64_t part, std::int64_t first, std::int64_t count, LayerStatistics* statistics, BlockMemory& memory) {
        layer.product_block(part, x.rows_from(first, count), v.rows_from(first, count), call,
                            call.first_vector + static_cast<std::uint64_t>(first), statistics, memory.scratch);
      });
}

void AnalogLayer::periphery(ConstMatrixView v, MatrixView y, Parallel parallel) const {
  const Impl& layer = *impl_;
  require<InputError>(v.cols == product_columns() && y.cols == layer.outputs && v.rows == y.rows,
                      "the periphery of an analog layer of {} outputs cannot take {}x{} products to {}x{}",
                      layer.outputs, v.rows, v.cols, y.rows, y.cols);
  const auto& fixed = layer.parameters->pre_post.fixed_point;
  require<InputError>(!fixed || (fixed->product.rounding != FixedPointRounding::stochastic &&
                                 fixed->output.rounding != FixedPointRounding::stochastic),
                      "stochastic rounding of the fixed-point periphery is addressed by vector: use forward()");
  if (v.rows == 0) return;
  for_each_block(layer, v.rows, parallel, nullptr, {},
                 [&](std::int64_t part, std::int64_t first, std::int64_t count, LayerStatistics*, BlockMemory& memory) {
                   layer.periphery_block(part, v.rows_from(first, count), y.rows_from(first, count), memory.scratch,
                                         memory.partial);
                 });
}

std::optional<kernels::InputConversion> AnalogLayer::input_conversion() const {
  if (impl_->analog_bias || impl_->tiles.empty()) return std::nullopt;
  std::optional<kernels::InputConversion> conversion = impl_->tiles.front().product.input_conversion();
  if (!conversion || !impl_->parameters->pre_post.input_range.enable) return conversion;
  conversion->range = impl_->tile_state(0).input_range;
  for (const TileState& tile : impl_->state.tiles)
    if (tile.input_range != conversion->range) return std::nullopt;
  return conversion;
}

void AnalogLayer::set_periphery_quantization(const PeripheryQuantizationParameter& parameters) {
  RpuParameters changed = *impl_->parameters;
  changed.pre_post.periph_quant = parameters;
  validate(changed);
  impl_->parameters = std::make_shared<const RpuParameters>(std::move(changed));
  for (TileState& tile : impl_->state.tiles) tile.scale_quantizer = {};
  impl_->state.bias_quantizer = {};
  for (std::int64_t t = 0; t < tile_count(); ++t) impl_->refresh(t);
  impl_->refresh_bias();
}

void AnalogLayer::read_out(std::int64_t t, ConstMatrixView x, MatrixView y, const ForwardCall& call) const {
  const LayerTile& tile = impl_->tile(t);
  require<InputError>(
      x.cols == tile.product.inputs() && y.cols == tile.product.outputs() && x.rows == y.rows && call.event < 65536,
      "read-out of a tile of {} lines and {} outputs cannot take {}x{} vectors to {}x{}", tile.product.inputs(),
      tile.product.outputs(), x.rows, x.cols, y.rows, y.cols);
  const std::int64_t rows = block_rows(2 * (x.cols + y.cols), x.rows, call.parallel);
  std::vector<LayerStatistics> statistics(static_cast<std::size_t>((x.rows + rows - 1) / rows),
                                          call.statistics != nullptr ? call.statistics->blank() : LayerStatistics{});
  parallel_for_blocks(call.parallel, x.rows, rows, [&](std::int64_t b, std::int64_t first, std::int64_t last) {
    ProductScratch scratch;
    ProductCall product;
    product.x = x.rows_from(first, last - first);
    product.y = y.rows_from(first, last - first);
    product.first_vector = call.first_vector + static_cast<std::uint64_t>(first);
    product.event = call.event;
    product.average = impl_->tile_state(t).noise_management_average;
    product.statistics = call.statistics != nullptr ? &statistics[static_cast<std::size_t>(b)] : nullptr;
    tile.product.run(product, scratch);
  });
  if (call.statistics == nullptr) return;
  for (const LayerStatistics& part : statistics) *call.statistics += part;
}

TileReport AnalogLayer::tile_report(std::int64_t t) const {
  const LayerTile& tile = impl_->tile(t);
  const TileState& state = impl_->tile_state(t);
  TileReport report;
  report.place = tile.place;
  report.mapping_scale = tile.mapping_scale;
  report.input_range = state.input_range;
  report.alpha = tile.alpha;
  report.scale = tile.merged;
  if (!impl_->quantized_periphery() && !state.output_scale.empty()) {
    const std::size_t n = std::max(tile.merged.size(), state.output_scale.size());
    report.scale.resize(n);
    for (std::size_t i = 0; i < n; ++i) {
      const float first = tile.merged.empty() ? 1.0F : tile.merged[tile.merged.size() == 1 ? 0 : i];
      report.scale[i] = first * state.output_scale[state.output_scale.size() == 1 ? 0 : i];
    }
  }
  report.quantized_scale = tile.quantized.values.empty() ? report.scale : tile.quantized.values;
  report.scale_codes = tile.quantized.codes;
  report.scale_step = tile.quantized.step;
  report.scale_zero_point = tile.quantized.zero_point;
  report.scale_sqnr_db = tile.quantized.values.empty() ? std::numeric_limits<double>::infinity()
                                                       : scale_sqnr_db(report, target_tile_weights(t).view());
  return report;
}

BiasReport AnalogLayer::bias_report() const {
  BiasReport report;
  const std::span<const float> used = impl_->bias_in_use();
  report.bias = impl_->bias;
  report.quantized_bias.assign(used.begin(), used.end());
  report.codes = impl_->quantized_bias.codes;
  report.step = impl_->quantized_bias.step;
  report.zero_point = impl_->quantized_bias.zero_point;
  report.sqnr_db = sqnr_db(report.bias, report.quantized_bias);
  return report;
}

const FrozenDraws& AnalogLayer::frozen(std::int64_t t) const {
  return impl_->tile(t).product.frozen();
}

void AnalogLayer::set_frozen(std::int64_t t, FrozenDraws frozen) {
  LayerTile& tile = impl_->tile(t);
  const auto fits = [&](const std::vector<float>& v) {
    return v.empty() || static_cast<std::int64_t>(v.size()) == tile.product.outputs();
  };
  const Matrix& k = frozen.w_asymmetry;
  require<InputError>(fits(frozen.out_noise_values) && fits(frozen.v_offset) && fits(frozen.out_nonlinearity) &&
                          (k.rows() == 0 || (k.rows() == tile.product.outputs() && k.cols() == tile.product.inputs())),
                      "frozen draws do not fit a tile of {}x{}", tile.product.outputs(), tile.product.inputs());
  tile.product.set_frozen(std::move(frozen));
}

Matrix AnalogLayer::logical_weights() const {
  Matrix weight(impl_->outputs, impl_->inputs);
  for (std::int64_t t = 0; t < tile_count(); ++t) {
    const LayerTile& tile = impl_->tile(t);
    const Matrix used = tile.product.engine()->weights();
    const std::vector<float>& m = tile.mapping_scale;
    const std::vector<float>& s = impl_->tile_state(t).output_scale;
    for (std::int64_t i = 0; i < tile.place.outputs; ++i) {
      const auto at = [&](const std::vector<float>& v) {
        return v.empty() ? 1.0F : v[v.size() == 1 ? 0 : static_cast<std::size_t>(i)];
      };
      for (std::int64_t k = 0; k < tile.place.inputs; ++k)
        weight(tile.place.first_output + i, tile.place.first_input + k) = used(i, k) * at(m) * at(s);
    }
  }
  return weight;
}

void AnalogLayer::set_alpha(std::int64_t t, std::span<const float> alpha) {
  LayerTile& tile = impl_->tile(t);
  tile.alpha = checked_factor(alpha, tile.place.outputs, "drift compensation");
  if (tile.alpha.size() == 1) tile.alpha.assign(static_cast<std::size_t>(tile.place.outputs), alpha[0]);
  if (impl_->fixed_point) impl_->refresh_fixed_point(t);
}

void AnalogLayer::set_input_range(std::int64_t t, float range) {
  impl_->tile(t);
  if (!impl_->parameters->pre_post.input_range.enable)
    throw ConfigError("pre_post.input_range.enable", "is false: there is no input range to set");
  require<InputError>(std::isfinite(range) && range != 0.0F, "input range {} is not a positive number", range);
  impl_->tile_state(t).input_range = std::fabs(range);
  impl_->refresh(t);
}

void AnalogLayer::set_input_range(float range) {
  for (std::int64_t t = 0; t < tile_count(); ++t) set_input_range(t, range);
}

void AnalogLayer::set_output_scale(std::int64_t t, std::span<const float> scale) {
  impl_->tile_state(t).output_scale = checked_factor(scale, impl_->tile(t).place.outputs, "output scale");
  impl_->refresh(t);
}

void AnalogLayer::set_bias(std::span<const float> bias) {
  require<InputError>(!impl_->analog_bias, "the bias of this layer is analog: set the tile's weights instead");
  require<InputError>(static_cast<std::int64_t>(bias.size()) == impl_->outputs,
                      "bias of {} values does not fit {} outputs", bias.size(), impl_->outputs);
  for (const float b : bias) require<InputError>(std::isfinite(b), "a bias value is not finite");
  impl_->bias.assign(bias.begin(), bias.end());
  impl_->refresh_bias();
}

void AnalogLayer::set_state(const LayerState& state) {
  require<InputError>(state.tiles.size() == impl_->tiles.size(), "state of {} tiles does not fit a layer of {} tiles",
                      state.tiles.size(), impl_->tiles.size());
  const bool ranges = impl_->parameters->pre_post.input_range.enable;
  for (std::size_t t = 0; t < state.tiles.size(); ++t) {
    const TileState& s = state.tiles[t];
    checked_factor(s.output_scale, impl_->tiles[t].place.outputs, "output scale");
    require<InputError>(!ranges || (std::isfinite(s.input_range) && s.input_range > 0.0F),
                        "input range {} in the state of tile {} is not a positive number", s.input_range, t);
    require<InputError>(s.mapping_scale.empty() || s.mapping_scale == impl_->tiles[t].mapping_scale,
                        "the weights of tile {} are mapped with other scales than those of the state", t);
  }
  const bool new_converters = !state.converters.empty() && state.converters != impl_->state.converters;
  impl_->state = state;
  for (std::int64_t t = 0; t < tile_count(); ++t) {
    LayerTile& tile = impl_->tile(t);
    if (new_converters) {
      if (auto engine = tile.product.engine()->with_converters(state.converters))
        tile.product.set_engine(std::move(engine));
      if (tile.target)
        if (auto engine = tile.target->with_converters(state.converters)) tile.target = std::move(engine);
    }
    if (tile.output_quantizer && !impl_->tile_state(t).output_quantizer.delta.empty())
      tile.output_quantizer->set_quantizer_state(impl_->tile_state(t).output_quantizer);
    impl_->refresh(t);
  }
  if (impl_->output_quantizer && !state.output_quantizer.delta.empty())
    impl_->output_quantizer->set_quantizer_state(state.output_quantizer);
  impl_->refresh_bias();
  impl_->refresh_fixed_point();
}

}  // namespace tessera::tile
