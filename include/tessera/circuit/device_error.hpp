#pragma once
#include <span>

#include "tessera/circuit/parameters.hpp"
#include "tessera/random/stream.hpp"

/// Error laws of cells on normalised conductances g = G Rmin in [g0, 1] (xi ~ N(0, 1), u ~ U(-1/2, 1/2), m the
/// magnitude):
///
/// | model                           | law                                                                          |
/// |---------------------------------|------------------------------------------------------------------------------|
/// | Normal / UniformIndependent     | g + m xi  /  g + m u                                                         |
/// | Normal / UniformProportional    | g (1 + m xi)  /  g (1 + m u)                                                 |
/// | Normal / UniformInverse..       | g + m xi / |g|, none at g = 0                                                |
/// | PCMJoshi                        | sigma[uS] = max(-0.00178767 G^2 + 0.07585724 G + 0.28638599, 0)              |
/// | RRAMMilo                        | sigma[uS] = max(-0.009107 G + 4.782321, 0)                                   |
/// | RRAMWan                         | sigma[uS] = max(1.536e-4 G^3 - 1.167e-2 G^2 + 0.2374 G + 1.053, 0)           |
/// | SONOS                           | I[nA] = G Vread; mean I + sum_k p_k(t) I^k for t > 0; sigma = A(t) (1 -
/// exp(-I/B(t))) at the drifted I; | |                                 | per read: sigma = 12.58037 (1 -
/// exp(-I/215.36557)) nA                        |
///
/// Sources: Joshi et al., Nat. Commun. 11, 2473 (2020), Fig. 3b; Milo et al., IRPS 2021, Fig. 4 (IGVVA-100); Wan et
/// al., Nature 608 (2022), Ext. Data Fig. 3; Agrawal et al., IEDM 2022, 21.7.
namespace tessera::circuit {

enum class ErrorSlot { programming_error, drift_error, read_noise };

struct ErrorLaw {
  double mean = 0.0;
  double sigma = 0.0;  ///< standard deviation, before the clip at the range's ends
};

/// Of one cell of conductance g; time in days.
ErrorLaw error_law(const ErrorParameters& error, ErrorSlot slot, const CellParameters& cell, double g,
                   double time_days);

/// g <- a draw around the law's mean, cell e with the element e of the stream, then clipped to [0, inf) or, with
/// clip_conductance, to [g0, 1].
void apply_error(const ErrorParameters& error, ErrorSlot slot, const CellParameters& cell, double time_days,
                 const random::Stream& stream, std::uint32_t event, std::span<double> g);

/// g <- the nearest of 2^cell_bits levels in [g0, 1]; unchanged for cell_bits 0.
double nearest_level(const CellParameters& cell, double g);

}  // namespace tessera::circuit
