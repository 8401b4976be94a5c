#include "tile/learning_backward.hpp"

// From the sums over a batch to the gradients of weights, scales, ranges and biases.
namespace tessera::tile {

void LearningLayer::Impl::finish_sums(std::int64_t vectors) {
  AnalogLayer::Impl& a = analog();
  const InputRangeParameter& range = rpu().pre_post.input_range;
  const bool learned = learning_ranges();
  for (std::size_t t = 0; t < tiles.size(); ++t) {
    LearningTile& tile = tiles[t];
    const LayerTile& place = a.tiles[t];
    const TileState& state = a.state.tiles[t];
    const TilePlace& at_place = place.place;
    const Matrix d_weight = tile.backward.engine->weight_gradient();
    const Matrix& k_factor = place.product.frozen().w_asymmetry;
    Matrix d_negative;
    if (tile.backward.negative) d_negative = tile.backward.negative->weight_gradient();
    for (std::int64_t i = 0; i < at_place.outputs; ++i) {
      const float m = factor_at(place.mapping_scale, static_cast<std::size_t>(i));
      for (std::int64_t k = 0; k < d_weight.cols(); ++k) {
        float d = d_weight(i, k);
        if (d_negative.rows() > 0) d += k_factor(i, k) * d_negative(i, k);
        if (k < at_place.inputs)
          weight_gradient(at_place.first_output + i, at_place.first_input + k) += d / m;
        else
          bias_gradient[static_cast<std::size_t>(i)] += d / m;
      }
    }

    // Scales: y = o Q(S), S = r m s, or o (r m) s.
    std::vector<float> d_scale(tile.scale_sums.begin(), tile.scale_sums.end());  // of what multiplies o
    if (!place.quantized.values.empty()) {
      // Sums over outputs for a scale that all share.
      if (place.merged.size() == 1)
        d_scale = {static_cast<float>([&] {
          double sum = 0.0;
          for (const double v : tile.scale_sums) sum += v;
          return sum;
        }())};
      const quant::UniformQuantizer quantizer =
          periphery_quantizer(rpu().pre_post.periph_quant, place.merged, state.scale_quantizer, "scale");
      const auto n = static_cast<std::int64_t>(place.merged.size());
      const quant::ChannelLayout layout{1, quantizer.channels(), n / quantizer.channels()};
      if (learned) tile.scale_range.add(quantizer.range_gradient(layout, place.merged, d_scale));
      quantizer.backward(layout, place.merged, d_scale, d_scale);
    }
    double d_range = 0.0;
    for (std::size_t i = 0; i < d_scale.size(); ++i) {
      const float m = factor_at(place.mapping_scale, i);
      const float s = factor_at(state.output_scale, i);
      const float r = range.enable ? state.input_range : 1.0F;
      d_range += static_cast<double>(d_scale[i]) * static_cast<double>(m) * static_cast<double>(s);
      if (!state.output_scale.empty())
        tile.output_scale_gradient[state.output_scale.size() == 1 ? 0 : i] += d_scale[i] * r * m;
    }
    if (!range.enable) continue;
    const auto r = static_cast<double>(state.input_range);
    double gradient = tile.range.clipping;
    if (range.gradient_relative) gradient *= r * range.gradient_scale;
    if (range.manage_output_clipping) {
      const double unclipped = 1.0 - static_cast<double>(tile.range.clipped_outputs) /
                                         static_cast<double>(vectors * place.product.outputs());
      if (unclipped < range.output_min_percentage) gradient -= (1.0 - unclipped) * r;
    }
    const double inside = static_cast<double>(tile.range.inside) / static_cast<double>(vectors * at_place.inputs);
    if (range.decay > 0.0 && inside > range.input_min_percentage) gradient += range.decay * r;
    // A perfect product behind an exact scale cancels what the division by r contributes.
    if (exact() && needs_outputs(static_cast<std::int64_t>(t)) &&
        (!place.product.perfect() || !place.quantized.values.empty()))
      gradient += d_range - tile.range.ordinary / r;
    tile.input_range_gradient += static_cast<float>(gradient);
  }
  if (a.bias.empty()) return;
  std::vector<float> d_bias(bias_sums.begin(), bias_sums.end());
  if (!a.quantized_bias.values.empty()) {
    const quant::UniformQuantizer quantizer =
        periphery_quantizer(rpu().pre_post.periph_quant, a.bias, a.state.bias_quantizer, "bias");
    const auto n = static_cast<std::int64_t>(a.bias.size());
    const quant::ChannelLayout layout{1, quantizer.channels(), n / quantizer.channels()};
    if (learned) bias_range.add(quantizer.range_gradient(layout, a.bias, d_bias));
    quantizer.backward(layout, a.bias, d_bias, d_bias);
  }
  for (std::size_t i = 0; i < d_bias.size(); ++i) bias_gradient[i] += d_bias[i];
}

}  // namespace tessera::tile
