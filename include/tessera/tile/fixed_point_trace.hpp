#pragma once
#include <cstdint>
#include <vector>

#include "tessera/core/tensor.hpp"

/// Every integer of a pass through a fixed-point periphery: golden vectors for a test bench of the hardware.
namespace tessera::tile {

/// Row-major, [vectors, columns].
struct CodeMatrix {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::vector<std::int64_t> values;

  CodeMatrix() = default;
  CodeMatrix(std::int64_t r, std::int64_t c) : rows(r), columns(c), values(static_cast<std::size_t>(r * c)) {}
  std::int64_t& operator()(std::int64_t r, std::int64_t c) { return values[static_cast<std::size_t>(r * columns + c)]; }
  std::int64_t operator()(std::int64_t r, std::int64_t c) const {
    return values[static_cast<std::size_t>(r * columns + c)];
  }
};

struct FixedPointTrace {
  struct Tile {
    CodeMatrix dac;      ///< [vectors, inputs]; no rows where the DAC has no levels, or scales or repeats vectors
    CodeMatrix adc;      ///< a; [vectors, outputs] from here on
    CodeMatrix product;  ///< a M
    CodeMatrix sum;      ///< the accumulator behind this tile, its bias included
  };
  std::vector<Tile> tiles;
  CodeMatrix accumulator;  ///< [vectors, outputs of the layer], the bias included
  CodeMatrix output;       ///< o; of the accumulator's value without an output code
};

}  // namespace tessera::tile
