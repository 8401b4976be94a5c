#include "tessera/sim/training_parameters.hpp"

#include "tessera/core/problems.hpp"

namespace tessera::sim {

void validate(const TrainingParameters& p) {
  Problems problems;
  problems.collect("data.", [&] { io::validate(p.data); });
  problems.expect(p.digital_epochs >= 0, "digital_epochs", "must not be negative");
  problems.expect(p.analog_epochs >= 0, "analog_epochs", "must not be negative");
  problems.expect(p.digital_epochs + p.analog_epochs > 0, "analog_epochs",
                  "nothing to train: give digital_epochs, analog_epochs, or both");
  problems.expect(p.digital_epochs + p.analog_epochs <= 1'000'000, "analog_epochs", "more than a million epochs");
  problems.expect(p.batch_size >= 1, "batch_size", "must be at least 1");
  problems.expect(p.label_smoothing >= 0.0 && p.label_smoothing < 1.0, "label_smoothing",
                  "must be at least 0 and below 1");
  problems.expect(p.label_smoothing == 0.0 || p.loss == LossType::cross_entropy, "label_smoothing",
                  "belongs to loss: cross_entropy");
  problems.expect(p.learning_rate > 0.0, "lr", "must be above 0");
  problems.expect(!p.analog_learning_rate || *p.analog_learning_rate > 0.0, "analog_lr", "must be above 0");
  problems.expect(p.quantizers.init_learning_after >= 1, "quantizers.init_learning_after", "must be at least 1");
  problems.expect(p.gradient_clip >= 0.0, "gradient_clip", "must not be negative");
  problems.collect("optimizer.", [&] { nn::validate(p.optimizer); });
  problems.collect("schedule.", [&] { nn::validate(p.schedule); });
  if (p.analog_schedule) problems.collect("analog_schedule.", [&] { nn::validate(*p.analog_schedule); });
  problems.collect("augmentation.", [&] { validate(p.augmentation); });
  if (p.validation.data) problems.collect("validation.data.", [&] { io::validate(*p.validation.data); });
  problems.expect(p.validation.repeats >= 1, "validation.repeats", "must be at least 1");
  problems.expect(p.validation.every >= 1, "validation.every", "must be at least 1");
  problems.expect(p.early_stopping.patience >= 0, "early_stopping.patience", "must not be negative");
  problems.expect(p.early_stopping.min_delta >= 0.0, "early_stopping.min_delta", "must not be negative");
  problems.expect(p.checkpoint_every >= 0, "checkpoint.every", "must not be negative");
  problems.throw_if_any();
}

}  // namespace tessera::sim
