#include "sim/low_precision_training.hpp"

#include <algorithm>

#include "sim/trained_graph.hpp"
#include "sim/value_quantizers.hpp"
#include "tessera/core/error.hpp"

namespace tessera::sim {

namespace {

bool given(const quant::Number& number) {
  return !std::holds_alternative<std::monostate>(number);
}

/// Why the weight of a node cannot be trained with a quantizer, or "".
std::string untrained_weight(const nn::Graph& graph, const std::vector<nn::LinearLayer>& layers, std::size_t n) {
  const nn::Node& node = graph.nodes[n];
  const auto layer = std::ranges::find(layers, static_cast<int>(n), &nn::LinearLayer::node);
  if (layer == layers.end())
    return (node.op == "LayerNormalization" || node.op == "Gather") &&
                   graph.tensor(node.input(node.op == "Gather" ? 0 : 1)) != nullptr
               ? fmt::format("the weight of {} is not trained with a quantizer", node.op)
               : "";
  const bool single =
      layer->parts.size() == 1 && (layer->kind == nn::LinearKind::dense || layer->kind == nn::LinearKind::convolution);
  return single ? "" : fmt::format("quantized weights of {} are trained for layers of one part only", node.op);
}

}  // namespace

LowPrecisionTraining::LowPrecisionTraining(const nn::Graph& graph, const nn::ExecutorOptions& options,
                                           const QuantizationParameters& parameters, const LayerResolver& resolve,
                                           std::optional<std::uint64_t> learn_from, const QuantizerRanges& known)
    : graph_(graph), changed_(graph), options_(options) {
  QuantizationParameters p = parameters;
  if (p.append_default_conversions) quant::append_default_conversions(p.map);
  const std::vector<nn::LinearLayer> layers = nn::linear_layers(graph);
  std::vector<nn::TransformPlace> transforms;
  std::vector<Problem> problems;
  const auto problem = [&](const std::string& node, const std::string& message) {
    problems.push_back({.file = {}, .key = "quantization." + node, .message = message});
  };
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    const nn::Node& node = graph.nodes[n];
    const bool linear = nn::is_linear(graph, node);
    const quant::ResolvedQuantization ranges = quant::resolve_quantization(p.map, node.name, node.op);
    const quant::LayerFormats formats = resolve_formats(p, node.name, node.op, linear);
    if (given(formats.weight) || given(formats.activation) || given(formats.accumulation))
      problem(node.name, "number formats are not trained; train with quantizers, or without, and run with formats");
    const auto add = [&](const std::string& tensor, const auto& config) {
      const quant::QuantizationManagerParameters manager = quant::manager_parameters(config);
      FittedRange fitted = fitted_range(known, node.name, tensor, manager);
      if (!fitted.state) problem(node.name + "." + fitted.key, fitted.reason);
      places_.push_back({node.name,
                         tensor,
                         {.quantizer = manager,
                          .learn_from = learn_from,
                          .range = fitted.state.value_or(quant::UniformQuantizerState{})}});
    };
    const auto add_value = [&](nn::TransformSide side, const quant::ActivationQuantConfig& config) {
      const std::string tensor = side == nn::TransformSide::input ? "input" : "output";
      add(tensor, config);
      transforms.push_back(
          {static_cast<int>(n), side, std::make_shared<RangeQuantizer>(node.name, quant::manager_parameters(config))});
    };
    if (ranges.input_activation) add_value(nn::TransformSide::input, *ranges.input_activation);
    if (ranges.activation) add_value(nn::TransformSide::output, *ranges.activation);
    if (!ranges.weight || (linear && resolve(node.name, node.op).analog)) continue;
    if (const std::string reason = untrained_weight(graph, layers, n); !reason.empty())
      problem(node.name, reason + "; name it in excluded_modules");
    else if (linear)
      add("weight", *ranges.weight);
  }
  if (!problems.empty()) throw ConfigError(std::move(problems));
  options_.transforms = nn::insert_transforms(changed_, transforms);
}

void LowPrecisionTraining::give_quantizers(nn::TrainingNetwork& network) {
  const std::vector<nn::LinearLayer>& layers = network.layers();
  for (Place& place : places_) {
    if (place.tensor == "weight") {
      const auto layer = std::ranges::find(layers, place.node, &nn::LinearLayer::name);
      TESSERA_EXPECT(layer != layers.end());
      const auto linear = nn::quantized_linear(layer->parts.front(), place.training);
      network.replace(static_cast<std::size_t>(layer - layers.begin()), 0, linear);
      place.quantizer = linear;
      continue;
    }
    const auto value = nn::quantized_value(place.training);
    network.replace(place.node + "." + place.tensor + "_transform", value);
    place.quantizer = value;
  }
}

nn::Graph LowPrecisionTraining::plain(const nn::Graph& trained) const {
  return with_weights_of(graph_, trained);
}

QuantizerRanges LowPrecisionTraining::ranges() const {
  QuantizerRanges ranges;
  for (const Place& place : places_) {
    const quant::UniformQuantizerState& state = place.quantizer->range();
    if (!state.delta.empty() && (place.tensor != "weight" || place.quantizer->learned()))
      ranges[place.node][place.tensor] = {range_law(place.training.quantizer), state};
  }
  return ranges;
}

}  // namespace tessera::sim
