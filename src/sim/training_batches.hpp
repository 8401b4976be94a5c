#pragma once
#include <cstdint>
#include <vector>

#include "tessera/io/dataset.hpp"
#include "tessera/nn/loss.hpp"
#include "tessera/sim/augmentation.hpp"
#include "tessera/sim/training_parameters.hpp"

// What a training step sees: samples in the order of the epoch, varied, and what they should give.
namespace tessera::sim {

class TrainingBatches {
 public:
  /// `input_shape` is that of one sample of the network. InputError where data and loss do not fit each other.
  TrainingBatches(const io::DataSet& data, const TrainingParameters& parameters, std::uint64_t seed, Shape input_shape,
                  Parallel parallel);

  std::int64_t steps_per_epoch() const { return steps_; }
  std::int64_t samples() const { return data_.size(); }
  std::int64_t batch_size(std::int64_t step) const;

  /// The inputs of step `step` of epoch `epoch`, [samples, input_shape...].
  Tensor inputs(std::int64_t epoch, std::int64_t step, Parallel parallel);
  /// Loss of the network's outputs for that step.
  nn::Loss loss(std::int64_t epoch, std::int64_t step, const Tensor& outputs, nn::LossInput kind);

 private:
  const std::vector<std::int64_t>& order(std::int64_t epoch);
  std::span<const float> sample(std::int64_t index, std::vector<float>& buffer) const;
  /// A sample, varied, as the network takes it.
  void vary(const AugmentationAddress& address, std::span<const float> source, std::span<float> target) const;

  const io::DataSet& data_;
  const TrainingParameters& parameters_;
  std::uint64_t seed_;
  Shape input_shape_;
  std::vector<std::int64_t> axes_;  ///< order of the data's axes in the network's input; empty: as they are
  bool channels_last_ = false;      ///< of the data
  std::int64_t steps_ = 0;
  std::vector<float> black_;         ///< of the data's channels
  Tensor cache_;                     ///< all samples, where they fit
  std::vector<std::int64_t> order_;  ///< of epoch order_epoch_
  std::int64_t order_epoch_ = -1;
};

}  // namespace tessera::sim
