// Is what cannot be followed for a layer's shape, or has no effect, said with the layers it is true of?
#include "tessera/sim/layer_notes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nn/network.hpp"

namespace tessera::sim {
namespace {

using nn::test::Network;
using nn::test::random_tensor;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// Two dense layers with biases, one of 20 inputs and one of 8, and a transposed convolution's worth of nothing else.
nn::Executor two_dense_layers() {
  Network net;
  const nn::ValueId x = net.input({-1, 20});
  const nn::ValueId h =
      net.node("Gemm", {x, net.constant(random_tensor({8, 20}, 1)), net.constant(random_tensor({8}, 2))},
               {{"transB", std::int64_t{1}}}, "wide");
  net.output(net.node("Gemm", {h, net.constant(random_tensor({3, 8}, 3)), net.constant(random_tensor({3}, 4))},
                      {{"transB", std::int64_t{1}}}, "narrow"));
  return nn::Executor(net.graph);
}

LayerResolver with(std::function<void(tile::RpuParameters&, const std::string&)> change) {
  return [change](const std::string& name, const std::string&) {
    LayerParameters layer;
    change(layer.rpu, name);
    return layer;
  };
}

TEST(LayerNotes, AnalogBiasThatSeveralTilesCannotCarry) {
  const nn::Executor network = two_dense_layers();
  const auto notes = [&](int most_inputs, int most_outputs) {
    return layer_notes(network, with([=](tile::RpuParameters& p, const std::string&) {
                         p.mapping.digital_bias = false;
                         p.mapping.max_input_size = most_inputs;
                         p.mapping.max_output_size = most_outputs;
                       }));
  };
  EXPECT_THAT(notes(512, 512), IsEmpty());
  EXPECT_THAT(notes(0, 512), IsEmpty());
  EXPECT_THAT(notes(10, 512), ElementsAre(AllOf(HasSubstr("layer 'wide'"), HasSubstr("2 tiles"),
                                                HasSubstr("digital_bias: false is not followed"))));
  EXPECT_THAT(notes(512, 2), ElementsAre(HasSubstr("layer 'wide'"), HasSubstr("layer 'narrow'")));
}

TEST(LayerNotes, GroupsThatFitTheirTilesCarryTheirBiases) {
  Network net;
  const nn::ValueId x = net.input({-1, 4, 5, 5});
  net.output(net.node("Conv", {x, net.constant(random_tensor({6, 2, 3, 3}, 1)), net.constant(random_tensor({6}, 2))},
                      {{"group", std::int64_t{2}}}, "conv"));
  const nn::Executor network(net.graph);
  const auto notes = [&](int most) {
    return layer_notes(network, with([=](tile::RpuParameters& p, const std::string&) {
                         p.mapping.digital_bias = false;
                         p.mapping.max_input_size = most;
                       }));
  };
  EXPECT_THAT(notes(18), IsEmpty());
  EXPECT_THAT(notes(9), ElementsAre(HasSubstr("layer 'conv.group0'"), HasSubstr("layer 'conv.group1'")));
}

TEST(LayerNotes, TransposedConvolutionAddsItsBiasDigitally) {
  Network net;
  const nn::ValueId x = net.input({-1, 2, 4, 4});
  net.output(net.node("ConvTranspose",
                      {x, net.constant(random_tensor({2, 3, 2, 2}, 1)), net.constant(random_tensor({3}, 2))}, {},
                      "up"));
  const nn::Executor network(net.graph);
  EXPECT_THAT(
      layer_notes(network, with([](tile::RpuParameters& p, const std::string&) { p.mapping.digital_bias = false; })),
      ElementsAre(AllOf(HasSubstr("layer 'up'"), HasSubstr("not followed"))));
}

TEST(LayerNotes, NameTheLayersUnlessItIsAllOfThem) {
  const nn::Executor network = two_dense_layers();
  EXPECT_THAT(layer_notes(network, with([](tile::RpuParameters& p, const std::string&) { p.forward.inp_res = 8.0; })),
              ElementsAre(AllOf(HasSubstr("rpu_config.forward.inp_res: 8 is"), Not(HasSubstr("layer")))));
  EXPECT_THAT(layer_notes(network, with([](tile::RpuParameters& p, const std::string& name) {
                            if (name == "wide") p.forward.inp_res = 8.0;
                            p.remap.type = tile::WeightRemapType::CHANNELWISE_SYMMETRIC;
                          })),
              ElementsAre(AllOf(HasSubstr("9 levels"), HasSubstr("(layer 'wide')")),
                          HasSubstr("no effect on inference (training only): rpu_config.remap")));
}

}  // namespace
}  // namespace tessera::sim
