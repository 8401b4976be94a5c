#include "tessera/sim/layer_notes.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "tessera/core/error.hpp"
#include "tessera/tile/mapping.hpp"
#include "tessera/tile/notes.hpp"

namespace tessera::sim {
namespace {

/// Messages in the order of their first layer, each with the layers it is true of.
class Collected {
 public:
  void add(const std::string& message, const std::string& layer) {
    const auto known =
        std::find_if(entries_.begin(), entries_.end(), [&](const auto& entry) { return entry.first == message; });
    if (known == entries_.end())
      entries_.push_back({message, {layer}});
    else
      known->second.push_back(layer);
  }

  std::vector<std::string> lines(std::size_t analog_layers) const {
    std::vector<std::string> lines;
    for (const auto& [message, layers] : entries_)
      lines.push_back(
          layers.size() == analog_layers
              ? message
              : fmt::format("{} (layer{} '{}')", message, layers.size() == 1 ? "" : "s", fmt::join(layers, "', '")));
    return lines;
  }

 private:
  std::vector<std::pair<std::string, std::vector<std::string>>> entries_;
};

std::string digital_bias_note(const nn::LinearPart& part, const std::string& name, const tile::MappingParameter& m) {
  if (m.digital_bias || part.bias.empty()) return {};
  const std::size_t tiles = tile::place_tiles(part.weight.rows(), part.weight.cols(), m).size();
  if (tiles == 1) return {};
  return fmt::format(
      "layer '{}': mapping.digital_bias: false is not followed: the layer lies on {} tiles, and no single "
      "line of one of them could carry its bias, which is digital; a larger max_input_size and "
      "max_output_size keep it on one tile",
      name, tiles);
}

/// Errors of a noise model are relative to its highest conductance, which a fully-on cell stands for.
std::string cell_note(const LayerParameters& parameters) {
  if (!parameters.rpu.crossbar || !parameters.device) return {};
  const double law_uS = device::g_max(device::converter(parameters.device->noise_model));
  const double cell_uS = 1e6 / parameters.rpu.crossbar->device.Rmin;
  if (std::abs(law_uS / cell_uS - 1.0) < 0.01) return {};
  return fmt::format(
      "rpu_config.noise_model: its law is for {:.4g} uS, a fully-on cell has {:.4g} uS "
      "(crossbar.xbar.device.Rmin): errors are taken relative to them; g_max: {:.4g} or Rmin: {:.4g} "
      "would make them one",
      law_uS, cell_uS, cell_uS, 1e6 / law_uS);
}

}  // namespace

std::vector<std::string> layer_notes(const nn::Executor& executor, const LayerResolver& resolve) {
  Collected collected;
  std::vector<std::string> biases;
  std::size_t analog_layers = 0;
  for (const nn::LinearLayer& layer : executor.layers()) {
    const nn::Node& node = executor.graph().nodes[static_cast<std::size_t>(layer.node)];
    const LayerParameters parameters = resolve(layer.name, node.op);
    if (!parameters.analog) continue;
    ++analog_layers;
    for (const tile::ParameterNote& note : tile::notes(parameters.rpu))
      collected.add(fmt::format("rpu_config.{}: {}", note.key, note.message), layer.name);
    if (std::string note = cell_note(parameters); !note.empty()) collected.add(note, layer.name);
    if (layer.kind == nn::LinearKind::transposed_convolution && node.input(2) != nn::no_value &&
        !parameters.rpu.mapping.digital_bias)
      biases.push_back(
          fmt::format("layer '{}': mapping.digital_bias: false is not followed: the outputs of a transposed "
                      "convolution overlap, and its bias is added behind them",
                      layer.name));
    if (const std::vector<std::string> training = tile::training_only(parameters.rpu); !training.empty())
      collected.add(
          fmt::format("no effect on inference (training only): rpu_config.{}", fmt::join(training, ", rpu_config.")),
          layer.name);
    for (std::size_t p = 0; p < layer.parts.size(); ++p)
      if (std::string note = digital_bias_note(layer.parts[p], layer.part_name(p), parameters.rpu.mapping);
          !note.empty())
        biases.push_back(std::move(note));
  }
  std::vector<std::string> lines = collected.lines(analog_layers);
  lines.insert(lines.end(), biases.begin(), biases.end());
  return lines;
}

}  // namespace tessera::sim
