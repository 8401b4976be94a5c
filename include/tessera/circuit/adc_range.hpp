#pragma once
#include "tessera/circuit/parameters.hpp"

/// The range of the converters of one array, in units of one fully-on cell at full input. n = inputs of the tile,
/// b = ADC bits, s = bits per slice, m and S = magnitude bits and slice size of the DAC, c = cell_bits.
///
/// CALIBRATED: as given. Otherwise, rule INTENT (default):
///   MAX       the smallest range that cannot clip: h = n (pairs subtracted in the array: n (1 - g0)) times the DAC's
///             full scale; [-h, h] if currents can be negative and the converter is signed, else [0, h]. If currents
///             come in steps t (below), h is raised so that the levels lie on multiples of t.
///   GRANULAR  level spacing is the smallest step of one line, t = (1 - g0)/(2^s - 1)/(2^S - 1) (bit-sliced) or
///             (1 - g0)/(2^c - 1)/(2^S - 1); lossless where it does not clip. The share g0 sum v of a line that is not
///             subtracted in the array is taken off in front of the converter (a reference line of off cells).
/// Rule CROSSSIM (the peer; B = weight_bits, kappa = 2^m/(2^m - 1), 1 without DAC bits; two-sided = DAC signed, or
/// pairs subtracted in the array, or bit-sliced BALANCED):
///   MAX       [-n, n] two-sided, else [0, n]; bit-sliced OFFSET: Y = 2^rint(log2 n) 2^s/(2^s - 1) kappa a,
///             a = (2^b - 2)/2^b signed, (2^b - 1)/2^b unsigned: [-Y, Y] or [0, Y]
///   GRANULAR  step t = 2^-B kappa, or kappa/(2^s - 1) bit-sliced: +-t (2^(b-1) - 1) two-sided, else [0, t (2^b - 1)]
namespace tessera::circuit {

/// Throws ConfigError if a calibrated range is missing. Parameters are valid.
AdcRange converter_range(const CrossbarParameters& parameters, std::int64_t inputs, int slice);

/// Is g0 sum v subtracted in front of the converter?
bool subtracts_baseline(const CrossbarParameters& parameters);

}  // namespace tessera::circuit
