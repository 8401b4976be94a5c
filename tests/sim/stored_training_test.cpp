// What training leaves of analog layers, used under another configuration: the table of docs/formats/model.md.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/stored_state.hpp"
#include "tessera/sim/analog_network.hpp"

namespace tessera::sim {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr int init_learning_after = 2;

LayerResolver periphery(int bits, bool learn, const Change& change = {}) {
  return changed(plain, [=](LayerParameters& layer) {
    layer.rpu.pre_post.periph_quant.n_bits = bits;
    layer.rpu.pre_post.periph_quant.learn_quant_params = learn;
    layer.rpu.pre_post.periph_quant.init_learning_after = init_learning_after;
    if (change) change(layer);
  });
}

class TrainedTest : public StoredRangesTest {
 protected:
  TrainingResult trained(const LayerResolver& resolve) const {
    TrainingRequest r = request(0, 2);
    r.resolve = resolve;
    r.parameters.learning_rate = 0.001;
    r.parameters.validation.repeats = 1;
    r.parameters.validation.times = {};
    return train(r, {}, {}, {});
  }
};

/// Not learned: the scales and biases of the moment make the range, at every width and law, as for a fresh run.
TEST_F(TrainedTest, PeripheryRangesThatWereNotLearnedFollowEverything) {
  const TrainingResult result = trained(periphery(8, false));
  const nn::Executor executor(result.model.graph);
  const NetworkCalibration known = read_calibration(executor.layers(), result.model.calibration);
  const std::vector<Change> changes{[](LayerParameters&) {},
                                    [](LayerParameters& l) { l.rpu.pre_post.periph_quant.n_bits = 4; },
                                    [](LayerParameters& l) { l.rpu.pre_post.periph_quant.symmetric = false; },
                                    [](LayerParameters& l) { l.rpu.pre_post.periph_quant.power_of_two = true; },
                                    [](LayerParameters& l) { l.rpu.pre_post.periph_quant.per_column = true; },
                                    [](LayerParameters& l) { l.rpu.mapping.weight_scaling_omega = 0.5; },
                                    [](LayerParameters& l) { l.rpu.mapping.weight_scaling_columnwise = true; },
                                    [](LayerParameters& l) { l.rpu.pre_post.periph_quant.n_bits = 0; }};
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const LayerResolver asked = changed(periphery(8, false), changes[i]);
    const ProgrammedChip chip(executor, with_calibration(asked, known), {1, 0, {}});
    // Fresh: the same weights and input ranges, and nothing else.
    NetworkCalibration ranges_only;
    for (const auto& [name, layer] : known) {
      LayerCalibration copy = *layer;
      for (tile::TileState& tile : copy.parts[0].state.tiles) tile.scale_quantizer = {};
      copy.parts[0].state.bias_quantizer = {};
      ranges_only.emplace(name, std::make_shared<const LayerCalibration>(std::move(copy)));
    }
    const ProgrammedChip fresh(executor, with_calibration(asked, ranges_only), {1, 0, {}});
    for (std::size_t l = 0; l < 2; ++l) {
      const tile::TileReport seen = chip.layer(l, 0).tile_report(0), expected = fresh.layer(l, 0).tile_report(0);
      EXPECT_EQ(seen.scale_step, expected.scale_step) << i;
      EXPECT_EQ(seen.scale_codes, expected.scale_codes) << i;
      EXPECT_EQ(chip.layer(l, 0).bias_report().codes, fresh.layer(l, 0).bias_report().codes) << i;
      const int bits = asked("", "").rpu.pre_post.periph_quant.n_bits;
      const bool reaches_top = std::ranges::any_of(seen.scale_codes, [&](int code) { return code == (1 << bits) - 1; });
      EXPECT_TRUE(bits == 0 || reaches_top || asked("", "").rpu.pre_post.periph_quant.power_of_two)
          << "the largest scale is the top of the range: " << i;
    }
  }
}

TEST_F(TrainedTest, PeripheryRangesThatWereLearnedAreForTheirLawOnly) {
  const TrainingResult result = trained(periphery(8, true));
  const nn::Executor executor(result.model.graph);
  const NetworkCalibration known = read_calibration(executor.layers(), result.model.calibration);
  ASSERT_FALSE(known.at("fc1")->parts[0].state.tiles[0].scale_quantizer.delta.empty()) << "nothing was learned";
  EXPECT_EQ(refusal(executor, known, periphery(8, true)), "");
  EXPECT_EQ(refusal(executor, known, periphery(8, false)), "") << "whether they learn on is no law";
  EXPECT_EQ(refusal(executor, known, periphery(0, true)), "") << "switched off";
  const ProgrammedChip chip(executor, with_calibration(periphery(8, true), known), {1, 0, {}});
  EXPECT_EQ(chip.layer(0, 0).tile_report(0).scale_step, known.at("fc1")->parts[0].state.tiles[0].scale_quantizer.delta);
  struct Case {
    Change change;
    const char* key;
  };
  for (const Case& c : std::vector<Case>{
           {[](LayerParameters& l) { l.rpu.pre_post.periph_quant.n_bits = 4; }, "periph_quant.n_bits"},
           {[](LayerParameters& l) { l.rpu.pre_post.periph_quant.symmetric = false; }, "periph_quant.symmetric"},
           {[](LayerParameters& l) { l.rpu.pre_post.periph_quant.per_column = true; }, "periph_quant.per_column"},
           {[](LayerParameters& l) { l.rpu.pre_post.periph_quant.power_of_two = true; }, "periph_quant.power_of_two"},
           {[](LayerParameters& l) { l.rpu.mapping.weight_scaling_omega = 0.5; }, "mapping.weight_scaling_omega"},
           {[](LayerParameters& l) { l.rpu.mapping.weight_scaling_columnwise = true; },
            "mapping.weight_scaling_columnwise"},
           {[](LayerParameters& l) { l.rpu.pre_post.input_range.enable = false; }, "pre_post.input_range.enable"}})
    EXPECT_THAT(refusal(executor, known, periphery(8, true, c.change)),
                AllOf(HasSubstr(c.key), HasSubstr("'fc1'"), HasSubstr("'fc2'"), HasSubstr("use_calibration: false")));
  // Left in float32, scales may have any mapping.
  EXPECT_EQ(refusal(executor, known,
                    periphery(8, true,
                              [](LayerParameters& l) {
                                l.rpu.pre_post.periph_quant.scale = false;
                                l.rpu.mapping.weight_scaling_omega = 0.5;
                              })),
            "");
}

/// Files of version 1.1 keep ranges that were not learned, too, and say of none for which width it is.
TEST_F(TrainedTest, PeripheryRangesOfOlderFiles) {
  for (const bool learn : {false, true}) {
    const TrainingResult result = trained(periphery(8, learn));
    const nn::Executor executor(result.model.graph);
    std::map<std::string, io::LayerNumbers> numbers = result.model.calibration;
    for (auto& [layer, entries] : numbers) {
      entries.erase("periphery_law");
      if (!learn) entries["tile0.scale_quantizer"] = {0.0, 1.0, 0.001};  // far from what the scales ask for
    }
    const NetworkCalibration known = read_calibration(executor.layers(), numbers);
    const std::string text = refusal(executor, known, periphery(8, learn));
    if (learn) {
      EXPECT_THAT(text, AllOf(HasSubstr("does not say"), HasSubstr("use_calibration: false")));
    } else {
      EXPECT_EQ(text, "");
      const ProgrammedChip chip(executor, with_calibration(periphery(8, learn), known), {1, 0, {}});
      EXPECT_GT(chip.layer(0, 0).tile_report(0).scale_step.at(0), 0.002F);
    }
  }
}

TEST_F(TrainedTest, ARangeThatWasOnlyPassedOnIsNone) {
  const LayerResolver fixed = changed(plain, [](LayerParameters& layer) {
    layer.rpu.pre_post.input_range.learn_input_range = false;
    layer.rpu.pre_post.input_range.init_from_data = 0;
  });
  const TrainingResult result = trained(fixed);
  const nn::Executor executor(result.model.graph);
  const NetworkCalibration known = read_calibration(executor.layers(), result.model.calibration);
  EXPECT_FALSE(known.at("fc1")->input_range_found);
  const LayerResolver other =
      changed(fixed, [](LayerParameters& layer) { layer.rpu.pre_post.input_range.init_value = 1.5; });
  EXPECT_EQ(with_calibration(other, known)("fc1", "Gemm").calibration->parts[0].state.tiles[0].input_range, 1.5F);
  // One that was found stays, whatever the initial value.
  const NetworkCalibration learned = read_calibration(executor.layers(), trained(plain).model.calibration);
  const LayerResolver initial =
      changed(plain, [](LayerParameters& layer) { layer.rpu.pre_post.input_range.init_value = 1.5; });
  EXPECT_EQ(with_calibration(initial, learned)("fc1", "Gemm").calibration, learned.at("fc1"));
}

/// A network that was trained without input ranges starts from the initial value where they are switched on.
TEST_F(TrainedTest, InputRangesThatTrainingDidNotHaveAreInitial) {
  const LayerResolver without =
      changed(plain, [](LayerParameters& layer) { layer.rpu.pre_post.input_range.enable = false; });
  const TrainingResult result = trained(without);
  const nn::Executor executor(result.model.graph);
  const NetworkCalibration known = read_calibration(executor.layers(), result.model.calibration);
  const ProgrammedChip chip(executor, with_calibration(plain, known), {1, 0, {}});
  EXPECT_EQ(chip.layer(0, 0).tile_report(0).input_range, 3.0F);
}

TEST_F(TrainedTest, LearnedOutputScalesBelongToTheNetwork) {
  const auto scaling = [](bool learn, bool columnwise) {
    return changed(plain, [=](LayerParameters& layer) {
      layer.rpu.mapping.learn_out_scaling = learn;
      layer.rpu.mapping.out_scaling_columnwise = columnwise;
    });
  };
  const TrainingResult columns = trained(scaling(true, true));
  const nn::Executor executor(columns.model.graph);
  const NetworkCalibration by_column = read_calibration(executor.layers(), columns.model.calibration);
  const std::vector<float> learned = by_column.at("fc1")->parts[0].state.tiles[0].output_scale;
  ASSERT_EQ(learned.size(), 8U);
  const auto scale_of = [&](const LayerResolver& asked, const NetworkCalibration& known) {
    return with_calibration(asked, known)("fc1", "Gemm").calibration->parts[0].state.tiles[0].output_scale;
  };
  EXPECT_EQ(scale_of(scaling(false, false), by_column), learned);
  EXPECT_THAT(refusal(executor, by_column, scaling(true, false)),
              AllOf(HasSubstr("mapping.out_scaling_columnwise"), HasSubstr("'fc1'")));
  // One scale per tile is the same scale for every output; no scale is 1.
  const NetworkCalibration by_tile =
      read_calibration(executor.layers(), trained(scaling(true, false)).model.calibration);
  const std::vector<float> one = scale_of(scaling(true, false), by_tile);
  ASSERT_EQ(one.size(), 1U);
  EXPECT_EQ(scale_of(scaling(true, true), by_tile), std::vector<float>(8, one[0]));
  const NetworkCalibration none = read_calibration(executor.layers(), trained(scaling(false, false)).model.calibration);
  EXPECT_EQ(scale_of(scaling(true, true), none), std::vector<float>(8, 1.0F)) << "and can be learned from there";
}

TEST_F(TrainedTest, TheAverageOfNoiseManagementIsForItsInputs) {
  const auto averaging = [](bool range) {
    return changed(plain, [=](LayerParameters& layer) {
      layer.rpu.forward.noise_management = tile::NoiseManagementType::AVERAGE_ABS_MAX;
      layer.rpu.pre_post.input_range.enable = range;
    });
  };
  const TrainingResult result = trained(averaging(false));
  const nn::Executor executor(result.model.graph);
  const NetworkCalibration known = read_calibration(executor.layers(), result.model.calibration);
  EXPECT_EQ(refusal(executor, known, averaging(false)), "");
  EXPECT_THAT(refusal(executor, known, averaging(true)), HasSubstr("forward.noise_management"));
  EXPECT_EQ(refusal(executor, known, plain), "") << "not used";
}

}  // namespace
}  // namespace tessera::sim
