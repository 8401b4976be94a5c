#pragma once
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/sim/spiking_parameters.hpp"

/// Between values and sequences over time.
namespace tessera::sim {

/// [N, ...] -> [N T, ...], image-major.
Tensor encode_steps(SpikeEncoding encoding, const Tensor& images, std::int64_t steps, std::uint64_t first_image,
                    std::uint64_t seed, Parallel parallel);

/// [N T, ...] -> [N, ...]: the mean in double, or how many of the T values are not 0.
Tensor mean_of_steps(const Tensor& values, std::int64_t steps);
Tensor count_of_steps(const Tensor& values, std::int64_t steps);

}  // namespace tessera::sim
