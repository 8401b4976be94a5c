// Fault maps of programmed chips and learned weight ranges of a file, used under another configuration: the last rows of
// the table of docs/formats/model.md.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "sim/coded_networks.hpp"
#include "sim/stored_state.hpp"
#include "tessera/h5/file.hpp"
#include "tessera/sim/chip_file.hpp"
#include "tessera/sim/quantized_network.hpp"

namespace tessera::sim {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// A map of both layers of the small network whose every `stride`-th device is stuck at zero.
std::string fault_file(const std::string& name, std::size_t stride) {
  const std::string path = testing::TempDir() + name;
  h5::File file = h5::File::create(path);
  for (const auto& [layer, outputs, inputs] : {std::tuple{"fc1", 5, 6}, {"fc2", 3, 5}}) {
    std::vector<std::uint8_t> map(static_cast<std::size_t>(2 * outputs * inputs), 0);
    for (std::size_t i = 0; i < map.size(); i += stride) map[i] = 1;
    file.write<std::uint8_t>(layer, {2, outputs, inputs}, map);
  }
  file.close();
  return path;
}

TEST_F(StoredRangesTest, ChipsHaveTheFaultsOfTheirOwnMapOnly) {
  const std::string own = fault_file("stored_chips_own.h5", 4), other = fault_file("stored_chips_other.h5", 5);
  const auto with_map = [&](const std::string& map) {
    return changed(plain, [=](LayerParameters& layer) {
      layer.device = device::DeviceParameters{.noise_model = device::PCMLikeNoiseModel{}};
      layer.fault_map = map;
    });
  };
  const std::string path = testing::TempDir() + "stored_chips.h5";
  {
    const LayerResolver resolve = with_map(own);
    const ProgrammedChip chip(executor_, resolve, {.seed = 1, .repeat = 0, .parallel = {}});
    io::ChipFileWriter writer(path, io::Model{executor_.graph(), {}, {}}, {}, 1);
    for (std::size_t l = 0; l < 2; ++l) writer.add(chip_tile(chip, l, 0, 0, executor_.layers()[l].part_name(0)));
    writer.commit();
  }
  const StoredChips chips(path);
  const auto load = [&](const std::string& map) -> std::string {
    const LayerResolver asked = with_map(map);
    try {
      const ProgrammedChip chip(executor_, asked, {.seed = 1, .repeat = 0, .parallel = {}, .stored = &chips});
      return chip.has_fault_map(0, 0) ? "loaded" : "without its map";
    } catch (const ConfigError& error) {
      return error.what();
    }
  };
  EXPECT_EQ(load(own), "loaded");
  EXPECT_THAT(load(other), AllOf(HasSubstr("faults.map"), HasSubstr("fc1"), HasSubstr("evaluation.chips: null")));
  EXPECT_THAT(load(""), HasSubstr("faults.map"));
  for (const std::string& file : {own, other, path}) std::filesystem::remove(file);
}

// A stored chip gives the codes of the chip that was stored: its devices are those, and its multipliers follow from
// ranges alone. Drift compensation changes the multipliers of both alike.
TEST_F(StoredRangesTest, AStoredChipGivesTheSameCodes) {
  const LayerResolver resolve = changed(plain, [](LayerParameters& layer) {
    tile::RpuParameters& p = layer.rpu;
    p.forward.noise_management = tile::NoiseManagementType::NONE;
    p.forward.bound_management = tile::BoundManagementType::NONE;
    p.forward.inp_res = p.forward.out_res = 254.0;
    p.forward.out_bound = 6.0;
    p.mapping.weight_scaling_omega = 1.0;
    p.pre_post.input_range.enable = true;
    p.pre_post.fixed_point.emplace().output.range = 4.0;
    layer.device = device::DeviceParameters{.noise_model = device::PCMLikeNoiseModel{}};
    layer.drift_compensation = device::DriftCompensation{};
  });
  const std::string path = testing::TempDir() + "stored_codes.h5";
  const ProgrammedChip chip(executor_, resolve, {.seed = 1, .repeat = 0, .parallel = {}});
  {
    io::ChipFileWriter writer(path, io::Model{executor_.graph(), {}, {}}, {}, 1);
    for (std::size_t l = 0; l < 2; ++l) writer.add(chip_tile(chip, l, 0, 0, executor_.layers()[l].part_name(0)));
    writer.commit();
  }
  const StoredChips chips(path);
  const ProgrammedChip stored(executor_, resolve, {.seed = 1, .repeat = 0, .parallel = {}, .stored = &chips});
  const Tensor x = data_.read(0, std::min<std::int64_t>(data_.size(), 40), {});
  for (const std::optional<double> time : {std::optional<double>(), std::optional(86400.0)}) {
    const AnalogNetwork a = chip.at(time, 0, {}), b = stored.at(time, 0, {});
    const Tensor expected = executor_.run(x, {.overrides = &a.overrides()});
    const Tensor seen = executor_.run(x, {.overrides = &b.overrides()});
    EXPECT_TRUE(std::ranges::equal(seen.values(), expected.values()));
    EXPECT_EQ(b.part(0, 0).fixed_point_report(0).scale.code, a.part(0, 0).fixed_point_report(0).scale.code);
  }
  std::filesystem::remove(path);
}

// A chip holds devices, and a calibration ranges: chips and ranges that were stored where Adds broke the chain give what
// new ones give with it.
TEST_F(StoredRangesTest, WhatWasStoredBeforeAddsWereChainedIsChained) {
  const nn::Executor executor(test::residual_network());
  const Tensor data = nn::test::random_tensor({40, 2, 6, 6}, 9);
  const auto parameters = [](bool chain) {
    LayerParameters layer = test::coded();
    layer.rpu.pre_post.fixed_point->chain = chain;
    layer.device = device::DeviceParameters{.noise_model = device::PCMLikeNoiseModel{}};
    return layer;
  };
  ProgrammedChip before(executor, test::all_alike(parameters(false)), {.seed = 1, .repeat = 0, .parallel = {}});
  before.estimate_activation_ranges(executor, {&data, 1});
  EXPECT_TRUE(before.code_sums().empty());
  const std::string path = testing::TempDir() + "stored_unchained.h5";
  NetworkCalibration found;
  {
    io::ChipFileWriter writer(path, io::Model{executor.graph(), {}, {}}, {}, 1);
    for (std::size_t l = 0; l < executor.layers().size(); ++l) {
      LayerCalibration ranges;
      ranges.parts.resize(1);
      ranges.parts[0].state = before.layer(l, 0).state();
      for (std::int64_t t = 0; t < before.tile_count(l, 0); ++t) {
        writer.add(chip_tile(before, l, 0, t, executor.layers()[l].part_name(0)));
        ranges.parts[0].places.push_back(before.layer(l, 0).place(t));
      }
      found[executor.layers()[l].name] = std::make_shared<const LayerCalibration>(std::move(ranges));
    }
    writer.commit();
  }
  const LayerResolver chained = with_calibration(test::all_alike(parameters(true)), stored(executor, found));
  const StoredChips chips(path);
  const ProgrammedChip restored(executor, chained, {.seed = 1, .repeat = 0, .parallel = {}, .stored = &chips});
  const ProgrammedChip fresh(executor, chained, {.seed = 1, .repeat = 0, .parallel = {}});
  ASSERT_EQ(restored.code_sums().size(), 2U);
  EXPECT_EQ(restored.code_sums(), fresh.code_sums());
  for (const std::size_t l : {1U, 2U, 3U})
    EXPECT_TRUE(restored.input_codes(l).chained) << restored.input_codes(l).broken;
  const AnalogNetwork a = fresh.at(86400.0, 0, {}), b = restored.at(86400.0, 0, {}), c = before.at(86400.0, 0, {});
  const auto outputs = [&](const AnalogNetwork& network) {
    const Tensor y = executor.run(data, {.overrides = &network.overrides()});
    return std::vector<float>(y.values().begin(), y.values().end());
  };
  EXPECT_EQ(outputs(b), outputs(a));
  EXPECT_NE(outputs(b), outputs(c)) << "the chain changes codes";
  std::filesystem::remove(path);
}

TEST_F(StoredRangesTest, LearnedWeightRangesAreForTheirWidth) {
  const LayerResolver digital = changed(plain, [](LayerParameters& layer) { layer.analog = false; });
  QuantizationParameters parameters;
  parameters.append_default_conversions = true;
  quant::WeightQuantConfig& config = parameters.map.default_qconfig.weight_quant;
  config.n_bits = 6;
  // What a training leaves: steps without bounds.
  quant::UniformQuantizer quantizer({.n_bits = 6});
  quantizer.set_quant_range(-0.5F, 0.5F);
  QuantizerRange learned{.law = range_law(quant::manager_parameters(config)), .state = quantizer.state()};
  learned.state.x_min = learned.state.x_max = {};
  std::map<std::string, io::LayerNumbers> numbers;
  add_numbers({{"fc1", {{"weight", learned}}}}, numbers);
  parameters.ranges = read_quantizer_ranges(numbers);
  const auto weight_of = [&](const QuantizationParameters& asked, const LayerResolver& resolve) {
    const QuantizedNetwork network(executor_, asked, resolve, data_, 1, {});
    return network.executor().layers()[0].parts[0].weight.matrix();
  };
  const Matrix used = weight_of(parameters, digital);
  float largest = 0.0F;
  for (const float w : used.values()) largest = std::max(largest, std::fabs(w));
  EXPECT_NEAR(largest, 0.5F, 0.5F / 31.0F) << "weights of up to 1 are clipped at the learned range";
  const Matrix analog = weight_of(parameters, plain);
  EXPECT_TRUE(std::ranges::equal(analog.values(), executor_.layers()[0].parts[0].weight.matrix().values()))
      << "an analog layer does not use it";
  QuantizationParameters narrow = parameters, asymmetric = parameters, channels = parameters;
  narrow.map.default_qconfig.weight_quant.n_bits = 4;
  asymmetric.map.default_qconfig.weight_quant.symmetric = false;
  channels.map.default_qconfig.weight_quant.per_channel = true;
  for (const auto& [asked, key] :
       {std::pair{&narrow, "n_bits"}, {&asymmetric, "symmetric"}, {&channels, "per_channel"}}) {
    try {
      weight_of(*asked, digital);
      ADD_FAILURE() << key << " is not refused";
    } catch (const ConfigError& error) {
      EXPECT_THAT(error.what(),
                  AllOf(HasSubstr("weight of layer 'fc1'"), HasSubstr("6 bits"), HasSubstr("use_calibration: false")));
    }
  }
}

}  // namespace
}  // namespace tessera::sim
