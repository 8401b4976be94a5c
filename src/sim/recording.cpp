#include "tessera/sim/recording.hpp"

#include <set>

#include "tessera/core/memory.hpp"
#include "tessera/kernels/converter.hpp"
#include "tessera/sim/cost_recording.hpp"
#include "tessera/sim/layer_calibration.hpp"
#include "tessera/tile/crossbar_engine.hpp"

namespace tessera::sim {

namespace {

double effective_bits_or_missing(float peak, double resolution, double bound) {
  const auto step = static_cast<double>(kernels::make_converter(bound, resolution).step);
  return step > 0.0 ? tile::effective_bits(static_cast<double>(peak), step) : results::missing;
}

results::ErrorNumbers error_numbers(const ErrorMeasures& error) {
  if (error.count == 0) return {};
  return {.sqnr_db = error.sqnr_db(), .mse = error.mse(), .cosine = error.cosine()};
}

double share(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : results::missing;
}

LayerParameters parameters_of(const EvaluationRequest& request, std::size_t layer) {
  const nn::LinearLayer& source = request.executor.layers()[layer];
  return request.resolve(source.name, request.executor.graph().nodes[static_cast<std::size_t>(source.node)].op);
}

template <class T>
void append(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

namespace {

results::SliceCounts slice_counts(const circuit::ConversionCounts& counts) {
  results::SliceCounts record;
  record.saturation_fraction = share(counts.below + counts.above, counts.conversions);
  record.codes_used = counts.codes_used();
  if (counts.lowest <= counts.highest) {
    record.current_lowest = counts.lowest;
    record.current_highest = counts.highest;
  }
  return record;
}

/// Sizes of what is recorded of crossbars.
void describe_crossbar(results::LayerHeader& layer, const nn::LinearLayer& source, const tile::RpuParameters& rpu) {
  if (!rpu.crossbar) return;
  layer.weight_slices = rpu.crossbar->slices();
  const circuit::ParasiticsParameters& wires = rpu.crossbar->array.parasitics;
  if (!wires.enable) return;
  layer.wires_compensated = rpu.crossbar->compensate == circuit::Compensation::wires;
  const tile::MappingParameter mapping = tile::crossbar_mapping(rpu);
  for (const nn::LinearPart& part : source.parts)
    for (const tile::TilePlace& place : tile::place_tiles(part.weight.rows(), part.weight.cols(), mapping)) {
      const bool one_tile = place.inputs == part.weight.cols() && place.outputs == part.weight.rows();
      const bool bias_line = one_tile && !part.bias.empty() && !mapping.digital_bias;
      layer.array_outputs = std::max(layer.array_outputs, place.outputs);
      layer.array_inputs = std::max(layer.array_inputs, place.inputs + (bias_line ? 1 : 0));
    }
}

}  // namespace

results::LayerPoint layer_point(const LayerResult& layer, const tile::IOParameters& parameters) {
  results::LayerPoint point;
  point.cumulative = error_numbers(layer.cumulative);
  if (!layer.analog) return point;
  const tile::LayerStatistics& counts = layer.counts;
  point.isolated = error_numbers(layer.isolated);
  point.input_clip_fraction = share(counts.inputs_clipped, counts.inputs);
  point.dac_clip_fraction = share(counts.dac_clipped, counts.dac_conversions);
  point.adc_saturation_fraction = share(counts.adc_saturated, counts.adc_conversions);
  point.bound_management_rounds = counts.mean_bound_management_rounds();
  point.bound_management_failed_fraction = share(counts.bound_management_failed, counts.tile_vectors);
  for (const circuit::ConversionCounts& slice : counts.converters) point.slices.push_back(slice_counts(slice));
  if (!parameters.is_perfect && parameters.mv_type != tile::AnalogMVType::IDEAL) {
    point.dac_effective_bits = effective_bits_or_missing(counts.dac_peak, parameters.inp_res, parameters.inp_bound);
    point.adc_effective_bits = effective_bits_or_missing(counts.adc_peak, parameters.out_res, parameters.out_bound);
  }
  if (counts.fixed_point_outputs > 0) {
    const auto bits = [](std::int64_t peak) { return tile::effective_bits(static_cast<double>(peak), 1.0); };
    point.sum_overflow_fraction = counts.sum_overflow_fraction();
    point.output_overflow_fraction = counts.output_overflow_fraction();
    if (counts.code_sums > 0) point.add_saturation_fraction = counts.code_sum_saturation_fraction();
    point.product_effective_bits = bits(counts.fixed_point.product_peak);
    point.sum_effective_bits = bits(counts.fixed_point.sum_peak);
    point.output_effective_bits = bits(counts.fixed_point.output_peak);
  }
  return point;
}

results::Score score_record(const TaskScore& score) {
  if (score.count == 0) return {};
  results::Score record;
  record.count = score.count;
  record.mse = score.mse();
  record.auc = score.auc();
  record.agreement = score.agreement();
  record.kl_divergence = score.divergence();
  record.output_cosine = score.cosine();
  if (score.classes() == 0) return record;
  record.accuracy = score.accuracy();
  record.loss = score.loss();
  record.perplexity = score.perplexity();
  record.correct = score.correct;
  record.accuracy_top5 = score.accuracy_top5();
  record.confusion = score.confusion;
  for (std::int64_t c = 0; c < score.classes() && !score.confusion.empty(); ++c)
    record.class_accuracy.push_back(score.class_accuracy(c));
  return record;
}

results::PopulationPoint population_point(const SpikeCounts& counts, std::int64_t units, std::int64_t steps) {
  const std::int64_t neurons = counts.samples * units;
  return {.spikes = counts.spikes,
          .firing_rate = share(counts.spikes, neurons * steps),
          .silent_fraction = share(counts.silent, neurons)};
}

results::LayerHardware hardware_record(const AnalogNetwork& network, std::size_t layer) {
  results::LayerHardware record;
  double bias_signal = 0.0;
  double bias_error = 0.0;
  for (std::size_t p = 0; p < network.part_count(layer); ++p) {
    const tile::AnalogLayer& part = network.part(layer, p);
    std::set<std::int64_t> rows;
    std::set<std::int64_t> columns;
    for (std::int64_t t = 0; t < part.tile_count(); ++t) {
      rows.insert(part.place(t).first_input);
      columns.insert(part.place(t).first_output);
    }
    record.tile_rows = static_cast<std::int32_t>(rows.size());
    record.tile_columns = static_cast<std::int32_t>(columns.size());
    for (std::int64_t t = 0; t < part.tile_count(); ++t) {
      const tile::TileReport report = part.tile_report(t);
      results::TileHardware tile;
      tile.part = static_cast<std::int32_t>(p);
      tile.row = static_cast<std::int32_t>(std::distance(rows.begin(), rows.find(report.place.first_input)));
      tile.column = static_cast<std::int32_t>(std::distance(columns.begin(), columns.find(report.place.first_output)));
      tile.first_input = report.place.first_input;
      tile.inputs = report.place.inputs;
      tile.first_output = report.place.first_output;
      tile.outputs = report.place.outputs;
      if (report.input_range > 0.0F) tile.input_range = static_cast<double>(report.input_range);
      tile.mapping_scale = report.mapping_scale;
      tile.scale = report.scale;
      tile.quantized_scale = report.quantized_scale;
      tile.scale_step = report.scale_step;
      tile.scale_codes = report.scale_codes;
      tile.scale_zero_point = report.scale_zero_point;
      if (!report.scale.empty()) tile.scale_sqnr_db = report.scale_sqnr_db;
      if (part.output_step() > 0.0F) {
        const tile::FixedPointReport fixed = part.fixed_point_report(t);
        tile.fixed_point_codes = fixed.scale.mantissa;
        tile.fixed_point_exponents = fixed.scale.exponent;
        record.output_step = static_cast<double>(fixed.output_step);
        record.saturated_scales += fixed.scale.saturated;
        if (report.place.first_input == 0) append(record.fixed_point_bias, fixed.bias.code);
      }
      record.tiles.push_back(std::move(tile));
    }
    const tile::BiasReport bias = part.bias_report();
    append(record.bias, bias.bias);
    append(record.quantized_bias, bias.quantized_bias);
    append(record.bias_step, bias.step);
    append(record.bias_codes, bias.codes);
    record.bias_zero_point = bias.zero_point;
    for (std::size_t i = 0; i < bias.quantized_bias.size(); ++i) {
      const double exact = static_cast<double>(bias.bias[i]);
      const double error = static_cast<double>(bias.quantized_bias[i]) - exact;
      bias_signal += exact * exact;
      bias_error += error * error;
    }
  }
  if (!record.quantized_bias.empty()) {
    ErrorMeasures measures;
    measures.sum_reference_squared = bias_signal;
    measures.sum_error_squared = bias_error;
    record.bias_sqnr_db = measures.sqnr_db();
  }
  return record;
}

namespace {

void describe_task(results::Header& header, const EvaluationRequest& request) {
  const Task task = task_of(request);
  header.positions.clear();
  switch (task) {
    case Task::automatic:
      header.task = results::Task::none;
      break;
    case Task::classification:
    case Task::language_model:
    case Task::agreement: {
      const std::int64_t classes = class_layout(request, task).classes;
      header.positions = class_positions(request, task);
      header.task = task == Task::classification   ? results::Task::classification
                    : task == Task::language_model ? results::Task::language_model
                                                   : results::Task::agreement;
      if (task == Task::agreement) break;
      header.top5 = classes > 5;
      header.classes = classes <= most_listed_classes ? classes : 0;
      break;
    }
    case Task::regression:
      header.task = results::Task::regression;
      break;
    case Task::anomaly:
      header.task = results::Task::anomaly;
      break;
  }
}

}  // namespace

void describe_run(results::Header& header, const EvaluationRequest& request, const RecordParameters& record) {
  static_cast<void>(layer_parameters(request.executor, request.resolve));  // the problems of all layers at once
  header.seed = request.seed;
  header.rng_layout = random::rng_layout;
  if (!request.evaluation.times.empty()) header.times = request.evaluation.times;
  header.reads = request.evaluation.read_repeats;
  header.repeats = std::int64_t{request.evaluation.repeats} * request.evaluation.read_repeats;
  header.samples = request.data.size();
  header.labels.assign(request.data.labels().begin(), request.data.labels().end());
  describe_task(header, request);
  require<InputError>(
      !record.predictions || (header.task != results::Task::regression && header.task != results::Task::anomaly),
      "output.record.predictions stores predicted classes, which this evaluation.task does not have; "
      "record a tensor instead");
  header.isolated = request.isolated;
  header.statistics = record.statistics || request.isolated;
  header.predictions = record.predictions && !request.isolated;
  if (request.isolated) {
    header.task = results::Task::none;
    header.top5 = false;
    header.classes = 0;
    header.labels.clear();
    header.positions.clear();
  }
  if (request.cost && !request.isolated) describe_costs(header, *request.cost);
  header.populations.clear();
  if (request.spiking)
    for (const Population& population : spiking_populations(request.executor, *request.spiking))
      if (population.emits_spikes) header.populations.push_back({population.name, population.units});
  header.outputs.clear();
  if (!request.isolated && !request.record_network_outputs.empty()) {
    const std::vector<Shape> shapes = request.executor.output_shapes(1);
    const nn::Graph& graph = request.executor.graph();
    for (const std::size_t o : request.record_network_outputs) {
      const nn::ValueId output = graph.outputs.at(o);
      const std::string& name = graph.name_of(output);
      require<InputError>(graph.batch == nn::BatchMode::none || request.executor.samples_of(output).any(),
                          "output.record.outputs: output '{}' does not depend on the samples", name);
      Shape shape = shapes[o];
      if (!shape.empty()) shape.erase(shape.begin());
      header.outputs.push_back({name, std::move(shape)});
    }
  }
  header.layers.clear();
  for (std::size_t l = 0; l < request.executor.layers().size(); ++l) {
    const nn::LinearLayer& source = request.executor.layers()[l];
    const LayerParameters parameters = parameters_of(request, l);
    results::LayerHeader layer;
    layer.name = source.name;
    layer.op = request.executor.graph().nodes[static_cast<std::size_t>(source.node)].op;
    layer.analog = parameters.analog;
    layer.inputs = source.parts.front().weight.cols();
    layer.outputs = 0;
    for (const nn::LinearPart& part : source.parts) layer.outputs += part.weight.rows();
    layer.output_shape = request.executor.layer_output_sample(l);
    layer.record_output = !request.isolated && l < request.record_output.size() && request.record_output[l];
    layer.devices = parameters.analog && parameters.device.has_value();
    layer.compensation = parameters.drift_compensation.has_value();
    layer.column_compensation = layer.compensation && std::holds_alternative<device::PerColumnDriftCompensation>(
                                                          *parameters.drift_compensation);
    layer.fixed_point = parameters.analog && parameters.rpu.pre_post.fixed_point.has_value();
    layer.periphery_codes = parameters.analog && parameters.rpu.pre_post.periph_quant.n_bits > 0;
    if (parameters.analog) describe_crossbar(layer, source, parameters.rpu);
    header.layers.push_back(std::move(layer));
  }
}

namespace {

std::int64_t weight_bytes(const nn::LinearLayer& layer) {
  std::int64_t elements = 0;
  for (const nn::LinearPart& part : layer.parts) elements += part.weight.rows() * part.weight.cols();
  return elements * static_cast<std::int64_t>(sizeof(float));
}

}  // namespace

EvaluationSink recording_sink(results::Writer& writer, const EvaluationRequest& request,
                              const std::vector<std::int64_t>& swept, Parallel parallel) {
  EvaluationSink sink;
  const auto index_of = [swept](const PointIndex& point) {
    return results::PointIndex{swept, point.time, point.repeat};
  };
  sink.programmed = [&writer, &request, swept, parallel](std::int64_t program, const ProgrammedChip& chip) {
    const std::int64_t reads = request.evaluation.read_repeats;
    for (std::size_t l = 0; l < writer.header().layers.size(); ++l) {
      if (!writer.header().layers[l].devices) continue;
      const results::LayerProgramming record = programming_record(chip, l, parallel);
      for (std::int64_t read = 0; read < reads; ++read)
        writer.write_programming(swept, program * reads + read, l, record);
    }
  };
  sink.begin = [&writer, &request, swept, index_of, parallel](const PointIndex& point, const AnalogNetwork& network) {
    // What does not depend on the chip comes from the first one.
    const bool first = point == PointIndex{} && request.first_program == 0;
    for (std::size_t l = 0; l < writer.header().layers.size(); ++l) {
      if (!network.is_analog(l)) continue;
      if (first) {
        results::LayerHardware record = hardware_record(network, l);
        if (writer.header().layers[l].weight_slices > 0)
          add_crossbars(record, network, l, writer.header().statistics, parallel);
        writer.write_hardware(swept, l, record);
      }
      if (writer.header().layers[l].devices) writer.write_weights(index_of(point), l, weights_record(network, l));
      if (weight_bytes(request.executor.layers()[l]) >= large_copy_bytes) give_back_freed();  // copies of the weights
    }
  };
  if (writer.header().predictions) {
    sink.predictions = [&writer, index_of](const PointIndex& point, std::int64_t first,
                                           std::span<const std::int32_t> classes) {
      writer.write_predictions(index_of(point), first, classes);
    };
    sink.reference_predictions = [&writer, swept](std::int64_t first, std::span<const std::int32_t> classes) {
      writer.write_reference_predictions(swept, first, classes);
    };
  }
  if (!writer.header().outputs.empty()) {
    sink.network_outputs = [&writer, index_of](const PointIndex& point, std::int64_t first,
                                               std::span<const Tensor> outputs) {
      for (std::size_t o = 0; o < outputs.size(); ++o)
        writer.write_network_output(index_of(point), o, first, outputs[o].values());
    };
    sink.reference_outputs = [&writer, swept](std::int64_t first, std::span<const Tensor> outputs) {
      for (std::size_t o = 0; o < outputs.size(); ++o)
        writer.write_reference_output(swept, o, first, outputs[o].values());
    };
  }
  sink.output = [&writer, index_of](const PointIndex& point, std::size_t layer, std::int64_t first,
                                    const Tensor& output) {
    writer.write_output(index_of(point), layer, first, output.values());
  };
  sink.reference = [&writer, swept](const TaskScore& score) { writer.write_reference(swept, score_record(score)); };
  sink.point = [&writer, &request, index_of](const PointResult& result) {
    results::Point point;
    point.score = score_record(result.score);
    if (request.statistics || request.isolated)
      for (std::size_t l = 0; l < result.layers.size(); ++l)
        point.layers.push_back(layer_point(result.layers[l], parameters_of(request, l).rpu.forward));
    if (request.cost && !request.isolated) point.cost = cost_record(request, result);
    for (std::size_t p = 0; p < result.spikes.size(); ++p)
      point.populations.push_back(
          population_point(result.spikes[p], writer.header().populations[p].units, request.spiking->steps));
    writer.write_point(index_of(result.index), point);
  };
  return sink;
}

}  // namespace tessera::sim
