#pragma once
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "tessera/nn/executor.hpp"
#include "tessera/nn/graph.hpp"
#include "tessera/random/stream.hpp"

/// Small networks written in a few lines, for tests.
namespace tessera::nn::test {

inline Tensor tensor(Shape shape, std::vector<float> values) {
  return {std::move(shape), values};
}

/// Normal values that depend on `seed` alone.
inline Tensor random_tensor(Shape shape, std::uint32_t seed, float scale = 1.0F) {
  Tensor result(std::move(shape));
  random::fill_normal(random::Stream({.layer = seed}, random::Purpose::test), 0, 0, result.values());
  for (float& x : result.values()) x *= scale;
  return result;
}

class Network {
 public:
  /// Shapes with -1 in front: any batch. `mode` none evaluates exactly the given shapes.
  explicit Network(BatchMode mode = BatchMode::any) { graph.batch = mode; }

  ValueId input(Shape shape, ElementType type = ElementType::float32, const std::string& name = "x") {
    const ValueId id = graph.add_value(name);
    graph.inputs.push_back(
        {.value = id, .type = type, .shape = std::move(shape), .batched = graph.batch != BatchMode::none});
    return id;
  }
  ValueId constant(Tensor values, const std::string& name = "c") { return graph.add_value(name, std::move(values)); }
  ValueId integers(std::vector<std::int64_t> values, const std::string& name = "i") {
    return graph.add_value(name, IntTensor{{static_cast<std::int64_t>(values.size())}, std::move(values)});
  }
  ValueId integer_tensor(IntTensor values) { return graph.add_value("i", std::move(values)); }
  ValueId node(const std::string& op, std::vector<ValueId> inputs, std::map<std::string, Attribute> attributes = {},
               const std::string& name = "") {
    return nodes(op, std::move(inputs), 1, std::move(attributes), name)[0];
  }
  std::vector<ValueId> nodes(const std::string& op, std::vector<ValueId> inputs, int outputs,
                             std::map<std::string, Attribute> attributes = {}, const std::string& name = "") {
    Node node{.name = name.empty() ? fmt::format("n{}", graph.nodes.size()) : name,
              .op = op,
              .inputs = std::move(inputs),
              .outputs = {},
              .attributes = std::move(attributes)};
    for (int i = 0; i < outputs; ++i) node.outputs.push_back(graph.add_value(node.name + "_out"));
    graph.nodes.push_back(node);
    return node.outputs;
  }
  Network& output(ValueId id) {
    graph.outputs.push_back(id);
    return *this;
  }

  Graph graph;
};

/// A convolution, a residual sum, pooling and a dense layer on N x 3 x 9 x 9 images, with 7 outputs.
inline Graph small_cnn() {
  Network net;
  const ValueId x = net.input({-1, 3, 9, 9});
  const ValueId a = net.node("Conv",
                             {x, net.constant(random_tensor({8, 3, 3, 3}, 1, 0.3F), "conv1.weight"),
                              net.constant(random_tensor({8}, 2), "conv1.bias")},
                             {{"pads", std::vector<std::int64_t>{1, 1, 1, 1}}}, "conv1");
  const ValueId b = net.node("Relu", {a});
  const ValueId c = net.node("Conv", {b, net.constant(random_tensor({8, 4, 3, 3}, 3, 0.2F), "conv2.weight")},
                             {{"pads", std::vector<std::int64_t>{1, 1, 1, 1}}, {"group", std::int64_t{2}}}, "conv2");
  const ValueId d = net.node("Relu", {net.node("Add", {c, b})});
  const ValueId e =
      net.node("MaxPool", {d},
               {{"kernel_shape", std::vector<std::int64_t>{3, 3}}, {"strides", std::vector<std::int64_t>{2, 2}}});
  const ValueId f = net.node("Flatten", {e});
  net.output(net.node(
      "Gemm",
      {f, net.constant(random_tensor({7, 128}, 4, 0.2F), "fc.weight"), net.constant(random_tensor({7}, 5), "fc.bias")},
      {{"transB", std::int64_t{1}}}, "fc"));
  return net.graph;
}

}  // namespace tessera::nn::test
