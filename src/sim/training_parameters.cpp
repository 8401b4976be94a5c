#include "tessera/sim/training_parameters.hpp"

#include "tessera/core/error.hpp"

namespace tessera::sim {

namespace {

/// Runs `check` and collects its problems with `prefix` in front of their keys.
template <class Check>
void collect(std::vector<Problem>& problems, const std::string& prefix, Check&& check) {
  try {
    check();
  } catch (const ConfigError& error) {
    for (Problem problem : error.problems()) {
      problem.key = prefix + problem.key;
      problems.push_back(std::move(problem));
    }
  }
}

}  // namespace

void validate(const TrainingParameters& p) {
  std::vector<Problem> problems;
  const auto expect = [&](bool good, const char* key, const char* message) {
    if (!good) problems.push_back({.file = {}, .key = key, .message = message});
  };
  collect(problems, "data.", [&] { io::validate(p.data); });
  expect(p.digital_epochs >= 0, "digital_epochs", "must not be negative");
  expect(p.analog_epochs >= 0, "analog_epochs", "must not be negative");
  expect(p.digital_epochs + p.analog_epochs > 0, "analog_epochs",
         "nothing to train: give digital_epochs, analog_epochs, or both");
  expect(p.digital_epochs + p.analog_epochs <= 1'000'000, "analog_epochs", "more than a million epochs");
  expect(p.batch_size >= 1, "batch_size", "must be at least 1");
  expect(p.label_smoothing >= 0.0 && p.label_smoothing < 1.0, "label_smoothing", "must be at least 0 and below 1");
  expect(p.label_smoothing == 0.0 || p.loss == LossType::cross_entropy, "label_smoothing",
         "belongs to loss: cross_entropy");
  expect(p.learning_rate > 0.0, "lr", "must be above 0");
  expect(!p.analog_learning_rate || *p.analog_learning_rate > 0.0, "analog_lr", "must be above 0");
  expect(p.quantizers.init_learning_after >= 1, "quantizers.init_learning_after", "must be at least 1");
  expect(p.gradient_clip >= 0.0, "gradient_clip", "must not be negative");
  collect(problems, "optimizer.", [&] { nn::validate(p.optimizer); });
  collect(problems, "schedule.", [&] { nn::validate(p.schedule); });
  if (p.analog_schedule) collect(problems, "analog_schedule.", [&] { nn::validate(*p.analog_schedule); });
  collect(problems, "augmentation.", [&] { validate(p.augmentation); });
  if (p.validation.data) collect(problems, "validation.data.", [&] { io::validate(*p.validation.data); });
  expect(p.validation.repeats >= 1, "validation.repeats", "must be at least 1");
  expect(p.validation.every >= 1, "validation.every", "must be at least 1");
  expect(p.early_stopping.patience >= 0, "early_stopping.patience", "must not be negative");
  expect(p.early_stopping.min_delta >= 0.0, "early_stopping.min_delta", "must not be negative");
  expect(p.checkpoint_every >= 0, "checkpoint.every", "must not be negative");
  if (!problems.empty()) throw ConfigError(std::move(problems));
}

}  // namespace tessera::sim
