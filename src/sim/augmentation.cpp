#include "tessera/sim/augmentation.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "tessera/core/problems.hpp"
#include "tessera/random/stream.hpp"

namespace tessera::sim {

namespace {

constexpr std::uint32_t noise_event = 0x80000000U;

/// What one image is moved by.
struct Motion {
  double shift_row = 0.0, shift_column = 0.0;
  double cosine = 1.0, sine = 0.0;  ///< of the angle, divided by the zoom
  bool affine = false;
  bool mirrored = false;
  std::int64_t crop_row = 0, crop_column = 0;  ///< of the window's corner against the image's
};

Motion draw_motion(const AugmentationParameters& p, const AugmentationAddress& address) {
  const random::Stream stream({.seed = address.seed}, random::Purpose::augmentation);
  std::array<float, 7> u{};
  random::fill_uniform(stream, address.epoch, address.sample * 8, u);
  const auto spread = [&](std::size_t i, double most) { return (2.0 * double{u[i]} - 1.0) * most; };
  Motion motion;
  motion.shift_row = spread(0, p.shift);
  motion.shift_column = spread(1, p.shift);
  const double angle = spread(2, p.rotation) * 3.14159265358979323846 / 180.0;
  const double zoom = 1.0 + spread(3, p.zoom);
  motion.cosine = std::cos(angle) / zoom;
  motion.sine = std::sin(angle) / zoom;
  motion.affine = p.shift > 0.0 || p.rotation > 0.0 || p.zoom > 0.0;
  motion.mirrored = p.flip && u[4] < 0.5F;
  const auto corner = [&](std::size_t i) {
    return std::min(2 * p.crop, static_cast<std::int64_t>(double{u[i]} * static_cast<double>(2 * p.crop + 1))) - p.crop;
  };
  motion.crop_row = corner(5);
  motion.crop_column = corner(6);
  return motion;
}

class Plane {
 public:
  Plane(const float* values, std::int64_t rows, std::int64_t columns, float black)
      : values_(values), rows_(rows), columns_(columns), black_(black) {}
  float at(std::int64_t row, std::int64_t column) const {
    const bool inside = row >= 0 && row < rows_ && column >= 0 && column < columns_;
    return inside ? values_[row * columns_ + column] : black_;
  }
  float between(double row, double column) const {
    const double top = std::floor(row);
    const double left = std::floor(column);
    const auto i = static_cast<std::int64_t>(top);
    const auto j = static_cast<std::int64_t>(left);
    const auto v = static_cast<float>(row - top);
    const auto h = static_cast<float>(column - left);
    const float upper = at(i, j) + h * (at(i, j + 1) - at(i, j));
    const float lower = at(i + 1, j) + h * (at(i + 1, j + 1) - at(i + 1, j));
    return upper + v * (lower - upper);
  }

 private:
  const float* values_;
  std::int64_t rows_, columns_;
  float black_;
};

void move_plane(const Motion& motion, const Plane& source, std::int64_t rows, std::int64_t columns, float* target) {
  const double centre_row = 0.5 * static_cast<double>(rows - 1);
  const double centre_column = 0.5 * static_cast<double>(columns - 1);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) {
      // From the last step of the list back to the first.
      const std::int64_t row = r + motion.crop_row;
      std::int64_t column = c + motion.crop_column;
      if (motion.mirrored) column = columns - 1 - column;
      float& value = target[r * columns + c];
      if (!motion.affine) {
        value = source.at(row, column);
        continue;
      }
      const double y = static_cast<double>(row) - centre_row - motion.shift_row;
      const double x = static_cast<double>(column) - centre_column - motion.shift_column;
      value = source.between(centre_row + motion.cosine * y - motion.sine * x,
                             centre_column + motion.sine * y + motion.cosine * x);
    }
  }
}

}  // namespace

void validate(const AugmentationParameters& p) {
  Problems problems;
  problems.expect(p.shift >= 0.0, "shift", "must not be negative");
  problems.expect(p.rotation >= 0.0 && p.rotation <= 180.0, "rotation", "must be from 0 to 180 degrees");
  problems.expect(p.zoom >= 0.0 && p.zoom <= 0.9, "zoom", "must be from 0 to 0.9");
  problems.expect(p.crop >= 0, "crop", "must not be negative");
  problems.expect(p.noise >= 0.0, "noise", "must not be negative");
  problems.throw_if_any();
}

void augment(const AugmentationParameters& parameters, const AugmentationAddress& address, const Shape& image,
             std::span<const float> black, std::span<const float> source, std::span<float> target) {
  if (parameters.moves_pixels()) {
    require<InputError>(image.size() == 3 && static_cast<std::size_t>(image[0]) == black.size(),
                        "augmentation moves pixels, but a sample of shape {} is no image [channels, height, width]; "
                        "give training.data.sample_shape, or leave shift, rotation, zoom, flip and crop out",
                        to_string(image));
    const Motion motion = draw_motion(parameters, address);
    const std::int64_t pixels = image[1] * image[2];
    for (std::int64_t c = 0; c < image[0]; ++c)
      move_plane(motion, Plane(source.data() + c * pixels, image[1], image[2], black[static_cast<std::size_t>(c)]),
                 image[1], image[2], target.data() + c * pixels);
  } else {
    std::copy(source.begin(), source.end(), target.begin());
  }
  if (parameters.noise <= 0.0) return;
  const random::Stream stream({.seed = address.seed}, random::Purpose::augmentation);
  std::vector<float> xi(target.size());
  random::fill_normal(stream, noise_event + address.epoch, address.sample * target.size(), xi);
  for (std::size_t k = 0; k < target.size(); ++k) target[k] += static_cast<float>(parameters.noise) * xi[k];
}

std::vector<std::int64_t> shuffled_order(std::uint64_t seed, std::uint32_t epoch, std::int64_t count) {
  std::vector<std::uint32_t> words(static_cast<std::size_t>(count));
  random::fill_bits(random::Stream({.seed = seed}, random::Purpose::shuffle), epoch, 0, words);
  std::vector<std::int64_t> order(words.size());
  std::iota(order.begin(), order.end(), std::int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return words[static_cast<std::size_t>(a)] < words[static_cast<std::size_t>(b)];
  });
  return order;
}

}  // namespace tessera::sim
