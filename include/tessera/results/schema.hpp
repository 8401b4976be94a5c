#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/h5/file.hpp"
#include "tessera/results/records.hpp"

/// The one table of what is in a result file. Attributes are written from it, docs/formats/results.md is generated from
/// it, and a file with anything else in it fails check_schema().
namespace tessera::results {

inline constexpr std::string_view filetype = "tessera-results";
inline constexpr int schema_major = 1;  ///< changes when a reader of the old files would be wrong
inline constexpr int schema_minor = 3;  ///< changes when something is added

enum class Dim {
  swept,            ///< every swept axis, in order; none for a plain run
  time,             ///< seconds after programming
  repeat,           ///< programmed chip and read of it
  sample,           ///< of the data set
  position,         ///< of a sample, where each has a class; none for one class for each sample
  layer,            ///< of the network
  tile,             ///< of a layer, row-major, part by part
  tile_column,      ///< outputs of the tiles of a layer, tile by tile
  output,           ///< of a layer's product
  conductance,      ///< bins of conductance histograms
  weight_slice,     ///< of crossbars, least significant first
  array_output,     ///< output lines of an array, the driver's side first
  array_input,      ///< input lines of an array, the far end from the sense node first
  population,       ///< of spiking neurons
  component,        ///< parts of an energy
  area_component,   ///< parts of an area
  action,           ///< what happens during an inference
  coefficient,      ///< of the table of components
  class_label,      ///< true classes
  predicted_class,  ///< predicted classes
  feature           ///< the axes of a layer's output without the batch; their names depend on the rank (feature_names)
};
std::string_view to_string(Dim dim);
/// Names of the axes of an output of this shape: feature | position, feature | channel, height, width | axis_1, ...
std::vector<std::string> feature_names(const Shape& output_shape);

/// Names of the axes of a sample's positions: position | row, column | position_1, ...
std::vector<std::string> position_names(const Shape& positions);

/// When a variable is in the file.
enum class Presence {
  always,
  labels,
  language,
  agreement,
  scores,
  top5,
  classes,
  errors,
  anomalies,
  predictions,
  labelled_predictions,
  statistics,
  analog_statistics,
  analog_counts,
  isolated,
  stopped,
  hardware,
  periphery,
  fixed_point,
  fixed_point_counts,
  devices,
  device_statistics,
  compensation,
  column_compensation,
  tensors,
  crossbar,
  crossbar_statistics,
  crossbar_wires,
  crossbar_compensation,
  spiking,
  cost,
  normalised_cost,
  relative_cost,
  analog_cost,
  outputs
};
std::string_view to_string(Presence presence);

struct Variable {
  std::string_view group;  ///< "/", "/reference", "/layers/<layer>", ...
  std::string_view name;
  std::vector<Dim> dims;
  h5::ElementType type = h5::ElementType::float64;
  std::string_view units;
  std::string_view long_name;
  Presence presence = Presence::always;
  std::optional<double> fill = {};  ///< _FillValue; where a point is missing
};
const std::vector<Variable>& variables();
/// InputError if there is no such row: nothing undeclared is written.
const Variable& variable(std::string_view group, std::string_view name);

struct FileAttribute {
  std::string_view group;
  std::string_view name;
  h5::ElementType type = h5::ElementType::string;
  std::string_view meaning;
};
const std::vector<FileAttribute>& attributes();

/// What in the file is not as the table says: undeclared groups, datasets and attributes, wrong types, dimensions,
/// units. Empty for a good file.
std::vector<std::string> check_schema(const h5::File& file);

/// The text of docs/formats/results.md.
std::string schema_page();

/// Names of the groups below /layers: leading '/' dropped, other '/' and control characters replaced by '.' and '_',
/// and "~2", "~3", ... appended to names that would occur twice. Names without such characters stay as they are.
std::vector<std::string> group_names(const std::vector<std::string>& layer_names);

}  // namespace tessera::results
