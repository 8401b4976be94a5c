#pragma once
#include <span>
#include <variant>
#include <vector>

#include "tessera/core/tensor.hpp"

/// Drift compensation laws (reference section 9). A tile is read with one unit vector per row (an identity matrix); the
/// magnitude of what comes out, right after programming and again later, gives a digital factor that multiplies the
/// outputs. How the tile is read, noise included, is module tile's business; these are the laws on the values read.
namespace tessera::device {

/// One factor per tile from the mean magnitude of all outputs (Joshi et al., Nat. Commun. 11, 2473, 2020).
struct GlobalDriftCompensation {
  bool operator==(const GlobalDriftCompensation&) const = default;
};

/// The same with the exact product of the target weights as the baseline. What is read later is therefore compared
/// without bias: every value counts with the sign of its target weight, so that noise averages out and a target of 0
/// adds none.
struct GlobalDriftCompensationWithExactReference {
  /// true (aihwkit): magnitudes, which read noise makes larger than those of the baseline; on a sparse tile alpha falls
  /// far below 1 before anything has drifted (docs/models/peer_defects.md).
  bool read_magnitudes = false;

  bool operator==(const GlobalDriftCompensationWithExactReference&) const = default;
};

/// One factor per output of a tile.
struct PerColumnDriftCompensation {
  bool operator==(const PerColumnDriftCompensation&) const = default;
};

using DriftCompensation =
    std::variant<GlobalDriftCompensation, GlobalDriftCompensationWithExactReference, PerColumnDriftCompensation>;

const char* type_name(const DriftCompensation& compensation);

/// Is the baseline the exact product I W^T with the target weights instead of a read right after programming?
bool uses_exact_reference(const DriftCompensation& compensation);

/// Read-out values of an output O (inputs x outputs) of a tile with target weights W (outputs x inputs):
///     global: max(mean over all |O|, 1e-4), one value;  per column: max(mean over inputs |O_.i|, 1e-4), one per
///     output; exact reference: max(mean over all O_ni sign(W_in), 1e-4), one value, or as global with
///     `read_magnitudes`.
std::vector<double> readout_values(const DriftCompensation& compensation, ConstMatrixView output,
                                   ConstMatrixView target);

/// The same for the exact product I W^T of weights W (outputs x inputs).
std::vector<double> exact_readout_values(const DriftCompensation& compensation, ConstMatrixView weights);

/// alpha = baseline / current, for every output: a global factor is repeated. Throws RunError if a value is not finite
/// or the sizes differ.
std::vector<float> compensation_factors(std::span<const double> baseline, std::span<const double> current,
                                        std::int64_t outputs);

}  // namespace tessera::device
