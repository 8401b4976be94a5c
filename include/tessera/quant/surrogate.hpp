#pragma once
#include <array>
#include <span>
#include <string>

#include "tessera/quant/number_format.hpp"

/// Surrogate derivatives of the spike (quantization reference, section G.4; names and defaults are snnTorch's).
namespace tessera::quant {

/// With x = U - T (state minus threshold). The spike itself is 1[x > 0] for all.
enum class SpikeGradient {
  atan,                        ///< (alpha/2) / (1 + (pi alpha x / 2)^2)
  fast_sigmoid,                ///< 1 / (1 + slope |x|)^2
  sigmoid,                     ///< slope e^(-slope x) / (1 + e^(-slope x))^2
  straight_through_estimator,  ///< 1
  heaviside,                   ///< 1[x > 0]
  triangular,                  ///< threshold below 0, -threshold from 0 on
  SFS,                         ///< fast_sigmoid where x > B, else 0
  spike_rate_escape,           ///< slope e^(-beta |x - 1|)
  SSO,                         ///< 1 where spiking, else (uniform(-0.5, 0.5) + mean) variance
  LSO                          ///< 1 where spiking, else slope (documented; the peer's cannot be called)
};
inline constexpr std::array<const char*, 10> spike_gradient_names{
    "atan",      "fast_sigmoid", "sigmoid", "straight_through_estimator",
    "heaviside", "triangular",   "SFS",     "spike_rate_escape",
    "SSO",       "LSO"};
const char* to_string(SpikeGradient gradient);

struct Surrogate {
  SpikeGradient spike_grad = SpikeGradient::atan;
  double alpha = 2.0;      ///< atan; > 0
  double slope = 25.0;     ///< fast_sigmoid, sigmoid, SFS, spike_rate_escape; LSO (0.1 is usual); > 0
  double threshold = 1.0;  ///< triangular
  double B = 1.0;          ///< SFS
  double beta = 1.0;       ///< spike_rate_escape
  double mean = 0.0;       ///< SSO
  double variance = 0.2;   ///< SSO

  bool operator==(const Surrogate&) const = default;
};
/// Throws ConfigError naming every value out of range.
void validate(const Surrogate& surrogate, const std::string& key = "spike_grad");

/// 1 where x > 0, else 0 (NaN: 0).
float spike(float x);
/// The derivative put in place of the spike's. `uniform` in (0, 1) is used by SSO only.
float surrogate_derivative(const Surrogate& surrogate, float x, float uniform = 0.5f);
/// Elementwise; SSO takes the uniform number of address draws.first + i.
void surrogate_derivative(const Surrogate& surrogate, std::span<const float> x, std::span<float> derivative,
                          const RandomDraws& draws = {});

}  // namespace tessera::quant
