#include "ranges.hpp"
#include "run_tables.hpp"
#include "tessera/config/section.hpp"

namespace tessera::spec {

namespace {

using config::choice;
using config::Range;
using config::Section;
using config::Type;

const Range share = {.low = 0.0, .high = 1.0, .low_open = false, .high_open = true};

Type<nn::OptimizerParameters> optimizer_parameters() {
  using P = nn::OptimizerParameters;
  using nn::OptimizerType;
  return Section<P>("OptimizerParameters", "One step of descent, with the definitions and defaults of torch.optim.")
      .field("type", &P::type,
             choice<OptimizerType>(
                 {{"sgd", OptimizerType::sgd}, {"adam", OptimizerType::adam}, {"adamw", OptimizerType::adamw}}),
             {.help = "adamw: weight decay apart from the gradient"})
      .field("momentum", &P::momentum, {.range = share, .help = "sgd"})
      .field("dampening", &P::dampening, {.range = Range::between(0.0, 1.0), .help = "sgd: of the momentum"})
      .field("nesterov", &P::nesterov, {.help = "sgd: Nesterov momentum"})
      .field("beta1", &P::beta1, {.range = share, .help = "adam, adamw: memory of the mean gradient"})
      .field("beta2", &P::beta2, {.range = share, .help = "adam, adamw: memory of the squared gradient"})
      .field("epsilon", &P::epsilon, {.range = Range::above(0.0), .help = "adam, adamw: added to the root"})
      .field("weight_decay", &P::weight_decay, {.range = non_negative, .help = "on weights; see decay_all"})
      .check([](const P& p) { nn::validate(p); });
}

/// `name` is the section's, which must be unique.
Type<nn::ScheduleParameters> schedule_parameters() {
  using P = nn::ScheduleParameters;
  using nn::ScheduleType;
  return Section<P>("ScheduleParameters",
                    "How the learning rate moves through a phase, as torch.optim.lr_scheduler does. `step` and "
                    "`multi_step` count epochs behind the warm-up, all others move with every batch.")
      .field("type", &P::type,
             choice<ScheduleType>({{"constant", ScheduleType::constant},
                                   {"step", ScheduleType::step},
                                   {"multi_step", ScheduleType::multi_step},
                                   {"cosine", ScheduleType::cosine},
                                   {"one_cycle", ScheduleType::one_cycle}}),
             {.help = "one_cycle: lr is the peak"})
      .field("warmup_epochs", &P::warmup_epochs,
             {.unit = "epochs", .range = non_negative, .help = "linear rise before the schedule begins"})
      .field("warmup_start", &P::warmup_start,
             config::real({.low = 0.0, .high = 1.0, .low_open = true, .high_open = false}),
             {.help = "first rate of the warm-up as a fraction of lr"})
      .field("step_size", &P::step_size,
             {.unit = "epochs", .range = Range::at_least(1.0), .help = "step: between two changes"})
      .field("gamma", &P::gamma, {.range = Range::above(0.0), .help = "step, multi_step: factor of a change"})
      .field("milestones", &P::milestones,
             {.unit = "epochs", .range = Range::at_least(1.0), .help = "multi_step: when the rate changes"})
      .field("final_factor", &P::final_factor,
             {.range = Range::between(0.0, 1.0), .help = "cosine: last rate as a fraction of lr"})
      .field("pct_start", &P::pct_start, config::real({.low = 0.0, .high = 1.0, .low_open = true, .high_open = true}),
             {.help = "one_cycle: share of the steps that rise"})
      .field("div_factor", &P::div_factor, {.range = Range::at_least(1.0), .help = "one_cycle: lr over the first rate"})
      .field("final_div_factor", &P::final_div_factor,
             {.range = Range::at_least(1.0), .help = "one_cycle: first rate over the last"})
      .check([](const P& p) { nn::validate(p); });
}

Type<sim::RateFactors> rate_factors() {
  using P = sim::RateFactors;
  return Section<P>("RateFactors", "Multiples of the learning rate by kind of parameter; 0: not trained.")
      .field("weight", &P::weight, {.range = non_negative, .help = "weights of layers"})
      .field("bias", &P::bias, {.range = non_negative, .help = "digital biases"})
      .field("normalization", &P::normalization, {.range = non_negative, .help = "scale and shift of normalizations"})
      .field("neuron", &P::neuron, {.range = non_negative, .help = "decay and threshold of spiking neurons"})
      .field("input_range", &P::input_range, {.range = non_negative, .help = "input ranges of tiles"})
      .field("output_scale", &P::output_scale, {.range = non_negative, .help = "learned output scales of tiles"})
      .field("quantizer_range", &P::quantizer_range, {.range = non_negative, .help = "ranges of quantizers"});
}

Type<sim::AugmentationParameters> augmentation_parameters() {
  using P = sim::AugmentationParameters;
  return Section<P>("AugmentationParameters",
                    "Random variation of training images [channels, height, width], in the order of the keys. What a "
                    "sample sees depends on seed, epoch and sample alone.")
      .field("shift", &P::shift, {.unit = "pixel", .range = non_negative, .help = "largest shift along each axis"})
      .field("rotation", &P::rotation,
             {.unit = "degree", .range = Range::between(0.0, 180.0), .help = "largest rotation either way"})
      .field("zoom", &P::zoom, {.range = Range::between(0.0, 0.9), .help = "largest relative change of size"})
      .field("flip", &P::flip, {.help = "mirrors half of the images left to right"})
      .field("crop", &P::crop,
             {.unit = "pixel", .range = non_negative, .help = "pads every side, then cuts out a random window"})
      .field("noise", &P::noise, {.range = non_negative, .help = "standard deviation added to every network input"})
      .check([](const P& p) { sim::validate(p); });
}

Type<sim::QuantizerLearning> quantizer_learning() {
  using P = sim::QuantizerLearning;
  return Section<P>("QuantizerLearning",
                    "Ranges of the uniform quantizers of activations (act_quant_config, `quantization`) and of the "
                    "weights of digital layers in training. The periphery has keys of its own (periph_quant).")
      .field("learn_quant_params", &P::learn_quant_params, {.help = "by gradient; false: estimated in every batch"})
      .field("init_learning_after", &P::init_learning_after,
             {.unit = "batches", .range = Range::at_least(1.0), .help = "of a phase, that estimate first"});
}

Type<sim::ValidationParameters> validation_parameters() {
  using P = sim::ValidationParameters;
  return Section<P>("ValidationParameters",
                    "After an epoch: accuracy of freshly programmed chips (analog phase) or in float32 (digital "
                    "phase).")
      .field("data", &P::data, config::optional(data_parameters()), {.help = "null: the data section"})
      .field("repeats", &P::repeats, {.range = Range::between(1.0, 1e6), .help = "chips"})
      .field("times", &P::times,
             {.unit = "s", .range = non_negative, .help = "after programming; []: right after programming"})
      .field("every", &P::every, {.unit = "epochs", .range = Range::at_least(1.0), .help = "the last is always"});
}

Type<sim::EarlyStoppingParameters> early_stopping_parameters() {
  using P = sim::EarlyStoppingParameters;
  return Section<P>("EarlyStoppingParameters", "Ends a phase whose validation no longer improves.")
      .field("patience", &P::patience,
             {.range = non_negative, .help = "validations without a better one; 0: never stops early"})
      .field("min_delta", &P::min_delta, {.range = non_negative, .help = "least gain in accuracy that is better"});
}

Type<sim::TrainingParameters> checkpoint_parameters() {
  using P = sim::TrainingParameters;
  return Section<P>("CheckpointParameters", "An interrupted training continues from its last checkpoint.")
      .field("every", &P::checkpoint_every,
             {.unit = "epochs", .range = non_negative, .help = "0: only when interrupted"});
}

}  // namespace

Type<sim::TrainingParameters> training_parameters() {
  using P = sim::TrainingParameters;
  return Section<P>("TrainingParameters",
                    "`tessera train`: digital epochs in float32, then analog epochs with every layer as configured "
                    "(rpu_config, layers).")
      .field("data", &P::data, data_parameters(), {.help = "what it learns from", .required = true})
      .field("digital_epochs", &P::digital_epochs, {.range = non_negative, .help = "first, in float32"})
      .field("analog_epochs", &P::analog_epochs, {.range = non_negative, .help = "then, on the configured hardware"})
      .field("batch_size", &P::batch_size,
             {.unit = "samples", .range = Range::at_least(1.0), .help = "of one step; part of the result"})
      .field("from_scratch", &P::from_scratch, {.help = "draw the weights anew instead of those of the model"})
      .field("shuffle", &P::shuffle, {.help = "a new order every epoch"})
      .field("loss", &P::loss,
             choice<sim::LossType>({{"cross_entropy", sim::LossType::cross_entropy},
                                    {"mean_squared_error", sim::LossType::mean_squared_error, {"mse"}}}),
             {.help = "mean_squared_error: against one-hot labels, or the data's targets"})
      .field("label_smoothing", &P::label_smoothing, {.range = share, .help = "cross_entropy only"})
      .field("optimizer", &P::optimizer, optimizer_parameters())
      .field("lr", &P::learning_rate, {.range = Range::above(0.0), .help = "learning rate"})
      .field("schedule", &P::schedule, schedule_parameters())
      .field("analog_lr", &P::analog_learning_rate,
             {.range = Range::above(0.0), .help = "of the analog phase; null: lr"})
      .field("analog_schedule", &P::analog_schedule, config::optional(schedule_parameters()),
             {.help = "of the analog phase; null: schedule"})
      .field("rate_factors", &P::rate_factors, rate_factors())
      .field("decay_all", &P::decay_all, {.help = "weight decay on every kind of parameter; false: on weights"})
      .field("gradient_clip", &P::gradient_clip,
             {.range = non_negative, .help = "largest norm of all gradients together; 0: no limit"})
      .field("quantizers", &P::quantizers, quantizer_learning())
      .field("augmentation", &P::augmentation, augmentation_parameters())
      .field("validation", &P::validation, validation_parameters())
      .field("early_stopping", &P::early_stopping, early_stopping_parameters())
      .field("keep", &P::keep, choice<sim::KeptModel>({{"best", sim::KeptModel::best}, {"last", sim::KeptModel::last}}),
             {.help = "which state is written: of the best validation of the last phase, or the last"})
      .group("checkpoint", checkpoint_parameters())
      .check([](const P& p) { sim::validate(p); });
}

}  // namespace tessera::spec
