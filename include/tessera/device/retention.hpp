#pragma once
#include <cstdint>

#include "tessera/core/tensor.hpp"
#include "tessera/random/stream.hpp"

/// What volatile cells (gain cells: a charge on a gate that leaks away) still hold of a matrix that is written at run
/// time, position by position, when it is read. docs/models/retention.md.
namespace tessera::device {

/// Which axis of a written weight (outputs x inputs) counts positions: the outputs of queries x keys, the inputs of
/// attention weights x values. automatic: the one that is as long as there are reading vectors.
enum class WrittenPositions { automatic, outputs, inputs };

/// A cell written with w holds  w exp(-t / tau)  after a time t, with  tau = time_constant exp(spread z)  and z standard
/// normal, one for each cell of each matrix.
struct RetentionParameters {
  double time_constant = 1.0;  ///< median of tau, s; > 0
  double spread = 0.0;         ///< standard deviation of ln tau from cell to cell; >= 0
  double hold_time = 0.0;      ///< s between the writes of two positions; >= 0
  /// true: vector t reads when position t has just been written; later positions are not there yet (0). false: all are
  /// read one hold_time after the last was written.
  bool causal = true;
  WrittenPositions positions = WrittenPositions::automatic;

  bool operator==(const RetentionParameters&) const = default;
};

/// ConfigError (keys relative to the section) for values out of range.
void validate(const RetentionParameters& parameters);

/// Time constants (s) of the cells of a matrix [outputs, inputs], of the stream of `chip`.
Matrix time_constants(const RetentionParameters& parameters, std::int64_t outputs, std::int64_t inputs,
                      const random::Address& chip);

/// Age (s) of a position when vector `reader` of `readers` reads; negative: not written yet.
double age_of(const RetentionParameters& parameters, std::int64_t position, std::int64_t reader, std::int64_t readers);

}  // namespace tessera::device
