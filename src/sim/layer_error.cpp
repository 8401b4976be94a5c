#include "tessera/sim/layer_error.hpp"

#include <cmath>
#include <limits>

namespace tessera::sim {

namespace {

/// Four running sums in a fixed order: lane k takes the elements k, k+4, k+8, ...; lanes are added 0 to 3.
LayerError sample_error(const float* x, const float* y, std::int64_t count) {
  constexpr int lanes = 4;
  double xx[lanes] = {}, yy[lanes] = {}, xy[lanes] = {}, ee[lanes] = {};
  const auto add = [&](int lane, std::int64_t i) {
    const double a = x[i];
    const double b = y[i];
    const double e = b - a;
    xx[lane] += a * a;
    yy[lane] += b * b;
    xy[lane] += a * b;
    ee[lane] += e * e;
  };
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes)
    for (int lane = 0; lane < lanes; ++lane) add(lane, i + lane);
  for (; i < count; ++i) add(static_cast<int>(i % lanes), i);
  LayerError sum;
  sum.count = count;
  for (int lane = 0; lane < lanes; ++lane) {
    sum.reference_squared += xx[lane];
    sum.analog_squared += yy[lane];
    sum.product += xy[lane];
    sum.error_squared += ee[lane];
  }
  return sum;
}

}  // namespace

LayerError& LayerError::operator+=(const LayerError& other) {
  count += other.count;
  reference_squared += other.reference_squared;
  analog_squared += other.analog_squared;
  product += other.product;
  error_squared += other.error_squared;
  return *this;
}

void LayerError::add(const nn::Activation& reference, const nn::Activation& analog, Parallel parallel) {
  TESSERA_EXPECT(reference.values.shape() == analog.values.shape() && reference.layout == analog.layout);
  const std::int64_t samples = reference.values.rank() > 0 ? reference.values.dim(0) : 1;
  if (samples == 0) return;
  const std::int64_t each = reference.values.size() / samples;
  std::vector<LayerError> errors(static_cast<std::size_t>(samples));
  parallel_for(parallel, samples, [&](std::int64_t s) {
    errors[static_cast<std::size_t>(s)] =
        sample_error(reference.values.data() + s * each, analog.values.data() + s * each, each);
  });
  for (const LayerError& error : errors) *this += error;
}

double LayerError::mse() const {
  return count > 0 ? error_squared / static_cast<double>(count) : 0.0;
}

double LayerError::sqnr_db() const {
  if (error_squared == 0.0) return std::numeric_limits<double>::infinity();
  return 10.0 * std::log10(reference_squared / error_squared);
}

double LayerError::cosine() const {
  const double norms = std::sqrt(reference_squared) * std::sqrt(analog_squared);
  if (norms > 0.0) return product / norms;
  return reference_squared == analog_squared ? 1.0 : 0.0;
}

}  // namespace tessera::sim
