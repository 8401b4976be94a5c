#include "results/layout.hpp"

#include <algorithm>
#include <set>

namespace tessera::results {
namespace {

bool is_netcdf_name(const std::string& name) {
  return !name.empty() && name.front() != ' ' && name.back() != ' ' && name != "." && name != ".." &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) { return c >= 0x20 && c != 0x7f && c != '/'; });
}

/// Names that a swept axis cannot have: those of variables and of the other axes.
std::set<std::string> taken_names(const Header& header) {
  std::set<std::string> taken{"config", "reference", "layers", "outputs", "spiking", "cost", "runtime"};
  for (const Variable& row : variables()) taken.emplace(row.name);
  for (const Dim dim :
       {Dim::time, Dim::repeat, Dim::sample, Dim::layer, Dim::tile, Dim::tile_column, Dim::output, Dim::conductance,
        Dim::weight_slice, Dim::array_output, Dim::array_input, Dim::population, Dim::component, Dim::area_component,
        Dim::action, Dim::coefficient, Dim::class_label, Dim::predicted_class}) {
    taken.emplace(to_string(dim));
  }
  for (const LayerHeader& layer : header.layers) {
    for (const std::string& name : feature_names(layer.output_shape)) taken.insert(name);
  }
  for (const std::string& name : position_names(header.positions)) taken.insert(name);
  for (const OutputHeader& output : header.outputs)
    for (const std::string& name : feature_names(output.shape)) taken.insert(name);
  return taken;
}

bool classifies(const Header& header) {
  return header.task == Task::language_model || (header.task == Task::classification && !header.labels.empty());
}

bool agrees(const Header& header) {
  return header.task == Task::language_model || header.task == Task::agreement;
}

bool compares_values(const Header& header) {
  return header.task == Task::regression || header.task == Task::anomaly;
}

}  // namespace

bool is_present(Presence presence, const Header& header, const LayerHeader* layer) {
  switch (presence) {
    case Presence::always:
      return true;
    case Presence::labels:
      return classifies(header);
    case Presence::language:
      return header.task == Task::language_model;
    case Presence::agreement:
      return agrees(header);
    case Presence::scores:
      return classifies(header) || compares_values(header) || agrees(header);
    case Presence::top5:
      return classifies(header) && header.top5;
    case Presence::classes:
      return classifies(header) && header.classes > 0;
    case Presence::errors:
      return compares_values(header);
    case Presence::anomalies:
      return header.task == Task::anomaly && !header.labels.empty();
    case Presence::predictions:
      return header.predictions;
    case Presence::labelled_predictions:
      return header.predictions && !header.labels.empty();
    case Presence::statistics:
      return header.statistics && !header.isolated;
    case Presence::analog_statistics:
      return header.statistics && layer->analog;
    case Presence::analog_counts:
      return header.statistics && layer->analog && !header.isolated;
    case Presence::isolated:
      return header.isolated;
    case Presence::stopped:
      return header.stopped;
    case Presence::hardware:
      return header.hardware && layer->analog;
    case Presence::periphery:
      return header.hardware && layer->analog && layer->periphery_codes;
    case Presence::fixed_point:
      return header.hardware && layer->analog && layer->fixed_point;
    case Presence::fixed_point_counts:
      return header.statistics && layer->analog && layer->fixed_point && !header.isolated;
    case Presence::devices:
      return layer->devices;
    case Presence::device_statistics:
      return header.statistics && layer->devices;
    case Presence::compensation:
      return header.hardware && layer->devices && layer->compensation;
    case Presence::column_compensation:
      return header.hardware && layer->devices && layer->compensation && layer->column_compensation;
    case Presence::tensors:
      return layer->record_output;
    case Presence::crossbar:
      return header.hardware && layer->analog && layer->weight_slices > 0;
    case Presence::crossbar_statistics:
      return header.statistics && layer->analog && layer->weight_slices > 0 && !header.isolated;
    case Presence::crossbar_wires:
      return header.hardware && header.statistics && layer->analog && layer->array_outputs > 0;
    case Presence::crossbar_compensation:
      return header.hardware && header.statistics && layer->analog && layer->wires_compensated;
    case Presence::spiking:
      return !header.populations.empty();
    case Presence::cost:
      return header.costs();
    case Presence::normalised_cost:
      return header.costs() && header.normalised_costs;
    case Presence::relative_cost:
      return header.costs() && !header.swept.empty();
    case Presence::analog_cost:
      return header.costs() && layer->analog;
    case Presence::outputs:
      return true;
  }
  return false;
}

std::vector<NamedExtent> extents(Dim dim, const Header& header, const LayerHeader* layer, std::int64_t tiles,
                                 std::int64_t columns) {
  const std::string name(to_string(dim));
  switch (dim) {
    case Dim::swept: {
      std::vector<NamedExtent> axes;
      for (const Axis& axis : header.swept) axes.emplace_back(axis.name, axis.size());
      return axes;
    }
    case Dim::time:
      return {{name, static_cast<std::int64_t>(header.times.size())}};
    case Dim::repeat:
      return {{name, header.repeats}};
    case Dim::sample:
      return {{name, header.samples}};
    case Dim::position: {
      std::vector<NamedExtent> axes;
      const std::vector<std::string> names = position_names(header.positions);
      for (std::size_t i = 0; i < names.size(); ++i) axes.emplace_back(names[i], header.positions[i]);
      return axes;
    }
    case Dim::layer:
      return {{name, static_cast<std::int64_t>(header.layers.size())}};
    case Dim::tile:
      return {{name, tiles}};
    case Dim::tile_column:
      return {{name, columns}};
    case Dim::output:
      return {{name, layer->outputs}};
    case Dim::conductance:
      return {{name, conductance_bins}};
    case Dim::weight_slice:
      return {{name, layer->weight_slices}};
    case Dim::array_output:
      return {{name, layer->array_outputs}};
    case Dim::array_input:
      return {{name, layer->array_inputs}};
    case Dim::population:
      return {{name, static_cast<std::int64_t>(header.populations.size())}};
    case Dim::component:
      return {{name, static_cast<std::int64_t>(header.energy_components.size())}};
    case Dim::area_component:
      return {{name, static_cast<std::int64_t>(header.area_components.size())}};
    case Dim::action:
      return {{name, static_cast<std::int64_t>(header.actions.size())}};
    case Dim::coefficient:
      return {{name, static_cast<std::int64_t>(header.coefficients.size())}};
    case Dim::class_label:
    case Dim::predicted_class:
      return {{name, header.classes}};
    case Dim::feature: {
      std::vector<NamedExtent> axes;
      const std::vector<std::string> names = feature_names(layer->output_shape);
      for (std::size_t i = 0; i < names.size(); ++i) axes.emplace_back(names[i], layer->output_shape[i]);
      return axes;
    }
  }
  return {};
}

std::string schema_group(const std::string& group) {
  if (group.starts_with("/outputs/")) return "/outputs/<output>";
  constexpr std::string_view layers = "/layers/";
  if (!group.starts_with(layers)) return group;
  const std::size_t below = group.find('/', layers.size());
  return "/layers/<layer>" + (below == std::string::npos ? std::string() : group.substr(below));
}

void validate(const Header& header) {
  std::set<std::string> taken = taken_names(header);
  for (const Axis& axis : header.swept) {
    require<RunError>(is_netcdf_name(axis.name),
                      "'{}' cannot name a swept axis (netCDF allows no '/', no control "
                      "characters and no blank at either end)",
                      axis.name);
    require<RunError>(taken.insert(axis.name).second,
                      "a swept axis cannot be called '{}' (something else in the file is)", axis.name);
    require<RunError>(axis.size() > 0, "the swept axis '{}' has no values", axis.name);
  }
  require<RunError>(!header.times.empty() && header.repeats > 0, "a result file needs a time and a repeat");
  require<RunError>(header.reads > 0 && header.repeats % header.reads == 0,
                    "{} repeats do not divide into chips of {} reads", header.repeats, header.reads);
  require<RunError>(header.samples >= 0, "a result file cannot have {} samples", header.samples);
  require<RunError>(header.labels.empty() || static_cast<std::int64_t>(header.labels.size()) ==
                                                 header.samples * element_count(header.positions),
                    "{} labels do not fit {} samples of {} positions", header.labels.size(), header.samples,
                    element_count(header.positions));
  for (const PopulationHeader& population : header.populations)
    require<RunError>(population.units >= 0, "population '{}' has a negative size", population.name);
  for (const LayerHeader& layer : header.layers) {
    const bool sizes = layer.inputs >= 0 && layer.outputs >= 0 && layer.max_tiles >= 0 && layer.max_columns >= 0 &&
                       layer.weight_slices >= 0 && layer.array_outputs >= 0 && layer.array_inputs >= 0 &&
                       std::all_of(layer.output_shape.begin(), layer.output_shape.end(),
                                   [](std::int64_t extent) { return extent >= 0; });
    require<RunError>(sizes, "layer '{}' has a negative size", layer.name);
    require<RunError>((layer.max_tiles > 0) == (layer.max_columns > 0),
                      "layer '{}' needs both max_tiles and max_columns or neither", layer.name);
  }
}

void describe(h5::Dataset& dataset, std::string_view units, std::string_view long_name) {
  dataset.set_attribute("units", units);
  dataset.set_attribute("long_name", long_name);
}

}  // namespace tessera::results
