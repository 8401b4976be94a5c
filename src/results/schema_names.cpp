#include <algorithm>
#include <set>

#include "tessera/results/schema.hpp"

namespace tessera::results {

std::string_view to_string(Dim dim) {
  switch (dim) {
    case Dim::swept:
      return "<swept axes>";
    case Dim::time:
      return "time";
    case Dim::repeat:
      return "repeat";
    case Dim::sample:
      return "sample";
    case Dim::position:
      return "<positions>";
    case Dim::layer:
      return "layer";
    case Dim::tile:
      return "tile";
    case Dim::tile_column:
      return "tile_column";
    case Dim::output:
      return "output_index";
    case Dim::conductance:
      return "conductance";
    case Dim::weight_slice:
      return "weight_slice";
    case Dim::array_output:
      return "array_output";
    case Dim::array_input:
      return "array_input";
    case Dim::population:
      return "population";
    case Dim::component:
      return "component";
    case Dim::area_component:
      return "area_component";
    case Dim::action:
      return "action";
    case Dim::coefficient:
      return "coefficient";
    case Dim::class_label:
      return "class";
    case Dim::predicted_class:
      return "predicted_class";
    case Dim::feature:
      return "<features>";
  }
  return "";
}

std::string_view to_string(Presence presence) {
  switch (presence) {
    case Presence::always:
      return "always";
    case Presence::labels:
      return "classification, language model";
    case Presence::language:
      return "language model";
    case Presence::agreement:
      return "language model, agreement";
    case Presence::scores:
      return "with a task";
    case Presence::top5:
      return "classification into more than five classes";
    case Presence::classes:
      return "classification into at most 256 classes";
    case Presence::errors:
      return "regression, anomaly";
    case Presence::anomalies:
      return "anomaly, with labels";
    case Presence::predictions:
      return "if predictions are recorded";
    case Presence::labelled_predictions:
      return "with labels, if predictions are recorded";
    case Presence::statistics:
      return "if statistics are recorded, but for isolated sweeps";
    case Presence::analog_statistics:
      return "analog layers, if statistics are recorded";
    case Presence::analog_counts:
      return "analog layers, if statistics are recorded, but for isolated sweeps";
    case Presence::isolated:
      return "isolated sweeps";
    case Presence::stopped:
      return "sweeps with a stop rule";
    case Presence::hardware:
      return "analog layers";
    case Presence::periphery:
      return "analog layers with a quantized periphery";
    case Presence::fixed_point:
      return "analog layers with a fixed-point periphery";
    case Presence::fixed_point_counts:
      return "analog layers with a fixed-point periphery, if statistics are recorded, but for isolated sweeps";
    case Presence::devices:
      return "layers with a noise model";
    case Presence::device_statistics:
      return "layers with a noise model, if statistics are recorded";
    case Presence::compensation:
      return "layers with drift compensation";
    case Presence::column_compensation:
      return "layers with drift compensation by output";
    case Presence::tensors:
      return "layers whose tensors are recorded";
    case Presence::crossbar:
      return "layers on crossbars";
    case Presence::crossbar_statistics:
      return "layers on crossbars, if statistics are recorded, but for isolated sweeps";
    case Presence::crossbar_wires:
      return "layers on crossbars with wires, if statistics are recorded";
    case Presence::crossbar_compensation:
      return "layers on crossbars with `compensate: wires`, if statistics are recorded";
    case Presence::spiking:
      return "with spiking neurons";
    case Presence::cost:
      return "with a cost: section";
    case Presence::normalised_cost:
      return "with cost.weight_bits";
    case Presence::relative_cost:
      return "sweeps with a cost: section";
    case Presence::analog_cost:
      return "analog layers, with a cost: section";
    case Presence::outputs:
      return "if outputs are recorded";
  }
  return "";
}

std::vector<std::string> feature_names(const Shape& output_shape) {
  switch (output_shape.size()) {
    case 1:
      return {"feature"};
    case 2:
      return {"position", "feature"};
    case 3:
      return {"channel", "height", "width"};
    default:
      break;
  }
  std::vector<std::string> names;
  for (std::size_t i = 1; i <= output_shape.size(); ++i) names.push_back(fmt::format("axis_{}", i));
  return names;
}

std::vector<std::string> position_names(const Shape& positions) {
  if (positions.empty()) return {};
  if (positions.size() == 1) return {"position"};
  if (positions.size() == 2) return {"row", "column"};
  std::vector<std::string> names;
  for (std::size_t i = 1; i <= positions.size(); ++i) names.push_back(fmt::format("position_{}", i));
  return names;
}

std::vector<std::string> group_names(const std::vector<std::string>& layer_names) {
  std::vector<std::string> names;
  std::set<std::string> taken(layer_names.begin(), layer_names.end());
  std::set<std::string> used;
  for (const std::string& layer : layer_names) {
    std::string name = layer;
    name.erase(0, std::min(name.find_first_not_of('/'), name.size()));
    for (char& c : name) {
      if (c == '/') c = '.';
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '_';
    }
    if (!name.empty() && name.back() == ' ') name.back() = '_';
    if (!name.empty() && name.front() == ' ') name.front() = '_';
    if (name.find_first_not_of('.') == std::string::npos) name = fmt::format("layer{}", name);
    // A changed name gives way to a layer that is really called so.
    std::string unique = name;
    for (int i = 2; used.contains(unique) || (unique != layer && taken.contains(unique)); ++i) {
      unique = fmt::format("{}~{}", name, i);
    }
    used.insert(unique);
    names.push_back(unique);
  }
  return names;
}

}  // namespace tessera::results
