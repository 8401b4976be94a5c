#pragma once
#include <cmath>

#include "tessera/circuit/real_matrix.hpp"
#include "tessera/random/stream.hpp"

namespace tessera::circuit::testing {

/// Cells between 1 uS and 100 uS, evenly in the logarithm.
inline RealMatrix random_cells(std::int64_t outputs, std::int64_t inputs, std::uint32_t event) {
  RealMatrix g(outputs, inputs);
  const random::Stream stream({.seed = 17}, random::Purpose::test);
  for (std::size_t c = 0; c < g.values().size(); ++c)
    g.values()[c] = 1e-6 * std::pow(100.0, static_cast<double>(random::uniform(stream, event, c)));
  return g;
}

}  // namespace tessera::circuit::testing
