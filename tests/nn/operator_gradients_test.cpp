#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <functional>

#include "gradient_check.hpp"

// Question: is the derivative of every operator that trains the limit of its difference quotients?
namespace tessera::nn {
namespace {

using test::Network;
using test::random_tensor;
using List = std::vector<std::int64_t>;

constexpr std::int64_t on = 1;

struct Case {
  std::string name;  ///< operator, then what is special
  Tensor x;
  std::function<void(Network&, ValueId)> build;  ///< adds the output
  double step = 0.02;
  std::int64_t kinks = 0;  ///< entries of one array that may lie at a kink
};

/// Distinct values, at least `gap` apart from each other and from 0: no difference quotient crosses a kink.
Tensor spread_tensor(Shape shape, std::uint32_t seed, float gap = 0.15F) {
  Tensor order = random_tensor(shape, seed), result(std::move(shape));
  std::vector<std::size_t> index(static_cast<std::size_t>(order.size()));
  for (std::size_t i = 0; i < index.size(); ++i) index[i] = i;
  std::ranges::sort(index, {}, [&](std::size_t i) { return order.data()[i]; });
  const float middle = 0.5F * static_cast<float>(index.size()) - 0.5F;
  for (std::size_t rank = 0; rank < index.size(); ++rank) {
    const float v = static_cast<float>(rank) - middle;
    result.data()[index[rank]] = gap * (v + (v < 0.0F ? -0.5F : 0.5F));
  }
  return result;
}

Tensor positive(Tensor x) {
  for (float& v : x.values()) v = 0.5F + std::fabs(v);
  return x;
}

Case unary(const std::string& op, std::map<std::string, Attribute> attributes = {}, Tensor x = random_tensor({3, 7}, 1),
           const std::string& detail = "") {
  return {op + detail, std::move(x),
          [op, attributes](Network& net, ValueId in) { net.output(net.node(op, {in}, attributes)); }};
}

/// op(x, tanh(x) slice of another shape): both operands depend on the input.
Case binary(const std::string& op, const std::string& detail, Shape second) {
  return {op + ", " + detail, random_tensor({3, 4, 5}, 2), [op, second](Network& net, ValueId in) {
            List starts(second.size(), 0), ends, axes;
            for (std::size_t i = 0; i < second.size(); ++i) {
              axes.push_back(static_cast<std::int64_t>(3 - second.size() + i));
              ends.push_back(second[i]);
            }
            ValueId b = net.node("Slice", {in, net.integers(starts), net.integers(ends), net.integers(axes)});
            // Away from 0, for divisors.
            b = net.node("Add", {net.node("Sigmoid", {b}), net.constant(test::tensor({1}, {0.5F}))});
            if (second.size() < 3) {
              b = net.node("ReduceMean", {b, net.integers({0})}, {{"keepdims", std::int64_t{0}}});
              net.output(net.node(op, {in, b}));
            } else {
              net.output(net.node(op, {in, b}));
            }
          }};
}

Case convolution(const std::string& detail, Shape x, Shape weight, std::map<std::string, Attribute> attributes,
                 const std::string& op = "Conv") {
  return {
      op + ", " + detail, random_tensor(std::move(x), 3), [=](Network& net, ValueId in) {
        const auto group = attributes.contains("group") ? std::get<std::int64_t>(attributes.at("group")) : 1;
        const std::int64_t outputs = op == "Conv" ? weight[0] : weight[1] * group;
        net.output(net.node(
            op, {in, net.constant(random_tensor(weight, 4, 0.4F), "w"), net.constant(random_tensor({outputs}, 5), "b")},
            attributes));
      }};
}

Case recurrent(const std::string& op, const std::string& detail, std::int64_t directions,
               std::map<std::string, Attribute> attributes, bool states = false, bool peepholes = false) {
  return {op + ", " + detail, random_tensor({4, 2, 3}, 6), [=](Network& net, ValueId in) {
            const std::int64_t gates = op == "LSTM" ? 4 : op == "GRU" ? 3 : 1, hidden = 5;
            auto all = attributes;
            all["hidden_size"] = hidden;
            std::vector<ValueId> inputs{in, net.constant(random_tensor({directions, gates * hidden, 3}, 7, 0.5F), "w"),
                                        net.constant(random_tensor({directions, gates * hidden, hidden}, 8, 0.5F), "r"),
                                        net.constant(random_tensor({directions, 2 * gates * hidden}, 9, 0.3F), "bias")};
            if (states || peepholes) {
              inputs.push_back(no_value);
              for (std::uint32_t i = 0; i < (op == "LSTM" ? 2U : 1U); ++i) {
                // A state that depends on the input: its first step, widened.
                const ValueId first = net.node("Slice", {in, net.integers({0}), net.integers({1}), net.integers({0})});
                ValueId wide = net.node("Pad", {first, net.integers({0, 0, 0, 0, 0, hidden - 3})},
                                        {{"mode", std::string("edge")}});
                if (directions == 2)
                  wide = net.node("Concat", {wide, net.node("Neg", {wide})}, {{"axis", std::int64_t{0}}});
                inputs.push_back(wide);
              }
            }
            if (peepholes) inputs.push_back(net.constant(random_tensor({directions, 3 * hidden}, 10, 0.5F), "p"));
            const auto outputs = net.nodes(op, inputs, op == "LSTM" ? 3 : 2, all);
            const ValueId flat = net.node("Reshape", {outputs[0], net.integers({4, -1})});
            const ValueId last = net.node("Reshape", {outputs.back(), net.integers({1, -1})});
            const ValueId padded =
                net.node("Concat", {flat, net.node("Expand", {net.node("Mul", {last, last}), net.integers({4, 1})})},
                         {{"axis", std::int64_t{1}}});
            net.output(padded);
          }};
}

Tensor norm_parameters(std::int64_t count, std::uint32_t seed, float center) {
  Tensor t = random_tensor({count}, seed, 0.3F);
  for (float& v : t.values()) v += center;
  return t;
}

std::vector<Case> cases() {
  const Tensor image = random_tensor({2, 4, 5, 6}, 11), spread = spread_tensor({2, 3, 5, 6}, 12);
  const auto kernel = [](List k, List s = {1, 1}, List p = {0, 0, 0, 0}) {
    return std::map<std::string, Attribute>{{"kernel_shape", k}, {"strides", s}, {"pads", p}};
  };
  std::vector<Case> all{
      unary("Relu", {}, spread_tensor({3, 7}, 1)),
      unary("LeakyRelu", {{"alpha", 0.2F}}, spread_tensor({3, 7}, 1)),
      unary("ThresholdedRelu", {{"alpha", 0.35F}}, spread_tensor({3, 7}, 1, 0.35F)),
      unary("Elu", {{"alpha", 0.7F}}, spread_tensor({3, 7}, 1)),
      unary("Celu", {{"alpha", 0.7F}}, spread_tensor({3, 7}, 1)),
      unary("Selu", {}, spread_tensor({3, 7}, 1)),
      unary("Sigmoid"),
      unary("HardSigmoid", {}, spread_tensor({3, 7}, 1, 0.3F)),
      unary("HardSwish", {}, spread_tensor({3, 7}, 1, 0.36F)),
      unary("Gelu"),
      unary("Gelu", {{"approximate", std::string("tanh")}}, random_tensor({3, 7}, 1), ", tanh form"),
      unary("Mish"),
      unary("Tanh"),
      unary("Erf"),
      unary("Softplus"),
      unary("Softsign", {}, spread_tensor({3, 7}, 1)),
      unary("Exp"),
      unary("Log", {}, positive(random_tensor({3, 7}, 1))),
      unary("Sqrt", {}, positive(random_tensor({3, 7}, 1))),
      unary("Reciprocal", {}, positive(random_tensor({3, 7}, 1))),
      unary("Sin"),
      unary("Cos"),
      unary("Atan"),
      unary("Neg"),
      unary("Abs", {}, spread_tensor({3, 7}, 1)),
      unary("Softmax"),
      unary("LogSoftmax"),
      unary("Transpose", {{"perm", List{0, 2, 1}}}, random_tensor({2, 3, 4}, 1)),
      unary("Flatten", {}, random_tensor({2, 3, 4}, 1)),
      unary("DepthToSpace", {{"blocksize", std::int64_t{2}}}, image),
      unary("SpaceToDepth", {{"blocksize", std::int64_t{2}}}, random_tensor({2, 3, 4, 6}, 1)),
      unary("Dropout"),
      unary("MaxPool", kernel({2, 2}, {2, 2}), spread),
      unary("MaxPool", kernel({3, 2}, {1, 2}, {1, 0, 1, 1}), spread, ", overlapping, padding"),
      unary("AveragePool", kernel({2, 2}, {2, 2}), image),
      unary("AveragePool", kernel({3, 3}, {1, 2}, {1, 1, 1, 1}), image, ", overlapping, padding"),
      unary("AveragePool", {{"kernel_shape", List{3, 3}}, {"pads", List{1, 1, 1, 1}}, {"count_include_pad", on}}, image,
            ", padding counted"),
      unary("GlobalAveragePool", {}, image),
      unary("GlobalMaxPool", {}, spread),
      binary("Add", "same shape", {3, 4, 5}),
      binary("Add", "rows repeated", {3, 1, 5}),
      binary("Sub", "rank 2", {4, 5}),
      binary("Mul", "same shape", {3, 4, 5}),
      binary("Mul", "columns repeated", {3, 4, 1}),
      binary("Div", "same shape", {3, 4, 5}),
      binary("Div", "one value", {1, 1, 1}),
      convolution("3x3, padding", {2, 3, 6, 5}, {4, 3, 3, 3}, {{"pads", List{1, 1, 1, 1}}}),
      convolution("wide", {2, 8, 6, 5}, {4, 8, 3, 3}, {{"pads", List{1, 1, 1, 1}}}),
      convolution("stride 2, dilation 2", {2, 3, 9, 8}, {4, 3, 3, 2},
                  {{"strides", List{2, 2}}, {"dilations", List{2, 2}}}),
      convolution("groups", {2, 4, 6, 5}, {6, 2, 3, 3}, {{"group", std::int64_t{2}}, {"pads", List{1, 0, 1, 0}}}),
      convolution("depthwise", {2, 4, 6, 5}, {4, 1, 3, 3}, {{"group", std::int64_t{4}}, {"pads", List{1, 1, 1, 1}}}),
      convolution("1x1", {2, 3, 4, 5}, {4, 3, 1, 1}, {}),
      convolution("1x1, groups", {2, 4, 4, 5}, {6, 2, 1, 1}, {{"group", std::int64_t{2}}}),
      convolution("one axis", {2, 3, 9}, {4, 3, 3},
                  {{"pads", List{2, 0}}, {"strides", List{2}}, {"dilations", List{2}}}),
      convolution("stride 2", {2, 3, 4, 5}, {3, 4, 3, 3}, {{"strides", List{2, 2}}, {"pads", List{1, 1, 0, 0}}},
                  "ConvTranspose"),
      convolution("groups, output padding", {2, 4, 4, 3}, {4, 3, 2, 3},
                  {{"group", std::int64_t{2}}, {"strides", List{2, 1}}, {"output_padding", List{1, 0}}},
                  "ConvTranspose"),
      recurrent("RNN", "forward", 1, {}),
      recurrent("RNN", "both directions", 2, {{"direction", std::string("bidirectional")}}, true),
      recurrent("LSTM", "forward", 1, {}),
      recurrent("LSTM", "both directions, initial states", 2, {{"direction", std::string("bidirectional")}}, true),
      recurrent("LSTM", "reverse, peepholes, coupled", 1, {{"direction", std::string("reverse")}, {"input_forget", on}},
                true, true),
      recurrent("LSTM", "peepholes", 1, {}, true, true),
      recurrent("GRU", "forward", 1, {}, true),
      recurrent("GRU", "linear before reset, both directions", 2,
                {{"direction", std::string("bidirectional")}, {"linear_before_reset", on}}, true),
  };
  const auto add = [&](const std::string& name, Tensor x, std::function<void(Network&, ValueId)> build) {
    all.push_back({name, std::move(x), std::move(build)});
  };
  add("Gemm", random_tensor({4, 6}, 13), [](Network& net, ValueId x) {
    net.output(net.node("Gemm",
                        {x, net.constant(random_tensor({5, 6}, 14), "w"), net.constant(random_tensor({5}, 15), "b")},
                        {{"transB", on}, {"alpha", 0.5F}, {"beta", 2.0F}}));
  });
  add("MatMul, constant weight", random_tensor({2, 3, 6}, 16), [](Network& net, ValueId x) {
    net.output(net.node("MatMul", {x, net.constant(random_tensor({6, 5}, 17), "w")}));
  });
  add("MatMul, two activations", random_tensor({2, 3, 4}, 18), [](Network& net, ValueId x) {
    const ValueId turned = net.node("Tanh", {net.node("Transpose", {x}, {{"perm", List{0, 2, 1}}})});
    net.output(net.node("MatMul", {x, turned}));
  });
  add("MatMul, one operand repeated", random_tensor({2, 3, 4}, 19), [](Network& net, ValueId x) {
    const ValueId mean = net.node("ReduceMean", {x, net.integers({0})}, {{"keepdims", std::int64_t{0}}});
    net.output(net.node("MatMul", {net.node("Transpose", {x}, {{"perm", List{0, 2, 1}}}), net.node("Tanh", {mean})}));
  });
  const auto batch_norm = [](Network& net, ValueId x, std::int64_t channels) {
    net.output(net.node("BatchNormalization", {x, net.constant(norm_parameters(channels, 20, 1.0F), "scale"),
                                               net.constant(norm_parameters(channels, 21, 0.0F), "shift"),
                                               net.constant(Tensor({channels}), "mean"),
                                               net.constant(norm_parameters(channels, 22, 2.0F), "variance")}));
  };
  add("BatchNormalization, images", image, [=](Network& net, ValueId x) { batch_norm(net, x, 4); });
  add("BatchNormalization, after Conv", image, [=](Network& net, ValueId x) {
    batch_norm(net, net.node("Conv", {x, net.constant(random_tensor({3, 4, 3, 3}, 23, 0.3F), "w")}), 3);
  });
  add("BatchNormalization, vectors", random_tensor({6, 4}, 24),
      [=](Network& net, ValueId x) { batch_norm(net, x, 4); });
  add("LayerNormalization", random_tensor({3, 4, 5}, 25), [](Network& net, ValueId x) {
    net.output(net.node("LayerNormalization", {x, net.constant(norm_parameters(5, 26, 1.0F), "scale"),
                                               net.constant(norm_parameters(5, 27, 0.0F), "shift")}));
  });
  add("InstanceNormalization", image, [](Network& net, ValueId x) {
    net.output(net.node("InstanceNormalization", {x, net.constant(norm_parameters(4, 28, 1.0F), "scale"),
                                                  net.constant(norm_parameters(4, 29, 0.0F), "shift")}));
  });
  add("GroupNormalization", image, [](Network& net, ValueId x) {
    net.output(net.node(
        "GroupNormalization",
        {x, net.constant(norm_parameters(4, 28, 1.0F), "scale"), net.constant(norm_parameters(4, 29, 0.0F), "shift")},
        {{"num_groups", std::int64_t{2}}}));
  });
  add("PRelu, per channel", spread_tensor({2, 3, 4, 4}, 30), [](Network& net, ValueId x) {
    net.output(net.node("PRelu", {x, net.constant(random_tensor({3, 1, 1}, 31), "slope")}));
  });
  add("PRelu, between convolutions", random_tensor({2, 3, 5, 5}, 30), [](Network& net, ValueId x) {
    const ValueId y =
        net.node("Conv", {net.node("Exp", {x}), net.constant(positive(random_tensor({3, 3, 3, 3}, 23, 0.3F)), "w")});
    const ValueId signs = net.node("Mul", {y, net.constant(test::tensor({3, 1, 1}, {1.0F, -1.0F, -0.5F}))});
    net.output(net.node("PRelu", {signs, net.constant(random_tensor({3, 1, 1}, 31), "slope")}));
  });
  add("PRelu, slope from data", spread_tensor({3, 7}, 32), [](Network& net, ValueId x) {
    net.output(net.node("PRelu", {x, net.node("Sigmoid", {x})}));
  });
  add("Clip", spread_tensor({3, 7}, 33), [](Network& net, ValueId x) {
    net.output(net.node("Clip", {x, net.constant(test::tensor({}, {-0.6F})), net.constant(test::tensor({}, {0.75F}))}));
  });
  for (const char* op : {"Min", "Max"})
    add(op, spread_tensor({3, 7}, 36), [op](Network& net, ValueId x) {
      net.output(net.node(op, {net.node("Exp", {x}), net.node("Sub", {net.node("Exp", {x}), x})}));
    });
  add("Pow, constant exponent", positive(random_tensor({3, 7}, 34)), [](Network& net, ValueId x) {
    net.output(net.node("Pow", {x, net.constant(test::tensor({}, {2.5F}))}));
  });
  add("Pow, two operands", positive(random_tensor({3, 7}, 35)), [](Network& net, ValueId x) {
    net.output(net.node("Pow", {x, net.node("Sigmoid", {x})}));
  });
  add("Where", spread_tensor({3, 7}, 36), [](Network& net, ValueId x) {
    const ValueId condition = net.node("Greater", {x, net.constant(test::tensor({1}, {0.0F}))});
    net.output(net.node("Where", {condition, net.node("Exp", {x}), net.node("Mul", {x, x})}));
  });
  add("ReduceMean", random_tensor({2, 3, 4, 5}, 37), [](Network& net, ValueId x) {
    net.output(net.node("ReduceMean", {net.node("Mul", {x, x}), net.integers({1, 3})}));
  });
  add("ReduceMean, positions of a convolution", image, [](Network& net, ValueId x) {
    const ValueId y = net.node("Conv", {x, net.constant(random_tensor({3, 4, 3, 3}, 23, 0.3F), "w")});
    net.output(net.node("ReduceMean", {net.node("Tanh", {y}), net.integers({2, 3})}, {{"keepdims", std::int64_t{0}}}));
  });
  add("ReduceSum", random_tensor({2, 3, 4}, 38), [](Network& net, ValueId x) {
    net.output(net.node("ReduceSum", {net.node("Mul", {x, x}), net.integers({-1})}, {{"keepdims", std::int64_t{0}}}));
  });
  add("Reshape, Squeeze, Unsqueeze", random_tensor({2, 3, 4}, 39), [](Network& net, ValueId x) {
    const ValueId y = net.node("Unsqueeze", {net.node("Tanh", {x}), net.integers({1})});
    net.output(
        net.node("Mul", {net.node("Reshape", {net.node("Squeeze", {y, net.integers({1})}), net.integers({0, 12})}),
                         net.node("Reshape", {x, net.integers({0, -1})})}));
  });
  add("Concat", random_tensor({2, 3, 4}, 40), [](Network& net, ValueId x) {
    net.output(net.node("Concat", {x, net.node("Tanh", {x}), x}, {{"axis", std::int64_t{1}}}));
  });
  add("Concat, of convolutions", image, [](Network& net, ValueId x) {
    const ValueId y = net.node("Conv", {x, net.constant(random_tensor({3, 4, 3, 3}, 23, 0.3F), "w")});
    net.output(net.node("Concat", {y, net.node("Tanh", {y})}, {{"axis", std::int64_t{1}}}));
  });
  add("Split", random_tensor({2, 7, 3}, 41), [](Network& net, ValueId x) {
    const auto parts = net.nodes("Split", {x, net.integers({2, 3, 2})}, 3, {{"axis", std::int64_t{1}}});
    net.output(net.node("Concat", {net.node("Tanh", {parts[0]}), parts[2]}, {{"axis", std::int64_t{1}}}));
  });
  add("Slice", random_tensor({2, 6, 5}, 42), [](Network& net, ValueId x) {
    net.output(net.node("Slice",
                        {x, net.integers({5, 1}), net.integers({0, 4}), net.integers({1, 2}), net.integers({-2, 1})}));
  });
  for (const char* mode : {"constant", "reflect", "edge", "wrap"})
    add(std::string("Pad, ") + mode, random_tensor({2, 4, 5}, 43), [mode](Network& net, ValueId x) {
      net.output(net.node("Pad", {x, net.integers({0, 1, 2, 0, 2, 1})}, {{"mode", std::string(mode)}}));
    });
  add("Tile", random_tensor({2, 3}, 44), [](Network& net, ValueId x) {
    net.output(net.node("Tile", {net.node("Mul", {x, x}), net.integers({1, 3})}));
  });
  add("Expand", random_tensor({2, 1, 3}, 45), [](Network& net, ValueId x) {
    net.output(net.node("Expand", {net.node("Mul", {x, x}), net.integers({2, 4, 3})}));
  });
  add("GatherND", random_tensor({2, 4, 3}, 46), [](Network& net, ValueId x) {
    const ValueId indices = net.graph.add_value("indices", IntTensor{{2, 3, 1}, {3, 0, 3, 1, 2, 0}});
    net.output(net.node("GatherND", {x, indices}, {{"batch_dims", std::int64_t{1}}}));
  });
  add("ReverseSequence", random_tensor({2, 4, 3}, 46), [](Network& net, ValueId x) {
    net.output(net.node("ReverseSequence", {x, net.integers({3, 2})},
                        {{"batch_axis", std::int64_t{0}}, {"time_axis", std::int64_t{1}}}));
  });
  add("DepthWindows and DepthStack", random_tensor({2, 2, 5, 2, 3}, 47), [](Network& net, ValueId x) {
    const std::map<std::string, Attribute> window{
        {"kernel_shape", List{3}}, {"strides", List{2}}, {"pads", List{1, 1}}, {"dilations", List{1}}};
    const ValueId planes = net.node("DepthWindows", {x}, window);
    net.output(net.node("DepthStack", {net.node("Mul", {planes, planes}), x}, window));
  });
  add("Gather", random_tensor({2, 4, 3}, 46), [](Network& net, ValueId x) {
    net.output(net.node("Gather", {x, net.integers({3, 0, 3})}, {{"axis", std::int64_t{1}}}));
  });
  add("Trilu", random_tensor({2, 4, 4}, 47), [](Network& net, ValueId x) {
    net.output(net.node("Trilu", {x}, {{"upper", std::int64_t{0}}}));
  });
  return all;
}

constexpr double bound = 5e-4;

constexpr const char* page = R"(# Gradients of operators

What trains, and how far its derivative is from difference quotients. Generated by `nn_test`; run it with `TESSERA_UPDATE_DOCS=1` to
write this page again.

For a network of the operator alone, L = the sum of fixed normal numbers times the outputs, and for up to 60 entries of the input and
of every parameter the fourth-order quotient (8 (L(+h) - L(-h)) - (L(+2h) - L(-2h))) / 12 h, h = 0.02, in float32 with L summed in
double. The error is the largest difference of gradient and quotient over the largest quotient of that array; the largest of all arrays
is listed. The bound of the test is 5e-4. Draws (Dropout) are fixed by their addresses. Inputs keep away from kinks;
where one cannot (a PRelu between convolutions), the test says how many entries may be left out. Operators that are not listed stop a training before it begins, with the names of all such nodes.

| operator | entries | largest relative error |
|---|---|---|
)";

TEST(OperatorGradients, AgreeWithDifferenceQuotients) {
  std::string table;
  std::vector<std::string> names;
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    // Operators, not batches: some cases mix what lies along the first axis.
    Network net(BatchMode::none);
    const ValueId x = net.input(c.x.shape());
    c.build(net, x);
    TrainingNetwork network(net.graph);
    double worst = 0.0;
    std::int64_t count = 0;
    for (const test::GradientError& error : test::gradient_errors(network, c.x, c.step)) {
      EXPECT_GT(error.largest, 1e-3) << error.name << ": nothing is checked";
      EXPECT_LT(error.relative(), bound) << error.name;
      EXPECT_LE(error.kinks, c.kinks) << error.name << ": " << error.count << " others";
      worst = std::max(worst, error.relative());
      count += error.count;
    }
    table += fmt::format("| {} | {} | {:.0e} |\n", c.name, count, worst);
    names.push_back(c.name);
  }
  const std::string path = std::string(TESSERA_SOURCE_DIR) + "/docs/models/learning_gradients.md";
  if (std::getenv("TESSERA_UPDATE_DOCS") != nullptr) std::ofstream(path) << page << table;
  std::ifstream file(path);
  const std::string stored{std::istreambuf_iterator<char>(file), {}};
  for (const std::string& name : names)
    EXPECT_THAT(stored, testing::HasSubstr("| " + name + " |")) << "run with TESSERA_UPDATE_DOCS=1";
}

}  // namespace
}  // namespace tessera::nn
