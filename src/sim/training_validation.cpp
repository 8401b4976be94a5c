#include "sim/training_validation.hpp"

#include <algorithm>
#include <numeric>

#include "tessera/random/stream.hpp"
#include "tessera/sim/analog_network.hpp"
#include "tessera/sim/evaluate.hpp"

namespace tessera::sim {

namespace {

std::uint64_t chip_seed(std::uint64_t seed, std::int64_t epoch) {
  const random::Stream stream({.seed = seed}, random::Purpose::validation_chip);
  const auto event = static_cast<std::uint32_t>(epoch);
  return std::uint64_t{random::bits(stream, event, 0)} << 32 | random::bits(stream, event, 1);
}

std::optional<SpikingNetwork> with_neurons(const nn::Executor& executor,
                                           const std::optional<SpikingParameters>& spiking, std::uint64_t seed) {
  std::optional<SpikingNetwork> network;
  if (spiking) network.emplace(executor, *spiking, spiking_populations(executor, *spiking), true, seed);
  return network;
}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

Validator::Validator(const io::DataSet& data, std::int64_t batch_size, std::uint64_t seed,
                     const ValidationParameters& parameters, Shape input_shape)
    : data_(data), batch_size_(batch_size), seed_(seed), parameters_(parameters), input_shape_(std::move(input_shape)) {
  require<InputError>(data.size() > 0, "the validation data '{}' have no samples", data.name());
  require<InputError>(data.has_labels() || data.has_targets(),
                      "the validation data '{}' have neither labels nor targets; give data.labels, or "
                      "training.validation.data",
                      data.name());
  require<InputError>(data.label_shape().empty(),
                      "the validation data '{}' have a label for each of {} positions; training takes one for each "
                      "sample",
                      data.name(), tessera::to_string(data.label_shape()));
  static_cast<void>(sample_order(data, input_shape_));
}

bool Validator::score(const nn::Executor& executor, const std::optional<SpikingNetwork>& spiking,
                      const nn::LinearOverrides* overrides, Score& score, Parallel parallel,
                      const Environment& environment) const {
  const nn::Executor& evaluated = spiking ? spiking->executor() : executor;
  const std::int64_t steps = spiking ? spiking->steps() : 1;
  const std::int64_t batch_size = std::max<std::int64_t>(1, batch_size_ / steps);
  // With overrides, be they empty, the executor does not cut a batch: the steps of an image belong together.
  const nn::LinearOverrides none(evaluated.layers().size());
  if (spiking && overrides == nullptr) overrides = &none;
  const OutputKind kind = output_kind(executor.graph());
  decltype(PointResult::score) sums;
  double squares = 0.0;
  std::int64_t values = 0;
  for (std::int64_t first = 0; first < data_.size(); first += batch_size) {
    if (environment.cancelled()) return false;
    const std::int64_t count = std::min(batch_size, data_.size() - first);
    Tensor batch = read_samples(data_, first, count, input_shape_, parallel);
    if (spiking) batch = spiking->encode(batch, static_cast<std::uint64_t>(first), parallel);
    Tensor output = evaluated.run(batch, {.first_sample = static_cast<std::uint64_t>(first * steps),
                                          .parallel = parallel,
                                          .overrides = overrides,
                                          .observer = {}});
    if (spiking) output = spiking->decode(output);
    if (data_.has_labels()) {
      sums.add({output.data(), count, output.size() / count},
               data_.labels().subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)), kind);
      continue;
    }
    const Tensor target = data_.read_targets(first, count);
    require<InputError>(comparable(target.shape(), output.shape()), "the network gives {}, the targets are {}",
                        tessera::to_string(output.shape()), tessera::to_string(target.shape()));
    for (std::int64_t i = 0; i < output.size(); ++i) {
      const double error = double{output.data()[i]} - double{target.data()[i]};
      squares += error * error;
    }
    values += output.size();
  }
  if (data_.has_labels())
    score = {sums.accuracy(), sums.loss()};
  else
    score = {results::missing, squares / static_cast<double>(values)};
  return true;
}

bool Validator::reference(const nn::Executor& executor, const std::optional<SpikingParameters>& spiking,
                          results::TrainingEpoch& record, Parallel parallel, const Environment& environment) const {
  Score found;
  if (!score(executor, with_neurons(executor, spiking, seed_), nullptr, found, parallel, environment)) return false;
  record.reference_accuracy = found.accuracy;
  record.reference_loss = found.loss;
  return true;
}

bool Validator::chips(const nn::Executor& executor, const std::optional<SpikingParameters>& spiking,
                      const LayerResolver& resolve, std::int64_t epoch, results::TrainingEpoch& record,
                      Parallel parallel, const Environment& environment) const {
  const std::size_t times = std::max<std::size_t>(1, parameters_.times.size());
  const auto chips = static_cast<std::size_t>(parameters_.repeats);
  record.validation_accuracy.assign(times * chips, results::missing);
  record.validation_loss.assign(times * chips, results::missing);
  const std::optional<SpikingNetwork> neurons = with_neurons(executor, spiking, seed_);
  const FaultMaps faults = read_fault_maps(executor, resolve);
  for (std::size_t c = 0; c < chips; ++c) {
    const ProgrammedChip chip(executor, resolve,
                              {.seed = chip_seed(seed_, epoch),
                               .repeat = static_cast<std::uint32_t>(c),
                               .parallel = parallel,
                               .faults = &faults});
    for (std::size_t t = 0; t < times; ++t) {
      std::optional<double> time;
      if (!parameters_.times.empty()) time = parameters_.times[t];
      const AnalogNetwork network = chip.at(time, 0, parallel);
      Score found;
      if (!score(executor, neurons, &network.overrides(), found, parallel, environment)) return false;
      record.validation_accuracy[t * chips + c] = found.accuracy;
      record.validation_loss[t * chips + c] = found.loss;
    }
  }
  return true;
}

double validation_score(const results::TrainingEpoch& record, bool has_labels) {
  if (record.analog) return has_labels ? mean(record.validation_accuracy) : -mean(record.validation_loss);
  return has_labels ? record.reference_accuracy : -record.reference_loss;
}

}  // namespace tessera::sim
