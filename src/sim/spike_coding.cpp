#include "spike_coding.hpp"

#include <algorithm>
#include <cmath>

#include "tessera/core/error.hpp"
#include "tessera/random/stream.hpp"

namespace tessera::sim {

namespace {

/// `tile` of the random addresses of a rate code, which is stochastic rounding of x to 0 or 1; tiles of analog layers
/// count from 0, digital tensors of quantized networks have the numbers before this one.
constexpr std::uint32_t input_tile = 0xFFFF0010U;

void encode_latency(const float* image, std::int64_t features, std::int64_t steps, float* sequence) {
  std::fill_n(sequence, features * steps, 0.0F);
  for (std::int64_t i = 0; i < features; ++i) {
    const double x = std::min(static_cast<double>(image[i]), 1.0);
    if (!(x > 0.0)) continue;
    const auto t = static_cast<std::int64_t>(std::nearbyint((1.0 - x) * static_cast<double>(steps - 1)));
    sequence[t * features + i] = 1.0F;
  }
}

/// Images of a sequence tensor, with the shape of one value per image.
Shape image_shape(const Tensor& values, std::int64_t steps) {
  Shape shape = values.shape();
  require<InputError>(!shape.empty() && shape[0] % steps == 0, "{} samples are no whole images of {} steps",
                      shape.empty() ? 0 : shape[0], steps);
  shape[0] /= steps;
  return shape;
}

template <class Reduce>
Tensor reduce_steps(const Tensor& values, std::int64_t steps, Reduce&& reduce) {
  Tensor result(image_shape(values, steps));
  const std::int64_t images = result.dim(0), features = images > 0 ? result.size() / images : 0;
  for (std::int64_t n = 0; n < images; ++n) {
    const float* sequence = values.data() + n * steps * features;
    for (std::int64_t i = 0; i < features; ++i) result.data()[n * features + i] = reduce(sequence + i, features);
  }
  return result;
}

}  // namespace

Tensor encode_steps(SpikeEncoding encoding, const Tensor& images, std::int64_t steps, std::uint64_t first_image,
                    std::uint64_t seed, Parallel parallel) {
  Shape shape = images.shape();
  require<InputError>(!shape.empty(), "a batch of images has a first axis");
  const std::int64_t count = shape[0], features = count > 0 ? images.size() / count : 0;
  shape[0] *= steps;
  Tensor result = Tensor::uninitialized(std::move(shape));
  const random::Stream stream({.seed = seed, .tile = input_tile}, random::Purpose::stochastic_rounding);
  parallel_for(parallel, count, [&](std::int64_t n) {
    const float* image = images.data() + n * features;
    float* sequence = result.data() + n * steps * features;
    const std::uint64_t number = first_image + static_cast<std::uint64_t>(n);
    for (std::int64_t i = 0; i < features; ++i)
      require<InputError>(!std::isnan(image[i]), "sample {} holds a value that is not a number", number);
    if (encoding == SpikeEncoding::latency) return encode_latency(image, features, steps, sequence);
    for (std::int64_t t = 0; t < steps; ++t) {
      float* step = sequence + t * features;
      if (encoding == SpikeEncoding::direct) {
        std::copy_n(image, features, step);
        continue;
      }
      const std::uint64_t first = (number * static_cast<std::uint64_t>(steps) + static_cast<std::uint64_t>(t)) *
                                  static_cast<std::uint64_t>(features);
      random::fill_uniform(stream, 0, first, {step, static_cast<std::size_t>(features)});
      for (std::int64_t i = 0; i < features; ++i) step[i] = step[i] < image[i] ? 1.0F : 0.0F;
    }
  });
  return result;
}

Tensor mean_of_steps(const Tensor& values, std::int64_t steps) {
  return reduce_steps(values, steps, [steps](const float* x, std::int64_t stride) {
    double sum = 0.0;
    for (std::int64_t t = 0; t < steps; ++t) sum += static_cast<double>(x[t * stride]);
    return static_cast<float>(sum / static_cast<double>(steps));
  });
}

Tensor count_of_steps(const Tensor& values, std::int64_t steps) {
  return reduce_steps(values, steps, [steps](const float* x, std::int64_t stride) {
    std::int64_t count = 0;
    for (std::int64_t t = 0; t < steps; ++t) count += x[t * stride] != 0.0F ? 1 : 0;
    return static_cast<float>(count);
  });
}

}  // namespace tessera::sim
