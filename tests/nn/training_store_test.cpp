#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "network.hpp"
#include "tessera/nn/training.hpp"

// Question: does the graph of a trained network hold every parameter where inference reads it, and every running
// average?
namespace tessera::nn {
namespace {

using test::Network;
using test::random_tensor;
using List = std::vector<std::int64_t>;

struct Case {
  std::string name;
  Shape input;  ///< with the batch
  bool time_first = false;
  std::function<ValueId(Network&, ValueId)> build;
};

ValueId recurrent(Network& net, ValueId x, const std::string& op, std::int64_t gates) {
  return net.nodes(op,
                   {x, net.constant(random_tensor({2, gates * 4, 3}, 1, 0.5F), "w"),
                    net.constant(random_tensor({2, gates * 4, 4}, 2, 0.5F), "r"),
                    net.constant(random_tensor({2, 2 * gates * 4}, 3, 0.5F), "b")},
                   1, {{"direction", std::string("bidirectional")}, {"hidden_size", std::int64_t{4}}}, "layer")[0];
}

std::vector<Case> cases() {
  const auto group = std::pair<const std::string, Attribute>{"group", std::int64_t{2}};
  return {
      {"MatMul",
       {3, 5},
       false,
       [](Network& net, ValueId x) {
         return net.node("MatMul", {x, net.constant(random_tensor({5, 4}, 1), "w")});
       }},
      {"Gemm with factors",
       {3, 5},
       false,
       [](Network& net, ValueId x) {
         return net.node("Gemm",
                         {x, net.constant(random_tensor({5, 4}, 1), "w"), net.constant(random_tensor({1}, 2), "b")},
                         {{"alpha", 0.5F}, {"beta", 3.0F}});
       }},
      {"Conv in groups",
       {2, 4, 5, 5},
       false,
       [=](Network& net, ValueId x) {
         return net.node(
             "Conv", {x, net.constant(random_tensor({6, 2, 3, 3}, 1), "w"), net.constant(random_tensor({6}, 2), "b")},
             {group});
       }},
      {"ConvTranspose in groups",
       {2, 4, 5, 5},
       false,
       [=](Network& net, ValueId x) {
         return net.node(
             "ConvTranspose",
             {x, net.constant(random_tensor({4, 3, 2, 3}, 1), "w"), net.constant(random_tensor({6}, 2), "b")},
             {group, {"strides", List{2, 1}}});
       }},
      {"PRelu",
       {2, 3, 4},
       false,
       [](Network& net, ValueId x) {
         return net.node("PRelu", {x, net.constant(random_tensor({3, 1}, 1), "slope")});
       }},
      {"LayerNormalization",
       {2, 3, 4},
       false,
       [](Network& net, ValueId x) {
         return net.node("LayerNormalization", {x, net.constant(random_tensor({4}, 1), "scale"),
                                                net.constant(random_tensor({4}, 2), "shift")});
       }},
      {"LSTM", {4, 2, 3}, true, [](Network& net, ValueId x) { return recurrent(net, x, "LSTM", 4); }},
      {"GRU", {4, 2, 3}, true, [](Network& net, ValueId x) { return recurrent(net, x, "GRU", 3); }},
      {"RNN", {4, 2, 3}, true, [](Network& net, ValueId x) { return recurrent(net, x, "RNN", 1); }},
  };
}

TEST(TrainingStore, InferenceOnTheStoredGraphGivesTheTrainedOutputs) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    Network net(c.time_first ? BatchMode::none : BatchMode::any);
    Shape shape = c.input;
    if (!c.time_first) shape[0] = -1;
    net.output(c.build(net, net.input(shape)));
    TrainingNetwork network(net.graph);
    const Tensor x = random_tensor(c.input, 9);
    const Tensor before = network.forward(x, 0, {});
    std::uint32_t seed = 20;
    for (const TrainedParameter& p : network.parameters()) {
      const Tensor change = random_tensor({static_cast<std::int64_t>(p.value.size())}, seed++, 0.3F);
      for (std::size_t i = 0; i < p.value.size(); ++i) p.value[i] += change.data()[i];
    }
    network.updated();
    const Tensor trained = network.forward(x, 1, {}), stored = Executor(network.graph()).run(x);
    ASSERT_EQ(trained.size(), stored.size());
    double change = 0.0;
    for (std::int64_t i = 0; i < trained.size(); ++i) {
      EXPECT_NEAR(trained.data()[i], stored.data()[i], 2e-5F * (1.0F + std::fabs(stored.data()[i])));
      change = std::max(change, std::fabs(static_cast<double>(trained.data()[i] - before.data()[i])));
    }
    EXPECT_GT(change, 0.01) << "the parameters had no effect";
    // Storing twice is storing once, and what a training resumes from.
    TrainingNetwork resumed(network.graph());
    const std::vector<TrainedParameter> a = network.parameters(), b = resumed.parameters();
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(std::ranges::equal(a[i].value, b[i].value)) << a[i].name;
  }
}

TEST(TrainingStore, RunningAveragesMoveAsOnnxDefinesThem) {
  Network net;
  const ValueId x = net.input({-1, 2});
  net.output(net.node("BatchNormalization",
                      {x, net.constant(test::tensor({2}, {1.0F, 2.0F}), "scale"), net.constant(Tensor({2}), "shift"),
                       net.constant(test::tensor({2}, {0.5F, 0.0F}), "mean"),
                       net.constant(test::tensor({2}, {1.0F, 4.0F}), "variance")},
                      {{"momentum", 0.75F}, {"epsilon", 0.0F}}, "norm"));
  TrainingNetwork network(net.graph);
  // Means 2 and 10, population variances 1 and 16.
  const Tensor batch = test::tensor({4, 2}, {1, 6, 3, 14, 1, 6, 3, 14});
  const Tensor y = network.forward(batch, 0, {});
  const std::vector<float> normalized{-1, -2, 1, 2, -1, -2, 1, 2};
  for (std::size_t i = 0; i < 8; ++i) EXPECT_NEAR(y.data()[i], normalized[i], 1e-6F);
  const Graph graph = network.graph();
  const Node& node = graph.nodes[0];
  EXPECT_NEAR(graph.tensor(node.inputs[3])->data()[0], 0.75F * 0.5F + 0.25F * 2.0F, 1e-6F);
  EXPECT_NEAR(graph.tensor(node.inputs[3])->data()[1], 0.25F * 10.0F, 1e-6F);
  EXPECT_NEAR(graph.tensor(node.inputs[4])->data()[0], 1.0F, 1e-6F);
  EXPECT_NEAR(graph.tensor(node.inputs[4])->data()[1], 0.75F * 4.0F + 0.25F * 16.0F, 1e-6F);
  EXPECT_THROW(network.forward(test::tensor({1, 2}, {1, 6}), 1, {}), InputError);
}

TEST(TrainingStore, DropoutDrawsByStepAndKeepsTheMean) {
  Network net;
  net.output(net.node("Dropout", {net.input({-1, 1000}), net.constant(test::tensor({}, {0.2F}))}));
  Tensor x({20, 1000});
  for (float& v : x.values()) v = 1.0F;
  TrainingNetwork network(net.graph, {}, 7), other(net.graph, {}, 8);
  const Tensor a = network.forward(x, 5, {1}), again = network.forward(x, 5, {3}), later = network.forward(x, 6, {});
  EXPECT_TRUE(std::ranges::equal(a.values(), again.values()));
  EXPECT_FALSE(std::ranges::equal(a.values(), later.values()));
  EXPECT_FALSE(std::ranges::equal(a.values(), other.forward(x, 5, {}).values()));
  double kept = 0.0;
  for (const float v : a.values()) {
    EXPECT_TRUE(v == 0.0F || v == 1.25F);
    kept += v > 0.0F ? 1.0 : 0.0;
  }
  // 20,000 draws of probability 0.8: 4.9 standard errors, one false alarm in 10^6.
  EXPECT_NEAR(kept / 20000.0, 0.8, 4.9 * std::sqrt(0.16 / 20000.0));
  // In inference nothing is dropped.
  EXPECT_TRUE(std::ranges::equal(Executor(network.graph()).run(x).values(), x.values()));
}

}  // namespace
}  // namespace tessera::nn
