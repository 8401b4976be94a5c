#include "tessera/nn/training.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "gradient_check.hpp"
#include "tessera/nn/loss.hpp"

// Question: does a network learn: are its gradients and updates right, the same bits for any thread count, and does
// what cannot be trained say so?
namespace tessera::nn {
namespace {

using test::Network;
using test::random_tensor;
using testing::HasSubstr;

constexpr std::int64_t one = 1;

std::string message_of(const auto& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

void expect_gradients(TrainingNetwork& network, const Tensor& x) {
  for (const test::GradientError& error : test::gradient_errors(network, x)) {
    EXPECT_GT(error.largest, 1e-3) << error.name << ": nothing is checked";
    EXPECT_LT(error.relative(), 3e-3) << error.name;
    EXPECT_EQ(error.kinks, 0) << error.name;
  }
}

/// small_cnn() with other functions for its kinks: finite differences cannot be taken across those.
Graph with_operators(const std::string& relu, const std::string& pool) {
  Graph graph = test::small_cnn();
  for (Node& node : graph.nodes) {
    if (node.op == "Relu") node.op = relu;
    if (node.op == "MaxPool") node.op = pool;
    if (node.op == "LeakyRelu") node.attributes["alpha"] = 0.0F;
  }
  return graph;
}

TEST(Training, GradientsOfASmallNetworkAgreeWithFiniteDifferences) {
  TrainingNetwork network(with_operators("Softplus", "AveragePool"));
  expect_gradients(network, random_tensor({3, 3, 9, 9}, 21));
}

TEST(Training, AReluInsideTheLayerBeforeItHasTheGradientsOfOneBehindIt) {
  TrainingNetwork fused(test::small_cnn()), apart(with_operators("LeakyRelu", "MaxPool"));
  const Tensor x = random_tensor({3, 3, 9, 9}, 22), dy = random_tensor({3, 7}, 23);
  for (TrainingNetwork* network : {&fused, &apart}) {
    network->forward(x, 0, {});
    network->backward(dy, {});
  }
  const std::vector<TrainedParameter> a = fused.parameters(), b = apart.parameters();
  for (std::size_t i = 0; i < a.size(); ++i)
    for (std::size_t k = 0; k < a[i].gradient.size(); ++k)
      ASSERT_FLOAT_EQ(a[i].gradient[k], b[i].gradient[k]) << a[i].name << " " << k;
}

TEST(Training, GradientsAddUpUntilTheyAreCleared) {
  TrainingNetwork network(test::small_cnn());
  const Tensor x = random_tensor({2, 3, 9, 9}, 22), dy = random_tensor({2, 7}, 23);
  network.zero_gradients();
  network.forward(x, 0, {});
  network.backward(dy, {});
  const TrainedParameter p = network.parameters().back();
  const std::vector<float> once(p.gradient.begin(), p.gradient.end());
  network.forward(x, 0, {});
  network.backward(dy, {});
  for (std::size_t i = 0; i < once.size(); ++i) EXPECT_FLOAT_EQ(p.gradient[i], 2.0F * once[i]);
  EXPECT_NE(once[0], 0.0F);
  network.zero_gradients();
  EXPECT_EQ(p.gradient[0], 0.0F);
}

/// Some steps of plain gradient descent; all parameters afterwards.
std::vector<float> trained(Graph graph, Parallel parallel) {
  TrainingNetwork network(std::move(graph));
  for (std::uint64_t step = 0; step < 3; ++step) {
    const Tensor x = random_tensor({37, 3, 9, 9}, 31 + static_cast<std::uint32_t>(step));
    std::vector<std::int32_t> labels(37);
    for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::int32_t>(i % 7);
    network.zero_gradients();
    const Loss loss = softmax_cross_entropy(network.forward(x, step, parallel), labels, LossInput::logits, 0.1);
    network.backward(loss.d_output, parallel);
    for (const TrainedParameter& p : network.parameters())
      for (std::size_t i = 0; i < p.value.size(); ++i) p.value[i] -= 0.1F * p.gradient[i];
    network.updated();
  }
  std::vector<float> all;
  for (const TrainedParameter& p : network.parameters()) all.insert(all.end(), p.value.begin(), p.value.end());
  return all;
}

TEST(Training, EqualsItselfBitForBitForAnyThreadCount) {
  const std::vector<float> one_thread = trained(test::small_cnn(), {1});
  for (const int threads : {2, 3}) {
    const std::vector<float> many = trained(test::small_cnn(), {threads});
    ASSERT_EQ(many.size(), one_thread.size());
    EXPECT_EQ(std::memcmp(many.data(), one_thread.data(), many.size() * sizeof(float)), 0) << threads;
  }
}

TEST(Training, TheGraphHoldsWhatWasLearned) {
  TrainingNetwork network(test::small_cnn());
  for (const TrainedParameter& p : network.parameters())
    for (float& v : p.value) v *= 1.25F;
  network.updated();
  const Tensor x = random_tensor({5, 3, 9, 9}, 41);
  const Tensor y = network.forward(x, 0, {});
  const Tensor inferred = Executor(network.graph()).run(x);
  ASSERT_EQ(y.shape(), inferred.shape());
  for (std::int64_t i = 0; i < y.size(); ++i)
    EXPECT_NEAR(y.data()[i], inferred.data()[i], 1e-4F * (1.0F + std::fabs(inferred.data()[i])));
  // And it is where a resumed training begins.
  TrainingNetwork resumed(network.graph());
  const std::vector<TrainedParameter> before = network.parameters(), after = resumed.parameters();
  ASSERT_EQ(before.size(), after.size());
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(before[i].name, after[i].name);
    EXPECT_TRUE(std::ranges::equal(before[i].value, after[i].value)) << before[i].name;
  }
}

TEST(Training, NamesItsParameters) {
  TrainingNetwork network(test::small_cnn());
  std::vector<std::string> names;
  for (const TrainedParameter& p : network.parameters()) names.push_back(p.name);
  EXPECT_THAT(names, testing::ElementsAre("conv1.weight", "conv1.bias", "conv2.group0.weight", "conv2.group1.weight",
                                          "fc.weight", "fc.bias"));
}

TEST(Training, ListsEveryNodeThatCannotBeTrained) {
  Network net;
  const ValueId x = net.input({-1, 4});
  const ValueId h = net.node("Gemm", {x, net.constant(random_tensor({4, 4}, 1), "fc.weight")}, {}, "fc");
  const ValueId f = net.node("Floor", {h}, {}, "rounded");
  const ValueId s = net.node("CumSum", {f, net.integers({1})}, {}, "summed");
  net.output(net.node("Add", {s, net.node("ReduceMax", {h, net.integers({1})}, {}, "peak")}));
  const std::string message = message_of([&] { TrainingNetwork network(net.graph); });
  EXPECT_THAT(message, HasSubstr("'rounded' (Floor)"));
  EXPECT_THAT(message, HasSubstr("'summed' (CumSum)"));
  EXPECT_THAT(message, HasSubstr("'peak' (ReduceMax)"));
}

TEST(Training, MovesPastOperatorsInFrontOfAllParameters) {
  Network net;
  const ValueId x = net.input({-1, 4});
  const ValueId f = net.node("Floor", {x}, {}, "rounded");
  net.output(net.node("Gemm", {f, net.constant(random_tensor({4, 3}, 1), "fc.weight")}, {}, "fc"));
  TrainingNetwork network(net.graph);
  network.forward(random_tensor({2, 4}, 2), 0, {});
  network.backward(random_tensor({2, 3}, 3), {});
  EXPECT_NE(network.parameters()[0].gradient[0], 0.0F);
}

TEST(Training, RefusesSharedWeightsAndWrongBatches) {
  Network net;
  const ValueId x = net.input({-1, 4}), w = net.constant(random_tensor({4, 4}, 1), "w");
  net.output(net.node("MatMul", {net.node("MatMul", {x, w}, {}, "a"), w}, {}, "b"));
  EXPECT_THAT(message_of([&] { TrainingNetwork network(net.graph); }), HasSubstr("'a' and 'b' share the weight 'w'"));
  TrainingNetwork network(test::small_cnn());
  EXPECT_THROW(network.forward(Tensor({2, 3, 9, 8}), 0, {}), InputError);
  EXPECT_THROW(network.backward(Tensor({2, 7}), {}), RunError);
}

TEST(Training, NamesTheNodeThatDiverged) {
  Network net;
  const ValueId x = net.input({-1, 4});
  const ValueId h = net.node("Gemm", {x, net.constant(random_tensor({4, 4}, 1), "fc.weight")}, {}, "fc");
  net.output(net.node("Relu", {net.node("Exp", {h}, {}, "explode")}));
  TrainingNetwork network(net.graph);
  EXPECT_THAT(message_of([&] {
                network.forward(random_tensor({2, 4}, 2, 1e4F), 0, {});
              }),
              HasSubstr("'explode' (Exp)"));
}

// --- Replaced parts --------------------------------------------------------------------------------------------------

/// y = 2 W x, and remembers how it was called.
class Doubling : public TrainableLinear {
 public:
  explicit Doubling(const LinearPart& part)
      : weight_(part.weight.matrix()), gradient_(weight_.rows(), weight_.cols()) {}
  void begin_step(std::uint64_t step) override { steps.push_back(step); }
  void forward(ConstMatrixView x, MatrixView y, std::uint64_t first, Parallel) override {
    calls.push_back(first);
    for (std::int64_t v = 0; v < x.rows; ++v)
      for (std::int64_t o = 0; o < y.cols; ++o) {
        double sum = 0.0;
        for (std::int64_t k = 0; k < x.cols; ++k) sum += 2.0 * static_cast<double>(x(v, k) * weight_(o, k));
        y(v, o) = static_cast<float>(sum);
      }
  }
  void backward(ConstMatrixView x, ConstMatrixView dy, MatrixView dx, std::uint64_t first, Parallel) override {
    back_calls.push_back(first);
    for (std::int64_t v = 0; v < x.rows; ++v) {
      std::fill_n(dx.row(v), dx.cols, 0.0F);
      for (std::int64_t o = 0; o < dy.cols; ++o)
        for (std::int64_t k = 0; k < x.cols; ++k) {
          gradient_(o, k) += 2.0F * dy(v, o) * x(v, k);
          dx(v, k) += 2.0F * dy(v, o) * weight_(o, k);
        }
    }
  }
  std::vector<TrainedParameter> parameters() override {
    return {{"weight", ParameterKind::weight, weight_.values(), gradient_.values()}};
  }
  void updated() override { ++updates; }

  std::vector<std::uint64_t> steps, calls, back_calls;
  int updates = 0;

 private:
  Matrix weight_, gradient_;
};

TEST(Training, ReplacedPartsSeeAllVectorsAndTheirGradientsPass) {
  TrainingNetwork network(with_operators("Softplus", "AveragePool"));
  std::vector<std::shared_ptr<Doubling>> parts;
  for (std::size_t l = 0; l < network.layers().size(); ++l)
    for (std::size_t p = 0; p < network.layers()[l].parts.size(); ++p) {
      parts.push_back(std::make_shared<Doubling>(network.layers()[l].parts[p]));
      network.replace(l, p, parts.back());
    }
  expect_gradients(network, random_tensor({2, 3, 9, 9}, 51, 0.5F));
  EXPECT_EQ(network.parameters().size(), 4U);
  for (const auto& part : parts) {
    EXPECT_EQ(part->calls.front(), 0U);
    EXPECT_EQ(part->back_calls, std::vector<std::uint64_t>{0U});
    EXPECT_EQ(part->steps.front(), 3U);
    EXPECT_GT(part->updates, 0);
  }
}

}  // namespace
}  // namespace tessera::nn
