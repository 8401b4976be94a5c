#pragma once
#include <cstdint>

#include "tessera/kernels/ladder.hpp"

/// Private: the vectorised inner loop of ladder.hpp.
namespace tessera::kernels::detail {

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

}  // namespace tessera::kernels::detail
