#include "tessera/nn/passes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "network.hpp"
#include "tessera/nn/linear.hpp"

// Question: do rewritten graphs compute what they computed before?
namespace tessera::nn {
namespace {

using test::Network;
using test::random_tensor;
using testing::HasSubstr;

void expect_close(const Tensor& a, const Tensor& b, double relative = 1e-5) {
  ASSERT_EQ(a.shape(), b.shape());
  double largest = 0.0, difference = 0.0;
  for (std::int64_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::fabs(static_cast<double>(a.data()[i])));
    difference = std::max(difference, std::fabs(static_cast<double>(a.data()[i]) - static_cast<double>(b.data()[i])));
  }
  EXPECT_GT(largest, 0.0);
  EXPECT_LE(difference, relative * largest);
}

std::vector<std::string> ops_of(const Graph& graph) {
  std::vector<std::string> ops;
  for (const Node& node : graph.nodes) ops.push_back(node.op);
  return ops;
}

ValueId batch_norm(Network& net, ValueId x, std::int64_t channels, std::uint32_t seed) {
  Tensor variance = random_tensor({channels}, seed + 3);
  for (float& v : variance.values()) v = 0.5F + v * v;
  return net.node("BatchNormalization",
                  {x, net.constant(random_tensor({channels}, seed)), net.constant(random_tensor({channels}, seed + 1)),
                   net.constant(random_tensor({channels}, seed + 2)), net.constant(std::move(variance))});
}

TEST(FoldConstants, EvaluatesConstantSubGraphs) {
  // The pad vector that exporters write: zeros after given entries, reshaped, reversed, transposed.
  Network net;
  const ValueId x = net.input({-1, 2, 4, 4});
  const ValueId zeros = net.node("ConstantOfShape", {net.integers({6})}, {{"integer_value", std::int64_t{0}}});
  const ValueId all = net.node("Concat", {net.integers({1, 2}), zeros}, {{"axis", std::int64_t{0}}});
  const ValueId pairs = net.node("Reshape", {all, net.integers({-1, 2})});
  const ValueId reversed =
      net.node("Slice", {pairs, net.integers({-1}), net.integers({std::numeric_limits<std::int64_t>::min() + 1}),
                         net.integers({0}), net.integers({-1})});
  const ValueId flat = net.node("Reshape", {net.node("Transpose", {reversed}), net.integers({-1})});
  net.output(net.node("Pad", {x, net.node("Cast", {flat}, {{"to", std::int64_t{7}}})}));
  const Tensor in = random_tensor({3, 2, 4, 4}, 1);
  const Tensor before = Executor(net.graph).run(in);
  fold_constants(net.graph);
  remove_dead_nodes(net.graph);
  EXPECT_EQ(ops_of(net.graph), (std::vector<std::string>{"Pad"}));
  EXPECT_EQ(net.graph.integers(net.graph.nodes[0].inputs[1])->values,
            (std::vector<std::int64_t>{0, 0, 0, 1, 0, 0, 0, 2}));
  expect_close(before, Executor(net.graph).run(in), 0.0);
  EXPECT_EQ(before.shape(), (Shape{3, 2, 4, 7}));
}

TEST(FoldConstants, TheTransposeOfAWeightOfAnySizeIsAWeight) {
  // A language model's head that is its embedding, turned.
  Network net;
  const std::int64_t words = largest_folded / 8 + 1, width = 8;
  const ValueId x = net.input({-1, width});
  const ValueId embedding = net.constant(random_tensor({words, width}, 1));
  const ValueId turned = net.node("Transpose", {embedding}, {{"perm", std::vector<std::int64_t>{1, 0}}});
  net.output(net.node("MatMul", {x, turned}));
  EXPECT_TRUE(linear_layers(net.graph).empty());
  fold_constants(net.graph);
  EXPECT_THAT(ops_of(net.graph), testing::ElementsAre("MatMul"));
  EXPECT_EQ(linear_layers(net.graph).size(), 1);
}

class Stored final : public FloatSource {
 public:
  explicit Stored(Tensor tensor) : tensor_(std::move(tensor)) {}
  const float* values() const override { return tensor_.data(); }

 private:
  Tensor tensor_;
};

TEST(FoldConstants, TheTransposeOfAStoredWeightIsNotASecondCopy) {
  const Tensor weight = random_tensor({7, 5}, 1);
  Network net;
  const ValueId x = net.input({-1, 5});
  const ValueId stored = net.constant(Tensor::from(weight.shape(), std::make_shared<const Stored>(weight)));
  const ValueId turned = net.node("Transpose", {stored});
  net.output(net.node("MatMul", {x, turned}));
  const Tensor in = random_tensor({3, 5}, 2);
  const Tensor before = Executor(net.graph).run(in);
  fold_constants(net.graph);
  EXPECT_THAT(ops_of(net.graph), testing::ElementsAre("MatMul"));
  const Tensor& folded = *net.graph.tensor(turned);
  EXPECT_FALSE(folded.owns_values());
  std::vector<float> middle(20);
  folded.copy(6, middle);
  for (std::size_t i = 0; i < middle.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i) + 6;
    EXPECT_EQ(middle[i], weight.data()[at % 7 * 5 + at / 7]) << at;
    EXPECT_EQ(folded.data()[at], middle[i]) << at;
  }
  expect_close(Executor(net.graph).run(in), before);
}

TEST(FoldConstants, WhatWouldGrowBeyondTheLimitStays) {
  Network net;
  const ValueId x = net.input({-1, 1});
  const ValueId wide = net.node("Expand", {net.constant(random_tensor({1}, 1)), net.integers({largest_folded + 1})});
  net.output(net.node("Add", {x, wide}));
  fold_constants(net.graph);
  EXPECT_THAT(ops_of(net.graph), testing::ElementsAre("Expand", "Add"));
}

TEST(RemoveDeadNodes, DropsWhatNothingReadsAndKeepsOutputNames) {
  Network net;
  const ValueId x = net.input({-1, 4});
  net.node("Exp", {x}, {}, "unused");
  const ValueId y = net.node("Identity", {net.node("Relu", {net.node("Identity", {x})})}, {}, "last");
  net.output(y);
  net.graph.values[static_cast<std::size_t>(y)].name = "probabilities";
  remove_dead_nodes(net.graph);
  EXPECT_EQ(ops_of(net.graph), (std::vector<std::string>{"Relu"}));
  EXPECT_EQ(net.graph.values[static_cast<std::size_t>(net.graph.outputs[0])].name, "probabilities");
  EXPECT_NO_THROW(validate(net.graph));
}

TEST(MergeBias, AddAfterALayerBecomesItsBias) {
  Network net;
  const ValueId x = net.input({-1, 3, 6, 6});
  ValueId y = net.node("Conv", {x, net.constant(random_tensor({4, 3, 3, 3}, 1))}, {}, "conv");
  y = net.node("Add", {net.constant(random_tensor({4, 1, 1}, 2)), y});
  y = net.node("Add", {y, net.constant(random_tensor({1, 4, 1, 1}, 3))});
  y = net.node("Flatten", {y});
  y = net.node("MatMul", {y, net.constant(random_tensor({64, 5}, 4))}, {}, "fc");
  net.output(net.node("Add", {y, net.constant(random_tensor({1, 5}, 5))}));
  const Tensor in = random_tensor({3, 3, 6, 6}, 6);
  const Tensor before = Executor(net.graph).run(in);
  merge_bias(net.graph);
  EXPECT_EQ(ops_of(net.graph), (std::vector<std::string>{"Conv", "Flatten", "MatMul"}));
  EXPECT_NO_THROW(validate(net.graph));
  expect_close(before, Executor(net.graph).run(in));
  for (const LinearLayer& layer : linear_layers(net.graph)) EXPECT_FALSE(layer.parts[0].bias.empty());
}

TEST(MergeBias, LeavesWhatIsNotABias) {
  Network net;
  const ValueId x = net.input({-1, 4, 4});
  const ValueId w = net.constant(random_tensor({4, 4}, 1));
  // A matrix per sample: one value per row, not per output; a layer read twice; a sum of two layers.
  const ValueId a = net.node("MatMul", {x, w});
  const ValueId b = net.node("Add", {a, net.constant(random_tensor({4, 1}, 2))});
  const ValueId c = net.node("MatMul", {x, w});
  const ValueId d = net.node("Add", {c, net.constant(random_tensor({4}, 3))});
  net.output(net.node("Add", {net.node("Add", {b, c}), d}));
  const std::vector<std::string> before = ops_of(net.graph);
  merge_bias(net.graph);
  EXPECT_EQ(ops_of(net.graph), before);
}

// numpy.matmul broadcasts a constant [1, k, n] as it does the matrix [k, n].
TEST(CanonicalProducts, AConstantWithLeadingOnesIsAMatrix) {
  Network net;
  net.output(net.node("MatMul", {net.input({-1, 4, 5}), net.constant(random_tensor({1, 5, 3}, 1))}));
  const Tensor x = random_tensor({2, 4, 5}, 2);
  const Tensor before = Executor(net.graph).run(x);
  EXPECT_TRUE(linear_layers(net.graph).empty());
  canonicalize_products(net.graph);
  ASSERT_EQ(linear_layers(net.graph).size(), 1U);
  EXPECT_EQ(linear_layers(net.graph)[0].parts[0].weight.rows(), 3);
  expect_close(Executor(net.graph).run(x), before);
}

TEST(CanonicalProducts, MatricesPerHeadStayDigital) {
  Network net;
  net.output(net.node("MatMul", {net.input({-1, 2, 4, 5}), net.constant(random_tensor({2, 5, 3}, 1))}));
  canonicalize_products(net.graph);
  EXPECT_TRUE(linear_layers(net.graph).empty());
}

// The result of x [m, k] times [1, k, n] has three axes: not that of a matrix.
TEST(CanonicalProducts, AConstantOfMoreAxesThanTheInputStays) {
  Network net(BatchMode::none);
  net.output(net.node("MatMul", {net.input({4, 5}), net.constant(random_tensor({1, 5, 3}, 1))}));
  canonicalize_products(net.graph);
  EXPECT_TRUE(linear_layers(net.graph).empty());
}

TEST(CanonicalProducts, AConstantOnTheLeftIsALayerBetweenTransposes) {
  const Tensor x = random_tensor({2, 5, 4}, 2);
  Network net;
  net.output(net.node("MatMul", {net.constant(random_tensor({3, 5}, 1)), net.input({-1, 5, 4})}, {}, "left"));
  const Tensor before = Executor(net.graph).run(x);
  canonicalize_products(net.graph);
  ASSERT_EQ(linear_layers(net.graph).size(), 1U);
  EXPECT_EQ(linear_layers(net.graph)[0].name, "left");
  EXPECT_EQ(net.graph.nodes.size(), 3U);
  expect_close(Executor(net.graph).run(x), before);
}

TEST(CanonicalProducts, ATransposeInFrontOfAConstantOnTheLeftGoesAway) {
  const Tensor x = random_tensor({2, 4, 5}, 2);
  Network net;
  const ValueId turned = net.node("Transpose", {net.input({-1, 4, 5})}, {{"perm", std::vector<std::int64_t>{0, 2, 1}}});
  net.output(net.node("MatMul", {net.constant(random_tensor({3, 5}, 1)), turned}, {}, "left"));
  const Tensor before = Executor(net.graph).run(x);
  canonicalize_products(net.graph);
  remove_dead_nodes(net.graph);
  EXPECT_EQ(net.graph.nodes.size(), 2U);  // the layer, and one transpose behind it
  ASSERT_EQ(linear_layers(net.graph).size(), 1U);
  expect_close(Executor(net.graph).run(x), before);
}

TEST(FoldBatchnorm, KeepsTheFunction) {
  Network net;
  const ValueId x = net.input({-1, 4, 6, 6});
  ValueId y = net.node("Conv", {x, net.constant(random_tensor({6, 2, 3, 3}, 1)), net.constant(random_tensor({6}, 2))},
                       {{"group", std::int64_t{2}}}, "conv");
  y = net.node("Relu", {batch_norm(net, y, 6, 10)});
  y = net.node("ConvTranspose", {y, net.constant(random_tensor({6, 2, 2, 2}, 3)), net.constant(random_tensor({4}, 4))},
               {{"group", std::int64_t{2}}, {"strides", std::vector<std::int64_t>{2, 2}}}, "up");
  y = net.node("Flatten", {batch_norm(net, y, 4, 20)});
  y = net.node("Gemm", {y, net.constant(random_tensor({256, 5}, 5, 0.1F)), net.constant(random_tensor({5}, 6))},
               {{"alpha", 0.5F}, {"beta", 2.0F}}, "fc1");
  y = batch_norm(net, y, 5, 30);
  y = net.node("Gemm", {y, net.constant(random_tensor({5, 5}, 7))}, {{"transB", std::int64_t{1}}}, "fc2");
  y = batch_norm(net, y, 5, 40);
  y = net.node("MatMul", {y, net.constant(random_tensor({5, 3}, 8))}, {}, "fc3");
  net.output(batch_norm(net, y, 3, 50));
  const Tensor in = random_tensor({4, 4, 6, 6}, 9);
  const Tensor before = Executor(net.graph).run(in);
  EXPECT_EQ(fold_batchnorm(net.graph), 5);
  EXPECT_EQ(ops_of(net.graph),
            (std::vector<std::string>{"Conv", "Relu", "ConvTranspose", "Flatten", "Gemm", "Gemm", "MatMul"}));
  EXPECT_NO_THROW(validate(net.graph));
  expect_close(before, Executor(net.graph).run(in), 2e-5);
  EXPECT_EQ(fold_batchnorm(net.graph), 0);
}

TEST(FoldBatchnorm, LeavesLayersWithOtherReadersAlone) {
  Network net;
  const ValueId x = net.input({-1, 4});
  const ValueId y = net.node("Gemm", {x, net.constant(random_tensor({4, 4}, 1))});
  net.output(net.node("Add", {batch_norm(net, y, 4, 10), y}));
  EXPECT_EQ(fold_batchnorm(net.graph), 0);
  // [N, 4, 4] times a matrix: the channel of the normalisation is not the last axis.
  Network matrices;
  const ValueId z = matrices.node("MatMul", {matrices.input({-1, 4, 4}), matrices.constant(random_tensor({4, 4}, 1))});
  matrices.output(batch_norm(matrices, z, 4, 10));
  EXPECT_EQ(fold_batchnorm(matrices.graph), 0);
}

TEST(InferShapes, ListsEveryNodeThatDoesNotFit) {
  Network net;
  const ValueId x = net.input({-1, 4});
  const ValueId bad = net.node("Reshape", {x, net.integers({7, 7})}, {}, "one");
  net.node("Relu", {bad}, {}, "behind");
  const ValueId other = net.node("Conv", {x, net.constant(random_tensor({2, 1, 3}, 1))}, {}, "two");
  net.output(other);
  const auto problems = shape_problems(net.graph, input_shapes(net.graph, 1));
  ASSERT_EQ(problems.size(), 2U);
  EXPECT_THAT(problems[0].reason, HasSubstr("'one'"));
  EXPECT_THAT(problems[1].reason, HasSubstr("'two'"));
}

TEST(InferShapes, AbsurdShapesAreRefusedBeforeAnythingIsAllocated) {
  for (const std::vector<std::int64_t>& repeats :
       {std::vector<std::int64_t>{std::int64_t{1} << 39, std::int64_t{1} << 39},
        std::vector<std::int64_t>{std::int64_t{1} << 33, 4}}) {
    Network net;
    net.output(net.node("Tile", {net.input({-1, 4}), net.integers(repeats)}));
    EXPECT_THROW(infer_shapes(net.graph, {{1, 4}}), InputError);
  }
}

}  // namespace
}  // namespace tessera::nn
