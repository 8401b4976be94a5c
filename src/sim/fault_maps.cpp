#include <optional>

#include "tessera/io/array.hpp"
#include "tessera/sim/analog_network.hpp"
#include "tessera/tile/crossbar_engine.hpp"

namespace tessera::sim {

namespace {

/// Lines of a part's tiles in a map: the inputs, and one for an analog bias.
std::int64_t lines_of(const nn::LinearPart& part, const tile::MappingParameter& mapping) {
  const bool one_tile = tile::place_tiles(part.weight.rows(), part.weight.cols(), mapping).size() == 1;
  return part.weight.cols() + (!part.bias.empty() && !mapping.digital_bias && one_tile ? 1 : 0);
}

device::FaultMap checked(const Tensor& array, const Shape& expected) {
  require<InputError>(array.shape() == expected,
                      "its shape is {}, but the layer needs {}: devices per weight, outputs, inputs",
                      to_string(array.shape()), to_string(expected));
  return device::make_fault_map(array.shape(), array.values());
}

/// The maps of a layer's parts: from one array with the parts' outputs one behind the other, or from one for each part.
std::vector<device::FaultMap> read_layer(const nn::LinearLayer& layer, const LayerParameters& parameters) {
  const std::int64_t devices = parameters.rpu.crossbar
                                   ? parameters.rpu.crossbar->cells_per_weight()
                                   : device::device_count(device::converter(parameters.device->noise_model));
  std::vector<std::int64_t> lines;
  std::int64_t outputs = 0;
  for (const nn::LinearPart& part : layer.parts) {
    lines.push_back(lines_of(part, tile::crossbar_mapping(parameters.rpu)));
    outputs += part.weight.rows();
  }
  std::vector<device::FaultMap> maps;
  if (const std::optional<Tensor> whole = io::read_array(parameters.fault_map, layer.name)) {
    for (const std::int64_t other : lines)
      require<InputError>(
          other == lines.front(),
          "the products of this layer have {} and {} inputs; give each its own map, in an HDF5 file with"
          " a data set '{}' and so on",
          lines.front(), other, layer.part_name(0));
    const device::FaultMap map = checked(*whole, {devices, outputs, lines.front()});
    std::int64_t first = 0;
    for (const nn::LinearPart& part : layer.parts) {
      maps.push_back(map.part(first, part.weight.rows(), 0, map.inputs));
      first += part.weight.rows();
    }
    return maps;
  }
  for (std::size_t p = 0; p < layer.parts.size(); ++p) {
    const std::optional<Tensor> array = io::read_array(parameters.fault_map, layer.part_name(p));
    require<InputError>(array.has_value(), "it has no data set '{}'",
                        layer.parts.size() == 1 ? layer.name : layer.part_name(p));
    maps.push_back(checked(*array, {devices, layer.parts[p].weight.rows(), lines[p]}));
  }
  return maps;
}

}  // namespace

FaultMaps read_fault_maps(const nn::Executor& executor, const LayerResolver& resolve) {
  FaultMaps maps;
  for (const nn::LinearLayer& layer : executor.layers()) {
    maps.emplace_back(layer.parts.size());
    const LayerParameters parameters =
        resolve(layer.name, executor.graph().nodes[static_cast<std::size_t>(layer.node)].op);
    if (!parameters.analog || !parameters.device || parameters.fault_map.empty()) continue;
    try {
      maps.back() = read_layer(layer, parameters);
    } catch (const InputError& error) {
      throw InputError(fmt::format("layer '{}': fault map '{}': {}", layer.name, parameters.fault_map, error.what()));
    }
  }
  return maps;
}

}  // namespace tessera::sim
