#pragma once
#include <vector>

#include "tessera/core/tensor.hpp"
#include "tessera/random/stream.hpp"
#include "tessera/tile/parameters.hpp"

/// Quantities drawn once when a tile is built (reference section 4.9), readable and replaceable.
namespace tessera::tile {

/// Vectors have one value per output of the tile, or are empty where the effect is off. xi: standard normal draws,
/// element i of the stream of the named purpose.
struct FrozenDraws {
  std::vector<float> out_noise_values;  ///< n_i = |out_noise (1 + out_noise_std xi)| output_noise_spread
  std::vector<float> v_offset;          ///< o_i = max(v_offset_std xi, 0): a rectified Gaussian     voltage_offset
  std::vector<float> out_nonlinearity;  ///< k_i = |(out_nonlinearity / B) (1 + out_nonlinearity_std xi)|, B = out_bound
                                        ///< (1 if infinite)                                      output_nonlinearity
  float out_nonlinearity_factor = 1.0F;  ///< F = (1 + (mean k + r_series) slope_calibration B)^2
  Matrix w_asymmetry;                    ///< K_ik = 1 + w_read_asymmetry_dtod xi, element i*N + k    read_asymmetry

  bool saturates() const { return !out_nonlinearity.empty(); }
};

/// The draws of a tile with `outputs` x `inputs` weights at `address`.
FrozenDraws draw_frozen(const IOParameters& io, std::int64_t outputs, std::int64_t inputs,
                        const random::Address& address);

}  // namespace tessera::tile
