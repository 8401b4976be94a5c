// Do output codes pass into the next DAC unconverted where they can, and is it said where and why not?
#include "tessera/sim/integer_chain.hpp"

#include <gtest/gtest.h>

#include <hwy/targets.h>

#include <algorithm>
#include <cmath>

#include "nn/network.hpp"
#include "sim/coded_networks.hpp"
#include "sim/rescaled_sum.hpp"
#include "tessera/nn/passes.hpp"
#include "tessera/sim/analog_network.hpp"
#include "tessera/sim/layer_calibration.hpp"
#include "tessera/sim/layer_warnings.hpp"

namespace tessera::sim {
namespace {

using nn::test::Network;
using nn::test::random_tensor;
using test::all_alike;
using test::coded;
using test::residual_network;
using test::residual_sequence;

// Convolution, ReLU, pooling, convolution, ReLU, dense: every weighted layer but the first takes codes.
nn::Graph chained_network() {
  Network net;
  const nn::ValueId x = net.input({-1, 2, 8, 8});
  const std::map<std::string, nn::Attribute> padded{{"pads", std::vector<std::int64_t>{1, 1, 1, 1}}};
  const auto weight = [&](Shape shape, std::uint32_t seed, const char* name) {
    return net.constant(random_tensor(std::move(shape), seed, 0.3F), name);
  };
  const nn::ValueId a = net.node("Conv", {x, weight({6, 2, 3, 3}, 1, "w1"), weight({6}, 2, "b1")}, padded, "conv1");
  const nn::ValueId b =
      net.node("MaxPool", {net.node("Relu", {a})},
               {{"kernel_shape", std::vector<std::int64_t>{2, 2}}, {"strides", std::vector<std::int64_t>{2, 2}}});
  const nn::ValueId c = net.node("Conv", {b, weight({5, 6, 3, 3}, 3, "w2"), weight({5}, 4, "b2")}, padded, "conv2");
  const nn::ValueId d = net.node("Flatten", {net.node("Relu", {c})});
  net.output(
      net.node("Gemm", {d, weight({4, 80}, 5, "w3"), weight({4}, 6, "b3")}, {{"transB", std::int64_t{1}}}, "fc"));
  return net.graph;
}

std::vector<LayerLink> links_of(const nn::Graph& graph, const LayerParameters& layer) {
  const nn::Executor executor(graph);
  return layer_links(executor.graph(), executor.layers(), layer_parameters(executor, all_alike(layer)));
}

TEST(IntegerChain, FollowsCodesThroughReluPoolingAndRearrangements) {
  const std::vector<LayerLink> links = links_of(chained_network(), coded());
  ASSERT_EQ(links.size(), 3U);
  EXPECT_EQ(links[0].broken, "its input is the network's");
  EXPECT_TRUE(links[0].fused_relu);
  EXPECT_TRUE(links[1].fused_relu);
  EXPECT_FALSE(links[2].fused_relu);
  EXPECT_EQ(links[1].sources, std::vector<std::size_t>{0});
  EXPECT_EQ(links[2].sources, std::vector<std::size_t>{1});
  EXPECT_TRUE(links[1].broken.empty() && links[2].broken.empty());
  // A DAC of 127 codes to either side takes no unsigned 8-bit codes.
  EXPECT_TRUE(links[0].output_signed);
  LayerParameters wide = coded();
  wide.rpu.forward.inp_res = 510.0;
  EXPECT_FALSE(links_of(chained_network(), wide)[0].output_signed);
  LayerParameters insists = coded();
  insists.rpu.pre_post.fixed_point->output.is_signed = tile::Signedness::is_unsigned;
  EXPECT_NE(links_of(chained_network(), insists)[1].broken.find("reach 255, its DAC has 127"), std::string::npos);
}

TEST(IntegerChain, SaysWhyItBreaks) {
  const auto broken_by = [](auto change) {
    LayerParameters layer = coded();
    change(layer.rpu);
    return links_of(chained_network(), layer)[1].broken;
  };
  using tile::RpuParameters;
  const auto has = [](const std::string& text, const char* part) { return text.find(part) != std::string::npos; };
  EXPECT_TRUE(has(broken_by([](RpuParameters& p) { p.pre_post.fixed_point->chain = false; }), "chain is false"));
  EXPECT_TRUE(has(broken_by([](RpuParameters& p) { p.pre_post.input_range.enable = false; }), "input_range.enable"));
  EXPECT_TRUE(
      has(broken_by([](RpuParameters& p) { p.forward.bound_management = tile::BoundManagementType::ITERATIVE; }),
          "bound management"));
  EXPECT_TRUE(has(broken_by([](RpuParameters& p) { p.forward.inp_res = -1.0; }), "no levels"));
  EXPECT_TRUE(has(broken_by([](RpuParameters& p) { p.pre_post.fixed_point->output.bits = 0; }), "no output code"));
}

std::vector<Tensor> batches_of(const Tensor& all, std::int64_t each) {
  std::vector<Tensor> batches;
  const std::int64_t size = all.size() / all.dim(0);
  for (std::int64_t first = 0; first < all.dim(0); first += each) {
    Shape shape = all.shape();
    shape[0] = std::min(each, all.dim(0) - first);
    batches.emplace_back(shape, std::span(all.data() + first * size, static_cast<std::size_t>(shape[0] * size)));
  }
  return batches;
}

TEST(IntegerChain, InputRangesFollowTheStepsInFront) {
  const nn::Executor executor(chained_network());
  ProgrammedChip chip(executor, all_alike(coded()), {1, 0, {}});
  EXPECT_TRUE(chip.needs_activation_ranges());
  EXPECT_FALSE(chip.input_codes(1).chained);
  chip.estimate_activation_ranges(executor, batches_of(random_tensor({60, 2, 8, 8}, 9), 20));
  EXPECT_FALSE(chip.input_codes(0).chained);
  for (const std::size_t l : {1U, 2U}) {
    EXPECT_TRUE(chip.input_codes(l).chained);
    const float step = chip.layer(l - 1, 0).output_step();
    EXPECT_NEAR(chip.layer(l, 0).input_code_step(0) / static_cast<double>(step), 1.0, 1e-6);
    // Every code comes back as itself.
    for (int code = -127; code <= 127; ++code) {
      Matrix x(1, chip.layer(l, 0).inputs());
      for (float& v : x.values()) v = static_cast<float>(code) * step;
      const tile::FixedPointTrace trace = chip.layer(l, 0).trace_fixed_point(x.view(), {});
      for (const std::int64_t seen : trace.tiles[0].dac.values) ASSERT_EQ(seen, code);
    }
  }
}

std::vector<float> in_pieces(const nn::Executor& executor, const Tensor& data, const nn::LinearOverrides& overrides,
                             int threads, std::int64_t batch) {
  std::vector<float> outputs;
  std::uint64_t at = 0;
  for (const Tensor& part : batches_of(data, batch)) {
    const Tensor y = executor.run(part, {.first_sample = at, .parallel = {threads}, .overrides = &overrides});
    outputs.insert(outputs.end(), y.values().begin(), y.values().end());
    at += static_cast<std::uint64_t>(part.dim(0));
  }
  return outputs;
}

// Integers from the first DAC on: the same bits for any threads, batches and instruction sets.
TEST(IntegerChain, AChainedNetworkIsTheSameEverywhere) {
  const nn::Executor executor(chained_network());
  const Tensor data = random_tensor({60, 2, 8, 8}, 9);
  std::vector<float> first;
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    SCOPED_TRACE(hwy::TargetName(target));
    ProgrammedChip chip(executor, all_alike(coded()), {1, 0, {}});
    chip.estimate_activation_ranges(executor, batches_of(data, 20));
    const AnalogNetwork network = chip.at(std::nullopt, 0, {});
    for (const int threads : {1, 3})
      for (const std::int64_t batch : {60, 7, 1}) {
        const std::vector<float> outputs = in_pieces(executor, data, network.overrides(), threads, batch);
        const double step = static_cast<double>(chip.layer(2, 0).output_step());
        for (const float v : outputs) {
          const double code = static_cast<double>(v) / step;
          ASSERT_NEAR(code, std::rint(code), 1e-3);
        }
        if (first.empty()) first = outputs;
        ASSERT_EQ(outputs, first) << threads << " threads, batches of " << batch;
      }
  }
  hwy::SetSupportedTargetsForTest(0);
}

TEST(IntegerChain, AnAddOfEqualStepsAddsCodesAsTheyAre) {
  const nn::Executor executor(nn::test::small_cnn());
  const std::size_t dense = executor.layers().size() - 1;
  LayerParameters equal = coded();
  equal.rpu.pre_post.fixed_point->output.range = 5.0;
  const ProgrammedChip same(executor, all_alike(equal), {1, 0, {}});
  EXPECT_TRUE(same.input_codes(dense).chained);
  EXPECT_TRUE(same.code_sums().empty());
  EXPECT_EQ(same.input_codes(dense).sum, nullptr);
}

TEST(IntegerChain, AnAddOfDifferentStepsHasMultipliersOfItsOwn) {
  const nn::Executor executor(residual_network());
  const Tensor data = random_tensor({60, 2, 6, 6}, 9);
  std::vector<float> first;
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    SCOPED_TRACE(hwy::TargetName(target));
    ProgrammedChip chip(executor, all_alike(coded()), {1, 0, {}});
    EXPECT_TRUE(chip.code_sums().empty());
    chip.estimate_activation_ranges(executor, batches_of(data, 20));
    ASSERT_EQ(chip.code_sums().size(), 2U);
    for (const std::size_t l : {1U, 2U, 3U}) EXPECT_TRUE(chip.input_codes(l).chained) << chip.input_codes(l).broken;
    const CodeSum &one = chip.code_sums()[0], &two = chip.code_sums()[1];
    EXPECT_EQ(chip.input_codes(1).sum, nullptr);
    EXPECT_EQ(chip.input_codes(2).sum, &one);
    EXPECT_EQ(chip.input_codes(3).sum, &two);
    EXPECT_EQ(one.operand_step[0], chip.layer(1, 0).output_step());
    EXPECT_EQ(one.operand_step[1], chip.layer(0, 0).output_step());
    EXPECT_EQ(two.operand_step[0], one.step);
    EXPECT_EQ(one.multiplier[0], std::llrint(128.0 * static_cast<double>(one.operand_step[0] / one.step)));
    EXPECT_NEAR(chip.layer(2, 0).input_code_step(0) / static_cast<double>(one.step), 1.0, 1e-6);
    const AnalogNetwork network = chip.at(std::nullopt, 0, {});
    for (const int threads : {1, 3})
      for (const std::int64_t batch : {60, 7, 1}) {
        const std::vector<float> outputs = in_pieces(executor, data, network.overrides(), threads, batch);
        if (first.empty()) first = outputs;
        ASSERT_EQ(outputs, first) << threads << " threads, batches of " << batch;
      }
    EXPECT_EQ(network.statistics(2).code_sums, 6 * 60 * 216);
    EXPECT_EQ(network.statistics(1).code_sums, 0);
  }
  hwy::SetSupportedTargetsForTest(0);
}

// Samples along the second axis: the same codes as with samples first, in pieces, and from an export for a fixed batch,
// whose fillers are not counted.
TEST(IntegerChain, AnAddInASequenceFirstNetworkKeepsItsSamples) {
  const Tensor data = random_tensor({11, 5, 4}, 9);
  const auto outputs_of = [&](const nn::Graph& graph, LayerParameters layer, int threads, std::int64_t batch,
                              std::int64_t& sums) {
    const nn::Executor executor(graph);
    ProgrammedChip chip(executor, all_alike(std::move(layer)), {1, 0, {}});
    chip.estimate_activation_ranges(executor, {&data, 1});
    EXPECT_EQ(chip.code_sums().size(), 1U);
    EXPECT_TRUE(chip.input_codes(2).chained) << chip.input_codes(2).broken;
    const AnalogNetwork network = chip.at(std::nullopt, 0, {});
    std::vector<float> outputs = in_pieces(executor, data, network.overrides(), threads, batch);
    sums = network.statistics(2).code_sums;
    return outputs;
  };
  LayerParameters quiet = coded();
  quiet.rpu.forward.out_noise = 0.0;
  std::int64_t sums = 0;
  EXPECT_EQ(outputs_of(residual_sequence(true), quiet, 1, 11, sums),
            outputs_of(residual_sequence(false), quiet, 1, 11, sums));
  const std::vector<float> expected = outputs_of(residual_sequence(true), coded(), 1, 11, sums);
  EXPECT_EQ(sums, 11 * 5 * 6);
  for (const std::int64_t fixed : {-1, 4, 11, 16}) {
    nn::Graph graph = residual_sequence(true, fixed);
    if (fixed > 0) nn::simplify(graph, {});
    for (const int threads : {1, 3})
      for (const std::int64_t batch : {11, 4, 1}) {
        EXPECT_EQ(outputs_of(graph, coded(), threads, batch, sums), expected)
            << threads << " threads, batches of " << batch << ", exported for " << fixed;
        EXPECT_EQ(sums, 11 * 5 * 6) << "batches of " << batch << ", exported for " << fixed;
      }
  }
}

// y = u' clamp(round((a M_a + b M_b) 2^-f)) for every rounding, against whole numbers.
TEST(IntegerChain, ItsSumsAreThoseOfIntegers) {
  const std::vector<int> codes{-127, -100, -3, -1, 0, 1, 2, 57, 90, 127};
  using kernels::FixedPointRounding;
  for (const FixedPointRounding rounding :
       {FixedPointRounding::half_up, FixedPointRounding::truncate, FixedPointRounding::nearest_even,
        FixedPointRounding::half_away, FixedPointRounding::toward_zero})
    for (const int fraction_bits : {7, 31, -2}) {
      CodeSum sum;
      sum.format.fraction_bits = fraction_bits;
      sum.format.rounding = rounding;
      sum.step = 0.03125F;
      sum.largest_code = 127;
      sum.operand_step = {0.0137F, 0.21F};
      for (std::size_t k = 0; k < 2; ++k)
        sum.multiplier[k] = fraction_bits < 0 ? 1 : std::llrint(std::ldexp(k == 0 ? 0.4384 : 0.5, fraction_bits));
      const RescaledSum adds(sum);
      std::vector<float> a, b;
      for (const int i : codes)
        for (const int j : codes) {
          a.push_back(static_cast<float>(i) * sum.operand_step[0]);
          b.push_back(static_cast<float>(j) * sum.operand_step[1]);
        }
      std::vector<float> y(a.size());
      adds.add(a, b, y);
      std::int64_t beyond = 0;
      for (std::size_t n = 0; n < y.size(); ++n) {
        const kernels::WideInteger s = kernels::WideInteger{codes[n / codes.size()]} * sum.multiplier[0] +
                                       kernels::WideInteger{codes[n % codes.size()]} * sum.multiplier[1];
        const auto o = static_cast<std::int64_t>(kernels::round_shift(s, fraction_bits, rounding));
        beyond += o < -127 || o > 127 ? 1 : 0;
        ASSERT_EQ(y[n], static_cast<float>(std::clamp<std::int64_t>(o, -127, 127)) * sum.step) << n;
      }
      EXPECT_EQ(adds.saturated(), beyond);
      EXPECT_EQ(adds.outputs(), std::ssize(y));
    }
}

TEST(IntegerChain, AnAddWhoseMultipliersDoNotFitIsWarnedOf) {
  const nn::Executor executor(residual_network());
  LayerParameters narrow = coded();
  narrow.rpu.pre_post.fixed_point->add = {.integer_bits = -4, .fraction_bits = 7};
  ProgrammedChip chip(executor, all_alike(narrow), {1, 0, {}});
  chip.estimate_activation_ranges(executor, batches_of(random_tensor({60, 2, 6, 6}, 9), 20));
  const auto warnings = scale_warnings(executor.layers(), chip);
  EXPECT_TRUE(std::ranges::any_of(warnings, [](const LayerWarning& w) {
    return w.layer == "b" &&
           w.text.find("multipliers of the Add in front of it do not fit Q(u,-4,7)") != std::string::npos;
  }));
}

TEST(IntegerChain, RangesOfCodesAreKeptInModelFiles) {
  const nn::Executor executor(chained_network());
  ProgrammedChip chip(executor, all_alike(coded()), {1, 0, {}});
  chip.estimate_activation_ranges(executor, batches_of(random_tensor({60, 2, 8, 8}, 9), 20));
  const tile::AnalogLayer& tiles = chip.layer(0, 0);
  LayerCalibration found;
  found.parts.resize(1);
  found.parts[0].state = tiles.state();
  for (std::int64_t t = 0; t < tiles.tile_count(); ++t) found.parts[0].places.push_back(tiles.place(t));
  const nn::LinearLayer& layer = executor.layers()[0];
  const LayerCalibration read = from_numbers(layer, to_numbers(layer, found));
  EXPECT_GT(read.parts[0].state.output_range, 0.0F);
  EXPECT_EQ(read.parts[0].state, found.parts[0].state);
  LayerParameters again = coded();
  again.calibration = std::make_shared<const LayerCalibration>(read);
  const ProgrammedChip restored(
      executor, [&](const std::string& name, const std::string&) { return name == "conv1" ? again : coded(); },
      {1, 0, {}});
  EXPECT_EQ(restored.layer(0, 0).output_step(), tiles.output_step());
}

TEST(IntegerChain, MultipliersThatSaturateAreWarnedOf) {
  const nn::Executor executor(chained_network());
  LayerParameters layer = coded();
  layer.rpu.pre_post.fixed_point->chain = false;  // chained, a wider range would widen the next layer's input, too
  layer.rpu.pre_post.fixed_point->output.range = 50.0;  // a step of the output above half a step of the product
  EXPECT_TRUE(scale_warnings(executor.layers(), ProgrammedChip(executor, all_alike(layer), {1, 0, {}})).empty());
  layer.rpu.pre_post.fixed_point->output.range = 0.01;
  const auto warnings = scale_warnings(executor.layers(), ProgrammedChip(executor, all_alike(layer), {1, 0, {}}));
  ASSERT_EQ(warnings.size(), 3U);
  EXPECT_NE(warnings[0].text.find("layer 'conv1': 100 % of its multipliers do not fit Q(u,1,7)"), std::string::npos)
      << warnings[0].text;
}

}  // namespace
}  // namespace tessera::sim
