#include "sim/training_batches.hpp"

#include <algorithm>
#include <array>
#include <numeric>

#include "tessera/sim/network_input.hpp"

namespace tessera::sim {

namespace {

constexpr std::int64_t most_cached_bytes = std::int64_t{1} << 30;

/// What a raw value of 0 becomes, by channel.
std::vector<float> black_of(const io::DataParameters& data, const Shape& sample_shape, bool channels_last) {
  const std::int64_t extent = channels_last ? sample_shape.back() : sample_shape.front();
  const std::size_t channels = sample_shape.size() == 3 ? static_cast<std::size_t>(extent) : 1;
  std::vector<float> black;
  for (std::size_t c = 0; c < channels; ++c) {
    const double mean = data.mean[data.mean.size() > 1 ? c : 0];
    const double std = data.std[data.std.size() > 1 ? c : 0];
    black.push_back(static_cast<float>(-mean / std));
  }
  return black;
}

}  // namespace

TrainingBatches::TrainingBatches(const io::DataSet& data, const TrainingParameters& parameters, std::uint64_t seed,
                                 Shape input_shape, Parallel parallel)
    : data_(data), parameters_(parameters), seed_(seed), input_shape_(std::move(input_shape)) {
  require<InputError>(data.size() > 0, "the training data '{}' have no samples", data.name());
  require<InputError>(data.has_labels() || (parameters.loss == LossType::mean_squared_error && data.has_targets()),
                      "the training data '{}' have no labels; give training.data.labels{}", data.name(),
                      data.has_targets() ? ", or training.loss: mean_squared_error for their targets" : "");
  require<InputError>(
      data.label_shape().empty(),
      "the training data '{}' have a label for each of {} positions; training takes one for each sample", data.name(),
      tessera::to_string(data.label_shape()));
  steps_ = (data.size() + parameters.batch_size - 1) / parameters.batch_size;
  axes_ = sample_order(data, input_shape_);
  channels_last_ = data.layout() == io::ImageLayout::nhwc;
  const Shape& image = data.sample_shape();
  constexpr std::int64_t most_colours = 4;
  require<InputError>(
      !parameters.augmentation.moves_pixels() || data.layout() || image.size() != 3 || image[0] <= most_colours ||
          image[2] > most_colours,
      "augmentation moves pixels, but it is not known which axes of a sample of {} are the image's; give "
      "training.data.layout: nhwc (channels last) or nchw",
      tessera::to_string(image));
  black_ = black_of(parameters.data, image, channels_last_);
  const std::int64_t values = element_count(data.sample_shape());
  if (data.size() * values * static_cast<std::int64_t>(sizeof(float)) > most_cached_bytes) return;
  Shape shape = data.sample_shape();
  shape.insert(shape.begin(), data.size());
  cache_ = Tensor::uninitialized(std::move(shape));
  constexpr std::int64_t block = 256;
  for (std::int64_t first = 0; first < data.size(); first += block) {
    const Tensor part = data.read(first, std::min(block, data.size() - first), parallel);
    std::copy(part.values().begin(), part.values().end(), cache_.data() + first * values);
  }
}

std::int64_t TrainingBatches::batch_size(std::int64_t step) const {
  return std::min(parameters_.batch_size, data_.size() - step * parameters_.batch_size);
}

const std::vector<std::int64_t>& TrainingBatches::order(std::int64_t epoch) {
  if (order_epoch_ != epoch) {
    if (parameters_.shuffle) {
      order_ = shuffled_order(seed_, static_cast<std::uint32_t>(epoch), data_.size());
    } else if (order_.empty()) {
      order_.resize(static_cast<std::size_t>(data_.size()));
      std::iota(order_.begin(), order_.end(), std::int64_t{0});
    }
    order_epoch_ = epoch;
  }
  return order_;
}

std::span<const float> TrainingBatches::sample(std::int64_t index, std::vector<float>& buffer) const {
  const std::int64_t values = element_count(data_.sample_shape());
  if (cache_.size() > 0)
    return cache_.values().subspan(static_cast<std::size_t>(index * values), static_cast<std::size_t>(values));
  const Tensor read = data_.read(index, 1);
  buffer.assign(read.values().begin(), read.values().end());
  return buffer;
}

void TrainingBatches::vary(const AugmentationAddress& address, std::span<const float> source,
                           std::span<float> target) const {
  const Shape& shape = data_.sample_shape();
  if (axes_.empty() && !channels_last_)
    return augment(parameters_.augmentation, address, shape, black_, source, target);
  constexpr std::array<std::int64_t, 3> to_first = {2, 0, 1}, to_last = {1, 2, 0};
  std::vector<float> image(source.begin(), source.end()), varied(source.size());
  if (channels_last_) {
    const Shape first = io::transposed(shape, to_first);
    io::transpose(source, shape, to_first, image);
    augment(parameters_.augmentation, address, first, black_, image, varied);
    io::transpose(varied, first, to_last, image);
  } else {
    augment(parameters_.augmentation, address, shape, black_, source, image);
  }
  if (axes_.empty())
    std::ranges::copy(image, target.begin());
  else
    io::transpose(image, shape, axes_, target);
}

Tensor TrainingBatches::inputs(std::int64_t epoch, std::int64_t step, Parallel parallel) {
  const std::vector<std::int64_t>& chosen = order(epoch);
  const std::int64_t count = batch_size(step);
  Shape shape = input_shape_;
  shape.insert(shape.begin(), count);
  Tensor batch = Tensor::uninitialized(std::move(shape));
  const auto values = static_cast<std::size_t>(element_count(input_shape_));
  parallel_for(parallel, count, [&](std::int64_t i) {
    const std::int64_t index = chosen[static_cast<std::size_t>(step * parameters_.batch_size + i)];
    std::vector<float> buffer;
    const std::span<float> target = batch.values().subspan(static_cast<std::size_t>(i) * values, values);
    vary({.seed = seed_, .epoch = static_cast<std::uint32_t>(epoch), .sample = static_cast<std::uint64_t>(index)},
         sample(index, buffer), target);
  });
  return batch;
}

nn::Loss TrainingBatches::loss(std::int64_t epoch, std::int64_t step, const Tensor& outputs, nn::LossInput kind) {
  const std::vector<std::int64_t>& chosen = order(epoch);
  const std::int64_t count = batch_size(step);
  const auto index = [&](std::int64_t i) {
    return chosen[static_cast<std::size_t>(step * parameters_.batch_size + i)];
  };
  if (!data_.has_labels()) {
    Tensor targets = Tensor::uninitialized(outputs.shape());
    const std::int64_t values = element_count(data_.target_shape());
    Shape output = outputs.shape();
    output.erase(output.begin());
    require<InputError>(comparable(data_.target_shape(), output),
                        "the network gives {} for a sample, the targets have {}", tessera::to_string(output),
                        tessera::to_string(data_.target_shape()));
    for (std::int64_t i = 0; i < count; ++i) {
      const Tensor one = data_.read_targets(index(i), 1);
      std::copy(one.values().begin(), one.values().end(), targets.data() + i * values);
    }
    return nn::mean_squared_error(outputs, targets);
  }
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < count; ++i) labels.push_back(data_.labels()[static_cast<std::size_t>(index(i))]);
  if (parameters_.loss == LossType::cross_entropy)
    return nn::softmax_cross_entropy(outputs, labels, kind, parameters_.label_smoothing);
  Tensor targets(outputs.shape());
  const std::int64_t classes = outputs.size() / count;
  std::int64_t correct = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int32_t label = labels[static_cast<std::size_t>(i)];
    targets.data()[i * classes + label] = 1.0F;
    const float* const row = outputs.data() + i * classes;
    correct += std::max_element(row, row + classes) - row == label ? 1 : 0;
  }
  nn::Loss loss = nn::mean_squared_error(outputs, targets);
  loss.correct = correct;
  return loss;
}

}  // namespace tessera::sim
