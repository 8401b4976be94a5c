#pragma once
#include <cstdint>
#include <vector>

#include "tessera/kernels/ladder.hpp"

/// Private: the vectorised inner loops of ladder.hpp and pair_ladder.hpp.
namespace tessera::kernels::detail {

/// The open inputs of some vectors.
struct OpenInputs {
  std::vector<std::int32_t> active;  ///< vector after vector, ascending
  std::vector<std::int64_t> begin;   ///< where each vector's begin, and the end
};
/// InputError if gates or results do not fit lines of `inputs` cells.
OpenInputs open_inputs(ConstMatrixView gates, std::int64_t inputs, MatrixView out, std::int64_t outputs);

/// The lines of one panel against some vectors.
struct LadderPanel {
  const float* cells = nullptr;  ///< [inputs][PackedLadder::width]
  std::int64_t inputs = 0;
  const std::int32_t* active = nullptr;  ///< open inputs, vector after vector, ascending
  const std::int64_t* begin = nullptr;   ///< where each vector's begin, and the end
  std::int64_t vectors = 0;
  LadderWires wires;
  std::int64_t cells_per_scale = 1;  ///< open cells after which numbers are brought back into range
  float sign = 1.0F;
  float* out = nullptr;  ///< [vectors, outputs]
  std::int64_t stride = 0;
  std::int64_t outputs = 0;  ///< of the panel
};
using LadderFunction = void (*)(const LadderPanel&);
LadderFunction ladder_function();

/// The same of pairs, in double precision.
struct PairLadderPanel {
  const double* cells = nullptr;  ///< [inputs][2][PackedPairLadder::width]
  std::int64_t inputs = 0;
  const std::int32_t* active = nullptr;
  const std::int64_t* begin = nullptr;
  std::int64_t vectors = 0;
  LadderWires wires;
  float sign = 1.0F;
  float* out = nullptr;
  std::int64_t stride = 0;
  std::int64_t outputs = 0;
};
using PairLadderFunction = void (*)(const PairLadderPanel&);
PairLadderFunction pair_ladder_function();

}  // namespace tessera::kernels::detail
