#pragma once
#include <cstdint>
#include <span>

/// How much of a spread comes from programming chips anew, and how much from reading one chip anew.
namespace tessera::sim {

/// One-way random effects (analysis of variance; Searle, Casella, McCulloch, "Variance Components", 1992, chapter 3).
/// Value j of chip i, i = 1..I, j = 1..J, is  y_ij = mean + a_i + e_ij  with chip effects a_i and read effects e_ij:
///     MS_chip = J sum_i (y_i. - y..)^2 / (I - 1),    MS_read = sum_ij (y_ij - y_i.)^2 / (I (J - 1)),
///     read_variance = MS_read,                       chip_variance = max(0, (MS_chip - MS_read) / J).
/// The mean's 95 % interval is Student's with I - 1 degrees of freedom from the means of the chips, which are
/// independent (reads of one chip are not): half width t_{0.975, I-1} sqrt(MS_chip / (I J)). With one chip it speaks of
/// that chip's reads alone: t_{0.975, J-1} sqrt(MS_read / J).
struct VarianceComponents {
  std::int64_t chips = 0;
  std::int64_t reads = 0;           ///< of each chip
  double mean = 0.0;                ///< NaN without values
  double standard_deviation = 0.0;  ///< of one read of one chip: sqrt(chip_variance + read_variance), known parts only
  double confidence_95 = 0.0;       ///< half width; NaN with a single value
  double chip_variance = 0.0;       ///< NaN with one chip; with one read per chip it contains the read variance
  double read_variance = 0.0;       ///< NaN with one read per chip
};

/// `values` are chip by chip, `reads` of each; a multiple of `reads` of them (InputError otherwise).
VarianceComponents variance_components(std::span<const double> values, std::int64_t reads);

}  // namespace tessera::sim
