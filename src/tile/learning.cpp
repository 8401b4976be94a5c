#include "tessera/tile/learning.hpp"

#include <algorithm>
#include <cmath>

#include "tessera/tile/modifier.hpp"
#include "tessera/tile/weight_update.hpp"
#include "tile/learning_impl.hpp"

namespace tessera::tile {
namespace {

using quant::QuantizationManager;

void require_sound(std::span<const float> values, const char* what) {
  require<InputError>(std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); }),
                      "{} of a learning layer became infinite or NaN; use a smaller learning rate", what);
}

void size_like(LearnedRange& range, std::size_t n, bool symmetric) {
  range.delta.assign(n, 0.0F);
  range.delta_gradient.assign(n, 0.0F);
  range.zero_float.assign(symmetric ? 0 : n, 0.0F);
  range.zero_gradient.assign(symmetric ? 0 : n, 0.0F);
}

void copy_from(LearnedRange& range, const quant::UniformQuantizerState& state) {
  if (state.delta.size() == range.delta.size()) range.delta = state.delta;
  if (state.zero_float.size() == range.zero_float.size()) range.zero_float = state.zero_float;
}

// `power_of_two`: the step in use is the next power of two that is not below the learned one.
void copy_to(const LearnedRange& range, quant::UniformQuantizerState& state, bool power_of_two) {
  if (range.delta.empty()) return;
  require_sound(range.delta, "a quantizer range");
  require_sound(range.zero_float, "a quantizer range");
  state.delta = range.delta;
  state.zero_float = range.zero_float;
  state.x_min = state.x_max = {};  // the step is learned, not the bounds
  if (!power_of_two) return;
  for (float& d : state.delta) d = d > 0.0F ? std::exp2(std::ceil(std::log2(d))) : d;
}

void list(std::vector<LearnedValue>& values, const std::string& name, LearnedKind kind, LearnedRange& range) {
  if (range.delta.empty()) return;
  values.push_back({name + ".delta", kind, range.delta, range.delta_gradient});
  if (!range.zero_float.empty()) values.push_back({name + ".zero_float", kind, range.zero_float, range.zero_gradient});
}

}  // namespace

void LearnedRange::add(const quant::RangeGradient& gradient) {
  for (std::size_t i = 0; i < delta_gradient.size(); ++i) delta_gradient[i] += static_cast<float>(gradient.delta[i]);
  for (std::size_t i = 0; i < zero_gradient.size(); ++i) zero_gradient[i] += static_cast<float>(gradient.zero_float[i]);
}

void LearnedRange::clear() {
  std::fill(delta_gradient.begin(), delta_gradient.end(), 0.0F);
  std::fill(zero_gradient.begin(), zero_gradient.end(), 0.0F);
}

RangeSums& RangeSums::operator+=(const RangeSums& other) {
  clipping += other.clipping;
  ordinary += other.ordinary;
  inside += other.inside;
  clipped_outputs += other.clipped_outputs;
  return *this;
}

void LearningLayer::Impl::build(ConstMatrixView new_weight, std::span<const float> new_bias) {
  weight = Matrix(new_weight);
  bias.assign(new_bias.begin(), new_bias.end());
  weight_gradient = Matrix(weight.rows(), weight.cols());
  bias_gradient.assign(bias.size(), 0.0F);
  AnalogLayer::Impl& a = analog();
  const PeripheryQuantizationParameter& periphery = rpu().pre_post.periph_quant;
  const bool learned_periphery = periphery.n_bits > 0 && periphery.learn_quant_params;
  const bool activations = rpu().act_quant_config && rpu().act_quant_config->n_bits > 0;
  tiles.resize(a.tiles.size());
  for (std::size_t t = 0; t < tiles.size(); ++t) {
    const LayerTile& place = a.tiles[t];
    LearningTile& tile = tiles[t];
    tile.weights = place.product.engine()->weights();
    tile.output_scale_gradient.assign(a.state.tiles[t].output_scale.size(), 0.0F);
    if (learned_periphery && !place.merged.empty())
      size_like(tile.scale_range, periphery.per_column ? place.merged.size() : 1, periphery.symmetric);
    if (activations) size_like(tile.output_range, 1, rpu().act_quant_config->symmetric);
  }
  if (learned_periphery && !a.bias.empty())
    size_like(bias_range, periphery.per_column && a.bias.size() > 1 ? a.bias.size() : 1, periphery.symmetric);
  if (activations && a.array()) size_like(output_range, 1, rpu().act_quant_config->symmetric);
  ranges_from_quantizers();
  stale = true;
}

bool LearningLayer::Impl::learning_ranges() const {
  const PeripheryQuantizationParameter& p = rpu().pre_post.periph_quant;
  return p.n_bits > 0 && p.learn_quant_params && analog().state.periphery_updates > p.init_learning_after;
}

void LearningLayer::Impl::ranges_from_quantizers() {
  const LayerState& state = analog().state;
  const bool learned = learning_ranges();
  for (std::size_t t = 0; t < tiles.size(); ++t) {
    if (!learned) copy_from(tiles[t].scale_range, state.tiles[t].scale_quantizer);
    copy_from(tiles[t].output_range, state.tiles[t].output_quantizer);
  }
  if (!learned) copy_from(bias_range, state.bias_quantizer);
  copy_from(output_range, state.output_quantizer);
}

void LearningLayer::Impl::ranges_to_quantizers() {
  AnalogLayer::Impl& a = analog();
  const bool power_of_two = rpu().pre_post.periph_quant.power_of_two;
  const bool learned = learning_ranges();
  const auto activation = [](Rare<QuantizationManager>& manager, const LearnedRange& range,
                             quant::UniformQuantizerState& state) {
    if (!manager || !manager->is_learning()) return;
    copy_to(range, state, false);
    manager->set_quantizer_state(state);
  };
  for (std::size_t t = 0; t < tiles.size(); ++t) {
    TileState& state = a.state.tiles[t];
    if (learned) copy_to(tiles[t].scale_range, state.scale_quantizer, power_of_two);
    activation(a.tiles[t].output_quantizer, tiles[t].output_range, state.output_quantizer);
  }
  if (learned) copy_to(bias_range, a.state.bias_quantizer, power_of_two);
  activation(a.output_quantizer, output_range, a.state.output_quantizer);
}

void LearningLayer::Impl::place_weights() {
  for (std::size_t t = 0; t < tiles.size(); ++t) {
    const LayerTile& place = analog().tiles[t];
    const std::vector<float>& m = place.mapping_scale;
    const TilePlace& at = place.place;
    Matrix& w = tiles[t].weights;
    for (std::int64_t i = 0; i < at.outputs; ++i) {
      const float scale = m.empty() ? 1.0F : m[m.size() == 1 ? 0 : static_cast<std::size_t>(i)];
      const float* from = weight.view().row(at.first_output + i) + at.first_input;
      float* to = w.view().row(i);
      for (std::int64_t k = 0; k < at.inputs; ++k) to[k] = from[k] / scale;
      if (analog().analog_bias) to[at.inputs] = bias[static_cast<std::size_t>(i)] / scale;
    }
  }
}

void LearningLayer::Impl::collect_weights() {
  for (std::size_t t = 0; t < tiles.size(); ++t) {
    const LayerTile& place = analog().tiles[t];
    const std::vector<float>& m = place.mapping_scale;
    const TilePlace& at = place.place;
    const Matrix& w = tiles[t].weights;
    for (std::int64_t i = 0; i < at.outputs; ++i) {
      const float scale = m.empty() ? 1.0F : m[m.size() == 1 ? 0 : static_cast<std::size_t>(i)];
      const float* from = w.view().row(i);
      float* to = weight.view().row(at.first_output + i) + at.first_input;
      for (std::int64_t k = 0; k < at.inputs; ++k) to[k] = from[k] * scale;
      if (analog().analog_bias) bias[static_cast<std::size_t>(i)] = from[at.inputs] * scale;
    }
  }
}

bool LearningLayer::Impl::modifies_weights() const {
  const WeightModifierParameter& m = rpu().modifier;
  return m.type != WeightModifierType::NONE && !(m.type == WeightModifierType::COPY && m.pdrop <= 0.0);
}

void LearningLayer::Impl::prepare() {
  for (std::size_t t = 0; t < tiles.size(); ++t) {
    LearningTile& tile = tiles[t];
    AnalogProduct& product = analog().tiles[t].product;
    if (stale && modifies_weights()) {
      random::Address address = analog().address;
      address.tile = static_cast<std::uint32_t>(t);
      product.set_weights(modified_weights(rpu().modifier, tile.weights.view(),
                                           random::Stream(address, random::Purpose::weight_modifier),
                                           static_cast<std::uint32_t>(batch))
                              .view());
    } else if (stale) {
      product.set_weights(tile.weights.view());
    }
    if (!stale && tile.backward.engine) continue;
    tile.backward.engine = product.engine()->backward();
    tile.backward.negative = product.negative_engine() ? product.negative_engine()->backward() : nullptr;
  }
  stale = false;
}

// Weight clipping and remapping, tile by tile; W, m and s follow.
void LearningLayer::Impl::limit_weights() {
  const RpuParameters& p = rpu();
  bool changed = false;
  for (std::size_t t = 0; t < tiles.size(); ++t) {
    LayerTile& place = analog().tiles[t];
    std::vector<float>& s = analog().state.tiles[t].output_scale;
    if (clip_weights(p.clip, tiles[t].weights.view())) changed = true;
    if (p.remap.type == WeightRemapType::NONE) continue;
    changed = true;
    remap_weights(p.remap, tiles[t].weights.view(), place.mapping_scale);
    if (!p.mapping.unit_scale_of_dead_outputs)
      rescale_dead_outputs(std::as_const(tiles[t].weights).view(), place.mapping_scale);
    for (std::size_t i = 0; i < place.mapping_scale.size() && !s.empty(); ++i)
      place.mapping_scale[i] *= s[s.size() == 1 ? 0 : i];
    std::fill(s.begin(), s.end(), 1.0F);
    std::vector<float>& kept = analog().state.tiles[t].mapping_scale;
    if (!kept.empty()) kept = place.mapping_scale;
  }
  if (changed) collect_weights();
}

LearningLayer::LearningLayer() : impl_(std::make_unique<Impl>()) {}
LearningLayer::~LearningLayer() = default;
LearningLayer::LearningLayer(LearningLayer&&) noexcept = default;
LearningLayer& LearningLayer::operator=(LearningLayer&&) noexcept = default;
LearningLayer::LearningLayer(const LearningLayer& other) : impl_(std::make_unique<Impl>(*other.impl_)) {}
LearningLayer& LearningLayer::operator=(const LearningLayer& other) {
  if (this != &other) impl_ = std::make_unique<Impl>(*other.impl_);
  return *this;
}

LearningLayer::LearningLayer(const RpuParameters& parameters, ConstMatrixView weight, std::span<const float> bias,
                             random::Address address, LearningOptions options, EngineFactory engine,
                             const LayerState* state)
    : impl_(std::make_unique<Impl>()) {
  validate_learning(parameters);
  impl_->layer = AnalogLayer(parameters, weight, bias, address, std::move(engine), state);
  impl_->options = options;
  impl_->build(weight, bias);
  if (state != nullptr) set_state(*state);
}

const RpuParameters& LearningLayer::parameters() const {
  return impl_->rpu();
}
const LearningOptions& LearningLayer::options() const {
  return impl_->options;
}
std::int64_t LearningLayer::inputs() const {
  return impl_->weight.cols();
}
std::int64_t LearningLayer::outputs() const {
  return impl_->weight.rows();
}
const LayerState& LearningLayer::state() const {
  return impl_->analog().state;
}
ConstMatrixView LearningLayer::weight() const {
  return std::as_const(impl_->weight).view();
}
std::span<const float> LearningLayer::bias() const {
  return impl_->bias;
}
bool LearningLayer::is_learning_ranges() const {
  return impl_->learning_ranges();
}

AnalogLayer LearningLayer::analog_layer() const {
  AnalogLayer copy = impl_->layer;
  if (impl_->rpu().modifier.enable_during_test && !impl_->stale) return copy;
  for (std::size_t t = 0; t < impl_->tiles.size(); ++t)
    copy.impl_->tiles[t].product.set_weights(impl_->tiles[t].weights.view());
  return copy;
}

void LearningLayer::set_output_code(bool relu, bool is_signed) {
  impl_->layer.set_output_code(relu, is_signed);
}

void LearningLayer::set_state(const LayerState& state) {
  impl_->layer.set_state(state);
  for (std::size_t t = 0; t < impl_->tiles.size(); ++t) {
    impl_->tiles[t].output_scale_gradient.assign(state.tiles[t].output_scale.size(), 0.0F);
    copy_from(impl_->tiles[t].scale_range, state.tiles[t].scale_quantizer);
  }
  copy_from(impl_->bias_range, state.bias_quantizer);
  impl_->ranges_from_quantizers();
}

void LearningLayer::set_weights(ConstMatrixView weight, std::span<const float> bias) {
  const LayerState state = impl_->analog().state;
  AnalogLayer fresh(parameters(), weight, bias, impl_->layer.address(), impl_->analog().engine);
  require<InputError>(weight.rows == outputs() && weight.cols == inputs() && bias.size() == impl_->bias.size(),
                      "weights of {}x{} with {} biases do not fit a learning layer of {}x{} with {}", weight.rows,
                      weight.cols, bias.size(), outputs(), inputs(), impl_->bias.size());
  LayerState kept = state;
  for (TileState& tile : kept.tiles) {
    std::fill(tile.output_scale.begin(), tile.output_scale.end(), 1.0F);
    tile.mapping_scale.clear();
  }
  fresh.set_state(kept);
  impl_->layer = std::move(fresh);
  impl_->build(weight, bias);
}

void LearningLayer::begin_batch(std::uint64_t batch) {
  if (impl_->batch != batch && impl_->modifies_weights()) impl_->stale = true;
  impl_->batch = batch;
}

void LearningLayer::forward(ConstMatrixView x, MatrixView y, const ForwardCall& call) {
  impl_->prepare();
  impl_->layer.forward_training(x, y, call);
  impl_->ranges_from_quantizers();
}

std::vector<LearnedValue> LearningLayer::values() {
  Impl& layer = *impl_;
  AnalogLayer::Impl& analog = layer.analog();
  std::vector<LearnedValue> values;
  values.push_back({"weight", LearnedKind::weight, layer.weight.values(), layer.weight_gradient.values()});
  if (!layer.bias.empty()) values.push_back({"bias", LearnedKind::bias, layer.bias, layer.bias_gradient});
  const InputRangeParameter& range = layer.rpu().pre_post.input_range;
  for (std::size_t t = 0; t < layer.tiles.size(); ++t) {
    LearningTile& tile = layer.tiles[t];
    TileState& state = analog.state.tiles[t];
    const std::string name = fmt::format("tile{}", t);
    if (range.enable && range.learn_input_range)
      values.push_back(
          {name + ".input_range", LearnedKind::input_range, {&state.input_range, 1}, {&tile.input_range_gradient, 1}});
    if (!state.output_scale.empty())
      values.push_back(
          {name + ".output_scale", LearnedKind::output_scale, state.output_scale, tile.output_scale_gradient});
    list(values, name + ".scale_range", LearnedKind::scale_range, tile.scale_range);
    list(values, name + ".output_range", LearnedKind::activation_range, tile.output_range);
  }
  list(values, "bias_range", LearnedKind::bias_range, layer.bias_range);
  list(values, "output_range", LearnedKind::activation_range, layer.output_range);
  return values;
}

void LearningLayer::zero_gradients() {
  for (const LearnedValue& v : values()) std::fill(v.gradient.begin(), v.gradient.end(), 0.0F);
  for (LearningTile& tile : impl_->tiles) tile.input_range_gradient = 0.0F;
}

void LearningLayer::updated() {
  Impl& layer = *impl_;
  AnalogLayer::Impl& analog = layer.analog();
  require_sound(layer.weight.values(), "a weight");
  require_sound(layer.bias, "a bias");
  layer.place_weights();
  layer.limit_weights();
  for (std::size_t t = 0; t < layer.tiles.size(); ++t) {
    TileState& state = analog.state.tiles[t];
    require_sound(state.output_scale, "an output scale");
    if (!layer.rpu().pre_post.input_range.enable) continue;
    require_sound({&state.input_range, 1}, "an input range");
    state.input_range = std::max(std::fabs(state.input_range), 1e-12F);
  }
  if (!analog.analog_bias) analog.bias = layer.bias;
  layer.ranges_to_quantizers();
  for (std::int64_t t = 0; t < layer.tile_count(); ++t) analog.refresh(t);
  analog.refresh_bias();
  layer.ranges_from_quantizers();
  layer.stale = true;
}

void LearningLayer::learn_activation_ranges(bool learn) {
  const auto change = [&](Rare<QuantizationManager>& manager) {
    if (!manager) return;
    if (learn)
      manager->learn_ranges();
    else
      manager->estimate_ranges_train();
  };
  AnalogLayer::Impl& analog = impl_->analog();
  // On several tiles every tile has a quantizer, and the sum another one.
  for (LayerTile& tile : analog.tiles) change(tile.output_quantizer);
  change(analog.output_quantizer);
  impl_->ranges_from_quantizers();
}

}  // namespace tessera::tile
