#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tessera/io/data_parameters.hpp"
#include "tessera/nn/optimizer.hpp"
#include "tessera/sim/augmentation.hpp"

/// What `tessera train` is asked to do: the `training:` section. Plain values.
namespace tessera::sim {

enum class LossType {
  cross_entropy,      ///< of the softmax of the outputs, or of the network's own final Softmax
  mean_squared_error  ///< of the outputs against one-hot labels, or against the data's targets
};

/// Which state of the network is written in the end.
enum class KeptModel {
  best,  ///< after the epoch with the largest validation accuracy (without labels: the smallest loss)
  last
};

/// Learning rates by kind of parameter, as multiples of the rate of the schedule; 0 keeps a kind as it is.
struct RateFactors {
  double weight = 1.0;
  double bias = 1.0;
  double normalization = 1.0;
  double neuron = 1.0;
  double input_range = 1.0;
  double output_scale = 1.0;
  double quantizer_range = 1.0;

  bool operator==(const RateFactors&) const = default;
};

/// Each epoch of the analog phase is validated on freshly programmed chips, each epoch of the digital phase in float32.
struct ValidationParameters {
  std::optional<io::DataParameters> data;  ///< none: the `data` section
  int repeats = 1;                         ///< chips of every validation; >= 1
  std::vector<double> times;               ///< seconds after programming; empty: right after it
  std::int64_t every = 1;                  ///< epochs between validations; the last is always validated; >= 1

  bool operator==(const ValidationParameters&) const = default;
};

struct EarlyStoppingParameters {
  std::int64_t patience = 0;  ///< validations without a better one before a phase ends; 0: never
  double min_delta = 0.0;     ///< least gain in validation accuracy that counts as better

  bool operator==(const EarlyStoppingParameters&) const = default;
};

/// Ranges of uniform quantizers on activations (`quantization`, act_quant_config) and on weights (`quantization`).
struct QuantizerLearning {
  bool learn_quant_params = false;         ///< by gradient; false: they follow the estimator in every batch
  std::int64_t init_learning_after = 100;  ///< batches of a phase that estimate first; >= 1

  bool operator==(const QuantizerLearning&) const = default;
};

struct TrainingParameters {
  io::DataParameters data;
  std::int64_t digital_epochs = 0;  ///< first, in float32
  std::int64_t analog_epochs = 0;   ///< then with every layer as configured
  std::int64_t batch_size = 64;     ///< of one step; part of the result, unlike data.batch_size
  bool from_scratch = false;        ///< weights drawn anew instead of those of the model
  bool shuffle = true;
  LossType loss = LossType::cross_entropy;
  double label_smoothing = 0.0;  ///< [0, 1)
  nn::OptimizerParameters optimizer;
  double learning_rate = 1e-3;  ///< base of the schedule, which every phase begins anew; > 0
  nn::ScheduleParameters schedule;
  std::optional<double> analog_learning_rate;  ///< of the analog phase; none: the same
  std::optional<nn::ScheduleParameters> analog_schedule;
  RateFactors rate_factors;
  bool decay_all = false;      ///< weight decay on every kind of parameter; false: on weights only
  double gradient_clip = 0.0;  ///< largest norm of all gradients together; 0: no limit
  AugmentationParameters augmentation;
  QuantizerLearning quantizers;
  ValidationParameters validation;
  EarlyStoppingParameters early_stopping;
  KeptModel keep = KeptModel::best;
  std::int64_t checkpoint_every = 1;  ///< epochs between checkpoints; 0: only when interrupted

  bool operator==(const TrainingParameters&) const = default;
};

/// ConfigError with every value that is out of range; keys relative to `training`.
void validate(const TrainingParameters& parameters);

}  // namespace tessera::sim
