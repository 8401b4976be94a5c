#pragma once
#include <cmath>

#include "tessera/io/dataset.hpp"
#include "tessera/nn/graph.hpp"

namespace tessera::sim::test {

/// Two dense layers with a Relu between: 6 -> 5 -> 3.
inline nn::Graph small_network() {
  nn::Graph graph;
  graph.name = "small";
  const auto weights = [](std::int64_t rows, std::int64_t cols, double phase) {
    Tensor tensor({rows, cols});
    for (std::int64_t i = 0; i < tensor.size(); ++i)
      tensor.data()[i] = static_cast<float>(std::sin(phase + 1.7 * static_cast<double>(i)));
    return tensor;
  };
  const nn::ValueId x = graph.add_value("x");
  graph.inputs.push_back({.value = x, .type = nn::ElementType::float32, .shape = {-1, 6}, .batched = true});
  const nn::ValueId w1 = graph.add_value("w1", weights(5, 6, 0.3));
  const nn::ValueId b1 = graph.add_value("b1", weights(1, 5, 0.9).reshaped({5}));
  const nn::ValueId w2 = graph.add_value("w2", weights(3, 5, 1.1));
  const nn::ValueId h = graph.add_value("h");
  const nn::ValueId r = graph.add_value("r");
  const nn::ValueId y = graph.add_value("y");
  graph.nodes.push_back({.name = "fc1",
                         .op = "Gemm",
                         .inputs = {x, w1, b1},
                         .outputs = {h},
                         .attributes = {{"transB", std::int64_t{1}}}});
  graph.nodes.push_back({.name = "relu", .op = "Relu", .inputs = {h}, .outputs = {r}, .attributes = {}});
  graph.nodes.push_back(
      {.name = "fc2", .op = "Gemm", .inputs = {r, w2}, .outputs = {y}, .attributes = {{"transB", std::int64_t{1}}}});
  graph.outputs = {y};
  nn::validate(graph);
  return graph;
}

inline io::DataSet small_data(std::int64_t samples) {
  Tensor inputs({samples, 6});
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < inputs.size(); ++i)
    inputs.data()[i] = static_cast<float>(std::cos(0.4 + 2.3 * static_cast<double>(i)));
  for (std::int64_t s = 0; s < samples; ++s) labels.push_back(static_cast<std::int32_t>(s % 3));
  return io::DataSet(std::move(inputs), std::move(labels));
}

}  // namespace tessera::sim::test
