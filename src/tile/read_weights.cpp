#include <Eigen/Cholesky>
#include <Eigen/Core>

#include "tile/analog_layer_impl.hpp"

namespace tessera::tile {

// Least squares through the normal equations in double: the inputs are independent standard normals, ten times as many
// as unknowns, so the Gram matrix is as well conditioned as they come (about 4).
ReadWeights AnalogLayer::read_weights(std::uint32_t event, Parallel parallel) const {
  const Impl& layer = *impl_;
  const std::int64_t n = layer.inputs;
  const std::int64_t unknowns = n + (layer.analog_bias ? 1 : 0);
  const std::int64_t vectors = 10 * n;
  constexpr std::int64_t chunk = 2048;
  const random::Stream stream(layer.address, random::Purpose::weight_readback);

  Eigen::MatrixXd gram = Eigen::MatrixXd::Zero(unknowns, unknowns);
  Eigen::MatrixXd right = Eigen::MatrixXd::Zero(unknowns, layer.outputs);
  for (std::int64_t first = 0; first < vectors; first += chunk) {
    const std::int64_t count = std::min(chunk, vectors - first);
    Matrix x(count, n);
    random::fill_normal(stream, event, static_cast<std::uint64_t>(first * n), x.values());
    Matrix y(count, layer.outputs);
    forward(x.view(), y.view(),
            {.first_vector = static_cast<std::uint64_t>(first), .parallel = parallel, .event = event});
    Eigen::MatrixXd a(count, unknowns);
    Eigen::MatrixXd b(count, layer.outputs);
    for (std::int64_t r = 0; r < count; ++r) {
      for (std::int64_t k = 0; k < n; ++k) a(r, k) = static_cast<double>(x(r, k));
      if (layer.analog_bias) a(r, n) = 1.0;
      for (std::int64_t i = 0; i < layer.outputs; ++i) {
        const float digital = layer.bias.empty() ? 0.0F : layer.bias_in_use()[static_cast<std::size_t>(i)];
        b(r, i) = static_cast<double>(y(r, i)) - static_cast<double>(digital);
      }
    }
    gram.selfadjointView<Eigen::Lower>().rankUpdate(a.transpose());
    right.noalias() += a.transpose() * b;
  }
  const Eigen::MatrixXd solution = gram.selfadjointView<Eigen::Lower>().llt().solve(right);

  ReadWeights read{.weight = Matrix(layer.outputs, n),
                   .bias = {layer.bias_in_use().begin(), layer.bias_in_use().end()}};
  for (std::int64_t i = 0; i < layer.outputs; ++i) {
    for (std::int64_t k = 0; k < n; ++k) read.weight(i, k) = static_cast<float>(solution(k, i));
    if (layer.analog_bias) read.bias.push_back(static_cast<float>(solution(n, i)));
  }
  return read;
}

}  // namespace tessera::tile
