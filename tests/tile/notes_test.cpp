// Is everything that a configuration holds without effect said, and nothing of a plain one?
#include "tessera/tile/notes.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "tessera/tile/presets.hpp"

namespace tessera::tile {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> keys_of(const std::function<void(RpuParameters&)>& change) {
  RpuParameters p;
  change(p);
  std::vector<std::string> keys;
  for (const ParameterNote& note : notes(p)) keys.push_back(note.key);
  return keys;
}

std::string message_of(const std::function<void(RpuParameters&)>& change) {
  RpuParameters p;
  change(p);
  const std::vector<ParameterNote> found = notes(p);
  return found.size() == 1 ? found[0].message : fmt::format("{} notes", found.size());
}

TEST(Notes, DefaultsAndPresetsHaveNone) {
  EXPECT_THAT(keys_of([](RpuParameters&) {}), IsEmpty());
  for (const Preset& preset : presets())
    EXPECT_THAT(keys_of([&](RpuParameters& p) { p = preset.parameters; }), IsEmpty()) << preset.name;
}

TEST(Notes, ResolutionsThatLookLikeSomethingElse) {
  EXPECT_THAT(message_of([](auto& p) { p.forward.inp_res = 8.0; }),
              HasSubstr("8 is a number of steps: 9 levels; 8 bits would be 254"));
  EXPECT_THAT(message_of([](auto& p) { p.forward.out_res = 10.0; }), HasSubstr("11 levels; 10 bits would be 1022"));
  EXPECT_THAT(message_of([](auto& p) { p.forward.inp_res = 0.5 * 0.5 - 2.248046875; }),
              HasSubstr("-1.998046875 turns the quantization off"));
  EXPECT_THAT(keys_of([](auto& p) { p.forward.out_res = -2.0; }), ElementsAre("forward.out_res"));
  for (const double plain : {-1.0, 0.0, 1.0 / 126.0, 1.0 / 14.0, 2.0, 6.0, 14.0, 30.0, 254.0, 1022.0})
    EXPECT_THAT(keys_of([&](auto& p) { p.forward.inp_res = p.forward.out_res = plain; }), IsEmpty()) << plain;
  EXPECT_THAT(keys_of([](auto& p) {
                p.forward.out_bound = std::numeric_limits<double>::infinity();
                p.forward.bound_management = BoundManagementType::NONE;
              }),
              ElementsAre("forward.out_res"));
  EXPECT_THAT(keys_of([](auto& p) {
                p.forward.inp_res = -1.0;
                p.forward.inp_sto_round = true;
              }),
              ElementsAre("forward.inp_sto_round"));
}

// Each field that belongs to something that is off, one at a time; with what it belongs to on, none.
TEST(Notes, FieldsOfWhatIsOff) {
  struct Field {
    const char* key;
    std::function<void(RpuParameters&)> set, turn_on;
  };
  const Field fields[] = {
      {"forward.out_noise_std",
       [](auto& p) {
         p.forward.out_noise = 0.0;
         p.forward.out_noise_std = 0.1;
       },
       [](auto& p) { p.forward.out_noise = 0.1; }},
      {"forward.w_noise", [](auto& p) { p.forward.w_noise = 0.1; },
       [](auto& p) { p.forward.w_noise_type = WeightNoiseType::PCM_READ; }},
      {"forward.w_noise_type", [](auto& p) { p.forward.w_noise_type = WeightNoiseType::PCM_READ; },
       [](auto& p) { p.forward.w_noise = 0.1; }},
      {"forward.ir_drop_g_ratio", [](auto& p) { p.forward.ir_drop_g_ratio = 9.0; },
       [](auto& p) { p.forward.ir_drop = 1.0; }},
      {"forward.out_nonlinearity_std", [](auto& p) { p.forward.out_nonlinearity_std = 0.1; },
       [](auto& p) { p.forward.out_nonlinearity = 0.1; }},
      {"forward.slope_calibration", [](auto& p) { p.forward.slope_calibration = 0.1; },
       [](auto& p) { p.forward.r_series = 0.1; }},
      {"forward.v_offset_w_min", [](auto& p) { p.forward.v_offset_w_min = 0.0; },
       [](auto& p) { p.forward.v_offset_std = 0.1; }},
      {"forward.w_read_asymmetry_dtod", [](auto& p) { p.forward.w_read_asymmetry_dtod = 0.1; },
       [](auto& p) { p.forward.mv_type = AnalogMVType::POS_NEG_SEPARATE; }},
      {"forward.split_mode_bit_shift", [](auto& p) { p.forward.split_mode_bit_shift = 2; },
       [](auto& p) { p.forward.mv_type = AnalogMVType::SPLIT_MODE; }},
      {"forward.max_bm_factor",
       [](auto& p) {
         p.forward.bound_management = BoundManagementType::NONE;
         p.forward.max_bm_factor = 3;
       },
       [](auto& p) { p.forward.bound_management = BoundManagementType::ITERATIVE; }},
      {"forward.bound_management",
       [](auto& p) {
         p.forward.out_bound = 0.0;
         p.forward.out_res = -1.0;
       },
       [](auto& p) { p.forward.out_bound = 1.0; }},
      {"forward.nm_thres",
       [](auto& p) {
         p.forward.noise_management = NoiseManagementType::NONE;
         p.forward.nm_thres = 1.0;
       },
       [](auto& p) { p.forward.noise_management = NoiseManagementType::CONSTANT; }},
      {"forward",
       [](auto& p) {
         p.forward.is_perfect = true;
         p.forward.out_noise = 0.3;
         p.forward.out_scale = 2.0;
       },
       [](auto& p) { p.forward.is_perfect = false; }},
      {"mapping.weight_scaling_columnwise", [](auto& p) { p.mapping.weight_scaling_columnwise = true; },
       [](auto& p) { p.mapping.weight_scaling_omega = 1.0; }},
      {"mapping.unit_scale_of_dead_outputs", [](auto& p) { p.mapping.unit_scale_of_dead_outputs = true; },
       [](auto& p) { p.mapping.weight_scaling_omega = 1.0; }},
      {"mapping.out_scaling_columnwise", [](auto& p) { p.mapping.out_scaling_columnwise = true; },
       [](auto& p) { p.mapping.learn_out_scaling = true; }},
      {"mapping.bias_line_as_input", [](auto& p) { p.mapping.bias_line_as_input = true; },
       [](auto& p) { p.mapping.digital_bias = false; }},
      {"pre_post.input_range.init_value", [](auto& p) { p.pre_post.input_range.init_value = 1.0; },
       [](auto& p) { p.pre_post.input_range.enable = true; }},
      {"pre_post.periph_quant.per_column", [](auto& p) { p.pre_post.periph_quant.per_column = true; },
       [](auto& p) { p.pre_post.periph_quant.n_bits = 4; }},
      {"act_quant_config.momentum",
       [](auto& p) {
         p.act_quant_config =
             ActivationQuantConfig{.n_bits = 4, .range_estimator = RangeEstimator::current_minmax, .momentum = 0.5};
       },
       [](auto& p) { p.act_quant_config->range_estimator = RangeEstimator::running_minmax; }},
  };
  for (const Field& field : fields) {
    EXPECT_THAT(keys_of(field.set), ElementsAre(field.key));
    EXPECT_THAT(keys_of([&](RpuParameters& p) {
                  field.set(p);
                  field.turn_on(p);
                }),
                IsEmpty())
        << field.key;
  }
}

TEST(Notes, TrainingFieldsAreThoseThatAreSet) {
  RpuParameters p;
  EXPECT_THAT(training_only(p), IsEmpty());
  p.modifier.type = WeightModifierType::ADD_NORMAL;
  p.clip.type = WeightClipType::FIXED_VALUE;
  p.pre_post.input_range.decay = 0.1;
  EXPECT_THAT(training_only(p), ElementsAre("modifier", "clip", "pre_post.input_range (learning)"));
  p.modifier.enable_during_test = true;
  EXPECT_THAT(training_only(p), ElementsAre("clip", "pre_post.input_range (learning)"));
}

}  // namespace
}  // namespace tessera::tile
