#include "tessera/sim/integer_chain.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "tessera/core/error.hpp"

namespace tessera::sim {
namespace {

constexpr std::array keeps_codes = {"Relu",    "MaxPool", "GlobalMaxPool", "Identity",  "Dropout", "Flatten", "Reshape",
                                    "Squeeze", "Slice",   "Transpose",     "Unsqueeze", "Split",   "Pad"};
constexpr std::array joins_codes = {"Add", "Concat"};

template <class List>
bool is_one_of(const List& list, const std::string& op) {
  return std::find(list.begin(), list.end(), op) != list.end();
}

/// Codes that a layer gives: none, and why.
std::string no_codes(const LayerParameters& layer, const nn::LinearLayer& source) {
  if (!layer.analog) return fmt::format("layer '{}' is digital", source.name);
  if (!layer.rpu.pre_post.fixed_point) return fmt::format("layer '{}' has no fixed-point periphery", source.name);
  const tile::OutputFormat& output = layer.rpu.pre_post.fixed_point->output;
  if (output.bits == 0 || output.exact) return fmt::format("layer '{}' has no output code", source.name);
  if (source.kind == nn::LinearKind::transposed_convolution)
    return fmt::format("outputs of the transposed convolution '{}' overlap, and their sums are float32", source.name);
  if (source.kind == nn::LinearKind::recurrent)
    return fmt::format("the gates of layer '{}' compute in float32", source.name);
  return {};
}

/// Why a layer cannot take codes at all.
std::string takes_none(const LayerParameters& layer, nn::LinearKind kind) {
  if (kind == nn::LinearKind::recurrent) return "its states, which its DACs convert as well, are float32";
  const tile::RpuParameters& rpu = layer.rpu;
  if (!rpu.pre_post.fixed_point->chain) return "pre_post.fixed_point.chain is false";
  if (rpu.crossbar) return "its DAC is that of a crossbar (crossbar.xbar.dac), which converts values";
  if (!rpu.pre_post.input_range.enable) return "pre_post.input_range.enable is false: its DAC has no range to set";
  if (rpu.forward.bound_management != tile::BoundManagementType::NONE)
    return "bound management rescales its inputs vector by vector (forward.bound_management)";
  if (rpu.forward.noise_management == tile::NoiseManagementType::AVERAGE_ABS_MAX)
    return "noise management scales its inputs (forward.noise_management)";
  if (rpu.forward.inp_res <= 0.0 || rpu.forward.inp_bound <= 0.0) return "its DAC has no levels (forward.inp_res)";
  if (rpu.forward.inp_sto_round) return "its DAC rounds stochastically (forward.inp_sto_round)";
  if (rpu.forward.mv_type == tile::AnalogMVType::SPLIT_MODE || rpu.forward.mv_type == tile::AnalogMVType::BIT_WISE)
    return "its inputs are sent digit by digit (forward.mv_type)";
  if (!rpu.mapping.digital_bias) return "its bias is on the crossbar (mapping.digital_bias)";
  return {};
}

std::int64_t dac_codes(const tile::IOParameters& io) {
  return static_cast<std::int64_t>(std::floor(0.5 * (io.inp_res > 1.0 ? io.inp_res : 1.0 / io.inp_res) + 1e-3));
}

class Tracer {
 public:
  Tracer(const nn::Graph& graph, const std::vector<nn::LinearLayer>& layers,
         std::span<const LayerParameters> parameters)
      : graph_(graph), layers_(layers), parameters_(parameters), producer_(nn::producers(graph)) {}

  /// Whose codes are at `value`.
  CodeSource trace(nn::ValueId value, LayerLink& link) {
    if (!link.broken.empty()) return {};
    const int at = value == nn::no_value ? -1 : producer_[static_cast<std::size_t>(value)];
    if (at < 0) {
      link.broken = value != nn::no_value && graph_.is_constant(value)
                        ? fmt::format("constant '{}' is float32", graph_.name_of(value))
                        : "its input is the network's";
      return {};
    }
    const nn::Node& node = graph_.nodes[static_cast<std::size_t>(at)];
    const auto layer = std::find_if(layers_.begin(), layers_.end(), [&](const auto& l) { return l.node == at; });
    if (layer != layers_.end()) {
      const auto l = static_cast<std::size_t>(layer - layers_.begin());
      link.broken = no_codes(parameters_[l], *layer);
      if (std::find(link.sources.begin(), link.sources.end(), l) == link.sources.end()) link.sources.push_back(l);
      return {.layer = static_cast<std::ptrdiff_t>(l)};
    }
    if (is_one_of(keeps_codes, node.op)) return trace(node.input(0), link);
    if (!is_one_of(joins_codes, node.op)) {
      link.broken = fmt::format("operator {} ('{}') in front of it computes in float32", node.op, node.name);
      return {};
    }
    const auto known = std::ranges::find(link.joins, at, &CodeJoin::node);
    if (known != link.joins.end()) return {.node = at};
    CodeJoin join{.node = at, .adds = node.op == "Add", .operands = {}};
    for (const nn::ValueId input : node.inputs) join.operands.push_back(trace(input, link));
    link.joins.push_back(std::move(join));
    return {.node = at};
  }

 private:
  const nn::Graph& graph_;
  const std::vector<nn::LinearLayer>& layers_;
  std::span<const LayerParameters> parameters_;
  std::vector<int> producer_;
};

}  // namespace

std::vector<LayerLink> layer_links(const nn::Graph& graph, const std::vector<nn::LinearLayer>& layers,
                                   std::span<const LayerParameters> parameters) {
  const std::vector<std::vector<int>> readers = nn::consumers(graph);
  std::vector<LayerLink> links(layers.size());
  Tracer tracer(graph, layers, parameters);
  for (std::size_t l = 0; l < layers.size(); ++l) {
    LayerLink& link = links[l];
    link.fixed_point = parameters[l].analog && parameters[l].rpu.pre_post.fixed_point;
    if (!link.fixed_point) continue;
    const nn::Node& node = graph.nodes[static_cast<std::size_t>(layers[l].node)];
    const tile::OutputFormat& output = parameters[l].rpu.pre_post.fixed_point->output;
    const nn::ValueId value = node.output(0);
    const std::vector<int>& next = readers[static_cast<std::size_t>(value)];
    const bool plain = layers[l].kind != nn::LinearKind::transposed_convolution &&
                       layers[l].kind != nn::LinearKind::recurrent && node.op != "MatMulInteger";
    const bool is_output = std::find(graph.outputs.begin(), graph.outputs.end(), value) != graph.outputs.end();
    link.fused_relu = output.fuse_relu && plain && !is_output && next.size() == 1 &&
                      graph.nodes[static_cast<std::size_t>(next[0])].op == "Relu";
    link.broken = takes_none(parameters[l], layers[l].kind);
    link.source = tracer.trace(node.input(0), link);
    std::sort(link.sources.begin(), link.sources.end());
  }
  for (std::size_t l = 0; l < layers.size(); ++l) {
    if (!links[l].fixed_point) continue;
    const tile::OutputFormat& output = parameters[l].rpu.pre_post.fixed_point->output;
    const int bits = output.bits > 0 ? output.bits : 8;
    const std::int64_t top = (std::int64_t{1} << bits) - 1;
    const auto lacks_codes = [&](std::size_t m) {
      return links[m].broken.empty() && std::ranges::count(links[m].sources, l) > 0 &&
             dac_codes(parameters[m].rpu.forward) < top;
    };
    links[l].output_signed = output.is_signed == tile::Signedness::is_signed;
    if (output.is_signed != tile::Signedness::automatic) continue;
    links[l].output_signed = !links[l].fused_relu;
    for (std::size_t m = 0; m < layers.size(); ++m) links[l].output_signed |= links[m].fixed_point && lacks_codes(m);
  }
  for (std::size_t m = 0; m < layers.size(); ++m) {
    LayerLink& link = links[m];
    for (const std::size_t l : link.sources) {
      if (!link.broken.empty()) break;
      const int bits = parameters[l].rpu.pre_post.fixed_point->output.bits;
      const std::int64_t top = (std::int64_t{1} << (links[l].output_signed ? bits - 1 : bits)) - 1;
      const std::int64_t codes = dac_codes(parameters[m].rpu.forward);
      if (codes < top)
        link.broken =
            fmt::format("codes of layer '{}' reach {}, its DAC has {} (forward.inp_res)", layers[l].name, top, codes);
    }
    if (link.broken.empty()) continue;
    link.sources.clear();
    link.joins.clear();
    link.source = {};
  }
  return links;
}

}  // namespace tessera::sim
