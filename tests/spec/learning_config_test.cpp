// Are weight modifiers, clipping and remapping read as an aihwkit dump writes them?
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/spec/rpu_config.hpp"

namespace tessera::spec {
namespace {

using ::testing::HasSubstr;

TEST(LearningKeys, AreRead) {
  const tile::RpuParameters p = read_rpu_parameters(
      "modifier:\n  type: PCMNoise\n  std_dev: 0.5\n  res: 16\n  sto_round: true\n  dorefa_clip: 0.7\n  pdrop: 0.1\n"
      "  enable_during_test: true\n  rel_to_actual_wmax: false\n  assumed_wmax: 0.8\n  copy_last_column: true\n"
      "  coeffs: [0.1, 0.2]\n  g_max: 20\n  pcm_zero_thres: 1\n  pcm_t_inference: 3600\n  pcm_prob_at_reset: 0.01\n"
      "  pcm_prob_at_gmax: 0.02\n  pcm_prob_at_random: 0.03\n  pcm_t0: 10\n  per_batch_sample: true\n"
      "clip: {type: LayerGaussian, sigma: 2.0, fixed_value: 0.9}\n"
      "remap: {type: CHANNELWISE_SYMMETRIC, remapped_wmax: 1.0, max_scale_range: 3.0, max_scale_ref: 0.1}\n");
  tile::WeightModifierParameter m;
  m.type = tile::WeightModifierType::PCM_NOISE;
  m.std_dev = 0.5;
  m.per_batch_sample = true;
  m.res = 16.0;
  m.sto_round = true;
  m.dorefa_clip = 0.7;
  m.pdrop = 0.1;
  m.enable_during_test = true;
  m.rel_to_actual_wmax = false;
  m.assumed_wmax = 0.8;
  m.copy_last_column = true;
  m.coeffs = {0.1, 0.2};
  m.g_max = 20.0;
  m.pcm_zero_thres = 1.0;
  m.pcm_t_inference = 3600.0;
  m.pcm_prob_at_reset = 0.01;
  m.pcm_prob_at_gmax = 0.02;
  m.pcm_prob_at_random = 0.03;
  m.pcm_t0 = 10.0;
  EXPECT_EQ(p.modifier, m);
  EXPECT_EQ(p.clip, (tile::WeightClipParameter{tile::WeightClipType::LAYER_GAUSSIAN, 0.9, 2.0}));
  EXPECT_EQ(p.remap, (tile::WeightRemapParameter{tile::WeightRemapType::CHANNELWISE_SYMMETRIC, 1.0, 3.0, 0.1}));
}

TEST(LearningKeys, OfPresetsAreThePeers) {
  const RpuConfig standard = preset("StandardHWATrainingPreset");
  EXPECT_EQ(standard.tile.clip.type, tile::WeightClipType::FIXED_VALUE);
  EXPECT_EQ(standard.tile.clip.fixed_value, 1.0);
  EXPECT_EQ(standard.tile.remap.type, tile::WeightRemapType::CHANNELWISE_SYMMETRIC);
  EXPECT_EQ(standard.tile.modifier.type, tile::WeightModifierType::NONE);
  EXPECT_EQ(preset("WebComposerInferenceRPUConfig").tile.modifier.std_dev, 0.1);
}

TEST(LearningKeys, ErrorsNameThem) {
  const auto error = [](const char* text) -> std::string {
    try {
      read_rpu_parameters(text);
    } catch (const ConfigError& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_THAT(error("modifier: {std: 0.1}\n"), HasSubstr("modifier"));
  EXPECT_THAT(error("modifier: {pdrop: 2}\n"), HasSubstr("modifier.pdrop"));
  EXPECT_THAT(error("modifier: {coeffs: []}\n"), HasSubstr("modifier.coeffs"));
  EXPECT_THAT(error("clip: {type: SOME}\n"), HasSubstr("clip.type"));
  EXPECT_THAT(error("remap: {remapped_wmax: 0}\n"), HasSubstr("remap.remapped_wmax"));
}

}  // namespace
}  // namespace tessera::spec
