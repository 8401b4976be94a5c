#include <algorithm>
#include <cmath>

#include "tile/analog_layer_impl.hpp"

namespace tessera::tile {
namespace {

// Standard deviation of all elements with the n-1 denominator; NaN for fewer than two.
double standard_deviation(ConstMatrixView x) {
  const auto n = static_cast<double>(x.rows * x.cols);
  double sum = 0.0;
  for (std::int64_t r = 0; r < x.rows; ++r)
    for (const float v : x.row_span(r)) sum += static_cast<double>(v);
  const double mean = sum / n;
  double squares = 0.0;
  for (std::int64_t r = 0; r < x.rows; ++r)
    for (const float v : x.row_span(r)) squares += (static_cast<double>(v) - mean) * (static_cast<double>(v) - mean);
  return std::sqrt(squares / (n - 1.0));
}

float largest_magnitude(std::span<const float> x) {
  float largest = 0.0F;
  for (const float v : x) largest = std::max(largest, std::fabs(v));
  return largest;
}

}  // namespace

void AnalogLayer::Impl::observe_inputs(ConstMatrixView x) {
  constexpr float decay = 1e-3F;  // of AVERAGE_ABS_MAX
  const InputRangeParameter& range = parameters->pre_post.input_range;
  for (std::size_t t = 0; t < tiles.size(); ++t) {
    TileState& s = state.tiles[t];
    const ConstMatrixView slice = x.cols_from(tiles[t].place.first_input, tiles[t].place.inputs);
    if (range.enable && s.input_range_updates < range.init_from_data) {
      const double sd = standard_deviation(slice);
      if (sd > 0.0) {
        const auto k = static_cast<float>(s.input_range_updates);
        const float value = static_cast<float>(range.init_std_alpha) * static_cast<float>(sd);
        s.input_range = std::fabs((s.input_range * k + value) / (k + 1.0F));
        ++s.input_range_updates;
      }
    }
    if (parameters->forward.noise_management == NoiseManagementType::AVERAGE_ABS_MAX) {
      for (std::int64_t r = 0; r < slice.rows; ++r) {
        float largest = largest_magnitude(slice.row_span(r));
        if (range.enable) largest = std::min(largest, s.input_range) / s.input_range;
        float& average = s.noise_management_average;
        average = average > 0.0F ? average * (1.0F - decay) + decay * largest : largest;
      }
    }
  }
}

// Ranges of the periphery follow the current values until they are learned (quantization reference E.4).
void AnalogLayer::Impl::observe_periphery() {
  if (!quantized_periphery()) return;
  const PeripheryQuantizationParameter& p = parameters->pre_post.periph_quant;
  if (p.learn_quant_params) {
    if (state.periphery_updates > p.init_learning_after) return;
    if (++state.periphery_updates > p.init_learning_after) return;  // learned from now on, from the last estimate
  }
  for (std::size_t t = 0; t < tiles.size(); ++t) {
    if (tiles[t].merged.empty()) continue;
    state.tiles[t].scale_quantizer = periphery_quantizer(p, tiles[t].merged, {}, "scale").state();
  }
  if (!bias.empty()) state.bias_quantizer = periphery_quantizer(p, bias, {}, "bias").state();
}

// The whole batch through one tile, without alpha and without the activation quantizer.
void AnalogLayer::Impl::tile_pass(std::int64_t t, ConstMatrixView x, MatrixView y, const ForwardCall& call) const {
  const LayerTile& tile = tiles[static_cast<std::size_t>(t)];
  const std::int64_t rows = block_rows(2 * (tile.place.inputs + tile.place.outputs), x.rows, call.parallel);
  std::vector<LayerStatistics> statistics(static_cast<std::size_t>((x.rows + rows - 1) / rows),
                                          call.statistics != nullptr ? call.statistics->blank() : LayerStatistics{});
  parallel_for_blocks(call.parallel, x.rows, rows, [&](std::int64_t b, std::int64_t first, std::int64_t last) {
    ProductScratch scratch;
    const MatrixView out = y.rows_from(first, last - first);
    tile.product.run(
        product_call(t, x.rows_from(first, last - first), out, call.first_vector + static_cast<std::uint64_t>(first),
                     call.event, call.statistics != nullptr ? &statistics[static_cast<std::size_t>(b)] : nullptr),
        scratch);
    late_steps(tile, out, false, false);
  });
  if (call.statistics == nullptr) return;
  for (const LayerStatistics& part : statistics) *call.statistics += part;
}

void AnalogLayer::forward_training(ConstMatrixView x, MatrixView y, const ForwardCall& call) {
  Impl& layer = *impl_;
  layer.check_call(x, y, call);
  if (x.rows == 0) return;
  layer.observe_inputs(x);
  for (std::int64_t t = 0; t < tile_count(); ++t) layer.refresh(t);
  layer.observe_periphery();
  for (std::int64_t t = 0; t < tile_count(); ++t) layer.refresh(t);
  layer.refresh_bias();
  if (layer.has_fixed_point()) return layer.fixed_point_training(*this, x, y, call);
  const bool compensated =
      std::any_of(layer.tiles.begin(), layer.tiles.end(), [](const LayerTile& tile) { return !tile.alpha.empty(); });
  if (!compensated && !layer.output_quantizer && !layer.tiles[0].output_quantizer) return forward(x, y, call);

  std::vector<Matrix> outputs;
  std::vector<MatrixView> parts;
  for (const LayerTile& tile : layer.tiles)
    parts.push_back(outputs.emplace_back(Matrix::uninitialized(x.rows, tile.place.outputs)).view());
  tile_outputs(x, parts, call);
  estimate_activation_ranges(parts, y);
  if (call.statistics != nullptr) call.statistics->vectors += x.rows;
}

void AnalogLayer::tile_outputs(ConstMatrixView x, std::span<const MatrixView> parts, const ForwardCall& call) const {
  for (std::size_t t = 0; t < parts.size(); ++t) impl_->tile_pass(static_cast<std::int64_t>(t), x, parts[t], call);
}

void AnalogLayer::Impl::observe(Rare<quant::QuantizationManager>& manager, ConstMatrixView values,
                                quant::UniformQuantizerState& saved) {
  if (!manager) return;
  const Matrix gathered = values.stride != values.cols ? Matrix(values) : Matrix();
  const std::span<const float> all = gathered.rows() > 0
                                         ? gathered.values()
                                         : std::span(values.data, static_cast<std::size_t>(values.rows * values.cols));
  manager->observe({values.rows, values.cols}, all, true);
  saved = manager->quantizer().state();
}

void AnalogLayer::estimate_activation_ranges(std::span<const MatrixView> parts, MatrixView y) {
  Impl& layer = *impl_;
  for (std::size_t t = 0; t < parts.size(); ++t) {
    LayerTile& tile = layer.tiles[t];
    const MatrixView part = parts[t];
    if (layer.array() && tile.output_quantizer) {
      Impl::observe(tile.output_quantizer, part, layer.state.tiles[t].output_quantizer);
      quantize_rows(*tile.output_quantizer, part);
    }
    for (std::int64_t r = 0; r < y.rows; ++r) {
      float* total = y.row(r) + tile.place.first_output;
      const float* more = part.row(r);
      for (std::int64_t i = 0; i < tile.place.outputs; ++i)
        total[i] = tile.place.first_input == 0 ? more[i] : total[i] + more[i];
    }
  }
  if (!layer.bias.empty()) add_columns(y, layer.bias_in_use());
  if (layer.has_fixed_point()) return layer.observe_output_range(y, false);
  auto& manager = layer.array() ? layer.output_quantizer : layer.tiles[0].output_quantizer;
  Impl::observe(manager, y, layer.array() ? layer.state.output_quantizer : layer.state.tiles[0].output_quantizer);
  if (manager) quantize_rows(*manager, y);
}

}  // namespace tessera::tile
