// Are parameters, mapping and presets what they are documented to be, and mistakes reported completely?
#include "tessera/tile/parameters.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <limits>

#include "tessera/tile/presets.hpp"
#include "tile/test_layers.hpp"

namespace tessera::tile {
namespace {

std::vector<std::string> keys_of(const RpuParameters& p) {
  try {
    validate(p);
  } catch (const ConfigError& error) {
    std::vector<std::string> keys;
    for (const Problem& problem : error.problems()) keys.push_back(problem.key);
    return keys;
  }
  return {};
}

TEST(Validate, AcceptsDefaultsAndPresets) {
  EXPECT_TRUE(keys_of({}).empty());
  for (const Preset& preset : presets()) EXPECT_TRUE(keys_of(preset.parameters).empty()) << preset.name;
}

TEST(Validate, ReportsEveryProblemAtOnce) {
  RpuParameters p;
  p.forward.out_noise = -0.1;
  p.forward.inp_res = std::numeric_limits<double>::quiet_NaN();
  p.forward.bound_management = BoundManagementType::SHIFT;
  p.forward.max_bm_factor = -1;
  p.pre_post.input_range.enable = true;
  p.pre_post.input_range.init_value = 0.0;
  p.pre_post.periph_quant.n_bits = -1;
  p.act_quant_config = ActivationQuantConfig{.n_bits = 25, .momentum = 1.5};
  std::vector<std::string> found = keys_of(p);
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, (std::vector<std::string>{"act_quant_config.momentum", "act_quant_config.n_bits",
                                             "forward.bound_management", "forward.inp_res", "forward.max_bm_factor",
                                             "forward.out_noise", "pre_post.input_range.init_value",
                                             "pre_post.periph_quant.n_bits"}));
}

// What a dump of aihwkit may hold.
TEST(Validate, AcceptsInfiniteBoundsAndWhatIsOff) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  RpuParameters p;
  p.forward.inp_bound = p.forward.out_bound = infinity;
  p.forward.nm_thres = p.forward.max_bm_res = infinity;
  p.forward.max_bm_factor = 0;
  p.pre_post.input_range.init_value = 0.0;
  EXPECT_TRUE(keys_of(p).empty());
  p.forward.noise_management = NoiseManagementType::CONSTANT;
  p.forward.mv_type = AnalogMVType::BIT_WISE;
  p.pre_post.input_range.enable = true;
  EXPECT_THAT(keys_of(p), ::testing::UnorderedElementsAre("forward.nm_thres", "forward.inp_bound",
                                                          "pre_post.input_range.init_value"));
}

TEST(Validate, RefusesConvertersWhoseOnlyLevelIsZero) {
  RpuParameters p;
  p.forward.inp_res = p.forward.out_res = 1.0;
  EXPECT_EQ(keys_of(p), (std::vector<std::string>{"forward.inp_res", "forward.out_res"}));
  p.forward.inp_sto_round = true;  // +-bound with some probability
  p.forward.out_bound = 0.0;       // no range, no step
  EXPECT_TRUE(keys_of(p).empty());
  p = {};
  p.forward.is_perfect = true;
  p.forward.inp_res = 1.0;
  EXPECT_TRUE(keys_of(p).empty());
  p = {};
  p.forward.out_res = 2.0;  // -bound, 0, bound
  EXPECT_TRUE(keys_of(p).empty());
}

TEST(Validate, EncodingsNeedWholeCodes) {
  RpuParameters p;
  p.forward.mv_type = AnalogMVType::BIT_WISE;
  p.forward.inp_res = 254.0;
  EXPECT_TRUE(keys_of(p).empty());
  p.forward.inp_res = 255.0;
  EXPECT_EQ(keys_of(p), std::vector<std::string>{"forward.inp_res"});
  p.forward.inp_res = 14.0;  // codes -7..7: three bits
  p.forward.mv_type = AnalogMVType::SPLIT_MODE;
  p.forward.split_mode_bit_shift = 3;
  EXPECT_EQ(keys_of(p), std::vector<std::string>{"forward.split_mode_bit_shift"});
  p.forward.split_mode_bit_shift = 2;
  EXPECT_TRUE(keys_of(p).empty());
}

TEST(Presets, AreTheReferenceNumbers) {
  const RpuParameters p = preset("StandardHWATrainingPreset");
  EXPECT_EQ(p.forward.inp_res, 254.0);
  EXPECT_EQ(p.forward.out_bound, 10.0);
  EXPECT_EQ(p.forward.out_noise, 0.04);
  EXPECT_EQ(p.forward.w_noise, 0.0175);
  EXPECT_EQ(p.forward.w_noise_type, WeightNoiseType::PCM_READ);
  EXPECT_EQ(p.forward.ir_drop, 1.0);
  EXPECT_EQ(p.forward.noise_management, NoiseManagementType::CONSTANT);
  EXPECT_EQ(p.mapping.max_output_size, 0);
  EXPECT_TRUE(p.pre_post.input_range.enable);
  EXPECT_TRUE(preset("FloatingPointPreset").forward.is_perfect);
  EXPECT_EQ(preset_names().size(), presets().size());
  try {
    preset("StandardHWATrainingPresett");
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("did you mean 'StandardHWATrainingPreset'"), std::string::npos);
  }
}

TEST(Mapping, SplitsAreBalanced) {
  using Sizes = std::vector<std::int64_t>;
  EXPECT_EQ(split_sizes(1000, 512), (Sizes{500, 500}));
  EXPECT_EQ(split_sizes(1025, 512), (Sizes{342, 342, 341}));
  EXPECT_EQ(split_sizes(10, 3), (Sizes{3, 3, 2, 2}));
  EXPECT_EQ(split_sizes(10, 0), (Sizes{10}));
  EXPECT_EQ(split_sizes(10, 10), (Sizes{10}));
  const std::vector<TilePlace> places = place_tiles(5, 7, {.max_input_size = 4, .max_output_size = 3});
  EXPECT_EQ(places, (std::vector<TilePlace>{{0, 3, 0, 4}, {3, 2, 0, 4}, {0, 3, 4, 3}, {3, 2, 4, 3}}));
}

TEST(Mapping, ScalesBringTheLargestWeightToOmega) {
  const Matrix w(2, 3, std::vector<float>{0.5F, -2.0F, 1.0F, 0.0F, 0.0F, 0.0F});
  EXPECT_TRUE(mapping_scales(w.view(), {}).empty());
  EXPECT_EQ(mapping_scales(w.view(), {.weight_scaling_omega = 0.5}), std::vector<float>{4.0F});
  EXPECT_EQ(mapping_scales(w.view(), {.weight_scaling_omega = 0.5, .weight_scaling_columnwise = true}),
            (std::vector<float>{4.0F, 0.0F}));
}

TEST(Mapping, ScalesWithoutWeightsAreTheSmallestOfTheOthers) {
  using Scales = std::vector<std::vector<float>>;
  Scales scales = {{4.0F, 0.0F, 2.0F}, {0.0F, 0.0F}, {1.5F}, {0.0F}};
  fill_open_scales(scales, {});
  EXPECT_EQ(scales, (Scales{{4.0F, 2.0F, 2.0F}, {1.5F, 1.5F}, {1.5F}, {1.5F}}));
  Scales unit = {{4.0F, 0.0F}, {0.0F}};
  fill_open_scales(unit, {.unit_scale_of_dead_outputs = true});
  EXPECT_EQ(unit, (Scales{{4.0F, 1.0F}, {1.0F}}));
  Scales nothing = {{0.0F, 0.0F}};
  fill_open_scales(nothing, {});
  EXPECT_EQ(nothing, (Scales{{1.0F, 1.0F}}));

  const Matrix w(3, 2, std::vector<float>{0.5F, -2.0F, 0.0F, 0.0F, 0.0F, 1.0F});
  std::vector<float> m = {0.3F, 1.0F, 0.2F};
  rescale_dead_outputs(w.view(), m);
  EXPECT_EQ(m, (std::vector<float>{0.3F, 0.2F, 0.2F}));
}

}  // namespace
}  // namespace tessera::tile
