#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "one_operator.hpp"

// Question: does each operator follow the ONNX definition on its corner cases? Expected values are worked out by hand
// or by a plain loop beside the test.
namespace tessera::nn {
namespace {

using test::evaluate;
using test::expect_values;
using test::ints;
using test::Network;
using test::random_tensor;
using test::tensor;
using Ints = std::vector<std::int64_t>;

const Tensor line = tensor({1, 1, 5}, {1, 2, 3, 4, 5});

// --- convolutions ----------------------------------------------------------------------------------------------------

/// The definition of a 2-d convolution, one output at a time.
Tensor plain_convolution(const Tensor& x, const Tensor& w, std::int64_t groups, Ints stride, Ints dilation, Ints pads) {
  const std::int64_t outputs = w.dim(0), per_group = w.dim(1);
  const auto extent = [&](std::size_t i) {
    return (x.dim(static_cast<std::int64_t>(i) + 2) + pads[i] + pads[i + 2] -
            (w.dim(static_cast<std::int64_t>(i) + 2) - 1) * dilation[i] - 1) /
               stride[i] +
           1;
  };
  Tensor y({x.dim(0), outputs, extent(0), extent(1)});
  for (std::int64_t n = 0; n < x.dim(0); ++n)
    for (std::int64_t o = 0; o < outputs; ++o)
      for (std::int64_t i = 0; i < extent(0); ++i)
        for (std::int64_t j = 0; j < extent(1); ++j) {
          double sum = 0.0;
          for (std::int64_t c = 0; c < per_group; ++c)
            for (std::int64_t a = 0; a < w.dim(2); ++a)
              for (std::int64_t b = 0; b < w.dim(3); ++b) {
                const std::int64_t row = i * stride[0] + a * dilation[0] - pads[0],
                                   col = j * stride[1] + b * dilation[1] - pads[1];
                if (row < 0 || row >= x.dim(2) || col < 0 || col >= x.dim(3)) continue;
                const std::int64_t channel = o / (outputs / groups) * per_group + c;
                sum += static_cast<double>(x.data()[((n * x.dim(1) + channel) * x.dim(2) + row) * x.dim(3) + col]) *
                       static_cast<double>(w.data()[((o * per_group + c) * w.dim(2) + a) * w.dim(3) + b]);
              }
          y.data()[((n * outputs + o) * extent(0) + i) * extent(1) + j] = static_cast<float>(sum);
        }
  return y;
}

TEST(Conv, AgreesWithTheDefinitionForAnyGeometry) {
  struct Case {
    Shape x, w;
    std::int64_t groups;
    Ints stride, dilation, pads;
  };
  const std::vector<Case> cases = {
      {{2, 3, 7, 8}, {5, 3, 3, 3}, 1, {1, 1}, {1, 1}, {0, 0, 0, 0}},
      {{2, 3, 7, 8}, {5, 3, 3, 2}, 1, {2, 3}, {1, 1}, {1, 0, 2, 1}},
      {{1, 4, 9, 9}, {6, 2, 3, 3}, 2, {1, 2}, {2, 1}, {2, 2, 1, 3}},
      {{2, 4, 6, 6}, {4, 1, 3, 3}, 4, {1, 1}, {1, 1}, {1, 1, 1, 1}},
      {{2, 4, 6, 6}, {8, 1, 3, 3}, 4, {2, 1}, {1, 2}, {1, 1, 1, 1}},
      {{1, 16, 5, 5}, {8, 16, 1, 1}, 1, {1, 1}, {1, 1}, {0, 0, 0, 0}},
      {{1, 3, 5, 5}, {2, 3, 1, 1}, 1, {2, 2}, {1, 1}, {1, 1, 1, 1}},
      {{1, 1, 3, 3}, {2, 1, 3, 3}, 1, {1, 1}, {1, 1}, {4, 4, 4, 4}},
      {{1, 40, 12, 12}, {33, 40, 5, 5}, 1, {1, 1}, {1, 1}, {2, 2, 2, 2}},
  };
  for (const Case& c : cases) {
    const Tensor x = random_tensor(c.x, 1), w = random_tensor(c.w, 2);
    const Tensor y = evaluate(
        "Conv", x, {{"group", c.groups}, {"strides", c.stride}, {"dilations", c.dilation}, {"pads", c.pads}}, {w});
    const Tensor wanted = plain_convolution(x, w, c.groups, c.stride, c.dilation, c.pads);
    ASSERT_EQ(y.shape(), wanted.shape()) << to_string(c.w);
    for (std::int64_t i = 0; i < y.size(); ++i)
      ASSERT_NEAR(y.data()[i], wanted.data()[i], 2e-4F) << to_string(c.w) << " " << i;
  }
}

TEST(Conv, AutoPadPutsTheOddZeroWhereItsNameSays) {
  const Tensor w = tensor({1, 1, 2}, {10, 1});
  expect_values(evaluate("Conv", line, {{"auto_pad", std::string("SAME_UPPER")}}, {w}), {1, 1, 5},
                {12, 23, 34, 45, 50});
  expect_values(evaluate("Conv", line, {{"auto_pad", std::string("SAME_LOWER")}}, {w}), {1, 1, 5}, {1, 12, 23, 34, 45});
  expect_values(evaluate("Conv", line, {{"auto_pad", std::string("VALID")}}, {w}), {1, 1, 4}, {12, 23, 34, 45});
}

TEST(Conv, RefusesWhatDoesNotFit) {
  EXPECT_THROW(evaluate("Conv", line, {}, {tensor({1, 2, 2}, {1, 1, 1, 1})}), InputError);
  EXPECT_THROW(evaluate("Conv", line, {}, {tensor({1, 1, 6}, {1, 1, 1, 1, 1, 1})}), InputError);
  EXPECT_THROW(evaluate("Conv", line, {{"strides", Ints{0}}}, {tensor({1, 1, 1}, {1})}), InputError);
  EXPECT_THROW(evaluate("Conv", line, {{"pads", Ints{-1, 0}}}, {tensor({1, 1, 1}, {1})}), InputError);
  EXPECT_THROW(evaluate("Conv", line, {{"group", std::int64_t{0}}}, {tensor({1, 1, 1}, {1})}), InputError);
}

TEST(ConvTranspose, SpreadsAndAdds) {
  const Tensor w = tensor({1, 1, 3}, {1, 10, 100});
  const Tensor x = tensor({1, 1, 3}, {1, 2, 3});
  expect_values(evaluate("ConvTranspose", x, {}, {w, tensor({1}, {1000})}), {1, 1, 5}, {1001, 1012, 1123, 1230, 1300});
  expect_values(evaluate("ConvTranspose", x, {{"strides", Ints{2}}, {"output_padding", Ints{1}}}, {w}), {1, 1, 8},
                {1, 10, 102, 20, 203, 30, 300, 0});
  expect_values(evaluate("ConvTranspose", x, {{"strides", Ints{2}}, {"pads", Ints{1, 1}}}, {w}), {1, 1, 5},
                {10, 102, 20, 203, 30});
  // output_shape: the surplus of 3 is cut 2 in front and 1 behind, unless auto_pad is SAME_UPPER.
  expect_values(evaluate("ConvTranspose", x, {{"strides", Ints{2}}, {"output_shape", Ints{4}}}, {w}), {1, 1, 4},
                {102, 20, 203, 30});
}

// --- pooling ---------------------------------------------------------------------------------------------------------

TEST(Pool, CeilModeAddsAWindowThatStartsInside) {
  const std::map<std::string, Attribute> attributes = {
      {"kernel_shape", Ints{2}}, {"strides", Ints{2}}, {"ceil_mode", std::int64_t{1}}};
  expect_values(evaluate("MaxPool", line, attributes), {1, 1, 3}, {2, 4, 5});
  expect_values(evaluate("AveragePool", line, attributes), {1, 1, 3}, {1.5F, 3.5F, 5});
  // kernel 1, stride 3: the last window would start outside.
  expect_values(evaluate("MaxPool", tensor({1, 1, 4}, {1, 2, 3, 4}),
                         {{"kernel_shape", Ints{1}}, {"strides", Ints{2}}, {"ceil_mode", std::int64_t{1}}}),
                {1, 1, 2}, {1, 3});
}

TEST(Pool, PaddingCountsOnlyIfAsked) {
  const std::map<std::string, Attribute> plain = {{"kernel_shape", Ints{3}}, {"pads", Ints{1, 1}}};
  expect_values(evaluate("AveragePool", line, plain), {1, 1, 5}, {1.5F, 2, 3, 4, 4.5F});
  auto counted = plain;
  counted["count_include_pad"] = std::int64_t{1};
  expect_values(evaluate("AveragePool", line, counted), {1, 1, 5}, {1, 2, 3, 4, 3});
  expect_values(evaluate("MaxPool", tensor({1, 1, 2}, {-3, -5}), plain), {1, 1, 2}, {-3, -3});
}

TEST(Pool, DilationAndChannels) {
  const Tensor x = tensor({1, 2, 1, 4}, {1, 9, 3, 4, -1, -9, -3, -4});
  expect_values(evaluate("MaxPool", x, {{"kernel_shape", Ints{1, 2}}, {"dilations", Ints{1, 2}}}), {1, 2, 1, 2},
                {3, 9, -1, -4});
  expect_values(evaluate("GlobalAveragePool", x), {1, 2, 1, 1}, {4.25F, -4.25F});
  expect_values(evaluate("GlobalMaxPool", x), {1, 2, 1, 1}, {9, -1});
}

TEST(Pool, NotANumberIsKept) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const std::vector<float>& values : {std::vector<float>{nan, 1}, std::vector<float>{1, nan}})
    EXPECT_THROW(evaluate("MaxPool", tensor({1, 1, 2}, values), {{"kernel_shape", Ints{2}}}), Error);
}

// --- element by element ----------------------------------------------------------------------------------------------

TEST(Broadcasting, FollowsNumPy) {
  const Tensor x = tensor({2, 1, 3}, {1, 2, 3, 4, 5, 6});
  expect_values(evaluate("Add", x, {}, {tensor({2, 1}, {10, 20})}), {2, 2, 3},
                {11, 12, 13, 21, 22, 23, 14, 15, 16, 24, 25, 26});
  expect_values(evaluate("Mul", x, {}, {tensor({}, {2})}), {2, 1, 3}, {2, 4, 6, 8, 10, 12});
  expect_values(evaluate("Sub", tensor({1}, {1}), {}, {tensor({1, 2}, {3, 4})}), {1, 2}, {-2, -3});
  expect_values(evaluate("Add", Tensor(Shape{0, 3}), {}, {tensor({3}, {1, 2, 3})}), {0, 3}, {});
  EXPECT_THROW(evaluate("Add", x, {}, {tensor({2}, {1, 2})}), InputError);
  EXPECT_THROW(evaluate("Add", x, {}, {ints({1, 2, 3})}), InputError);
}

TEST(Broadcasting, PerChannelConstantsMeetChannelsLastImages) {
  // After a convolution data lies channels-last; the sum must not show it.
  Network net(BatchMode::none);
  const ValueId x = net.input({1, 2, 2, 3});
  const ValueId y = net.node("Conv", {x, net.constant(tensor({2, 2, 1, 1}, {1, 0, 0, 1}))});
  const ValueId z = net.node("Mul", {y, net.constant(tensor({2, 1, 1}, {1, 10}))});
  net.output(net.node("Add", {z, net.constant(tensor({3}, {0, 100, 200}))}));
  expect_values(Executor(net.graph).run(tensor({1, 2, 2, 3}, {1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6})), {1, 2, 2, 3},
                {1, 102, 203, 4, 105, 206, 10, 120, 230, 40, 150, 260});
}

TEST(Pointwise, Values) {
  const Tensor x = tensor({5}, {-2, -0.5F, 0, 0.5F, 2});
  struct Case {
    const char* op;
    std::map<std::string, Attribute> attributes;
    std::vector<float> values;
  };
  const auto sigmoid = [](float v) { return 1.0F / (1.0F + std::exp(-v)); };
  const std::vector<Case> cases = {
      {"Relu", {}, {0, 0, 0, 0.5F, 2}},
      {"LeakyRelu", {{"alpha", 0.1F}}, {-0.2F, -0.05F, 0, 0.5F, 2}},
      {"Elu", {}, {std::expm1(-2.0F), std::expm1(-0.5F), 0, 0.5F, 2}},
      {"Sigmoid", {}, {sigmoid(-2), sigmoid(-0.5F), 0.5F, sigmoid(0.5F), sigmoid(2)}},
      {"HardSigmoid", {}, {0.1F, 0.4F, 0.5F, 0.6F, 0.9F}},
      {"HardSwish",
       {},
       {-2.0F / 6.0F, -0.5F * (0.5F - 0.5F / 6.0F), 0, 0.5F * (0.5F + 0.5F / 6.0F), 2 * (0.5F + 2.0F / 6.0F)}},
      {"Gelu", {}, {-0.04550026F, -0.15426877F, 0, 0.34573123F, 1.95449974F}},
      {"Gelu", {{"approximate", std::string("tanh")}}, {-0.04540229F, -0.15428598F, 0, 0.34571401F, 1.95459771F}},
      {"Erf", {}, {std::erf(-2.0F), std::erf(-0.5F), 0, std::erf(0.5F), std::erf(2.0F)}},
      {"Softplus", {}, {0.12692801F, 0.47407698F, 0.69314718F, 0.97407698F, 2.12692801F}},
      {"Neg", {}, {2, 0.5F, 0, -0.5F, -2}},
      {"Abs", {}, {2, 0.5F, 0, 0.5F, 2}},
      {"Round", {}, {-2, 0, 0, 0, 2}},
      {"Sign", {}, {-1, -1, 0, 1, 1}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.op);
    expect_values(evaluate(c.op, x, c.attributes), {5}, c.values);
  }
  expect_values(evaluate("Clip", x, {}, {tensor({}, {-1}), tensor({}, {1})}), {5}, {-1, -0.5F, 0, 0.5F, 1});
  expect_values(evaluate("PRelu", x, {}, {tensor({1}, {0.25F})}), {5}, {-0.5F, -0.125F, 0, 0.5F, 2});
  expect_values(evaluate("Softplus", tensor({2}, {100, -100})), {2}, {100, 0});
  expect_values(evaluate("Pow", tensor({3}, {1, 2, 3}), {}, {ints({2})}), {3}, {1, 4, 9});
  expect_values(evaluate("Cast", tensor({4}, {-1.7F, 1.7F, 300, 0}), {{"to", std::int64_t{2}}}), {4}, {255, 1, 44, 0});
  expect_values(evaluate("Cast", tensor({3}, {-0.5F, 0, 2}), {{"to", std::int64_t{9}}}), {3}, {1, 0, 1});
}

TEST(Pointwise, WhereAndComparisons) {
  Network net(BatchMode::none);
  const ValueId x = net.input({3});
  const ValueId positive = net.node("Greater", {x, net.constant(tensor({}, {0}))});
  net.output(net.node("Where", {positive, x, net.constant(tensor({1}, {-1}))}));
  expect_values(Executor(net.graph).run(tensor({3}, {-5, 0, 5})), {3}, {-1, -1, 5});
}

TEST(Integers, DivisionByZeroIsAnErrorNotACrash) {
  Network net(BatchMode::none);
  const ValueId x = net.input({2}, ElementType::int64);
  net.output(net.node("Div", {net.integers({7, 8}), x}));
  const Executor executor(net.graph);
  expect_values(executor.run(tensor({2}, {2, -3})), {2}, {3, -2});
  EXPECT_THROW(executor.run(tensor({2}, {0, 1})), RunError);
}

// --- shapes ----------------------------------------------------------------------------------------------------------

TEST(Reshape, CopiesInfersAndRefuses) {
  const Tensor x = random_tensor({2, 3, 4}, 1);
  EXPECT_EQ(evaluate("Reshape", x, {}, {ints({0, -1})}).shape(), (Shape{2, 12}));
  EXPECT_EQ(evaluate("Reshape", x, {}, {ints({-1})}).shape(), (Shape{24}));
  EXPECT_THROW(evaluate("Reshape", x, {}, {ints({-1, -1})}), InputError);
  EXPECT_THROW(evaluate("Reshape", x, {}, {ints({5, -1})}), InputError);
  EXPECT_THROW(evaluate("Reshape", x, {}, {ints({0, 0, 0, 0})}), InputError);
  EXPECT_THROW(evaluate("Reshape", x, {}, {ints({std::int64_t{1} << 62, 4})}), InputError);
  EXPECT_EQ(evaluate("Reshape", Tensor(Shape{0, 3}), {{"allowzero", std::int64_t{1}}}, {ints({3, 0})}).shape(),
            (Shape{3, 0}));
}

TEST(Slice, NegativeStepsAndExtremeBounds) {
  const Tensor x = tensor({5}, {0, 1, 2, 3, 4});
  constexpr std::int64_t low = std::numeric_limits<std::int64_t>::min(),
                         high = std::numeric_limits<std::int64_t>::max();
  const auto slice = [&](std::int64_t start, std::int64_t end, std::int64_t step) {
    return evaluate("Slice", x, {}, {ints({start}), ints({end}), ints({0}), ints({step})});
  };
  expect_values(slice(1, -1, 2), {2}, {1, 3});
  expect_values(slice(-1, low, -2), {3}, {4, 2, 0});
  expect_values(slice(-1, low + 1, -1), {5}, {4, 3, 2, 1, 0});
  expect_values(slice(high, low, -3), {2}, {4, 1});
  expect_values(slice(low, high, high), {1}, {0});
  expect_values(slice(3, 1, 1), {0}, {});
  expect_values(slice(-100, 100, 3), {2}, {0, 3});
  EXPECT_THROW(slice(0, 1, 0), InputError);
}

TEST(Pad, Modes) {
  const Tensor x = tensor({3}, {1, 2, 3});
  const auto pad = [&](const char* mode, Ints pads) {
    return evaluate("Pad", x, {{"mode", std::string(mode)}}, {ints(pads)});
  };
  expect_values(pad("constant", {1, 2}), {6}, {0, 1, 2, 3, 0, 0});
  expect_values(pad("constant", {-1, 1}), {3}, {2, 3, 0});
  expect_values(pad("edge", {2, 1}), {6}, {1, 1, 1, 2, 3, 3});
  expect_values(pad("reflect", {2, 2}), {7}, {3, 2, 1, 2, 3, 2, 1});
  expect_values(pad("wrap", {1, 2}), {6}, {3, 1, 2, 3, 1, 2});
  expect_values(evaluate("Pad", x, {}, {ints({1, 0}), tensor({}, {9}), ints({-1})}), {4}, {9, 1, 2, 3});
  EXPECT_THROW(pad("constant", {1}), InputError);
  EXPECT_THROW(pad("constant", {-4, 0}), InputError);
}

TEST(Moving, TransposeTileExpandConcatSplitGather) {
  const Tensor x = tensor({2, 3}, {1, 2, 3, 4, 5, 6});
  expect_values(evaluate("Transpose", x), {3, 2}, {1, 4, 2, 5, 3, 6});
  expect_values(evaluate("Tile", x, {}, {ints({1, 2})}), {2, 6}, {1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6});
  expect_values(evaluate("Expand", tensor({2, 1}, {1, 2}), {}, {ints({2, 1, 3})}), {2, 2, 3},
                {1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2});
  expect_values(evaluate("Concat", x, {{"axis", std::int64_t{-1}}}, {tensor({2, 1}, {7, 8})}), {2, 4},
                {1, 2, 3, 7, 4, 5, 6, 8});
  expect_values(evaluate("Gather", x, {{"axis", std::int64_t{1}}}, {ints({-1, 0})}), {2, 2}, {3, 1, 6, 4});
  EXPECT_THROW(evaluate("Transpose", x, {{"perm", Ints{0, 0}}}), InputError);
  EXPECT_THROW(evaluate("Concat", x, {{"axis", std::int64_t{2}}}, {tensor({2, 1}, {7, 8})}), InputError);
  Network net(BatchMode::none);
  const auto parts = net.nodes("Split", {net.input({1, 5}), net.integers({2, 0, 3})}, 3, {{"axis", std::int64_t{1}}});
  for (const ValueId part : parts) net.output(part);
  const Tensor in = tensor({1, 5}, {1, 2, 3, 4, 5});
  const std::vector<Tensor> out = Executor(net.graph).run({&in, 1});
  expect_values(out[0], {1, 2}, {1, 2});
  expect_values(out[1], {1, 0}, {});
  expect_values(out[2], {1, 3}, {3, 4, 5});
}

TEST(ScatterND, WritesAndReduces) {
  const Tensor x = tensor({4}, {1, 2, 3, 4});
  const IntTensor indices{{2, 1}, {3, -4}};
  expect_values(evaluate("ScatterND", x, {}, {indices, tensor({2}, {10, 20})}), {4}, {20, 2, 3, 10});
  expect_values(evaluate("ScatterND", x, {{"reduction", std::string("add")}}, {indices, tensor({2}, {10, 20})}), {4},
                {21, 2, 3, 14});
  EXPECT_THROW(evaluate("ScatterND", x, {}, {IntTensor{{1, 1}, {4}}, tensor({1}, {1})}), Error);
}

}  // namespace
}  // namespace tessera::nn
