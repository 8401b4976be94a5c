#pragma once
#include <cmath>
#include <cstdint>
#include <set>
#include <span>
#include <string>

#include "tessera/io/dataset.hpp"
#include "tessera/nn/executor.hpp"
#include "tessera/sim/quantized_network.hpp"

/// What the tests of digital low precision have in common.
namespace tessera::sim {

inline LayerParameters digital(const std::string&, const std::string&) {
  LayerParameters layer;
  layer.analog = false;
  return layer;
}

inline quant::QuantizationConfig bits(int activation, int weight, bool per_channel = false) {
  quant::QuantizationConfig config;
  config.activation_quant.n_bits = activation;
  config.activation_quant.symmetric = false;
  config.weight_quant.n_bits = weight;
  config.weight_quant.per_channel = per_channel;
  return config;
}

inline std::size_t distinct(std::span<const float> values) {
  return std::set<float>(values.begin(), values.end()).size();
}

/// Some numbers of both signs that differ from each other.
inline Tensor waves(Shape shape, double phase) {
  Tensor tensor(std::move(shape));
  for (std::int64_t i = 0; i < tensor.size(); ++i)
    tensor.data()[i] = static_cast<float>(std::sin(phase + 1.7 * static_cast<double>(i)));
  return tensor;
}

/// A recurrent or transposed layer alone.
inline nn::Executor one_layer(const std::string& op, bool final_state = false) {
  nn::Graph graph;
  graph.name = op;
  const nn::ValueId x = graph.add_value("x");
  const bool transposed = op == "ConvTranspose";
  graph.inputs.push_back({.value = x,
                          .type = nn::ElementType::float32,
                          .shape = transposed ? Shape{-1, 4, 3, 3} : Shape{-1, 5, 3},
                          .batched = true});
  if (transposed) {
    const nn::ValueId w = graph.add_value("w", waves({4, 3, 2, 2}, 0.3)), b = graph.add_value("b", waves({6}, 0.1)),
                      y = graph.add_value("y");
    graph.nodes.push_back({"layer", op, {x, w, b}, {y}, {{"group", std::int64_t{2}}}});
    graph.outputs = {y};
  } else {
    const std::int64_t gates = op == "LSTM" ? 4 : op == "GRU" ? 3 : 1;
    const std::vector<std::int64_t> swap{1, 0, 2};
    const nn::ValueId t = graph.add_value("t"), w = graph.add_value("w", waves({1, gates * 4, 3}, 0.3)),
                      r = graph.add_value("r", waves({1, gates * 4, 4}, 0.5)), y = graph.add_value("y"),
                      out = graph.add_value("out");
    graph.nodes.push_back({"swap", "Transpose", {x}, {t}, {{"perm", swap}}});
    graph.nodes.push_back(
        {"layer", op, {t, w, r}, final_state ? std::vector<nn::ValueId>{-1, y} : std::vector<nn::ValueId>{y}, {}});
    const std::vector<std::int64_t> back = final_state ? swap : std::vector<std::int64_t>{2, 0, 1, 3};
    graph.nodes.push_back({"back", "Transpose", {y}, {out}, {{"perm", back}}});
    graph.outputs = {out};
  }
  nn::validate(graph);
  return nn::Executor(std::move(graph));
}

inline io::DataSet data_for(const nn::Executor& network) {
  Shape shape = network.graph().inputs.front().shape;
  shape[0] = 20;
  Tensor inputs(std::move(shape));
  for (std::int64_t i = 0; i < inputs.size(); ++i)
    inputs.data()[i] = static_cast<float>(std::cos(0.4 + 2.3 * static_cast<double>(i)));
  return io::DataSet(std::move(inputs), {});
}

}  // namespace tessera::sim
