#include "tessera/sim/folding.hpp"

#include <algorithm>

#include "tessera/core/error.hpp"
#include "tessera/nn/passes.hpp"

namespace tessera::sim {

int fold_batchnorm(io::Model& model) {
  const nn::Graph before = model.graph;
  const int folded = nn::fold_batchnorm(model.graph);
  std::vector<Problem> problems;
  for (const nn::Node& node : before.nodes) {
    if (node.op != "BatchNormalization" ||
        std::ranges::any_of(model.graph.nodes, [&](const nn::Node& left) { return left.name == node.name; }))
      continue;
    const auto layer =
        std::ranges::find_if(before.nodes, [&](const nn::Node& other) { return other.output(0) == node.input(0); });
    const auto found = layer == before.nodes.end() ? model.calibration.end() : model.calibration.find(layer->name);
    if (found == model.calibration.end()) continue;
    for (const auto& entry : found->second)
      if (entry.first.ends_with("_quantizer") || entry.first == "quantization.output" ||
          entry.first == "quantization.weight" || entry.first.ends_with(".mapping_scale")) {
        problems.push_back({.file = {},
                            .key = "model.fold_batchnorm",
                            .message = fmt::format("layer '{}': the model file holds a range ('{}') that was found "
                                                   "without batch normalization folded into the layer; set "
                                                   "fold_batchnorm: false, or model.use_calibration: false",
                                                   layer->name, entry.first)});
        break;
      }
  }
  if (!problems.empty()) throw ConfigError(std::move(problems));
  return folded;
}

}  // namespace tessera::sim
