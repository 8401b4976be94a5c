#include "tessera/nn/graph.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "network.hpp"

// Question: are malformed graphs refused with everything that is wrong, and are names what users will match?
namespace tessera::nn {
namespace {

using test::Network;
using testing::HasSubstr;

std::string message_of(const auto& action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

TEST(Graph, SmallNetworkIsValid) {
  EXPECT_NO_THROW(validate(test::small_cnn()));
}

TEST(Graph, EveryViolationIsListed) {
  Graph graph = test::small_cnn();
  graph.nodes[0].name = "a/b";
  graph.nodes[1].inputs[0] = 999;
  graph.nodes[2].outputs[0] = graph.nodes[1].outputs[0];
  graph.nodes[3].name = graph.nodes[4].name;
  graph.outputs.push_back(-1);
  const std::string message = message_of([&] { validate(graph); });
  EXPECT_THAT(message, HasSubstr("'a/b'"));
  EXPECT_THAT(message, HasSubstr("reads value 999"));
  EXPECT_THAT(message, HasSubstr("already defined"));
  EXPECT_THAT(message, HasSubstr("occurs twice"));
  EXPECT_THAT(message, HasSubstr("never written"));
}

TEST(Graph, ReadingBeforeWritingIsRefused) {
  Graph graph = test::small_cnn();
  std::swap(graph.nodes[0], graph.nodes[1]);
  EXPECT_THAT(message_of([&] { validate(graph); }), HasSubstr("before anything writes it"));
  sort_topologically(graph);
  EXPECT_NO_THROW(validate(graph));
}

TEST(Graph, SortingKeepsAnOrderThatIsOne) {
  Graph graph = test::small_cnn();
  std::vector<std::string> before, after;
  for (const Node& node : graph.nodes) before.push_back(node.name);
  sort_topologically(graph);
  for (const Node& node : graph.nodes) after.push_back(node.name);
  EXPECT_EQ(before, after);
}

TEST(Graph, CycleIsNamed) {
  Network net;
  const ValueId x = net.input({-1, 4});
  const ValueId a = net.node("Add", {x, x}, {}, "first");
  const ValueId b = net.node("Relu", {a}, {}, "second");
  net.graph.nodes[0].inputs[1] = b;
  net.output(b);
  const std::string message = message_of([&] { sort_topologically(net.graph); });
  EXPECT_THAT(message, HasSubstr("cycle"));
  EXPECT_THAT(message, HasSubstr("'first'"));
  EXPECT_THAT(message, HasSubstr("'second'"));
}

TEST(Graph, AttributesOfAnotherTypeAreRefused) {
  Node node{.name = "n", .op = "Conv", .inputs = {}, .outputs = {}, .attributes = {{"group", 2.0F}}};
  EXPECT_EQ(node.integer("absent", 7), 7);
  EXPECT_THAT(message_of([&] { static_cast<void>(node.integer("group", 1)); }), HasSubstr("attribute 'group'"));
}

TEST(Graph, NamesFollowTheRule) {
  struct Case {
    const char *name, *op, *weight, *expected;
  };
  const std::vector<Case> cases = {
      {"/layer1/layer1.0/conv1/Conv", "Conv", "layer1.0.conv1.weight", "layer1.0.conv1"},
      {"/layer1/layer1.0/conv2/Conv", "Conv", "onnx::Conv_205", "layer1.0.conv2"},
      {"/layer1/layer1.0/Relu", "Relu", nullptr, "layer1.0.Relu"},
      {"/attn/qkv/MatMul", "MatMul", "onnx::MatMul_1", "attn.qkv"},
      {"", "Conv", "w", "Conv_0"},
      {"", "Relu", nullptr, "Relu_0"},
      {"", "Conv", "w2", "Conv_1"},
      {"dense", "Gemm", "dense_W", "dense"},
      {"dense", "Relu", nullptr, "dense_1"},
      {"a//b/", "Relu", nullptr, "a.b"},
      {"///", "Relu", nullptr, "Relu_1"},
      {"x", "Gemm", "x.weight_quantized", "x_1_not_yet"},
  };
  Network net;
  ValueId value = net.input({-1, 4});
  for (const Case& c : cases) {
    std::vector<ValueId> inputs = {value};
    if (c.weight != nullptr) inputs.push_back(net.constant(test::tensor({1}, {1}), c.weight));
    value = net.node(c.op, inputs);
    net.graph.nodes.back().name = c.name;
  }
  assign_node_names(net.graph);
  for (std::size_t i = 0; i + 1 < cases.size(); ++i) EXPECT_EQ(net.graph.nodes[i].name, cases[i].expected) << i;
  EXPECT_EQ(net.graph.nodes.back().name, "x");
  net.output(value);
  EXPECT_NO_THROW(validate(net.graph));
}

}  // namespace
}  // namespace tessera::nn
