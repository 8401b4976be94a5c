#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "tessera/circuit/parameters.hpp"

/// Converters as switched-capacitor circuits, for N bits and an input x in units of half the range (x in [-1, 1]);
/// code c stands for (2 c + 1 - 2^N) / 2^N. Every random deviate is an argument: z ~ N(0, 1) times sigma_capacitor,
/// offsets in the units of x. A capacitor of nominal value C has C + z sqrt(C). A is the amplifier's gain
/// 10^(gain_db / 20).
///
/// Binary capacitor array as charge amplifier, magnitude |k|, k = c - 2^(N-1):
///     signed:    C_n = 2^n + z_n 2^(n/2), n < N;  CF = 2^(N-1) + z_N 2^((N-1)/2)
///                L_c = (sign(k) Cs / CF + 2^-N) / (1 + 1/(A beta)),  beta = CF / (CF + sum C_n)
///     unsigned:  CF = 2^N + z_N 2^(N/2);  L_c = (2 Cs / CF - (2^N - 1) / 2^N) / (1 + 1/(A beta))
///     split:     floor(N/2) LSB capacitors, a dummy and a bridge, buffered (beta = 1); see split_levels
/// CdacGain::CROSSSIM divides the signed array by C_(N-1) and loads the amplifier with the selected capacitors only.
namespace tessera::circuit {

/// 10^(gain_db / 20).
double amplifier_gain(double gain_db);

/// L_c of the ramp converter (symmetric_cdac) and of the SAR converter without split array; z has N + 1 deviates.
std::vector<double> signed_levels(std::span<const double> z, int bits, double gain, CdacGain rule);
/// L_c of the ramp converter with symmetric_cdac: false.
std::vector<double> unsigned_levels(std::span<const double> z, int bits, double gain, CdacGain rule);
/// L_c of the SAR converter with split array: with l, h the selected LSB and MSB capacitance, CL all LSB capacitors and
/// the dummy, CM all MSB capacitors, Cb the bridge, t = (l Cb + h (CL + Cb)) / ((CL + Cb)(CM + Cb) - Cb^2), which is
/// nominally |k| / 2^(N-1); L_c = (sign(k) t + 2^-N) / (1 + 1/A).
std::vector<double> split_levels(std::span<const double> z, int bits, double gain);

/// A ramp of the given levels: CROSSSIM: argmin |L_c - x - o|, ties to the lower code; FIRST_CROSSING: the counter
/// stops before the first threshold L_c - 2^-N above x + o.
class RampTable {
 public:
  RampTable(std::span<const double> levels, RampCode rule);
  std::int64_t code(double x, double offset) const;

 private:
  std::vector<double> borders_;      ///< ascending: x + o at or below borders_[t] gives codes_[t]
  std::vector<std::int64_t> codes_;  ///< one more than borders
};

/// Successive approximation: from the MSB, a bit is set if x > L_(code + 2^b) - 2^-N - o.
std::int64_t sar_code(std::span<const double> levels, int bits, double x, double offset);

/// One 1.5-bit stage.
struct Stage {
  double C1 = 1.0, C2 = 1.0, Cpar = 0.0;
};
/// N - 1 stages, then a comparator. Stage n: hi = x > 1/4 + o_2n, lo = x < -1/4 + o_(2n+1), else mid (ties included);
/// code += 2^(N-1-n) if hi, 2^(N-2-n) if mid; x <- ((1 + gam) x + d gam) / (1 + 1/(A beta)), d = +1 lo, -1 hi, 0 mid,
/// gam = C2/C1, beta = C1/(C1 + C2 + Cpar); last bit x > o_(2N-2). The cyclic converter repeats one stage.
std::int64_t pipeline_code(std::span<const Stage> stages, std::span<const double> offsets, int bits, double gain,
                           double x);

}  // namespace tessera::circuit
