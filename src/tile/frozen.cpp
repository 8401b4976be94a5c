#include "tessera/tile/frozen.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tessera::tile {
namespace {

std::vector<float> normals(std::int64_t n, const random::Address& address, random::Purpose purpose) {
  std::vector<float> xi(static_cast<std::size_t>(n));
  random::fill_normal(random::Stream(address, purpose), 0, 0, xi);
  return xi;
}

}  // namespace

FrozenDraws draw_frozen(const IOParameters& io, std::int64_t outputs, std::int64_t inputs,
                        const random::Address& address) {
  FrozenDraws frozen;
  if (io.is_perfect || io.mv_type == AnalogMVType::IDEAL) return frozen;
  const auto bound = static_cast<float>(io.out_bound > 0.0 && std::isfinite(io.out_bound) ? io.out_bound : 1.0);
  const auto r_series = static_cast<float>(io.r_series);

  if (io.out_noise_std > 0.0) {
    frozen.out_noise_values = normals(outputs, address, random::Purpose::output_noise_spread);
    const auto spread = static_cast<float>(io.out_noise_std);
    for (float& n : frozen.out_noise_values) n = std::fabs(static_cast<float>(io.out_noise) * (1.0F + spread * n));
  }
  if (io.v_offset_std > 0.0 || io.r_series > 0.0) {
    frozen.v_offset.assign(static_cast<std::size_t>(outputs), 0.0F);
    if (io.v_offset_std > 0.0) {
      frozen.v_offset = normals(outputs, address, random::Purpose::voltage_offset);
      for (float& o : frozen.v_offset) o = std::max(static_cast<float>(io.v_offset_std) * o, 0.0F);
    }
  }
  if (io.out_nonlinearity > 0.0 || io.r_series > 0.0) {
    frozen.out_nonlinearity = normals(outputs, address, random::Purpose::output_nonlinearity);
    const float mean = static_cast<float>(io.out_nonlinearity) / bound;
    const auto spread = static_cast<float>(io.out_nonlinearity_std);
    for (float& k : frozen.out_nonlinearity) k = std::fabs(mean * (1.0F + spread * k));
    if (io.slope_calibration > 0.0) {
      float mean_k = 0.0F;
      if (io.out_nonlinearity > 0.0) {
        mean_k = std::accumulate(frozen.out_nonlinearity.begin(), frozen.out_nonlinearity.end(), 0.0F) /
                 static_cast<float>(outputs);
      }
      const float slope = 1.0F + (mean_k + r_series) * static_cast<float>(io.slope_calibration) * bound;
      frozen.out_nonlinearity_factor = slope * slope;
    }
  }
  const bool two_passes =
      io.mv_type == AnalogMVType::POS_NEG_SEPARATE || io.mv_type == AnalogMVType::POS_NEG_SEPARATE_DIGITAL_SUM;
  if (io.w_read_asymmetry_dtod > 0.0 && two_passes) {
    frozen.w_asymmetry = Matrix::uninitialized(outputs, inputs);
    random::fill_normal(random::Stream(address, random::Purpose::read_asymmetry), 0, 0, frozen.w_asymmetry.values());
    for (float& k : frozen.w_asymmetry.values()) k = 1.0F + static_cast<float>(io.w_read_asymmetry_dtod) * k;
  }
  return frozen;
}

}  // namespace tessera::tile
