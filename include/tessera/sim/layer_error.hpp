#pragma once
#include <cstdint>
#include <vector>

#include "tessera/core/parallel.hpp"
#include "tessera/nn/executor.hpp"

/// The difference between an analog layer's output y and the float32 output x of the same layer.
namespace tessera::sim {

/// Sums in double over the values of all samples. The values of a sample are summed in storage order and samples are
/// added in their order, so the sums do not depend on batch size or threads.
struct LayerError {
  std::int64_t count = 0;
  double reference_squared = 0.0;  ///< sum x^2
  double analog_squared = 0.0;     ///< sum y^2
  double product = 0.0;            ///< sum x y
  double error_squared = 0.0;      ///< sum (y - x)^2

  LayerError& operator+=(const LayerError& other);
  /// Adds a batch; both activations have the batch in front and the same shape and layout.
  void add(const nn::Activation& reference, const nn::Activation& analog, Parallel parallel);

  double mse() const;      ///< sum (y - x)^2 / count
  double sqnr_db() const;  ///< 10 log10(sum x^2 / sum (y - x)^2); +inf where nothing differs
  double cosine() const;   ///< sum x y / sqrt(sum x^2 sum y^2); 1 where both are zero, 0 where one is
};

}  // namespace tessera::sim
