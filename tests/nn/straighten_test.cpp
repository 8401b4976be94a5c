// Do products with constants in other forms become layers, without changing what the network computes?
#include <gmock/gmock.h>

#include "network.hpp"
#include "tessera/nn/passes.hpp"

namespace tessera::nn {
namespace {

using test::Network;
using test::random_tensor;
using testing::ElementsAre;

Tensor outputs(const Graph& graph, const Tensor& x) {
  return Executor(graph).run(x);
}

std::vector<std::string> layers(const Graph& graph) {
  std::vector<std::string> names;
  for (const LinearLayer& layer : linear_layers(graph)) names.push_back(layer.name);
  return names;
}

void expect_straightened(const Graph& given, const Tensor& x) {
  Graph graph = given;
  EXPECT_TRUE(layers(graph).empty());
  straighten_products(graph);
  validate(graph);
  EXPECT_THAT(layers(graph), ElementsAre("product"));
  const Tensor before = outputs(given, x), after = outputs(graph, x);
  ASSERT_EQ(after.shape(), before.shape());
  for (std::int64_t i = 0; i < before.size(); ++i) EXPECT_NEAR(after.data()[i], before.data()[i], 1e-5) << i;
  Graph again = graph;
  straighten_products(again);
  EXPECT_EQ(again.nodes.size(), graph.nodes.size()) << "the pass can be repeated";
}

TEST(StraightenTest, AMatrixWithLeadingOnes) {
  Network net;
  const ValueId x = net.input({-1, 4, 5});
  net.output(net.node("MatMul", {x, net.constant(random_tensor({1, 5, 3}, 1))}, {}, "product"));
  expect_straightened(net.graph, random_tensor({3, 4, 5}, 2));
}

TEST(StraightenTest, AConstantInFront) {
  Network net;
  const ValueId x = net.input({-1, 4, 5});
  const ValueId y = net.node("MatMul", {net.constant(random_tensor({3, 4}, 1)), x}, {}, "product");
  net.output(net.node("Relu", {y}));
  expect_straightened(net.graph, random_tensor({3, 4, 5}, 2));
}

TEST(StraightenTest, WhatIsNoMatrixOrWouldGainAxesStays) {
  const auto unchanged = [](Shape input, Shape constant, bool in_front) {
    Network net;
    const ValueId x = net.input(std::move(input)), c = net.constant(random_tensor(std::move(constant), 1));
    net.output(net.node("MatMul", in_front ? std::vector{c, x} : std::vector{x, c}, {}, "product"));
    Graph graph = net.graph;
    straighten_products(graph);
    EXPECT_TRUE(layers(graph).empty());
    EXPECT_EQ(graph.nodes.size(), net.graph.nodes.size());
  };
  unchanged({-1, 2, 4, 5}, {2, 5, 3}, false);  // a stack of two matrices
  unchanged({-1, 5}, {1, 5, 3}, false);        // the result has an axis more
  unchanged({-1, 5}, {5}, false);              // a vector
  unchanged({4, 5}, {3, 4}, true);             // would sum over the samples
  unchanged({-1, -1, 5}, {1, 5, 3}, false);    // open extents
}

}  // namespace
}  // namespace tessera::nn
