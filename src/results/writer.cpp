#include "tessera/results/writer.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "results/layout.hpp"
#include "tessera/core/version.hpp"
#include "tessera/h5/atomic_file.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/results/assemble.hpp"

namespace tessera::results {
namespace {

using h5::Dataset;
using h5::Group;

std::string utc_now() {
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04d}-{:02d}-{:02d}T{:02d}:{:02d}:{:02d}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

/// Chunks of about a mebibyte: one point, some samples, whole samples.
Shape sample_chunk(const Shape& shape, std::size_t sample_axis, std::size_t element_bytes) {
  Shape chunk(shape.size(), 1);
  std::int64_t sample = static_cast<std::int64_t>(element_bytes);
  for (std::size_t i = sample_axis + 1; i < shape.size(); ++i) {
    chunk[i] = std::max<std::int64_t>(1, shape[i]);
    sample *= chunk[i];
  }
  chunk[sample_axis] = std::clamp<std::int64_t>((std::int64_t{1} << 20) / std::max<std::int64_t>(1, sample), 1,
                                                std::max<std::int64_t>(1, shape[sample_axis]));
  return chunk;
}

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

struct Writer::Impl {
  Impl(const std::string& path, Header given) : header(std::move(given)), target(path) {
    validate(header);
    file = std::make_unique<h5::File>(h5::File::create(target));
    std::vector<std::string> names;
    for (const LayerHeader& layer : header.layers) names.push_back(layer.name);
    for (const std::string& name : group_names(names)) layer_groups.push_back("/layers/" + name);
    write_attributes();
    for (const char* group : {"/", "/config", "/reference", "/layers", "/runtime"}) create_group(group, nullptr);
    if (!header.populations.empty()) create_group("/spiking", nullptr);
    for (std::size_t i = 0; i < header.layers.size(); ++i) create_layer(i);
    put_text("/config", "text", header.config_text);
    put_text("/config", "resolved", header.resolved_text);
    put_layer_table();
    put_repeats();
    put_populations();
    if (datasets.contains("/label")) put("/", "label", {}, header.labels);
    file->flush();
  }

  // --- creation ------------------------------------------------------------------------------------------------------

  void write_attributes() {
    file->set_attribute("filetype", filetype);
    file->set_attribute("schema_version", fmt::format("{}.{}", schema_major, schema_minor));
    file->set_attribute("tessera_version", version());
    file->set_attribute("created_utc", header.created_utc.empty() ? utc_now() : header.created_utc);
    file->set_attribute("seed", header.seed);
    file->set_attribute("rng_layout", header.rng_layout);
    file->set_attribute("task_id", header.task_id);
    file->set_attribute("command", header.command);
    file->set_attribute("complete", false);
    std::vector<std::string> swept;
    for (const Axis& axis : header.swept) swept.push_back(axis.name);
    if (!swept.empty()) file->set_attribute("swept", swept);
  }

  void create_layer(std::size_t index) {
    const LayerHeader& layer = header.layers[index];
    Group group = file->create_group(layer_groups[index]);
    group.set_attribute("name", layer.name);
    group.set_attribute("index", static_cast<std::int32_t>(index));
    group.set_attribute("op", layer.op);
    group.set_attribute("analog", layer.analog);
    create_group(layer_groups[index], &layer);
  }

  /// The variables of a group. Those along tiles wait for the first LayerHardware where the header does not say how
  /// many.
  void create_group(const std::string& path, const LayerHeader* layer) {
    file->require_group(path);
    for (const Variable& row : variables()) {
      if (row.group != schema_group(path) || !is_present(row.presence, header, layer)) continue;
      const bool tiled = along_tiles(row);
      if (!tiled || layer->max_tiles > 0) {
        create_variable(path, row, layer, tiled ? layer->max_tiles : 0, tiled ? layer->max_columns : 0);
      }
    }
  }

  static bool along_tiles(const Variable& row) {
    return std::any_of(row.dims.begin(), row.dims.end(),
                       [](Dim dim) { return dim == Dim::tile || dim == Dim::tile_column; });
  }

  void create_variable(const std::string& path, const Variable& row, const LayerHeader* layer, std::int64_t tiles,
                       std::int64_t columns) {
    std::vector<NamedExtent> axes;
    std::size_t sample_axis = std::string::npos;
    for (const Dim dim : row.dims) {
      if (dim == Dim::sample) sample_axis = axes.size();
      for (NamedExtent& axis : extents(dim, header, layer, tiles, columns)) axes.push_back(std::move(axis));
    }
    Shape shape;
    for (const NamedExtent& axis : axes) shape.push_back(axis.second);
    h5::DatasetOptions options;
    options.fill = row.fill;
    if (element_count(shape) > 0 && sample_axis != std::string::npos) {
      options.chunk = sample_chunk(shape, sample_axis, 4);
    } else if (row.type != h5::ElementType::string && element_count(shape) > 0) {
      options.allocate_early = true;
    }
    Group group = file->group(path);
    Dataset dataset = group.create_dataset(std::string(row.name), row.type, shape, options);
    dataset.set_attribute("units", row.units);
    dataset.set_attribute("long_name", row.long_name);
    for (std::size_t i = 0; i < axes.size(); ++i) {
      h5::attach_scale(dataset, static_cast<std::int64_t>(i), scale(group, axes[i]));
    }
    datasets.emplace(full_name(path, row.name), std::move(dataset));
  }

  /// The dimension scale of this name in the group: every group has its own, so that it opens alone.
  const Dataset& scale(Group& group, const NamedExtent& axis) {
    const std::string path = full_name(group.path(), axis.first);
    const auto found = scales.find(path);
    if (found != scales.end()) return found->second;
    return scales.emplace(path, create_scale(group, axis)).first->second;
  }

  Dataset create_scale(Group& group, const NamedExtent& axis) const {
    const auto coordinate = [&](Dataset dataset, const std::string& units, const std::string& long_name) {
      dataset.set_attribute("units", units);
      dataset.set_attribute("long_name", long_name);
      h5::make_scale(dataset);
      return dataset;
    };
    const std::string& name = axis.first;
    const std::int64_t length = axis.second;
    for (const Axis& swept : header.swept) {
      if (swept.name != name) continue;
      return std::visit(
          [&](const auto& values) { return coordinate(group.write(name, values), swept.units, swept.long_name); },
          swept.values);
    }
    if (name == to_string(Dim::time)) {
      return coordinate(group.write(name, header.times), "s", "time after programming");
    }
    if (name == to_string(Dim::repeat)) {
      return coordinate(group.write(name, counting<std::int32_t>(length)), "1", "programmed chip and read of it");
    }
    if (name == to_string(Dim::conductance)) {
      std::vector<double> centres;
      for (std::int64_t i = 0; i < length; ++i)
        centres.push_back((static_cast<double>(i) + 0.5) / static_cast<double>(length));
      return coordinate(group.write(name, centres), "1", "centre of the bin, fraction of g_max");
    }
    if (name == to_string(Dim::sample)) {
      return coordinate(group.write(name, counting<std::int64_t>(length)), "1", "index in the data set");
    }
    if (name == to_string(Dim::class_label) || name == to_string(Dim::predicted_class)) {
      return coordinate(group.write(name, counting<std::int32_t>(length)), "1",
                        name == to_string(Dim::class_label) ? "label" : "predicted class");
    }
    if (name == to_string(Dim::layer)) {
      std::vector<std::string> names;
      for (const LayerHeader& layer : header.layers) names.push_back(layer.name);
      return coordinate(group.write(name, names), "1", "layer");
    }
    if (name == to_string(Dim::population)) {
      std::vector<std::string> names;
      for (const PopulationHeader& population : header.populations) names.push_back(population.name);
      return coordinate(group.write(name, names), "1", "neurons in place of this node");
    }
    return group.create_dimension(name, length);
  }

  template <class T>
  static std::vector<T> counting(std::int64_t length) {
    std::vector<T> values;
    for (std::int64_t i = 0; i < length; ++i) values.push_back(static_cast<T>(i));
    return values;
  }

  void put_layer_table() {
    std::vector<std::string> op;
    std::vector<std::uint8_t> analog;
    std::vector<std::int64_t> inputs;
    std::vector<std::int64_t> outputs;
    for (const LayerHeader& layer : header.layers) {
      op.push_back(layer.op);
      analog.push_back(layer.analog ? 1 : 0);
      inputs.push_back(layer.inputs);
      outputs.push_back(layer.outputs);
    }
    dataset("/layers", "op").write(op);
    dataset("/layers", "analog").write(analog);
    dataset("/layers", "inputs").write(inputs);
    dataset("/layers", "outputs").write(outputs);
  }

  void put_repeats() {
    std::vector<std::int32_t> program, read;
    for (std::int64_t repeat = 0; repeat < header.repeats; ++repeat) {
      program.push_back(static_cast<std::int32_t>(repeat / header.reads));
      read.push_back(static_cast<std::int32_t>(repeat % header.reads));
    }
    dataset("/", "program").write(program);
    dataset("/", "read").write(read);
  }

  void put_populations() {
    if (header.populations.empty()) return;
    std::vector<std::int64_t> units;
    for (const PopulationHeader& population : header.populations) units.push_back(population.units);
    dataset("/spiking", "units").write(units);
  }

  // --- writing -------------------------------------------------------------------------------------------------------

  static std::string full_name(const std::string& group, std::string_view name) {
    return fmt::format("{}/{}", group == "/" ? "" : group, name);
  }

  Dataset& dataset(const std::string& group, std::string_view name) {
    const auto found = datasets.find(full_name(group, name));
    require<RunError>(found != datasets.end(), "the header of '{}' does not announce {}", target.path(),
                      full_name(group, name));
    return found->second;
  }

  bool announced(const std::string& group, std::string_view name) const {
    return datasets.contains(full_name(group, name));
  }

  /// Writes what lies at `at` along the leading axes: the rest of the axes whole, or their front for fewer values.
  template <class T>
  void put(const std::string& group, std::string_view name, const Shape& at, const std::vector<T>& values) {
    Dataset& to = dataset(group, name);
    Shape start = at;
    Shape count(at.size(), 1);
    std::int64_t inner = 1;
    for (std::size_t axis = at.size() + 1; axis < to.shape().size(); ++axis) inner *= to.shape()[axis];
    for (std::size_t axis = at.size(); axis < to.shape().size(); ++axis) {
      start.push_back(0);
      count.push_back(axis == at.size() ? static_cast<std::int64_t>(values.size()) / inner : to.shape()[axis]);
    }
    to.write_block(start, count, std::span<const T>(values));
  }
  template <class T>
  void put(const std::string& group, std::string_view name, const Shape& at, T value) {
    put(group, name, at, std::vector<T>{value});
  }
  void put_text(const std::string& group, std::string_view name, const std::string& text) {
    dataset(group, name).write(std::vector<std::string>{text});
  }

  Shape swept_place(const std::vector<std::int64_t>& swept) const {
    bool inside = swept.size() == header.swept.size();
    for (std::size_t i = 0; inside && i < swept.size(); ++i)
      inside = swept[i] >= 0 && swept[i] < header.swept[i].size();
    require<RunError>(inside, "the index ({}) is outside the {} swept axes of '{}'", fmt::join(swept, ", "),
                      header.swept.size(), target.path());
    return swept;
  }

  Shape place(const PointIndex& index) const {
    Shape at = swept_place(index.swept);
    require<RunError>(index.time >= 0 && index.time < static_cast<std::int64_t>(header.times.size()) &&
                          index.repeat >= 0 && index.repeat < header.repeats,
                      "time {} and repeat {} are outside the {} times and {} repeats of '{}'", index.time, index.repeat,
                      header.times.size(), header.repeats, target.path());
    at.push_back(index.time);
    at.push_back(index.repeat);
    return at;
  }

  void put_score(const std::string& group, const Shape& at, const Score& score) {
    const auto has = [&](Presence presence) { return is_present(presence, header, nullptr); };
    if (has(Presence::scores)) put(group, "count", at, score.count);
    if (has(Presence::labels)) {
      put(group, "accuracy", at, score.accuracy);
      put(group, "loss", at, score.loss);
      put(group, "correct", at, score.correct);
    }
    if (has(Presence::top5)) put(group, "accuracy_top5", at, score.accuracy_top5);
    if (has(Presence::classes) && !score.confusion.empty()) {
      put(group, "class_accuracy", at, score.class_accuracy);
      put(group, "confusion", at, score.confusion);
    }
    if (has(Presence::errors)) put(group, "mse", at, score.mse);
    if (has(Presence::anomalies)) put(group, "auc", at, score.auc);
  }

  /// `values` of whole samples from `first` on, behind the leading axes `at`.
  template <class T>
  void put_samples(const std::string& group, std::string_view name, Shape at, std::int64_t first,
                   std::span<const T> values) {
    Dataset& to = dataset(group, name);
    Shape count(at.size(), 1);
    std::int64_t sample_size = 1;
    for (std::size_t axis = at.size() + 1; axis < to.shape().size(); ++axis) sample_size *= to.shape()[axis];
    const auto size = static_cast<std::int64_t>(values.size());
    require<RunError>(sample_size > 0 ? size % sample_size == 0 : size == 0,
                      "{} values are not whole samples of {} values for {}", size, sample_size, to.path());
    count.push_back(sample_size > 0 ? size / sample_size : 0);
    const std::size_t leading = at.size();
    at.push_back(first);
    for (std::size_t axis = leading + 1; axis < to.shape().size(); ++axis) {
      at.push_back(0);
      count.push_back(to.shape()[axis]);
    }
    to.write_block(at, count, values);
  }

  void put_layer_point(std::size_t i, const Shape& at, const LayerPoint& layer) {
    const std::string& group = layer_groups[i];
    const auto error = [&](const std::string& suffix, const ErrorNumbers& numbers) {
      put(group, "sqnr_db" + suffix, at, numbers.sqnr_db);
      put(group, "mse" + suffix, at, numbers.mse);
      put(group, "cosine" + suffix, at, numbers.cosine);
    };
    if (!header.isolated) error("", layer.cumulative);
    if (!header.layers[i].analog) return;
    error("_isolated", layer.isolated);
    if (header.isolated) return;
    put(group, "input_clip_fraction", at, layer.input_clip_fraction);
    put(group, "dac_clip_fraction", at, layer.dac_clip_fraction);
    put(group, "adc_saturation_fraction", at, layer.adc_saturation_fraction);
    put(group, "bound_management_rounds", at, layer.bound_management_rounds);
    put(group, "bound_management_failed_fraction", at, layer.bound_management_failed_fraction);
    put(group, "dac_effective_bits", at, layer.dac_effective_bits);
    put(group, "adc_effective_bits", at, layer.adc_effective_bits);
  }

  void put_populations(const Shape& at, const std::vector<PopulationPoint>& populations) {
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

  void put_hardware(const Shape& at, std::size_t i, const LayerHardware& hardware);
  void put_programming(const Shape& swept, std::int64_t repeat, std::size_t i, const LayerProgramming& programming);
  void put_weights(const Shape& at, std::size_t i, const LayerWeights& weights);

  std::int64_t point_count() const {
    std::int64_t count = static_cast<std::int64_t>(header.times.size()) * header.repeats;
    for (const Axis& axis : header.swept) count *= axis.size();
    return count;
  }

  Header header;
  h5::AtomicFile target;
  std::unique_ptr<h5::File> file;
  std::unique_ptr<PointCopier> copier;  ///< once points are copied
  std::vector<std::string> layer_groups;
  std::map<std::string, Dataset> datasets;
  std::map<std::string, Dataset> scales;
};

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
  if (!announced(group, "tile_row")) {
    for (const Variable& variable : variables()) {
      if (variable.group == schema_group(group) && along_tiles(variable) &&
          is_present(variable.presence, header, &layer)) {
        create_variable(group, variable, &layer, static_cast<std::int64_t>(hardware.tiles.size()),
                        static_cast<std::int64_t>(column_tile.size()));
      }
    }
  }
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

Writer::Writer(const std::string& path, Header header) : impl_(std::make_unique<Impl>(path, std::move(header))) {}
Writer::~Writer() = default;
Writer::Writer(Writer&&) noexcept = default;

const Header& Writer::header() const {
  return impl_->header;
}

void Writer::write_reference(const std::vector<std::int64_t>& swept, const Score& score) {
  impl_->put_score("/reference", impl_->swept_place(swept), score);
}

void Writer::write_reference_predictions(const std::vector<std::int64_t>& swept, std::int64_t first_sample,
                                         std::span<const std::int32_t> classes) {
  impl_->put_samples("/reference", "predictions", impl_->swept_place(swept), first_sample, classes);
}

void Writer::write_hardware(const std::vector<std::int64_t>& swept, std::size_t layer, const LayerHardware& hardware) {
  require<RunError>(layer < impl_->header.layers.size(), "there is no layer {} among {}", layer,
                    impl_->header.layers.size());
  impl_->put_hardware(impl_->swept_place(swept), layer, hardware);
}

void Writer::write_programming(const std::vector<std::int64_t>& swept, std::int64_t repeat, std::size_t layer,
                               const LayerProgramming& programming) {
  impl_->put_programming(impl_->swept_place(swept), repeat, layer, programming);
}

void Writer::write_weights(const PointIndex& index, std::size_t layer, const LayerWeights& weights) {
  impl_->put_weights(impl_->place(index), layer, weights);
}

void Writer::write_predictions(const PointIndex& index, std::int64_t first_sample,
                               std::span<const std::int32_t> classes) {
  impl_->put_samples("/", "predictions", impl_->place(index), first_sample, classes);
}

void Writer::write_output(const PointIndex& index, std::size_t layer, std::int64_t first_sample,
                          std::span<const float> values) {
  require<RunError>(layer < impl_->layer_groups.size(), "there is no layer {} among {}", layer,
                    impl_->layer_groups.size());
  impl_->put_samples(impl_->layer_groups[layer], "output", impl_->place(index), first_sample, values);
}

void Writer::write_point(const PointIndex& index, const Point& point) {
  const Shape at = impl_->place(index);
  impl_->put_score("/", at, point.score);
  if (impl_->header.statistics) {
    require<RunError>(point.layers.size() == impl_->header.layers.size(), "a point has statistics of {} layers, not {}",
                      point.layers.size(), impl_->header.layers.size());
    for (std::size_t i = 0; i < point.layers.size(); ++i) impl_->put_layer_point(i, at, point.layers[i]);
    if (impl_->header.isolated) {
      std::vector<double> alone;
      for (const LayerPoint& layer : point.layers) alone.push_back(layer.isolated.sqnr_db);
      impl_->put("/", "sqnr_db_isolated", at, alone);
    }
  }
  impl_->put_populations(at, point.populations);
  // First the numbers, then the mark that they are there.
  impl_->file->flush();
  impl_->put("/", "finished", at, std::uint8_t{1});
  impl_->file->flush();
}

void Writer::copy_point(const std::vector<std::int64_t>& swept, const std::string& point_file,
                        std::int64_t first_repeat) {
  impl_->swept_place(swept);
  if (!impl_->copier) impl_->copier = std::make_unique<PointCopier>(*impl_->file);
  impl_->copier->copy(h5::File::open(point_file), swept, first_repeat);
}

void Writer::write_chips(const std::vector<std::int64_t>& swept, std::int64_t chips) {
  impl_->put("/", "chips", impl_->swept_place(swept), static_cast<std::int32_t>(chips));
}

void Writer::write_runtime(const Runtime& runtime) {
  Impl& to = *impl_;
  to.put("/runtime", "wall_time", {}, runtime.wall_seconds);
  to.put("/runtime", "reference_time", {}, runtime.reference_seconds);
  to.put("/runtime", "analog_time", {}, runtime.analog_seconds);
  to.put("/runtime", "reference_samples", {}, runtime.reference_samples);
  to.put("/runtime", "analog_samples", {}, runtime.analog_samples);
  to.put("/runtime", "threads", {}, runtime.threads);
  to.put("/runtime", "batch_size", {}, runtime.batch_size);
  to.put("/runtime", "peak_memory", {}, runtime.peak_memory_bytes);
  to.put_text("/runtime", "command", runtime.command);
  to.put_text("/runtime", "instruction_set", runtime.instruction_set);
  to.put_text("/runtime", "host", runtime.host);
}

std::int64_t Writer::finished() const {
  const auto marks = impl_->dataset("/", "finished").read<std::uint8_t>();
  return std::count(marks.begin(), marks.end(), 1);
}

void Writer::commit() {
  impl_->file->flush();
  impl_->file->set_attribute(
      "complete", impl_->header.stopped ? missing_places(*impl_->file) == 0 : finished() == impl_->point_count());
  impl_->copier.reset();
  impl_->datasets.clear();
  impl_->scales.clear();
  impl_->file->close();
  impl_->target.commit();
}

}  // namespace tessera::results
