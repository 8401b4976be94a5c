#pragma once
#include <cstdint>

#include "tessera/core/tensor.hpp"
#include "tessera/random/stream.hpp"
#include "tessera/tile/parameters.hpp"

/// Disturbed copies of the weights, one per training batch, that make a network robust against what devices do
/// (reference section 11.1; docs/models/modifiers.md).
namespace tessera::tile {

/// The weights of one tile [outputs, lines] as one batch sees them. With A = max |W| (1 if that is 0; without the last
/// column if that is copied) or, with rel_to_actual_wmax false, A = assumed_wmax; xi standard normal, u uniform draws;
/// rho(p) = 1/p for p > 1, p for 0 < p <= 1; rne rounds to even, with sto_round stochastically (rne(. + u - 1/2)):
///
/// | type                  | W'                                                                                |
/// |-----------------------|-----------------------------------------------------------------------------------|
/// | NONE                  | W                                                                                 |
/// | COPY, DROP_CONNECT    | W                                                                                 |
/// | DISCRETIZE            | step rne(W / step), step = 2 A rho(res); W for res <= 0                            |
/// | ADD_NORMAL            | W + std_dev A xi                                                                  |
/// | MULT_NORMAL           | W (1 + std_dev xi)                                                                |
/// | DISCRETIZE_ADD_NORMAL | the discretized W + std_dev A xi                                                  |
/// | DOREFA                | step rne(tanh(W) dorefa_clip / (tanh(A) step)), step = rho(res)                    |
/// | POLY                  | W + std_dev A p(|W|/A) xi,  p(r) = sum_q coeffs[q] r^q                             |
/// | PROG_NOISE            | sign(W) | |W| + (std_dev / g_max) A p(|W|/A) xi |                                 |
/// | PCM_NOISE             | programming, drift and read noise of phase-change memory, see below               |
///
/// then, for all but NONE, every weight is 0 with probability pdrop.
///
/// PCM_NOISE, per weight with g = g_max min(|W|/A, 1), r = g/g_max (device law of docs/models/pcm.md): g = 0 if g <=
/// 0.26348 std_dev pcm_zero_thres; with probabilities pcm_prob_at_reset, _at_gmax, _at_random the device is stuck at 0,
/// g_max, or a value uniform between; else, for g > 0, g = max(g + std_dev (0.26348 + 1.965 r - 1.1731 r^2) xi, 0), and
/// with pcm_t_inference > 0, t = pcm_t_inference + pcm_t0: g (t/pcm_t0)^(0.049 - nu), nu = |mu(r) + sd(r) xi'| (0.049
/// is what a global drift compensation takes back), plus std_dev g q(r) sqrt(ln((t + 250 ns)/500 ns)) xi''. W' =
/// sign(W) A g/g_max.
///
/// Where the peer's engines contradict each other: steps as documented (1/res of them over [-A, A], counts invert), no
/// unit in MULT_NORMAL, ties to even, drift with its mean. Draws of weight (i, k) of `lines` lines: element
/// (kind << 40) + i lines + k of `stream`, kinds 0 xi, 1 drop, 2 rounding, 3 stuck, 4 stuck value, 5 xi', 6 xi''.
Matrix modified_weights(const WeightModifierParameter& modifier, ConstMatrixView weights, const random::Stream& stream,
                        std::uint32_t event);

/// Throws ConfigError for values out of range and for what training cannot do. Keys are relative to the `rpu_config`.
void validate_learning(const RpuParameters& parameters);

}  // namespace tessera::tile
