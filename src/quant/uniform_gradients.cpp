#include <cmath>

#include "quant/uniform_loops.hpp"
#include "tessera/quant/straight_through.hpp"
#include "tessera/quant/uniform_quantizer.hpp"

namespace tessera::quant {

namespace {

void check_sizes(const ChannelLayout& layout, std::size_t x, std::size_t grad_y, std::size_t grad_x) {
  require<InputError>(static_cast<std::int64_t>(x) == layout.size() && grad_y == x && grad_x == x,
                      "gradient of a quantizer over {} values given {} values and {} output gradients", layout.size(),
                      x, grad_y);
}

// Sums of one channel: d scale, and the output gradient that arrives at clipped values.
struct ChannelSums {
  double scale = 0.0;
  double clipped = 0.0;
};

void add_range_terms(const UniformGrid& grid, const float* x, const float* grad_y, std::int64_t count,
                     ChannelSums& sums) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float quotient = x[i] / grid.scale;
    const float unclipped = std::nearbyint(quotient) + grid.zero_point;
    const auto g = static_cast<double>(grad_y[i]);
    if (unclipped >= grid.int_min && unclipped <= grid.int_max) {
      sums.scale += g * (static_cast<double>(unclipped - grid.zero_point) - static_cast<double>(quotient));
    } else {
      const float code = unclipped < grid.int_min ? grid.int_min : unclipped > grid.int_max ? grid.int_max : unclipped;
      sums.scale += g * static_cast<double>(code - grid.zero_point);
      sums.clipped += g;
    }
  }
}

}  // namespace

void UniformQuantizer::backward(const ChannelLayout& layout, std::span<const float> x, std::span<const float> grad_y,
                                std::span<float> grad_x) const {
  check_layout(layout, x.size(), grad_x.size());
  check_sizes(layout, x.size(), grad_y.size(), grad_x.size());
  if (channels() == 1) {
    loops::straight_through_gradient(grid(), x.data(), grad_y.data(), grad_x.data(), layout.size());
    return;
  }
  for (std::int64_t c = 0; c < layout.channels; ++c) {
    const UniformGrid channel_grid = grid(c);
    for (std::int64_t o = 0; o < layout.outer; ++o) {
      const std::int64_t at = (o * layout.channels + c) * layout.inner;
      loops::straight_through_gradient(channel_grid, x.data() + at, grad_y.data() + at, grad_x.data() + at,
                                       layout.inner);
    }
  }
}

Tensor UniformQuantizer::backward(const Tensor& x, const Tensor& grad_y) const {
  Tensor grad_x = Tensor::uninitialized(x.shape());
  backward(layout(x.shape()), x.values(), grad_y.values(), grad_x.values());
  return grad_x;
}

RangeGradient UniformQuantizer::range_gradient(const ChannelLayout& layout, std::span<const float> x,
                                               std::span<const float> grad_y) const {
  check_layout(layout, x.size(), grad_y.size());
  std::vector<ChannelSums> sums(state_.delta.size());
  if (channels() == 1) {
    add_range_terms(grid(), x.data(), grad_y.data(), layout.size(), sums[0]);
  } else {
    for (std::int64_t c = 0; c < layout.channels; ++c) {
      const UniformGrid channel_grid = grid(c);
      for (std::int64_t o = 0; o < layout.outer; ++o) {
        const std::int64_t at = (o * layout.channels + c) * layout.inner;
        add_range_terms(channel_grid, x.data() + at, grad_y.data() + at, layout.inner,
                        sums[static_cast<std::size_t>(c)]);
      }
    }
  }
  RangeGradient gradient;
  for (std::size_t c = 0; c < sums.size(); ++c) {
    const auto scale = static_cast<double>(scale_of(c));
    const bool floored = state_.delta[c] < static_cast<float>(parameters_.eps);
    gradient.delta.push_back(parameters_.scale_domain == ScaleDomain::log ? sums[c].scale * scale
                             : floored                                    ? 0.0
                                                                          : sums[c].scale);
    if (symmetric()) continue;
    const float rounded = std::nearbyint(state_.zero_float[c]);
    const bool inside = rounded >= static_cast<float>(int_min()) && rounded <= static_cast<float>(int_max());
    gradient.zero_float.push_back(inside ? -scale * sums[c].clipped : 0.0);
  }
  return gradient;
}

RangeGradient UniformQuantizer::range_gradient(const Tensor& x, const Tensor& grad_y) const {
  return range_gradient(layout(x.shape()), x.values(), grad_y.values());
}

void round_straight_through(std::span<const float> x, std::span<float> y) {
  TESSERA_EXPECT(x.size() == y.size());
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = std::nearbyint(x[i]);
}

void floor_straight_through(std::span<const float> x, std::span<float> y) {
  TESSERA_EXPECT(x.size() == y.size());
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = std::floor(x[i]);
}

void straight_through_backward(std::span<const float> grad_y, std::span<float> grad_x) {
  TESSERA_EXPECT(grad_y.size() == grad_x.size());
  for (std::size_t i = 0; i < grad_y.size(); ++i) grad_x[i] = grad_y[i];
}

}  // namespace tessera::quant
