#pragma once
#include <cmath>
#include <string>
#include <vector>

#include "tessera/results/writer.hpp"

namespace tessera::results::sample {

/// A run of two layers, one analog, with everything that can be recorded.
inline Header run_header() {
  Header header;
  header.seed = 0xFEDCBA9876543210;
  header.rng_layout = 1;
  header.task_id = std::string(64, 'a');
  header.command = "tessera run quickstart.yaml";
  header.created_utc = "2024-05-01T12:00:00Z";
  header.config_text = "seed: 1\nname: µ-run\n";
  header.resolved_text = "seed: 1\nname: µ-run\nevaluation: {repeats: 2}\n";
  header.times = {0.0, 3600.0};
  header.repeats = 2;
  header.samples = 7;
  header.labels = {0, 1, 2, 0, 1, 2, 0};
  LayerHeader conv{.name = "conv1", .op = "Conv", .analog = true, .inputs = 9, .outputs = 4, .output_shape = {4, 3, 2}};
  conv.record_output = true;
  conv.periphery_codes = true;
  conv.devices = conv.compensation = conv.column_compensation = true;
  conv.weight_slices = 2;
  conv.array_outputs = 4;
  conv.wires_compensated = true;
  conv.array_inputs = 5;
  LayerHeader fc{.name = "block/fc", .op = "Gemm", .analog = false, .inputs = 24, .outputs = 3, .output_shape = {3}};
  fc.record_output = true;
  header.layers = {conv, fc};
  header.populations = {{"relu1", 12}, {"output_neurons", 3}};
  header.top5 = true;
  header.classes = 3;
  header.predictions = true;
  return header;
}

/// The same as a sweep over a number and a word.
inline Header sweep_header() {
  Header header = run_header();
  header.swept = {
      {"n_bits", "bit", "rpu_config.pre_post.periph_quant.n_bits", std::vector<double>{2, 4, 8}},
      {"w_noise_type", "1", "rpu_config.forward.w_noise_type", std::vector<std::string>{"NONE", "PCM_READ"}}};
  header.layers[0].max_tiles = 3;
  header.layers[0].max_columns = 8;
  return header;
}

/// The same with what an inference costs.
inline Header with_costs(Header header) {
  header.energy_components = {"array", "adc"};
  header.area_components = {"cells", "adc", "digital"};
  header.actions = {"tile.reads", "adc.conversions"};
  header.coefficients = {"adc.energy", "array.energy"};
  header.normalised_costs = true;
  header.component_table = "key,low,nominal,high,unit,source\nadc.energy,1,2,4,fJ,a datasheet\n";
  return header;
}

inline double number(const PointIndex& index, double salt) {
  double value = salt + 10 * static_cast<double>(index.time) + static_cast<double>(index.repeat);
  for (const std::int64_t i : index.swept) value = 7 * value + static_cast<double>(i);
  return value;
}

inline Score score(double accuracy) {
  return {.accuracy = accuracy,
          .loss = 1 - accuracy,
          .correct = 5,
          .count = 7,
          .accuracy_top5 = 1.0,
          .mse = 0.5,
          .auc = 0.75,
          .class_accuracy = {1.0, 0.5, missing},
          .confusion = {3, 0, 0, 1, 1, 0, 0, 0, 0}};
}

inline Point point(const PointIndex& index) {
  Point point;
  point.score = score(number(index, 0) / 1e4);
  LayerPoint analog;
  analog.cumulative = {number(index, 20), 0.01, 0.99};
  analog.isolated = {number(index, 30), 0.005, 0.995};
  analog.input_clip_fraction = 0.125;
  analog.dac_clip_fraction = 0.0;
  analog.adc_saturation_fraction = 0.25;
  analog.bound_management_rounds = 1.5;
  analog.bound_management_failed_fraction = 0.0;
  analog.dac_effective_bits = 7.5;
  analog.adc_effective_bits = 6.25;
  analog.slices = {{0.25, 0.75, -1.5, 2.0}, {0.0, 0.5, -1.0, 1.25}};
  LayerPoint digital;
  digital.cumulative = {std::numeric_limits<double>::infinity(), 0.0, 1.0};
  point.layers = {analog, digital};
  point.populations = {{.spikes = 40 + index.repeat, .firing_rate = 0.125, .silent_fraction = 0.5},
                       {.spikes = 4, .firing_rate = 0.0625, .silent_fraction = 0.0}};
  return point;
}

/// What `point` costs: for a header with_costs().
inline CostRecord cost(const PointIndex& index) {
  const double energy = 1e-9 * number(index, 1);
  CostRecord record{.energy = energy, .energy_low = energy / 2, .energy_high = 3 * energy};
  record.latency = 1e-6;
  record.latency_worst = 2e-6;
  record.interval = 5e-7;
  record.area = 0.5;
  record.area_low = 0.25;
  record.area_high = 1.0;
  record.operations = 1e4;
  record.tops_per_W = 8.0;
  record.tops_per_W_low = 4.0;
  record.tops_per_W_high = 16.0;
  record.tops_per_mm2 = 0.125;
  record.tops_per_mm2_low = 0.0625;
  record.tops_per_mm2_high = 0.25;
  record.tops_per_W_1b = 512.0;
  record.tops_per_W_8b = 8.0;
  record.tops_per_mm2_1b = 8.0;
  record.tops_per_mm2_8b = 0.125;
  record.energy_at_low = {energy / 2, energy};
  record.energy_at_high = {2 * energy, 3 * energy};
  record.area_at_low = {0.5, 0.25};
  record.area_at_high = {0.5, 1.0};
  LayerCostRecord analog{.energy = {0.75 * energy, 0.125 * energy}, .area = {0.25, 0.125, 0.125}, .actions = {6, 24}};
  analog.energy_low = 0.5 * energy;
  analog.energy_high = 2 * energy;
  analog.latency = 6e-7;
  analog.utilization = 0.75;
  analog.input_mean = 0.25;
  analog.bit_density = 0.5;
  analog.conductance_mean = 0.375;
  LayerCostRecord digital{.energy = {0.125 * energy, 0.0}, .actions = {0, 0}, .latency = 4e-7};
  digital.energy_low = digital.energy_high = 0.125 * energy;
  record.layers = {analog, digital};
  return record;
}

inline LayerHardware hardware(std::int32_t tiles = 2) {
  LayerHardware layer;
  layer.tile_rows = tiles;
  layer.tile_columns = 1;
  for (std::int32_t t = 0; t < tiles; ++t) {
    TileHardware tile;
    tile.row = t;
    tile.first_input = 5 * t;
    tile.inputs = t == 0 ? 5 : 4;
    tile.outputs = 4;
    tile.input_range = 2.5;
    tile.mapping_scale = {0.5F};
    tile.scale = {1, 2, 3, 4};
    tile.quantized_scale = {1, 2, 3, 4.5F};
    tile.scale_step = {0.5F};
    tile.scale_codes = {2, 4, 6, 9};
    tile.scale_sqnr_db = 20.0;
    tile.fixed_point_codes = {20, 40, 60, 90};
    tile.fixed_point_exponents = {3};
    layer.tiles.push_back(tile);
  }
  layer.bias = {0.1F, 0.2F, 0.3F, 0.4F};
  layer.quantized_bias = {0, 0.25F, 0.25F, 0.5F};
  layer.bias_step = {0.25F};
  layer.bias_codes = {0, 1, 1, 2};
  layer.bias_sqnr_db = 15.0;
  layer.fixed_point_bias = {0, 16, 16, 32};
  layer.output_step = 0.125;
  layer.arrays = 4 * tiles;
  layer.converters = 8 * tiles;
  layer.ir_drop_db = 30.0;
  layer.compensation_before = 0.04;
  layer.compensation_remaining = 0.01;
  layer.compensation_at_limit = 0.25;
  layer.map_outputs = 4;
  layer.map_inputs = 5;
  for (int c = 0; c < 20; ++c) layer.ir_drop_map.push_back(0.002F * static_cast<float>(c));
  return layer;
}

inline LayerProgramming programming(std::int64_t repeat) {
  LayerProgramming programming;
  programming.g_max = 25.0;
  programming.error_mean = 0.25 * static_cast<double>(repeat);
  programming.error_std = 0.5;
  programming.pulses = 1.0;
  programming.unconverged_fraction = 0.0;
  programming.stuck_fraction = 0.125;
  programming.histogram.assign(static_cast<std::size_t>(conductance_bins), 3 + repeat);
  programming.target_histogram.assign(static_cast<std::size_t>(conductance_bins), 3);
  return programming;
}

inline LayerWeights weights(const PointIndex& index, std::int32_t tiles = 2) {
  LayerWeights weights{.gain = 0.75, .error = 0.0625, .sqnr_db = number(index, 40), .alpha = {}, .column_alpha = {}};
  for (std::int32_t t = 0; t < tiles; ++t) weights.alpha.push_back(1.0F + static_cast<float>(index.time));
  weights.column_alpha.assign(static_cast<std::size_t>(4 * tiles), 1.5F);
  return weights;
}

inline float output_value(const PointIndex& index, std::size_t layer, std::int64_t element) {
  return static_cast<float>(number(index, 0)) + static_cast<float>(layer) * 0.5F + static_cast<float>(element) * 1e-3F;
}

/// Samples in blocks of `batch`, as a simulation delivers them.
inline void write_samples(Writer& writer, const PointIndex& index, std::int64_t batch) {
  const Header& header = writer.header();
  for (std::int64_t first = 0; first < header.samples; first += batch) {
    const std::int64_t count = std::min(batch, header.samples - first);
    if (header.predictions) {
      std::vector<std::int32_t> classes;
      for (std::int64_t s = first; s < first + count; ++s) classes.push_back(static_cast<std::int32_t>(s % 3));
      writer.write_predictions(index, first, classes);
    }
    for (std::size_t layer = 0; layer < header.layers.size(); ++layer) {
      if (!header.layers[layer].record_output) continue;
      const std::int64_t size = element_count(header.layers[layer].output_shape);
      std::vector<float> values;
      for (std::int64_t e = first * size; e < (first + count) * size; ++e) {
        values.push_back(output_value(index, layer, e));
      }
      writer.write_output(index, layer, first, values);
    }
  }
}

inline std::vector<std::vector<std::int64_t>> swept_indices(const Header& header) {
  std::vector<std::vector<std::int64_t>> indices{{}};
  for (const Axis& axis : header.swept) {
    std::vector<std::vector<std::int64_t>> longer;
    for (const auto& index : indices) {
      for (std::int64_t i = 0; i < axis.size(); ++i) {
        longer.push_back(index);
        longer.back().push_back(i);
      }
    }
    indices = longer;
  }
  return indices;
}

/// Writes the first `points` points (all by default).
inline void write(Writer& writer, std::int64_t batch = 3, std::int64_t points = 1000000) {
  const Header& header = writer.header();
  for (const auto& swept : swept_indices(header)) {
    writer.write_reference(swept, score(0.75));
    if (header.predictions) {
      writer.write_reference_predictions(swept, 0, std::vector<std::int32_t>(static_cast<std::size_t>(header.samples)));
    }
    if (header.hardware) writer.write_hardware(swept, 0, hardware());
    if (!header.layers.empty() && header.layers[0].devices)
      for (std::int64_t repeat = 0; repeat < header.repeats; ++repeat)
        writer.write_programming(swept, repeat, 0, programming(repeat));
    for (std::int64_t time = 0; time < static_cast<std::int64_t>(header.times.size()); ++time) {
      for (std::int64_t repeat = 0; repeat < header.repeats; ++repeat) {
        if (points-- <= 0) continue;
        const PointIndex index{swept, time, repeat};
        if (!header.layers.empty() && header.layers[0].devices) writer.write_weights(index, 0, weights(index));
        write_samples(writer, index, batch);
        Point numbers = point(index);
        if (header.costs()) numbers.cost = cost(index);
        writer.write_point(index, numbers);
        if (header.costs() && !swept.empty()) {
          writer.write_relative_energy(index, {1.5, 1.25, 2.0});
          writer.write_relative_area(swept, {1.0, 1.0, 1.0});
        }
      }
    }
  }
}

inline void write_file(const std::string& path, const Header& header, std::int64_t batch = 3, double wall_seconds = 1,
                       std::int64_t points = 1000000) {
  Writer writer(path, header);
  write(writer, batch, points);
  writer.write_runtime({.wall_seconds = wall_seconds, .threads = 2, .instruction_set = "AVX3"});
  writer.commit();
}

}  // namespace tessera::results::sample
