// Do products of two activations on tiles equal the digital ones where the tiles are ideal, do they pass the same
// converters as a layer with that weight, and are their noise and their programming errors those of the sample?
#include <gtest/gtest.h>

#include <cmath>

#include "nn/network.hpp"
#include "support/source_dir.hpp"
#include "tessera/io/npy.hpp"
#include "tessera/io/onnx_import.hpp"
#include "tessera/sim/analog_network.hpp"
#include "tessera/sim/calibrate.hpp"
#include "tessera/sim/evaluate.hpp"

namespace tessera::sim {
namespace {

using nn::test::Network;
using nn::test::random_tensor;

LayerParameters ideal(const std::string&, const std::string&) {
  LayerParameters layer;
  layer.rpu.forward.is_perfect = true;
  return layer;
}

/// 5-bit converters and the same noise everywhere.
LayerResolver with_noise(double noise) {
  return [noise](const std::string&, const std::string&) {
    LayerParameters layer;
    layer.rpu.forward.inp_res = 30.0;
    layer.rpu.forward.out_res = 30.0;
    layer.rpu.forward.out_noise = noise;
    layer.rpu.forward.bound_management = tile::BoundManagementType::NONE;
    layer.rpu.mapping.weight_scaling_omega = 1.0;
    layer.rpu.mapping.max_input_size = 3;
    return layer;
  };
}

/// x (2 heads of 3 x 5) times its own transpose, then a layer: a product of two activations in front of a Gemm.
nn::Graph gram() {
  Network net;
  const nn::ValueId x = net.input({-1, 2, 3, 5});
  const nn::ValueId t = net.node("Transpose", {x}, {{"perm", std::vector<std::int64_t>{0, 1, 3, 2}}}, "turned");
  const nn::ValueId p = net.node("MatMul", {x, t}, {}, "gram");
  net.output(net.node("Gemm", {net.node("Flatten", {p}), net.constant(random_tensor({18, 4}, 5))}, {}, "fc"));
  return net.graph;
}

nn::Executor gram_executor() {
  return nn::Executor(gram(), {.sample_shapes = {}, .transforms = {}, .products = {"gram"}});
}

Tensor run(const nn::Executor& executor, const AnalogNetwork& network, const Tensor& x, std::uint64_t first = 0,
           int threads = 1) {
  return executor.run(x, {.first_sample = first, .parallel = {threads}, .overrides = &network.overrides()});
}

Tensor rows(const Tensor& all, std::int64_t first, std::int64_t count) {
  Shape shape = all.shape();
  shape[0] = count;
  const std::int64_t size = all.size() / all.dim(0);
  return {shape, all.values().subspan(static_cast<std::size_t>(first * size), static_cast<std::size_t>(count * size))};
}

void expect_same(const Tensor& a, const Tensor& b) {
  ASSERT_EQ(a.shape(), b.shape());
  for (std::int64_t i = 0; i < a.size(); ++i) ASSERT_EQ(a.data()[i], b.data()[i]) << i;
}

double distance(const Tensor& a, const Tensor& b) {
  double largest = 0.0;
  for (std::int64_t i = 0; i < a.size(); ++i)
    largest = std::max(largest, std::fabs(static_cast<double>(a.data()[i] - b.data()[i])));
  return largest;
}

TEST(ActivationProduct, IdealTransformerEqualsFloat32) {
  const std::string folder = TESSERA_SOURCE_DIR + "/tests/data/onnx/tiny_transformer";
  const nn::Graph graph = io::import_onnx(folder + ".onnx", {});
  const std::vector<std::string> products = nn::activation_products(graph);
  ASSERT_EQ(products.size(), 4U) << "scores and values of two blocks";
  const nn::Executor digital(graph), executor(graph, {.sample_shapes = {}, .transforms = {}, .products = products});
  ASSERT_EQ(executor.layers().size(), digital.layers().size() + 4);
  for (std::size_t l = 0; l < digital.layers().size(); ++l)
    EXPECT_EQ(executor.layers()[l].name, digital.layers()[l].name) << "weighted layers keep their numbers";
  const nn::LinearLayer& scores = executor.layers()[digital.layers().size()];
  ASSERT_EQ(scores.parts.size(), 2U) << "two heads";
  EXPECT_EQ(scores.part_name(1), products[0] + ".head1");
  EXPECT_EQ(scores.parts[0].weight.rows(), 12) << "tokens of the keys";
  EXPECT_EQ(scores.parts[0].weight.cols(), 8) << "width of a head";
  EXPECT_EQ(executor.vectors_per_sample(digital.layers().size()), 12);

  const Tensor x = io::read_npy(folder + "_input.npy");
  const Tensor wanted = digital.run(x);
  expect_same(executor.run(x), wanted);
  const AnalogNetwork network = ProgrammedChip(executor, ideal, {1, 0, {}}).at(std::nullopt, 0, {});
  for (std::size_t l = 0; l < executor.layers().size(); ++l) EXPECT_TRUE(network.is_analog(l));
  // Sums of at most 32 products in another order.
  EXPECT_LT(distance(run(executor, network, x), wanted), 1e-5);
  const AnalogNetwork coarse = ProgrammedChip(executor, with_noise(0.0), {1, 0, {}}).at(std::nullopt, 0, {});
  EXPECT_GT(distance(run(executor, coarse, x), wanted), 1e-3) << "control: it does pass converters";
}

TEST(ActivationProduct, EqualsALayerWithThatWeight) {
  Network net;
  net.output(net.node("MatMul",
                      {net.input({-1, 2, 3, 5}), net.node("Transpose", {net.graph.inputs[0].value},
                                                          {{"perm", std::vector<std::int64_t>{0, 1, 3, 2}}}, "turned")},
                      {}, "gram"));
  const nn::Executor executor(net.graph, {.sample_shapes = {}, .transforms = {}, .products = {"gram"}});
  const AnalogNetwork network = ProgrammedChip(executor, with_noise(0.0), {1, 0, {}}).at(std::nullopt, 0, {});
  EXPECT_EQ(network.part(0, 0).tile_count(), 2) << "5 inputs on tiles of 3";
  const Tensor x = random_tensor({4, 2, 3, 5}, 3);
  const Tensor y = run(executor, network, x);
  for (std::int64_t matrix = 0; matrix < 8; ++matrix) {
    const Tensor one = rows(x.reshaped({8, 3, 5}), matrix, 1).reshaped({3, 5});
    Tensor turned({5, 3});
    for (std::int64_t i = 0; i < 15; ++i) turned.data()[i % 5 * 3 + i / 5] = one.data()[i];
    Network dense;
    dense.output(dense.node("MatMul", {dense.input({-1, 5}), dense.constant(turned)}, {}, "fc"));
    const nn::Executor layer(dense.graph);
    const AnalogNetwork tiles = ProgrammedChip(layer, with_noise(0.0), {1, 0, {}}).at(std::nullopt, 0, {});
    expect_same(rows(y.reshaped({8, 3, 3}), matrix, 1).reshaped({3, 3}), run(layer, tiles, one));
  }
}

TEST(ActivationProduct, NoiseBelongsToTheSample) {
  const nn::Executor executor = gram_executor();
  const AnalogNetwork network = ProgrammedChip(executor, with_noise(0.1), {1, 0, {}}).at(std::nullopt, 0, {});
  const Tensor x = random_tensor({9, 2, 3, 5}, 3);
  const Tensor y = run(executor, network, x);
  expect_same(run(executor, network, x, 0, 3), y);
  expect_same(run(executor, network, rows(x, 5, 4), 5, 2), rows(y, 5, 4));
  EXPECT_GT(distance(run(executor, network, rows(x, 5, 4), 6), rows(y, 5, 4)), 0.0) << "control: another sample";
  const AnalogNetwork other = ProgrammedChip(executor, with_noise(0.1), {1, 1, {}}).at(std::nullopt, 0, {});
  EXPECT_GT(distance(run(executor, other, x), y), 0.0) << "control: another chip";
}

TEST(ActivationProduct, DevicesAreProgrammedForEverySample) {
  const nn::Executor executor = gram_executor();
  const auto resolve = [](bool devices) -> LayerResolver {
    return [devices](const std::string& name, const std::string& op) {
      LayerParameters layer = ideal(name, op);
      layer.analog = name == "gram";
      if (devices) layer.written_device = device::DeviceParameters{};
      return layer;
    };
  };
  const Tensor one = random_tensor({1, 2, 3, 5}, 3);
  Tensor x({3, 2, 3, 5});
  for (std::int64_t s = 0; s < 3; ++s) std::copy_n(one.data(), one.size(), x.data() + s * one.size());
  const AnalogNetwork exact = ProgrammedChip(executor, resolve(false), {1, 0, {}}).at(std::nullopt, 0, {});
  const Tensor same = run(executor, exact, x);
  EXPECT_EQ(distance(rows(same, 0, 1), rows(same, 1, 1)), 0.0);
  const ProgrammedChip chip(executor, resolve(true), {1, 0, {}});
  EXPECT_FALSE(chip.has_devices()) << "nothing that lasts, so times do not matter";
  const AnalogNetwork programmed = chip.at(86400.0, 0, {});
  const Tensor y = run(executor, programmed, x);
  EXPECT_GT(distance(rows(y, 0, 1), rows(y, 1, 1)), 0.0);
  EXPECT_GT(distance(rows(y, 0, 1), rows(same, 0, 1)), 0.0);
  expect_same(run(executor, programmed, rows(x, 1, 2), 1, 2), rows(y, 1, 2));
}

TEST(ActivationProduct, IsEvaluatedAlikeHoweverTheWorkIsCut) {
  const nn::Executor executor = gram_executor();
  const io::DataSet data(random_tensor({23, 2, 3, 5}, 3), std::vector<std::int32_t>(23, 1));
  const auto evaluated = [&](std::int64_t batch, int threads) {
    EvaluationParameters evaluation;
    evaluation.repeats = 2;
    return evaluate({.executor = executor,
                     .data = data,
                     .batch_size = batch,
                     .seed = 7,
                     .evaluation = evaluation,
                     .resolve = with_noise(0.1),
                     .statistics = true,
                     .record_output = {}},
                    {}, Parallel{threads}, {});
  };
  const EvaluationResult one = evaluated(23, 1), cut = evaluated(5, 3);
  ASSERT_EQ(one.points.size(), 2U);
  for (std::size_t p = 0; p < 2; ++p) {
    EXPECT_EQ(one.points[p].score.loss_sum, cut.points[p].score.loss_sum);
    const LayerResult &a = one.points[p].layers.at(1), &b = cut.points[p].layers.at(1);
    EXPECT_TRUE(a.analog);
    EXPECT_GT(a.counts.adc_conversions, 0);
    EXPECT_EQ(a.counts.adc_conversions, b.counts.adc_conversions);
    EXPECT_GT(a.isolated.sqnr_db(), 3.0);
    EXPECT_LT(a.isolated.sqnr_db(), 40.0);
    EXPECT_EQ(a.isolated.sum_error_squared, b.isolated.sum_error_squared);
    EXPECT_EQ(a.isolated.sum_error_squared, a.cumulative.sum_error_squared) << "nothing analog in front of it";
  }
  EXPECT_NE(one.points[0].score.loss_sum, one.points[1].score.loss_sum);
}

TEST(ActivationProduct, CalibrationFindsTheRangeOfTheVectors) {
  const nn::Executor executor = gram_executor();
  const Tensor x = random_tensor({11, 2, 3, 5}, 3);
  const io::DataSet data(x);
  const LayerResolver ranged = [](const std::string&, const std::string&) {
    LayerParameters layer;
    layer.rpu.forward.noise_management = tile::NoiseManagementType::NONE;
    layer.rpu.forward.bound_management = tile::BoundManagementType::NONE;
    layer.rpu.pre_post.input_range.enable = true;
    return layer;
  };
  const auto calibrated = [&](CalibrationPass pass, int threads) {
    InputCalibration parameters{.type = CalibrationType::MAX, .batch_size = 4};
    parameters.pass = pass;
    return calibrate({.executor = executor, .data = data, .seed = 3, .parameters = parameters, .resolve = ranged},
                     {threads}, {});
  };
  for (const CalibrationPass pass : {CalibrationPass::float32, CalibrationPass::tiles}) {
    const CalibrationResult found = calibrated(pass, 1), again = calibrated(pass, 3);
    for (std::size_t head = 0; head < 2; ++head) {
      float largest = 0.0F;
      for (std::int64_t i = 0; i < x.size(); ++i)
        if (static_cast<std::size_t>(i / 15 % 2) == head) largest = std::max(largest, std::fabs(x.data()[i]));
      EXPECT_EQ(found.layers.at("gram")->parts.at(head).state.tiles.at(0).input_range, largest) << head;
    }
    EXPECT_EQ(found.layers.at("fc")->parts.at(0).state, again.layers.at("fc")->parts.at(0).state)
        << "the layer behind the product";
    // The chip uses them.
    const AnalogNetwork network =
        ProgrammedChip(executor, with_calibration(ranged, found.layers), {1, 0, {}}).at(std::nullopt, 0, {});
    EXPECT_EQ(network.part(0, 0).tile_report(0).input_range,
              found.layers.at("fc")->parts.at(0).state.tiles.at(0).input_range);
    EXPECT_EQ(network.part(1, 1).tile_report(0).input_range,
              found.layers.at("gram")->parts.at(1).state.tiles.at(0).input_range);
  }
}

TEST(ActivationProduct, WhatCannotBeOneIsRefused) {
  EXPECT_THROW(nn::Executor(gram(), {.sample_shapes = {}, .transforms = {}, .products = {"fc"}}), InputError);
  EXPECT_THROW(nn::Executor(gram(), {.sample_shapes = {}, .transforms = {}, .products = {"nothing"}}), InputError);
  Network turned;  // samples along the second axis of the product
  const nn::ValueId x = turned.input({-1, 3, 5});
  const nn::ValueId a = turned.node("Transpose", {x}, {{"perm", std::vector<std::int64_t>{1, 0, 2}}}, "a");
  const nn::ValueId b = turned.node("Transpose", {x}, {{"perm", std::vector<std::int64_t>{1, 2, 0}}}, "b");
  turned.output(turned.node("MatMul", {a, b}, {}, "mixed"));
  EXPECT_THROW(nn::Executor(turned.graph, {.sample_shapes = {}, .transforms = {}, .products = {"mixed"}}), InputError);
}

/// q (N x 4 x 5) times the transpose of k (N x 4 x 5): scores of four positions.
nn::Executor scores_executor() {
  Network net;
  const nn::ValueId q = net.input({-1, 2, 4, 5});
  const nn::ValueId k = net.node("Gather", {q, net.integer_tensor({{}, {1}})}, {{"axis", std::int64_t{1}}});
  const nn::ValueId first = net.node("Gather", {q, net.integer_tensor({{}, {0}})}, {{"axis", std::int64_t{1}}});
  const nn::ValueId t = net.node("Transpose", {k}, {{"perm", std::vector<std::int64_t>{0, 2, 1}}});
  net.output(net.node("MatMul", {first, t}, {}, "scores"));
  return nn::Executor(net.graph, {.sample_shapes = {}, .transforms = {}, .products = {"scores"}});
}

LayerResolver leaking(const device::RetentionParameters& retention) {
  return [retention](const std::string& name, const std::string& op) {
    LayerParameters layer = ideal(name, op);
    layer.retention = retention;
    return layer;
  };
}

TEST(ActivationProduct, WhatIsWrittenLeaksUntilItIsRead) {
  const nn::Executor executor = scores_executor();
  const Tensor x = random_tensor({6, 2, 4, 5}, 11);
  const Tensor exact = executor.run(x);
  device::RetentionParameters retention{.time_constant = 2.0, .spread = 0.0, .hold_time = 0.5};
  for (const bool causal : {true, false}) {
    retention.causal = causal;
    const ProgrammedChip chip(executor, leaking(retention), {3, 0, Parallel{1}});
    const AnalogNetwork network = chip.at(std::nullopt, 0, Parallel{1});
    const Tensor seen = run(executor, network, x);
    for (std::int64_t n = 0; n < 6; ++n)
      for (std::int64_t t = 0; t < 4; ++t)
        for (std::int64_t s = 0; s < 4; ++s) {
          const std::int64_t at = (n * 4 + t) * 4 + s, steps = causal ? t - s : 4 - s;
          const double factor = steps < 0 ? 0.0 : std::exp(-0.5 * static_cast<double>(steps) / 2.0);
          EXPECT_NEAR(seen.data()[at], factor * static_cast<double>(exact.data()[at]), 1e-5) << causal << at;
        }
    expect_same(run(executor, network, rows(x, 2, 4), 2, 2), rows(seen, 2, 4));
  }
}

TEST(ActivationProduct, TimeConstantsAreLognormalFromCellToCell) {
  const device::RetentionParameters retention{.time_constant = 2.0, .spread = 0.3};
  Moments logs;
  for (std::uint32_t chip = 0; chip < 4; ++chip) {
    const Matrix tau = device::time_constants(retention, 100, 100, {.seed = 5, .repeat = chip});
    for (std::int64_t o = 0; o < 100; ++o)
      for (std::int64_t k = 0; k < 100; ++k) logs.add(std::log(static_cast<double>(tau(o, k)) / 2.0));
  }
  // 40,000 draws; five standard errors: false alarm below 1e-6.
  EXPECT_NEAR(logs.mean(), 0.0, 5.0 * 0.3 / 200.0);
  EXPECT_NEAR(logs.standard_deviation(), 0.3, 5.0 * 0.3 / std::sqrt(80000.0));
  const device::RetentionParameters other{.time_constant = 2.0, .spread = 0.32};
  EXPECT_GT(std::fabs(other.spread - logs.standard_deviation()), 5.0 * 0.3 / std::sqrt(80000.0)) << "it would be seen";
}

TEST(ActivationProduct, ItMustBeClearWhichAxisCountsPositions) {
  const nn::Executor executor = scores_executor();
  device::RetentionParameters retention{.time_constant = 2.0, .hold_time = 0.5};
  retention.positions = device::WrittenPositions::inputs;  // five of them, read by four vectors: as it is said
  const ProgrammedChip chip(executor, leaking(retention), {3, 0, Parallel{1}});
  const AnalogNetwork network = chip.at(std::nullopt, 0, Parallel{1});
  EXPECT_NO_THROW(run(executor, network, random_tensor({2, 2, 4, 5}, 1)));
  const nn::Executor square = gram_executor();  // 3 x 5: outputs are as many as vectors
  const ProgrammedChip clear(square, leaking({.time_constant = 2.0, .hold_time = 0.5}), {3, 0, Parallel{1}});
  EXPECT_NO_THROW(run(square, clear.at(std::nullopt, 0, Parallel{1}), random_tensor({2, 2, 3, 5}, 1)));
}

}  // namespace
}  // namespace tessera::sim
