// Does the `training:` section become the trainer's parameters, and is every mistake in it found with its place?
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/core/error.hpp"
#include "tessera/spec/run_config.hpp"

namespace tessera::spec {
namespace {

using testing::HasSubstr;

const std::string minimal = "model: {file: m.onnx}\ndata: {format: glyphs}\n";

const std::string complete = minimal +
                             "rpu_config: {preset: StandardHWATrainingPreset, noise_model: {type: PCMLikeNoiseModel}}\n"
                             "training:\n"
                             "  data: {format: glyphs, glyphs: {split: train, count: 500}, scale: 0.5}\n"
                             "  digital_epochs: 3\n"
                             "  analog_epochs: 2\n"
                             "  batch_size: 32\n"
                             "  from_scratch: true\n"
                             "  shuffle: false\n"
                             "  loss: mse\n"
                             "  optimizer: {type: SGD, momentum: 0.9, nesterov: true, weight_decay: 1e-4}\n"
                             "  lr: 0.1\n"
                             "  schedule: {type: multi_step, warmup_epochs: 0.5, milestones: [1, 2], gamma: 0.5}\n"
                             "  analog_lr: 0.01\n"
                             "  analog_schedule: {type: cosine, final_factor: 0.1}\n"
                             "  rate_factors: {input_range: 0.5, bias: 2}\n"
                             "  decay_all: true\n"
                             "  gradient_clip: 5\n"
                             "  augmentation: {shift: 2, rotation: 10, zoom: 0.1, flip: true, crop: 1, noise: 0.05}\n"
                             "  validation: {repeats: 3, times: [0, 3600], every: 2}\n"
                             "  early_stopping: {patience: 4, min_delta: 0.001}\n"
                             "  keep: last\n"
                             "  checkpoint: {every: 5}\n";

RunConfig read_text(const std::string& text) {
  return read_run_config_text(text, "run.yaml", "/data/configs");
}

std::string error_of_text(const std::string& text) {
  try {
    read_text(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(TrainingConfig, EveryKeyReachesItsParameter) {
  const RunConfig config = read_text(complete);
  ASSERT_TRUE(config.training);
  const sim::TrainingParameters& p = *config.training;
  EXPECT_EQ(p.data.glyphs.count, 500);
  EXPECT_EQ(p.data.scale, 0.5);
  EXPECT_EQ(p.digital_epochs, 3);
  EXPECT_EQ(p.analog_epochs, 2);
  EXPECT_EQ(p.batch_size, 32);
  EXPECT_TRUE(p.from_scratch);
  EXPECT_FALSE(p.shuffle);
  EXPECT_EQ(p.loss, sim::LossType::mean_squared_error);
  EXPECT_EQ(p.optimizer, (nn::OptimizerParameters{
                             .type = nn::OptimizerType::sgd, .momentum = 0.9, .nesterov = true, .weight_decay = 1e-4}));
  EXPECT_EQ(p.learning_rate, 0.1);
  EXPECT_EQ(p.schedule,
            (nn::ScheduleParameters{
                .type = nn::ScheduleType::multi_step, .warmup_epochs = 0.5, .gamma = 0.5, .milestones = {1, 2}}));
  EXPECT_EQ(p.analog_learning_rate, 0.01);
  EXPECT_EQ(p.analog_schedule, (nn::ScheduleParameters{.type = nn::ScheduleType::cosine, .final_factor = 0.1}));
  EXPECT_EQ(p.rate_factors, (sim::RateFactors{.bias = 2.0, .input_range = 0.5}));
  EXPECT_TRUE(p.decay_all);
  EXPECT_EQ(p.gradient_clip, 5.0);
  EXPECT_EQ(p.augmentation, (sim::AugmentationParameters{
                                .shift = 2.0, .rotation = 10.0, .zoom = 0.1, .flip = true, .crop = 1, .noise = 0.05}));
  EXPECT_EQ(p.validation.repeats, 3);
  EXPECT_EQ(p.validation.times, (std::vector<double>{0.0, 3600.0}));
  EXPECT_EQ(p.validation.every, 2);
  EXPECT_EQ(p.early_stopping, (sim::EarlyStoppingParameters{.patience = 4, .min_delta = 0.001}));
  EXPECT_EQ(p.keep, sim::KeptModel::last);
  EXPECT_EQ(p.checkpoint_every, 5);
}

TEST(TrainingConfig, ResolvedTextReproducesIt) {
  const RunConfig config = read_text(complete);
  EXPECT_EQ(read_run_config_text(resolved_text(config), "elsewhere.yaml", "/somewhere/else"), config);
  EXPECT_FALSE(read_text(minimal).training);
}

TEST(TrainingConfig, EveryMistakeHasItsMessageAndPlace) {
  const std::string start = minimal + "training:\n  data: {format: glyphs}\n  digital_epochs: 1\n";
  ASSERT_EQ(error_of_text(start), "no error");
  const std::pair<std::string, std::string> mistakes[] = {
      {"  epoch: 3\n", "run.yaml:6:3: training.epoch: unknown key 'epoch'"},
      {"  batch_size: 0\n", "run.yaml:6:15: training.batch_size: 0 is out of range (must be >= 1)"},
      {"  lr: 0\n", "run.yaml:6:7: training.lr: 0 is out of range (must be > 0)"},
      {"  lr: -1\n", "run.yaml:6:7: training.lr: -1 is out of range (must be > 0)"},
      {"  label_smoothing: 1\n", "run.yaml:6:20: training.label_smoothing: 1 is out of range (must be >= 0 and < 1)"},
      {"  loss: mse\n  label_smoothing: 0.1\n",
       "run.yaml:7:20: training.label_smoothing: belongs to loss: cross_entropy"},
      {"  loss: huber\n", "run.yaml:6:9: training.loss: unknown word 'huber'"},
      {"  optimizer: {type: adamax}\n",
       "run.yaml:6:21: training.optimizer.type: unknown word 'adamax'; did you mean 'adam'?"},
      {"  optimizer: {type: adam, momentum: 0.9}\n",
       "run.yaml:6:37: training.optimizer.momentum: momentum, dampening and nesterov belong to type sgd"},
      {"  optimizer: {type: sgd, nesterov: true}\n",
       "run.yaml:6:36: training.optimizer.nesterov: needs a momentum above 0"},
      {"  schedule: {type: multi_step}\n", "training.schedule.milestones: type multi_step needs at least one epoch"},
      {"  schedule: {milestones: [2, 1]}\n",
       "run.yaml:6:26: training.schedule.milestones: are epochs from 1 on, in ascending order"},
      {"  augmentation: {rotation: 200}\n",
       "run.yaml:6:28: training.augmentation.rotation: 200 is out of range (must be 0 to 180)"},
      {"  augmentation: {rotatoin: 20}\n",
       "run.yaml:6:18: training.augmentation.rotatoin: unknown key 'rotatoin'; did you mean 'rotation'?"},
      {"  validation: {times: [3600]}\n",
       "run.yaml:6:23: training.validation.times: nothing is programmed and nothing drifts without a noise_model"},
      {"  validation: {data: {format: idx}}\n",
       "run.yaml:6:22: training.validation.data.inputs: 0 files given; this format reads exactly one"},
      {"  checkpoint: {every: -1}\n", "run.yaml:6:23: training.checkpoint.every: -1 is out of range (must be >= 0)"},
      {"  rate_factors: {weights: 1}\n",
       "run.yaml:6:18: training.rate_factors.weights: unknown key 'weights'; did you mean 'weight'?"},
  };
  for (const auto& [text, message] : mistakes) EXPECT_THAT(error_of_text(start + text), HasSubstr(message)) << text;
  EXPECT_THAT(error_of_text(minimal + "training: {data: {format: glyphs}}\n"), HasSubstr("nothing to train"));
  EXPECT_THAT(error_of_text(minimal + "training: {digital_epochs: 1}\n"), HasSubstr("missing key 'data'"));
}

}  // namespace
}  // namespace tessera::spec
