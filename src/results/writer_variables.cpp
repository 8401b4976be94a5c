#include <algorithm>
#include <chrono>

#include "results/writer_impl.hpp"
#include "tessera/core/version.hpp"

// The variables that the schema table has for a header: their creation, attributes and dimension scales.
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

template <class T>
std::vector<T> counting(std::int64_t length) {
  std::vector<T> values;
  for (std::int64_t i = 0; i < length; ++i) values.push_back(static_cast<T>(i));
  return values;
}

}  // namespace

Writer::Impl::Impl(h5::NewFile to, Header given, FileUse file_use)
    : header(std::move(given)), use(file_use), file(std::move(to)) {
  validate(header);
  std::vector<std::string> names;
  for (const LayerHeader& layer : header.layers) names.push_back(layer.name);
  for (const std::string& name : group_names(names)) layer_groups.push_back("/layers/" + name);
  names.clear();
  for (const OutputHeader& output : header.outputs) {
    names.push_back(output.name);
    output_layers.push_back({.name = output.name, .output_shape = output.shape});
  }
  for (const std::string& name : group_names(names)) output_groups.push_back("/outputs/" + name);
  write_attributes();
  if (use == FileUse::point) return;
  for (const char* group : {"/", "/config", "/reference", "/layers", "/runtime"}) create_group(group, nullptr);
  if (!header.populations.empty()) create_group("/spiking", nullptr);
  if (header.costs()) create_group("/cost", nullptr);
  for (std::size_t i = 0; i < header.layers.size(); ++i) create_layer(i);
  for (std::size_t i = 0; i < output_groups.size(); ++i) {
    file.require_group(output_groups[i]).set_attribute("name", header.outputs[i].name);
    create_group(output_groups[i], &output_layers[i]);
  }
  put_text("/config", "text", header.config_text);
  put_text("/config", "resolved", header.resolved_text);
  put_layer_table();
  put_repeats();
  put_population_table();
  if (header.costs()) put_text("/cost", "component_table", header.component_table);
  if (datasets.contains("/label")) put("/", "label", {}, header.labels);
  close_datasets();
  file.flush();
}

void Writer::Impl::write_attributes() {
  file.set_attribute("filetype", filetype);
  file.set_attribute("schema_version", fmt::format("{}.{}", schema_major, schema_minor));
  file.set_attribute("tessera_version", version());
  file.set_attribute("created_utc", header.created_utc.empty() ? utc_now() : header.created_utc);
  file.set_attribute("seed", header.seed);
  file.set_attribute("rng_layout", header.rng_layout);
  file.set_attribute("task_id", header.task_id);
  file.set_attribute("command", header.command);
  file.set_attribute("complete", false);
  std::vector<std::string> swept;
  for (const Axis& axis : header.swept) swept.push_back(axis.name);
  if (!swept.empty()) file.set_attribute("swept", swept);
}

void Writer::Impl::create_layer(std::size_t index) {
  const LayerHeader& layer = header.layers[index];
  Group group = file.create_group(layer_groups[index]);
  group.set_attribute("name", layer.name);
  group.set_attribute("index", static_cast<std::int32_t>(index));
  group.set_attribute("op", layer.op);
  group.set_attribute("analog", layer.analog);
  create_group(layer_groups[index], &layer);
  if (header.costs()) create_group(layer_groups[index] + "/cost", &layer);
}

/// The variables of a group. Those along tiles wait for the first LayerHardware where the header does not say how
/// many.
void Writer::Impl::create_group(const std::string& path, const LayerHeader* layer) {
  file.require_group(path);
  for (const Variable& row : variables()) {
    if (row.group != schema_group(path) || !is_present(row.presence, header, layer)) continue;
    const bool tiled = along_tiles(row);
    if (!tiled || layer->max_tiles > 0) {
      create_variable(path, row, layer, tiled ? layer->max_tiles : 0, tiled ? layer->max_columns : 0);
    }
  }
}

bool Writer::Impl::along_tiles(const Variable& row) {
  return std::any_of(row.dims.begin(), row.dims.end(),
                     [](Dim dim) { return dim == Dim::tile || dim == Dim::tile_column; });
}

void Writer::Impl::create_variable(const std::string& path, const Variable& row, const LayerHeader* layer,
                                   std::int64_t tiles, std::int64_t columns) {
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
  if (use == FileUse::point) {
    datasets.emplace(full_name(path, row.name),
                     file.require_group(path).create_dataset(std::string(row.name), row.type, shape, options));
    return;
  }
  Group group = file.group(path);
  Dataset dataset = group.create_dataset(std::string(row.name), row.type, shape, options);
  dataset.set_attribute("units", row.units);
  dataset.set_attribute("long_name", row.long_name);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    h5::attach_scale(dataset, static_cast<std::int64_t>(i), scale(group, axes[i]));
  }
  const auto placed = datasets.emplace(full_name(path, row.name), std::move(dataset)).first;
  if (row.dims.empty() || row.dims.front() != Dim::swept) return;
  CopyTarget target_of_points{placed->first, nullptr};
  for (std::size_t i = 0; i < axes.size(); ++i)
    if (axes[i].first == to_string(Dim::repeat)) target_of_points.repeat_axis = i;
  targets.push_back(std::move(target_of_points));
}

/// The dimension scale of this name in the group: every group has its own, so that it opens alone.
const Dataset& Writer::Impl::scale(Group& group, const NamedExtent& axis) {
  const std::string path = full_name(group.path(), axis.first);
  const auto found = scales.find(path);
  if (found != scales.end()) return found->second;
  if (file.contains(path)) return scales.emplace(path, file.dataset(path)).first->second;
  return scales.emplace(path, create_scale(group, axis)).first->second;
}

Dataset Writer::Impl::create_scale(Group& group, const NamedExtent& axis) const {
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
  if (name == to_string(Dim::component))
    return coordinate(group.write(name, header.energy_components), "1", "part of an energy");
  if (name == to_string(Dim::area_component))
    return coordinate(group.write(name, header.area_components), "1", "part of an area");
  if (name == to_string(Dim::action))
    return coordinate(group.write(name, header.actions), "1", "what happens during an inference");
  if (name == to_string(Dim::coefficient))
    return coordinate(group.write(name, header.coefficients), "1", "key of cost.components");
  if (name == to_string(Dim::population)) {
    std::vector<std::string> names;
    for (const PopulationHeader& population : header.populations) names.push_back(population.name);
    return coordinate(group.write(name, names), "1", "neurons in place of this node");
  }
  return group.create_dimension(name, length);
}

void Writer::Impl::put_layer_table() {
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

void Writer::Impl::put_repeats() {
  std::vector<std::int32_t> program, read;
  for (std::int64_t repeat = 0; repeat < header.repeats; ++repeat) {
    program.push_back(static_cast<std::int32_t>(repeat / header.reads));
    read.push_back(static_cast<std::int32_t>(repeat % header.reads));
  }
  dataset("/", "program").write(program);
  dataset("/", "read").write(read);
}

void Writer::Impl::put_population_table() {
  if (header.populations.empty()) return;
  std::vector<std::int64_t> units;
  for (const PopulationHeader& population : header.populations) units.push_back(population.units);
  dataset("/spiking", "units").write(units);
}

const LayerHeader* Writer::Impl::layer_of(const std::string& group) const {
  if (const auto output = std::find(output_groups.begin(), output_groups.end(), group); output != output_groups.end())
    return &output_layers[static_cast<std::size_t>(output - output_groups.begin())];
  const std::string_view own = std::string_view(group).substr(0, group.find('/', std::string_view("/layers/").size()));
  const auto found = std::find(layer_groups.begin(), layer_groups.end(), own);
  return found == layer_groups.end() ? nullptr : &header.layers[static_cast<std::size_t>(found - layer_groups.begin())];
}

Dataset& Writer::Impl::dataset(const std::string& group, std::string_view name, std::size_t values) {
  auto found = datasets.find(full_name(group, name));
  if (found == datasets.end() && use == FileUse::point) {
    const LayerHeader* layer = layer_of(group);
    const Variable& row = variable(schema_group(group), name);
    const auto extent = static_cast<std::int64_t>(values);
    if (is_present(row.presence, header, layer)) create_variable(group, row, layer, extent, extent);
    found = datasets.find(full_name(group, name));
  }
  require<RunError>(found != datasets.end(), "the header of '{}' does not announce {}", file.target(),
                    full_name(group, name));
  return open_dataset(found->first);
}

Dataset& Writer::Impl::open_dataset(const std::string& path) {
  std::optional<Dataset>& found = datasets.at(path);
  if (!found) found = file.dataset(path);
  return *found;
}

void Writer::Impl::close_datasets() {
  for (auto& [path, dataset] : datasets) dataset.reset();
  scales.clear();
}

}  // namespace tessera::results
