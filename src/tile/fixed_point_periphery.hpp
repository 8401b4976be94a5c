#pragma once
#include <optional>
#include <vector>

#include "tessera/random/stream.hpp"
#include "tessera/tile/fixed_point.hpp"
#include "tile/product_block.hpp"

/// Private: the fixed-point periphery of a layer, ready to run.
namespace tessera::tile {

/// Of one tile.
struct FixedPointTile {
  AdcCodes adc;
  std::vector<double> multiplier;  ///< m, real (with alpha)
  StoredScale scale;
  StoredBias bias;  ///< of the tile; empty unless bias.at is tile
  kernels::FixedPointColumns columns;
  kernels::FixedPointLanes lanes = kernels::FixedPointLanes::int32;
};

/// Of the outputs that tiles share.
struct FixedPointOutputs {
  std::vector<double> bias_values;  ///< b / u, real
  StoredBias bias;
  kernels::FixedPointColumns::Column packed;
  std::int64_t largest_bias = 0;
};

/// How a layer's output is coded: what follows it in the network decides.
struct OutputCode {
  bool relu = false;
  bool is_signed = true;
  bool operator==(const OutputCode&) const = default;
};

struct FixedPointPeriphery {
  FixedPointParameter parameters;
  kernels::FixedPointDatapath datapath;
  float step = 0.0F;      ///< u
  bool in_reals = false;  ///< some stage is exact, or the arithmetic is binary16
  std::vector<FixedPointTile> tiles;
  std::vector<FixedPointOutputs> outputs;  ///< by output part
};

/// Whether any stage computes otherwise than with integers.
bool computes_in_reals(const FixedPointParameter& parameters);

/// One tile's part of a block of vectors; `k` of the `count` tiles that share the outputs.
struct FixedPointPass {
  std::int64_t tile = 0;
  std::int64_t part = 0;  ///< of the outputs
  std::int64_t k = 0;
  std::int64_t count = 1;
  ConstMatrixView v;
  MatrixView y;
  std::uint64_t first_vector = 0;
  std::uint32_t event = 0;
  random::Address address;  ///< of the tile
  kernels::FixedPointCounts* counts = nullptr;
};
void run_pass(const FixedPointPeriphery& periphery, const FixedPointPass& pass, ProductScratch& scratch);

/// Nearest binary16 number, ties to even; beyond the largest: the largest.
double to_binary16(double x);

}  // namespace tessera::tile
