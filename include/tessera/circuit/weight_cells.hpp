#pragma once
#include <vector>

#include "tessera/circuit/parameters.hpp"

/// Weights to normalised conductances g in [g0, 1] (gr = 1 - g0, c = cell_bits, B = weight_bits, w = W / limit):
///
/// | core                | cells                                                                                    |
/// |---------------------|------------------------------------------------------------------------------------------|
/// | BALANCED ONE_SIDED  | g+ = g0 + gr max(w, 0),  g- = g0 + gr max(-w, 0)                                         |
/// | BALANCED TWO_SIDED  | g+- = g0 + gr (1 +- w)/2                                                                 |
/// | OFFSET              | g = gl + gr' (w/2 + 1/2), gr' = gr (2^c - 2)/(2^c - 1) (gr if c = 0), gl = 1 - gr'       |
/// | BITSLICED           | Q = rint(w (2^(B-1) - 1)); BALANCED: sign and magnitude; OFFSET: Q + 2^(B-1). Slice k of |
/// |                     | s bits holds the bits [s k, s k + s), the last one the rest: g = g0 + gr d_k/(2^s - 1)   |
///
/// and, with cell_bits, the nearest level. A unit column (offset.style UNIT_COLUMN_SUBTRACTION) is one more output line
/// in front, with w = 0; bit-sliced: the digits of 2^(B-1).
namespace tessera::circuit {

/// What the largest magnitude of a weight becomes: conductances and output scale use the same.
struct WeightLimits {
  double low = -1.0;
  double high = 1.0;
  double scale() const;
};

/// Over a whole matrix. A zero matrix gives machine epsilon. Throws InputError if a weight is not finite.
WeightLimits weight_limits(const WeightMapping& mapping, ConstRealView weights);

/// W / scale, clipped to the limits if the mapping says so.
RealMatrix normalised_weights(const WeightMapping& mapping, const WeightLimits& limits, ConstRealView weights);

/// Conductances of one weight slice, [lines, inputs]; negative is empty unless there are pairs.
struct SliceCells {
  RealMatrix positive;
  RealMatrix negative;
};

/// gr' of an offset core.
double offset_range(const CrossbarParameters& parameters);

/// Targets of every slice, LSB slice first, for w [outputs, inputs] in [-1, 1].
std::vector<SliceCells> weight_cells(const CrossbarParameters& parameters, ConstRealView w);

/// How one axis of `count` lines is cut into K = ceil(count / largest) tiles.
struct PartitionRule {
  std::int64_t largest = 0;  ///< lines of an array; 0: no limit
  PartitionStrategy strategy = PartitionStrategy::EQUAL;
  std::vector<int> priority = {};  ///< divisors d: if largest / d divides count, MAX is used
  PartitionSizes sizes = PartitionSizes::DIFFER_BY_ONE;
};
PartitionRule input_partition(const CrossbarParameters& parameters);
PartitionRule output_partition(const CrossbarParameters& parameters);

/// [begin, end) of every tile: all alike if K divides count, else MAX: full tiles and a remainder; EQUAL: sizes that
/// differ by at most one, larger ones first (PartitionSizes::CROSSSIM: rint(count / K) each, the last one the rest,
/// which may be more than an array has).
std::vector<std::pair<std::int64_t, std::int64_t>> partition(std::int64_t count, const PartitionRule& rule);

}  // namespace tessera::circuit
