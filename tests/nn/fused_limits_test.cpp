// Is an activation function that a layer applies itself the node's, bit for bit? An observer is shown what is
// in front of it, so with one nothing is fused.
#include <gtest/gtest.h>

#include <bit>
#include <functional>
#include <limits>

#include "nn/network.hpp"

namespace tessera::nn {
namespace {

using test::Network;
using test::random_tensor;

using Activate = std::function<ValueId(Network&, ValueId)>;

std::vector<std::pair<std::string, Activate>> activations() {
  const auto clip = [](std::vector<float> bounds) {
    return [bounds](Network& net, ValueId x) {
      std::vector<ValueId> in{x};
      for (const float bound : bounds)
        in.push_back(std::isnan(bound) ? no_value : net.constant(test::tensor({}, {bound})));
      return net.node("Clip", in);
    };
  };
  return {{"Relu", [](Network& net, ValueId x) { return net.node("Relu", {x}); }},
          {"both bounds", clip({0.0F, 0.8F})},
          {"bounds that cross", clip({0.5F, -0.5F})},
          {"low only", clip({-0.1F})},
          {"high only", clip({std::numeric_limits<float>::quiet_NaN(), 0.3F})},
          {"none", clip({})},
          {"a bound that is not constant", [](Network& net, ValueId x) {
             const ValueId low = net.node("ReduceMin", {net.input({3}, ElementType::float32, "bounds")},
                                          {{"keepdims", std::int64_t{0}}});
             net.graph.inputs.back().batched = false;
             return net.node("Clip", {x, low});
           }}};
}

std::vector<std::pair<std::string, Activate>> layers() {
  const auto convolution = [](Shape weight, std::int64_t groups) {
    return [=](Network& net, ValueId x) {
      const std::int64_t outputs = weight[0];
      return net.node("Conv", {x, net.constant(random_tensor(weight, 2)), net.constant(random_tensor({outputs}, 3))},
                      {{"group", groups}});
    };
  };
  return {{"convolution", convolution({20, 6, 3, 3}, 1)},
          {"pointwise", convolution({9, 6, 1, 1}, 1)},
          {"grouped", convolution({4, 3, 2, 2}, 2)},
          {"depthwise", convolution({6, 1, 3, 3}, 6)},
          {"transposed", [](Network& net, ValueId x) {
             return net.node("ConvTranspose", {x, net.constant(random_tensor({6, 5, 2, 2}, 2))});
           }}};
}

TEST(FusedLimits, AreThoseOfTheNode) {
  for (const auto& [layer, add_layer] : layers())
    for (const auto& [name, activate] : activations()) {
      SCOPED_TRACE(layer + ", " + name);
      Network net;
      const ValueId x = net.input({-1, 6, 7, 8});
      net.output(activate(net, add_layer(net, x)));
      const Executor executor(net.graph);
      std::vector<Tensor> given{random_tensor({5, 6, 7, 8}, 1)};
      if (net.graph.inputs.size() > 1) given.push_back(test::tensor({3}, {0.2F, -0.1F, 0.3F}));
      bool seen = false;
      const Tensor plain = executor.run(given, {.observer = [&](const LinearRecord&) { seen = true; }}).at(0);
      EXPECT_TRUE(seen);
      for (const int threads : {1, 2}) {
        const Tensor fused = executor.run(given, {.parallel = {threads}}).at(0);
        ASSERT_EQ(fused.shape(), plain.shape());
        for (std::int64_t i = 0; i < plain.size(); ++i)
          ASSERT_EQ(std::bit_cast<std::uint32_t>(fused.data()[i]), std::bit_cast<std::uint32_t>(plain.data()[i]));
      }
    }
}

TEST(FusedLimits, RecurrentLayersLeaveThemToTheNode) {
  Network net;
  const ValueId x = net.input({4, -1, 3});
  net.graph.inputs[0].batched = false;
  net.graph.batch = BatchMode::none;
  net.graph.inputs[0].shape = {4, 2, 3};
  const ValueId y =
      net.node("RNN", {x, net.constant(random_tensor({1, 5, 3}, 2)), net.constant(random_tensor({1, 5, 5}, 3))},
               {{"hidden_size", std::int64_t{5}}});
  net.output(net.node("Relu", {y}));
  const Executor executor(net.graph);
  const Tensor steps = random_tensor({4, 2, 3}, 1);
  const Tensor states = executor.run({&steps, 1}, {}).at(0);
  EXPECT_EQ(states.size(), 40);
  for (const float v : states.values()) EXPECT_GE(v, 0.0F);
}

}  // namespace
}  // namespace tessera::nn
