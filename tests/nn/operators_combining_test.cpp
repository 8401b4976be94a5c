#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "one_operator.hpp"

// Question: do the operators that combine elements along axes follow the ONNX definition on their corner cases?
namespace tessera::nn {
namespace {

using test::evaluate;
using test::expect_values;
using test::ints;
using test::Network;
using test::tensor;
using ::testing::Each;

TEST(Reduce, AxesKeepAndEmpty) {
  const Tensor x = tensor({2, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  expect_values(evaluate("ReduceSum", x, {}, {ints({0, -1})}), {1, 2, 1}, {14, 22});
  expect_values(evaluate("ReduceMean", x, {{"keepdims", std::int64_t{0}}}, {ints({1})}), {2, 2}, {2, 3, 6, 7});
  expect_values(evaluate("ReduceMax", x), {1, 1, 1}, {8});
  expect_values(evaluate("ReduceSum", x, {{"noop_with_empty_axes", std::int64_t{1}}}), {2, 2, 2},
                {1, 2, 3, 4, 5, 6, 7, 8});
  expect_values(evaluate("ReduceSum", Tensor(Shape{0, 2}), {}, {ints({0})}), {1, 2}, {0, 0});
  // Over nothing: the identity of the reduction, as opset 20 of ONNX says.
  constexpr float infinity = std::numeric_limits<float>::infinity();
  EXPECT_THAT(evaluate("ReduceMax", Tensor(Shape{0, 2}), {}, {ints({0})}).values(), Each(-infinity));
  EXPECT_THAT(evaluate("ReduceMin", Tensor(Shape{0, 2}), {}, {ints({0})}).values(), Each(infinity));
  EXPECT_THROW(evaluate("ReduceMean", Tensor(Shape{0, 2}), {}, {ints({0})}), InputError);
  expect_values(evaluate("ReduceProd", Tensor(Shape{0, 2}), {}, {ints({0})}), {1, 2}, {1, 1});
  EXPECT_THROW(evaluate("ReduceSum", x, {}, {ints({0, -3})}), InputError);
}

TEST(Reduce, MeanOverPositionsOfChannelsLastImages) {
  Network net(BatchMode::none);
  const ValueId x = net.input({2, 2, 1, 2});
  const ValueId y = net.node("Conv", {x, net.constant(tensor({2, 2, 1, 1}, {1, 0, 0, 1}))});
  net.output(net.node("ReduceMean", {y, net.integers({-1, -2})}, {{"keepdims", std::int64_t{0}}}));
  expect_values(Executor(net.graph).run(tensor({2, 2, 1, 2}, {1, 3, 10, 30, 5, 7, 50, 70})), {2, 2}, {2, 20, 6, 60});
}

TEST(TopK, TiesGoToTheSmallerIndex) {
  Network net(BatchMode::none);
  const auto out = net.nodes("TopK", {net.input({5}), net.integers({3})}, 2);
  net.output(out[0]).output(out[1]);
  const Tensor in = tensor({5}, {1, 7, 3, 7, 5});
  const std::vector<Tensor> result = Executor(net.graph).run({&in, 1});
  expect_values(result[0], {3}, {7, 7, 5});
  expect_values(result[1], {3}, {1, 3, 4});
  EXPECT_THROW(evaluate("TopK", in, {}, {ints({6})}), InputError);
}

TEST(Softmax, IsStableAndAlongItsAxis) {
  expect_values(evaluate("Softmax", tensor({2, 2}, {1000, 1000, 0, std::log(3.0F)})), {2, 2},
                {0.5F, 0.5F, 0.25F, 0.75F});
  expect_values(evaluate("Softmax", tensor({2, 2}, {0, 0, 0, 0}), {{"axis", std::int64_t{0}}}), {2, 2},
                {0.5F, 0.5F, 0.5F, 0.5F});
  // Up to opset 12: the axes from `axis` on are one.
  expect_values(evaluate("Softmax", Tensor(Shape{1, 2, 2}), {{"axis", std::int64_t{1}}, {"flatten", std::int64_t{1}}}),
                {1, 2, 2}, {0.25F, 0.25F, 0.25F, 0.25F});
  expect_values(evaluate("LogSoftmax", tensor({1, 2}, {-1000, 0})), {1, 2}, {-1000, 0});
}

TEST(MatMul, RanksAndBroadcasting) {
  const Tensor x = tensor({2, 2}, {1, 2, 3, 4});
  Network net(BatchMode::none);
  const ValueId a = net.input({2, 1, 1, 2}), b = net.input({3, 2, 2}, ElementType::float32, "y");
  net.output(net.node("MatMul", {a, b}));
  const std::vector<Tensor> in = {tensor({2, 1, 1, 2}, {1, 0, 0, 1}),
                                  tensor({3, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})};
  expect_values(Executor(net.graph).run(in)[0], {2, 3, 1, 2}, {1, 2, 5, 6, 9, 10, 3, 4, 7, 8, 11, 12});
  expect_values(evaluate("MatMul", x, {}, {tensor({2}, {1, 10})}), {2}, {21, 43});
  expect_values(evaluate("MatMul", tensor({2}, {1, 10}), {}, {x}), {2}, {31, 42});
  EXPECT_THROW(evaluate("MatMul", x, {}, {tensor({3, 1}, {1, 2, 3})}), InputError);
}

TEST(Gemm, ScalesAndBias) {
  const Tensor x = tensor({1, 2}, {1, 2});
  expect_values(
      evaluate("Gemm", x, {{"alpha", 2.0F}, {"beta", 3.0F}}, {tensor({2, 2}, {1, 2, 3, 4}), tensor({1, 2}, {1, 10})}),
      {1, 2}, {17, 50});
  expect_values(evaluate("Gemm", x, {{"transB", std::int64_t{1}}}, {tensor({2, 2}, {1, 2, 3, 4}), tensor({}, {1})}),
                {1, 2}, {6, 12});
}

TEST(Resize, NearestAndLinear) {
  const Tensor x = tensor({1, 1, 2}, {1, 3});
  Network net(BatchMode::none);
  const ValueId in = net.input({1, 1, 2});
  net.output(net.node("Resize", {in, no_value, no_value, net.integers({1, 1, 4})}, {{"mode", std::string("linear")}}));
  net.output(
      net.node("Resize", {in, no_value, no_value, net.integers({1, 1, 5})},
               {{"mode", std::string("linear")}, {"coordinate_transformation_mode", std::string("align_corners")}}));
  net.output(
      net.node("Resize", {in, no_value, net.constant(tensor({3}, {1, 1, 2}))}, {{"mode", std::string("nearest")}}));
  const std::vector<Tensor> out = Executor(net.graph).run({&x, 1});
  expect_values(out[0], {1, 1, 4}, {1, 1.5F, 2.5F, 3});
  expect_values(out[1], {1, 1, 5}, {1, 1.5F, 2, 2.5F, 3});
  expect_values(out[2], {1, 1, 4}, {1, 1, 3, 3});
}

TEST(Quantize, RoundsToEvenAndSaturates) {
  const Tensor x = tensor({5}, {-300, 0.5F, 1.5F, 2.4F, 300});
  expect_values(
      evaluate("QuantizeLinear", x, {{"low", std::int64_t{-128}}, {"high", std::int64_t{127}}}, {tensor({}, {1})}), {5},
      {-128, 0, 2, 2, 127});
  Network net(BatchMode::none);
  const ValueId codes = net.input({2, 2}, ElementType::int64);
  net.output(net.node("DequantizeLinear", {codes, net.constant(tensor({2}, {0.5F, 2})), net.integers({1, -1})}));
  expect_values(Executor(net.graph).run(tensor({2, 2}, {1, 1, 3, 3})), {2, 2}, {0, 4, 1, 8});
}

TEST(Normalization, LayerInstanceAndGroup) {
  const Tensor x = tensor({1, 2, 2}, {1, 3, 10, 30});
  const auto one = tensor({2}, {1, 1}), zero = tensor({2}, {0, 0});
  expect_values(evaluate("InstanceNormalization", x, {{"epsilon", 0.0F}}, {one, tensor({2}, {0, 5})}), {1, 2, 2},
                {-1, 1, 4, 6}, 1e-5F);
  expect_values(evaluate("LayerNormalization", x, {{"epsilon", 0.0F}}, {tensor({2}, {2, 3}), zero}), {1, 2, 2},
                {-2, 3, -2, 3}, 1e-5F);
  const Tensor grouped = evaluate("GroupNormalization", x, {{"num_groups", std::int64_t{1}}}, {one, zero});
  double sum = 0.0;
  for (const float v : grouped.values()) sum += static_cast<double>(v);
  EXPECT_NEAR(sum, 0.0, 1e-5);
}

}  // namespace
}  // namespace tessera::nn
