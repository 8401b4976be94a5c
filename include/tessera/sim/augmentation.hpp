#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "tessera/core/tensor.hpp"

/// Random variation of training images, drawn from stream addresses: what sample i sees in epoch e depends on the seed,
/// e and i alone.
namespace tessera::sim {

/// Images are [channels, height, width]. Applied in this order; what comes from outside the image is the value that
/// black has after the data's scaling (see augment).
struct AugmentationParameters {
  double shift = 0.0;     ///< largest shift along each axis, pixels, uniform in [-shift, shift]; >= 0
  double rotation = 0.0;  ///< largest rotation, degrees, uniform in [-rotation, rotation]; 0 to 180
  double zoom = 0.0;      ///< largest relative change of size, uniform in [-zoom, zoom]; 0 to 0.9
  bool flip = false;      ///< mirrors half of the images left to right
  std::int64_t crop = 0;  ///< pads every side by this many pixels and cuts a random window of the image's size; >= 0
  double noise = 0.0;  ///< standard deviation of Gaussian noise on every value, in units of the network's input; >= 0

  bool operator==(const AugmentationParameters&) const = default;
  /// Whether anything but noise is on: then samples must be images.
  bool moves_pixels() const { return shift > 0.0 || rotation > 0.0 || zoom > 0.0 || flip || crop > 0; }
  bool is_on() const { return moves_pixels() || noise > 0.0; }
};

/// ConfigError with every value out of range; keys relative to the section.
void validate(const AugmentationParameters& parameters);

/// Which draws an image gets.
struct AugmentationAddress {
  std::uint64_t seed = 0;
  std::uint32_t epoch = 0;
  std::uint64_t sample = 0;  ///< number in the data set
};

/// One image [channels, height, width] of `source` into `target` (as large, apart). `black` has one value per channel.
/// Shift, rotation and zoom are one affine map about the centre, sampled bilinearly: target pixel (i, j) is read at
///     centre + R(angle) (i - centre_i - shift_i, j - centre_j - shift_j) / (1 + zoom).
/// Event `epoch` of the stream (seed, augmentation): elements 8 s .. 8 s + 6 are shift_i, shift_j, angle, zoom, flip,
/// crop_i, crop_j of sample s; event 2^31 + epoch: element s n + k is the noise of value k of n.
void augment(const AugmentationParameters& parameters, const AugmentationAddress& address, const Shape& image,
             std::span<const float> black, std::span<const float> source, std::span<float> target);

/// A random order of 0 .. count-1: sorted by the word that element i of event `epoch` of the stream (seed, shuffle)
/// has, ties by i.
std::vector<std::int64_t> shuffled_order(std::uint64_t seed, std::uint32_t epoch, std::int64_t count);

}  // namespace tessera::sim
