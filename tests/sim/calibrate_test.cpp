// Does calibration find what its formulas say, whatever the threads, and does a model file carry it to a chip intact?
#include "tessera/sim/calibrate.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "nn/network.hpp"
#include "tessera/core/statistics.hpp"
#include "tessera/sim/analog_network.hpp"

namespace tessera::sim {
namespace {

using nn::test::Network;

LayerParameters ranged(const std::string&, const std::string&) {
  LayerParameters layer;
  layer.rpu.forward.noise_management = tile::NoiseManagementType::NONE;
  layer.rpu.forward.bound_management = tile::BoundManagementType::NONE;
  layer.rpu.pre_post.input_range.enable = true;
  return layer;
}

nn::Graph dense_network() {
  Network net;
  const nn::ValueId x = net.input({-1, 6});
  const nn::ValueId h =
      net.node("Gemm", {x, net.constant(nn::test::random_tensor({5, 6}, 1))}, {{"transB", std::int64_t{1}}}, "fc1");
  const nn::ValueId r = net.node("Relu", {h});
  net.output(
      net.node("Gemm", {r, net.constant(nn::test::random_tensor({3, 5}, 2))}, {{"transB", std::int64_t{1}}}, "fc2"));
  return net.graph;
}

/// 41 samples of 6 normal values, of which samples 5 and 6 are zero.
Tensor dense_inputs() {
  Tensor inputs = nn::test::random_tensor({41, 6}, 9);
  std::fill_n(inputs.data() + 30, 12, 0.0F);
  return inputs;
}

CalibrationResult calibrated(const nn::Executor& executor, const io::DataSet& data, InputCalibration parameters,
                             LayerResolver resolve = ranged, int threads = 1, const Environment& environment = {}) {
  return calibrate({.executor = executor, .data = data, .seed = 3, .parameters = parameters, .resolve = resolve},
                   {threads}, environment);
}

float range_of(const CalibrationResult& result, const std::string& layer, std::size_t part = 0, std::size_t t = 0) {
  return result.layers.at(layer)->parts.at(part).state.tiles.at(t).input_range;
}

std::vector<float> nonzero_rows(const Tensor& x) {
  std::vector<float> values;
  for (std::int64_t r = 0; r < x.dim(0); ++r) {
    const std::span<const float> row =
        x.values().subspan(static_cast<std::size_t>(r * x.dim(1)), static_cast<std::size_t>(x.dim(1)));
    if (std::any_of(row.begin(), row.end(), [](float v) { return v != 0.0F; }))
      values.insert(values.end(), row.begin(), row.end());
  }
  return values;
}

TEST(Calibrate, FirstLayerFollowsTheFormulas) {
  const nn::Executor executor(dense_network());
  const Tensor inputs = dense_inputs();
  const io::DataSet data(inputs);
  const std::vector<float> rows = nonzero_rows(inputs);
  float largest = 0.0F;
  std::vector<float> magnitudes;
  Moments nonzero, all;
  for (const float v : rows) {
    largest = std::max(largest, std::fabs(v));
    magnitudes.push_back(std::fabs(v));
    nonzero.add(static_cast<double>(v));
  }
  all.add(inputs.values());
  InputCalibration p{.batch_size = 41};
  p.type = CalibrationType::MAX;
  EXPECT_EQ(range_of(calibrated(executor, data, p), "fc1"), largest);
  p.type = CalibrationType::CACHE_QUANTILE;
  p.quantile = 0.9;
  p.absolute_values = false;
  EXPECT_FLOAT_EQ(range_of(calibrated(executor, data, p), "fc1"), static_cast<float>(quantile(rows, 0.9)));
  p.absolute_values = true;
  EXPECT_FLOAT_EQ(range_of(calibrated(executor, data, p), "fc1"), static_cast<float>(quantile(magnitudes, 0.9)));
  p.type = CalibrationType::MOVING_QUANTILE;
  EXPECT_FLOAT_EQ(range_of(calibrated(executor, data, p), "fc1"), static_cast<float>(quantile(magnitudes, 0.9)));
  p.type = CalibrationType::MOVING_STD;
  EXPECT_FLOAT_EQ(range_of(calibrated(executor, data, p), "fc1"),
                  static_cast<float>(3.0 * nonzero.standard_deviation()));
  p.std_alpha = 2.0;
  EXPECT_FLOAT_EQ(range_of(calibrated(executor, data, p), "fc1"),
                  static_cast<float>(2.0 * nonzero.standard_deviation()));
  p.type = CalibrationType::INIT_FROM_DATA;
  EXPECT_FLOAT_EQ(range_of(calibrated(executor, data, p), "fc1"), static_cast<float>(2.0 * all.standard_deviation()));
}

// Inputs of one sign: the range is that of their magnitudes, whichever sign it is, for every type.
TEST(Calibrate, SignOfTheInputsDoesNotMatter) {
  const nn::Executor executor(dense_network());
  Tensor positive = nn::test::random_tensor({200, 6}, 10);
  for (float& v : positive.values()) v = std::fabs(v) + 0.003F;
  Tensor negative = positive;
  for (float& v : negative.values()) v = -v;
  const io::DataSet above(positive), below(negative);
  for (const CalibrationType type : {CalibrationType::MAX, CalibrationType::CACHE_QUANTILE,
                                     CalibrationType::MOVING_QUANTILE, CalibrationType::MOVING_STD}) {
    InputCalibration p{.type = type, .quantile = 0.999, .batch_size = 50};
    const float range = range_of(calibrated(executor, below, p), "fc1");
    EXPECT_EQ(range, range_of(calibrated(executor, above, p), "fc1")) << to_string(type);
    EXPECT_GT(range, 1.0F) << to_string(type);
    p.absolute_values = false;  // as the peer: the value nearest to 0, or no range at all
    if (type == CalibrationType::CACHE_QUANTILE) {
      EXPECT_LT(range_of(calibrated(executor, below, p), "fc1"), 0.05F);
    }
  }
}

TEST(Calibrate, MovingRangesAreMeansOverBatches) {
  const nn::Executor executor(dense_network());
  const Tensor inputs = dense_inputs();
  const io::DataSet data(inputs);
  InputCalibration p{.type = CalibrationType::MOVING_QUANTILE, .quantile = 1.0, .batch_size = 10};
  double sum = 0.0;
  for (std::int64_t first = 0; first < 41; first += 10) {
    float largest = 0.0F;
    for (std::int64_t i = first * 6; i < std::min<std::int64_t>(41, first + 10) * 6; ++i)
      largest = std::max(largest, std::fabs(inputs.data()[i]));
    sum += static_cast<double>(largest);
  }
  EXPECT_NEAR(range_of(calibrated(executor, data, p), "fc1"), sum / 5.0, 1e-6 * sum);
  p.type = CalibrationType::MOVING_STD;
  p.max_samples = 2;
  EXPECT_EQ(calibrated(executor, data, p).layers.at("fc1")->parts[0].state.tiles[0].input_range_updates, 2);
}

TEST(Calibrate, RangesDoNotDependOnThreadsNorOnBatchesWhereTheyShouldNot) {
  const nn::Executor executor(nn::test::small_cnn());
  const io::DataSet data(nn::test::random_tensor({37, 3, 9, 9}, 11));
  const LayerResolver tiled = [](const std::string& name, const std::string& op) {
    LayerParameters layer = ranged(name, op);
    layer.rpu.mapping.max_input_size = 20;
    layer.rpu.mapping.max_output_size = 4;
    return layer;
  };
  for (const CalibrationType type : {CalibrationType::MAX, CalibrationType::CACHE_QUANTILE,
                                     CalibrationType::MOVING_QUANTILE, CalibrationType::MOVING_STD}) {
    InputCalibration p{.type = type, .quantile = 0.99, .max_samples = 50, .batch_size = 16};
    const CalibrationResult one = calibrated(executor, data, p, tiled, 1),
                            three = calibrated(executor, data, p, tiled, 3);
    ASSERT_EQ(one.layers.size(), 3U);
    for (const auto& [name, layer] : one.layers)
      for (std::size_t part = 0; part < layer->parts.size(); ++part)
        EXPECT_EQ(layer->parts[part].state, three.layers.at(name)->parts[part].state) << name << to_string(type);
    if (type != CalibrationType::MAX && type != CalibrationType::CACHE_QUANTILE) continue;
    p.batch_size = 5;
    const CalibrationResult other = calibrated(executor, data, p, tiled, 2);
    for (const auto& [name, layer] : one.layers)
      for (std::size_t part = 0; part < layer->parts.size(); ++part)
        EXPECT_EQ(layer->parts[part].state, other.layers.at(name)->parts[part].state) << name << to_string(type);
  }
}

TEST(Calibrate, RecurrentLayersSeeTheirStates) {
  Network net;
  const nn::ValueId x = net.input({-1, 4, 3});
  const nn::ValueId t = net.node("Transpose", {x}, {{"perm", std::vector<std::int64_t>{1, 0, 2}}});
  const nn::ValueId y = net.nodes(
      "LSTM",
      {t, net.constant(nn::test::random_tensor({1, 20, 3}, 1)), net.constant(nn::test::random_tensor({1, 20, 5}, 2))},
      1, {{"hidden_size", std::int64_t{5}}}, "lstm")[0];
  net.output(net.node("Transpose", {net.node("Squeeze", {y, net.integers({1})})},
                      {{"perm", std::vector<std::int64_t>{1, 0, 2}}}));
  const nn::Executor executor(net.graph);
  const io::DataSet data(nn::test::random_tensor({12, 4, 3}, 3));
  const CalibrationResult result = calibrated(executor, data, {.type = CalibrationType::MAX});
  // The state is the layer's output but for the last step: its largest value follows from a float32 run.
  const Tensor states = executor.run(nn::test::random_tensor({12, 4, 3}, 3));
  float largest = 0.0F;
  for (std::int64_t s = 0; s < 12; ++s)
    for (std::int64_t i = 0; i < 3 * 5; ++i) largest = std::max(largest, std::fabs(states.data()[s * 20 + i]));
  EXPECT_FLOAT_EQ(range_of(result, "lstm", 1), largest);
}

TEST(Calibrate, SetsRangesAsideThatNothingDetermines) {
  const nn::Executor executor(dense_network());
  const io::DataSet data(Tensor({4, 6}));
  std::vector<std::string> warnings;
  const Environment environment{.message = [&](Severity, const std::string& text) { warnings.push_back(text); },
                                .progress = {}};
  const CalibrationResult result = calibrated(executor, data, {.type = CalibrationType::MAX}, ranged, 1, environment);
  EXPECT_EQ(range_of(result, "fc1"), 3.0F);
  EXPECT_THAT(warnings, testing::Contains(testing::HasSubstr("layer 'fc1'")));
}

TEST(Calibrate, NoiseManagementIsAnErrorUnlessForced) {
  const nn::Executor executor(dense_network());
  const io::DataSet data(dense_inputs());
  const LayerResolver managed = [](const std::string& name, const std::string& op) {
    LayerParameters layer = ranged(name, op);
    layer.rpu.forward.noise_management = tile::NoiseManagementType::ABS_MAX;
    return layer;
  };
  InputCalibration p{.force_all_layers = false};
  EXPECT_THROW(calibrated(executor, data, p, managed), ConfigError);
  p.force_all_layers = true;
  const CalibrationResult result = calibrated(executor, data, p, managed);
  const LayerParameters used = with_calibration(managed, result.layers)("fc1", "Gemm");
  EXPECT_EQ(used.rpu.forward.noise_management, tile::NoiseManagementType::NONE);
  EXPECT_TRUE(used.rpu.pre_post.input_range.enable);
  EXPECT_THROW(calibrated(executor, data, {.quantile = 0.0}), ConfigError);
  EXPECT_THROW(calibrated(executor, data, {.batch_size = 0}), ConfigError);
}

TEST(Calibrate, OutputStatisticsSeeBeyondTheBound) {
  const nn::Executor executor(dense_network());
  const io::DataSet data(dense_inputs());
  const LayerResolver narrow = [](const std::string& name, const std::string& op) {
    LayerParameters layer = ranged(name, op);
    layer.rpu.forward.out_bound = 0.5;
    layer.rpu.forward.out_noise = 0.0;
    return layer;
  };
  const LayerCalibration first = *calibrated(executor, data, {.type = CalibrationType::MAX}, narrow).layers.at("fc1");
  EXPECT_GT(first.output_peak, 0.5);
  EXPECT_GT(first.adc_saturation_fraction, 0.0);
  EXPECT_EQ(first.input_clip_fraction, 0.0);
}

/// What a chip made from a calibrated model file computes is what one made from the calibration computes.
TEST(Calibrate, AModelFileCarriesTheStateToTheChip) {
  const nn::Executor executor(nn::test::small_cnn());
  const io::DataSet data(nn::test::random_tensor({20, 3, 9, 9}, 11));
  const LayerResolver resolve = [](const std::string& name, const std::string& op) {
    LayerParameters layer = ranged(name, op);
    layer.rpu.mapping.max_input_size = 20;
    layer.rpu.act_quant_config = tile::ActivationQuantConfig{.n_bits = 8};
    layer.rpu.forward.is_perfect = true;
    return layer;
  };
  const CalibrationResult result = calibrated(executor, data, {.type = CalibrationType::MAX}, resolve);
  io::Model model{executor.graph(), {}, {}};
  for (const nn::LinearLayer& layer : executor.layers())
    model.calibration[layer.name] = to_numbers(layer, *result.layers.at(layer.name));
  const std::string path = testing::TempDir() + "calibrate_test.h5";
  io::write_model(model, path);
  const NetworkCalibration back = read_calibration(executor.layers(), io::read_calibration(path));
  std::filesystem::remove(path);
  ASSERT_EQ(back.size(), result.layers.size());
  for (const auto& [name, layer] : back)
    for (std::size_t p = 0; p < layer->parts.size(); ++p)
      EXPECT_EQ(layer->parts[p].state, result.layers.at(name)->parts[p].state) << name;
  const ProgrammedChip chip(executor, with_calibration(resolve, back), {3, 0, {}});
  EXPECT_FALSE(chip.needs_activation_ranges());
  EXPECT_EQ(chip.layer(0, 0).state().tiles[1].input_range, range_of(result, "conv1", 0, 1));
  // Other tiles than those of the calibration are refused by name.
  const LayerResolver whole = [&](const std::string& name, const std::string& op) {
    LayerParameters layer = resolve(name, op);
    layer.rpu.mapping.max_input_size = 512;
    return layer;
  };
  try {
    ProgrammedChip(executor, with_calibration(whole, back), {3, 0, {}});
    FAIL() << "expected a ConfigError";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("conv1"), testing::HasSubstr("calibrate")));
  }
}

TEST(Calibrate, DamagedNumbersAreRefused) {
  const nn::Executor executor(dense_network());
  const io::DataSet data(dense_inputs());
  const nn::LinearLayer& layer = executor.layers()[0];
  const io::LayerNumbers good = to_numbers(layer, *calibrated(executor, data, {}).layers.at("fc1"));
  for (const char* name : {"tiles", "input_range", "input_range_updates", "periphery_updates"}) {
    io::LayerNumbers bad = good;
    bad[name].push_back(0.5);
    EXPECT_THROW(from_numbers(layer, bad), InputError) << name;
    bad.erase(name);
    EXPECT_THROW(from_numbers(layer, bad), InputError) << name;
  }
  io::LayerNumbers negative = good;
  negative["input_range"][0] = -1.0;
  const auto broken = std::make_shared<const LayerCalibration>(from_numbers(layer, negative));
  EXPECT_THROW(ProgrammedChip(executor, with_calibration(ranged, {{"fc1", broken}}), {3, 0, {}}), InputError);
}

}  // namespace
}  // namespace tessera::sim
