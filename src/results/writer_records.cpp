#include <algorithm>

#include "results/writer_impl.hpp"
#include "tessera/results/layer_statistics.hpp"

// Records into variables.
namespace tessera::results {
namespace {

/// One value for all, or one for each, or none.
template <class T>
std::vector<T> spread(const std::vector<T>& values, std::int64_t count, T none, const char* what) {
  const auto size = static_cast<std::size_t>(count);
  if (values.empty()) return std::vector<T>(size, none);
  if (values.size() == 1) return std::vector<T>(size, values.front());
  require<RunError>(values.size() == size, "{} has {} values for {} outputs", what, values.size(), size);
  return values;
}

template <class T>
void append(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

Shape Writer::Impl::swept_place(const std::vector<std::int64_t>& swept) const {
  bool inside = swept.size() == header.swept.size();
  for (std::size_t i = 0; inside && i < swept.size(); ++i) inside = swept[i] >= 0 && swept[i] < header.swept[i].size();
  require<RunError>(inside, "the index ({}) is outside the {} swept axes of '{}'", fmt::join(swept, ", "),
                    header.swept.size(), file.target());
  return swept;
}

Shape Writer::Impl::place(const PointIndex& index) const {
  Shape at = swept_place(index.swept);
  require<RunError>(index.time >= 0 && index.time < static_cast<std::int64_t>(header.times.size()) &&
                        index.repeat >= 0 && index.repeat < header.repeats,
                    "time {} and repeat {} are outside the {} times and {} repeats of '{}'", index.time, index.repeat,
                    header.times.size(), header.repeats, file.target());
  at.push_back(index.time);
  at.push_back(index.repeat);
  return at;
}

std::int64_t Writer::Impl::point_count() const {
  std::int64_t count = static_cast<std::int64_t>(header.times.size()) * header.repeats;
  for (const Axis& axis : header.swept) count *= axis.size();
  return count;
}

void Writer::Impl::put_text(const std::string& group, std::string_view name, const std::string& text) {
  dataset(group, name).write(std::vector<std::string>{text});
}

void Writer::Impl::put_score(const std::string& group, const Shape& at, const Score& score) {
  const auto has = [&](Presence presence) { return is_present(presence, header, nullptr); };
  if (has(Presence::scores)) put(group, "count", at, score.count);
  if (has(Presence::labels)) {
    put(group, "accuracy", at, score.accuracy);
    put(group, "loss", at, score.loss);
    put(group, "correct", at, score.correct);
  }
  if (has(Presence::language)) put(group, "perplexity", at, score.perplexity);
  if (has(Presence::agreement) && group == "/") {
    put(group, "agreement", at, score.agreement);
    put(group, "kl_divergence", at, score.kl_divergence);
    put(group, "output_cosine", at, score.output_cosine);
  }
  if (has(Presence::top5)) put(group, "accuracy_top5", at, score.accuracy_top5);
  if (has(Presence::classes) && !score.confusion.empty()) {
    put(group, "class_accuracy", at, score.class_accuracy);
    put(group, "confusion", at, score.confusion);
  }
  if (has(Presence::errors)) put(group, "mse", at, score.mse);
  if (has(Presence::anomalies)) put(group, "auc", at, score.auc);
}

void Writer::Impl::put_layer_point(std::size_t i, const Shape& at, const LayerPoint& layer) {
  const std::string& group = layer_groups[i];
  for (const LayerStatistic& row : layer_statistics())
    if (is_present(row.presence, header, &header.layers[i])) put(group, row.name, at, row.value(layer));
  if (!is_present(Presence::crossbar_statistics, header, &header.layers[i])) return;
  for (const SliceStatistic& row : slice_statistics()) {
    std::vector<double> values(static_cast<std::size_t>(header.layers[i].weight_slices), missing);
    require<RunError>(layer.slices.size() <= values.size(), "layer '{}' has {} weight slices, not {}",
                      header.layers[i].name, values.size(), layer.slices.size());
    for (std::size_t s = 0; s < layer.slices.size(); ++s) values[s] = layer.slices[s].*row.member;
    put(group, row.name, at, values);
  }
}

// A map of smaller arrays than the file has room for lies at its beginning.
void Writer::Impl::put_crossbar(const Shape& at, std::size_t i, const LayerHardware& hardware) {
  const std::string& group = layer_groups.at(i);
  const LayerHeader& layer = header.layers.at(i);
  if (is_present(Presence::crossbar, header, &layer)) {
    put(group, "crossbar_arrays", at, hardware.arrays > 0 ? hardware.arrays : -1);
    put(group, "crossbar_converters", at, hardware.arrays > 0 ? hardware.converters : -1);
  }
  if (is_present(Presence::crossbar_compensation, header, &layer)) {
    put(group, "compensation_before", at, hardware.compensation_before);
    put(group, "compensation_remaining", at, hardware.compensation_remaining);
    put(group, "compensation_at_limit", at, hardware.compensation_at_limit);
  }
  if (!is_present(Presence::crossbar_wires, header, &layer)) return;
  require<RunError>(hardware.map_outputs <= layer.array_outputs && hardware.map_inputs <= layer.array_inputs &&
                        std::ssize(hardware.ir_drop_map) == hardware.map_outputs * hardware.map_inputs,
                    "the map of layer '{}' is larger than announced", layer.name);
  std::vector<float> map(static_cast<std::size_t>(layer.array_outputs * layer.array_inputs),
                         std::numeric_limits<float>::quiet_NaN());
  for (std::int64_t j = 0; j < hardware.map_outputs; ++j)
    std::copy_n(hardware.ir_drop_map.begin() + j * hardware.map_inputs, hardware.map_inputs,
                map.begin() + j * layer.array_inputs);
  put(group, "ir_drop_db", at, hardware.ir_drop_db);
  put(group, "ir_drop_map", at, map);
}

void Writer::Impl::put_populations(const Shape& at, const std::vector<PopulationPoint>& populations) {
  require<RunError>(populations.size() == header.populations.size(), "a point has {} populations of neurons, not {}",
                    populations.size(), header.populations.size());
  if (populations.empty()) return;
  std::vector<std::int64_t> spikes;
  std::vector<double> rate, silent;
  for (const PopulationPoint& population : populations) {
    spikes.push_back(population.spikes);
    rate.push_back(population.firing_rate);
    silent.push_back(population.silent_fraction);
  }
  put("/spiking", "spikes", at, spikes);
  put("/spiking", "firing_rate", at, rate);
  put("/spiking", "silent_fraction", at, silent);
}

void Writer::Impl::put_hardware(const Shape& at, std::size_t i, const LayerHardware& hardware) {
  const std::string& group = layer_groups.at(i);
  const LayerHeader& layer = header.layers.at(i);
  require<RunError>(!hardware.tiles.empty(), "layer '{}' has no tiles", layer.name);
  std::vector<std::int32_t> part, row, column, zero_point, column_tile, scale_code;
  std::vector<std::int64_t> first_input, inputs, first_output, outputs, column_output;
  std::vector<double> input_range, scale_sqnr_db;
  std::vector<float> mapping_scale, scale_float, scale_used, scale_step;
  constexpr float no_float = std::numeric_limits<float>::quiet_NaN();
  for (const TileHardware& tile : hardware.tiles) {
    part.push_back(tile.part);
    row.push_back(tile.row);
    column.push_back(tile.column);
    first_input.push_back(tile.first_input);
    inputs.push_back(tile.inputs);
    first_output.push_back(tile.first_output);
    outputs.push_back(tile.outputs);
    input_range.push_back(tile.input_range);
    zero_point.push_back(tile.scale_zero_point);
    scale_sqnr_db.push_back(tile.scale_sqnr_db);
    append(mapping_scale, spread(tile.mapping_scale, tile.outputs, 1.0F, "mapping_scale"));
    append(scale_float, spread(tile.scale, tile.outputs, 1.0F, "scale"));
    append(scale_used, spread(tile.quantized_scale, tile.outputs, 1.0F, "quantized_scale"));
    append(scale_step, spread(tile.scale_step, tile.outputs, no_float, "scale_step"));
    append(scale_code, spread(tile.scale_codes, tile.outputs, std::numeric_limits<std::int32_t>::min(), "scale_codes"));
    for (std::int64_t o = 0; o < tile.outputs; ++o) {
      column_tile.push_back(static_cast<std::int32_t>(part.size()) - 1);
      column_output.push_back(tile.first_output + o);
    }
  }
  if (use == FileUse::results && !announced(group, "tile_row")) {
    for (const Variable& variable : variables()) {
      if (variable.group == schema_group(group) && along_tiles(variable) &&
          is_present(variable.presence, header, &layer)) {
        create_variable(group, variable, &layer, static_cast<std::int64_t>(hardware.tiles.size()),
                        static_cast<std::int64_t>(column_tile.size()));
      }
    }
  }
  put_crossbar(at, i, hardware);
  put(group, "tile_rows", at, hardware.tile_rows);
  put(group, "tile_columns", at, hardware.tile_columns);
  put(group, "tile_part", at, part);
  put(group, "tile_row", at, row);
  put(group, "tile_col", at, column);
  put(group, "tile_first_input", at, first_input);
  put(group, "tile_inputs", at, inputs);
  put(group, "tile_first_output", at, first_output);
  put(group, "tile_outputs", at, outputs);
  put(group, "input_range", at, input_range);
  put(group, "column_tile", at, column_tile);
  put(group, "column_output", at, column_output);
  put(group, "mapping_scale", at, mapping_scale);
  put(group, "periphery_scale_float", at, scale_float);
  put(group, "periphery_scale", at, scale_used);
  put(group, "bias_float", at, spread(hardware.bias, layer.outputs, no_float, "bias"));
  put(group, "bias", at,
      spread(hardware.quantized_bias.empty() ? hardware.bias : hardware.quantized_bias, layer.outputs, no_float,
             "quantized_bias"));
  if (layer.fixed_point) {
    constexpr std::int64_t no_count = -1, no_wide_code = std::numeric_limits<std::int64_t>::min();
    constexpr std::int32_t no_code = std::numeric_limits<std::int32_t>::min();
    std::vector<std::int64_t> codes;
    std::vector<std::int32_t> exponents;
    for (const TileHardware& tile : hardware.tiles) {
      append(codes, spread(tile.fixed_point_codes, tile.outputs, no_count, "fixed_point_codes"));
      append(exponents, spread(tile.fixed_point_exponents, tile.outputs, no_code, "fixed_point_exponents"));
    }
    put(group, "fixed_point_scale_code", at, codes);
    put(group, "fixed_point_exponent", at, exponents);
    put(group, "fixed_point_bias_code", at,
        spread(hardware.fixed_point_bias, layer.outputs, no_wide_code, "fixed_point_bias"));
    put(group, "fixed_point_output_step", at, hardware.output_step);
    put(group, "fixed_point_saturated_scales", at, hardware.saturated_scales);
  }
  if (!layer.periphery_codes) return;
  put(group, "periphery_scale_code", at, scale_code);
  put(group, "periphery_scale_step", at, scale_step);
  put(group, "periphery_scale_zero_point", at, zero_point);
  put(group, "periphery_scale_sqnr_db", at, scale_sqnr_db);
  put(group, "bias_code", at,
      spread(hardware.bias_codes, layer.outputs, std::numeric_limits<std::int32_t>::min(), "bias_codes"));
  put(group, "bias_step", at, spread(hardware.bias_step, layer.outputs, no_float, "bias_step"));
  put(group, "bias_zero_point", at, hardware.bias_zero_point);
  put(group, "bias_sqnr_db", at, hardware.bias_sqnr_db);
}

void Writer::Impl::put_programming(const Shape& swept, std::int64_t repeat, std::size_t i,
                                   const LayerProgramming& programming) {
  require<RunError>(i < header.layers.size() && header.layers[i].devices && repeat >= 0 && repeat < header.repeats,
                    "layer {}, repeat {}: no such devices are announced", i, repeat);
  const std::string& group = layer_groups[i];
  Shape at = swept;
  at.push_back(repeat);
  put(group, "conductance_max", swept, programming.g_max);
  if (!header.statistics) return;
  put(group, "programming_error_mean", at, programming.error_mean);
  put(group, "programming_error_std", at, programming.error_std);
  put(group, "programming_pulses", at, programming.pulses);
  put(group, "unconverged_fraction", at, programming.unconverged_fraction);
  put(group, "stuck_fraction", at, programming.stuck_fraction);
  put(group, "conductance_histogram", at, programming.histogram);
  put(group, "target_conductance_histogram", swept, programming.target_histogram);
}

void Writer::Impl::put_weights(const Shape& at, std::size_t i, const LayerWeights& weights) {
  require<RunError>(i < header.layers.size() && header.layers[i].devices, "layer {} has no devices", i);
  const std::string& group = layer_groups[i];
  const LayerHeader& layer = header.layers[i];
  if (is_present(Presence::compensation, header, &layer)) put(group, "alpha", at, weights.alpha);
  if (is_present(Presence::column_compensation, header, &layer)) put(group, "alpha_column", at, weights.column_alpha);
  if (!header.statistics) return;
  put(group, "weight_gain", at, weights.gain);
  put(group, "weight_error", at, weights.error);
  put(group, "weight_sqnr_db", at, weights.sqnr_db);
}

}  // namespace tessera::results
