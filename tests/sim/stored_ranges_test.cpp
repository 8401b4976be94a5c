// Does a stored range ever override the configuration? The table of docs/formats/model.md, entry by entry: what is
// stored x what is changed -> used, converted, refused. Here: what calibration leaves of analog layers.
#include "tessera/sim/stored_ranges.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/stored_state.hpp"
#include "tessera/sim/analog_network.hpp"

namespace tessera::sim {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// --- activation ranges of tiles

tile::ActivationQuantConfig activation(int bits, bool symmetric = true,
                                       tile::RangeEstimator estimator = tile::RangeEstimator::running_minmax) {
  return {.n_bits = bits, .symmetric = symmetric, .range_estimator = estimator};
}

LayerResolver with_activation(const tile::ActivationQuantConfig& config) {
  return changed(plain, [=](LayerParameters& layer) { layer.rpu.act_quant_config = config; });
}

/// Found at any width and symmetry, used at any other: the range that was found at that width and symmetry. The first
/// layer's, which does not depend on quantizers before it.
TEST_F(StoredRangesTest, ActivationRangesFollowWidthAndSymmetry) {
  for (const auto estimator :
       {tile::RangeEstimator::running_minmax, tile::RangeEstimator::allminmax, tile::RangeEstimator::current_minmax})
    for (const bool symmetric : {true, false})
      for (const bool asked_symmetric : {true, false})
        for (const int bits : {2, 4, 12}) {
          const NetworkCalibration known =
              calibrated(executor_, data_, with_activation(activation(8, symmetric, estimator)));
          const LayerResolver asked = with_activation(activation(bits, asked_symmetric, estimator));
          const LayerParameters layer = with_calibration(asked, known)("fc1", "Gemm");
          const auto fresh = calibrated(executor_, data_, asked).at("fc1");
          EXPECT_EQ(layer.calibration->parts[0].state.tiles[0].output_quantizer,
                    fresh->parts[0].state.tiles[0].output_quantizer)
              << bits << " bits, " << symmetric << " to " << asked_symmetric;
        }
}

TEST_F(StoredRangesTest, ActivationRangesOfOtherLawsAreRefused) {
  struct Case {
    tile::ActivationQuantConfig found, asked;
    const char* key;
  };
  tile::ActivationQuantConfig slower = activation(8), percentile = activation(8), other = activation(8);
  slower.momentum = 0.5;
  percentile.range_estimator = other.range_estimator = tile::RangeEstimator::current_minmax;
  percentile.percentile = 1.0;
  const auto mse = activation(8, true, tile::RangeEstimator::MSE);
  const auto entropy = activation(8, true, tile::RangeEstimator::cross_entropy);
  tile::ActivationQuantConfig coarse = mse, wide = mse, grid = mse;
  coarse.num_candidates = 20;
  wide.range_margin = 1.0;
  grid.golden_section = false;
  for (const Case& c :
       std::vector<Case>{{activation(8), other, "range_estimator"},
                         {activation(8), mse, "range_estimator"},
                         {activation(8), slower, "range_estimator"},
                         {other, percentile, "range_estimator"},
                         {mse, coarse, "range_estimator"},
                         {mse, wide, "range_estimator"},
                         {mse, grid, "range_estimator"},
                         {mse, activation(4, true, tile::RangeEstimator::MSE), "n_bits"},
                         {mse, activation(8, false, tile::RangeEstimator::MSE), "symmetric"},
                         {entropy, activation(4, true, tile::RangeEstimator::cross_entropy), "n_bits"}}) {
    const NetworkCalibration known = calibrated(executor_, data_, with_activation(c.found));
    EXPECT_EQ(refusal(executor_, known, with_activation(c.found)), "");
    EXPECT_THAT(refusal(executor_, known, with_activation(c.asked)),
                AllOf(HasSubstr("rpu_config.act_quant_config"), HasSubstr(c.key), HasSubstr("'fc1'"),
                      HasSubstr("'fc2'"), HasSubstr("8 bits"), HasSubstr("use_calibration: false")));
  }
  // A range below zero in one bit: no error of its own kind.
  const NetworkCalibration known = calibrated(executor_, data_, with_activation(activation(8)));
  EXPECT_THAT(refusal(executor_, known, with_activation(activation(1))), HasSubstr("act_quant_config.n_bits"));
  // Switched off, nothing is used.
  EXPECT_EQ(refusal(executor_, known, plain), "");
}

/// What is found anew need not fit.
TEST_F(StoredRangesTest, ACalibrationAndATrainingBeginWithoutTheRangesTheyFind) {
  const LayerResolver asked = with_activation(activation(4, false, tile::RangeEstimator::MSE));
  const NetworkCalibration known = calibrated(executor_, data_, with_activation(activation(8)));
  EXPECT_NE(refusal(executor_, known, asked), "");
  const auto again = calibrated(executor_, data_, with_calibration(asked, without_activation_ranges(known)));
  EXPECT_EQ(again.at("fc1")->parts[0].state, calibrated(executor_, data_, asked).at("fc1")->parts[0].state);
  std::map<std::string, io::LayerNumbers> numbers;
  for (const nn::LinearLayer& layer : executor_.layers())
    numbers[layer.name] = to_numbers(layer, *known.at(layer.name));
  ASSERT_TRUE(numbers.at("fc1").contains("tile0.output_quantizer"));
  forget_estimated_ranges(numbers);
  EXPECT_EQ(refusal(executor_, read_calibration(executor_.layers(), numbers), asked), "");
}

TEST_F(StoredRangesTest, ActivationRangesOfOlderFilesAreRefused) {
  const NetworkCalibration known = calibrated(executor_, data_, with_activation(activation(8)));
  std::map<std::string, io::LayerNumbers> numbers;
  for (const nn::LinearLayer& layer : executor_.layers()) {
    numbers[layer.name] = to_numbers(layer, *known.at(layer.name));
    numbers[layer.name].erase("activation_law");
  }
  const NetworkCalibration older = read_calibration(executor_.layers(), numbers);
  EXPECT_THAT(refusal(executor_, older, with_activation(activation(8))), HasSubstr("does not say"));
  EXPECT_EQ(refusal(executor_, older, plain), "") << "the input ranges of older files are used";
}

// --- tiles, forced calibrations

TEST_F(StoredRangesTest, RangesAreForTheirTiles) {
  const NetworkCalibration known = calibrated(executor_, data_, plain);
  for (const auto& change : std::vector<Change>{[](LayerParameters& l) { l.rpu.mapping.max_input_size = 3; },
                                                [](LayerParameters& l) { l.rpu.mapping.max_output_size = 2; }})
    EXPECT_THAT(refusal(executor_, known, changed(plain, change)),
                AllOf(HasSubstr("rpu_config.mapping"), HasSubstr("'fc1'"), HasSubstr("1 tile"), HasSubstr("2 tiles"),
                      HasSubstr("use_calibration: false")));
}

// --- mapping scales that training kept

NetworkCalibration with_scales(const nn::Executor& executor, const NetworkCalibration& found, float factor) {
  std::map<std::string, io::LayerNumbers> numbers;
  for (const nn::LinearLayer& layer : executor.layers()) {
    numbers[layer.name] = to_numbers(layer, *found.at(layer.name));
    std::vector<double>& scales = numbers[layer.name]["tile0.mapping_scale"];
    for (std::int64_t i = 0; i < layer.parts[0].weight.rows(); ++i)
      scales.push_back(static_cast<double>(factor * static_cast<float>(i + 1)));
    numbers[layer.name]["mapping_law"] = {1.0, 1.0};
  }
  return read_calibration(executor.layers(), numbers);
}

TEST_F(StoredRangesTest, KeptMappingScalesReachTheTiles) {
  const LayerResolver columnwise =
      changed(plain, [](LayerParameters& l) { l.rpu.mapping.weight_scaling_columnwise = true; });
  const NetworkCalibration known = with_scales(executor_, calibrated(executor_, data_, columnwise), 0.5F);
  const ProgrammedChip chip(executor_, with_calibration(columnwise, known));
  for (std::size_t l = 0; l < executor_.layers().size(); ++l) {
    const Matrix w = executor_.layers()[l].parts[0].weight.matrix();
    const Matrix tile = chip.layer(l, 0).tile_weights(0);
    for (std::int64_t i = 0; i < w.rows(); ++i)
      for (std::int64_t k = 0; k < w.cols(); ++k) EXPECT_EQ(tile(i, k), w(i, k) / (0.5F * static_cast<float>(i + 1)));
  }
  // They outlast another calibration, and a file.
  const NetworkCalibration again = calibrated(executor_, data_, with_calibration(columnwise, known));
  for (const char* layer : {"fc1", "fc2"}) {
    EXPECT_EQ(again.at(layer)->parts[0].state.tiles[0].mapping_scale,
              known.at(layer)->parts[0].state.tiles[0].mapping_scale);
    ASSERT_TRUE(again.at(layer)->mapping);
    EXPECT_TRUE(again.at(layer)->mapping->weight_scaling_columnwise);
  }
}

TEST_F(StoredRangesTest, KeptMappingScalesAreForTheirMapping) {
  const LayerResolver columnwise =
      changed(plain, [](LayerParameters& l) { l.rpu.mapping.weight_scaling_columnwise = true; });
  const NetworkCalibration known = with_scales(executor_, calibrated(executor_, data_, columnwise), 0.5F);
  EXPECT_EQ(refusal(executor_, known, columnwise), "");
  EXPECT_THAT(refusal(executor_, known, plain), AllOf(HasSubstr("rpu_config.mapping.weight_scaling_columnwise"),
                                                      HasSubstr("'fc1'"), HasSubstr("use_calibration: false")));
  EXPECT_THAT(refusal(executor_, known, changed(columnwise, [](auto& l) { l.rpu.mapping.weight_scaling_omega = 0.6; })),
              AllOf(HasSubstr("weight_scaling_omega"), HasSubstr("0.6"), HasSubstr("'fc2'")));
}

/// A calibration of all layers says which of the configuration's wishes it stands in for.
TEST_F(StoredRangesTest, AForcedCalibrationIsSaid) {
  const LayerResolver managed = changed(plain, [](LayerParameters& layer) {
    layer.rpu.pre_post.input_range.enable = false;
    layer.rpu.forward.noise_management = tile::NoiseManagementType::ABS_MAX;
  });
  const NetworkCalibration known = calibrated(executor_, data_, managed);
  const LayerResolver used = with_calibration(managed, known);
  const LayerParameters layer = used("fc1", "Gemm");
  ASSERT_TRUE(layer.replaced);
  EXPECT_FALSE(layer.replaced->input_range_enable);
  EXPECT_EQ(layer.replaced->noise_management, tile::NoiseManagementType::ABS_MAX);
  std::vector<std::string> notes;
  note_replaced(executor_, used,
                {.message = [&](Severity, const std::string& text) { notes.push_back(text); }, .progress = {}});
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_THAT(notes[0], AllOf(HasSubstr("fc1, fc2"), HasSubstr("use_calibration: false")));
  EXPECT_FALSE(with_calibration(plain, known)("fc1", "Gemm").replaced) << "nothing is replaced";
}

}  // namespace
}  // namespace tessera::sim
